//! Files with several names: the first one restored is the file, the others are links to it.
//!
//! Links are made only to files that this restore wrote, or that have no other name: a link to any
//! other file could reach outside the target.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    disk::{Dir, FileKind, Handle, Replace},
    format::node::{Content, Entry},
    sink::files::{
        Error, Overwrite,
        failure::{Failure, Trouble},
        restore::Restore,
        tally::Done,
        target::Opened,
    },
};

/// Files with several names, by device and inode of the source.
#[derive(Debug, Default)]
pub struct Linked {
    /// Nothing for a file that a thread is writing just now.
    files: Mutex<HashMap<(u64, u64), Option<First>>>,
    /// Names that came while their file was being written, to be restored at the end.
    deferred: Mutex<Vec<(Vec<u8>, Entry)>>,
}

/// A restored file that other names may be linked to.
#[derive(Debug, Clone)]
pub struct First {
    path: Vec<u8>,
    /// Device and inode in the target.
    identity: (u64, u64),
    content: Content,
}

/// What a name of a file with several names is to become.
#[derive(Debug)]
pub enum Claim {
    /// The file itself; to be reported with [`Linked::settle`].
    First,
    Linkable(First),
    Busy,
}

impl Linked {
    /// Says what to do about the next name.
    pub fn claim(&self, entry: &Entry) -> Claim {
        let mut files = self.files();
        match files.get(&(entry.device, entry.inode)) {
            Some(None) => Claim::Busy,
            // Names of one file agree in content, or the snapshot is mistaken about them.
            Some(Some(first)) if entry.content == first.content => Claim::Linkable(first.clone()),
            _ => {
                let _ = files.insert((entry.device, entry.inode), None);
                Claim::First
            }
        }
    }

    /// Reports what became of the first name; nothing if no other name can be linked to it.
    pub fn settle(&self, entry: &Entry, first: Option<First>) {
        let mut files = self.files();
        let _ = match first {
            Some(first) => files.insert((entry.device, entry.inode), Some(first)),
            None => files.remove(&(entry.device, entry.inode)),
        };
    }

    /// Puts off a name.
    pub fn defer(&self, path: &[u8], entry: &Entry) {
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        deferred.push((path.to_vec(), entry.clone()));
    }

    fn take_deferred(&self) -> Vec<(Vec<u8>, Entry)> {
        std::mem::take(&mut *self.deferred.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<(u64, u64), Option<First>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Restore<'_> {
    /// Describes a file just restored, if other names may be linked to it.
    pub fn linkable(&self, at: &Opened, path: &[u8], entry: &Entry) -> Option<First> {
        let stat = self.sink.disk.stat(at.dir.as_ref()?, OsStr::from_bytes(&entry.name)).ok()?;
        let is_ours_alone = stat.kind == FileKind::File && stat.links == 1;
        let identity = (stat.device, stat.inode);
        let content = || entry.content.clone();
        is_ours_alone.then(|| First { path: path.to_vec(), identity, content: content() })
    }

    /// Restores a name as a link to the first one; as a file of its own where that cannot be.
    pub fn link(
        &self,
        at: &Opened,
        path: &[u8],
        entry: &Entry,
        first: &First,
    ) -> Result<Done, Failure> {
        let name = OsStr::from_bytes(&entry.name);
        let Some(dir) = &at.dir else { return self.separate_file(at, path, entry) };
        match self.sink.disk.stat(dir, name) {
            Ok(stat) if (stat.device, stat.inode) == first.identity => return Ok(Done::Kept),
            Ok(_) if self.options.overwrite == Overwrite::Never => return Ok(Done::Kept),
            Ok(stat) if stat.kind == FileKind::Dir => return self.separate_file(at, path, entry),
            _ => {}
        }
        match self.try_link(dir, name, first) {
            Ok(()) => Ok(Done::Other),
            Err(_) => self.separate_file(at, path, entry),
        }
    }

    fn try_link(&self, dir: &Dir, name: &OsStr, first: &First) -> io::Result<()> {
        let disk = self.sink.disk;
        let (folder, first_name) = split(&first.path);
        let from = self.open_path(folder)?;
        let temporary = self.new_temporary_name();
        disk.hard_link(&from, first_name, dir, &temporary)?;
        let named = disk.stat(dir, &temporary).and_then(|stat| {
            // Somebody may have put another file under the first name meanwhile.
            if (stat.device, stat.inode) != first.identity {
                return Err(io::ErrorKind::NotFound.into());
            }
            disk.rename(dir, &temporary, dir, name, Replace::Yes)
        });
        named.inspect_err(|_| {
            let _ = disk.remove_file(dir, &temporary);
        })
    }

    /// Restores the names that were put off.
    pub fn restore_deferred(&self) -> Result<(), Error> {
        for (path, entry) in self.linked.take_deferred() {
            if let Some(done) = self.note(&path, self.restore_late(&path, &entry))? {
                self.tally.done(&path, done, 0);
            }
        }
        Ok(())
    }

    /// Restores a name in a folder that already has its metadata, which it gets back.
    fn restore_late(&self, path: &[u8], entry: &Entry) -> Result<Done, Failure> {
        let disk = self.sink.disk;
        let cannot_open = |error: io::Error| Trouble::io("open its folder", &error);
        let dir = self.open_path(split(path).0).map_err(cannot_open)?;
        let stat = disk.stat_dir(&dir).map_err(cannot_open)?;
        if stat.mode & 0o300 != 0o300 {
            let _ = disk.set_mode(Handle::Dir(&dir), stat.mode | 0o300);
        }
        let at = Opened { dir: Some(dir), is_new: false, ..Opened::planned() };
        let restored = match self.linked.claim(entry) {
            Claim::Linkable(first) => self.link(&at, path, entry, &first),
            Claim::First | Claim::Busy => {
                let restored = self.separate_file(&at, path, entry);
                self.linked.settle(entry, self.linkable(&at, path, entry));
                restored
            }
        };
        if let Some(dir) = &at.dir {
            let _ = disk.set_mode(Handle::Dir(dir), stat.mode);
            let _ = disk.set_modified(Handle::Dir(dir), stat.modified);
        }
        restored
    }

    /// Opens a folder below the root, one step at a time.
    fn open_path(&self, folder: &[u8]) -> io::Result<Dir> {
        let root = self.root.dir.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut dir = Dir(root.0.try_clone()?);
        for name in folder.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            dir = self.sink.disk.open_dir(&dir, OsStr::from_bytes(name))?;
        }
        Ok(dir)
    }
}

fn split(path: &[u8]) -> (&[u8], &OsStr) {
    let at = path.iter().rposition(|&byte| byte == b'/');
    let (folder, name) = at.map_or((&path[..0], path), |at| (&path[..at], &path[at + 1..]));
    (folder, OsStr::from_bytes(name))
}
