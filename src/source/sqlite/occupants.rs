//! Who has a database open: by the open files of all processes, and by SQLite's own locks.
//!
//! Neither suffices alone. A connection without a transaction holds no lock in rollback mode, and a
//! process of another user, or in another container, cannot be looked into. A connection in WAL
//! mode holds a lock as long as it is open, whoever it belongs to.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{
    disk::{Dir, Disk, FileKind},
    source::sqlite::{COMPANIONS, companion},
};

/// A process that has one of the files open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    pub process: u32,
    /// Its name, as the kernel knows it.
    pub name: String,
}

/// What a look at all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Occupants {
    pub found: Vec<Occupant>,
    /// Processes that we may not look into.
    pub unseen: usize,
}

/// Device and inode of a file.
pub type FileNumber = (u64, u64);

/// The numbers of a database and of what lies beside it and belongs to it.
pub fn numbers_of(disk: &dyn Disk, at: &Dir, name: &OsStr) -> io::Result<Vec<FileNumber>> {
    let beside = COMPANIONS.iter().map(|suffix| companion(name, suffix));
    let mut numbers = Vec::new();
    for name in std::iter::once(name.to_os_string()).chain(beside) {
        match disk.stat(at, &name) {
            Ok(stat) if stat.kind == FileKind::File => numbers.push((stat.device, stat.inode)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(numbers)
}

/// Looks through the open files of all processes but this one.
pub fn occupants(files: &[FileNumber]) -> io::Result<Occupants> {
    let mut occupants = Occupants::default();
    if files.is_empty() {
        return Ok(occupants);
    }
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(process) = number.filter(|number| *number != std::process::id()) else { continue };
        match has_open(&entry.path(), files) {
            Ok(true) => {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                occupants.found.push(Occupant { process, name: name.trim_end().to_owned() });
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => occupants.unseen += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(occupants)
}

fn has_open(process: &Path, files: &[FileNumber]) -> io::Result<bool> {
    for entry in fs::read_dir(process.join("fd"))? {
        let open = entry.and_then(|entry| fs::metadata(entry.path()));
        if open.is_ok_and(|open| files.contains(&(open.dev(), open.ino()))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Locks of database files as SQLite sees them: who opens one meanwhile finds it busy.
///
/// They belong to the process, and go with any handle of it to the same file: nothing else may
/// open these files here while they are held.
#[must_use = "the locks are held as long as this lives"]
#[derive(Debug, Default)]
pub struct ExclusiveLocks {
    files: BTreeMap<FileNumber, File>,
}

impl ExclusiveLocks {
    /// Takes the lock of a database; false if somebody else has one.
    pub fn take(&mut self, disk: &dyn Disk, at: &Dir, name: &OsStr) -> io::Result<bool> {
        let file = disk.open_rw(at, name)?;
        let stat = disk.stat_file(&file)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let _ = self.files.insert((stat.device, stat.inode), file);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rusqlite::Connection;

    use super::*;
    use crate::disk::RealDisk;

    fn numbers(folder: &Path) -> Vec<FileNumber> {
        let at = RealDisk.open_root(folder).unwrap();
        numbers_of(&RealDisk, &at, OsStr::new("shop.db")).unwrap()
    }

    #[test]
    fn a_process_that_has_the_file_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(connection);
        let before = occupants(&numbers(folder.path())).unwrap();

        let file = RealDisk.open(&RealDisk.open_root(folder.path()).unwrap(), "shop.db".as_ref());
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(file.unwrap())).spawn();
        let child = child.as_mut().unwrap();
        let during = occupants(&numbers(folder.path())).unwrap();
        child.kill().unwrap();
        let _ = child.wait().unwrap();

        assert!(before.found.is_empty(), "{before:?}");
        let of_child = |occupant: &&Occupant| occupant.process == child.id();
        assert!(during.found.iter().find(of_child).is_some(), "{during:?}");
    }
}
