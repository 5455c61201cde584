//! Arguments of `prune`.

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};

use crate::config::{parse_bytes, parse_permille};

#[derive(Debug, Args)]
#[command(after_help = "Forgotten snapshots go when their time in the trash is over. Backups and \
                        restores may run meanwhile, here and on other machines. A prune that is \
                        interrupted is taken up by the next one.")]
pub struct PruneArgs {
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Unused bytes that may stay in packs that are partly in use; 5% unless the configuration says
    /// otherwise
    #[arg(long, value_name = "PERCENT", value_parser = permille())]
    pub max_unused: Option<u32>,
    /// Move at most this much out of packs that are partly in use
    #[arg(long, value_name = "SIZE", value_parser = size())]
    pub max_repack: Option<u64>,
}

/// Reads `5%` or `0.5%` as thousandths.
fn permille() -> impl TypedValueParser<Value = u32> {
    StringValueParser::new().try_map(|text| parse_permille(&text).ok_or("write it as 5%"))
}

fn size() -> impl TypedValueParser<Value = u64> {
    StringValueParser::new().try_map(|text| parse_bytes(&text).ok_or("write it as 500MB or 2GiB"))
}
