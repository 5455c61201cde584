//! Sizes, times and foreign text in the form that people read. Pure.

use std::fmt::Write;

use jiff::{Timestamp, Zoned, tz::TimeZone};

pub use crate::ops::words::{bytes, count, counted, duration};

use crate::clock::UnixNanos;

/// Formats how old something is, roughly: `6 min`, `2 h`, `4 days`.
pub fn age(of: UnixNanos, now: UnixNanos) -> String {
    let minutes = now.saturating_sub(of).max(0) / 60_000_000_000;
    match minutes {
        0 => "just now".to_owned(),
        1..120 => format!("{minutes} min old"),
        120..2880 => format!("{} h old", minutes / 60),
        _ => format!("{} days old", minutes / 1440),
    }
}

/// Formats a moment as people say it: `today 14:00`, `yesterday 14:00`, `2026-11-15 02:00`. Each is
/// understood as a SNAP too.
pub fn moment(at: UnixNanos, now: UnixNanos, zone: &TimeZone) -> String {
    let (at, now) = (zoned(at, zone), zoned(now, zone));
    let clock = at.strftime("%H:%M");
    if at.date() == now.date() {
        format!("today {clock}")
    } else if now.date().yesterday().is_ok_and(|yesterday| yesterday == at.date()) {
        format!("yesterday {clock}")
    } else {
        at.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// Formats the last day that lies wholly before a moment, as the end of a period is told.
pub fn day(end: UnixNanos, zone: &TimeZone) -> String {
    zoned(end.saturating_sub(1), zone).strftime("%Y-%m-%d").to_string()
}

/// Formats the time of day to the second.
pub fn clock(at: UnixNanos, zone: &TimeZone) -> String {
    zoned(at, zone).strftime("%H:%M:%S").to_string()
}

/// Formats a time to the second for lists of files.
pub fn file_time(seconds: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.clone());
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Formats a time for programs: RFC 3339 with the offset of the zone.
pub fn rfc3339(at: UnixNanos, zone: &TimeZone) -> String {
    zoned(at, zone).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

fn zoned(at: UnixNanos, zone: &TimeZone) -> Zoned {
    Timestamp::from_nanosecond(at.into()).unwrap_or_default().to_zoned(zone.clone())
}

/// Makes text from a repository or a disk safe to print: control characters cannot move the cursor,
/// change colours or forge a line, and bytes that are not UTF-8 show as `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_invisible(character) {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Characters that change the direction of the text around them.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_where_the_reader_stands() {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_nanosecond() as i64;
        let now = at("2026-11-19T20:30:00+01:00");

        assert_eq!(moment(at("2026-11-19T00:00:07+01:00"), now, &zone), "today 00:00");
        assert_eq!(moment(at("2026-11-18T23:59:59+01:00"), now, &zone), "yesterday 23:59");
        assert_eq!(moment(at("2026-11-15T01:00:00Z"), now, &zone), "2026-11-15 02:00");
        assert_eq!(rfc3339(at("2026-07-01T12:00:00.25Z"), &zone), "2026-07-01T14:00:00.25+02:00");
    }

    #[test]
    fn foreign_text_cannot_play_with_the_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("gr\u{f6}\u{df}e\u{202e}".as_bytes()), "größe\\u{202e}");
        assert_eq!(printable(b"x\xff"), "x\\xff");
    }
}
