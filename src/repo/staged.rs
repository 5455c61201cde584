//! The durable packs of a run that is not committed yet, and where their chunks lie.
//!
//! Compact, since a first backup keeps all of its chunks here: some 75 bytes each.

use std::collections::HashMap;

use crate::{
    format::{self, table::Table},
    id::ChunkId,
    location::{Location, PackEntry},
};

/// The durable packs of a run.
#[derive(Default)]
pub struct Staged {
    chunks: HashMap<ChunkId, Place>,
    /// In the order written, with the plaintext of their tables.
    packs: Vec<(PackEntry, Vec<u8>)>,
}

/// A [`Location`] with its pack by number.
#[derive(Clone, Copy)]
struct Place {
    pack: u32,
    blob: u32,
    blob_offset: u32,
    blob_bytes: u32,
    start: u32,
    chunk_bytes: u32,
}

impl Staged {
    /// Adds a pack that is durable.
    pub fn add(&mut self, entry: PackEntry, table: Vec<u8>) -> Result<(), format::Error> {
        let pack = u32::try_from(self.packs.len()).expect("a run writes fewer than 2^32 packs");
        for (id, location) in Table::parse(&table)?.locations(entry) {
            let place = Place {
                pack,
                blob: location.blob,
                blob_offset: u32::try_from(location.blob_offset).expect("packs are below 4 GiB"),
                blob_bytes: location.blob_bytes,
                start: location.start,
                chunk_bytes: location.chunk_bytes,
            };
            let _ = self.chunks.insert(id, place);
        }
        self.packs.push((entry, table));
        Ok(())
    }

    /// Returns the place of a chunk.
    pub fn locate(&self, id: &ChunkId) -> Option<Location> {
        let place = self.chunks.get(id)?;
        let PackEntry { pack, epoch, .. } = self.packs[place.pack as usize].0;
        Some(Location {
            pack,
            epoch,
            blob: place.blob,
            blob_offset: u64::from(place.blob_offset),
            blob_bytes: place.blob_bytes,
            start: place.start,
            chunk_bytes: place.chunk_bytes,
        })
    }

    /// The packs with the plaintext of their tables, in the order written.
    pub fn packs(&self) -> &[(PackEntry, Vec<u8>)] {
        &self.packs
    }
}
