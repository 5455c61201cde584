//! Blobs that do not give back what they should: one bit each, however many chunks lie in them.

use std::collections::HashMap;

use crate::{
    id::{ChunkId, PackId},
    location::Location,
    repo::catalogue::Catalogue,
};

/// The bad blobs of packs. A pack that was not looked at counts as good.
#[derive(Debug, Default)]
pub struct BadBlobs(HashMap<PackId, Bad>);

/// The bad blobs of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// Bit n: blob n.
    Some(Vec<u64>),
    All,
}

impl Default for Bad {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Bad {
    /// Adds a blob.
    pub fn add(&mut self, blob: u32) {
        let Self::Some(bits) = self else { return };
        let (word, bit) = place(blob);
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= bit;
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub fn contains(&self, blob: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => {
                let (word, bit) = place(blob);
                bits.get(word).is_some_and(|bits| bits & bit != 0)
            }
        }
    }
}

const fn place(blob: u32) -> (usize, u64) {
    ((blob / 64) as usize, 1 << (blob % 64))
}

impl BadBlobs {
    /// Adds what is bad in a pack.
    pub fn add(&mut self, pack: PackId, bad: Bad) {
        if !bad.is_none() {
            let _ = self.0.insert(pack, bad);
        }
    }

    /// Whether the blob of this location is bad.
    pub fn contains(&self, location: &Location) -> bool {
        self.0.get(&location.pack).is_some_and(|bad| bad.contains(location.blob))
    }

    /// Whether no existing pack gives the chunk back. An index that fails says nothing against it.
    pub fn is_lost(&self, catalogue: &Catalogue, id: &ChunkId) -> bool {
        match catalogue.copies(id) {
            Ok(copies) => copies.iter().all(|copy| self.contains(copy)),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_bad_once_it_was_added_and_its_neighbours_are_not() {
        let mut bad = Bad::default();
        assert!(bad.is_none());

        [0, 63, 200].into_iter().for_each(|blob| bad.add(blob));

        let found: Vec<u32> = (0..300).filter(|blob| bad.contains(*blob)).collect();
        assert_eq!(found, [0, 63, 200]);
        assert!(!bad.is_none() && Bad::All.contains(7));
    }
}
