//! Reads an open file from front to back: the whole of it, or only where it has data.
//!
//! As far as it went when it was opened: whoever chased the end of a log could do so for ever.

use std::{fs::File, io};

use crate::{
    disk::Stat,
    source::files::{
        extents::data_extents,
        read_disk::{ReadDisk, uninterrupted},
    },
};

/// A file being read.
pub struct Reading<'a> {
    disk: &'a dyn ReadDisk,
    file: &'a File,
    offset: u64,
    /// Size of the file when it was opened.
    bytes: u64,
    extents: Option<Vec<(u64, u64)>>,
    /// The extent that is being read.
    current: usize,
    pub bytes_read: u64,
}

impl<'a> Reading<'a> {
    /// Begins at the first byte, or at the first that is not in a hole.
    pub fn begin(disk: &'a dyn ReadDisk, file: &'a File, stat: &Stat) -> io::Result<Self> {
        let extents = data_extents(disk, file, stat)?;
        let offset =
            extents.as_ref().and_then(|extents| extents.first()).map_or(0, |first| first.0);
        Ok(Self { disk, file, offset, bytes: stat.bytes, extents, current: 0, bytes_read: 0 })
    }

    /// Where the next byte lies in the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads on; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = match &self.extents {
            Some(_) => self.read_extent(buffer)?,
            None => {
                let left = usize::try_from(self.bytes - self.offset).unwrap_or(usize::MAX);
                let wanted = buffer.len().min(left);
                self.read_at_offset(&mut buffer[..wanted])?
            }
        };
        self.bytes_read += bytes as u64;
        Ok(bytes)
    }

    /// Returns the extents that were read, if the file was sparse.
    pub fn into_extents(self) -> Option<Vec<(u64, u64)>> {
        self.extents
    }

    fn read_extent(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let extents = self.extents.as_deref().unwrap_or_default();
        let end = |(start, bytes): (u64, u64)| start + bytes;
        while extents.get(self.current).is_some_and(|extent| self.offset >= end(*extent)) {
            self.current += 1;
            self.offset = extents.get(self.current).map_or(self.offset, |next| next.0);
        }
        let Some(extent) = extents.get(self.current) else { return Ok(0) };
        let left = usize::try_from(end(*extent) - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        match self.read_at_offset(&mut buffer[..wanted])? {
            // The file became shorter. The extents promise these bytes; that it changed is reported
            // elsewhere.
            0 => {
                buffer[..wanted].fill(0);
                self.offset += wanted as u64;
                Ok(wanted)
            }
            bytes => Ok(bytes),
        }
    }

    fn read_at_offset(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let bytes = uninterrupted(|| self.disk.read_at(self.file, buffer, self.offset))?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}
