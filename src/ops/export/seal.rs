//! The outermost layer of an export: a file whose last bytes are the checksum of all before them.
//!
//! The checksum is the end of the ZIP comment, which is the end of a ZIP file, so that not a byte
//! of headers, paddings and directories goes unchecked, and common tools read it all the same. The
//! file gets its name when it is complete and durable.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
};

use sha2::{Digest, Sha256};

use crate::{
    clock::{Entropy, SystemEntropy},
    disk::{Dir, Disk, Replace, file::TEMPORARY_PREFIX, write_all_at},
    limits::MIB,
};

/// Digits of the checksum.
pub const SUM_DIGITS: usize = 64;
/// What the comment says before the checksum.
pub const COMMENT: &str = "Stillpoint export 1. The SHA-256 of all before these digits: ";

/// The comment as it is written before the checksum is known.
pub fn placeholder() -> String {
    COMMENT.to_owned() + &"0".repeat(SUM_DIGITS)
}

/// A file that is written once from begin to end, and has no name before it is finished.
pub struct SealedFile<'a> {
    disk: &'a dyn Disk,
    at: &'a Dir,
    file: File,
    /// Where files cannot be without a name.
    temporary: Option<OsString>,
    sum: Sha256,
    written: u64,
    /// Not written yet; the last bytes stay here until the end.
    held: Vec<u8>,
    /// What went wrong first; a writer that failed stays failed.
    is_dead: bool,
}

impl<'a> SealedFile<'a> {
    pub fn create(disk: &'a dyn Disk, at: &'a Dir) -> io::Result<Self> {
        let (file, temporary) = match disk.create_unnamed(at, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let mut random = [0; 8];
                SystemEntropy.fill(&mut random);
                let random = u64::from_le_bytes(random);
                let name = OsString::from(format!("{TEMPORARY_PREFIX}{random:016x}"));
                let file = disk.create_new(at, &name, 0o600)?;
                let _ = file.try_lock();
                (file, Some(name))
            }
            created => (created?, None),
        };
        let (sum, held) = (Sha256::new(), Vec::with_capacity(MIB + SUM_DIGITS));
        Ok(Self { disk, at, file, temporary, sum, written: 0, held, is_dead: false })
    }

    /// Puts the checksum in the place of the last digits and gives the file its name, which must be
    /// free. Durable on return. Returns the file's length.
    pub fn publish(mut self, name: &OsStr) -> io::Result<u64> {
        self.write_out()?;
        assert_eq!(self.held.len(), SUM_DIGITS, "a comment ends every export");
        let digits = hex(&self.sum.finalize_reset());
        write_all_at(self.disk, &self.file, digits.as_bytes(), self.written)?;
        self.disk.sync(&self.file)?;
        match self.temporary.clone() {
            None => self.disk.link_unnamed(&self.file, self.at, name)?,
            Some(temporary) => {
                match self.disk.rename(self.at, &temporary, self.at, name, Replace::No) {
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        self.disk.hard_link(self.at, &temporary, self.at, name)?;
                    }
                    renamed => {
                        renamed?;
                        self.temporary = None;
                    }
                }
            }
        }
        self.disk.sync_dir(self.at).inspect_err(|_| {
            let _ = self.disk.remove_file(self.at, name);
        })?;
        Ok(self.written + SUM_DIGITS as u64)
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.is_dead {
            return Err(io::Error::other("an earlier write failed"));
        }
        let ready = self.held.len().saturating_sub(SUM_DIGITS);
        self.sum.update(&self.held[..ready]);
        self.is_dead = true;
        write_all_at(self.disk, &self.file, &self.held[..ready], self.written)?;
        self.is_dead = false;
        self.written += ready as u64;
        let _ = self.held.drain(..ready);
        Ok(())
    }
}

impl Write for SealedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MIB);
        self.held.extend_from_slice(&bytes[..taken]);
        if self.held.len() >= MIB {
            self.write_out()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SealedFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            let _ = self.disk.remove_file(self.at, name);
        }
    }
}

/// Shows a checksum as small hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a scratch file")]
    fn the_last_digits_are_the_checksum_of_all_before_them() {
        for bytes in [0, 1, MIB - 1, MIB, 3 * MIB + 7] {
            let folder = tempfile::tempdir().unwrap();
            let at = RealDisk.open_root(folder.path()).unwrap();
            let mut file = SealedFile::create(&RealDisk, &at).unwrap();
            file.write_all(&vec![7; bytes]).unwrap();
            file.write_all(placeholder().as_bytes()).unwrap();
            assert_eq!(folder.path().read_dir().unwrap().count(), 0, "it has no name yet");

            let length = file.publish(OsStr::new("out")).unwrap();

            let read = std::fs::read(folder.path().join("out")).unwrap();
            assert_eq!((read.len() as u64, read.len()), (length, bytes + placeholder().len()));
            let (before, digits) = read.split_at(read.len() - SUM_DIGITS);
            assert_eq!(hex(&Sha256::digest(before)).as_bytes(), digits);
        }
    }

    #[test]
    fn a_name_that_is_taken_stays_with_what_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = RealDisk.open_root(folder.path()).unwrap();
        for expected in [true, false] {
            let mut file = SealedFile::create(&RealDisk, &at).unwrap();
            file.write_all(placeholder().as_bytes()).unwrap();
            assert_eq!(file.publish(OsStr::new("out")).is_ok(), expected);
        }
    }
}
