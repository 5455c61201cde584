//! Repeats calls that a signal interrupted, for every disk.
//!
//! A layer of its own, so that the fault tests can put their interruptions underneath it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::Path,
};

use super::{Dir, Disk, Handle, Replace, Special, Spread, Stat};

/// A disk whose calls are repeated when a signal interrupts them.
///
/// All but [`Disk::sync`]: whether an interrupted sync has already consumed an error is unknown,
/// so it counts as failed, and the file with it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Uninterrupted<D>(pub D);

/// Signals do not come in such numbers; whatever says so this often is broken.
const TRIES_MAX: usize = 100;

fn repeat<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    call()
}

impl<D: Disk> Disk for Uninterrupted<D> {
    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        repeat(|| self.0.open_root(path))
    }

    fn open_dir(&self, at: &Dir, name: &OsStr) -> io::Result<Dir> {
        repeat(|| self.0.open_dir(at, name))
    }

    fn create_dir(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        repeat(|| self.0.create_dir(at, name, mode))
    }

    fn spread(&self, dir: &Dir, spread: Spread) -> io::Result<()> {
        repeat(|| self.0.spread(dir, spread))
    }

    fn list(&self, at: &Dir) -> io::Result<Vec<OsString>> {
        repeat(|| self.0.list(at))
    }

    fn stat(&self, at: &Dir, name: &OsStr) -> io::Result<Stat> {
        repeat(|| self.0.stat(at, name))
    }

    fn stat_file(&self, file: &File) -> io::Result<Stat> {
        repeat(|| self.0.stat_file(file))
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        repeat(|| self.0.stat_dir(dir))
    }

    fn free_bytes(&self, dir: &Dir) -> io::Result<u64> {
        repeat(|| self.0.free_bytes(dir))
    }

    fn open(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        repeat(|| self.0.open(at, name))
    }

    fn open_rw(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        repeat(|| self.0.open_rw(at, name))
    }

    fn create_new(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<File> {
        repeat(|| self.0.create_new(at, name, mode))
    }

    fn create_unnamed(&self, at: &Dir, mode: u32) -> io::Result<File> {
        repeat(|| self.0.create_unnamed(at, mode))
    }

    fn link_unnamed(&self, file: &File, at: &Dir, name: &OsStr) -> io::Result<()> {
        repeat(|| self.0.link_unnamed(file, at, name))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        repeat(|| self.0.read_at(file, buffer, offset))
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        repeat(|| self.0.write_at(file, bytes, offset))
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        repeat(|| self.0.set_len(file, bytes))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.sync(file)
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        repeat(|| self.0.sync_dir(dir))
    }

    fn sync_tree(&self, dir: &Dir) -> io::Result<()> {
        repeat(|| self.0.sync_tree(dir))
    }

    fn rename(
        &self,
        from: &Dir,
        old: &OsStr,
        to: &Dir,
        new: &OsStr,
        replace: Replace,
    ) -> io::Result<()> {
        repeat(|| self.0.rename(from, old, to, new, replace))
    }

    fn remove_file(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        repeat(|| self.0.remove_file(at, name))
    }

    fn remove_dir(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        repeat(|| self.0.remove_dir(at, name))
    }

    fn read_link(&self, at: &Dir, name: &OsStr) -> io::Result<OsString> {
        repeat(|| self.0.read_link(at, name))
    }

    fn symlink(&self, target: &OsStr, at: &Dir, name: &OsStr) -> io::Result<()> {
        repeat(|| self.0.symlink(target, at, name))
    }

    fn hard_link(&self, from: &Dir, old: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
        repeat(|| self.0.hard_link(from, old, to, new))
    }

    fn create_special(
        &self,
        at: &Dir,
        name: &OsStr,
        special: Special,
        mode: u32,
    ) -> io::Result<()> {
        repeat(|| self.0.create_special(at, name, special, mode))
    }

    fn set_mode(&self, of: Handle<'_>, mode: u32) -> io::Result<()> {
        repeat(|| self.0.set_mode(of, mode))
    }

    fn set_owner(&self, of: Handle<'_>, uid: u32, gid: u32) -> io::Result<()> {
        repeat(|| self.0.set_owner(of, uid, gid))
    }

    fn set_modified(&self, of: Handle<'_>, modified: (i64, u32)) -> io::Result<()> {
        repeat(|| self.0.set_modified(of, modified))
    }

    fn set_mode_at(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        repeat(|| self.0.set_mode_at(at, name, mode))
    }

    fn set_owner_at(&self, at: &Dir, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        repeat(|| self.0.set_owner_at(at, name, uid, gid))
    }

    fn set_modified_at(&self, at: &Dir, name: &OsStr, modified: (i64, u32)) -> io::Result<()> {
        repeat(|| self.0.set_modified_at(at, name, modified))
    }

    fn set_xattr(&self, of: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
        repeat(|| self.0.set_xattr(of, name, value))
    }
}
