//! The names in one folder: sorted, a few bytes each beyond the name itself.

use std::{io, ops::Range};

use crate::{
    disk::Dir,
    limits::NAME_BYTES_MAX,
    source::files::{
        read_disk::{ReadDisk, uninterrupted},
        roots::Chosen,
    },
};

/// The names in one folder, ascending byte by byte, each once.
#[derive(Debug, Default)]
pub struct Names {
    /// All names, one after another, as they were listed.
    bytes: Vec<u8>,
    /// Where each begins, and its length.
    spans: Vec<(u32, u8)>,
    /// Names that no entry can have.
    too_long: Vec<Vec<u8>>,
}

impl Names {
    /// Lists what is chosen of a folder.
    pub fn of(disk: &dyn ReadDisk, dir: &Dir, chosen: &Chosen) -> io::Result<Self> {
        let mut names = Self::default();
        match chosen {
            Chosen::Only(chosen) => chosen.keys().for_each(|name| names.push(name)),
            // An interrupted listing goes on where it was; a name that comes twice is kept once.
            Chosen::Whole => uninterrupted(|| disk.list(dir, &mut |name| names.push(name)))?,
        }
        if names.bytes.len() > u32::MAX as usize {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        names.sort();
        Ok(names)
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[range(self.spans[index])]
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| self.bytes[range(*span)].cmp(name)).is_ok()
    }

    /// Names that no entry can have.
    pub fn too_long(&self) -> &[Vec<u8>] {
        &self.too_long
    }

    fn push(&mut self, name: &[u8]) {
        match u8::try_from(name.len()) {
            Ok(length) => {
                // Beyond 4 GiB the offset is wrong, but then the listing is refused.
                self.spans.push((self.bytes.len() as u32, length));
                self.bytes.extend_from_slice(name);
            }
            Err(_) => self.too_long.push(name.to_vec()),
        }
    }

    fn sort(&mut self) {
        let Self { bytes, spans, .. } = self;
        spans.sort_unstable_by(|a, b| bytes[range(*a)].cmp(&bytes[range(*b)]));
        spans.dedup_by(|a, b| bytes[range(*a)] == bytes[range(*b)]);
    }
}

const _: () = assert!(NAME_BYTES_MAX == u8::MAX as usize);

fn range((start, length): (u32, u8)) -> Range<usize> {
    start as usize..start as usize + usize::from(length)
}
