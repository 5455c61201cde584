//! Arguments of `backup`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{NamedPath, duration, named_path};

#[derive(Debug, Args)]
#[command(after_help = "Without names, all sets of the configuration are saved. With --sqlite or \
                        --files and no names, only those. Databases are captured first, then \
                        files.")]
pub struct BackupArgs {
    /// Sets of the configuration
    #[arg(value_name = "SET")]
    pub names: Vec<String>,
    /// Save this SQLite database; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path())]
    pub sqlite: Vec<NamedPath>,
    /// Save this folder or file; repeat the name to put several paths into one set
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path())]
    pub files: Vec<NamedPath>,
    /// Leave out what matches, as in .gitignore; for all file sets of this run
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out folders that hold a file of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_if_present: Vec<String>,
    /// Stay on the file system of each path
    #[arg(long)]
    pub one_file_system: bool,
    /// Read and compare everything, free databases of their older changes, and prove that each can
    /// be rebuilt
    #[arg(long)]
    pub full: bool,
    /// Name of the snapshot
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Note to keep with the snapshot
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Tag of the snapshot; may be repeated
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Who asks for it
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// Where it is asked for, such as a till
    #[arg(long, value_name = "WHERE")]
    pub station: Option<String>,
    /// Why it is made
    #[arg(long, value_enum, default_value_t = TriggerArg::Manual)]
    pub trigger: TriggerArg,
    /// Pin the snapshot, so that no rule lets it go; say why
    #[arg(long, value_name = "REASON")]
    pub pin: Option<String>,
    /// Last day on which the pin holds, such as 2036-12-31
    #[arg(long, value_name = "DATE", requires = "pin")]
    pub until: Option<String>,
    /// Wait for another backup of the same part instead of failing
    #[arg(long, value_name = "DURATION", value_parser = duration())]
    pub wait: Option<Duration>,
    /// Say what would be saved, and save nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TriggerArg {
    Manual,
    Schedule,
    Safety,
    Guard,
    Import,
}
