//! Why a live restore refused, or was taken back.

use std::path::PathBuf;

use crate::{ops, sink::sqlite};

/// What keeps a live restore from being done. Where something was changed before it, all of it was
/// taken back, unless [`Error::Unfinished`] says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{part} does not say where it came from")]
    NoPlace { part: String },
    #[error("{part} cannot be planned ({count} problems, the first: {first})")]
    Unplannable { part: String, count: usize, first: String },
    #[error("{part}: {what} is {saved} in the snapshot, newer than the installed {installed}")]
    Newer { part: String, what: &'static str, saved: String, installed: String },
    #[error("the hook {hook} failed: {why}")]
    Hook { hook: &'static str, why: String },
    #[error("{} is in use by {by}", path.display())]
    InUse { path: PathBuf, by: String },
    #[error("{unseen} processes cannot be looked into, any of which may have the database open")]
    CannotSee { unseen: usize },
    #[error("{} changed after the safety snapshot", path.display())]
    Changed { path: PathBuf },
    #[error("the safety snapshot does not hold {what}")]
    NotSaved { what: String },
    #[error("{table} cannot keep its rows: {why}")]
    NotKept { table: String, why: String },
    #[error("cannot look at the database of {part}")]
    Database {
        part: String,
        #[source]
        source: sqlite::Error,
    },
    #[error("cannot stage {}: {why}", path.display())]
    NotStaged { path: PathBuf, why: String },
    #[error("{place} is not as it should be after the restore: {why}")]
    NotVerified { place: String, why: String },
    /// All is as it was before.
    #[error("the restore was taken back")]
    TakenBack(#[source] Box<ops::Error>),
    /// Neither finished nor taken back; the next command tries again.
    #[error("a restore in place was interrupted and cannot be taken back yet: {why}")]
    Unfinished { why: String },
    #[error("there is no restore in place to undo")]
    NothingToUndo,
    #[error("the safety snapshot {snapshot} is gone")]
    SafetyGone { snapshot: String },
}
