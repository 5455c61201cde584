//! Whether the image that would be restored is there already.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{DatabaseSink, Error, doing};
use crate::{
    crypto::keys::Keys,
    disk::{Dir, Disk, FileKind, Stat, read_exact_at},
    format::image::Image,
    limits::MIB,
    sink::files::Overwrite,
    source::sqlite::is_overlaid,
};

/// Bytes of a file that are read at a time: some whole pages of any size.
const PIECE_BYTES: usize = MIB;

impl DatabaseSink<'_> {
    /// Restores the image unless what has the name is to stay; then nothing is returned, and
    /// nothing was touched.
    pub fn restore_unless_kept(
        &self,
        image: &Image,
        (at, name): (&Dir, &OsStr),
        overwrite: Overwrite,
    ) -> Result<Option<u64>, Error> {
        let present = Present { disk: self.disk, keys: self.keys, stop: self.stop };
        if present.is_kept(image, (at, name), overwrite)? {
            return Ok(None);
        }
        self.restore(image, at, name).map(Some)
    }
}

/// Looks at what is there.
#[derive(Clone, Copy)]
pub struct Present<'a> {
    pub disk: &'a dyn Disk,
    pub keys: &'a Keys,
    /// Once set, a look ends with [`Error::Stopped`].
    pub stop: &'a AtomicBool,
}

impl Present<'_> {
    /// Whether what has the name stays.
    pub fn is_kept(
        &self,
        image: &Image,
        (at, name): (&Dir, &OsStr),
        overwrite: Overwrite,
    ) -> Result<bool, Error> {
        match overwrite {
            Overwrite::Never => absent_as_none(self.disk.stat(at, name)).map(|stat| stat.is_some()),
            Overwrite::Changed => self.is_image(image, at, name),
            Overwrite::Always => Ok(false),
        }
    }

    /// Whether the name leads to a file that is exactly the image, with nothing beside it that
    /// SQLite would play into it.
    ///
    /// Reads the whole file if its size is right. A file that changes meanwhile is another one.
    pub fn is_image(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<bool, Error> {
        let Some(before) = self.sight(image, at, name)? else { return Ok(false) };
        let file = doing("open", self.disk.open(at, name))?;
        let is_same = self.has_identity(image, &file)?;
        Ok(is_same && self.sight(image, at, name)? == Some(before))
    }

    /// What `stat` says of a file that may be the image.
    fn sight(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<Option<Stat>, Error> {
        if doing("look at what lies beside", is_overlaid(self.disk, at, name))? {
            return Ok(None);
        }
        let stat = absent_as_none(self.disk.stat(at, name))?;
        Ok(stat.filter(|stat| stat.kind == FileKind::File && stat.bytes == image.bytes()))
    }

    fn has_identity(&self, image: &Image, file: &File) -> Result<bool, Error> {
        let mut identity = self.keys.image_identity(image.page_bytes, image.page_count);
        let (mut hasher, mut hashes) = (self.keys.page_hasher(), Vec::new());
        let mut piece = vec![0; PIECE_BYTES];
        let mut offset = 0;
        while offset < image.bytes() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let left = usize::try_from(image.bytes() - offset).unwrap_or(PIECE_BYTES);
            let piece = &mut piece[..left.min(PIECE_BYTES)];
            match read_exact_at(self.disk, file, piece, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => doing("read", read)?,
            }
            hashes.clear();
            hasher.hash_all(piece, image.page_bytes as usize, &mut hashes);
            identity.update(&hashes);
            offset += piece.len() as u64;
        }
        Ok(identity.finish() == image.identity)
    }
}

fn absent_as_none(stat: io::Result<Stat>) -> Result<Option<Stat>, Error> {
    match stat {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        stat => doing("look at", stat).map(Some),
    }
}
