//! The local, rebuildable map from chunk to location. Spec: `format-spec/30-pack.md`.
//!
//! A cache: all it says is in tables of contents. Whatever is wrong with it, the answer is to drop
//! it and build it again; nothing is ever deleted because of it.

#[cfg(test)]
mod conformance;
#[cfg(feature = "rocks")]
mod entry;
pub mod memory;
#[cfg(feature = "rocks")]
pub mod rocks;

use crate::{
    id::{ChunkId, ObjectId, PackId},
    location::{Location, PackEntry},
};

/// Lookups. Implementations answer from a consistent state; they may be shared between threads.
pub trait Index: Send + Sync {
    /// Returns one location for each id, in the order asked, where there is any.
    ///
    /// Costs least with sorted ids.
    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error>;

    /// Returns every known copy of a chunk.
    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, Error>;

    /// Returns all packs it knows.
    fn packs(&self) -> Result<Vec<PackEntry>, Error>;

    /// Returns the index objects whose items it holds.
    fn applied(&self) -> Result<Vec<ObjectId>, Error>;

    /// Calls back with every chunk and one of its locations, in ascending order of ids, until told
    /// to stop.
    fn for_each(&self, visit: &mut dyn FnMut(&ChunkId, &Location) -> bool) -> Result<(), Error>;
}

/// Changes. A pack that is known already is not added again; one in both lists is forgotten.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Packs to add, with the plaintext of their tables of contents (already validated).
    pub add: Vec<(PackEntry, Vec<u8>)>,
    /// Packs to forget, with all their locations.
    pub remove: Vec<PackId>,
    /// Index objects whose items are in `add`.
    pub applied: Vec<ObjectId>,
}

/// An index that can be changed.
pub trait IndexMut: Index {
    /// Applies the batch; durable on return where the index is durable at all.
    ///
    /// A crash leaves each pack with all of its chunks or none, and `applied` and the removals
    /// only behind all that is added: the index may know less than it was told, never wrong.
    fn apply(&mut self, batch: &Batch) -> Result<(), Error>;
}

/// What is wrong with the index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Drop it and build it again.
    #[error("the local index is damaged: {why}")]
    Damaged { why: String },
    /// Try again later, or go on without.
    #[error("the local index is held by another process")]
    Locked,
}
