//! A database image back on disk: complete and verified before it gets its name.
//!
//! What lay beside an older database of that name goes first: SQLite would play an old `-wal` or
//! `-journal` back into the new file.

mod present;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub use present::Present;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    chunk::Fetch,
    crypto::keys::Keys,
    disk::{Dir, Disk, FileKind, Handle, Replace, Stat, write_all_at},
    format::image::Image,
    limits::MIB,
    repo::image::{self, ImageReader},
    sink::{
        early_sync::{self, EarlySync},
        files::{RestoreDatabase, RestoreDatabaseError, unfinished_name},
    },
    source::sqlite::{COMPANIONS, companion},
};

/// What is written while the disk is idle need not be waited for at the end.
const SYNC_EVERY_BYTES: u64 = 64 * MIB as u64;

/// Writes database images.
#[derive(Clone, Copy)]
pub struct DatabaseSink<'a> {
    pub disk: &'a dyn Disk,
    pub fetch: &'a Arc<dyn Fetch>,
    pub keys: &'a Keys,
    /// Once set, a restore ends with [`Error::Stopped`]; the destination is as it was.
    pub stop: &'a AtomicBool,
    /// Called with the number of bytes written, from any thread.
    pub observe: &'a (dyn Fn(u64) + Sync),
}

impl DatabaseSink<'_> {
    /// Writes the image as a new file and gives it the name, in place of any file that had it;
    /// durable on return. Returns its size.
    ///
    /// A file that is replaced hands on its mode and owner; a new one is for us alone. Nothing
    /// that was there is touched before the new file is complete, verified and synced.
    pub fn restore(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<u64, Error> {
        let replaced = self.replaced(at, name)?;
        let reader = ImageReader::open(image, self.fetch.clone())?;
        let bytes = u64::from(image.page_count) * u64::from(image.page_bytes);
        let mut new = doing("create", NewFile::create(self.disk, at, name))?;
        let restored = self
            .fill(&reader, &new.file, bytes)
            .and_then(|()| self.publish(&mut new, replaced, at, name));
        if restored.is_err() {
            new.discard(self.disk, at);
        }
        restored.map(|()| bytes)
    }

    fn replaced(&self, at: &Dir, name: &OsStr) -> Result<Option<Stat>, Error> {
        match self.disk.stat(at, name) {
            Ok(stat) if stat.kind == FileKind::Dir => {
                doing("replace", Err(io::ErrorKind::IsADirectory.into()))
            }
            Ok(stat) => Ok((stat.kind == FileKind::File).then_some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => doing("look at", Err(error)),
        }
    }

    fn fill(&self, reader: &ImageReader, file: &File, bytes: u64) -> Result<(), Error> {
        doing("write", self.disk.set_len(file, bytes))?;
        let bytes_written = AtomicU64::new(0);
        let write = |offset, run: &[u8]| {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            // Where nothing is written, the file is a hole that reads as zeros.
            if run.iter().any(|byte| *byte != 0) {
                doing("write", write_all_at(self.disk, file, run, offset))?;
            }
            let _ = bytes_written.fetch_add(run.len() as u64, Ordering::Relaxed);
            (self.observe)(run.len() as u64);
            Ok(())
        };
        let early = EarlySync {
            every_bytes: SYNC_EVERY_BYTES,
            bytes_written: &|| bytes_written.load(Ordering::Relaxed),
            sync: &|| self.disk.sync(file),
        };
        let threads = threads()?;
        let read = || threads.install(|| reader.read_whole(self.keys, &write, &mut |_| Ok(())));
        let (read, synced) = early_sync::beside(&early, read);
        let identity = read?;
        doing("sync", synced)?;
        if identity == reader.image().identity {
            Ok(())
        } else {
            Err(image::Error::OtherIdentity.into())
        }
    }

    fn publish(
        &self,
        new: &mut NewFile,
        replaced: Option<Stat>,
        at: &Dir,
        name: &OsStr,
    ) -> Result<(), Error> {
        if let Some(replaced) = replaced {
            self.take_over(&new.file, &replaced)?;
        }
        doing("sync", self.disk.sync(&new.file))?;
        if replaced.is_some() || !self.publish_first(new, at, name)? {
            let temporary = doing("name", new.temporary_name(self.disk, at, name))?;
            self.remove_companions(at, name)?;
            doing("rename", self.disk.rename(at, &temporary, at, name, Replace::Yes))?;
        }
        doing("sync the folder of", self.disk.sync_dir(at))
    }

    /// Gives an unnamed file the name if nothing has it, and returns whether it did.
    fn publish_first(&self, new: &NewFile, at: &Dir, name: &OsStr) -> Result<bool, Error> {
        if new.temporary.is_some() {
            return Ok(false);
        }
        self.remove_companions(at, name)?;
        match self.disk.link_unnamed(&new.file, at, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => doing("name", linked).map(|()| true),
        }
    }

    /// Gives the new file the owner and mode of the one it replaces.
    fn take_over(&self, file: &File, replaced: &Stat) -> Result<(), Error> {
        let handle = Handle::File(file);
        match self.disk.set_owner(handle, replaced.uid, replaced.gid) {
            // Only root can give files away; then it is ours, as any file that we write.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => doing("set the owner of", result)?,
        }
        doing("set the mode of", self.disk.set_mode(handle, replaced.mode))
    }

    /// Removes what lay beside the former database, for good before the name changes hands: not
    /// even a power cut may bring an old `-wal` and the new file together.
    fn remove_companions(&self, at: &Dir, name: &OsStr) -> Result<(), Error> {
        let mut removed = false;
        for suffix in COMPANIONS {
            match self.disk.remove_file(at, &companion(name, suffix)) {
                Ok(()) => removed = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return doing("remove what lies beside", Err(error)),
            }
        }
        if removed { doing("sync the folder of", self.disk.sync_dir(at)) } else { Ok(()) }
    }
}

/// A file on its way to a name.
struct NewFile {
    file: File,
    /// Nothing: it is gone if we are.
    temporary: Option<OsString>,
}

impl NewFile {
    fn create(disk: &dyn Disk, at: &Dir, name: &OsStr) -> io::Result<Self> {
        match disk.create_unnamed(at, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let temporary = unfinished_name(name);
                let file =
                    over_remains(disk, at, &temporary, || disk.create_new(at, &temporary, 0o600))?;
                Ok(Self { file, temporary: Some(temporary) })
            }
            created => Ok(Self { file: created?, temporary: None }),
        }
    }

    /// Returns its temporary name, which it gets now if it has none: a rename needs one to replace.
    fn temporary_name(&mut self, disk: &dyn Disk, at: &Dir, name: &OsStr) -> io::Result<OsString> {
        if self.temporary.is_none() {
            let temporary = unfinished_name(name);
            let link = || disk.link_unnamed(&self.file, at, &temporary);
            over_remains(disk, at, &temporary, link)?;
            self.temporary = Some(temporary);
        }
        Ok(self.temporary.clone().unwrap_or_default())
    }

    fn discard(&self, disk: &dyn Disk, at: &Dir) {
        if let Some(name) = &self.temporary {
            let _ = disk.remove_file(at, name);
        }
    }
}

/// Makes a file of a temporary name. One that is there was left by a restore that died, and goes.
fn over_remains<T>(
    disk: &dyn Disk,
    at: &Dir,
    temporary: &OsStr,
    make: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove_file(at, temporary)?;
            make()
        }
        made => made,
    }
}

/// Threads for one restore: one more than there are processors, since now and then one waits for
/// another's write to the same file, or for the disk.
fn threads() -> Result<ThreadPool, Error> {
    let count = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let pool = ThreadPoolBuilder::new().num_threads(count).build();
    doing("start threads for", pool.map_err(io::Error::other))
}

/// Why a database was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("cannot {action} the database")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("stopped")]
    Stopped,
}

fn doing<T>(action: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io { action, source })
}

impl RestoreDatabase for DatabaseSink<'_> {
    fn restore(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<u64, RestoreDatabaseError> {
        Self::restore(self, image, at, name).map_err(|error| {
            let code = match &error {
                Error::Image(_) => "damaged",
                Error::Io { .. } => "io",
                Error::Stopped => "stopped",
            };
            let mut message = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                message = format!("{message}: {error}");
                cause = error.source();
            }
            RestoreDatabaseError { code: code.to_owned(), message }
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of a test are not durable")]
mod tests;
