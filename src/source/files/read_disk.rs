//! How the walk sees a file system: a seam, so that tests decide what fails.
//!
//! Nothing here changes anything, and nothing but the calls that take a whole path follows a link.
//! It stands beside [`Disk`](crate::disk::Disk) because a source has needs of its own: millions of
//! names without an allocation for each, access times left alone, holes.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::disk::{Dir, FileKind, Handle, Stat};

/// Names and values, in ascending order.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads a file system. Names are single path components, as bytes.
pub trait ReadDisk: Sync {
    /// Follows all links in a path that a person named; returns where it leads and what is there.
    fn resolve(&self, path: &Path) -> io::Result<(PathBuf, FileKind)>;
    /// Opens a folder by path, following links: for roots that a person named.
    fn open_root(&self, path: &Path) -> io::Result<Dir>;
    fn open_dir(&self, at: &Dir, name: &[u8]) -> io::Result<Dir>;
    /// Opens a file for reading; never waits, whatever the name has become.
    fn open_file(&self, at: &Dir, name: &[u8]) -> io::Result<File>;

    /// Calls back with each name but `.` and `..`, in no order. Once for each open folder.
    fn list(&self, dir: &Dir, visit: &mut dyn FnMut(&[u8])) -> io::Result<()>;
    fn stat(&self, at: &Dir, name: &[u8]) -> io::Result<Stat>;
    fn stat_open(&self, of: Handle<'_>) -> io::Result<Stat>;
    fn read_link(&self, at: &Dir, name: &[u8]) -> io::Result<Vec<u8>>;
    /// Returns the extended attributes that we may read.
    fn xattrs(&self, of: Handle<'_>) -> io::Result<Xattrs>;

    /// Reads at the offset; 0 at the end of the file. May read less than asked.
    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Where the next data begins at or after the offset; nothing if only a hole is left.
    fn next_data(&self, file: &File, offset: u64) -> io::Result<Option<u64>>;
    /// Where the next hole begins at or after the offset; the end of the file counts as one.
    fn next_hole(&self, file: &File, offset: u64) -> io::Result<u64>;
}

/// Repeats a call for as long as a signal interrupts it.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
