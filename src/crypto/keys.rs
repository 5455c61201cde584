//! The opened key ring: every key of a repository, by purpose. Spec: `format-spec/25-keys.md`, "Key ring".

use crate::{
    crypto::secret::Secret32,
    id::{ChunkId, ImageIdentity, RepositoryId},
};

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
        self.epochs.last().expect("a key ring holds at least one epoch").0
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
