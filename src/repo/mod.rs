//! The repository: where format, crypto, chunks, backend and index meet. Spec:
//! `format-spec/70-write-order.md`.
//!
//! One backup, walked through: [`Repository::writer`] loads the [`catalogue`] and starts the
//! threads of a `writer`. Chunks go through lanes into the `packer`, packs to the backend.
//! `commit` publishes. Reading goes the other way: the `reader` locates a chunk in the
//! catalogue, fetches its blob and compares the chunk with its id.
//!
//! Invariants: nothing that exists is ever written to; only `commit` publishes a snapshot; a local
//! index that is wrong in any way is dropped and filled again, and never causes a deletion.

mod affected;
mod bad_blobs;
mod blob_cache;
pub mod catalogue;
pub mod check;
pub mod closure;
mod commit;
pub mod history;
pub mod image;
mod index_object;
mod index_publication;
mod keyring;
mod known_losses;
mod known_tables;
mod last_read;
pub mod marks;
mod object;
mod other_places;
mod pack_check;
mod pack_memory;
mod pack_table;
mod packer;
mod parity;
pub mod prune;
pub mod reach;
mod reader;
pub mod repair;
pub mod snapshots;
mod staged;
mod state;
mod stored_index;
pub mod stream;
mod tombstones;
pub mod tree;
mod windows;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use crate::{
    backend::{self, Backend, ObjectName},
    chunk::{self, Fetch},
    clock::{Clock, Entropy, UnixNanos},
    crypto::{self, keys::Keys, secret::Credential},
    disk::{Dir, Disk},
    format::{self, record::Record},
    id::{ObjectId, RepositoryId, SnapshotId, WriterId},
    index,
};

pub use check::CheckEvent;
use keyring::Opened;
pub use keyring::{SlotEntry, Slots};
pub use known_losses::KnownLosses;
pub use snapshots::Snapshot;
use state::State;
pub use state::{Lock, Taken, WriterState};
pub use writer::{Lane, Progress, Writer};

/// What a repository runs on; the composition root fills it in.
#[derive(Clone)]
pub struct Environment {
    pub backend: Arc<dyn Backend>,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Below it lies one folder per repository id, 0700.
    pub state_root: PathBuf,
    /// Set by a signal; long work stops at the next chunk.
    pub stop: Arc<AtomicBool>,
}

/// An opened repository.
pub struct Repository {
    env: Environment,
    keys: Arc<Keys>,
    state: State,
    opened: Opened,
    catalogue: Mutex<Option<Arc<catalogue::Catalogue>>>,
}

impl Repository {
    /// Creates a repository in a backend that holds none, with one key slot for each credential and
    /// its label.
    pub fn create(env: Environment, credentials: &[(Credential, String)]) -> Result<Self, Error> {
        let opened = keyring::create(&env, credentials, Vec::new())?;
        Self::with_keys(env, opened)
    }

    /// Creates a repository whose packs have parity, from 1 to 100 percent of their size.
    pub fn create_with_parity(
        env: Environment,
        credentials: &[(Credential, String)],
        percent: u8,
    ) -> Result<Self, Error> {
        let opened = keyring::create(&env, credentials, vec![parity::feature(percent)])?;
        Self::with_keys(env, opened)
    }

    /// How much parity packs have here, in percent; nothing if they have none.
    pub fn parity_percent(&self) -> Option<u8> {
        parity::percent(&self.opened.features())
    }

    /// Opens a repository. A wrong credential touches nothing.
    pub fn open(env: Environment, credential: &Credential) -> Result<Self, Error> {
        let opened = keyring::open(env.backend.as_ref(), credential)?;
        Self::with_keys(env, opened)
    }

    fn with_keys(env: Environment, opened: Opened) -> Result<Self, Error> {
        let keys = Arc::new(opened.keys.clone());
        let state = State::open(&env, keys.repository)?;
        Ok(Self { env, keys, state, opened, catalogue: Mutex::default() })
    }

    pub fn id(&self) -> RepositoryId {
        self.keys.repository
    }

    pub const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    pub const fn environment(&self) -> &Environment {
        &self.env
    }

    /// The repository's state folder.
    pub fn state_path(&self) -> &Path {
        self.state.path()
    }

    pub const fn state_dir(&self) -> &Dir {
        self.state.dir()
    }

    /// Takes a lock of this machine. Nothing comes back when another process still holds it after
    /// the wait.
    pub fn lock(&self, name: &str, wait: Duration) -> Result<Option<Lock>, Error> {
        self.state.lock(&self.env, name, wait)
    }

    /// Takes a lock of this machine and leaves word of who has it.
    pub fn lock_as(&self, name: &str, holder: &str, wait: Duration) -> Result<Taken, Error> {
        self.state.lock_as(&self.env, name, holder, wait)
    }

