//! Where objects live: the contract every backend keeps. Spec: `format-spec/10-ids.md`,
//! `format-spec/70-write-order.md`.
//!
//! A backend stores immutable byte strings under names and knows nothing of what is in them.

#[cfg(test)]
pub mod conformance;
pub mod layer;
pub mod local;
pub mod memory;
pub mod name;

use std::{fmt, ops::Range};

pub use name::{Folder, ObjectName};

/// A store of immutable objects.
///
/// Promises: what [`put_new`](Backend::put_new) reported is complete and durable, and every later
/// listing shows it. A listing is complete or an error, never partial: "could not list" and
/// "nothing there" are different values. An object has at least one byte; a name without content
/// was destroyed, counts as absent to every read, and is listed as foreign.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Creates the object from the pieces in order, durable on return.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is taken, whatever it holds; nothing was written then. After
    /// any other error the object is absent or complete, and the name must not be used for other
    /// content.
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error>;

    /// Returns the whole object.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is longer than `bytes_max`.
    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error>;

    /// Returns exactly the range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the object is shorter.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error>;

    /// Returns the object's size in bytes.
    fn size(&self, name: &ObjectName) -> Result<u64, Error>;

    /// Lists all objects of one folder, in no particular order.
    ///
    /// Foreign names are in [`Listing::foreign`]. An object that was cut to nothing is listed with
    /// 0 bytes: that it was there matters, though reading it is [`Error::Missing`].
    fn list(&self, folder: Folder) -> Result<Listing, Error>;

    /// Removes the object, durable on return; absent already is success.
    fn delete(&self, name: &ObjectName) -> Result<(), Error>;

    /// Free space in bytes, where the backend can tell.
    fn free_bytes(&self) -> Result<Option<u64>, Error>;

    /// Where this is, for messages to people.
    fn place(&self) -> String;
}

/// A complete listing of one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub objects: Vec<Listed>,
    /// Names that are none of ours.
    pub foreign: Vec<String>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: ObjectName,
    pub bytes: u64,
}

/// What can go wrong between us and the objects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{name} is missing from {place}")]
    Missing { name: ObjectName, place: String },
    #[error("{name} already exists in {place}")]
    Exists { name: ObjectName, place: String },
    #[error("{name} has {bytes} bytes, {wanted} were asked for")]
    OutOfRange { name: ObjectName, bytes: u64, wanted: u64 },
    #[error("no space left in {place}")]
    NoSpace {
        place: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {action} {what} in {place}")]
    Io {
        action: &'static str,
        what: String,
        place: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{place} cannot be reached")]
    Unreachable {
        place: String,
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unreachable { .. })
    }
}
