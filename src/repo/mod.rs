//! The repository: where format, crypto, chunks, backend and index meet. Spec: `format-spec/70-write-order.md`.

pub mod stream;

use std::{path::{Path, PathBuf}, sync::Arc};

use crate::{
    backend::{self, Backend, ObjectName},
    chunk::{self, Fetch, Store},
    clock::{Clock, Entropy},
    crypto::{self, keys::Keys, secret::Credential},
    disk::{Dir, Disk},
    format::{self, record::Record},
    id::{ChunkId, PackId, RepositoryId, SnapshotId, WriterId},
    index,
};

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
    pub stop: Arc<std::sync::atomic::AtomicBool>,
}

/// An opened repository.
pub struct Repository {
    _private: (),
}

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub record: Record,
}

impl Repository {
    /// Creates a repository in an empty backend, with one key slot for each credential.
    pub fn create(env: Environment, credentials: &[(Credential, String)]) -> Result<Self, Error> { todo!("{}", credentials.len() + env.state_root.capacity()) }
    /// Opens a repository.
    pub fn open(env: Environment, credential: &Credential) -> Result<Self, Error> { todo!("{:?}{:?}", credential, env.state_root) }
    pub fn id(&self) -> RepositoryId { todo!() }
    pub fn keys(&self) -> &Arc<Keys> { todo!() }
    pub fn environment(&self) -> &Environment { todo!() }
    /// The repository's state folder.
    pub fn state_path(&self) -> &Path { todo!() }
    pub fn state_dir(&self) -> &Dir { todo!() }
    pub fn writer_id(&self) -> WriterId { todo!() }
    /// All committed snapshots, oldest first. Damaged records are in the second list, by name and reason.
    pub fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<(ObjectName, String)>), Error> { todo!() }
    /// Fetches verified chunks; shared between threads, caches a bounded number of decoded blobs.
    pub fn fetcher(&self) -> Result<Arc<dyn Fetch>, Error> { todo!() }
    /// Begins a run that stores chunks.
    pub fn writer(&self) -> Result<Writer, Error> { todo!() }
    /// Drops the local index and builds it again from segments and tables.
    pub fn rebuild_index(&self) -> Result<RebuildReport, Error> { todo!() }
    /// Verifies every object; with `read_data` every chunk of every pack.
    pub fn check(&self, read_data: bool, observe: &mut dyn FnMut(CheckEvent)) -> Result<(), Error> { let _ = (read_data, observe); todo!() }
    /// Opens one object and returns its authenticated plaintext, for `cat` and `debug`.
    pub fn open_object(&self, name: &ObjectName) -> Result<Vec<u8>, Error> { let _ = name; todo!() }
    /// Where the copies of a chunk lie.
    pub fn locate(&self, id: &ChunkId) -> Result<Vec<crate::location::Location>, Error> { let _ = id; todo!() }
}

/// Stores the chunks of one run. Lanes may be used from different threads.
pub struct Writer {
    _private: (),
}

impl Writer {
    /// Opens a lane: small chunks stored through one lane in turn share blobs.
    pub fn lane(&self) -> Lane { todo!() }
    /// Fetches chunks, those of this run included.
    pub fn fetcher(&self) -> Arc<dyn Fetch> { todo!() }
    /// Bytes stored by this run so far, as written, and plain bytes of new chunks.
    pub fn bytes_written(&self) -> (u64, u64) { todo!() }
    /// Publishes: last pack, index object, pending record, deletion protocol, snapshot record. Durable on return.
    /// `record` gets the new snapshot's id and the writer's counter filled in by the writer.
    pub fn commit(self, record: Record) -> Result<Snapshot, Error> { let _ = record; todo!() }
    /// Ends without a snapshot; finished packs stay and are reused by the next run.
    pub fn abandon(self) -> Result<(), Error> { todo!() }
}

/// One ordered way into a writer.
pub struct Lane {
    _private: (),
}

impl Store for Lane {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> { let _ = plain; todo!() }
}

impl Lane {
    /// Hands over what is still gathered. Must be called before the writer commits.
    pub fn finish(self) -> Result<(), chunk::Error> { todo!() }
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
}

/// What a check sees.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CheckEvent {
    /// Work ahead, in objects and bytes.
    Plan { objects: u64, bytes: u64 },
    /// Work done so far, in bytes.
    Progress { bytes: u64 },
    /// An object that does not open, or a copy that is gone.
    Damaged { name: ObjectName, why: String },
    /// One of two copies is gone or damaged; the other one serves.
    CopyLost { name: ObjectName, why: String },
    /// Chunks that no pack holds any more.
    ChunkMissing { id: ChunkId, why: String },
    /// A name that is none of ours.
    Foreign { name: String },
    /// A pack that is damaged only in part: these chunks are lost in it.
    PackDamaged { pack: PackId, chunks: Vec<ChunkId>, why: String },
    /// Something worth knowing that harms nothing.
    Note { text: String },
}

/// What went wrong with a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no repository in {place}")]
    NotFound { place: String },
    #[error("there is already a repository in {place}")]
    AlreadyThere { place: String },
    #[error("wrong passphrase or key file for the repository in {place}")]
    WrongCredential { place: String },
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
    State { action: &'static str, what: String, path: PathBuf, #[source] source: std::io::Error },
    #[error("packs that this run needs were condemned while it ran: {parts} must be captured again")]
    Condemned { parts: String },
    #[error("stopped")]
    Stopped,
}
