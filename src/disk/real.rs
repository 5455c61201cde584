//! The machine's own file systems, by system calls relative to open folders.
//!
//! Every name is a single component and the last step never follows a link, so a name from a
//! repository cannot lead outside the folder it is used in. Calls interrupted by a signal return
//! `Interrupted`; [`super::Uninterrupted`] repeats them.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::FileExt,
        },
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
    },
    io::Errno,
};

use super::{Dir, Disk, FileKind, Handle, Replace, Special, Spread, Stat, spread};

/// The machine's own file systems.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

/// Folders are opened for reading, which is what listing and syncing need.
const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A FIFO under a file's name must not make us wait for its other end.
const FILE_FLAGS: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Longest write that the kernel is asked for at once. It looks for free memory in one stretch as
/// long as the write, and moves other memory out of the way to make one: with 24 GB in small pieces
/// that took half of the time in which a database was restored. Stretches of this length (order 3)
/// are always there, and cost a tenth more system calls' time where memory is free.
pub const WRITE_BYTES_MAX: usize = 32 << 10;

impl Disk for RealDisk {
    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        Ok(Dir(rustix::fs::open(path, DIR_FLAGS, Mode::empty())?))
    }

    fn open_dir(&self, at: &Dir, name: &OsStr) -> io::Result<Dir> {
        let flags = DIR_FLAGS | OFlags::NOFOLLOW;
        Ok(Dir(rustix::fs::openat(&at.0, component(name)?, flags, Mode::empty())?))
    }

    fn create_dir(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&at.0, component(name)?, Mode::from_raw_mode(mode))?)
    }

    fn spread(&self, dir: &Dir, spread: Spread) -> io::Result<()> {
        spread::set(dir, spread)
    }

    fn list(&self, at: &Dir) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&at.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    fn stat(&self, at: &Dir, name: &OsStr) -> io::Result<Stat> {
        let stat = rustix::fs::statat(&at.0, component(name)?, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(stat_of(&stat))
    }

    fn stat_file(&self, file: &File) -> io::Result<Stat> {
        Ok(stat_of(&rustix::fs::fstat(file)?))
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        Ok(stat_of(&rustix::fs::fstat(&dir.0)?))
    }

    fn free_bytes(&self, dir: &Dir) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&dir.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn open(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        open_regular(at, name, OFlags::RDONLY)
    }

    fn open_rw(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        open_regular(at, name, OFlags::RDWR)
    }

    fn create_new(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = FILE_FLAGS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(mode);
        Ok(File::from(rustix::fs::openat(&at.0, component(name)?, flags, mode)?))
    }

    fn create_unnamed(&self, at: &Dir, mode: u32) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(&at.0, c".", flags, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(File::from(file)),
            // A kernel that does not know the flag takes the call for opening the folder itself.
            Err(Errno::ISDIR | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn link_unnamed(&self, file: &File, at: &Dir, name: &OsStr) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let name = component(name)?;
        let flags = AtFlags::SYMLINK_FOLLOW;
        match rustix::fs::linkat(rustix::fs::CWD, path, &at.0, name, flags) {
            Err(Errno::NOENT) if !has_proc() => Err(io::ErrorKind::Unsupported.into()),
            linked => Ok(linked?),
        }
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut written = 0;
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            match file.write_at(piece, offset + written as u64) {
                Ok(now) if now < piece.len() => return Ok(written + now),
                Ok(now) => written += now,
                // The next call meets the error again.
                Err(_) if written > 0 => return Ok(written),
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(file, bytes)?)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fsync(file)?)
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        Ok(rustix::fs::fsync(&dir.0)?)
    }

    fn sync_tree(&self, dir: &Dir) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&dir.0)?)
    }

    fn rename(
        &self,
        from: &Dir,
        old: &OsStr,
        to: &Dir,
        new: &OsStr,
        replace: Replace,
    ) -> io::Result<()> {
        let (old, new) = (component(old)?, component(new)?);
        match replace {
            Replace::Yes => Ok(rustix::fs::renameat(&from.0, old, &to.0, new)?),
            Replace::No => {
                let flags = RenameFlags::NOREPLACE;
                match rustix::fs::renameat_with(&from.0, old, &to.0, new, flags) {
                    // How file systems without the flag, NFS for one, refuse it.
                    Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
                    renamed => Ok(renamed?),
                }
            }
        }
    }

    fn remove_file(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&at.0, component(name)?, AtFlags::empty())?)
    }

    fn remove_dir(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&at.0, component(name)?, AtFlags::REMOVEDIR)?)
    }

    fn read_link(&self, at: &Dir, name: &OsStr) -> io::Result<OsString> {
        let target = rustix::fs::readlinkat(&at.0, component(name)?, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn symlink(&self, target: &OsStr, at: &Dir, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &at.0, component(name)?)?)
    }

    fn hard_link(&self, from: &Dir, old: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
        let (old, new) = (component(old)?, component(new)?);
        Ok(rustix::fs::linkat(&from.0, old, &to.0, new, AtFlags::empty())?)
    }

    fn create_special(
        &self,
        at: &Dir,
        name: &OsStr,
        special: Special,
        mode: u32,
    ) -> io::Result<()> {
        let (kind, device) = match special {
            Special::Fifo => (FileType::Fifo, 0),
            Special::CharDevice { major, minor } => {
                (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
            }
            Special::BlockDevice { major, minor } => {
                (FileType::BlockDevice, rustix::fs::makedev(major, minor))
            }
        };
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::mknodat(&at.0, component(name)?, kind, mode, device)?)
    }

    fn set_mode(&self, of: Handle<'_>, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(fd_of(of), Mode::from_raw_mode(mode))?)
    }

    fn set_owner(&self, of: Handle<'_>, uid: u32, gid: u32) -> io::Result<()> {
        let (owner, group) = owner_of(uid, gid)?;
        Ok(rustix::fs::fchown(fd_of(of), Some(owner), Some(group))?)
    }

    fn set_modified(&self, of: Handle<'_>, modified: (i64, u32)) -> io::Result<()> {
        Ok(rustix::fs::futimens(fd_of(of), &only_modified(modified))?)
    }

    fn set_mode_at(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        // The kernel can change the mode of a name only by following links. What is open as a mere
        // place is no link any more, and its path in /proc leads to just that.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(&at.0, component(name)?, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) == FileType::Symlink {
            return Err(invalid("a link has no mode"));
        }
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        match rustix::fs::chmod(path, Mode::from_raw_mode(mode)) {
            Err(Errno::NOENT) if !has_proc() => Err(io::ErrorKind::Unsupported.into()),
            changed => Ok(changed?),
        }
    }

    fn set_owner_at(&self, at: &Dir, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        let (owner, group) = owner_of(uid, gid)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(&at.0, component(name)?, Some(owner), Some(group), flags)?)
    }

    fn set_modified_at(&self, at: &Dir, name: &OsStr, modified: (i64, u32)) -> io::Result<()> {
        let times = only_modified(modified);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(&at.0, component(name)?, &times, flags)?)
    }

    fn set_xattr(&self, of: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::fsetxattr(fd_of(of), name, value, XattrFlags::empty())?)
    }
}

