//! The content of a cell: what of it lies on the page, and what on overflow pages behind it.

use crate::{
    limits::KIB,
    ops::past::btree::{Error, Kind, PageSet, Pages, malformed, page::u32_at},
};

/// Longer content is compared by its hash.
const WHOLE_BYTES_MAX: u64 = 64 * KIB as u64;

/// What a cell says of its content.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The page that the cell is on.
    pub page: u32,
    pub bytes_total: u64,
    pub local: &'a [u8],
    /// The first overflow page.
    pub overflow: Option<u32>,
}

/// The content of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Whole(Vec<u8>),
    /// Of content that is too long to be kept.
    Hash(blake3::Hash),
}

impl Content {
    /// The same for comparisons, in few bytes.
    pub fn hashed(self) -> Self {
        match self {
            Self::Whole(bytes) => Self::Hash(blake3::hash(&bytes)),
            hash => hash,
        }
    }
}

/// How much of a content lies on the page itself.
pub fn local_bytes(kind: Kind, usable_bytes: usize, bytes_total: u64) -> usize {
    let usable = usable_bytes as u64;
    let most = match kind.is_table() {
        true => usable - 35,
        false => (usable - 12) * 64 / 255 - 23,
    };
    let least = (usable - 12) * 32 / 255 - 23;
    let wanted = if bytes_total <= most {
        bytes_total
    } else {
        let filled = least + (bytes_total - least) % (usable - 4);
        if filled <= most { filled } else { least }
    };
    // At most as much as a page holds.
    wanted as usize
}

impl Payload<'_> {
    /// Reads all of it.
    pub fn read(&self, pages: &Pages) -> Result<Content, Error> {
        let Some(first) = self.overflow else { return Ok(Content::Whole(self.local.to_vec())) };
        let mut whole = self.local.to_vec();
        let mut hasher = blake3::Hasher::new();
        let keeps = self.bytes_total <= WHOLE_BYTES_MAX;
        if !keeps {
            let _ = hasher.update(self.local);
        }
        self.follow(pages, first, &mut |_, piece| match keeps {
            true => whole.extend_from_slice(piece),
            false => drop(hasher.update(piece).count()),
        })?;
        Ok(if keeps { Content::Whole(whole) } else { Content::Hash(hasher.finalize()) })
    }

    /// Notes the overflow pages that it lies on.
    pub fn note_pages(&self, pages: &Pages, met: &mut PageSet) -> Result<(), Error> {
        match self.overflow {
            Some(first) => self.follow(pages, first, &mut |page, _| {
                let _ = met.insert(page);
            }),
            None => Ok(()),
        }
    }

    fn follow(
        &self,
        pages: &Pages,
        first: u32,
        take: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Error> {
        let mut left = self.bytes_total - self.local.len() as u64;
        let room = pages.usable_bytes() - 4;
        // A chain that is longer than the file runs in a circle.
        if left / room as u64 > u64::from(pages.page_count()) {
            return Err(malformed(self.page, "a cell is longer than its file"));
        }
        let mut next = first;
        while left > 0 {
            if !pages.may_follow() {
                return Err(malformed(self.page, "an overflow page belongs to several cells"));
            }
            let page = pages.bytes(next)?;
            let piece = left.min(room as u64) as usize;
            take(next, &page[4..4 + piece]);
            left -= piece as u64;
            next = u32_at(&page, 0);
        }
        Ok(())
    }
}
