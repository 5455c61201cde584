//! Folders of files: from disk to chunks. Spec: `format-spec/40-folder.md`.
//!
//! The walk is parallel, in the order of the names, and never follows a link: all is opened
//! relative to the folder above. A file that looks as it did in the parent snapshot is not read.
//! What cannot be read is a [`Problem`] of the part; the rest is saved. SQLite databases found on
//! the way are left to a [`CaptureDatabase`].

mod backup;
mod extents;
mod failure;
mod file;
mod filter;
mod folder;
mod linked;
mod measure;
mod names;
mod node;
mod older;
pub mod read_disk;
mod reading;
pub mod real_disk;
mod roots;
mod sqlite;
mod tally;
mod unchanged;
mod walk;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

pub use backup::back_up_tree;
pub use measure::{Measured, measure};
pub use real_disk::RealReadDisk;
pub use walk::entry_of;

use crate::{
    chunk::{self, Fetch, Store},
    clock::UnixNanos,
    crypto::keys::Keys,
    format::{
        image::Image,
        node::Entry,
        record::{Problem, Totals},
    },
    source::files::read_disk::ReadDisk,
};

/// Which files and folders are saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Absolute; at least one. Links in them are followed, since a person named them.
    pub paths: Vec<PathBuf>,
    /// Patterns in the manner of `.gitignore`, relative to the root folder.
    pub exclude: Vec<String>,
    /// A folder below the paths that holds one of these names is left out.
    pub exclude_if_present: Vec<OsString>,
    pub mounts: Mounts,
    /// Our own repository and state folders: never saved, wherever they lie.
    pub own: Vec<PathBuf>,
}

/// What to do with other file systems below a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mounts {
    #[default]
    Enter,
    /// Stay on the file system of the path itself; a mount point is saved as an empty folder.
    Skip,
}

/// The same part in the parent snapshot. Leave it out to have every file read.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    pub root: &'a Entry,
    /// When the parent's captures began; what changed less than two seconds before is read again.
    pub began: UnixNanos,
    /// Files in it, to notice a source that has become empty.
    pub files: u64,
}

/// What a backup of a tree works with.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub disk: &'a dyn ReadDisk,
    /// Decide where files and nodes are cut.
    pub keys: &'a Keys,
    /// Reads the parent's nodes.
    pub fetch: &'a dyn Fetch,
    pub databases: &'a dyn CaptureDatabase,
    /// Once set, the backup ends with [`Error::Stopped`].
    pub stop: &'a AtomicBool,
    pub observe: &'a (dyn Fn(Event<'_>) + Sync),
}

/// Ways into the store. Nodes have one of their own, so that a run without changes reads few blobs.
#[derive(Debug)]
pub struct Lanes<'a, L> {
    /// One thread works on each; at least one.
    pub files: &'a mut [L],
    pub nodes: &'a mut L,
}

/// A tree in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTree {
    pub root: Entry,
    /// The folder that the root stands for.
    pub path: PathBuf,
    /// `bytes_new` is left to the writer, who knows what was there.
    pub totals: Totals,
    /// The first thousand.
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    /// The first thousand entries of the parent that are gone, by their path below the root.
    pub gone: Vec<Vec<u8>>,
    pub gone_count: u64,
}

/// What a backup of a tree tells, from any thread.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A folder was listed and its entries come next. Paths are relative to the root.
    Folder { path: &'a [u8] },
    /// An entry is done. `bytes` is its plain size, read or not.
    Entry {
        path: &'a [u8],
        bytes: u64,
        /// User and group.
        owner: (u32, u32),
    },
    /// Something could not be saved, or only in part.
    Problem(&'a Problem),
    /// The parent's node cannot be read: everything in this folder is read again.
    ParentUnreadable { path: &'a [u8], error: &'a str },
    /// Nothing is left where the parent had files.
    Emptied { files_before: u64 },
}

/// Takes a live SQLite database that lies among the files.
///
/// The walk calls it from the threads of its own pool, with that thread's lane: it must not use
/// rayon, whose work stealing could enter the same lane again.
pub trait CaptureDatabase: Sync {
    /// Captures the database as a consistent image and stores it.
    fn capture(
        &self,
        found: &FoundDatabase<'_>,
        store: &mut dyn Store,
    ) -> Result<CapturedDatabase, CaptureError>;
}

/// A database among the files. It is closed again; nobody in this process may have it open through
/// SQLite.
#[derive(Debug, Clone, Copy)]
pub struct FoundDatabase<'a> {
    /// Absolute.
    pub path: &'a Path,
    /// What the parent snapshot holds under this name.
    pub older: Option<&'a Image>,
}

/// A database in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct CapturedDatabase {
    pub image: Image,
    /// It is saved, but something is wrong with it.
    pub problem: Option<String>,
    pub bytes_read: u64,
}

/// Why a database was not captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The run is over.
    #[error(transparent)]
    Store(#[from] chunk::Error),
    /// This database is not in the snapshot; the run goes on.
    #[error("{message}")]
    Failed { code: String, message: String },
}

/// Why no tree was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(chunk::Error),
    #[error("pattern {pattern} is not valid: {why}")]
    Pattern { pattern: String, why: String },
    /// None of the source paths can be read.
    #[error("cannot read {}", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no threads can be started: {why}")]
    Threads { why: String },
    #[error("stopped")]
    Stopped,
}
