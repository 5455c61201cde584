//! Makes the patch that turns an older version of a database page into a newer one.
//! Spec: `format-spec/50-page-map.md`, "Patch". Applying one is `format::patch`.
//!
//! Databases change a page by a few bytes: most of it stays where it was, some of it moves by the
//! length of what was inserted. So the same place is looked at first, then the distance of the last
//! move, then a hash table of the older page's windows, which is filled only if it is asked.

use crate::format::cursor::{put_svarint, put_uvarint};

/// Bytes that the hash table is asked for.
const WINDOW: usize = 8;
/// Shorter copies cost as much as the literals they replace.
const COPY_BYTES_MIN: usize = 4;
/// A copy from elsewhere has its distance to say: it must be longer by this.
const DISTANCE_BYTES: usize = 4;
/// A copy from the same place that is at least this long is taken without looking for a longer one.
const COPY_BYTES_PLENTY: usize = 32;

/// Makes patches; keeps its table between pages.
#[derive(Debug, Default)]
pub struct PageDiff {
    /// Position + 1 of a window of the older page, by the window's hash; 0: none.
    table: Vec<u16>,
}

/// The older page's bytes that begin the same as the newer page does at some place.
#[derive(Debug, Clone, Copy)]
struct Copy {
    from: usize,
    bytes: usize,
}

impl PageDiff {
    /// Appends the patch and returns its length, or appends nothing if it would pass `bytes_max`.
    ///
    /// # Panics
    /// If the pages are not of one length, or longer than 65,536 bytes.
    pub fn diff(
        &mut self,
        older: &[u8],
        newer: &[u8],
        bytes_max: usize,
        patch: &mut Vec<u8>,
    ) -> Option<usize> {
        assert!(older.len() == newer.len() && newer.len() <= 1 << 16);
        let begun = patch.len();
        let mut search =
            Search { older, newer, distance: 0, table: &mut self.table, is_filled: false };
        let (mut at, mut literals_from) = (0, 0);
        while at < newer.len() {
            let Some(copy) = search.copy_at(at) else {
                at += 1;
                if patch.len() - begun + at - literals_from > bytes_max {
                    patch.truncate(begun);
                    return None;
                }
                continue;
            };
            put_literals(patch, &newer[literals_from..at]);
            put_uvarint(patch, copy.bytes as u64);
            put_svarint(patch, copy.from as i64 - at as i64);
            at += copy.bytes;
            literals_from = at;
        }
        if literals_from < newer.len() {
            put_literals(patch, &newer[literals_from..]);
        }
        let bytes = patch.len() - begun;
        if bytes > bytes_max {
            patch.truncate(begun);
            return None;
        }
        Some(bytes)
    }
}

fn put_literals(patch: &mut Vec<u8>, literals: &[u8]) {
    put_uvarint(patch, literals.len() as u64);
    patch.extend_from_slice(literals);
}

/// Looks for copies from one older page.
struct Search<'a> {
    older: &'a [u8],
    newer: &'a [u8],
    /// How far the last copy that moved did move: what lies behind an insertion moves alike.
    distance: isize,
    table: &'a mut Vec<u16>,
    is_filled: bool,
}

impl Search<'_> {
    /// Returns the best copy for the newer page from this place on.
    fn copy_at(&mut self, at: usize) -> Option<Copy> {
        let here = self.copy_from(at, at);
        if here.bytes >= COPY_BYTES_PLENTY || here.bytes == self.newer.len() - at {
            return Some(here);
        }
        let moved =
            at.checked_add_signed(self.distance).map_or(here, |from| self.copy_from(from, at));
        let found = self.find(at).map_or(here, |from| self.copy_from(from, at));
        let best = [moved, found].into_iter().fold(here, |best, other| {
            if other.bytes > best.bytes + DISTANCE_BYTES { other } else { best }
        });
        if best.bytes < COPY_BYTES_MIN {
            return None;
        }
        if best.from != at {
            self.distance = best.from as isize - at as isize;
        }
        Some(best)
    }

    fn copy_from(&self, from: usize, at: usize) -> Copy {
        let bytes = match self.older.get(from..) {
            Some(older) => equal_bytes(older, &self.newer[at..]),
            None => 0,
        };
        Copy { from, bytes }
    }

    /// Returns a place in the older page that probably begins with the next window of the newer
    /// one.
    fn find(&mut self, at: usize) -> Option<usize> {
        let window = self.newer[at..].first_chunk()?;
        if !self.is_filled {
            self.fill();
        }
        usize::from(self.table[slot(window, self.table.len())]).checked_sub(1)
    }

    fn fill(&mut self) {
        self.table.clear();
        let slots = self.older.len().next_power_of_two();
        self.table.resize(slots, 0);
        // Backwards, so that of equal windows the first one stays.
        for (position, window) in self.older.array_windows::<WINDOW>().enumerate().rev() {
            self.table[slot(window, slots)] = position as u16 + 1;
        }
        self.is_filled = true;
    }
}

