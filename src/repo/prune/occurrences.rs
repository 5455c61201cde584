//! Which packs hold which chunks, and which chunks are reached: 16 bytes and two bits for each
//! chunk of each pack, so that ten million of them fit in 170 MB.
//!
//! A chunk is known by the first 8 bytes of its id, which is a keyed hash: two chunks that share
//! them are alive or dead together. Nothing is deleted on that ground alone; see `recheck.rs`.

use std::ops::Range;

use crate::id::ChunkId;

/// One chunk in one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    prefix: u64,
    /// Place of the pack in the list of packs.
    pub pack: u32,
    /// The chunk's share of its sealed blob.
    pub stored_bytes: u32,
}

/// Gathers occurrences, in any order.
#[derive(Debug, Default)]
pub struct Gathering(Vec<Occurrence>);

/// All chunks of all packs, ready for lookups.
#[derive(Debug)]
pub struct Occurrences {
    sorted: Vec<Occurrence>,
    /// Where the ids with each value of their first bits begin.
    starts: Vec<u32>,
    shift: u32,
    /// Of the first occurrence of a chunk: whether a root reaches it.
    live: Bits,
    /// Of every occurrence: whether it is the copy that is kept.
    chosen: Bits,
}

/// One bit for each of many things.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Gathering {
    /// Begins with room for about this many occurrences; what is not used costs no memory.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds one chunk of a pack.
    pub fn push(&mut self, id: &ChunkId, pack: u32, stored_bytes: u32) {
        self.0.push(Occurrence { prefix: prefix(id), pack, stored_bytes });
    }

    /// Sorts what was gathered.
    pub fn finish(self) -> Occurrences {
        let mut sorted = self.0;
        sorted.sort_unstable();
        // About 16 occurrences for each value of the first bits.
        let bits = (sorted.len() / 16).next_power_of_two().ilog2().clamp(1, 24);
        let shift = u64::BITS - bits;
        let mut starts = vec![0; (1 << bits) + 1];
        for occurrence in &sorted {
            starts[(occurrence.prefix >> shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let (live, chosen) = (Bits::for_count(sorted.len()), Bits::for_count(sorted.len()));
        Occurrences { sorted, starts, shift, live, chosen }
    }
}

impl Occurrences {
    /// Where the occurrences of a chunk stand. Empty if no pack holds it.
    pub fn find(&self, id: &ChunkId) -> Range<usize> {
        let prefix = prefix(id);
        let bucket = (prefix >> self.shift) as usize;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let within = &self.sorted[start..end];
        let from = start + within.partition_point(|occurrence| occurrence.prefix < prefix);
        let count = self.sorted[from..end].iter().take_while(|o| o.prefix == prefix).count();
        from..from + count
    }

    /// Marks a chunk as reached. Returns whether any pack holds it.
    pub fn mark(&mut self, id: &ChunkId) -> bool {
        let found = self.find(id);
        if !found.is_empty() {
            self.live.set(found.start);
        }
        !found.is_empty()
    }

    /// Whether a root reaches the chunk that stands here.
    pub fn is_live(&self, found: &Range<usize>) -> bool {
        !found.is_empty() && self.live.get(found.start)
    }

    /// Whether this is the copy to keep of a chunk that is reached.
    pub fn is_chosen(&self, id: &ChunkId, pack: u32) -> bool {
        self.find(id).any(|at| self.chosen.get(at) && self.sorted[at].pack == pack)
    }

    /// The packs that hold the chunk.
    pub fn packs_of(&self, id: &ChunkId) -> impl Iterator<Item = u32> {
        self.sorted[self.find(id)].iter().map(|occurrence| occurrence.pack)
    }

    /// Calls back with the copies of every chunk that is reached; what comes back is the place of
    /// the one to keep.
    pub fn choose(&mut self, mut choose: impl FnMut(&[Occurrence]) -> Option<usize>) {
        let mut start = 0;
        while start < self.sorted.len() {
            let prefix = self.sorted[start].prefix;
            let same = self.sorted[start..].iter().take_while(|o| o.prefix == prefix).count();
            if self.live.get(start)
                && let Some(kept) = choose(&self.sorted[start..start + same])
            {
                self.chosen.set(start + kept);
            }
            start += same;
        }
    }
}

impl Bits {
    fn for_count(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn get(&self, at: usize) -> bool {
        self.0[at / 64] & 1 << (at % 64) != 0
    }
}

fn prefix(id: &ChunkId) -> u64 {
    let bytes = id.0[..8].try_into().expect("an id has 32 bytes");
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ChunkId {
        ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn every_chunk_is_found_in_all_its_packs_and_no_other() {
        for count in [0, 1, 5, 1000] {
            let mut gathering = Gathering::default();
            for number in 0..count {
                gathering.push(&id(number), 0, 1);
                if number % 3 == 0 {
                    gathering.push(&id(number), 1, 1);
                }
            }
            let occurrences = gathering.finish();

            for number in 0..count {
                let copies = if number % 3 == 0 { 2 } else { 1 };
                assert_eq!(occurrences.find(&id(number)).len(), copies);
            }
            assert!(occurrences.find(&id(count)).is_empty());
        }
    }

    #[test]
    fn only_reached_chunks_are_offered_to_choose_from() {
        let mut gathering = Gathering::default();
        for number in 0..100 {
            gathering.push(&id(number), 7, 1);
            gathering.push(&id(number), 8, 1);
        }
        let mut occurrences = gathering.finish();
        for number in 0..50 {
            assert!(occurrences.mark(&id(number)));
        }
        assert!(!occurrences.mark(&id(100)));

        let mut offered = 0;
        occurrences.choose(|copies| {
            offered += 1;
            copies.iter().position(|copy| copy.pack == 8)
        });

        assert_eq!(offered, 50);
        assert!((0..50).all(|number| occurrences.is_chosen(&id(number), 8)));
        assert!((0..50).all(|number| !occurrences.is_chosen(&id(number), 7)));
        assert!((50..100).all(|number| !occurrences.is_chosen(&id(number), 8)));
    }
}
