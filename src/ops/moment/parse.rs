//! Reads `SNAP[:PART[/PATH]]`. The first `:` that is not inside a time ends SNAP.
//!
//! A time covers the unit that it is written to, for people type what a list showed them: `14:00`
//! is all of that minute, `2026-11-19` all of that day. In the hour that a clock goes through
//! twice, the second one is meant.

use jiff::{Span, Timestamp, ToSpan, Zoned, civil, tz::TimeZone};

use crate::{
    clock::UnixNanos,
    ops::{
        moment::{Error, Item, Selector, When},
        set::is_part_name,
    },
};

impl Selector {
    /// Reads what was typed; `now` and the zone give meaning to `yesterday` and `14:00`.
    pub fn parse(text: &[u8], now: UnixNanos, zone: &TimeZone) -> Result<Self, Error> {
        let (when, item) = text.split_at(when_length(text));
        let when = String::from_utf8_lossy(when).into_owned();
        let now = Timestamp::from_nanosecond(now.into()).unwrap_or_default().to_zoned(zone.clone());
        Ok(Self { when: parse_when(&when, &now)?, item: parse_item(&when, item)?, text: when })
    }
}

fn parse_item(when: &str, item: &[u8]) -> Result<Option<Item>, Error> {
    let refuse = |why| Err(Error::NotASelector { text: when.to_owned(), why });
    let Some(item) = item.strip_prefix(b":").filter(|item| !item.is_empty()) else {
        return Ok(None);
    };
    let mut names = item.split(|&byte| byte == b'/');
    let part = String::from_utf8_lossy(names.next().unwrap_or_default()).into_owned();
    if !is_part_name(&part) {
        return refuse("after the `:` comes the name of a part, then a path inside it");
    }
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    let path: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    if path.iter().any(|name| name == b"..") {
        return refuse("a path inside a part has no `..`");
    }
    Ok(Some(Item { part, path }))
}

fn parse_when(text: &str, now: &Zoned) -> Result<When, Error> {
    let refusal = |why| Error::NotASelector { text: text.to_owned(), why };
    if text == "latest" {
        return Ok(When::Latest);
    }
    if let Some(back) = text.strip_prefix("latest~") {
        return back.parse().map(When::Back).map_err(|_| refusal("`latest~N` takes a number"));
    }
    if let Some(span) = text.strip_suffix(" ago") {
        let span: Span = span.parse().map_err(|_| refusal("write it as `3 days ago`"))?;
        let at = now.checked_sub(span).map_err(|_| refusal("that is too long ago"))?;
        return Ok(When::Before(nanos(at.timestamp()).saturating_add(1)));
    }
    if let Some((day, time)) = parse_day(text, now) {
        return match end_of(day, time, now.time_zone()) {
            Some(end) => Ok(When::Before(nanos(end))),
            None => Err(refusal("no such time")),
        };
    }
    let digits = text.to_ascii_lowercase();
    if !digits.is_empty()
        && digits.len() <= 64
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok(When::Id(digits));
    }
    const KNOWN: &str = "it is no id, no time, and none of `latest`, `latest~N`, `today`, \
                         `yesterday`, `3 days ago`";
    Err(refusal(KNOWN))
}

/// Splits a text that begins with a day; what follows the day must be a time, or nothing.
fn parse_day<'a>(text: &'a str, now: &Zoned) -> Option<(civil::Date, &'a str)> {
    let length = day_length(text.as_bytes())?;
    let (day, time) = text.split_at(length);
    let day = match day {
        "today" => now.date(),
        "yesterday" => now.date().yesterday().ok()?,
        date => date.parse().ok()?,
    };
    Some((day, time))
}

/// The end of the unit to which day and time are written.
fn end_of(day: civil::Date, time: &str, zone: &TimeZone) -> Option<Timestamp> {
    if time.is_empty() {
        let tomorrow = day.tomorrow().ok()?;
        return Some(zone.to_zoned(tomorrow.at(0, 0, 0, 0)).ok()?.timestamp());
    }
    let length = clock_length(time.as_bytes())?;
    let (clock, offset) = time.split_at(length);
    let clock = &clock[1..];
    let unit = match clock.len() {
        2 => 1.hour(),
        5 => 1.minute(),
        8 => 1.second(),
        _ => 1.nanosecond(),
    };
    let padded = if clock.len() == 2 { format!("{clock}:00") } else { clock.to_owned() };
    let start = day.to_datetime(padded.parse().ok()?);
    let start = if offset.is_empty() {
        zone.to_ambiguous_zoned(start).later().ok()?.timestamp()
    } else {
        format!("{start}{offset}").parse().ok()?
    };
    start.checked_add(unit).ok()
}

/// How many bytes of the text say when: all, if no `:` follows them.
fn when_length(text: &[u8]) -> usize {
    let first_colon = || text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    let Some(day) = day_length(text) else { return first_colon() };
    let Some(clock) = clock_length(&text[day..]) else { return first_colon() };
    day + clock + offset_length(&text[day + clock..])
}

fn day_length(text: &[u8]) -> Option<usize> {
    for word in ["today", "yesterday"] {
        if text.starts_with(word.as_bytes()) {
            return Some(word.len());
        }
    }
    let is_date = text.len() >= 10
        && text[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date.then_some(10)
}

/// Length of `T14`, `T14:00`, `T14:00:07` or `T14:00:07.5`; a space serves as well as the `T`.
fn clock_length(text: &[u8]) -> Option<usize> {
    if !matches!(text.first(), Some(b'T' | b't' | b' ')) || !two_digits(text, 1) {
        return None;
    }
    let mut length = 3;
    while length < 9 && text.get(length) == Some(&b':') && ends_number(text, length + 1) {
        length += 3;
    }
    if length == 9 && text.get(length) == Some(&b'.') {
        let digits = text[10..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        length += if digits > 0 { 1 + digits } else { 0 };
    }
    Some(length)
}

/// Whether two digits stand there that do not belong to a longer word, such as the name of a part.
fn ends_number(text: &[u8], at: usize) -> bool {
    let after = text.get(at + 2);
    let ends = match after {
        None | Some(b':' | b'Z' | b'z') => true,
        Some(b'+' | b'-') => two_digits(text, at + 3),
        Some(b'.') => text.get(at + 3).is_some_and(u8::is_ascii_digit),
        Some(_) => false,
    };
    two_digits(text, at) && ends
}

/// Length of `Z`, `+01`, `+0100` or `+01:00`.
fn offset_length(text: &[u8]) -> usize {
    match text.first() {
        Some(b'Z' | b'z') => 1,
        Some(b'+' | b'-') if two_digits(text, 1) => match text.get(3) {
            Some(b':') if two_digits(text, 4) => 6,
            Some(_) if two_digits(text, 3) => 5,
            _ => 3,
        },
        _ => 0,
    }
}

fn two_digits(text: &[u8], at: usize) -> bool {
    text.get(at..at + 2).is_some_and(|pair| pair.iter().all(u8::is_ascii_digit))
}

fn nanos(at: Timestamp) -> UnixNanos {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}
