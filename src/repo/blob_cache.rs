//! A bounded cache of decoded blobs: neighbours of a chunk are often wanted next.
//!
//! The memory of those that go is used for those that come.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::id::PackId;

/// Names a blob: its pack, and its number there.
pub type BlobName = (PackId, u32);

/// Buffers of blobs that went, for the next ones.
const SPARE_MAX: usize = 4;

/// How long a blob is likely to be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// It holds few chunks, which are wanted once, one after another: a piece of a long file, or of
    /// the base of a database. Such blobs would soon take the place of all others.
    Brief,
    /// It holds many chunks: as the changes to a database in one hour, wanted all over its image.
    Long,
}

/// Keeps the plaintext of the blobs that were decoded last, up to a number of bytes.
pub struct BlobCache {
    state: Mutex<State>,
}

struct State {
    blobs: HashMap<BlobName, Arc<Vec<u8>>>,
    brief: Queue,
    long: Queue,
    spare: Vec<Vec<u8>>,
}

/// Blobs in the order in which they came.
struct Queue {
    bytes_max: usize,
    order: VecDeque<BlobName>,
    bytes: usize,
}

impl BlobCache {
    /// Creates an empty cache for at most this many plain bytes of each kind.
    pub fn new(brief_bytes_max: usize, long_bytes_max: usize) -> Self {
        let queue = |bytes_max| Queue { bytes_max, order: VecDeque::new(), bytes: 0 };
        let (brief, long) = (queue(brief_bytes_max), queue(long_bytes_max));
        Self { state: Mutex::new(State { blobs: HashMap::new(), brief, long, spare: Vec::new() }) }
    }

    /// Returns the blob if it is still here.
    pub fn get(&self, name: &BlobName) -> Option<Arc<Vec<u8>>> {
        self.lock().blobs.get(name).cloned()
    }

    /// Keeps a blob and lets the oldest ones of its kind go.
    pub fn insert(&self, name: BlobName, blob: Arc<Vec<u8>>, stay: Stay) {
        let State { blobs, brief, long, spare } = &mut *self.lock();
        let queue = match stay {
            Stay::Brief => brief,
            Stay::Long => long,
        };
        let bytes = blob.capacity();
        if bytes > queue.bytes_max || blobs.insert(name, blob).is_some() {
            return;
        }
        queue.order.push_back(name);
        queue.bytes += bytes;
        while queue.bytes > queue.bytes_max {
            let Some(oldest) = queue.order.pop_front() else { break };
            let Some(gone) = blobs.remove(&oldest) else { continue };
            queue.bytes -= gone.capacity();
            if spare.len() < SPARE_MAX {
                // Whoever still reads it keeps it.
                spare.extend(Arc::into_inner(gone));
            }
        }
    }

    /// Returns memory for a blob of this length: that of one that went, if it is not much longer,
    /// with whatever is in it.
    pub fn memory(&self, bytes: usize) -> Vec<u8> {
        let spare = self.lock().spare.pop();
        let fits = |spare: &Vec<u8>| (bytes..=bytes * 2).contains(&spare.capacity());
        spare.filter(fits).unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> BlobName {
        (PackId([7; 32]), number)
    }

    #[test]
    fn the_oldest_blob_makes_room_for_the_newest() {
        let cache = BlobCache::new(10, 10);

        for number in 0..3 {
            cache.insert(name(number), Arc::new(vec![0; 4]), Stay::Long);
        }

        assert!(cache.get(&name(0)).is_none());
        assert!(cache.get(&name(1)).is_some() && cache.get(&name(2)).is_some());
    }

    #[test]
    fn what_is_wanted_once_takes_no_place_from_what_is_wanted_again() {
        let cache = BlobCache::new(10, 10);
        cache.insert(name(0), Arc::new(vec![0; 4]), Stay::Long);

        for number in 1..9 {
            cache.insert(name(number), Arc::new(vec![0; 4]), Stay::Brief);
        }

        assert!(cache.get(&name(0)).is_some() && cache.get(&name(8)).is_some());
        assert!(cache.get(&name(6)).is_none());
    }

    #[test]
    fn the_memory_of_a_blob_that_went_serves_one_of_about_its_length() {
        let cache = BlobCache::new(10, 10);
        for (number, wanted, found) in [(0, 8, 9), (2, 4, 4), (4, 11, 11)] {
            cache.insert(name(number), Arc::new(vec![0; 9]), Stay::Long);
            cache.insert(name(number + 1), Arc::new(vec![0; 10]), Stay::Long);

            assert_eq!(cache.memory(wanted).capacity(), found);
        }
    }

    #[test]
    fn a_blob_larger_than_the_cache_is_not_kept() {
        let cache = BlobCache::new(10, 10);

        cache.insert((PackId([7; 32]), 0), Arc::new(vec![0; 11]), Stay::Brief);

        assert!(cache.get(&(PackId([7; 32]), 0)).is_none());
    }
}
