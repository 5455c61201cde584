//! Changed pages on their way into page chunks: as patches where an older version is near enough.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::{
    chunk::{Store, page_diff::PageDiff},
    format::{
        page_chunk::{Older, encode_patches, encode_plain},
        page_map::{PageEntry, PageMap},
        patch,
    },
    id::ChunkId,
    limits::{MIB, PAGE_SLOTS_MAX},
    repo::image::{
        Error, ImageReader,
        choice::{Patch, choose, patch_bytes_max},
        maps::Table,
        reader::Group,
    },
};

/// A patch longer than this part of its page is not worth its dependence on an older version.
const PATCH_PERCENT_MAX: usize = 30;
/// Pages encoded at a time.
pub const WINDOW_BYTES: usize = 4 * MIB;
/// Plain pages in one chunk.
const PLAIN_BYTES_MAX: usize = MIB;

/// Against which older versions a page may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Whatever makes the patch small.
    AnyVersion,
    /// The base alone, to be free of older chunks.
    Base,
}

/// For each chunk: the page of every slot, and where its older version lies, if it has one.
pub type Links = HashMap<ChunkId, Vec<(u32, Option<Older>)>>;

/// Where pages went.
pub struct Encoded {
    /// With all chunks that the pages need.
    pub map: PageMap,
    /// Of the chunks that were stored now: they cannot be fetched before they are durable.
    pub links: Links,
}

/// How a page will be stored.
enum Form {
    Plain,
    /// As one of these, whichever suits the chunk.
    Patch(Vec<Patch>),
}

/// Takes changed pages in ascending order and stores them, as patches and plain, in chunks.
#[must_use = "the last pages are stored by `finish`"]
pub struct PageEncoder<'a> {
    older: &'a ImageReader,
    against: Against,
    page_bytes: usize,
    patches: Vec<(u32, Vec<Patch>)>,
    plain: Vec<(u32, Vec<u8>)>,
    table: Table,
    entries: Vec<PageEntry>,
    links: Links,
}

impl<'a> PageEncoder<'a> {
    pub fn new(older: &'a ImageReader, against: Against, page_bytes: usize) -> Self {
        Self {
            older,
            against,
            page_bytes,
            patches: Vec::new(),
            plain: Vec::new(),
            table: Table::default(),
            entries: Vec::new(),
            links: Links::new(),
        }
    }

