//! Where objects live: the contract every backend keeps. Spec: `format-spec/10-ids.md`,
//! `format-spec/70-write-order.md`.
//!
//! A backend stores immutable byte strings under names and knows nothing of what is in them.

pub mod conformance;
pub mod gdrive;
pub mod layer;
pub mod local;
pub mod memory;
pub mod name;
mod set_up;
pub mod store;

use std::{fmt, ops::Range, time::Duration};

pub use name::{Folder, ObjectName};
pub use set_up::SetUp;

use crate::limits::PACK_BYTES_MAX;

/// How often one name is set aside; it takes as many damages.
const QUARANTINE_TURNS_MAX: u32 = 1000;

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

    /// As [`get_range`](Self::get_range), in place of what is in the buffer; where that saves
    /// something, its memory is used again.
    fn read_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), Error> {
        *into = self.get_range(name, range)?;
        Ok(())
    }

    /// Returns the object's size in bytes.
    fn size(&self, name: &ObjectName) -> Result<u64, Error>;

    /// Lists all objects of one folder, in no particular order.
    ///
    /// Foreign names are in [`Listing::foreign`]. An object that was cut to nothing is listed with
    /// 0 bytes: that it was there matters, though reading it is [`Error::Missing`].
    fn list(&self, folder: Folder) -> Result<Listing, Error>;

    /// Removes the object, durable on return; absent already is success.
    fn delete(&self, name: &ObjectName) -> Result<(), Error>;

    /// Removes several objects, in no particular order; all durable on return. After an error any
    /// of them may be gone.
    fn delete_all(&self, names: &[ObjectName]) -> Result<(), Error> {
        names.iter().try_for_each(|name| self.delete(name))
    }

    /// Moves an object to `quarantine/`, durable on return, and returns its name there. Nothing if
    /// it was absent, or had no byte that could be kept. May be repeated after any error.
    ///
    /// A step between leaves the object under both names.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is larger than any object may be; it is where it was then.
    fn set_aside(&self, name: &ObjectName) -> Result<Option<ObjectName>, Error> {
        set_aside_by_copying(self, name)
    }

    /// Puts the right bytes in the place of damaged ones, which move to `quarantine/`; durable on
    /// return. Returns their name there. May be repeated after any error.
    ///
    /// The bytes must be those that the object always had: no name ever stands for something else.
    /// Where the place can do it in one step, a reader finds the one or the other at any moment.
    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<Option<ObjectName>, Error> {
        let aside = self.set_aside(name)?;
        self.put_new(name, &[bytes])?;
        Ok(aside)
    }

    /// Free space in bytes, where the backend can tell.
    fn free_bytes(&self) -> Result<Option<u64>, Error>;

    /// Where this is, for messages to people.
    fn place(&self) -> String;

    /// What it promises beyond the contract.
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    /// Creates the object as [`put_new`](Backend::put_new) does, and returns what the place calls
    /// it. On return it was compared with the pieces, by its size and the checksums of the place.
    ///
    /// # Errors
    /// Also [`Error::NotAsSent`]: nothing is left under the name then, and it may be tried again.
    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.put_new(name, pieces)?;
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Ok(Receipt { remote_id: name.to_string(), bytes })
    }

    /// Compares a stored object with these pieces at the least cost that is proof: by a checksum
    /// that the place took of it, or by reading it back.
    ///
    /// # Errors
    /// [`Error::NotAsSent`] if it differs; [`Error::Missing`] if it is not there.
    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        verify_by_reading(self, name, pieces)
    }

    /// What was read of this object did not open: whoever remembers it is to forget it, so that the
    /// next read asks the place again.
    fn distrust(&self, _name: &ObjectName) {}

    /// Lists everything at once: where requests are dear, in fewer of them.
    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        Folder::ALL.into_iter().map(|folder| Ok((folder, self.list(folder)?))).collect()
    }

    /// Proves a new place: writes something of its own that no listing shows, reads it back,
    /// compares, deletes it, and finds out what the place is capable of.
    ///
    /// # Errors
    /// [`Error::Unproven`] if what came back is not what was sent.
    fn prove(&self) -> Result<Capabilities, Error> {
        Ok(self.capabilities())
    }
}

/// Copies an object to `quarantine/` and deletes it.
pub fn set_aside_by_copying<B: Backend + ?Sized>(
    backend: &B,
    name: &ObjectName,
) -> Result<Option<ObjectName>, Error> {
    let bytes = match backend.get(name, PACK_BYTES_MAX) {
        Err(Error::Missing { .. }) => return backend.delete(name).map(|()| None),
        other => other?,
    };
    for aside in quarantine_names(name) {
        match backend.put_new(&aside, &[&bytes]) {
            // From an attempt that did not come to deleting.
            Err(Error::Exists { .. }) if holds(backend, &aside, &bytes)? => {}
            Err(Error::Exists { .. }) => continue,
            other => other?,
        }
        backend.delete(name)?;
        return Ok(Some(aside));
    }
    Err(Error::Exists { name: name.clone(), place: backend.place() })
}