/// Returns the name if it can only mean an entry of the folder itself.
fn component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    let leads_elsewhere = matches!(bytes, b"" | b"." | b"..");
    if leads_elsewhere || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(invalid("not the name of a folder entry"));
    }
    Ok(name)
}

fn open_regular(at: &Dir, name: &OsStr, access: OFlags) -> io::Result<File> {
    let file = rustix::fs::openat(&at.0, component(name)?, FILE_FLAGS | access, Mode::empty())?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(invalid("not a regular file"));
    }
    Ok(File::from(file))
}

pub(crate) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        device: stat.st_dev,
        inode: stat.st_ino,
        links: stat.st_nlink,
        bytes: stat.st_size.cast_unsigned(),
        blocks: stat.st_blocks.cast_unsigned(),
        rdev_major: rustix::fs::major(stat.st_rdev),
        rdev_minor: rustix::fs::minor(stat.st_rdev),
        modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
        changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
    }
}

fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Link,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::RegularFile | FileType::Unknown => FileKind::File,
    }
}

fn owner_of(uid: u32, gid: u32) -> io::Result<(Uid, Gid)> {
    // The highest number means "leave alone" to the kernel, so it can be nobody's.
    if uid == u32::MAX || gid == u32::MAX {
        return Err(invalid("no user or group has this number"));
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

fn only_modified((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) },
    }
}

