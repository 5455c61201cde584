//! Which pieces of packs are planned, which come next, and which are kept.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
};

use crate::{
    id::PackId,
    limits::{KIB, MIB},
};

/// Longest piece that is fetched at once.
const WINDOW_BYTES_MAX: u64 = 4 * MIB as u64;
/// What is fetched in vain between two blobs costs less than another request, up to this.
const GAP_BYTES_MAX: u64 = 32 * KIB as u64;
/// Pieces that are kept, whether they will be read again or not.
const KEPT_BYTES_MAX: u64 = 64 * MIB as u64;
/// Pieces that are fetched before anybody asks for them.
const AHEAD_BYTES_MAX: u64 = 32 * MIB as u64;
const _: () = assert!(WINDOW_BYTES_MAX * 4 <= AHEAD_BYTES_MAX && AHEAD_BYTES_MAX < KEPT_BYTES_MAX);

/// A piece of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub pack: PackId,
    pub start: u64,
    pub end: u64,
}

/// The bytes of a piece, once they are there.
#[derive(Default)]
pub struct Slot(pub Mutex<Option<Arc<Vec<u8>>>>);

/// All pieces of a reader.
#[derive(Default)]
pub struct Plan {
    /// By pack, ascending and apart from each other.
    planned: HashMap<PackId, Vec<Window>>,
    /// What nobody has touched yet, in the order in which it will be read.
    upcoming: VecDeque<Key>,
    untouched: HashSet<Key>,
    kept: HashMap<Key, Kept>,
    /// The oldest first.
    order: VecDeque<Key>,
    kept_bytes: u64,
    /// Of those that are kept, pieces that have something left to read.
    unread_bytes: u64,
    is_over: bool,
}

/// A stretch of a pack, and how much in it is blobs that will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    range: Range<u64>,
    needed_bytes: u64,
}

struct Kept {
    slot: Arc<Slot>,
    /// What is left to read of it.
    unread_bytes: u64,
}

impl Key {
    const fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

impl Plan {
    /// Plans pieces for these blobs.
    pub fn add(&mut self, blobs: &[(PackId, Range<u64>)]) {
        let mut wanted: HashMap<PackId, Vec<Window>> = HashMap::new();
        for (pack, range) in blobs {
            let needed_bytes = range.end - range.start;
            wanted.entry(*pack).or_default().push(Window { range: range.clone(), needed_bytes });
        }
        for (pack, mut windows) in wanted {
            windows.extend(self.planned.remove(&pack).unwrap_or_default());
            let _ = self.planned.insert(pack, joined(windows));
        }
        for (pack, range) in blobs {
            let Some((key, _)) = self.window_of(*pack, range) else { continue };
            if !self.kept.contains_key(&key) && self.untouched.insert(key) {
                self.upcoming.push_back(key);
            }
        }
    }

    /// Lets go of what was fetched of a pack.
    pub fn forget(&mut self, pack: PackId) {
        let of_pack: Vec<_> = self.kept.keys().filter(|key| key.pack == pack).copied().collect();
        of_pack.iter().for_each(|key| self.let_go(key));
    }

    /// No more is fetched ahead.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The planned piece that the range lies in, and where its bytes are or will be.
    pub fn slot_of(&mut self, pack: PackId, range: &Range<u64>) -> Option<(Key, Arc<Slot>)> {
        let (key, needed_bytes) = self.window_of(pack, range)?;
        match self.kept.get(&key) {
            Some(kept) => Some((key, Arc::clone(&kept.slot))),
            None => Some((key, self.keep(key, needed_bytes))),
        }
    }

    /// Notes that a blob of the piece was read.
    pub fn note_read(&mut self, key: &Key, bytes: u64) {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| kept.unread_bytes > 0) else {
            return;
        };
        kept.unread_bytes = kept.unread_bytes.saturating_sub(bytes);
        if kept.unread_bytes == 0 {
            self.unread_bytes -= key.bytes();
        }
    }

