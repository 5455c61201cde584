//! Live SQLite databases: recognised, judged unchanged by `stat`, captured through SQLite itself.
//! Spec: `format-spec/50-page-map.md`.
//!
//! A capture runs in a child process, as the owner of the file, and hands up a consistent image:
//! the pages that changed, the hashes of all, and what SQLite says of the schema. This process
//! never opens a database through SQLite, so it may read a file's first bytes to recognise it:
//! closing a file drops every lock that its process holds on it, SQLite's included. Nothing here
//! parses a `-wal`, copies a file beside a live writer, or blocks a writer in WAL mode.
//!
//! One capture: [`Sighting::take`], [`Sighting::is_unchanged_since`], [`Capture::start`],
//! [`go_together`], [`Capture::finish`]; after the commit [`PageHashes::save`].

mod backup;
mod capture;
mod child;
mod facts;
pub mod header;
mod occupants;
mod open;
mod page_hashes;
mod protocol;
mod reading;
mod record;
mod sighting;
mod spool;

use std::{io, path::PathBuf, time::Duration};

pub use capture::{Capture, CaptureProgram, CaptureSetup, Captured, Limits, go_together};
pub use child::run_child;
pub use header::{HEADER_BYTES, is_database};
pub use occupants::{ExclusiveLocks, FileNumber, numbers_of, occupants};
pub(crate) use open::immutable_uri;
pub use page_hashes::{ListName, PageHashes, RebuildError};
pub use sighting::{COMPANIONS, Sighting, companion, is_overlaid};
pub use spool::Spool;

/// Why a database was not captured. None of them harms the database or other parts of the run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is encrypted, or not a SQLite database", path.display())]
    NotADatabase { path: PathBuf },
    #[error(
        "{} was locked by another process for more than {} s",
        path.display(),
        waited.as_secs()
    )]
    Locked { path: PathBuf, waited: Duration },
    /// Without a write-ahead log, reading keeps others from writing.
    #[error(
        "reading {} would keep its application from writing for more than {} s; write-ahead \
         logging (`PRAGMA journal_mode=WAL`) avoids this",
        path.display(),
        held.as_secs()
    )]
    HeldTooLong { path: PathBuf, held: Duration },
    #[error("SQLite cannot open {}: {why}", path.display())]
    NoAccess { path: PathBuf, why: String },
    #[error("SQLite cannot read {}: {why}", path.display())]
    Sqlite { path: PathBuf, why: String },
    /// What was captured could not be kept until it is stored.
    #[error("cannot {action} the temporary copy of {}", path.display())]
    Spool {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the capture of {} ended without a result: {why}", path.display())]
    ChildDied { path: PathBuf, why: String },
    #[error("SQLite {version} may corrupt databases in WAL mode; 3.51.3 or later is needed")]
    SqliteTooOld { version: String },
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// A short name for records and programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::NotADatabase { .. } => "not-a-database",
            Self::Locked { .. } => "locked",
            Self::HeldTooLong { .. } => "held-too-long",
            Self::NoAccess { .. } => "no-access",
            Self::Sqlite { .. } => "sqlite",
            Self::Spool { .. } => "spool",
            Self::ChildDied { .. } => "capture-died",
            Self::SqliteTooOld { .. } => "sqlite-too-old",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests;
