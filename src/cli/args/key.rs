//! Arguments of `key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the passphrases, key files and recovery sheets that open the repository
    List,
    /// Add a passphrase or a key file
    #[command(after_help = "Without --new-password-file and --new-key-file you are asked for a \
                            new passphrase.")]
    Add(KeyNewArgs),
    /// Shut a passphrase, key file or recovery sheet out
    Remove(KeyRemoveArgs),
    /// Put a new passphrase or key file in the place of the one used now
    #[command(after_help = "Without --new-password-file and --new-key-file you are asked for a \
                            new passphrase.")]
    Change(KeyNewArgs),
    /// Seal everything from now on under a new key
    Rotate(KeyRotateArgs),
    /// Make a sheet of paper that opens the repository without any passphrase
    Recovery(KeyRecoveryArgs),
}

#[derive(Debug, Args)]
pub struct KeyNewArgs {
    /// File that holds the new passphrase; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
    pub new_password_file: Option<PathBuf>,
    /// Write a new key file here, or use the one that is there
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// What `key list` calls it, up to 16 bytes
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
}

#[derive(Debug, Args)]
pub struct KeyRemoveArgs {
    /// Its label, or the beginning of its id, as `key list` shows them
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Do not ask, even if it is the one used now
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct KeyRotateArgs {
    /// Seal what is there already under the new key too: reads and writes all packs
    #[arg(long)]
    pub reseal: bool,
    /// Go on with a re-sealing that was interrupted; no further key is made
    #[arg(long, conflicts_with = "reseal")]
    pub resume: bool,
}

#[derive(Debug, Args)]
pub struct KeyRecoveryArgs {
    /// Write the sheet into this file, which must not exist yet
    #[arg(short, long, value_name = "FILE", conflicts_with = "verify")]
    pub output: Option<PathBuf>,
    /// Type the sheet in again, to be sure that it opens the repository
    #[arg(long)]
    pub verify: bool,
}

impl KeyCommand {
    /// Whether it leaves a record.
    pub const fn is_long(&self) -> bool {
        !matches!(self, Self::List)
    }
}
