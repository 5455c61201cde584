//! The command line as clap sees it. Doc comments of this file are the help that people read.

mod backup;
mod check;
mod diff;
mod export;
mod forget;
mod key;
mod mirror;
mod past;
mod proof;
mod prune;
mod repair;
mod restore;
mod values;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};

pub use backup::{BackupArgs, TriggerArg};
pub use check::CheckArgs;
pub use diff::{DiffArgs, DiffFormatArg};
pub use export::{ExportArgs, ImportArgs};
pub use forget::{ForgetArgs, PinArgs, UndeleteArgs, UnpinArgs};
pub use key::{KeyArgs, KeyCommand, KeyNewArgs, KeyRecoveryArgs, KeyRemoveArgs, KeyRotateArgs};
pub use mirror::{
    MirrorAddArgs, MirrorArgs, MirrorCommand, MirrorForgetArgs, MirrorKindArg, MirrorLoginArgs,
    MirrorName, MirrorPruneArgs, MirrorStatusArgs, MirrorSyncArgs,
};
#[cfg(feature = "mount")]
pub use past::MountArgs;
pub use past::{FindArgs, GrowthArgs, HistoryArgs, SchemaArgs, SqlArgs, TablesArgs};
pub use proof::{DrillArgs, GuardArgs, RestoresArgs};
pub use prune::PruneArgs;
pub use repair::{RepairArg, RepairArgs};
pub use restore::{InPlaceArgs, IntoArg, ModeArg, OverwriteArg, RestoreArgs, UndoArgs};
pub use values::NamedPath;

