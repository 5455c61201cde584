//! Chunks in memory, for tests of the layers above.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    chunk::{Chunk, Error, Fetch, Store},
    crypto::keys::Keys,
    id::ChunkId,
};

/// A store that keeps everything it is given.
#[derive(Clone)]
pub struct MemoryChunks {
    keys: Arc<Keys>,
    chunks: Arc<Mutex<HashMap<ChunkId, Arc<Vec<u8>>>>>,
}

impl MemoryChunks {
    /// Creates an empty store under the keys.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys, chunks: Arc::default() }
    }

    /// Number of distinct chunks, and their plain bytes.
    pub fn totals(&self) -> (usize, usize) {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        (chunks.len(), chunks.values().map(|plain| plain.len()).sum())
    }

    /// Copies what is there now; what is stored later is in one of the two only.
    pub fn frozen(&self) -> Self {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { keys: self.keys.clone(), chunks: Arc::new(Mutex::new(chunks)) }
    }

    /// Forgets a chunk, as a disk would.
    pub fn lose(&self, id: &ChunkId) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = chunks.remove(id);
    }
}

impl Store for MemoryChunks {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, Error> {
        let id = self.keys.chunk_id(plain);
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = chunks.entry(id).or_insert_with(|| Arc::new(plain.to_vec()));
        Ok(id)
    }
}

impl Fetch for MemoryChunks {
    fn get(&self, id: &ChunkId) -> Result<Chunk, Error> {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = chunks.get(id).ok_or(Error::Missing(*id))?;
        Ok(Chunk::new(plain.clone(), 0..plain.len()))
    }
}
