//! The one door for durable I/O: every change to a file system goes through a [`Disk`].
//!
//! Objects of the local backend, files of the state folder and everything a restore writes.
//! `clippy.toml` bans the ways round it, which is what makes the fault tests complete: a faulty
//! disk sees every step. All operations are relative to an open folder and never follow links, so
//! that no name can lead outside. Production runs on [`Uninterrupted`] around [`RealDisk`].
//! The index is not covered: it is a cache that may be damaged at any time.

pub mod file;
pub mod real;
pub mod scratch;
mod spread;
pub mod tree;
pub mod uninterrupted;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::OwnedFd,
    path::Path,
};

pub use real::RealDisk;
pub use spread::Spread;
pub use uninterrupted::Uninterrupted;

/// An open folder.
#[derive(Debug)]
pub struct Dir(pub OwnedFd);

/// What a name in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Dir,
    Link,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub kind: FileKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    pub bytes: u64,
    /// 512-byte blocks in use.
    pub blocks: u64,
    pub rdev_major: u32,
    pub rdev_minor: u32,
    /// Seconds and nanoseconds since 1970 UTC.
    pub modified: (i64, u32),
    pub changed: (i64, u32),
}

/// Whether a rename may replace what has the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    Yes,
    No,
}

/// A special file that a restore makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    Fifo,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// File system operations that change something, and the reads that go with them.
///
/// Names are single path components. A short read or write is possible as in POSIX;
/// [`read_exact_at`] and [`write_all_at`] loop. The modes given to what creates something are cut
/// by the umask; [`set_mode`](Disk::set_mode) is not.
pub trait Disk: Send + Sync {
    /// Opens a folder by path, following links: for roots that the user named.
    fn open_root(&self, path: &Path) -> io::Result<Dir>;

    /// Creates a folder and its missing parents with exactly this mode, durable, and opens it.
    fn create_root(&self, path: &Path, mode: u32) -> io::Result<Dir> {
        let mut missing: Vec<&OsStr> = Vec::new();
        let mut existing = path;
        let mut dir = loop {
            match self.open_root(or_here(existing)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (Some(parent), Some(name)) = (existing.parent(), existing.file_name())
                    else {
                        return Err(error);
                    };
                    missing.push(name);
                    existing = parent;
                }
                opened => break opened?,
            }
        };
        while let Some(name) = missing.pop() {
            dir = tree::create_dir(self, &dir, name, mode)?;
        }
        Ok(dir)
    }

    fn open_dir(&self, at: &Dir, name: &OsStr) -> io::Result<Dir>;
    fn create_dir(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()>;
    /// Says how the folders that are made in this one had best lie on the disk. A hint, which most
    /// file systems have no use for.
    fn spread(&self, _dir: &Dir, _spread: Spread) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, at: &Dir) -> io::Result<Vec<OsString>>;
    fn stat(&self, at: &Dir, name: &OsStr) -> io::Result<Stat>;
    fn stat_file(&self, file: &File) -> io::Result<Stat>;
    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat>;
    /// Free bytes for us on the folder's file system.
    fn free_bytes(&self, dir: &Dir) -> io::Result<u64>;

    /// Opens a regular file for reading.
    fn open(&self, at: &Dir, name: &OsStr) -> io::Result<File>;
    /// Opens an existing regular file for reading and writing.
    fn open_rw(&self, at: &Dir, name: &OsStr) -> io::Result<File>;
    /// Creates a file that must not exist.
    fn create_new(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<File>;
    /// Creates a file without a name. `Unsupported` where the file system cannot.
    fn create_unnamed(&self, at: &Dir, mode: u32) -> io::Result<File>;
    /// Gives an unnamed file its name; fails with `AlreadyExists` if the name is taken.
    fn link_unnamed(&self, file: &File, at: &Dir, name: &OsStr) -> io::Result<()>;
    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Makes content and size durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Dir) -> io::Result<()>;
    /// Makes the folder's whole file system durable.
    fn sync_tree(&self, dir: &Dir) -> io::Result<()>;

    /// Renames; with [`Replace::No`] fails with `AlreadyExists` if the new name is taken, and with
    /// `Unsupported` where the file system cannot promise that.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of `renameat`, as everyone knows it"
    )]
    fn rename(
        &self,
        from: &Dir,
        old: &OsStr,
        to: &Dir,
        new: &OsStr,
        replace: Replace,
    ) -> io::Result<()>;
    fn remove_file(&self, at: &Dir, name: &OsStr) -> io::Result<()>;
    fn remove_dir(&self, at: &Dir, name: &OsStr) -> io::Result<()>;

    fn read_link(&self, at: &Dir, name: &OsStr) -> io::Result<OsString>;
    fn symlink(&self, target: &OsStr, at: &Dir, name: &OsStr) -> io::Result<()>;
    fn hard_link(&self, from: &Dir, old: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()>;
    fn create_special(&self, at: &Dir, name: &OsStr, special: Special, mode: u32)
    -> io::Result<()>;

    /// Metadata of an open file or folder: no name can be swapped for another meanwhile.
    fn set_mode(&self, of: Handle<'_>, mode: u32) -> io::Result<()>;
    fn set_owner(&self, of: Handle<'_>, uid: u32, gid: u32) -> io::Result<()>;
    fn set_modified(&self, of: Handle<'_>, modified: (i64, u32)) -> io::Result<()>;
    /// Metadata of a name that cannot be opened, such as a link; never of what it leads to.
    fn set_mode_at(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()>;
    fn set_owner_at(&self, at: &Dir, name: &OsStr, uid: u32, gid: u32) -> io::Result<()>;
    fn set_modified_at(&self, at: &Dir, name: &OsStr, modified: (i64, u32)) -> io::Result<()>;
    fn set_xattr(&self, of: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()>;
}

/// An open file or folder whose metadata is set.
#[derive(Debug, Clone, Copy)]
pub enum Handle<'a> {
    File(&'a File),
    Dir(&'a Dir),
}

/// Writes all bytes at the offset, in as many steps as it takes.
pub fn write_all_at<D: Disk + ?Sized>(
    disk: &D,
    file: &File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write_at(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
        }
    }
    Ok(())
}

/// Fills the buffer from the offset; `UnexpectedEof` if the file ends before.
pub fn read_exact_at<D: Disk + ?Sized>(
    disk: &D,
    file: &File,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match disk.read_at(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// The parent of a bare name is the current folder.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
