//! Arguments of `drill`, `guard` and `restores`.

use std::ffi::OsString;

use clap::Args;

use crate::cli::args::InPlaceArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Restores into a scratch folder below the state folder, checks databases by \
                        SQLite, by their row counts and by [[drill.assert]] of the configuration, \
                        reads files back, and cleans up. The result is kept; status shows it. Exit \
                        code 30 if anything did not come back as it should."
)]
pub struct DrillArgs {
    /// SNAP or SNAP:PART; the newest of everything if absent
    #[arg(value_name = "SNAP", default_value = "latest")]
    pub snap: OsString,
    /// Restore from this mirror of the configuration
    #[arg(long, value_name = "MIRROR")]
    pub from: Option<String>,
    /// Read this many files of each part back
    #[arg(long, value_name = "COUNT", default_value_t = 200, conflicts_with = "all_files")]
    pub sample: u64,
    /// Read all files back
    #[arg(long)]
    pub all_files: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Makes a snapshot, runs COMMAND, and if it fails or is stopped offers to put \
                        everything back as it was; with --yes it does so without asking."
)]
pub struct GuardArgs {
    #[command(flatten)]
    pub in_place: InPlaceArgs,
    /// Guard only these sets of the configuration
    #[arg(long, value_name = "NAME")]
    pub part: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct RestoresArgs {
    /// Show all; a terminal otherwise shows the newest 20
    #[arg(short, long)]
    pub all: bool,
}
