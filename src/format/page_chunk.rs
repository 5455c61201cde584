//! Page chunks: up to 64 pages, plain or as patches. Spec: `format-spec/50-page-map.md`, "Page
//! chunk".

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint},
        page_map::read_next_page,
    },
    id::ChunkId,
    limits::{CHUNK_BYTES_MAX, PAGE_COUNT_MAX, PAGE_SLOTS_MAX},
};

const OBJECT: &str = "page chunk";
const PLAIN: u8 = 1;
const PATCHES: u8 = 2;

/// Where the older version lies that a patch starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Older {
    /// The page of the same number in the image's base.
    Base,
    /// A slot of another page chunk, for the same page number.
    Chunk { id: ChunkId, slot: u8 },
}

impl Older {
    /// The page chunk that the older version lies in, unless it is in the base.
    pub const fn chunk(self) -> Option<ChunkId> {
        match self {
            Self::Base => None,
            Self::Chunk { id, .. } => Some(id),
        }
    }
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageSlot<'a> {
    /// The page itself.
    Plain(&'a [u8]),
    /// Instructions for [`patch::apply`](crate::format::patch::apply).
    Patch { older: Older, ops: &'a [u8] },
}

/// A decoded page chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageChunk<'a> {
    slots: Vec<(u32, PageSlot<'a>)>,
}

impl<'a> PageChunk<'a> {
    /// Reads a page chunk of an image with pages of `page_bytes`.
    pub fn parse(bytes: &'a [u8], page_bytes: u32) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, bytes);
        let slots = match cursor.u8()? {
            PLAIN => read_plain(&mut cursor, page_bytes as usize)?,
            PATCHES => read_patches(&mut cursor)?,
            unknown => return Err(cursor.newer(format!("page chunk kind {unknown}"))),
        };
        cursor.finish()?;
        Ok(Self { slots })
    }

    /// Returns what the slot holds for this page; a slot for another page is an error.
    pub fn get(&self, slot: u8, page: u32) -> Result<PageSlot<'a>, Error> {
        match self.slots.get(usize::from(slot)) {
            Some((number, content)) if *number == page => Ok(*content),
            Some(_) => Err(corrupt("the slot holds another page")),
            None => Err(corrupt("it has no such slot")),
        }
    }

    /// All slots in order, with their page numbers.
    pub fn slots(&self) -> &[(u32, PageSlot<'a>)] {
        &self.slots
    }
}

/// Returns a chunk of plain pages, all of one size, ascending by page number.
///
/// # Errors
/// [`Error::Unstorable`] if the pages break a rule of the format.
pub fn encode_plain(pages: &[(u32, &[u8])]) -> Result<Vec<u8>, Error> {
    let page_bytes = pages.first().map_or(0, |(_, page)| page.len());
    if pages.iter().any(|(_, page)| page.len() != page_bytes) {
        return Err(unstorable("its pages differ in size"));
    }
    let mut out = Vec::with_capacity(pages.len() * (page_bytes + 3) + 2);
    out.push(PLAIN);
    put_page_numbers(&mut out, pages.iter().map(|(number, _)| *number))?;
    pages.iter().for_each(|(_, page)| out.extend_from_slice(page));
    check_length(out)
}

/// Returns a chunk of patches, ascending by page number: number, older version, instructions.
///
/// # Errors
/// [`Error::Unstorable`] if the patches break a rule of the format.
pub fn encode_patches(patches: &[(u32, Older, &[u8])]) -> Result<Vec<u8>, Error> {
    let mut references: Vec<ChunkId> = Vec::new();
    let mut older_chunks = Vec::with_capacity(patches.len());
    let mut older_slots = Vec::with_capacity(patches.len());
    for (_, older, _) in patches {
        let (reference, slot) = match older {
            Older::Base => (0, 0),
            Older::Chunk { id, slot } => (reference_to(&mut references, id), *slot),
        };
        older_chunks.push(reference);
        older_slots.push(slot);
    }
    if older_slots.iter().any(|slot| usize::from(*slot) >= PAGE_SLOTS_MAX) {
        return Err(unstorable("a slot is too high"));
    }
    let mut out = vec![PATCHES];
    put_uvarint(&mut out, references.len() as u64);
    references.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
    put_page_numbers(&mut out, patches.iter().map(|(number, ..)| *number))?;
    older_chunks.iter().for_each(|reference| put_uvarint(&mut out, *reference));
    older_slots.iter().for_each(|slot| put_uvarint(&mut out, u64::from(*slot)));
    patches.iter().for_each(|(.., ops)| put_uvarint(&mut out, ops.len() as u64));
    patches.iter().for_each(|(.., ops)| out.extend_from_slice(ops));
    check_length(out)
}

/// Returns the number that stands for the chunk in the *older* column, adding it to the references
/// if it is new.
fn reference_to(references: &mut Vec<ChunkId>, id: &ChunkId) -> u64 {
    let at = references.iter().position(|known| known == id).unwrap_or_else(|| {
        references.push(*id);
        references.len() - 1
    });
    at as u64 + 1
}

fn put_page_numbers(
    out: &mut Vec<u8>,
    pages: impl ExactSizeIterator<Item = u32>,
) -> Result<(), Error> {
    if pages.len() == 0 || pages.len() > PAGE_SLOTS_MAX {
        return Err(unstorable("it has no slots or too many"));
    }
    put_uvarint(out, pages.len() as u64);
    let mut previous = 0;
    for page in pages {
        if page <= previous || page > PAGE_COUNT_MAX {
            return Err(unstorable("its pages do not ascend"));
        }
        put_uvarint(out, u64::from(page - previous));
        previous = page;
    }
    Ok(())
}

fn read_page_numbers(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, Error> {
    let count = cursor.uvarint_to(PAGE_SLOTS_MAX as u64, "it has too many slots")?;
    if count == 0 {
        return Err(cursor.corrupt("it has no slots"));
    }
    let mut page = 0;
    (0..count)
        .map(|_| {
            page = read_next_page(cursor, page)?;
            Ok(page)
        })
        .collect()
}

fn read_plain<'a>(
    cursor: &mut Cursor<'a>,
    page_bytes: usize,
) -> Result<Vec<(u32, PageSlot<'a>)>, Error> {
    let pages = read_page_numbers(cursor)?;
    pages.into_iter().map(|page| Ok((page, PageSlot::Plain(cursor.take(page_bytes)?)))).collect()
}

fn read_patches<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<(u32, PageSlot<'a>)>, Error> {
    let count = cursor.uvarint_to(PAGE_SLOTS_MAX as u64, "it has too many references")?;
    let references =
        (0..count).map(|_| cursor.array().map(ChunkId)).collect::<Result<Vec<_>, _>>()?;
    let pages = read_page_numbers(cursor)?;
    let numbers = read_column(cursor, pages.len(), count, "a reference is too high")?;
    let slots = read_column(cursor, pages.len(), PAGE_SLOTS_MAX as u64 - 1, "a slot is too high")?;
    let lengths = read_column(cursor, pages.len(), CHUNK_BYTES_MAX as u64, "a patch is too long")?;
    let mut patches = Vec::with_capacity(pages.len());
    for (at, page) in pages.into_iter().enumerate() {
        let older = match (numbers[at], slots[at]) {
            (0, 0) => Older::Base,
            (0, _) => return Err(cursor.corrupt("the base has no slots")),
            (number, slot) => {
                Older::Chunk { id: references[number as usize - 1], slot: slot as u8 }
            }
        };
        let ops = cursor.take(lengths[at] as usize)?;
        patches.push((page, PageSlot::Patch { older, ops }));
    }
    Ok(patches)
}

fn read_column(
    cursor: &mut Cursor<'_>,
    count: usize,
    max: u64,
    why: &'static str,
) -> Result<Vec<u64>, Error> {
    (0..count).map(|_| cursor.uvarint_to(max, why)).collect()
}

fn check_length(chunk: Vec<u8>) -> Result<Vec<u8>, Error> {
    if chunk.len() > CHUNK_BYTES_MAX {
        return Err(unstorable("it is longer than a chunk"));
    }
    Ok(chunk)
}

const fn corrupt(why: &'static str) -> Error {
    Error::Corrupt { object: OBJECT, at: 0, why }
}

const fn unstorable(why: &'static str) -> Error {
    Error::Unstorable { object: OBJECT, why }
}

#[cfg(test)]
mod tests;
