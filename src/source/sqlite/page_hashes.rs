//! The page hashes of a stored image, kept on this machine so that a capture knows what changed.
//!
//! A cache. A list is believed only if the identity computed from it is that of the image in the
//! parent snapshot's record; a lost one is made again from the stored image.

use std::{ffi::OsString, fs::File, io};

use crate::{
    crypto::keys::Keys,
    disk::{Dir, Disk, Replace, read_exact_at, write_all_at},
    format::image::Image,
    id::{ImageIdentity, RepositoryId, SnapshotId},
    repo::image::{self, ImageReader},
    source::sqlite::spool::{HASH_BYTES, Spool, create_temporary, for_each_piece},
};

const MAGIC: &[u8; 8] = b"STLPAGE1";
/// Magic, repository, part, snapshot, page size, page count.
const HEADER_BYTES: usize = 8 + 32 + 32 + 32 + 4 + 4;

/// Which database a list belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ListName<'a> {
    pub repository: RepositoryId,
    pub part: &'a str,
    /// Where the database lies inside a part of files; empty for a part that is the database.
    pub path: &'a [u8],
}

impl ListName<'_> {
    /// What the names of all lists of this database begin with.
    fn prefix(&self) -> String {
        let short: String = self.hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("pages-{short}-")
    }

    fn file_name(&self, snapshot: SnapshotId) -> OsString {
        format!("{}{snapshot}", self.prefix()).into()
    }

    fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let _ = hasher.update(&(self.part.len() as u64).to_le_bytes());
        let _ = hasher.update(self.part.as_bytes()).update(self.path);
        *hasher.finalize().as_bytes()
    }

    fn header(&self, snapshot: SnapshotId, page_bytes: u32, count: u32) -> [u8; HEADER_BYTES] {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(self.repository.as_bytes());
        header.extend(self.hash());
        header.extend(snapshot.as_bytes());
        header.extend(page_bytes.to_le_bytes());
        header.extend(count.to_le_bytes());
        header.try_into().expect("the parts above have this length in all")
    }
}

/// The page hashes of one image, proven to be its.
#[derive(Debug)]
pub struct PageHashes {
    file: File,
    /// Where the hashes begin.
    offset: u64,
    page_bytes: u32,
    count: u32,
}

impl PageHashes {
    /// Opens the list that belongs to the image in this snapshot; nothing if there is none, or if
    /// it is not exactly that image's.
    pub fn open(
        disk: &dyn Disk,
        at: &Dir,
        name: &ListName<'_>,
        (snapshot, image, keys): (SnapshotId, &Image, &Keys),
    ) -> Option<Self> {
        let file = disk.open(at, &name.file_name(snapshot)).ok()?;
        let (page_bytes, count) = (image.page_bytes, image.page_count);
        let mut header = [0; HEADER_BYTES];
        read_exact_at(disk, &file, &mut header, 0).ok()?;
        let offset = HEADER_BYTES as u64;
        let hashes = Self { file, offset, page_bytes, count };
        let is_named_so = header == name.header(snapshot, page_bytes, count);
        (is_named_so && hashes.identity(disk, keys).ok()? == image.identity).then_some(hashes)
    }

    /// Makes the list of a stored image again, in a file without a name.
    pub fn rebuild(
        disk: &dyn Disk,
        at: &Dir,
        reader: &ImageReader,
        keys: &Keys,
    ) -> Result<Self, RebuildError> {
        let file = create_temporary(disk, at)?;
        let mut offset = 0;
        let identity = reader.read_whole::<RebuildError>(keys, &|_, _| Ok(()), &mut |hashes| {
            write_all_at(disk, &file, hashes, offset)?;
            offset += hashes.len() as u64;
            Ok(())
        })?;
        let image = reader.image();
        if identity != image.identity {
            return Err(image::Error::OtherIdentity.into());
        }
        Ok(Self { file, offset: 0, page_bytes: image.page_bytes, count: image.page_count })
    }

    /// Saves the list of the image that this snapshot holds, and removes older ones of the same
    /// database. A list that a crash cuts short is not believed later, so nothing is synced.
    pub fn save(
        disk: &dyn Disk,
        at: &Dir,
        name: &ListName<'_>,
        (snapshot, captured): (SnapshotId, &Spool),
    ) -> io::Result<()> {
        Self::forget_others(disk, at, name, None)?;
        let file = disk.create_new(at, &name.file_name(snapshot), 0o600)?;
        let header = name.header(snapshot, captured.page_bytes(), captured.page_count());
        write_all_at(disk, &file, &header, 0)?;
        let mut offset = header.len() as u64;
        captured.for_each_hash_piece(&mut |piece| {
            write_all_at(disk, &file, piece, offset)?;
            offset += piece.len() as u64;
            Ok(())
        })
    }

    /// Hands the list of a database that did not change on from one snapshot to the next.
    pub fn hand_on(
        disk: &dyn Disk,
        at: &Dir,
        name: &ListName<'_>,
        (from, to, image): (SnapshotId, SnapshotId, &Image),
    ) -> io::Result<()> {
        let file = disk.open_rw(at, &name.file_name(from))?;
        let header = name.header(to, image.page_bytes, image.page_count);
        // Between these two steps the list goes by no name, and is made again if it is missed.
        write_all_at(disk, &file, &header, 0)?;
        disk.rename(at, &name.file_name(from), at, &name.file_name(to), Replace::Yes)?;
        Self::forget_others(disk, at, name, Some(to))
    }

    /// Removes the lists of a database, but for one.
    pub fn forget_others(
        disk: &dyn Disk,
        at: &Dir,
        name: &ListName<'_>,
        keep: Option<SnapshotId>,
    ) -> io::Result<()> {
        let prefix = name.prefix();
        let keep = keep.map(|snapshot| name.file_name(snapshot));
        for found in disk.list(at)? {
            let is_ours = found.as_encoded_bytes().starts_with(prefix.as_bytes());
            if is_ours && Some(&found) != keep.as_ref() {
                disk.remove_file(at, &found)?;
            }
        }
        Ok(())
    }

    /// Hashes that a test made up.
    #[cfg(test)]
    pub(super) const fn of_file(file: File, page_bytes: u32, count: u32) -> Self {
        Self { file, offset: 0, page_bytes, count }
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    pub(super) const fn page_bytes(&self) -> u32 {
        self.page_bytes
    }

    pub(super) fn for_each_piece(
        &self,
        disk: &dyn Disk,
        visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let bytes = u64::from(self.count) * HASH_BYTES;
        for_each_piece(disk, &self.file, (self.offset, bytes), visit)
    }

    fn identity(&self, disk: &dyn Disk, keys: &Keys) -> io::Result<ImageIdentity> {
        let mut identity = keys.image_identity(self.page_bytes, self.count);
        self.for_each_piece(disk, &mut |piece| {
            identity.update(piece);
            Ok(())
        })?;
        Ok(identity.finish())
    }
}

/// Why a list could not be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("cannot write page hashes")]
    Io(#[from] io::Error),
}
