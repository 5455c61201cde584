//! Arguments of `prune`.

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};

use crate::config::parse_bytes;

#[derive(Debug, Args)]
#[command(after_help = "Forgotten snapshots go when their time in the trash is over. Backups and \
                        restores may run meanwhile, here and on other machines. A prune that is \
                        interrupted is taken up by the next one.")]
pub struct PruneArgs {
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Unused bytes that may stay in packs that are partly in use
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = permille())]
    pub max_unused: u32,
    /// Move at most this much out of packs that are partly in use
    #[arg(long, value_name = "SIZE", value_parser = size())]
    pub max_repack: Option<u64>,
}

/// Reads `5%` or `0.5%` as thousandths.
fn permille() -> impl TypedValueParser<Value = u32> {
    StringValueParser::new().try_map(|text| parse_permille(&text).ok_or("write it as 5%"))
}

fn parse_permille(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?.trim();
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(tenths) || tenths.len() > 1 {
        return None;
    }
    let permille = whole.parse::<u32>().ok()?.checked_mul(10)? + tenths.parse::<u32>().ok()?;
    (permille <= 1000).then_some(permille)
}

fn size() -> impl TypedValueParser<Value = u64> {
    StringValueParser::new().try_map(|text| parse_bytes(&text).ok_or("write it as 500MB or 2GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
