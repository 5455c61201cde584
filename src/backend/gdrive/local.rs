//! The folder on this machine where the backend remembers ids, uploads under way and what lies
//! where. One process writes to it at a time; all of it but the uploads is a cache.

use std::{
    ffi::OsStr,
    fmt,
    fs::{File, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    backend::Error,
    disk::{self, Dir, Disk, tree},
};

const MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
const LOCK: &str = "lock";
const UPLOADS: &str = "uploads";

/// The folder, open.
pub struct Local {
    pub disk: Arc<dyn Disk>,
    pub dir: Dir,
    pub uploads: Dir,
    place: String,
    lock: Mutex<Option<File>>,
}

impl Drop for Local {
    /// Not left to the closing of the file: a process that another thread is just starting has a
    /// copy of it for a moment.
    fn drop(&mut self) {
        let lock = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = lock.as_ref().map(File::unlock);
    }
}

impl Local {
    /// Opens the folder, creating it if need be.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, place: &str) -> Result<Self, Error> {
        let failed = |source| failed("open", "the state folder", place, source);
        let dir = disk.create_root(path, DIR_MODE).map_err(failed)?;
        let uploads =
            tree::create_dir(&*disk, &dir, OsStr::new(UPLOADS), DIR_MODE).map_err(failed)?;
        Ok(Self { disk, dir, uploads, place: place.to_owned(), lock: Mutex::new(None) })
    }

    /// Becomes the one that writes, until the end of the process; returns whether it just happened.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process is.
    pub fn take(&self) -> Result<bool, Error> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(false);
        }
        let file = self.lock_file().map_err(|source| self.failed("open", LOCK, source))?;
        match file.try_lock() {
            Ok(()) => {
                // Unfinished files of a process that died; they do no harm.
                let _ = disk::file::remove_stale(&*self.disk, &self.dir);
                let _ = disk::file::remove_stale(&*self.disk, &self.uploads);
                *lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Err(Error::InUse { place: self.place.clone() }),
            Err(TryLockError::Error(source)) => Err(self.failed("lock", LOCK, source)),
        }
    }

    /// Reads a file of the folder, or nothing if there is none.
    pub fn read(&self, at: &Dir, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        match disk::file::read(&*self.disk, at, OsStr::new(name), bytes_max) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed("read", name, source)),
        }
    }

    /// Puts a file in place of the former one; durable on return.
    pub fn write(&self, at: &Dir, name: &str, bytes: &[u8]) -> Result<(), Error> {
        disk::file::replace(&*self.disk, at, OsStr::new(name), bytes, MODE)
            .map_err(|source| self.failed("write", name, source))
    }

    /// Removes a file; absent already is success. One that comes back after a power cut does no
    /// harm: whoever reads it finds that it was settled.
    pub fn remove(&self, at: &Dir, name: &str) -> Result<(), Error> {
        match self.disk.remove_file(at, OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| self.failed("remove", name, source)),
        }
    }

    /// Adds bytes to the end of a file and makes them durable.
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let append = || {
            let file = match self.disk.open_rw(&self.dir, OsStr::new(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let file = self.disk.create_new(&self.dir, OsStr::new(name), MODE)?;
                    self.disk.sync_dir(&self.dir)?;
                    file
                }
                opened => opened?,
            };
            let end = self.disk.stat_file(&file)?.bytes;
            disk::write_all_at(&*self.disk, &file, bytes, end)?;
            self.disk.sync(&file)
        };
        append().map_err(|source| self.failed("write", name, source))
    }

    pub fn failed(&self, action: &'static str, what: &str, source: io::Error) -> Error {
        failed(action, what, &self.place, source)
    }

    fn lock_file(&self) -> io::Result<File> {
        match self.disk.create_new(&self.dir, OsStr::new(LOCK), MODE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.open_rw(&self.dir, OsStr::new(LOCK))
            }
            created => created,
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&self.place).finish()
    }
}

/// A failure of this machine, named by the store whose state it concerns.
fn failed(action: &'static str, what: &str, place: &str, source: io::Error) -> Error {
    Error::Io { action, what: format!("{what} of this machine"), place: place.to_owned(), source }
}