fn fd_of(of: Handle<'_>) -> BorrowedFd<'_> {
    match of {
        Handle::File(file) => file.as_fd(),
        Handle::Dir(dir) => dir.0.as_fd(),
    }
}

fn has_proc() -> bool {
    rustix::fs::stat(c"/proc/self/fd").is_ok()
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_exact_at, write_all_at};

    fn scratch() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = RealDisk.open_root(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let (_folder, dir) = scratch();

        for name in ["", ".", "..", "a/b", "/etc", "a\0b"] {
            let refused = RealDisk.create_new(&dir, OsStr::new(name), 0o600).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn links_are_never_followed() {
        let (folder, dir) = scratch();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let name = OsStr::new("link");

        assert!(RealDisk.open_dir(&dir, name).is_err());
        assert!(RealDisk.open(&dir, name).is_err());
        assert!(RealDisk.open_rw(&dir, name).is_err());
        assert_eq!(RealDisk.stat(&dir, name).unwrap().kind, FileKind::Link);
        assert_eq!(RealDisk.read_link(&dir, name).unwrap(), outside.path().as_os_str());
    }

    #[test]
    fn a_fifo_is_not_opened_as_a_file() {
        let (_folder, dir) = scratch();
        let name = OsStr::new("pipe");
        RealDisk.create_special(&dir, name, Special::Fifo, 0o600).unwrap();

        assert_eq!(RealDisk.open(&dir, name).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_unnamed_file_gets_its_name_once() {
        let (_folder, dir) = scratch();
        let name = OsStr::new("object");
        let file = RealDisk.create_unnamed(&dir, 0o400).unwrap();
        write_all_at(&RealDisk, &file, b"content", 0).unwrap();

        assert!(RealDisk.list(&dir).unwrap().is_empty());
        RealDisk.link_unnamed(&file, &dir, name).unwrap();
        let again = RealDisk.link_unnamed(&file, &dir, name).unwrap_err();

        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let mut content = [0; 7];
        read_exact_at(&RealDisk, &RealDisk.open(&dir, name).unwrap(), &mut content, 0).unwrap();
        assert_eq!(&content, b"content");
    }

    #[test]
    fn a_rename_that_may_not_replace_does_not() {
        let (_folder, dir) = scratch();
        let (old, new) = (OsStr::new("old"), OsStr::new("new"));
        drop(RealDisk.create_new(&dir, old, 0o600).unwrap());
        drop(RealDisk.create_new(&dir, new, 0o600).unwrap());

        let refused = RealDisk.rename(&dir, old, &dir, new, Replace::No).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        RealDisk.rename(&dir, old, &dir, new, Replace::Yes).unwrap();
        assert_eq!(RealDisk.list(&dir).unwrap(), [new]);
    }

    #[test]
    fn metadata_is_set_as_it_is_read() {
        let (_folder, dir) = scratch();
        let name = OsStr::new("file");
        let file = RealDisk.create_new(&dir, name, 0o600).unwrap();

        RealDisk.set_mode(Handle::File(&file), 0o4751).unwrap();
        RealDisk.set_modified(Handle::File(&file), (-5, 123_456_789)).unwrap();

        let stat = RealDisk.stat_file(&file).unwrap();
        assert_eq!((stat.mode, stat.modified), (0o4751, (-5, 123_456_789)));
    }
}
