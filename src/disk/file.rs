//! Whole files, written so that a name never leads to half of one.
//!
//! A failed sync kills the file it was called on: the kernel may have marked its lost pages clean,
//! so a second sync would lie. The content goes to a new file instead, once.
//! Spec: `format-spec/70-write-order.md`, "A run".

use std::{
    ffi::{OsStr, OsString},
    fs::{File, TryLockError},
    io,
};

use super::{Dir, Disk, Handle, Replace, read_exact_at, tree::absent_is_success, write_all_at};
use crate::{
    clock::{Entropy, SystemEntropy},
    limits::MIB,
};

/// How often a file is made anew because another process took it for an abandoned one.
const CREATIONS_MAX: usize = 8;

/// What the names of unfinished files begin with; every reader ignores them.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Of a file that nobody may see yet.
const PRIVATE_MODE: u32 = 0o600;
/// Small pieces are gathered into writes of this size; larger ones are written as they are.
const GATHER_BYTES: usize = MIB;

/// Writes a whole new file from the pieces in order, with exactly this mode; durable on return.
///
/// # Errors
/// `AlreadyExists` if the name is taken. After any other error the file is absent or complete.
pub fn write_new<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    pieces: &[&[u8]],
    mode: u32,
) -> io::Result<()> {
    make_new(disk, at, name, &|file| fill(disk, file, pieces, mode))
}

/// Writes a whole new file with what is in another one, under the same terms.
pub fn copy_new<D: Disk + ?Sized>(
    disk: &D,
    from: &File,
    at: &Dir,
    name: &OsStr,
    mode: u32,
) -> io::Result<()> {
    let bytes = disk.stat_file(from)?.bytes;
    make_new(disk, at, name, &|file| {
        disk.set_mode(Handle::File(file), mode)?;
        let mut piece = vec![0; GATHER_BYTES];
        for offset in (0..bytes).step_by(GATHER_BYTES) {
            let length = (bytes - offset).min(GATHER_BYTES as u64) as usize;
            read_exact_at(disk, from, &mut piece[..length], offset)?;
            write_all_at(disk, file, &piece[..length], offset)?;
        }
        Ok(())
    })
}

/// Gives a new file its name when it is written and durable.
fn make_new<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    write: Write<'_>,
) -> io::Result<()> {
    match write_unnamed(disk, at, write).and_then(|file| disk.link_unnamed(&file, at, name)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let temporary = write_temporary(disk, at, write)?;
            temporary.publish_new(disk, at, name)?;
        }
        result => result?,
    }
    disk.sync_dir(at).inspect_err(|_| {
        // Nobody knows whether the name would survive a power cut. Without it, the next attempt
        // writes and syncs anew instead of finding a file that only looks durable.
        let _ = disk.remove_file(at, name);
    })
}

/// Writes the file under its name, in place of what had the name before; durable on return.
///
/// Whoever opens the name sees the old content or the new, even after a power cut.
pub fn replace<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let temporary = write_temporary(disk, at, &|file| fill(disk, file, &[bytes], mode))?;
    temporary.publish(disk, at, name)?;
    disk.sync_dir(at)
}

/// Reads the whole file, which must not be longer than `bytes_max`.
///
/// # Errors
/// `FileTooLarge` if it is.
pub fn read<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    bytes_max: u64,
) -> io::Result<Vec<u8>> {
    let file = disk.open(at, name)?;
    let bytes = disk.stat_file(&file)?.bytes;
    if bytes > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut content = vec![0; length];
    read_exact_at(disk, &file, &mut content, 0)?;
    Ok(content)
}

