//! The temporary file through which a capture hands up pages and page hashes.
//!
//! It has no name, so nothing of it survives us. The backup makes it and writes the older page
//! hashes, the child inherits it as its standard output and writes the rest at fixed places. That
//! way neither side ever holds more than a piece of it, however large the database is.

use std::{fs::File, io, sync::Arc};

use crate::{
    clock::{Entropy, SystemEntropy},
    disk::{Dir, Disk, file::TEMPORARY_PREFIX, read_exact_at},
    limits::MIB,
    repo::image::ChangedPages,
};

/// Bytes of a page hash.
pub const HASH_BYTES: u64 = 16;

/// Where things lie in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub older_count: u32,
    pub page_count: u32,
    pub page_bytes: u32,
}

impl Layout {
    /// Hashes of the older image. What lies before is left to whoever prints on standard output.
    pub const OLDER_HASHES: u64 = 4096;

    /// Hashes of the new image.
    pub const fn hashes(&self) -> u64 {
        Self::OLDER_HASHES + self.older_count as u64 * HASH_BYTES
    }

    /// Numbers of the changed pages, `u32` little-endian, ascending.
    pub const fn numbers(&self) -> u64 {
        self.hashes() + self.page_count as u64 * HASH_BYTES
    }

    /// The changed pages, in the same order.
    pub const fn pages(&self) -> u64 {
        (self.numbers() + self.page_count as u64 * 4).next_multiple_of(4096)
    }
}

/// What a capture left: all page hashes, and the pages that changed.
pub struct Spool {
    disk: Arc<dyn Disk>,
    file: File,
    layout: Layout,
    changed_count: u32,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl Spool {
    pub(super) const fn new(
        disk: Arc<dyn Disk>,
        file: File,
        layout: Layout,
        changed_count: u32,
    ) -> Self {
        Self { disk, file, layout, changed_count }
    }

    /// Calls back with the hashes of all pages, 16 bytes each, in order, piece by piece.
    pub fn for_each_hash_piece(
        &self,
        visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let bytes = u64::from(self.layout.page_count) * HASH_BYTES;
        for_each_piece(&*self.disk, &self.file, (self.layout.hashes(), bytes), visit)
    }

    pub const fn page_bytes(&self) -> u32 {
        self.layout.page_bytes
    }

    pub const fn page_count(&self) -> u32 {
        self.layout.page_count
    }
}

impl ChangedPages for Spool {
    fn count(&self) -> u32 {
        self.changed_count
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        let mut bytes = vec![0; into.len() * 4];
        let offset = self.layout.numbers() + u64::from(first) * 4;
        read_exact_at(&*self.disk, &self.file, &mut bytes, offset)?;
        for (number, bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
            *number = u32::from_le_bytes(*bytes);
        }
        Ok(())
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        let offset = self.layout.pages() + u64::from(first) * u64::from(self.layout.page_bytes);
        read_exact_at(&*self.disk, &self.file, into, offset)
    }
}

/// Calls back with the range (offset, length) of a file, piece by piece.
pub fn for_each_piece(
    disk: &dyn Disk,
    file: &File,
    (mut offset, mut bytes): (u64, u64),
    visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; bytes.min(MIB as u64) as usize];
    while bytes > 0 {
        let piece = &mut piece[..bytes.min(MIB as u64) as usize];
        read_exact_at(disk, file, piece, offset)?;
        visit(piece)?;
        offset += piece.len() as u64;
        bytes -= piece.len() as u64;
    }
    Ok(())
}

/// Creates a file that is gone when its last handle is closed.
pub fn create_temporary(disk: &dyn Disk, at: &Dir) -> io::Result<File> {
    match disk.create_unnamed(at, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let mut random = [0; 8];
            SystemEntropy.fill(&mut random);
            let name = format!("{TEMPORARY_PREFIX}{:016x}", u64::from_le_bytes(random));
            let file = disk.create_new(at, name.as_ref(), 0o600)?;
            disk.remove_file(at, name.as_ref())?;
            Ok(file)
        }
        created => created,
    }
}
