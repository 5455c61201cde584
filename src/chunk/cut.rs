//! Where files and folder nodes are cut into chunks. Spec: `format-spec/40-folder.md`, "Cutting".
//!
//! Cut points are part of deduplication, not of correctness: any cutting restores. They come from a table that the
//! repository's cut key decides, so that chunk lengths tell a stranger nothing about content.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

use crate::{
    crypto::keys::Keys,
    limits::{
        FILE_CUT_BYTES_AVERAGE, FILE_CUT_BYTES_MAX, FILE_CUT_BYTES_MIN, FILE_WHOLE_BYTES_MAX,
        NODE_CUT_BYTES_MAX, NODE_CUT_BYTES_MIN, NODE_CUT_ONE_IN,
    },
};

// The crate checks these in debug builds only; an odd size would move cut points by a byte.
const _: () = assert!(FILE_CUT_BYTES_MIN.is_multiple_of(2));
const _: () = assert!(FILE_CUT_BYTES_AVERAGE.is_multiple_of(2));
const _: () = assert!(FILE_CUT_BYTES_MAX.is_multiple_of(2));
const _: () = assert!(FILE_WHOLE_BYTES_MAX <= FILE_CUT_BYTES_MAX);

/// Decides where files are cut; made once per repository, shared between threads.
#[derive(Debug)]
pub struct CutTable {
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
    mask_strict: u64,
    mask_relaxed: u64,
}

/// Whether a buffer reaches to the end of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    MoreFollows,
    Ended,
}

impl CutTable {
    /// Makes the table of a repository.
    pub fn new(keys: &Keys) -> Self {
        let gear = keys.gear_table();
        let gear_shifted = Box::new(gear.map(|entry| entry << 1));
        let (mask_strict, mask_relaxed) =
            select_masks(FILE_CUT_BYTES_AVERAGE, Normalization::Level1);
        Self { gear, gear_shifted, mask_strict, mask_relaxed }
    }

    /// Begins to cut a file.
    pub const fn file(&self) -> FileCutter<'_> {
        FileCutter { table: self, begun: false }
    }

    fn next_cut(&self, bytes: &[u8]) -> usize {
        let (_, length) = cut_gear(
            bytes,
            FILE_CUT_BYTES_MIN,
            FILE_CUT_BYTES_AVERAGE,
            FILE_CUT_BYTES_MAX,
            self.mask_strict,
            self.mask_relaxed,
            self.mask_strict << 1,
            self.mask_relaxed << 1,
            &self.gear[..],
            &self.gear_shifted[..],
        );
        length
    }
}

/// Cuts one file.
#[derive(Debug)]
pub struct FileCutter<'t> {
    table: &'t CutTable,
    begun: bool,
}

impl FileCutter<'_> {
    /// Returns the length of the next chunk, which begins where the last one ended: at the buffer's first byte.
    ///
    /// Nothing means that the buffer holds too little to tell (less than `FILE_CUT_BYTES_MAX` with more to follow),
    /// or that it is empty and the file has ended.
    pub fn next_chunk(&mut self, buffer: &[u8], rest: Rest) -> Option<usize> {
        let undecided = rest == Rest::MoreFollows && buffer.len() < FILE_CUT_BYTES_MAX;
        if undecided || buffer.is_empty() {
            return None;
        }
        let whole = !self.begun && rest == Rest::Ended && buffer.len() <= FILE_WHOLE_BYTES_MAX;
        self.begun = true;
        Some(if whole { buffer.len() } else { self.table.next_cut(buffer) })
    }
}

/// Where a node is cut, seen from one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCut {
    /// The entry goes on with the chunk.
    Inside,
    /// The chunk ends with the entry.
    After,
    /// The chunk has no room for the entry, which begins the next one.
    Before,
    /// The chunk has no room for the entry, which fills the next one.
    BeforeAndAfter,
}

/// Cuts the bytes of a node that is too long for one chunk, at boundaries of entries.
#[derive(Debug)]
pub struct NodeCutter<'k> {
    keys: &'k Keys,
    chunk_bytes: usize,
}

impl<'k> NodeCutter<'k> {
    /// Begins a node, of which `bytes` stand before the first entry.
    pub const fn new(keys: &'k Keys, bytes: usize) -> Self {
        Self { keys, chunk_bytes: bytes }
    }

    /// Takes the next entry.
    pub fn push(&mut self, name: &[u8], entry_bytes: usize) -> NodeCut {
        let before = self.chunk_bytes > 0 && self.chunk_bytes + entry_bytes > NODE_CUT_BYTES_MAX;
        if before {
            self.chunk_bytes = 0;
        }
        self.chunk_bytes += entry_bytes;
        let after = self.chunk_bytes >= NODE_CUT_BYTES_MIN && self.ends_at(name);
        if after {
            self.chunk_bytes = 0;
        }
        match (before, after) {
            (false, false) => NodeCut::Inside,
            (false, true) => NodeCut::After,
            (true, false) => NodeCut::Before,
            (true, true) => NodeCut::BeforeAndAfter,
        }
    }

    fn ends_at(&self, name: &[u8]) -> bool {
        self.keys.node_cut_hash(name) < u32::MAX / NODE_CUT_ONE_IN + 1
    }
}