/// Removes the unfinished files that dead processes left in the folder; returns how many.
///
/// Whoever writes one holds a lock on it, which the kernel drops with its last handle.
pub fn remove_stale<D: Disk + ?Sized>(disk: &D, at: &Dir) -> io::Result<usize> {
    let mut removed = 0;
    for name in disk.list(at)? {
        if !is_temporary(&name) {
            continue;
        }
        // Held until the file is gone: whoever is just making it finds out.
        if let Some(_abandoned) = lock_abandoned(disk, at, &name)? {
            absent_is_success(disk.remove_file(at, &name))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the name is that of an unfinished file.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

fn lock_abandoned<D: Disk + ?Sized>(disk: &D, at: &Dir, name: &OsStr) -> io::Result<Option<File>> {
    match disk.open(at, name) {
        Ok(file) => Ok(file.try_lock().is_ok().then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A folder or a link under such a name is not ours.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills a file, and gives it its mode.
type Write<'a> = &'a dyn Fn(&File) -> io::Result<()>;

fn write_unnamed<D: Disk + ?Sized>(disk: &D, at: &Dir, write: Write<'_>) -> io::Result<File> {
    twice(|| {
        // Named by nobody until all of it is durable.
        let file = disk.create_unnamed(at, PRIVATE_MODE)?;
        write(&file)?;
        Ok((disk.sync(&file), file))
    })
}

fn write_temporary<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    write: Write<'_>,
) -> io::Result<Temporary> {
    twice(|| {
        let temporary = Temporary::create(disk, at)?;
        let written = write(&temporary.file);
        let synced = written.map(|()| disk.sync(&temporary.file));
        match synced {
            Ok(Ok(())) => Ok((Ok(()), temporary)),
            failed => {
                temporary.discard(disk, at);
                failed.map(|sync| (sync, temporary))
            }
        }
    })
}

/// Writes a file, and once more into another one if the first could not be synced.
fn twice<F>(mut write: impl FnMut() -> io::Result<(io::Result<()>, F)>) -> io::Result<F> {
    match write()? {
        (Ok(()), file) => Ok(file),
        (Err(_), dead) => {
            drop(dead);
            let (synced, file) = write()?;
            synced.map(|()| file)
        }
    }
}

fn fill<D: Disk + ?Sized>(disk: &D, file: &File, pieces: &[&[u8]], mode: u32) -> io::Result<()> {
    disk.set_mode(Handle::File(file), mode)?;
    let mut offset = 0;
    let mut gathered = Vec::new();
    for piece in pieces {
        if gathered.len() + piece.len() > GATHER_BYTES {
            write_all_at(disk, file, &gathered, offset)?;
            offset += gathered.len() as u64;
            gathered.clear();
        }
        if piece.len() >= GATHER_BYTES {
            write_all_at(disk, file, piece, offset)?;
            offset += piece.len() as u64;
        } else {
            gathered.extend_from_slice(piece);
        }
    }
    write_all_at(disk, file, &gathered, offset)
}

/// An unfinished file under a name of its own, where it must or can only have one.
struct Temporary {
    name: OsString,
    file: File,
}

impl Temporary {
    fn create<D: Disk + ?Sized>(disk: &D, at: &Dir) -> io::Result<Self> {
        for _ in 0..CREATIONS_MAX {
            let mut random = [0; 8];
            SystemEntropy.fill(&mut random);
            let name = format!("{TEMPORARY_PREFIX}{:016x}", u64::from_le_bytes(random));
            let name = OsString::from(name);
            let file = disk.create_new(at, &name, PRIVATE_MODE)?;
            let temporary = Self { name, file };
            match temporary.is_ours(disk) {
                Ok(true) => return Ok(temporary),
                // Before we had the lock, somebody took it for what a dead process left.
                Ok(false) => {}
                Err(error) => {
                    temporary.discard(disk, at);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Locks the file. Whoever holds its lock is removing it, or has removed it.
    fn is_ours<D: Disk + ?Sized>(&self, disk: &D) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(disk.stat_file(&self.file)?.links > 0),
            Err(TryLockError::WouldBlock) => Ok(false),
            // Where files cannot be locked nobody takes the lock for free either.
            Err(TryLockError::Error(_)) => Ok(true),
        }
    }

    /// Renames over whatever has the name.
    fn publish<D: Disk + ?Sized>(&self, disk: &D, at: &Dir, name: &OsStr) -> io::Result<()> {
        disk.rename(at, &self.name, at, name, Replace::Yes).inspect_err(|_| self.discard(disk, at))
    }

    /// Renames if nothing has the name.
    fn publish_new<D: Disk + ?Sized>(&self, disk: &D, at: &Dir, name: &OsStr) -> io::Result<()> {
        match disk.rename(at, &self.name, at, name, Replace::No) {
            // A hard link refuses to replace too, and file systems have one or the other.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let linked = disk.hard_link(at, &self.name, at, name);
                self.discard(disk, at);
                linked
            }
            result => result.inspect_err(|_| self.discard(disk, at)),
        }
    }

    /// Leaves nothing behind if it can; what stays is stale from now on, and ignored.
    fn discard<D: Disk + ?Sized>(&self, disk: &D, at: &Dir) {
        let _ = disk.remove_file(at, &self.name);
    }
}

#[cfg(test)]
mod tests;