    /// The piece to fetch next, if there is room for it.
    pub fn next_ahead(&mut self) -> Option<(Key, Arc<Slot>)> {
        while let Some(key) = self.upcoming.front().copied() {
            let window = self.window_of(key.pack, &(key.start..key.end));
            let needed_bytes = match window {
                // Grown by a later plan, which named it again.
                Some((now, _)) if now != key => None,
                window => window.map(|(_, needed_bytes)| needed_bytes),
            };
            let Some(needed_bytes) = needed_bytes.filter(|_| self.untouched.contains(&key)) else {
                let _ = self.upcoming.pop_front();
                let _ = self.untouched.remove(&key);
                continue;
            };
            if self.unread_bytes + key.bytes() > AHEAD_BYTES_MAX {
                return None;
            }
            let _ = self.upcoming.pop_front();
            return Some((key, self.keep(key, needed_bytes)));
        }
        None
    }

    fn window_of(&self, pack: PackId, range: &Range<u64>) -> Option<(Key, u64)> {
        let planned = self.planned.get(&pack)?;
        let after = planned.partition_point(|window| window.range.start <= range.start);
        let window = planned.get(after.checked_sub(1)?)?;
        let Range { start, end } = window.range;
        let is_inside = range.end <= end && range.start < range.end;
        is_inside.then_some((Key { pack, start, end }, window.needed_bytes))
    }

    fn keep(&mut self, key: Key, needed_bytes: u64) -> Arc<Slot> {
        let _ = self.untouched.remove(&key);
        let slot = Arc::<Slot>::default();
        let kept = Kept { slot: Arc::clone(&slot), unread_bytes: needed_bytes };
        let _ = self.kept.insert(key, kept);
        self.order.push_back(key);
        self.kept_bytes += key.bytes();
        self.unread_bytes += key.bytes();
        self.make_room();
        slot
    }

    /// Lets go of pieces, the oldest first: of those that were read, then of any.
    fn make_room(&mut self) {
        while self.kept_bytes > KEPT_BYTES_MAX && self.order.len() > 1 {
            let was_read = |key: &&Key| self.kept.get(*key).is_none_or(|one| one.unread_bytes == 0);
            // The last one is what room is made for.
            let others = self.order.iter().take(self.order.len() - 1);
            let oldest = others.clone().find(was_read).or_else(|| self.order.front()).copied();
            let Some(oldest) = oldest else { return };
            self.let_go(&oldest);
        }
    }

    fn let_go(&mut self, key: &Key) {
        self.order.retain(|kept| kept != key);
        if let Some(kept) = self.kept.remove(key) {
            self.kept_bytes -= key.bytes();
            if kept.unread_bytes > 0 {
                self.unread_bytes -= key.bytes();
            }
        }
    }
}

/// Joins windows that lie side by side, as long as the piece does not grow too long.
fn joined(mut parts: Vec<Window>) -> Vec<Window> {
    parts.sort_unstable_by_key(|part| (part.range.start, part.range.end));
    let mut windows: Vec<Window> = Vec::new();
    for part in parts {
        match windows.last_mut() {
            // Several chunks of one blob.
            Some(last) if part.range.end <= last.range.end => {}
            Some(last)
                if part.range.start <= last.range.end + GAP_BYTES_MAX
                    && part.range.end - last.range.start <= WINDOW_BYTES_MAX =>
            {
                last.range.end = part.range.end;
                last.needed_bytes += part.needed_bytes;
            }
            _ => windows.push(part),
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
        let of = |range: Range<u64>| Window { needed_bytes: range.end - range.start, range };
        joined(parts.into_iter().map(of).collect()).into_iter().map(|one| one.range).collect()
    }

    #[test]
    fn neighbours_join_up_to_a_length_and_strangers_do_not() {
        let far = WINDOW_BYTES_MAX;
        let parts = vec![10..20, 0..10, 20 + GAP_BYTES_MAX..21 + GAP_BYTES_MAX, far..far + 5];

        assert_eq!(ranges(parts), [0..21 + GAP_BYTES_MAX, far..far + 5]);
        assert_eq!(ranges(vec![0..far, far..far + 1]), [0..far, far..far + 1]);
        assert_eq!(ranges(vec![0..9, 3..5]).as_slice(), std::slice::from_ref(&(0..9)));
    }
}
