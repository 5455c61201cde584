//! The file of an export, before anything in it is believed.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use sha2::{Digest, Sha256};

use super::Error;
use crate::{
    disk::{Disk, read_exact_at},
    limits::MIB,
    ops::{
        self,
        event::{Event, Meter, Phase},
        export::{
            ENTRIES_MAX,
            seal::{COMMENT, SUM_DIGITS, hex},
        },
        unpack::Terms,
    },
};

/// Length of the comment that ends an export.
const COMMENT_BYTES: usize = COMMENT.len() + SUM_DIGITS;
/// Length of the record that ends a ZIP file, without the comment.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const END64_BYTES: usize = 56;
/// The directory of a ZIP file is read into memory as a whole.
const DIRECTORY_BYTES_MAX: u64 = 128 << 20;

/// An open file, read through the disk's seam.
#[derive(Clone)]
pub struct Source {
    disk: Arc<dyn Disk>,
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    at: u64,
}

impl Source {
    /// Opens the file and compares it with the checksum at its end: after that, no byte of it was
    /// changed by accident.
    pub fn open(terms: &Terms<'_>, path: &Path) -> Result<Self, ops::Error> {
        let failed = |source| ops::Error::Io { action: "read", path: path.to_owned(), source };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        let folder = terms.disk.open_root(folder).map_err(failed)?;
        let file = terms.disk.open(&folder, name).map_err(failed)?;
        let bytes = terms.disk.stat_file(&file).map_err(failed)?.bytes;
        let disk = Arc::clone(&terms.disk);
        let source = Self { disk, file: Arc::new(file), path: path.to_owned(), bytes, at: 0 };
        source.check_sum(terms)?;
        source.check_directory()?;
        Ok(source)
    }

    fn check_sum(&self, terms: &Terms<'_>) -> Result<(), ops::Error> {
        let not_one = || Error::NotAnExport { path: self.path.clone() };
        let summed = self.bytes.checked_sub(SUM_DIGITS as u64).ok_or_else(not_one)?;
        let comment_at = self.bytes.checked_sub(COMMENT_BYTES as u64).ok_or_else(not_one)?;
        let comment = self.piece(comment_at, COMMENT_BYTES)?;
        let (words, digits) = comment.split_at(COMMENT.len());
        if words != COMMENT.as_bytes() {
            return Err(not_one().into());
        }
        terms.observer.observe(&Event::Phase { phase: Phase::Verify, item: String::new() });
        let meter = Meter::new(terms.observer, terms.clock).with_totals(self.bytes, 1);
        let (mut sum, mut at) = (Sha256::new(), 0);
        while at < summed {
            if terms.stop.load(Ordering::Relaxed) {
                return Err(ops::Error::Stopped);
            }
            let length = (summed - at).min(MIB as u64);
            sum.update(self.piece(at, length as usize)?);
            at += length;
            meter.add(length, 0, b"");
        }
        match hex(&sum.finalize()).as_bytes() == digits {
            true => Ok(()),
            false => Err(self.damaged("its checksum is not that of its content").into()),
        }
    }

    /// Refuses a directory that would not fit into memory before it is read.
    fn check_directory(&self) -> Result<(), ops::Error> {
        let bad = || self.damaged("it does not end as a ZIP file");
        let end_at = self.bytes.checked_sub((END_BYTES + COMMENT_BYTES) as u64).ok_or_else(bad)?;
        let end = self.piece(end_at, END_BYTES)?;
        if end[..4] != *b"PK\x05\x06" || number(&end[20..22]) != COMMENT_BYTES as u64 {
            return Err(bad().into());
        }
        let (mut entries, mut bytes) = (number(&end[10..12]), number(&end[12..16]));
        if let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES as u64) {
            let locator = self.piece(locator_at, LOCATOR_BYTES)?;
            if locator[..4] == *b"PK\x06\x07" {
                let end64_at = number(&locator[8..16]);
                let fits =
                    end64_at.checked_add(END64_BYTES as u64).is_some_and(|end| end <= end_at);
                let end64 = self.piece(if fits { end64_at } else { 0 }, END64_BYTES)?;
                if !fits || end64[..4] != *b"PK\x06\x06" {
                    return Err(bad().into());
                }
                entries = entries.max(number(&end64[32..40]));
                bytes = bytes.max(number(&end64[40..48]));
            }
        }
        if entries > ENTRIES_MAX as u64 + 8 || bytes > DIRECTORY_BYTES_MAX {
            return Err(self.damaged("it claims more entries than any export has").into());
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), why: why.into() }
    }

    fn piece(&self, at: u64, length: usize) -> Result<Vec<u8>, ops::Error> {
        let mut piece = vec![0; length];
        read_exact_at(&*self.disk, &self.file, &mut piece, at).map_err(|source| {
            match source.kind() {
                io::ErrorKind::UnexpectedEof => self.damaged("it is shorter than it was").into(),
                _ => ops::Error::Io { action: "read", path: self.path.clone(), source },
            }
        })?;
        Ok(piece)
    }
}

/// Reads a small-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.disk.read_at(&self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
