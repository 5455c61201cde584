//! Arguments of `diff`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Of databases it reads only the pages that differ. The second side may be \
                        `live`: the databases and files as they are now.

  stillpoint diff latest~1 latest
  stillpoint diff latest live --table orders --rows
  stillpoint diff latest~1:pos latest:pos --format sql > forward.sql")]
pub struct DiffArgs {
    /// The older side: SNAP, SNAP:PART or SNAP:PART/PATH
    #[arg(value_name = "SNAP")]
    pub from: OsString,
    /// The newer side, or `live`
    #[arg(value_name = "SNAP|live")]
    pub to: OsString,
    /// Compare only this part
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,
    /// Compare only this table
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Show every row that differs, not only how many
    #[arg(long)]
    pub rows: bool,
    /// How to print; sql is a script that makes the newer side of the older one
    #[arg(long, value_enum, default_value_t = DiffFormatArg::Table, value_name = "FORMAT")]
    pub format: DiffFormatArg,
    /// Show what differs inside of text files
    #[arg(long)]
    pub text: bool,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffFormatArg {
    Table,
    Json,
    Csv,
    Sql,
}
