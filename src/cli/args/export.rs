//! Arguments of `export` and `import`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "The file opens with common tools; a README.txt in it says how. Get it \
                        back with  stillpoint restore FILE.zip --target DIR.")]
pub struct ExportArgs {
    /// SNAP or SNAP:PART
    #[arg(value_name = "SNAP")]
    pub snap: OsString,
    /// The ZIP file to make, which must not exist yet
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Export only this part; may be repeated
    #[arg(long, value_name = "NAME")]
    pub part: Vec<String>,
    /// Encrypt the content with a passphrase of its own (AES-256); names stay readable
    #[arg(long)]
    pub encrypt: bool,
    /// File that holds the passphrase of the export; - is standard input
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    pub export_password_file: Option<PathBuf>,
    /// Folder with room for twice the largest database, for a while
    #[arg(long, value_name = "DIR")]
    pub temp: Option<PathBuf>,
    /// Refuse to take parts from different snapshots
    #[arg(long)]
    pub exact: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// An export of Stillpoint
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// File that holds the passphrase of the export; - is standard input
    #[arg(long, value_name = "FILE")]
    pub export_password_file: Option<PathBuf>,
    /// Folder with room for everything in the export, for a while
    #[arg(long, value_name = "DIR")]
    pub temp: Option<PathBuf>,
    /// A name for the snapshot
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
}