    /// Who this state folder is as a writer.
    pub fn writer_id(&self) -> Result<WriterId, Error> {
        let state = self.state.writer(&self.env)?;
        Ok(state.writer.parse().expect("the state was checked when it was read"))
    }

    /// Who this state folder is, and which counters of other writers it saw.
    pub fn writer_state(&self) -> Result<WriterState, Error> {
        self.state.writer(&self.env)
    }

    /// All committed snapshots, oldest first, and the records that do not open.
    pub fn snapshots(&self) -> Result<snapshots::Snapshots, Error> {
        let loaded = snapshots::load(self);
        if !self.keys.missed_an_epoch() {
            return loaded;
        }
        self.opened.refresh(self.env.backend.as_ref())?;
        snapshots::load(self)
    }

    /// All records that are there, forgotten ones too, with their marks.
    pub fn history(&self) -> Result<history::History, Error> {
        history::History::load(self)
    }

    /// Fetches verified chunks; shared between threads, keeps a bounded number of decoded blobs.
    pub fn fetcher(&self) -> Result<Arc<dyn Fetch>, Error> {
        let catalogue = self.catalogue()?;
        Ok(self.reader(catalogue, None))
    }

    /// Begins a run that stores chunks, with a fresh view of the repository.
    ///
    /// What earlier runs of this state folder left between pending and committed is finished or
    /// withdrawn first, and what an interrupted init left out is added.
    pub fn writer(&self) -> Result<Writer, Error> {
        self.forget_catalogue();
        let catalogue = self.catalogue()?;
        keyring::complete_copies(&self.env, &self.state, &self.opened)?;
        let _ = commit::finish_pending(self, &catalogue)?;
        Ok(Writer::start(self.env.clone(), catalogue))
    }

    /// Fetches chunks, those that the run has made durable included.
    pub fn fetcher_of(&self, writer: &Writer) -> Arc<dyn Fetch> {
        self.reader(writer.catalogue().clone(), Some(writer.run_index()))
    }

    /// A reader that finds chunks which a prune moves meanwhile.
    fn reader(
        &self,
        catalogue: Arc<catalogue::Catalogue>,
        run: Option<writer::RunIndex>,
    ) -> Arc<dyn Fetch> {
        let reader = reader::Reader::new(self.env.backend.clone(), catalogue, run);
        Arc::new(reader.reloading(self.env.clone()))
    }

    /// Publishes what a run stored; see `repo/commit.rs` for the order. Durable on return.
    pub fn commit(&self, writer: Writer, record: Record) -> Result<Snapshot, Error> {
        let catalogue = writer.catalogue().clone();
        let snapshot = commit::publish(self, writer, record);
        self.forget_catalogue();
        if snapshot.is_ok() && !catalogue.damaged().is_empty() {
            self.note_losses(&catalogue)?;
        }
        snapshot
    }

    /// Ends a run without a snapshot; finished packs stay, and the next run finds what is in them.
    pub fn abandon(&self, writer: Writer) -> Result<(), Error> {
        let flushed = writer.flush();
        self.forget_catalogue();
        match flushed {
            Err(Error::Chunk(chunk::Error::Stopped)) => Ok(()),
            other => other,
        }
    }

    /// Drops the local index and builds it again from index objects and tables.
    pub fn rebuild_index(&self) -> Result<RebuildReport, Error> {
        self.forget_catalogue();
        stored_index::remove(&self.env, &self.state)?;
        Ok(self.catalogue()?.report().clone())
    }

    /// Opens one object and returns its authenticated plaintext, for `cat` and `debug`.
    ///
    /// Of a pack it is the table of contents; of an index object the plaintext of all frames.
    pub fn open_object(&self, name: &ObjectName) -> Result<Vec<u8>, Error> {
        check::open_any(self, name)
    }

    /// All key slots, those of others too.
    pub fn slots(&self) -> Result<Slots, Error> {
        Slots::read(&self.env, &self.opened)
    }

    /// Adds a key slot; it is read back and opened with the credential before this returns.
    pub fn add_slot(&self, credential: &Credential, label: &str) -> Result<ObjectId, Error> {
        keyring::add_slot((&self.env, &self.state), &self.opened, credential, label)
    }

    /// Removes a key slot, unless it is the last that is known to be whole.
    pub fn remove_slot(&self, id: ObjectId) -> Result<(), Error> {
        keyring::remove_slot((&self.env, &self.state), &self.opened, id)
    }

    /// Begins a new epoch: all that is sealed from now on, by this process too, is sealed under a
    /// new key. Durable on return.
    pub fn rotate(&self) -> Result<u32, Error> {
        keyring::rotate((&self.env, &self.state), &self.opened)
    }

