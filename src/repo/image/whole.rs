//! A whole image, in parallel: for restores, for verification, for page hashes that were lost.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    crypto::{keys::Keys, page_hash::PageHasher},
    format::image::Image,
    id::{ChunkId, ImageIdentity},
    repo::image::{Error, ImageReader, maps::entries_in},
};

/// Runs under way before their hashes are put in order: enough for the threads to keep going.
const WINDOW_RUNS: u32 = 256;

/// A run of neighbouring pages: where it begins in the image, in bytes, and its bytes.
pub type TakeRun<'a, E> = &'a (dyn Fn(u64, &[u8]) -> Result<(), E> + Sync);

impl ImageReader {
    /// Reads all pages, each base group once; returns the identity of what was read.
    ///
    /// `take` is called from several threads, in no particular order, once for each run of up to
    /// one base group. `take_hashes` gets all page hashes, in order, piece by piece.
    /// To compare the identity is left to the caller.
    pub fn read_whole<E: From<Error> + Send>(
        &self,
        keys: &Keys,
        take: TakeRun<'_, E>,
        take_hashes: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<ImageIdentity, E> {
        self.expect_all();
        let image = self.image();
        let mut identity = keys.image_identity(image.page_bytes, image.page_count);
        let run_count = image.page_count.div_ceil(image.group_pages.max(1));
        for first in (0..run_count).step_by(WINDOW_RUNS as usize) {
            let window = first..run_count.min(first + WINDOW_RUNS);
            let hashes: Vec<Vec<u8>> = window
                .into_par_iter()
                .map_init(
                    || (Vec::new(), keys.page_hasher()),
                    |with, run| self.read_run(run, with, take),
                )
                .collect::<Result<_, E>>()?;
            for hashes in hashes {
                identity.update(&hashes);
                take_hashes(&hashes)?;
            }
        }
        Ok(identity.finish())
    }

    /// Reads all pages and compares them with the image's identity.
    pub fn verify(&self, keys: &Keys) -> Result<(), Error> {
        let identity = self.read_whole::<Error>(keys, &|_, _| Ok(()), &mut |_| Ok(()))?;
        if identity == self.image().identity { Ok(()) } else { Err(Error::OtherIdentity) }
    }

    fn read_run<E: From<Error>>(
        &self,
        run: u32,
        (buffer, hasher): &mut (Vec<u8>, PageHasher),
        take: TakeRun<'_, E>,
    ) -> Result<Vec<u8>, E> {
        let page_bytes = self.page_bytes();
        let pages = self.pages_of(run);
        let group = self.group_of(pages.start);
        let bytes = if self.is_base_group(&pages) {
            group.bytes()?
        } else {
            self.assemble(&pages, &[], buffer)?;
            buffer
        };
        take(u64::from(pages.start - 1) * page_bytes as u64, bytes)?;
        let mut hashes = Vec::with_capacity(pages.len() * 16);
        hasher.hash_all(bytes, page_bytes, &mut hashes);
        Ok(hashes)
    }

    /// The pages of a run, counted from 1.
    fn pages_of(&self, run: u32) -> Range<u32> {
        let Image { page_count, group_pages, .. } = *self.image();
        let first = run * group_pages;
        first + 1..first.saturating_add(group_pages).min(page_count) + 1
    }

    /// Whether these pages are a base group as it is: none changed, none missing, none beyond.
    fn is_base_group(&self, pages: &Range<u32>) -> bool {
        let Image { base_pages, group_pages, .. } = *self.image();
        let (first, last) = (pages.start - 1, pages.end - 1);
        first % group_pages.max(1) == 0
            && last == first.saturating_add(group_pages).min(base_pages)
            && last > first
            && self.changed_in(pages).is_empty()
    }

    /// Returns the chunk that holds exactly these pages as a base group, if one does.
    pub(super) fn base_group(&self, pages: &Range<u32>) -> Option<ChunkId> {
        let index = (pages.start - 1) / self.image().group_pages.max(1);
        let id = self.base().get(index as usize).copied();
        id.filter(|_| self.is_base_group(pages))
    }

    /// Puts pages together, leaving those in `except` zero: they need not be in this image.
    pub(super) fn assemble(
        &self,
        pages: &Range<u32>,
        except: &[u32],
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let page_bytes = self.page_bytes();
        buffer.clear();
        buffer.resize(pages.len() * page_bytes, 0);
        let changed = self.changed_in(pages);
        let mut group = self.group_of(pages.start);
        for (page, slot) in pages.clone().zip(buffer.chunks_exact_mut(page_bytes)) {
            if except.binary_search(&page).is_ok() {
                continue;
            }
            if !group.is_of(page) {
                group = self.group_of(page);
            }
            if changed.binary_search(&page).is_ok() {
                slot.copy_from_slice(&self.versions(page, &group)?.into_page());
            } else {
                slot.copy_from_slice(group.page(page)?);
            }
        }
        Ok(())
    }

    /// Those pages of the range that do not lie in the base, ascending.
    fn changed_in(&self, pages: &Range<u32>) -> Vec<u32> {
        let (folded, recent) = self.maps();
        let maps = [folded, recent].into_iter();
        let mut changed: Vec<u32> =
            maps.flat_map(|map| entries_in(map, pages)).map(|entry| entry.page).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}
