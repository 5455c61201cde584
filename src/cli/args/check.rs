//! Arguments of `check`.

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};

use crate::{config::parse_bytes, repo::check::Share};

#[derive(Debug, Args)]
#[command(
    after_help = "Without a flag, every object is opened and every pack's table of contents; \
                        the contents of packs are not read. A share is taken from the packs that \
                        this machine read longest ago, so that runs add up to everything: \
                        1/7 every night reads all of it every week."
)]
pub struct CheckArgs {
    /// Read everything: decrypt, decompress and hash every chunk, rebuild and check every database
    /// image
    #[arg(long)]
    pub read_data: bool,
    /// Read a share of the packs: 1/7, 10% or 500MB
    #[arg(long, value_name = "SHARE", value_parser = share(), conflicts_with = "read_data")]
    pub read_data_subset: Option<Share>,
}

/// Reads `1/7`, `10%` or `500MB`.
fn share() -> impl TypedValueParser<Value = Share> {
    StringValueParser::new().try_map(|text| parse_share(&text))
}

fn parse_share(text: &str) -> Result<Share, String> {
    let parsed = match (text.split_once('/'), text.strip_suffix('%')) {
        (Some((parts, of)), _) => fraction(parts, of),
        (None, Some(percent)) => fraction(percent, "100"),
        (None, None) => parse_bytes(text).filter(|bytes| *bytes > 0).map(Share::Bytes),
    };
    parsed.ok_or_else(|| "write it as 1/7, 10% or 500MB".to_owned())
}

fn fraction(parts: &str, of: &str) -> Option<Share> {
    let (parts, of) = (parts.trim().parse().ok()?, of.trim().parse().ok()?);
    (0 < parts && parts <= of).then_some(Share::Fraction { parts, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_fraction_a_percentage_or_an_amount() {
        assert_eq!(parse_share("1/7"), Ok(Share::Fraction { parts: 1, of: 7 }));
        assert_eq!(parse_share("10%"), Ok(Share::Fraction { parts: 10, of: 100 }));
        assert_eq!(parse_share("500MB"), Ok(Share::Bytes(500_000_000)));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "0/7", "8/7", "1/0", "0%", "101%", "-1%", "0", "1/7/2", "all"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
