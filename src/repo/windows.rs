//! Reading from afar in large pieces: what a restore will need is known before it begins, so blobs
//! that lie side by side come in one request.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    backend::{self, Backend, ObjectName},
    id::PackId,
    limits::{KIB, MIB},
};

/// Longest piece that is fetched at once.
const WINDOW_BYTES_MAX: u64 = 4 * MIB as u64;
/// What is fetched in vain between two blobs costs less than another request, up to this.
const GAP_BYTES_MAX: u64 = 32 * KIB as u64;
/// Pieces that are kept until what is in them was read.
const KEPT_BYTES_MAX: u64 = 64 * MIB as u64;

/// The pieces of packs that will be needed, and those at hand.
#[derive(Default)]
pub struct Windows {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By pack, ascending and apart from each other.
    planned: HashMap<PackId, Vec<Range<u64>>>,
    kept: HashMap<(PackId, u64), Arc<Slot>>,
    /// The oldest first.
    order: VecDeque<((PackId, u64), u64)>,
    bytes: u64,
}

/// A piece that one thread fetches while others wait for it.
#[derive(Default)]
struct Slot(Mutex<Option<Arc<Vec<u8>>>>);

impl Windows {
    /// Plans pieces for these blobs; those of earlier calls stay.
    pub fn expect(&self, blobs: impl Iterator<Item = (PackId, Range<u64>)>) {
        let mut state = self.lock();
        let mut wanted: HashMap<PackId, Vec<Range<u64>>> = HashMap::new();
        for (pack, range) in blobs {
            wanted.entry(pack).or_default().push(range);
        }
        for (pack, mut ranges) in wanted {
            ranges.extend(state.planned.remove(&pack).unwrap_or_default());
            let _ = state.planned.insert(pack, joined(ranges));
        }
    }

    /// Lets go of what was fetched of a pack.
    pub fn forget(&self, pack: PackId) {
        self.lock().kept.retain(|(of, _), _| *of != pack);
    }

    /// Reads a range, with its neighbours if that is planned.
    pub fn read(
        &self,
        backend: &dyn Backend,
        pack: PackId,
        range: Range<u64>,
    ) -> Result<Vec<u8>, backend::Error> {
        let name = ObjectName::Pack(pack);
        let Some((window, slot)) = self.slot(pack, &range) else {
            return backend.get_range(&name, range);
        };
        let mut held = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match held.as_ref() {
            Some(bytes) => Arc::clone(bytes),
            None => {
                let fetched = Arc::new(backend.get_range(&name, window.clone())?);
                *held = Some(Arc::clone(&fetched));
                fetched
            }
        };
        drop(held);
        let at = |offset: u64| (offset - window.start) as usize;
        Ok(bytes[at(range.start)..at(range.end)].to_vec())
    }

    /// The planned piece that the range lies in, and where its bytes are or will be.
    fn slot(&self, pack: PackId, range: &Range<u64>) -> Option<(Range<u64>, Arc<Slot>)> {
        let mut state = self.lock();
        let planned = state.planned.get(&pack)?;
        let after = planned.partition_point(|window| window.start <= range.start);
        let window = planned.get(after.checked_sub(1)?)?.clone();
        if range.end > window.end || range.start >= range.end {
            return None;
        }
        let key = (pack, window.start);
        if let Some(slot) = state.kept.get(&key) {
            return Some((window, Arc::clone(slot)));
        }
        let slot = Arc::<Slot>::default();
        let _ = state.kept.insert(key, Arc::clone(&slot));
        let bytes = window.end - window.start;
        state.order.push_back((key, bytes));
        state.bytes += bytes;
        while state.bytes > KEPT_BYTES_MAX && state.order.len() > 1 {
            let Some((oldest, bytes)) = state.order.pop_front() else { break };
            drop(state.kept.remove(&oldest));
            state.bytes -= bytes;
        }
        Some((window, slot))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins ranges that lie side by side, as long as the piece does not grow too long.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut windows: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match windows.last_mut() {
            Some(last) if range.end <= last.end => {}
            Some(last)
                if range.start <= last.end + GAP_BYTES_MAX
                    && range.end - last.start <= WINDOW_BYTES_MAX =>
            {
                last.end = range.end;
            }
            _ => windows.push(range),
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{layer::record::Recorded, memory::MemoryBackend};

    const PACK: PackId = PackId([1; 32]);

    #[test]
    fn neighbours_join_up_to_a_length_and_strangers_do_not() {
        let far = WINDOW_BYTES_MAX;
        let ranges = vec![10..20, 0..10, 20 + GAP_BYTES_MAX..21 + GAP_BYTES_MAX, far..far + 5];

        assert_eq!(joined(ranges), [0..21 + GAP_BYTES_MAX, far..far + 5]);
        assert_eq!(joined(vec![0..far, far..far + 1]), [0..far, far..far + 1]);
        assert_eq!(joined(vec![0..9, 3..5]).as_slice(), std::slice::from_ref(&(0..9)));
    }

    #[test]
    fn planned_neighbours_come_in_one_request_and_the_rest_as_it_is_asked_for() {
        let place = Recorded::new(Arc::new(MemoryBackend::new()));
        let content: Vec<u8> = (0..=255).cycle().take(5000).collect();
        place.put_new(&ObjectName::Pack(PACK), &[&content]).unwrap();
        let _ = place.take();
        let windows = Windows::default();
        windows.expect([(PACK, 100..200), (PACK, 200..400)].into_iter());

        for range in [100..200, 200..400, 100..200, 1000..1010] {
            let read = windows.read(&place, PACK, range.clone()).unwrap();
            assert_eq!(read, content[range.start as usize..range.end as usize]);
        }

        assert_eq!(place.take().len(), 2);
    }
}