    /// The view of the repository that this process has.
    pub fn catalogue(&self) -> Result<Arc<catalogue::Catalogue>, Error> {
        let mut kept = self.catalogue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalogue) = kept.as_ref() {
            return Ok(catalogue.clone());
        }
        let mut loaded = catalogue::Catalogue::load(&self.env, &self.state, &self.keys);
        if self.keys.missed_an_epoch() {
            // Another process began an epoch after this one had opened the repository.
            self.opened.refresh(self.env.backend.as_ref())?;
            loaded = catalogue::Catalogue::load(&self.env, &self.state, &self.keys);
        }
        let catalogue = Arc::new(loaded?);
        // Only this load may see it: the local index has let go of what is gone.
        self.note_losses(&catalogue)?;
        *kept = Some(catalogue.clone());
        Ok(catalogue)
    }

    fn forget_catalogue(&self) {
        *self.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Remembers packs that are gone or damaged. Until a part is captured again, whole, its older
    /// snapshots may rely on them.
    fn note_losses(&self, catalogue: &catalogue::Catalogue) -> Result<(), Error> {
        let damaged = catalogue.damaged().iter().map(ToString::to_string).collect();
        let mut state = self.state.writer(&self.env)?;
        if catalogue.lost().is_empty() && state.damaged_packs == damaged {
            return Ok(());
        }
        state.loss_noticed = Some(self.env.clock.now());
        state.damaged_packs = damaged;
        self.state.set_writer(&self.env, &state)
    }

    /// What the last check of this machine found that snapshots cannot give back any more.
    pub fn known_losses(&self) -> KnownLosses {
        KnownLosses::load(&self.env, &self.state)
    }

    /// Remembers when this machine pruned.
    pub fn note_pruned(&self, at: UnixNanos) -> Result<(), Error> {
        let mut state = self.state.writer(&self.env)?;
        state.pruned = Some(at);
        self.state.set_writer(&self.env, &state)
    }

    /// Draws the next counter of this writer; durable on return, so that no two records share one.
    fn next_counter(&self) -> Result<(WriterId, u64), Error> {
        let mut state = self.state.writer(&self.env)?;
        state.counter += 1;
        let _ = state.seen.insert(state.writer.clone(), state.counter);
        self.state.set_writer(&self.env, &state)?;
        let writer = state.writer.parse().expect("the state was checked when it was read");
        Ok((writer, state.counter))
    }
}

/// What a rebuild read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildReport {
    pub index_objects: usize,
    pub packs: usize,
    /// Packs whose own table had to be read.
    pub tables_read: usize,
    pub chunks: u64,
    /// Objects that could not be read, with the reason.
    pub damaged: Vec<(ObjectName, String)>,
    /// The first of the index objects among them that may be whole and only out of reach.
    pub out_of_reach: Option<ObjectName>,
}

/// What went wrong with a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no repository in {place}")]
    NotFound { place: String },
    #[error("there is already a repository in {place}")]
    AlreadyThere { place: String },
    #[error("wrong passphrase, key file or recovery key for the repository in {place}")]
    WrongCredential { place: String },
    #[error("this is the last key that is known to open the repository in {place}")]
    LastSlot { place: String },
    #[error("{name} is corrupt: {why}")]
    Corrupt { name: String, why: String },
    #[error("{name} was written by a newer Stillpoint: {what}")]
    Newer { name: String, what: String },
    #[error(transparent)]
    Backend(#[from] backend::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error("cannot {action} {what} in the state folder {path}")]
    State {
        action: &'static str,
        what: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{what}")]
    Busy { what: String },

    /// Something that the run relies on was condemned while it ran; the parts must be captured
    /// again.
    #[error(
        "packs that this run needs were condemned while it ran: {parts} must be captured again"
    )]
    Condemned { parts: String },
    /// What was forgotten cannot be had back.
    #[error("snapshot {snapshot} cannot be had back: a prune is removing what it needs")]
    TooLate { snapshot: SnapshotId },
    /// What was forgotten is out of the trash, but a prune that was at work may have missed that.
    #[error(
        "snapshot {snapshot} was taken out of the trash, but it could not be seen whether a prune \
         is removing what it needs"
    )]
    Undeleted {
        snapshot: SnapshotId,
        #[source]
        source: Box<Self>,
    },
    /// Something is not as it must be for a deletion to be safe.
    #[error("nothing was deleted: {why}")]
    Refused { why: String },
    #[error("stopped")]
    Stopped,
}

/// The message of an error with those of its causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

impl Error {
    /// Whether the bytes are wrong or absent, and not only out of reach.
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Format(_)
                | Self::Crypto(_)
                | Self::Backend(backend::Error::Missing { .. } | backend::Error::OutOfRange { .. })
        )
    }
}

#[cfg(test)]
mod tests;
