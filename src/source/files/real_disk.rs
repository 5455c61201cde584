//! The machine's own file systems, through plain system calls.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, RawDir, SeekFrom},
    io::Errno,
};

use crate::{
    disk::{Dir, FileKind, Handle, Stat, real::stat_of},
    limits::{KIB, XATTR_BYTES_MAX},
    source::files::read_disk::{ReadDisk, Xattrs},
};

/// Bytes of names that one system call returns.
const LIST_BYTES: usize = 32 * KIB;

/// The machine's own file systems.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealReadDisk;

impl ReadDisk for RealReadDisk {
    fn resolve(&self, path: &Path) -> io::Result<(PathBuf, FileKind)> {
        let resolved = path.canonicalize()?;
        let kind = stat_of(&fs::lstat(&resolved)?).kind;
        Ok((resolved, kind))
    }

    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir(fs::open(path, flags, Mode::empty())?))
    }

    fn open_dir(&self, at: &Dir, name: &[u8]) -> io::Result<Dir> {
        open(at, name, OFlags::DIRECTORY).map(Dir)
    }

    fn open_file(&self, at: &Dir, name: &[u8]) -> io::Result<File> {
        // A fifo that took the file's place would make a plain open wait for a writer.
        open(at, name, OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    fn list(&self, dir: &Dir, visit: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let mut entries = RawDir::new(dir.0.as_fd(), &mut buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => match entry.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => visit(name),
                },
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn stat(&self, at: &Dir, name: &[u8]) -> io::Result<Stat> {
        Ok(stat_of(&fs::statat(&at.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn stat_open(&self, of: Handle<'_>) -> io::Result<Stat> {
        Ok(stat_of(&fs::fstat(descriptor(of))?))
    }

    fn read_link(&self, at: &Dir, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&at.0, name, Vec::new())?.into_bytes())
    }

    fn xattrs(&self, of: Handle<'_>) -> io::Result<Xattrs> {
        let of = descriptor(of);
        let names = xattr_names(of)?;
        let mut xattrs = Vec::new();
        let mut bytes = 0;
        for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            if let Some(value) = xattr_value(of, name)? {
                bytes += name.len() + value.len();
                xattrs.push((name.to_vec(), value));
            }
        }
        if bytes > XATTR_BYTES_MAX {
            return Err(Errno::TOOBIG.into());
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(file, buffer, offset)?)
    }

    fn next_data(&self, file: &File, offset: u64) -> io::Result<Option<u64>> {
        match fs::seek(file, SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn next_hole(&self, file: &File, offset: u64) -> io::Result<u64> {
        Ok(fs::seek(file, SeekFrom::Hole(offset))?)
    }
}

fn open(at: &Dir, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(&at.0, name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner and root may leave the access time alone.
        Err(Errno::PERM) => Ok(fs::openat(&at.0, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

fn descriptor(of: Handle<'_>) -> BorrowedFd<'_> {
    match of {
        Handle::File(file) => file.as_fd(),
        Handle::Dir(dir) => dir.0.as_fd(),
    }
}

/// Names, each with a zero byte behind it. Nearly always there are none, and one call tells.
fn xattr_names(of: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    loop {
        let bytes = match fs::flistxattr_query(of) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            bytes => bytes?,
        };
        let mut names = vec![0; bytes];
        match fs::flistxattr(of, &mut names[..]) {
            // One was added since we asked how long the list is.
            Err(Errno::RANGE) => {}
            listed => {
                names.truncate(listed?);
                return Ok(names);
            }
        }
    }
}

/// Nothing if it is gone, or not for us to read.
fn xattr_value(of: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    loop {
        let bytes = match fs::fgetxattr_query(of, name) {
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => return Ok(None),
            bytes => bytes?,
        };
        if bytes == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut value = vec![0; bytes];
        match fs::fgetxattr(of, name, &mut value[..]) {
            Err(Errno::RANGE) => {}
            Err(Errno::NODATA) => return Ok(None),
            read => {
                value.truncate(read?);
                return Ok(Some(value));
            }
        }
    }
}
