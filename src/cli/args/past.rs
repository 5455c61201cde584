//! Arguments of the commands that look into past databases.

use std::{ffi::OsString, time::Duration};

use clap::Args;

use super::values::duration;

#[derive(Debug, Args)]
#[command(after_help = "Nothing is restored: only the pages that the statement needs are read. \
                        Other snapshots stand in the same statement under their names:

  stillpoint sql latest:pos 'SELECT * FROM \"latest~24\".orders
      WHERE id NOT IN (SELECT id FROM orders)'

Without a statement a prompt opens; .tables, .schema and .quit work there.")]
pub struct SqlArgs {
    /// SNAP, or SNAP:DB where a snapshot holds several databases
    #[arg(value_name = "SNAP[:DB]")]
    pub snap: OsString,
    /// One statement that reads
    #[arg(value_name = "SELECT")]
    pub statement: Option<String>,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Stop a statement after this long [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration())]
    pub timeout: Option<Duration>,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
pub struct TablesArgs {
    /// SNAP, or SNAP:DB where a snapshot holds several databases
    #[arg(value_name = "SNAP[:DB]")]
    pub snap: OsString,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// SNAP, or SNAP:DB where a snapshot holds several databases
    #[arg(value_name = "SNAP[:DB]")]
    pub snap: OsString,
    /// Only this table, with its indexes and triggers
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Snapshots in which no page of the row changed are not opened.

  stillpoint history --table orders --key 4711")]
pub struct HistoryArgs {
    /// The table
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// The value of the primary key, or the rowid; once for each column of the key
    #[arg(long, value_name = "VALUE", required = true, allow_hyphen_values = true)]
    pub key: Vec<String>,
    /// The database, where there are several
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Patterns are those of .gitignore: `prices.csv` finds it in any folder, \
                        `/2026/*.pdf` only there.")]
pub struct FindArgs {
    /// Name of a file, or a pattern
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// Only in this part
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
}

#[derive(Debug, Args)]
pub struct GrowthArgs {
    /// From which moment on
    #[arg(long, value_name = "SNAP", default_value = "7 days ago")]
    pub since: OsString,
    /// Show all tables and folders; otherwise the 20 that grew most
    #[arg(short, long)]
    pub all: bool,
}

#[cfg(feature = "mount")]
#[derive(Debug, Args)]
#[command(after_help = "Folders stand under the names of their parts, databases as NAME.db. With \
                        `all` there is a folder for each snapshot. Ctrl-C, or umount DIR, takes \
                        it away.")]
pub struct MountArgs {
    /// SNAP, or `all` for every snapshot
    #[arg(value_name = "SNAP|all")]
    pub snap: OsString,
    /// An empty folder
    #[arg(value_name = "DIR")]
    pub dir: std::path::PathBuf,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}