use crate::config::Flags;

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default())
    .placeholder(styling::AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
First backup:
  export STILLPOINT_REPO=/srv/stillpoint STILLPOINT_KEY_FILE=/root/shop.key
  stillpoint init --new-key-file /root/shop.key
  stillpoint backup --sqlite pos=/var/lib/pos/pos.db
  stillpoint backup --files uploads=/var/lib/pos/uploads

Get something back:
  stillpoint snapshots
  stillpoint ls latest:uploads
  stillpoint restore 2026-11-19T14:00 --target /tmp/shop

SNAP is `latest`, `latest~3`, an id or the beginning of one, a time such as
2026-11-19T14:00, `today 14:00`, `yesterday` or `3 days ago`. `latest` and times
are moments: every part comes from the newest snapshot up to then that holds it.
SNAP:PART/PATH names something inside.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but incomplete, 10 no
repository, 11 in use, 12 wrong key, 13 no space, 14 unreachable, 15 needs an
answer, 20 and 21 status is not safe, 30 check found damage, 130 Ctrl-C, 143 SIGTERM.";

/// Every hour of a small business's application, encrypted, deduplicated, and proven restorable.
#[derive(Debug, Parser)]
#[command(name = "stillpoint", version, about, after_help = EXAMPLES, styles = STYLES)]
#[command(max_term_width = 100, infer_subcommands = false, disable_help_subcommand = false)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the repository is: a folder, s3:BUCKET/PREFIX, gs:, az:, gdrive:FOLDER
    /// [env: STILLPOINT_REPO]
    #[arg(short, long, global = true, value_name = "PLACE")]
    pub repo: Option<PathBuf>,
    /// File that holds the passphrase; - is standard input [env: STILLPOINT_PASSWORD_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Key file that opens the repository [env: STILLPOINT_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// File with the text or the key of a recovery sheet
    #[arg(long, global = true, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// Configuration file [env: STILLPOINT_CONFIG]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for index, run records and temporary files [env: STILLPOINT_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more: causes of errors, every problem
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours [env: STILLPOINT_COLOR]
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<ColorArg>,
    /// Never ask; fail with exit code 15 where an answer is needed
    #[arg(long, global = true)]
    pub no_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a repository
    Init(InitArgs),
    /// Back up now: one snapshot of the sets of the configuration, or of those named here
    Backup(BackupArgs),
    /// List the snapshots
    #[command(visible_alias = "list")]
    Snapshots(SnapshotsArgs),
    /// List what is inside a snapshot: its parts, files, tables
    Ls(LsArgs),
    /// Write one file or one database image to standard output
    Dump(DumpArgs),
    /// Show what is stored and what was saved, per snapshot and in all
    Stats,
    /// Show what differs between two snapshots
    Diff(DiffArgs),
    /// Ask a past database in SQL, without restoring it
    Sql(SqlArgs),
    /// List the tables of a past database
    Tables(TablesArgs),
    /// Print the schema of a past database
    Schema(SchemaArgs),
    /// Show every version of one row, over all snapshots
    History(HistoryArgs),
    /// Find every version of a file by its name, over all snapshots
    Find(FindArgs),
    /// Show which tables and folders made the repository grow
    Growth(GrowthArgs),
    /// Show snapshots as a folder that any program can open
    #[cfg(feature = "mount")]
    Mount(MountArgs),
    /// Bring a snapshot or a moment back into a folder
    Restore(RestoreArgs),
    /// Take the last restore in place back
    Undo(UndoArgs),
    /// Forget snapshots, by name or by rules; shows what stays and why
    Forget(ForgetArgs),
    /// Take snapshots out of the trash
    Undelete(UndeleteArgs),
    /// Keep a snapshot, whatever the rules say
    Pin(PinArgs),
    /// Take the pins of a snapshot away
    Unpin(UnpinArgs),
    /// List what was brought out of the repository: who, from what, to where
    Restores(RestoresArgs),
    /// Run a command, such as a migration, and take back what it did if it fails
    Guard(GuardArgs),
    /// Prove that a restore works, into a scratch folder
    Drill(DrillArgs),
    /// Say in one sentence whether everything is safe; exit code 20 or 21 if not
    Status,
    /// Verify the repository; exit code 30 if anything is damaged
    Check(CheckArgs),
    /// Remove what no snapshot needs, beside backups that go on
    Prune(PruneArgs),
    /// Make a damaged repository whole again, as far as possible: first a plan, then the work
    Repair(RepairArgs),
    /// Build the local index again from the repository
    RebuildIndex,
    /// Make one ZIP file of a snapshot, which anybody can open with common tools
    Export(ExportArgs),
    /// Make a snapshot of an export
    Import(ImportArgs),
    /// Who can open the repository: passphrases, key files, recovery sheets
    Key(KeyArgs),
    /// Second places of the repository: Google Drive, S3, another disk
    Mirror(MirrorArgs),
    /// List the runs of this machine, failed and interrupted ones too
    Runs(RunsArgs),
    /// Find out whether everything is in place for the next backup
    Doctor,
    /// Write the decrypted content of one object to standard output
    Cat(ObjectArgs),
    /// Show the fields of one object
    Debug(DebugArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print the manual page of stillpoint, or of one command
    Man(ManArgs),
    /// Print the version, and those of what it is built on
    Version,
    /// Read a live database; for our own use
    #[command(hide = true)]
    CaptureChild,
    /// Ask SQLite whether a database is sound; for our own use
    #[command(hide = true)]
    CheckChild(CheckChildArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Give --password-file FILE, --new-key-file FILE, or both; without either you \
                        are asked for a passphrase. Each of them opens the repository alone."
)]
pub struct InitArgs {
    /// Write a new key file here, which opens the repository without a passphrase
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// Keep parity of so much of every pack, 1% to 100%: flipped bytes and lost packs within it
    /// come back
    #[arg(long, value_name = "PERCENT", value_parser = values::percent())]
    pub parity: Option<u8>,
}

#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Show all; a terminal otherwise shows the newest 20
    #[arg(short, long)]
    pub all: bool,
    /// Show those in the trash instead
    #[arg(long)]
    pub forgotten: bool,
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// SNAP, SNAP:PART or SNAP:PART/PATH
    #[arg(value_name = "SNAP[:PATH]")]
    pub snap: OsString,
    /// Show what is in the folders below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
pub struct DumpArgs {
    /// SNAP:PART/PATH for a file, SNAP:PART for a database
    #[arg(value_name = "SNAP:PART[/PATH]")]
    pub snap: OsString,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Show the log of one run
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Show all; a terminal otherwise shows the newest 20
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Names are those of the repository folder, such as snapshots/8f21 or \
                        descriptor/00000001.1; ids may be shortened. chunks/ID is a chunk.")]
pub struct ObjectArgs {
    /// Name of the object
    #[arg(value_name = "FOLDER/NAME")]
    pub object: String,
}

#[derive(Debug, Args)]
pub struct DebugArgs {
    #[command(flatten)]
    pub object: ObjectArgs,
    /// What a chunk is used as; chunks do not say so themselves
    #[arg(long = "as", value_name = "USE")]
    pub chunk_use: Option<ChunkUseArg>,
    /// Page size of the database, for --as pages
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub page_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChunkUseArg {
    Node,
    Ids,
    PageMap,
    Pages,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command
    pub command: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckChildArgs {
    /// `quick` or `integrity`
    pub depth: String,
    /// The database file
    pub database: PathBuf,
}

impl Global {
    /// What goes above environment and configuration file.
    pub fn flags(&self) -> Flags {
        Flags {
            repo: self.repo.clone(),
            password_file: self.password_file.clone(),
            key_file: self.key_file.clone(),
            recovery_file: self.recovery_file.clone(),
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
        }
    }
}

impl Command {
    /// The name that people type.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Backup(_) => "backup",
            Self::Snapshots(_) => "snapshots",
            Self::Ls(_) => "ls",
            Self::Dump(_) => "dump",
            Self::Stats => "stats",
            Self::Diff(_) => "diff",
            Self::Sql(_) => "sql",
            Self::Tables(_) => "tables",
            Self::Schema(_) => "schema",
            Self::History(_) => "history",
            Self::Find(_) => "find",
            Self::Growth(_) => "growth",
            #[cfg(feature = "mount")]
            Self::Mount(_) => "mount",
            Self::Restore(_) => "restore",
            Self::Undo(_) => "undo",
            Self::Forget(_) => "forget",
            Self::Undelete(_) => "undelete",
            Self::Pin(_) => "pin",
            Self::Unpin(_) => "unpin",
            Self::Restores(_) => "restores",
            Self::Guard(_) => "guard",
            Self::Drill(_) => "drill",
            Self::Status => "status",
            Self::Check(_) => "check",
            Self::Prune(_) => "prune",
            Self::Repair(_) => "repair",
            Self::RebuildIndex => "rebuild-index",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Key(_) => "key",
            Self::Mirror(_) => "mirror",
            Self::Runs(_) => "runs",
            Self::Doctor => "doctor",
            Self::Cat(_) => "cat",
            Self::Debug(_) => "debug",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Version => "version",
            Self::CaptureChild => "capture-child",
            Self::CheckChild(_) => "check-child",
        }
    }

    /// Whether it takes its time and tells how it goes; its JSON is one line for each event.
    pub const fn is_long(&self) -> bool {
        if let Self::Key(args) = self {
            return args.command.is_long();
        }
        if let Self::Mirror(args) = self {
            return args.command.is_long();
        }
        matches!(
            self,
            Self::Init(_)
                | Self::Backup(_)
                | Self::Restore(_)
                | Self::Undo(_)
                | Self::Forget(_)
                | Self::Undelete(_)
                | Self::Pin(_)
                | Self::Unpin(_)
                | Self::Export(_)
                | Self::Import(_)
                | Self::Guard(_)
                | Self::Drill(_)
                | Self::Check(_)
                | Self::Prune(_)
                | Self::Repair(_)
                | Self::RebuildIndex
        )
    }

    /// Whether it was asked for JSON by a flag of its own.
    pub const fn wants_json(&self) -> bool {
        matches!(self, Self::Diff(DiffArgs { format: DiffFormatArg::Json, .. }))
    }

    /// Whether its standard output is a file's or an object's own bytes.
    pub const fn is_raw(&self) -> bool {
        matches!(
            self,
            Self::Dump(_)
                | Self::Cat(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::CaptureChild
                | Self::CheckChild(_)
        )
    }
}

#[cfg(test)]
mod tests;
