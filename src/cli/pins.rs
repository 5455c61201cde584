//! Dates until which something is pinned.

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::{cli::error::Error, clock::UnixNanos};

/// Reads the last day of a pin, `2036-12-31`, which it covers to its end; or a time with offset.
pub fn until(text: &str, now: UnixNanos, zone: &TimeZone) -> Result<UnixNanos, Error> {
    let refuse = |message: String| Error::Usage {
        message,
        help: "write the last day on which it is to be kept, such as 2036-12-31",
    };
    let end = match text.parse::<civil::Date>() {
        Ok(day) => day.tomorrow().and_then(|next| next.to_zoned(zone.clone())).ok(),
        Err(_) => text.parse::<Timestamp>().ok().map(|at| at.to_zoned(zone.clone())),
    };
    // Nanoseconds reach to the year 2262: whatever is later is as good as for ever.
    let end = end.map(|end| i64::try_from(end.timestamp().as_nanosecond()).unwrap_or(i64::MAX));
    match end {
        None => Err(refuse(format!("`{text}` is no date"))),
        Some(end) if end <= now => Err(refuse(format!("{text} is over"))),
        Some(end) => Ok(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_lasts_to_the_end_of_its_last_day_in_the_shop() {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_nanosecond() as i64;
        let now = at("2026-11-20T12:00:00Z");

        assert_eq!(until("2026-11-20", now, &zone).unwrap(), at("2026-11-20T23:00:00Z"));
        assert_eq!(until("2036-12-31", now, &zone).unwrap(), at("2036-12-31T23:00:00Z"));
        assert_eq!(until("2999-12-31", now, &zone).unwrap(), i64::MAX);
        for text in ["2026-11-19", "2026-11-20T10:00:00Z", "soon", ""] {
            assert!(until(text, now, &zone).is_err(), "{text}");
        }
    }
}
