//! Amounts in the form that people read: the same in every face and in every log. Pure.

use std::time::Duration;

/// Formats bytes in decimal units: `512 B`, `3.1 MB`, `12.4 GB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    // 999,950 is a megabyte when it is rounded to one place.
    while (tenths + 5) / 10 >= 1000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    if tenths < 1000 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", (tenths + 5) / 10, UNITS[unit])
    }
}

/// Formats a count with a separator every three digits: `4,112`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count and its noun: `1 file`, `4,112 files`.
pub fn counted(count_of: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if count_of == 1 => noun.to_owned(),
        Some(stem) if !noun.ends_with("ay") => format!("{stem}ies"),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", count(count_of))
}

/// Formats how long something took: `0.3 s`, `41 s`, `1:37`, `2:03:04`.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, took.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_or_four_digits_and_a_decimal_unit() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (3_100_000, "3.1 MB"),
            (99_950, "99.9 kB"),
            (100_000, "100 kB"),
            (999_499, "999 kB"),
            (999_950, "1.0 MB"),
            (12_400_000_000, "12.4 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn counts_and_nouns_agree() {
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(4112, "file"), "4,112 files");
        assert_eq!(counted(0, "entry"), "0 entries");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (340, "0.3 s"),
            (9_999, "9.9 s"),
            (41_000, "41 s"),
            (97_000, "1:37"),
            (7_384_000, "2:03:04"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }
}
