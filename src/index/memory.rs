//! The index in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, Error, Index, IndexMut};
use crate::{
    format::table::Table,
    id::{ChunkId, ObjectId, PackId},
    location::{Location, PackEntry},
};

/// An index that is gone with its process.
#[derive(Debug, Clone, Default)]
pub struct MemoryIndex {
    chunks: BTreeMap<ChunkId, BTreeSet<Location>>,
    packs: BTreeMap<PackId, PackEntry>,
    applied: BTreeSet<ObjectId>,
}

impl MemoryIndex {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, entry: &PackEntry, table: &[u8]) -> Result<(), Error> {
        let table =
            Table::parse(table).map_err(|error| Error::Damaged { why: error.to_string() })?;
        if self.packs.contains_key(&entry.pack) {
            return Ok(());
        }
        let _ = self.packs.insert(entry.pack, *entry);
        for (id, location) in table.locations(*entry) {
            let _ = self.chunks.entry(id).or_default().insert(location);
        }
        Ok(())
    }
}

impl Index for MemoryIndex {
    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
        let locate = |id| self.chunks.get(id).and_then(BTreeSet::first).copied();
        Ok(ids.iter().map(locate).collect())
    }

    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, Error> {
        Ok(self.chunks.get(id).map_or_else(Vec::new, |copies| copies.iter().copied().collect()))
    }

    fn packs(&self) -> Result<Vec<PackEntry>, Error> {
        Ok(self.packs.values().copied().collect())
    }

    fn applied(&self) -> Result<Vec<ObjectId>, Error> {
        Ok(self.applied.iter().copied().collect())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ChunkId, &Location) -> bool) -> Result<(), Error> {
        for (id, copies) in &self.chunks {
            if copies.first().is_some_and(|first| !visit(id, first)) {
                break;
            }
        }
        Ok(())
    }
}

impl IndexMut for MemoryIndex {
    fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        for (entry, table) in &batch.add {
            self.add(entry, table)?;
        }
        for pack in &batch.remove {
            let _ = self.packs.remove(pack);
        }
        let packs = &self.packs;
        self.chunks.retain(|_, copies| {
            copies.retain(|copy| packs.contains_key(&copy.pack));
            !copies.is_empty()
        });
        self.applied.extend(&batch.applied);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::conformance;

    #[test]
    fn memory_keeps_the_contract() {
        conformance::check(&mut MemoryIndex::new());
    }
}
