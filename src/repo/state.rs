//! The state folder of one repository: who we are as a writer, what we have seen, and the locks of
//! this machine.
//!
//! Everything here is a cache or a convenience. Lost, it costs time, never data; no deletion is
//! ever decided by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{self, Dir, Disk},
    id::{RepositoryId, WriterId},
    repo::{Environment, Error},
};

const WRITER_FILE: &str = "writer.json";
const STATE_FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest word of a lock's holder that is read.
const HOLDER_BYTES_MAX: usize = 200;
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The state folder of one repository.
pub struct State {
    path: PathBuf,
    dir: Dir,
}

/// Who we are, and what we saw of others.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct WriterState {
    pub writer: String,
    /// Counter of the last record that we published or began to.
    pub counter: u64,
    /// Highest counter seen of each writer: fewer later means that records are gone.
    #[serde(default)]
    pub seen: BTreeMap<String, u64>,
    /// Packs were found missing then (nanoseconds since 1970 UTC): what older snapshots hold of a
    /// source is no reason not to read it again.
    #[serde(default)]
    pub loss_noticed: Option<i64>,
    /// Packs that did not give back what they should: nothing new relies on them.
    #[serde(default)]
    pub damaged_packs: BTreeSet<String>,
    /// When this machine last pruned (nanoseconds since 1970 UTC). Decides when to look for what is
    /// dead, never what is.
    #[serde(default)]
    pub pruned: Option<i64>,
}

/// A lock of this machine, freed by the kernel when its holder dies.
#[must_use = "the lock is held as long as this lives"]
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Not left to the closing of the file: a process that another thread is just starting has a
    /// copy of it for a moment.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// How an attempt to take a lock ended.
#[derive(Debug)]
pub enum Taken {
    Lock(Lock),
    /// Another process has it; this is what it wrote about itself.
    HeldBy(String),
}

impl WriterState {
    fn new(writer: WriterId) -> Self {
        Self {
            writer: writer.to_string(),
            counter: 0,
            seen: BTreeMap::new(),
            loss_noticed: None,
            damaged_packs: BTreeSet::new(),
            pruned: None,
        }
    }
}

/// Whether the error of reading the state means that there is none, rather than that the disk did
/// not give it back.
const fn is_no_state(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge | io::ErrorKind::UnexpectedEof
    )
}

impl State {
    /// Opens the folder of the repository below the state root, creating it with mode 0700.
    pub fn open(env: &Environment, repository: RepositoryId) -> Result<Self, Error> {
        let path = env.state_root.join(repository.to_string());
        let dir = env.disk.create_root(&path, 0o700).map_err(|source| Error::State {
            action: "create",
            what: "the folder".to_owned(),
            path: path.clone(),
            source,
        })?;
        // What a process that died left behind holds plaintext.
        let _ = disk::file::remove_stale(env.disk.as_ref(), &dir);
        let _ = disk::scratch::sweep(env.disk.as_ref(), &dir);
        Ok(Self { path, dir })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub const fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Reads who we are. A file that is absent or holds no such thing makes us a new writer.
    ///
    /// # Errors
    /// A file that is there but cannot be read is an error: a new one in its place would forget
    /// what we saw of other writers, and which packs are damaged.
    pub fn writer(&self, env: &Environment) -> Result<WriterState, Error> {
        let name = OsStr::new(WRITER_FILE);
        let read = disk::file::read(env.disk.as_ref(), &self.dir, name, STATE_FILE_BYTES_MAX);
        let parsed = match read {
            Ok(bytes) => serde_json::from_slice::<WriterState>(&bytes).ok(),
            Err(error) if is_no_state(error.kind()) => None,
            Err(source) => return Err(self.error("read", WRITER_FILE, source)),
        };
        if let Some(state) = parsed.filter(|state| state.writer.parse::<WriterId>().is_ok()) {
            return Ok(state);
        }
        let state = WriterState::new(WriterId(env.entropy.bytes32()));
        self.set_writer(env, &state)?;
        Ok(state)
    }

    /// Replaces who we are; durable on return.
    pub fn set_writer(&self, env: &Environment, state: &WriterState) -> Result<(), Error> {
        let bytes =
            serde_json::to_vec_pretty(state).expect("strings and numbers always become JSON");
        disk::file::replace(env.disk.as_ref(), &self.dir, OsStr::new(WRITER_FILE), &bytes, 0o600)
            .map_err(|source| self.error("write", WRITER_FILE, source))
    }

    /// Takes a lock, waiting up to the limit. Nothing comes back when another process still holds
    /// it.
    pub fn lock(
        &self,
        env: &Environment,
        name: &str,
        wait: Duration,
    ) -> Result<Option<Lock>, Error> {
        let file = self.lock_file(env.disk.as_ref(), name)?;
        let start = env.clock.elapsed();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Lock { file })),
                Err(TryLockError::WouldBlock) if env.clock.elapsed() - start >= wait => {
                    return Ok(None);
                }
                Err(TryLockError::WouldBlock) => env.clock.sleep(LOCK_POLL),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(source)) => return Err(self.error("lock", name, source)),
            }
        }
    }

    /// Takes a lock and leaves word of who has it, for others to show.
    pub fn lock_as(
        &self,
        env: &Environment,
        name: &str,
        holder: &str,
        wait: Duration,
    ) -> Result<Taken, Error> {
        let disk = env.disk.as_ref();
        let written = |source| self.error("write", name, source);
        let Some(lock) = self.lock(env, name, wait)? else {
            let file = self.lock_file(disk, name)?;
            let mut text = vec![0; HOLDER_BYTES_MAX];
            let read = disk.read_at(&file, &mut text, 0).unwrap_or(0);
            return Ok(Taken::HeldBy(String::from_utf8_lossy(&text[..read]).into_owned()));
        };
        disk.set_len(&lock.file, 0).map_err(written)?;
        disk::write_all_at(disk, &lock.file, holder.as_bytes(), 0).map_err(written)?;
        Ok(Taken::Lock(lock))
    }

    fn lock_file(&self, disk: &dyn Disk, name: &str) -> Result<File, Error> {
        let os_name = OsStr::new(name);
        let opened = match disk.create_new(&self.dir, os_name, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open_rw(&self.dir, os_name)
            }
            other => other,
        };
        opened.map_err(|source| self.error("open", name, source))
    }

    pub(crate) fn error(&self, action: &'static str, what: &str, source: io::Error) -> Error {
        Error::State { action, what: what.to_owned(), path: self.path.clone(), source }
    }
}
