//! One stored image, any page of it. Spec: `format-spec/50-page-map.md`, "Where page n lies".

use std::{cell::OnceCell, collections::HashSet, sync::Arc};

use crate::{
    chunk::{Chunk, Fetch},
    format::{
        image::Image,
        page_chunk::{Older, PageSlot},
        page_map::PageMap,
        patch,
        stream::Stream,
    },
    id::ChunkId,
    limits::{PAGE_MAP_BYTES_MAX, PATCH_DEPTH_MAX},
    repo::{
        image::{Error, corrupt, page_chunks::PageChunks},
        stream::{self, Holds},
    },
};

/// An opened image. Holds its maps and a bounded number of page chunks; may be shared by threads.
///
/// One page costs at most one base group and four small chunks.
pub struct ImageReader {
    image: Image,
    fetch: Arc<dyn Fetch>,
    base: Vec<ChunkId>,
    folded: PageMap,
    recent: PageMap,
    chunks: PageChunks,
}

/// A version of a page with all that it is made from.
pub struct Versions {
    /// Where each version lies, and its bytes: first a plain one, then what each patch makes of it.
    /// The last is the page itself.
    pub chain: Vec<(Older, Vec<u8>)>,
}

impl Versions {
    /// The page itself.
    pub fn into_page(mut self) -> Vec<u8> {
        self.chain.pop().map(|(_, page)| page).expect("a chain begins with a plain version")
    }
}

impl ImageReader {
    /// Reads the maps of an image.
    pub fn open(image: &Image, fetch: Arc<dyn Fetch>) -> Result<Self, Error> {
        let base = read_ids(&*fetch, image)?;
        let folded = read_map(&*fetch, &image.folded)?;
        let recent = read_map(&*fetch, &image.recent)?;
        let named: HashSet<_> = folded.chunks.iter().chain(&recent.chunks).copied().collect();
        let chunks = PageChunks::new(fetch.clone(), image.page_bytes, named);
        Ok(Self { image: image.clone(), fetch, base, folded, recent, chunks })
    }

    /// The image that was opened.
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// Returns a page, counted from 1.
    pub fn page(&self, number: u32) -> Result<Vec<u8>, Error> {
        self.versions(number, &self.group_of(number)).map(Versions::into_page)
    }

    /// Has all chunks fetched in large pieces, for a reader of the whole image: those of the
    /// changes first, which are small and needed everywhere, then the base in the order of its
    /// pages.
    pub fn expect_all(&self) {
        self.fetch.expect(&self.recent.chunks);
        self.fetch.expect(&self.folded.chunks);
        self.fetch.expect(&self.base);
    }

    /// Calls back with every chunk that the image needs; some more than once.
    pub fn for_each_chunk(&self, visit: &mut dyn FnMut(ChunkId)) -> Result<(), Error> {
        for stream in [&self.image.base, &self.image.folded, &self.image.recent] {
            stream::for_each_chunk(&*self.fetch, stream, &mut |_, id| {
                visit(id);
                Ok::<_, Error>(())
            })?;
        }
        let named = self.base.iter().chain(&self.folded.chunks).chain(&self.recent.chunks);
        named.for_each(|id| visit(*id));
        Ok(())
    }

    pub(super) const fn maps(&self) -> (&PageMap, &PageMap) {
        (&self.folded, &self.recent)
    }

    pub(super) fn base(&self) -> &[ChunkId] {
        &self.base
    }

    pub(super) const fn chunks(&self) -> &PageChunks {
        &self.chunks
    }

    /// The page chunks of another map of this database.
    pub(super) fn chunks_of(&self, map: &PageMap) -> PageChunks {
        let named = map.chunks.iter().copied().collect();
        PageChunks::new(self.fetch.clone(), self.image.page_bytes, named)
    }

    pub(super) const fn page_bytes(&self) -> usize {
        self.image.page_bytes as usize
    }