    /// Stores pages, which follow those of the call before.
    pub fn put(
        &mut self,
        store: &mut dyn Store,
        numbers: &[u32],
        pages: &[u8],
    ) -> Result<(), Error> {
        let page_bytes = self.page_bytes;
        let bytes_of = |at: usize| &pages[at * page_bytes..(at + 1) * page_bytes];
        let forms = self.encode(numbers, &bytes_of)?;
        for ((at, page), form) in numbers.iter().enumerate().zip(forms) {
            match form {
                Form::Plain => self.put_plain(store, *page, bytes_of(at))?,
                Form::Patch(ways) => {
                    self.patches.push((*page, ways));
                    if self.patches.len() == PAGE_SLOTS_MAX {
                        self.flush_patches(store)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores what is still gathered.
    pub fn finish(mut self, store: &mut dyn Store) -> Result<Encoded, Error> {
        self.flush_patches(store)?;
        self.flush_plain(store)?;
        self.entries.sort_unstable();
        let map = PageMap { chunks: self.table.into_chunks(), entries: self.entries };
        Ok(Encoded { map, links: self.links })
    }

    /// Encodes pages in parallel; those of one base group together, so that it is fetched once.
    fn encode<'p>(
        &self,
        numbers: &[u32],
        bytes_of: &(dyn Fn(usize) -> &'p [u8] + Sync),
    ) -> Result<Vec<Form>, Error> {
        let older = self.older;
        let group_pages = older.image().group_pages.max(1);
        let mut starts = Vec::new();
        for (at, page) in numbers.iter().enumerate() {
            if at == 0 || (page - 1) / group_pages != (numbers[at - 1] - 1) / group_pages {
                starts.push(at);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([numbers.len()]);
        let spans: Vec<_> = starts.iter().copied().zip(ends).collect();
        let forms: Vec<Vec<Form>> = spans
            .into_par_iter()
            .map_init(PageDiff::default, |diff, (start, end)| {
                let group = older.group_of(numbers[start]);
                (start..end)
                    .map(|at| self.encode_page(older, &group, diff, (numbers[at], bytes_of(at))))
                    .collect()
            })
            .collect::<Result<_, Error>>()?;
        Ok(forms.into_iter().flatten().collect())
    }

    fn encode_page(
        &self,
        older: &ImageReader,
        group: &Group<'_>,
        diff: &mut PageDiff,
        (page, bytes): (u32, &[u8]),
    ) -> Result<Form, Error> {
        let candidates = self.candidates(older, group, page)?;
        let bytes_max = bytes.len() * PATCH_PERCENT_MAX / 100;
        let mut change_bytes = None;
        let mut ways = Vec::new();
        // The newest version comes first; one at the full depth only tells how much has changed.
        for (depth, (place, version)) in candidates.iter().enumerate().rev() {
            let mut ops = Vec::new();
            let length = diff.diff(version, bytes, bytes_max, &mut ops);
            let change_bytes = *change_bytes.get_or_insert(length.unwrap_or(bytes_max));
            if length.is_none_or(|length| length > patch_bytes_max(depth, change_bytes)) {
                continue;
            }
            prove(page, &ops, (version, bytes))?;
            let below = candidates[..=depth].iter().map(|(place, _)| *place);
            let needs = below.filter_map(Older::chunk).collect();
            ways.push(Patch { older: *place, ops, needs });
        }
        Ok(if ways.is_empty() { Form::Plain } else { Form::Patch(ways) })
    }

    /// The versions of the page that are at hand, each with all below it before it.
    fn candidates(
        &self,
        older: &ImageReader,
        group: &Group<'_>,
        page: u32,
    ) -> Result<Vec<(Older, Vec<u8>)>, Error> {
        let image = older.image();
        match self.against {
            Against::Base if page <= image.base_pages => {
                Ok(vec![(Older::Base, group.page(page)?.to_vec())])
            }
            Against::AnyVersion if page <= image.page_count => {
                Ok(older.versions(page, group)?.chain)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn put_plain(&mut self, store: &mut dyn Store, page: u32, bytes: &[u8]) -> Result<(), Error> {
        self.plain.push((page, bytes.to_vec()));
        let is_full = self.plain.len() == PAGE_SLOTS_MAX
            || (self.plain.len() + 1) * self.page_bytes > PLAIN_BYTES_MAX;
        if is_full { self.flush_plain(store) } else { Ok(()) }
    }

    fn flush_plain(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        let plain = std::mem::take(&mut self.plain);
        let pages: Vec<(u32, &[u8])> =
            plain.iter().map(|(page, bytes)| (*page, bytes.as_slice())).collect();
        if pages.is_empty() {
            return Ok(());
        }
        let id = store.put(&encode_plain(&pages)?)?;
        self.add(id, pages.iter().map(|(page, _)| (*page, None)).collect());
        Ok(())
    }

    fn flush_patches(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        let pages = std::mem::take(&mut self.patches);
        let mut slots: Vec<(u32, Older, &[u8])> = Vec::with_capacity(pages.len());
        for ((page, ways), chosen) in pages.iter().zip(choose(&pages)) {
            let patch = &ways[chosen];
            for id in &patch.needs {
                let _ = self.table.name(*id);
            }
            slots.push((*page, patch.older, &patch.ops));
        }
        if slots.is_empty() {
            return Ok(());
        }
        let id = store.put(&encode_patches(&slots)?)?;
        self.add(id, slots.iter().map(|(page, older, _)| (*page, Some(*older))).collect());
        Ok(())
    }

    fn add(&mut self, id: ChunkId, slots: Vec<(u32, Option<Older>)>) {
        let chunk = self.table.name(id);
        let entry = |((page, _), slot)| PageEntry { page, chunk, slot };
        self.entries.extend(slots.iter().copied().zip(0..).map(entry));
        let _ = self.links.insert(id, slots);
    }
}

/// Applies a patch and compares what it makes with the page.
fn prove(page: u32, ops: &[u8], (older, newer): (&[u8], &[u8])) -> Result<(), Error> {
    let mut applied = vec![0; newer.len()];
    patch::apply(ops, older, &mut applied)?;
    if applied == newer { Ok(()) } else { Err(Error::WrongPatch { page }) }
}
