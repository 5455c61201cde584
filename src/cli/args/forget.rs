//! Arguments of `forget`, `undelete`, `pin` and `unpin`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use crate::ops::retention::{Group, Policy, Within};

#[derive(Debug, Args)]
#[command(
    after_help = "With --policy, what the rules do not keep goes. The rules are those of the \
                  configuration, or those given here, for trying them out: --policy --dry-run \
                  --keep-daily 14. Forgotten snapshots lie in the trash for 7 days (trash_days), \
                  and can be had back with undelete; after that, prune frees their space. The \
                  last snapshot of a group, the last sound image of a database, and what is \
                  pinned always stay."
)]
pub struct ForgetArgs {
    /// Snapshots to forget: ids, or latest~N
    #[arg(value_name = "SNAP", required_unless_present = "policy", conflicts_with = "policy")]
    pub snaps: Vec<OsString>,
    /// Forget what the rules do not keep
    #[arg(long)]
    pub policy: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Only snapshots of this group; may be repeated
    #[arg(long, value_enum, requires = "policy", conflicts_with = "snaps")]
    pub group: Vec<GroupArg>,
    /// Show what stays, why, and what goes; forget nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Forget even if more than half of the snapshots go
    #[arg(long)]
    pub allow_most: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show every snapshot that goes; a terminal otherwise shows the newest 20
    #[arg(short, long)]
    pub all: bool,
}

/// Rules in place of those of the configuration, for every group that is asked about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Rules")]
pub struct KeepArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of the N newest hours that have one
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_hourly: Option<u32>,
    /// ... of the N newest days
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_daily: Option<u32>,
    /// ... of the N newest weeks
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_weekly: Option<u32>,
    /// ... of the N newest months
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_monthly: Option<u32>,
    /// ... of the N newest years
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "snaps")]
    pub keep_yearly: Option<u32>,
    /// Keep all that are not older than this, seen from the newest: 30d, 1y6m
    #[arg(long, value_name = "LENGTH", requires = "policy", conflicts_with = "snaps")]
    pub keep_within: Option<Within>,
}

/// Which policy a snapshot falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GroupArg {
    /// Databases, with or without configuration
    Database,
    /// No database
    Files,
    /// All parts that were configured
    Complete,
}

#[derive(Debug, Args)]
pub struct UndeleteArgs {
    /// Ids of forgotten snapshots; see snapshots --forgotten
    #[arg(value_name = "SNAP", required = true)]
    pub snaps: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct PinArgs {
    /// Snapshot to keep, whatever the rules say
    #[arg(value_name = "SNAP")]
    pub snap: OsString,
    /// Why it is kept
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Last day on which it is kept, such as 2036-12-31; without it, for ever
    #[arg(long, value_name = "DATE")]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
pub struct UnpinArgs {
    /// Snapshot whose pins go
    #[arg(value_name = "SNAP")]
    pub snap: OsString,
}

impl KeepArgs {
    /// The policy that was given here, empty if none was.
    pub const fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
        }
    }
}

impl From<GroupArg> for Group {
    fn from(group: GroupArg) -> Self {
        match group {
            GroupArg::Database => Self::Database,
            GroupArg::Files => Self::Files,
            GroupArg::Complete => Self::Complete,
        }
    }
}
