//! B-trees of a past database, read page by page without SQLite: for comparisons, which SQLite
//! cannot make without reading everything.
//!
//! What is read here was written by others. Every number is checked before it is used, no page of a
//! tree is entered twice, and nothing recurses. What this finds is checked against what SQLite
//! itself says of the rows, so that a damaged tree may make a comparison fail, but never lie.

mod leaves;
mod overflow;
mod page;
mod payload;
mod record;

pub use leaves::{Alike, Differing, all_pages, differing_pages, tree_pages};
pub use overflow::leaves_tell_all;
pub use page::{Cell, Kind, Page};
pub use payload::{Content, Payload};
pub use record::{Compared, compare, key_prefix, values};

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use crate::repo::image::{self, CachedImage};

/// Trees are never deeper: SQLite does not go further down either.
pub const TREE_DEPTH_MAX: usize = 20;

/// The pages of one image, as its own header says they are to be read.
#[derive(Clone)]
pub struct Pages {
    image: Arc<CachedImage>,
    usable_bytes: usize,
    page_count: u32,
    /// How many overflow pages may still be read in this pass.
    overflow_left: Arc<AtomicI64>,
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("page {page}: {why}")]
    Malformed { page: u32, why: &'static str },
}

/// A page breaks a rule of SQLite's file format.
const fn malformed(page: u32, why: &'static str) -> Error {
    Error::Malformed { page, why }
}

impl Pages {
    /// Reads the header of an image that is not empty.
    pub fn open(image: Arc<CachedImage>) -> Result<Self, Error> {
        let described = image.reader().image();
        let (page_bytes, page_count) = (described.page_bytes as usize, described.page_count);
        let first = image.page(1)?;
        // A page is never shorter than the 100 bytes of the header.
        let stated = match u16::from_be_bytes([first[16], first[17]]) {
            1 => 65_536,
            bytes => usize::from(bytes),
        };
        let usable_bytes = page_bytes - usize::from(first[20]);
        if stated != page_bytes || usable_bytes < 480 {
            return Err(malformed(1, "the header states another page size"));
        }
        let overflow_left = Arc::new(AtomicI64::new(i64::from(page_count)));
        Ok(Self { image, usable_bytes, page_count, overflow_left })
    }

    /// Begins to read cells anew. In one pass over a tree no overflow page is met twice: an image
    /// in which many cells lead to one long chain would keep a comparison busy for years.
    pub fn begin_pass(&self) {
        self.overflow_left.store(i64::from(self.page_count), Relaxed);
    }

    /// Whether one more overflow page may be read.
    fn may_follow(&self) -> bool {
        self.overflow_left.fetch_sub(1, Relaxed) > 0
    }

    /// Bytes of a page that hold content.
    pub const fn usable_bytes(&self) -> usize {
        self.usable_bytes
    }

    pub const fn page_count(&self) -> u32 {
        self.page_count
    }

    /// The image below.
    pub const fn image(&self) -> &Arc<CachedImage> {
        &self.image
    }

    /// Returns the bytes of a page that another page names.
    pub fn bytes(&self, number: u32) -> Result<Arc<Vec<u8>>, Error> {
        if number == 0 || number > self.page_count {
            return Err(malformed(number, "there is no such page"));
        }
        Ok(self.image.page(number)?)
    }

    /// Reads a page of a b-tree.
    pub fn page(&self, number: u32) -> Result<Page, Error> {
        Page::parse(number, self.bytes(number)?, self.usable_bytes)
    }
}

/// A set of page numbers.
#[derive(Debug, Clone)]
pub struct PageSet {
    bits: Vec<u64>,
}

impl PageSet {
    /// An empty set for pages up to this one.
    pub fn new(page_count: u32) -> Self {
        Self { bits: vec![0; page_count as usize / 64 + 1] }
    }

    /// The set of these pages, of an image with so many.
    pub fn of(page_count: u32, pages: &[u32]) -> Self {
        let mut set = Self::new(page_count);
        for page in pages {
            let _ = set.insert(*page);
        }
        set
    }

    /// Adds a page; returns whether it is new. Pages beyond the last are not kept.
    pub fn insert(&mut self, page: u32) -> bool {
        let Some(word) = self.bits.get_mut(page as usize / 64) else { return false };
        let bit = 1 << (page % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub fn contains(&self, page: u32) -> bool {
        self.bits.get(page as usize / 64).is_some_and(|word| word & (1 << (page % 64)) != 0)
    }
}

#[cfg(test)]
mod tests;
