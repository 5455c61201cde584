//! A folder for plaintext that is needed for a while, and that nobody finds afterwards.
//!
//! Its lock is held as long as it is in use. What a process that died left behind goes when the
//! next one makes a folder beside it; in the state folder, when the next one starts.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{Dir, Disk, file::TEMPORARY_PREFIX, tree::remove_tree};
use crate::clock::Entropy;

/// What the names of such folders go on with.
const ROOM: &str = "room-";

/// How often another process may take a room for an abandoned one before its lock is there.
const ATTEMPTS_MAX: usize = 5;

/// A folder of our own, gone when this is dropped.
pub struct Scratch<'a> {
    disk: &'a dyn Disk,
    parent: Dir,
    name: OsString,
    pub path: PathBuf,
    pub dir: Dir,
    _lock: File,
}

impl<'a> Scratch<'a> {
    /// Makes the folder below this one, and removes those that dead processes left there.
    pub fn create(disk: &'a dyn Disk, entropy: &dyn Entropy, below: &Path) -> io::Result<Self> {
        let parent = disk.open_root(below)?;
        sweep(disk, &parent)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut random = [0; 8];
            entropy.fill(&mut random);
            let number = u64::from_le_bytes(random);
            let name = OsString::from(format!("{TEMPORARY_PREFIX}{ROOM}{number:016x}"));
            disk.create_dir(&parent, &name, 0o700)?;
            match lock(disk, &parent, &name) {
                Ok(Some((dir, lock))) => {
                    let path = below.join(&name);
                    return Ok(Self { disk, parent, name, path, dir, _lock: lock });
                }
                Ok(None) => {}
                Err(error) => {
                    let _ = remove_tree(disk, &parent, &name);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Opens and locks a room; nothing comes back if it has gone, or is another's.
fn lock(disk: &dyn Disk, parent: &Dir, name: &OsStr) -> io::Result<Option<(Dir, File)>> {
    let dir = match disk.open_dir(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let lock = File::from(dir.0.try_clone()?);
    // Whoever removes a room holds its lock: from now on it stays, if it still is there.
    let is_ours = lock.try_lock().is_ok() && disk.stat(parent, name).is_ok();
    Ok(is_ours.then_some((dir, lock)))
}

impl Scratch<'_> {
    /// Removes the folder with all that is in it, and says if something stays.
    pub fn close(self) -> io::Result<()> {
        remove_tree(self.disk, &self.parent, &self.name)
    }

    /// Removes a file that is not needed any more.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove_file(&self.dir, OsStr::new(name))
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let _ = remove_tree(self.disk, &self.parent, &self.name);
        // If something is left: a process that is just being started holds a copy of the lock.
        let _ = self._lock.unlock();
    }
}

/// Removes the folders that dead processes left here: those whose lock nobody holds.
pub fn sweep(disk: &dyn Disk, parent: &Dir) -> io::Result<()> {
    for name in disk.list(parent)? {
        let rest = name.as_encoded_bytes().strip_prefix(TEMPORARY_PREFIX.as_bytes());
        if !rest.is_some_and(|rest| rest.starts_with(ROOM.as_bytes())) {
            continue;
        }
        if let Some(_abandoned) = lock(disk, parent, &name)? {
            remove_tree(disk, parent, &name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemEntropy, disk::RealDisk};

    #[test]
    fn a_room_is_ours_while_we_live_and_goes_when_we_are_dead() {
        let below = tempfile::tempdir().unwrap();
        let count = || below.path().read_dir().unwrap().count();

        let first = Scratch::create(&RealDisk, &SystemEntropy, below.path()).unwrap();
        let second = Scratch::create(&RealDisk, &SystemEntropy, below.path()).unwrap();
        assert!(first.path.is_dir() && second.path.is_dir() && count() == 2);
        drop(first);
        assert_eq!(count(), 1);

        // Dead: the lock is let go, and nobody tidied up.
        let dead = std::mem::ManuallyDrop::new(second);
        dead._lock.unlock().unwrap();
        let third = Scratch::create(&RealDisk, &SystemEntropy, below.path()).unwrap();
        assert!(!dead.path.exists() && third.path.is_dir() && count() == 1);
    }
}