/// The names that an object may get in `quarantine/`, in the order in which they are tried.
pub fn quarantine_names(name: &ObjectName) -> impl Iterator<Item = ObjectName> {
    let former = Box::new(name.clone());
    (1..=QUARANTINE_TURNS_MAX)
        .map(move |turn| ObjectName::Quarantined { former: former.clone(), turn })
}

/// Whether the object is these bytes.
fn holds<B: Backend + ?Sized>(backend: &B, name: &ObjectName, bytes: &[u8]) -> Result<bool, Error> {
    match backend.get(name, bytes.len() as u64) {
        Ok(found) => Ok(found == bytes),
        Err(Error::OutOfRange { .. } | Error::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a backend promises beyond the contract; the layers above rely on nothing that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Of many writers of one name one wins. Without it two may both believe so; since names are
    /// random, only a writer that repeats its own write can meet this.
    pub conditional_create: bool,
    /// A listing shows every object that any writer was told is durable. Without it, what this
    /// process wrote is listed all the same, and other writers' objects some time later.
    pub strong_listing: bool,
    /// Calls are requests over a network: worth remembering, joining and overlapping.
    pub is_remote: bool,
}

impl Capabilities {
    /// Of a folder of this machine.
    pub const LOCAL: Self =
        Self { conditional_create: true, strong_listing: true, is_remote: false };
}

/// An object that the place has and that was compared with what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the place calls it: an entity tag, a file id.
    pub remote_id: String,
    pub bytes: u64,
}

/// Reads the object and compares it with the pieces.
pub fn verify_by_reading<B: Backend + ?Sized>(
    backend: &B,
    name: &ObjectName,
    pieces: &[&[u8]],
) -> Result<Receipt, Error> {
    let differs = |why: &str| Error::NotAsSent {
        name: name.clone(),
        place: backend.place(),
        why: why.to_owned(),
    };
    let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let stored = match backend.get(name, bytes) {
        Err(Error::OutOfRange { .. }) => return Err(differs("it is longer")),
        other => other?,
    };
    if stored.len() as u64 != bytes {
        return Err(differs("it is shorter"));
    }
    let mut rest = stored.as_slice();
    for piece in pieces {
        let (head, tail) = rest.split_at(piece.len());
        if head != *piece {
            return Err(differs("its content differs"));
        }
        rest = tail;
    }
    Ok(Receipt { remote_id: name.to_string(), bytes })
}

/// A complete listing of one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub objects: Vec<Listed>,
    /// Names that are none of ours.
    pub foreign: Vec<String>,
    /// Objects that someone moved to the trash: not there, but they can be brought back.
    pub trashed: Vec<ObjectName>,
    /// Objects, listed once, that the place has more than once; any of them will do.
    pub duplicates: Vec<ObjectName>,
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
    /// The account must be signed in again; settings and uploads that were begun are kept.
    #[error("{place} does not accept the sign-in: {why}")]
    SignIn { place: String, why: String },
    /// The account has no room left.
    #[error("the account of {place} is full: {why}")]
    QuotaFull { place: String, why: String },
    /// Too many requests, or too many bytes a day.
    #[error("{place} takes no more requests for now")]
    RateLimited { place: String, retry_after: Option<Duration> },
    /// The account is known, but this it may not.
    #[error("{place} does not allow to {action} {what}: {why}")]
    Refused { action: &'static str, what: String, place: String, why: String },
    /// No such bucket, folder or account; or one that this client cannot see.
    #[error("{place} is not there: {why}")]
    WrongPlace { place: String, why: String },
    /// Our clock and theirs are too far apart for signatures to be believed.
    #[error("{place} refuses the time of this machine: {why}")]
    ClockSkew { place: String, why: String },
    /// An answer that cannot be understood, or that was cut.
    #[error("{place} answers what makes no sense: {why}")]
    BadAnswer { place: String, why: String },
    /// What is stored is not what was sent.
    #[error("{place} did not store {name} as it was sent: {why}")]
    NotAsSent { name: ObjectName, place: String, why: String },
    /// Sign-in, client or account are not as they must be; a person has to put it right.
    #[error("{place} cannot be used like this: {why}")]
    SetUp { place: String, why: SetUp },
    /// A limit that hours lift, not seconds.
    #[error("{place} lets us do no more for some hours: {why}")]
    Paused { place: String, why: String },
    /// Another program of this machine writes there.
    #[error("another program is writing to {place}")]
    InUse { place: String },
    /// A new place did not give back what was written for a test.
    #[error("{place} did not pass the test: {why}")]
    Unproven { place: String, why: String },
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Io { .. }
                | Self::Unreachable { .. }
                | Self::RateLimited { .. }
                | Self::BadAnswer { .. }
                | Self::NotAsSent { .. }
        )
    }

    /// Whether the place as a whole does not do what it is asked: nothing can be said of the object
    /// then, it may be there and whole.
    pub const fn is_of_the_place(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::SignIn { .. }
                | Self::QuotaFull { .. }
                | Self::RateLimited { .. }
                | Self::Refused { .. }
                | Self::WrongPlace { .. }
                | Self::ClockSkew { .. }
                | Self::BadAnswer { .. }
                | Self::Unproven { .. }
                | Self::SetUp { .. }
                | Self::Paused { .. }
                | Self::InUse { .. }
        )
    }

    /// How long the other side asks us to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
