//! Where files and folder nodes are cut into chunks. Spec: `format-spec/40-folder.md`, "Cutting".
//!
//! Cut points are part of deduplication, not of correctness: any cutting restores. They come from a
//! table that the repository's cut key decides, so that chunk lengths tell a stranger nothing about
//! content.

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
    /// Returns the length of the next chunk, which begins where the last one ended: at the buffer's
    /// first byte.
    ///
    /// Nothing means that the buffer holds too little to tell (less than `FILE_CUT_BYTES_MAX` with
    /// more to follow), or that it is empty and the file has ended.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{crypto::keys::tests::keys, limits::MIB};

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().update(b"cut").finalize_xof().fill(&mut noise);
        noise
    }

    /// Cuts as a reader of files does, which sees `window` bytes at a time.
    fn lengths(table: &CutTable, bytes: &[u8], window: usize) -> Vec<usize> {
        let mut cutter = table.file();
        let mut lengths = Vec::new();
        let mut start = 0;
        let mut end = window.min(bytes.len());
        loop {
            let rest = if end == bytes.len() { Rest::Ended } else { Rest::MoreFollows };
            match cutter.next_chunk(&bytes[start..end], rest) {
                Some(length) => {
                    lengths.push(length);
                    start += length;
                }
                None if rest == Rest::Ended => return lengths,
                None => end = (end + window).min(bytes.len()),
            }
        }
    }

    #[test]
    fn cut_points_are_golden() {
        let table = CutTable::new(&keys());

        let golden = [859_867, 917_889, 1_048_959, 631_498, 276_514, 325_503, 653_148, 529_502];
        assert_eq!(lengths(&table, &noise(5 * MIB), 2 * MIB), golden);
    }

    #[test]
    fn cutting_is_the_scan_that_the_spec_describes() {
        let keys = keys();
        let gear = keys.gear_table();
        let bytes = noise(3 * MIB);

        let mut hash: u64 = 0;
        let expected = (FILE_CUT_BYTES_MIN..FILE_CUT_BYTES_MAX).find(|at| {
            hash = (hash << 1).wrapping_add(gear[usize::from(bytes[*at])]);
            let strict = *at < FILE_CUT_BYTES_AVERAGE;
            hash & if strict { 0x0000_d917_4753_7000 } else { 0x0000_d907_0753_7000 } == 0
        });

        let first = CutTable::new(&keys).file().next_chunk(&bytes, Rest::MoreFollows);
        assert_eq!(first, expected);
    }

    #[test]
    fn files_up_to_512_kib_are_one_chunk() {
        let table = CutTable::new(&keys());
        let bytes = noise(FILE_WHOLE_BYTES_MAX + 1);

        assert_eq!(lengths(&table, &bytes[1..], 2 * MIB), [FILE_WHOLE_BYTES_MAX]);
        assert_eq!(lengths(&table, &bytes, 2 * MIB).iter().sum::<usize>(), bytes.len());
        assert_eq!(lengths(&table, &[], 2 * MIB), [0; 0]);
        assert_eq!(lengths(&table, &[7], 2 * MIB), [1]);
    }

    #[test]
    fn zeros_are_cut_at_the_maximum() {
        let table = CutTable::new(&keys());

        assert_eq!(lengths(&table, &[0; 5 * MIB], 2 * MIB), [2 * MIB, 2 * MIB, MIB]);
    }

    #[test]
    fn nothing_is_decided_before_enough_is_seen() {
        let table = CutTable::new(&keys());
        let bytes = noise(FILE_CUT_BYTES_MAX);

        let short = &bytes[..FILE_CUT_BYTES_MAX - 1];
        assert_eq!(table.file().next_chunk(short, Rest::MoreFollows), None);
        assert!(table.file().next_chunk(&bytes, Rest::MoreFollows).is_some());
    }

    #[test]
    fn cuts_find_back_after_an_insertion() {
        let table = CutTable::new(&keys());
        let bytes = noise(16 * MIB);
        let mut edited = bytes.clone();
        edited.splice(6 * MIB..6 * MIB, *b"inserted").for_each(drop);

        let ends = |bytes: &[u8]| {
            let mut end = 0;
            lengths(&table, bytes, 2 * MIB)
                .into_iter()
                .map(|length| {
                    end += length;
                    bytes.len() - end
                })
                .collect::<Vec<usize>>()
        };
        let (before, after) = (ends(&bytes), ends(&edited));
        let shared = after.iter().filter(|end| before.contains(end)).count();
        assert!(shared * 2 > before.len(), "{shared} of {}", before.len());
    }

    #[test]
    fn other_keys_cut_elsewhere() {
        let mut other = crate::crypto::keys::tests::ring();
        other.cut = [0xff; 32];
        let other = Keys::from_ring(keys().repository, &other);
        let bytes = noise(8 * MIB);

        let cuts = |keys: &Keys| lengths(&CutTable::new(keys), &bytes, 2 * MIB);
        assert_ne!(cuts(&keys()), cuts(&other));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn the_window_of_the_reader_does_not_matter(
            bytes in 1..6 * MIB,
            window in 100_000..3 * MIB,
        ) {
            let table = CutTable::new(&keys());
            let bytes = noise(bytes);

            let lengths = lengths(&table, &bytes, window);
            prop_assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
            prop_assert_eq!(&lengths, &super::tests::lengths(&table, &bytes, bytes.len()));
            let (_, whole) = lengths.split_last().unwrap();
            let allowed = FILE_CUT_BYTES_MIN..=FILE_CUT_BYTES_MAX;
            prop_assert!(whole.iter().all(|length| allowed.contains(length)));
        }
    }
}
