//! A bounded cache of decoded blobs: neighbours of a chunk are often wanted next.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::id::PackId;

/// Names a blob: its pack, and its number there.
pub type BlobName = (PackId, u32);

/// Keeps the plaintext of the blobs that were decoded last, up to a number of bytes.
pub struct BlobCache {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blobs: HashMap<BlobName, Arc<Vec<u8>>>,
    order: VecDeque<BlobName>,
    bytes: usize,
}

impl BlobCache {
    /// Creates an empty cache for at most this many plain bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// Returns the blob if it is still here.
    pub fn get(&self, name: &BlobName) -> Option<Arc<Vec<u8>>> {
        self.lock().blobs.get(name).cloned()
    }

    /// Keeps a blob and lets the oldest ones go.
    pub fn insert(&self, name: BlobName, blob: Arc<Vec<u8>>) {
        let mut state = self.lock();
        let bytes = blob.len();
        if bytes > self.bytes_max || state.blobs.insert(name, blob).is_some() {
            return;
        }
        state.order.push_back(name);
        state.bytes += bytes;
        while state.bytes > self.bytes_max {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(gone) = state.blobs.remove(&oldest) {
                state.bytes -= gone.len();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_blob_makes_room_for_the_newest() {
        let cache = BlobCache::new(10);
        let name = |number| (PackId([7; 32]), number);

        for number in 0..3 {
            cache.insert(name(number), Arc::new(vec![0; 4]));
        }

        assert!(cache.get(&name(0)).is_none());
        assert!(cache.get(&name(1)).is_some() && cache.get(&name(2)).is_some());
    }

    #[test]
    fn a_blob_larger_than_the_cache_is_not_kept() {
        let cache = BlobCache::new(10);

        cache.insert((PackId([7; 32]), 0), Arc::new(vec![0; 11]));

        assert!(cache.get(&(PackId([7; 32]), 0)).is_none());
    }
}
