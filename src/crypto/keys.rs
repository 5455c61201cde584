//! The opened key ring: every key of a repository, by purpose. Spec: `format-spec/25-keys.md`, "Key ring".

use crate::{
    clock::Entropy,
    crypto::{Error, secret::Secret32},
    format::ring::Ring,
    id::{ChunkId, ImageIdentity, RepositoryId},
};

/// The epoch of the first ring.
const FIRST_EPOCH: u32 = 1;
/// What the cut key is asked for to give the gear table.
const GEAR_INPUT: &[u8] = b"gear";

/// Draws the first key ring of a repository, all keys random.
pub fn first_ring(entropy: &dyn Entropy, descriptor_hash: [u8; 32]) -> Ring {
    Ring {
        generation: 1,
        chunk: entropy.bytes32(),
        cut: entropy.bytes32(),
        page: entropy.bytes32(),
        identity: entropy.bytes32(),
        epochs: vec![(FIRST_EPOCH, entropy.bytes32())],
        descriptor_hash,
    }
}

/// All keys of an opened repository.
#[derive(Debug, Clone)]
pub struct Keys {
    pub repository: RepositoryId,
    pub(crate) chunk: Secret32,
    pub(crate) cut: Secret32,
    pub(crate) page: Secret32,
    pub(crate) identity: Secret32,
    /// Ascending; new objects use the last.
    pub(crate) epochs: Vec<(u32, Secret32)>,
}

impl Keys {
    /// Takes the keys from an opened ring.
    pub fn from_ring(repository: RepositoryId, ring: &Ring) -> Self {
        Self {
            repository,
            chunk: Secret32::new(ring.chunk),
            cut: Secret32::new(ring.cut),
            page: Secret32::new(ring.page),
            identity: Secret32::new(ring.identity),
            epochs: ring
                .epochs
                .iter()
                .map(|(number, key)| (*number, Secret32::new(*key)))
                .collect(),
        }
    }

    /// Puts the keys into a ring of the next generation.
    pub fn to_ring(&self, generation: u32, descriptor_hash: [u8; 32]) -> Ring {
        Ring {
            generation,
            chunk: *self.chunk.expose(),
            cut: *self.cut.expose(),
            page: *self.page.expose(),
            identity: *self.identity.expose(),
            epochs: self.epochs.iter().map(|(number, key)| (*number, *key.expose())).collect(),
            descriptor_hash,
        }
    }

    /// Names a chunk.
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(self.chunk.expose(), plain).as_bytes())
    }

    /// Hashes one database page.
    pub fn page_hash(&self, page: &[u8]) -> [u8; 16] {
        page_hash(&self.page, page)
    }

    /// Shows the page key, for the capture process.
    pub const fn page_key(&self) -> &Secret32 {
        &self.page
    }

    /// Begins the identity of an image; feed it the page hashes in order, then call [`IdentityHasher::finish`].
    pub fn image_identity(&self, page_bytes: u32, page_count: u32) -> IdentityHasher {
        let mut hasher = blake3::Hasher::new_keyed(self.identity.expose());
        let _ = hasher.update(&page_bytes.to_le_bytes()).update(&page_count.to_le_bytes());
        IdentityHasher(hasher)
    }

    /// The epoch that seals new objects.
    pub fn epoch_now(&self) -> u32 {
        self.newest_epoch().0
    }

    /// Returns the key of an epoch.
    ///
    /// # Errors
    /// [`Error::UnknownEpoch`]
    pub fn epoch_key(&self, epoch: u32) -> Result<&Secret32, Error> {
        let found = self.epochs.iter().find(|(number, _)| *number == epoch);
        found.map(|(_, key)| key).ok_or(Error::UnknownEpoch(epoch))
    }

    /// Returns the gear table for cutting files, which the cut key decides.
    pub fn gear_table(&self) -> Box<[u64; 256]> {
        let mut bytes = zeroize::Zeroizing::new([0; 256 * 8]);
        blake3::Hasher::new_keyed(self.cut.expose())
            .update(GEAR_INPUT)
            .finalize_xof()
            .fill(&mut bytes[..]);
        let mut table = Box::new([0; 256]);
        for (entry, bytes) in table.iter_mut().zip(bytes.as_chunks().0) {
            *entry = u64::from_le_bytes(*bytes);
        }
        table
    }

    /// Hashes the name of a folder entry, which decides whether a chunk of the node ends there.
    pub fn node_cut_hash(&self, name: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(self.cut.expose(), name);
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(super) fn newest_epoch(&self) -> (u32, &Secret32) {
        let (number, key) = self.epochs.last().expect("a key ring holds at least one epoch");
        (*number, key)
    }
}

/// Hashes one database page under a page key.
pub fn page_hash(key: &Secret32, page: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::keyed_hash(key.expose(), page).as_bytes()[..16]);
    short
}

/// The identity of an image in the making.
#[derive(Debug, Clone)]
pub struct IdentityHasher(blake3::Hasher);

impl IdentityHasher {
    /// Adds page hashes, 16 bytes each, in page order.
    pub fn update(&mut self, page_hashes: &[u8]) {
        let _ = self.0.update(page_hashes);
    }

    /// Returns the identity.
    pub fn finish(&self) -> ImageIdentity {
        ImageIdentity(*self.0.finalize().as_bytes())
    }
}
