//! Hashes of database pages, sixteen at a time. Spec: `format-spec/50-page-map.md`, "Image
//! identity".
//!
//! A page hash is the keyed BLAKE3 of the page, cut to 16 bytes. BLAKE3 hashes chunks of a KiB side
//! by side, as many as the processor can, and a page of 4 KiB has but four: page after page, a
//! gigabyte takes 0.45 s of a core. The chunks at the same place of sixteen pages fill all lanes,
//! and then it takes 0.2 s, on every reading of a database.
//!
//! The library's own doors take one input at a time, so this goes in by the one that its benchmarks
//! use. It may change with any release: hence the pinned version, and the test against the
//! documented function.

use std::array;

use blake3::{
    BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN,
    platform::{Platform, words_from_le_bytes_32},
};
use zeroize::Zeroizing;

use crate::crypto::secret::Secret32;

/// Bytes of a page hash.
const HASH_BYTES: usize = 16;
/// What the widest processors hash side by side.
const LANES: usize = 16;

// Domain flags of BLAKE3.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// The value of a node of the tree.
type Value = [u8; OUT_LEN];

/// Hashes one database page under a page key.
pub fn page_hash(key: &Secret32, page: &[u8]) -> [u8; HASH_BYTES] {
    short(blake3::keyed_hash(key.expose(), page).as_bytes())
}

/// Hashes pages under a page key.
pub struct PageHasher {
    key: Secret32,
    words: Zeroizing<[u32; 8]>,
    platform: Platform,
    /// Two levels of the trees of up to [`LANES`] pages, node by node, in each the pages in turn.
    levels: [Vec<Value>; 2],
}

impl PageHasher {
    pub fn new(key: &Secret32) -> Self {
        Self {
            key: key.clone(),
            words: Zeroizing::new(words_from_le_bytes_32(key.expose())),
            platform: Platform::detect(),
            levels: Default::default(),
        }
    }

    /// Appends the hashes of pages that lie one after another.
    ///
    /// # Panics
    /// If they do not end with a whole page.
    pub fn hash_all(&mut self, pages: &[u8], page_bytes: usize, into: &mut Vec<u8>) {
        assert_eq!(pages.len() % page_bytes, 0, "a page was cut short");
        let is_tree = page_bytes.is_power_of_two() && page_bytes > CHUNK_LEN;
        for pages in pages.chunks(page_bytes * LANES) {
            if is_tree {
                self.hash_lanes(pages, page_bytes, into);
            } else {
                let pages = pages.chunks_exact(page_bytes);
                into.extend(pages.flat_map(|page| page_hash(&self.key, page)));
            }
        }
    }

    /// Hashes at most [`LANES`] pages, each of two chunks or four or eight, and so on.
    fn hash_lanes(&mut self, pages: &[u8], page_bytes: usize, into: &mut Vec<u8>) {
        let lanes = pages.len() / page_bytes;
        self.hash_chunks(pages, page_bytes);
        let mut nodes = page_bytes / CHUNK_LEN;
        while nodes > 1 {
            nodes /= 2;
            self.hash_parents(nodes, lanes);
        }
        into.extend(self.levels[0].iter().flat_map(short));
    }

    /// Fills the lowest level.
    fn hash_chunks(&mut self, pages: &[u8], page_bytes: usize) {
        let lanes = pages.len() / page_bytes;
        let level = &mut self.levels[0];
        level.clear();
        level.resize(pages.len() / CHUNK_LEN, [0; OUT_LEN]);
        let (chunks, _) = pages.as_chunks::<CHUNK_LEN>();
        let page_chunks = page_bytes / CHUNK_LEN;
        for (number, values) in level.chunks_exact_mut(lanes).enumerate() {
            let inputs: [_; LANES] =
                array::from_fn(|lane| &chunks[lane.min(lanes - 1) * page_chunks + number]);
            self.platform.hash_many(
                &inputs[..lanes],
                &self.words,
                number as u64,
                IncrementCounter::No,
                KEYED_HASH,
                CHUNK_START,
                CHUNK_END,
                values.as_flattened_mut(),
            );
        }
    }

    /// Puts the level above in the place of the lowest one.
    fn hash_parents(&mut self, nodes: usize, lanes: usize) {
        let [below, above] = &mut self.levels;
        above.clear();
        above.resize(nodes * lanes, [0; OUT_LEN]);
        let root = if nodes == 1 { ROOT } else { 0 };
        let pairs = below.chunks_exact(2 * lanes);
        for (pair, values) in pairs.zip(above.chunks_exact_mut(lanes)) {
            let (left, right) = pair.split_at(lanes);
            let blocks: [[u8; BLOCK_LEN]; LANES] = array::from_fn(|lane| {
                let lane = lane.min(lanes - 1);
                let mut block = [0; BLOCK_LEN];
                block[..OUT_LEN].copy_from_slice(&left[lane]);
                block[OUT_LEN..].copy_from_slice(&right[lane]);
                block
            });
            let inputs: [_; LANES] = array::from_fn(|lane| &blocks[lane]);
            self.platform.hash_many(
                &inputs[..lanes],
                &self.words,
                0,
                IncrementCounter::No,
                KEYED_HASH | PARENT | root,
                0,
                0,
                values.as_flattened_mut(),
            );
        }
        self.levels.swap(0, 1);
    }
}

fn short(hash: &Value) -> [u8; HASH_BYTES] {
    *hash.first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pages_have_the_hashes_that_each_has_alone() {
        let key = Secret32::new([3; 32]);
        let mut hasher = PageHasher::new(&key);
        let mut bytes = vec![0; 65_536 * 17];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        for page_bytes in (9..=16).map(|bits| 1 << bits) {
            for count in [0, 1, 2, 3, 7, 15, 16, 17, 33, 64] {
                let pages =
                    &bytes[..(page_bytes * count).min(bytes.len()) / page_bytes * page_bytes];
                let mut hashes = b"before".to_vec();

                hasher.hash_all(pages, page_bytes, &mut hashes);

                let each: Vec<u8> = pages
                    .chunks_exact(page_bytes)
                    .flat_map(|page| blake3::keyed_hash(&[3; 32], page).as_bytes()[..16].to_vec())
                    .collect();
                assert_eq!(hashes[6..], each, "{count} pages of {page_bytes}");
            }
        }
    }
}
