//! Arguments of `mirror`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct MirrorArgs {
    #[command(subcommand)]
    pub command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
pub enum MirrorCommand {
    /// Add a second place, test it, and write it into the configuration
    Add(Box<MirrorAddArgs>),
    /// Sign in to a mirror, or sign in again; settings are kept
    Login(MirrorLoginArgs),
    /// List the mirrors of the configuration
    List,
    /// Test a mirror: write something there, read it back, compare, delete it
    Test(MirrorName),
    /// Show where each snapshot is complete, and what still waits
    Status(MirrorStatusArgs),
    /// Take a mirror out of the configuration; what is there stays there
    Remove(MirrorName),
    /// Bring a mirror up to date
    Sync(MirrorSyncArgs),
    /// Forget a snapshot on a mirror only
    Forget(MirrorForgetArgs),
    /// Let go on a mirror what its policy does not keep, and free what nothing there needs
    Prune(MirrorPruneArgs),
}

impl MirrorCommand {
    /// Whether it takes its time and tells how it goes.
    pub const fn is_long(&self) -> bool {
        matches!(
            self,
            Self::Add(_) | Self::Login(_) | Self::Test(_) | Self::Sync(_) | Self::Prune(_)
        )
    }
}

#[derive(Debug, Args)]
pub struct MirrorAddArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What kind of place it is
    #[arg(long, value_enum)]
    pub kind: MirrorKindArg,
    /// Folder of this machine, such as a mounted disk
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Bucket, or container of Azure
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// Folder inside the bucket
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Address of a store that is not the provider's own
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Account of Azure
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// File with the keys of the account, as ~/.aws/credentials
    #[arg(long, value_name = "FILE")]
    pub credentials_file: Option<PathBuf>,
    /// Section of that file
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Folder of Google Drive
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
    /// Your own OAuth client of Google
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// File with the secret of that client
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Send no faster than this, such as 2MB/s
    #[arg(long, value_name = "RATE")]
    pub limit_upload: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MirrorKindArg {
    Gdrive,
    S3,
    Gcs,
    Azure,
    Local,
}

impl MirrorKindArg {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gdrive => "gdrive",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::Local => "local",
        }
    }
}

#[derive(Debug, Args)]
pub struct MirrorLoginArgs {
    /// The mirror; or a place such as gdrive:FOLDER?client_secret=FILE, where there is none yet
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print an address to open elsewhere instead of opening a browser
    #[arg(long)]
    pub no_browser: bool,
    /// Show a short code to type on a telephone; needs a client of type "TVs and Limited Input
    /// devices"
    #[arg(long, conflicts_with = "no_browser")]
    pub device: bool,
}

#[derive(Debug, Args)]
pub struct MirrorName {
    /// The mirror
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct MirrorStatusArgs {
    /// The mirror; all if absent
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// List what is there and compare
    #[arg(long)]
    pub verify: bool,
}

#[derive(Debug, Args)]
pub struct MirrorSyncArgs {
    /// The mirror; all if absent
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// List what is there first, compare, and mend both ways
    #[arg(long)]
    pub check: bool,
    /// Compare the content as well: by the checksums of the place, or by reading it
    #[arg(long, requires = "check")]
    pub read_data: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A mirror has a policy of its own: [[mirror]] keep, or retention with a group \
                  each; 10 days of databases, the last 2 of files and 12 months of everything \
                  if nothing is said. It goes by what the mirror itself lists, never by what is \
                  here. What it lets go lies in the trash there for 7 days (trash_days). All this \
                  happens by itself, once a day with a sync."
)]
pub struct MirrorPruneArgs {
    /// The mirror; all if absent
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Show what stays there, why, and what goes; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Let go even if more than half of what stayed the last time goes
    #[arg(long)]
    pub allow_most: bool,
}

#[derive(Debug, Args)]
pub struct MirrorForgetArgs {
    /// The mirror
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Id of the snapshot, or its beginning
    #[arg(value_name = "SNAP")]
    pub snap: String,
}
