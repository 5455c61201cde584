//! Folders of files: from chunks back to disk. Spec: `format-spec/40-folder.md`.
//!
//! Whatever a repository says, nothing outside the destination is touched: every step is relative
//! to an open folder that was opened without following links. No byte is written before its chunk
//! was verified. A file that replaces another gets its name when it is complete; new files are
//! written in place while a marker beside the destination says that the restore has not finished.
//! What cannot be restored is listed; the rest is restored.

mod choice;
mod content;
mod extra;
mod failure;
mod file;
mod folder;
mod linked;
mod metadata;
mod other;
mod owners;
mod restore;
mod stage;
mod tally;
mod target;
mod verdict;

use std::{ffi::OsStr, sync::atomic::AtomicBool};

pub use choice::{Choice, Chooser};
pub use owners::OwnerMap;
pub use restore::{plan_tree, restore_tree};
pub use stage::{StageError, Stager};
pub(super) use target::marker_name as unfinished_name;

use crate::{
    chunk::Fetch,
    disk::{Dir, Disk},
    format::{image::Image, node::Entry, record::Problem},
};

/// Where a tree is restored: below `parent`, as the folder `name`. Only that folder and the marker
/// beside it change.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    pub parent: &'a Dir,
    pub name: &'a OsStr,
}

/// What a restore may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub overwrite: Overwrite,
    pub extra: Extra,
    pub owners: Owners,
    /// Owners by name, where they have another number here.
    pub owner_map: OwnerMap,
    /// Patterns in the manner of `.gitignore`; none means all.
    pub include: Vec<String>,
    /// Patterns in the manner of `.gitignore`; they win over `include`.
    pub exclude: Vec<String>,
    /// More entries than the record claims are refused, so that a hostile tree ends. `None`: no
    /// bound.
    pub entries_max: Option<u64>,
    /// Threads; 0 for one per processor.
    pub threads: usize,
}

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// They stay.
    Never,
    /// Those that differ in size or time, and then in content, are replaced.
    #[default]
    Changed,
    /// All are replaced.
    Always,
}

/// What becomes of entries that the snapshot does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Extra {
    #[default]
    Keep,
    /// Removed, apart from these paths below the root: those the snapshot lacks because they could
    /// not be read.
    Delete { except: Vec<Vec<u8>> },
}

/// Whether owners are restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owners {
    /// All belongs to us; set-user and set-group bits are dropped, devices are not made.
    #[default]
    Ours,
    /// For root only.
    Restored,
}

/// What a restore of a tree works with.
#[derive(Clone, Copy)]
pub struct Sink<'a> {
    pub disk: &'a dyn Disk,
    pub fetch: &'a dyn Fetch,
    pub databases: &'a dyn RestoreDatabase,
    /// Once set, the restore ends with [`Error::Stopped`]; the marker stays.
    pub stop: &'a AtomicBool,
    pub observe: &'a (dyn Fn(Event<'_>) + Sync),
}

/// Writes a database image that lies among the files.
pub trait RestoreDatabase: Sync {
    /// Writes the image as a new file, verifies it, and gives it its name. Returns its bytes, or
    /// what went wrong.
    fn restore(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<u64, RestoreDatabaseError>;
}

/// Why a database was not restored.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RestoreDatabaseError {
    pub code: String,
    pub message: String,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Written or replaced.
    pub files: u64,
    /// Already as they were in the snapshot, or left alone by [`Overwrite::Never`].
    pub kept: u64,
    pub folders: u64,
    /// Links, hard links and special files.
    pub others: u64,
    pub deleted: u64,
    pub bytes_written: u64,
    /// Sockets, which only their program can make.
    pub sockets_skipped: u64,
    /// The first thousand entries that could not be restored, or not wholly.
    pub problems: Vec<Problem>,
    pub problem_count: u64,
}

/// What a restore of a tree tells, from any thread.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An entry is done. `bytes` is its plain size, written or not.
    Entry {
        path: &'a [u8],
        bytes: u64,
    },
    Problem(&'a Problem),
    /// What [`restore_tree`] would do to one entry; told by [`plan_tree`] only.
    Would(Change<'a>),
    /// All is written; the disk is told to make it durable.
    Sync,
}

/// A change to one path below the root. What is not told of stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// Empty for the root itself.
    pub path: &'a [u8],
    pub kind: ChangeKind<'a>,
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind<'a> {
    /// The entry, which is no folder, is written, in place of anything that is there.
    Write(&'a Entry),
    /// The content is right; mode, owner or time are set.
    Mend(&'a Entry),
    /// The folder is made, in place of anything else that is there.
    MakeFolder(&'a Entry),
    /// The snapshot does not hold it.
    Delete,
}

/// Why a restore ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("pattern {pattern} is not valid: {why}")]
    Pattern { pattern: String, why: String },
    #[error("cannot {action} {what}")]
    Io {
        action: &'static str,
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// Files in place may have their size and time, but not their content.
    #[error(
        "an earlier restore to {what} did not finish, so files there may be incomplete; \
         restore once without `--overwrite never`"
    )]
    Unfinished { what: String },
    #[error("the root of the part is no folder")]
    NotAFolder,
    #[error("no threads can be started: {why}")]
    Threads { why: String },
    #[error("the tree has more than the {entries_max} entries that its record claims")]
    TooManyEntries { entries_max: u64 },
    #[error("stopped")]
    Stopped,
}
