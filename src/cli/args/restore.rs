//! Arguments of `restore`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(
    after_help = "A file part lands in DIR/NAME/, a database in DIR/NAME.db. Try it first with \
                        --dry-run: it says what would change."
)]
pub struct RestoreArgs {
    /// SNAP, SNAP:PART or SNAP:PART/PATH
    #[arg(value_name = "SNAP")]
    pub snap: OsString,
    /// Folder to restore into
    #[arg(short, long, value_name = "DIR")]
    pub target: PathBuf,
    /// Restore only this part; may be repeated
    #[arg(long, value_name = "NAME")]
    pub part: Vec<String>,
    /// Restore only what matches, as in .gitignore; a database goes by NAME and NAME.db
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out what matches, as in .gitignore
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// What to do with files that are already there
    #[arg(long, value_enum, default_value_t = OverwriteArg::Changed)]
    pub overwrite: OverwriteArg,
    /// Remove what the snapshot does not have, inside the restored parts only
    #[arg(long)]
    pub delete: bool,
    /// Read everything back; run quick_check on databases
    #[arg(long)]
    pub verify: bool,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
    /// Say what would change, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverwriteArg {
    /// Keep every file that is there
    Never,
    /// Write only what differs
    Changed,
    /// Write everything again
    Always,
}
