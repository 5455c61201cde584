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
