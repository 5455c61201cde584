//! Where an ext4 without a journal puts new files.
//!
//! Such a file system does not give an inode out again for some minutes after its file was removed,
//! and looks at every one of them each time it looks for a free one (`recently_deleted` in the
//! kernel's `fs/ext4/ialloc.c`). It looks in the block group of the folder, and folders lie where
//! those lay that were removed. So to restore 50,000 files where as many were just deleted took 15
//! times as long as into an empty file system. Folders that lie apart, as those of a "top of
//! directory hierarchies" do (`chattr +T`), come to lie in groups where little was removed.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{CWD, FsWord, IFlags},
    io::Errno,
};

use super::Dir;

const EXT4_MAGIC: FsWord = 0xef53;

/// How the folders that are made in a folder lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    Apart,
    /// As the file system likes it.
    Together,
}

/// Has new folders in this one lie so, where that pays.
pub fn set(dir: &Dir, spread: Spread) -> io::Result<()> {
    if !pays(dir)? {
        return Ok(());
    }
    let before = rustix::fs::ioctl_getflags(&dir.0)?;
    let mut flags = before;
    flags.set(IFlags::TOPDIR, spread == Spread::Apart);
    if flags != before {
        rustix::fs::ioctl_setflags(&dir.0, flags)?;
    }
    Ok(())
}

/// The device asked about last, and the answer.
static LAST: Mutex<Option<(u64, bool)>> = Mutex::new(None);

fn pays(dir: &Dir) -> io::Result<bool> {
    let device = rustix::fs::fstat(&dir.0)?.st_dev;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, pays)) = *last
        && known == device
    {
        return Ok(pays);
    }
    let is_ext4 = rustix::fs::fstatfs(&dir.0)?.f_type == EXT4_MAGIC;
    let pays = is_ext4 && !has_journal(device)?;
    *last = Some((device, pays));
    Ok(pays)
}

/// Whether the kernel keeps a journal for the device: `/proc/fs/jbd2/NAME-8` is there.
fn has_journal(device: u64) -> io::Result<bool> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = rustix::fs::readlinkat(CWD, format!("/sys/dev/block/{major}:{minor}"), Vec::new());
    let link = link?.into_bytes();
    let name = link.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let journal = format!("/proc/fs/jbd2/{}-8", String::from_utf8_lossy(name));
    match rustix::fs::stat(&*journal) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
