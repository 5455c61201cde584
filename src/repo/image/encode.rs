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
    limits::{MIB, PAGE_SLOTS_MAX, PATCH_DEPTH_MAX},
    repo::image::{Error, ImageReader, maps::Table, reader::Group},
};

/// A patch longer than this part of its page is not worth its dependence on an older version.
const PATCH_PERCENT_MAX: usize = 30;
/// What it costs to name the chunk of an older version, here and in the page map: ids do not
/// compress, patches do. The base needs no name.
const REFERENCE_BYTES: usize = 64;
/// How much more it may cost to start from an older version, when the newest one is as many patches
/// deep as any may be.
///
/// What the newest version was made from is then the nearest at hand, and with every change the
/// page moves further away from it. A patch of twice the length that starts higher up can carry
/// others again: a page that changes every hour costs a few of its changes each time, and not all
/// that it has seen. Of 1.5, 2 and 2.5, simulated at four rates of change, 2 did best.
const HIGHER_UP_TIMES: usize = 2;
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
    Patch {
        older: Older,
        ops: Vec<u8>,
        /// Chunks that the older version is made from, itself included.
        needs: Vec<ChunkId>,
    },
}

/// Takes changed pages in ascending order and stores them, as patches and plain, in chunks.
#[must_use = "the last pages are stored by `finish`"]
pub struct PageEncoder<'a> {
    older: &'a ImageReader,
    against: Against,
    page_bytes: usize,
    patches: Vec<(u32, Older, Vec<u8>)>,
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
                Form::Patch { older, ops, needs } => {
                    for id in needs {
                        let _ = self.table.name(id);
                    }
                    self.patches.push((*page, older, ops));
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
        let mut candidates = self.candidates(older, group, page)?;
        // A version at the full depth cannot carry another patch.
        let is_deep = candidates.len() > PATCH_DEPTH_MAX;
        candidates.truncate(PATCH_DEPTH_MAX);
        let times = if is_deep { HIGHER_UP_TIMES } else { 1 };
        let patch_bytes_max = bytes.len() * PATCH_PERCENT_MAX / 100;
        let mut cost_max = patch_bytes_max + REFERENCE_BYTES;
        let mut best: Option<(usize, Vec<u8>)> = None;
        for (at, (place, version)) in candidates.iter().enumerate().rev() {
            let reference_bytes = if *place == Older::Base { 0 } else { REFERENCE_BYTES };
            let bytes_max = cost_max.saturating_sub(reference_bytes).min(patch_bytes_max);
            let mut ops = Vec::new();
            if let Some(length) = diff.diff(version, bytes, bytes_max, &mut ops) {
                best = Some((at, ops));
                // Only a better one is of interest from now on.
                cost_max = ((length + reference_bytes) * times).saturating_sub(1);
            }
        }
        let Some((at, ops)) = best else { return Ok(Form::Plain) };
        let mut applied = vec![0; bytes.len()];
        patch::apply(&ops, &candidates[at].1, &mut applied)?;
        if applied != bytes {
            return Err(Error::WrongPatch { page });
        }
        let needs = candidates[..=at].iter().filter_map(|(place, _)| match place {
            Older::Base => None,
            Older::Chunk { id, .. } => Some(*id),
        });
        let needs = needs.collect();
        Ok(Form::Patch { older: candidates[at].0, ops, needs })
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
        let patches = std::mem::take(&mut self.patches);
        let slots: Vec<(u32, Older, &[u8])> =
            patches.iter().map(|(page, older, ops)| (*page, *older, ops.as_slice())).collect();
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