    /// The base group that a page is in, or would be in: not fetched before it is needed.
    pub(super) fn group_of(&self, page: u32) -> Group<'_> {
        Group { reader: self, index: self.group_index(page), chunk: OnceCell::new() }
    }

    /// A base group that was fetched before.
    pub(super) fn group_from(&self, index: u32, chunk: Chunk) -> Group<'_> {
        Group { reader: self, index, chunk: OnceCell::from(chunk) }
    }

    /// Which base group a page is in, or would be in.
    pub(super) fn group_index(&self, page: u32) -> u32 {
        (page.max(1) - 1) / self.image.group_pages.max(1)
    }

    /// Returns where a page lies.
    pub(super) fn place(&self, page: u32) -> Result<Older, Error> {
        for map in [&self.recent, &self.folded] {
            if let Some(entry) = map.get(page) {
                return Ok(Older::Chunk { id: map.chunks[entry.chunk as usize], slot: entry.slot });
            }
        }
        let is_in_base = page > 0 && page <= self.image.base_pages;
        if is_in_base { Ok(Older::Base) } else { Err(Error::NoPlace { page }) }
    }

    /// Returns a page with the versions that it is made from.
    pub(super) fn versions(&self, page: u32, group: &Group<'_>) -> Result<Versions, Error> {
        if page == 0 || page > self.image.page_count {
            return Err(Error::NoPlace { page });
        }
        let mut place = self.place(page)?;
        // From the page down to its plain version, then back up.
        let mut patches = Vec::with_capacity(PATCH_DEPTH_MAX);
        let plain = loop {
            let Older::Chunk { id, slot } = place else {
                break group.page(page)?.to_vec();
            };
            let chunk = self.chunks.get(&id, page)?;
            match chunk.get(slot, page)? {
                PageSlot::Plain(plain) => break plain.to_vec(),
                PageSlot::Patch { .. } if patches.len() == PATCH_DEPTH_MAX => {
                    return Err(corrupt(page, "too many patches lead to a page"));
                }
                PageSlot::Patch { older, .. } => {
                    patches.push((place, chunk.clone(), slot));
                    place = older;
                }
            }
        };
        let mut chain = Vec::with_capacity(patches.len() + 1);
        chain.push((place, plain));
        for (place, chunk, slot) in patches.into_iter().rev() {
            let older = &chain.last().expect("it begins with the plain version").1;
            let mut newer = vec![0; older.len()];
            if let PageSlot::Patch { ops, .. } = chunk.get(slot, page)? {
                patch::apply(ops, older, &mut newer)?;
            }
            chain.push((place, newer));
        }
        Ok(Versions { chain })
    }
}

/// A base group, fetched when the first page of it is asked for.
pub(super) struct Group<'a> {
    reader: &'a ImageReader,
    index: u32,
    chunk: OnceCell<Chunk>,
}

impl Group<'_> {
    /// Whether the page is in the group, or would be.
    pub fn is_of(&self, page: u32) -> bool {
        page > 0 && self.reader.group_index(page) == self.index
    }

    /// Returns the group's bytes.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        if let Some(chunk) = self.chunk.get() {
            return Ok(chunk);
        }
        let image = &self.reader.image;
        let first = self.index * image.group_pages;
        let pages = image.base_pages.saturating_sub(first).min(image.group_pages);
        let id = self.reader.base.get(self.index as usize);
        let id = id.ok_or(Error::NoPlace { page: first + 1 })?;
        let chunk = self.reader.fetch.get(id)?;
        if chunk.len() != pages as usize * self.reader.page_bytes() {
            return Err(corrupt(first + 1, "a base group has another length"));
        }
        Ok(self.chunk.get_or_init(|| chunk))
    }

    /// The group's bytes, if any page of it was asked for.
    pub fn into_chunk(self) -> Option<Chunk> {
        self.chunk.into_inner()
    }

    /// Returns a page of the group, counted from 1 in the image.
    pub fn page(&self, page: u32) -> Result<&[u8], Error> {
        let image = &self.reader.image;
        if page > image.base_pages || !self.is_of(page) {
            return Err(Error::NoPlace { page });
        }
        let page_bytes = self.reader.page_bytes();
        let start = ((page - 1) % image.group_pages) as usize * page_bytes;
        Ok(&self.bytes()?[start..start + page_bytes])
    }
}

fn read_ids(fetch: &dyn Fetch, image: &Image) -> Result<Vec<ChunkId>, Error> {
    let count = image.base_pages.div_ceil(image.group_pages.max(1)) as usize;
    let mut ids = Vec::with_capacity(count);
    let mut split = Vec::new();
    stream::for_each_chunk(fetch, &image.base, &mut |holds, id| {
        if holds == Holds::Data {
            split.extend_from_slice(&fetch.get(&id)?);
            let (whole, rest) = split.as_chunks();
            ids.extend(whole.iter().copied().map(ChunkId));
            split = rest.to_vec();
        }
        Ok::<_, Error>(())
    })?;
    if ids.len() == count && split.is_empty() {
        Ok(ids)
    } else {
        Err(corrupt(0, "the base has another number of groups"))
    }
}

fn read_map(fetch: &dyn Fetch, map: &Stream) -> Result<PageMap, Error> {
    if map.bytes == 0 {
        return Ok(PageMap::default());
    }
    Ok(PageMap::decode(&stream::read(fetch, map, PAGE_MAP_BYTES_MAX)?)?)
}
