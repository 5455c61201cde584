//! Arguments of `restore`.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::cli::confirm::Said;

#[derive(Debug, Args)]
#[command(
    after_help = "A file part lands in DIR/NAME/, a database in DIR/NAME.db. Try it first with \
                        --dry-run: it says what would change.\n\n\
                  With --live every part goes back to where it came from: it shows what it will \
                        do, stops the application by the hook before_restore, makes sure that \
                        nobody has the database open, saves what is there now (stillpoint undo \
                        brings it back), and starts the application by the hook after_restore. \
                        Any failure takes all of it back.\n\n\
                  With --table rows of a past database come back into the present one, in one \
                        transaction, while the application runs."
)]
pub struct RestoreArgs {
    /// SNAP, SNAP:PART or SNAP:PART/PATH; or the FILE.zip of an export, without a repository
    #[arg(value_name = "SNAP")]
    pub snap: OsString,
    /// Folder to restore into
    #[arg(short, long, value_name = "DIR", required_unless_present_any = ["live", "table"])]
    pub target: Option<PathBuf>,
    /// Restore in place: every part to where it came from
    #[arg(long, conflicts_with_all = ["target", "include", "exclude", "overwrite"])]
    pub live: bool,
    /// With --live: this table keeps the rows that it has now, such as an audit log
    #[arg(long, value_name = "TABLE", value_delimiter = ',', requires = "live")]
    pub exclude_table: Vec<String>,
    /// Bring back rows of these tables
    #[arg(
        long,
        value_name = "TABLE",
        value_delimiter = ',',
        conflicts_with_all = ["target", "live", "part", "include", "exclude", "overwrite", "delete"]
    )]
    pub table: Vec<String>,
    /// Only rows for which this SQL expression is true in the past
    #[arg(long = "where", value_name = "SQL", requires = "table")]
    pub filter: Option<String>,
    /// Where rows go: `live` is the database that they came from, FILE is made
    #[arg(long, value_name = "live|FILE", default_value = "live", value_parser = into_arg())]
    pub into: IntoArg,
    /// What to do with rows that are already there
    #[arg(long, value_enum, default_value_t = ModeArg::Missing)]
    pub mode: ModeArg,
    #[command(flatten)]
    pub in_place: InPlaceArgs,
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
    /// File that holds the passphrase of an encrypted export; - is standard input
    #[arg(long, value_name = "FILE")]
    pub export_password_file: Option<PathBuf>,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
    /// Say what would change, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntoArg {
    Live,
    File(PathBuf),
}

fn into_arg() -> impl TypedValueParser<Value = IntoArg> {
    OsStringValueParser::new().map(|text| match text.to_str() {
        Some("live") => IntoArg::Live,
        _ => IntoArg::File(text.into()),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Add rows that are missing
    Missing,
    /// Replace the table, or the rows that --where chooses
    Replace,
    /// Put all rows into a new table TABLE_restored
    Beside,
}

/// What every command takes that changes things where they are.
#[derive(Debug, Clone, Default, Args)]
pub struct InPlaceArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// The application is stopped: do without proof where other processes cannot be looked into
    #[arg(long)]
    pub assume_stopped: bool,
}

impl InPlaceArgs {
    /// What was said beforehand.
    pub const fn said(&self) -> Said {
        if self.yes { Said::Yes } else { Said::Nothing }
    }
}

/// Arguments of `undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    #[command(flatten)]
    pub in_place: InPlaceArgs,
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