/// Returns where a window stands in a table whose length is a power of two.
fn slot(window: &[u8; WINDOW], table_len: usize) -> usize {
    let mixed = u64::from_le_bytes(*window).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize & (table_len - 1)
}

/// Returns how many bytes at the beginning are the same in both.
fn equal_bytes(a: &[u8], b: &[u8]) -> usize {
    let bytes_max = a.len().min(b.len());
    let (a, b) = (&a[..bytes_max], &b[..bytes_max]);
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let mut equal = 0;
    for (x, y) in words {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            return equal + different.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::patch;

    /// A page and what an application might make of it: bytes replaced, inserted and moved.
    fn versions() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let edit = (any::<u16>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..40));
        let page = prop_oneof![
            prop::collection::vec(any::<u8>(), 512),
            prop::collection::vec(0..4u8, 2048),
            Just(vec![0; 4096]),
        ];
        (page, prop::collection::vec(edit, 0..12)).prop_map(|(older, edits)| {
            let mut newer = older.clone();
            for (to, from, bytes) in edits {
                let to = usize::from(to) % newer.len();
                let from = usize::from(from) % newer.len();
                let moved = newer[from..(from + bytes.len() * 3).min(newer.len())].to_vec();
                let _ = newer.splice(to..to, bytes.into_iter().chain(moved)).count();
                newer.truncate(older.len());
            }
            (older, newer)
        })
    }

    fn applied(patch: &[u8], older: &[u8]) -> Vec<u8> {
        let mut newer = vec![0xaa; older.len()];
        patch::apply(patch, older, &mut newer).unwrap();
        newer
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_newer_page((older, newer) in versions(), (x, y) in versions()) {
            let mut diff = PageDiff::default();
            let mut patch = b"before".to_vec();

            // The table of one page must not be taken for that of the next.
            let _ = diff.diff(&x, &y, usize::MAX, &mut Vec::new());
            let bytes = diff.diff(&older, &newer, usize::MAX, &mut patch).unwrap();

            prop_assert_eq!(patch.len(), 6 + bytes);
            prop_assert_eq!(applied(&patch[6..], &older), newer);
        }

        #[test]
        fn no_patch_is_longer_than_allowed((older, newer) in versions(), bytes_max in 0..600usize) {
            let mut diff = PageDiff::default();
            let mut patch = Vec::new();

            match diff.diff(&older, &newer, bytes_max, &mut patch) {
                Some(bytes) => {
                    prop_assert!(bytes == patch.len() && bytes <= bytes_max);
                    prop_assert_eq!(applied(&patch, &older), newer);
                }
                None => prop_assert!(patch.is_empty()),
            }
        }
    }

    #[test]
    fn what_an_insertion_pushes_on_is_copied() {
        let older: Vec<u8> = (0..4096u32).map(|i| ((i * i) >> 3) as u8 ^ (i >> 5) as u8).collect();
        let mut newer = older.clone();
        newer.splice(1000..1000, *b"a new row").for_each(drop);
        newer.truncate(4096);
        let mut patch = Vec::new();

        let bytes = PageDiff::default().diff(&older, &newer, 100, &mut patch);

        assert!(bytes.is_some_and(|bytes| bytes < 24), "{bytes:?}");
    }

    #[test]
    fn the_largest_pages_have_patches_too() {
        let older: Vec<u8> = (0..65_536u32).map(|i| ((i * i) >> 7) as u8).collect();
        let mut newer = older.clone();
        newer.rotate_right(8);
        let mut patch = Vec::new();

        let bytes = PageDiff::default().diff(&older, &newer, 1000, &mut patch);

        assert!(bytes.is_some());
        assert_eq!(applied(&patch, &older), newer);
    }
}
