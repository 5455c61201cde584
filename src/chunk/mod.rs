//! Chunks: how bytes are cut and compressed, and the two seams through which the layers above store
//! and fetch them.

pub mod compress;
pub mod cut;
pub mod memory;
pub mod page_diff;

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use crate::id::ChunkId;

/// Stores chunks. Storing the same plaintext twice costs a lookup.
pub trait Store {
    /// Takes one chunk of 1 to `CHUNK_BYTES_MAX` bytes and returns its id. Not yet durable.
    ///
    /// # Errors
    /// After the first error the store is dead: every later call fails too.
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, Error>;
}

/// Fetches chunks; every chunk returned has been compared with its id.
pub trait Fetch: Send + Sync {
    fn get(&self, id: &ChunkId) -> Result<Chunk, Error>;

    /// Is told what will be fetched soon, in that order, so that what lies side by side can come at
    /// once and ahead of who reads. Promises nothing.
    fn expect(&self, _ids: &[ChunkId]) {}
}

/// The verified plaintext of a chunk, a slice of the blob that it shares with its neighbours.
#[derive(Debug, Clone)]
pub struct Chunk {
    blob: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Chunk {
    /// Takes the part of a decoded blob that is the chunk.
    ///
    /// # Panics
    /// If the range is not inside the blob.
    pub fn new(blob: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= blob.len());
        Self { blob, range }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.blob[self.range.clone()]
    }
}

/// Why a chunk could not be stored or fetched.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No index entry and no pack holds it.
    #[error("chunk {0} is missing")]
    Missing(ChunkId),
    /// All copies disagree with the id.
    #[error("chunk {id} is corrupt: {why}")]
    Corrupt { id: ChunkId, why: String },
    /// The repository failed.
    #[error("the repository failed")]
    Repository(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The run was told to stop.
    #[error("stopped")]
    Stopped,
}
