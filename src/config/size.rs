//! Amounts and shares of bytes as people write them.

/// Reads `500 MB`, `1.5GB`, `64MiB` or a plain number of bytes. `MB` is a million, `MiB` is
/// 1,048,576.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.replace('_', "");
    let unit = unit_bytes(unit.trim())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, "0"));
    let fraction_digits =
        u32::try_from(fraction.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    let fraction: u64 = fraction.parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    // At most a tebibyte times a thousand million: fits.
    whole
        .checked_mul(unit)?
        .checked_add((u128::from(fraction) * u128::from(unit) / 10u128.pow(fraction_digits)) as u64)
}

/// Reads `5%` or `0.5%` as thousandths.
pub fn parse_permille(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?.trim();
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(tenths) || tenths.len() > 1 {
        return None;
    }
    let permille = whole.parse::<u32>().ok()?.checked_mul(10)? + tenths.parse::<u32>().ok()?;
    (permille <= 1000).then_some(permille)
}

fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1234", 1234),
            ("500 MB", 500_000_000),
            ("1.5GB", 1_500_000_000),
            ("64MiB", 67_108_864),
            ("1_000k", 1_000_000),
            (" 2 tib ", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "MB",
            "-1",
            "1.2.3",
            "1.",
            "5 apples",
            "1e9",
            "99999999999999999999",
            "20000000TiB",
        ] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn percents_are_read_to_the_tenth_and_no_further() {
        assert_eq!(parse_permille("5%"), Some(50));
        assert_eq!(parse_permille("0.5 %"), Some(5));
        assert_eq!(parse_permille("100%"), Some(1000));
        for text in ["5", "%", "-1%", "101%", "1.25%", ".5%", "x%"] {
            assert_eq!(parse_permille(text), None, "{text}");
        }
    }
}
