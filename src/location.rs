//! Where a chunk lies: the answer of every index lookup.

use crate::id::PackId;

/// One copy of a chunk inside a pack. All lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub pack: PackId,
    /// Epoch of the key that sealed the pack.
    pub epoch: u32,
    /// Number of the blob in its pack, which is its nonce.
    pub blob: u32,
    /// Where the sealed blob begins in the pack.
    pub blob_offset: u64,
    /// Sealed length of the blob.
    pub blob_bytes: u32,
    /// Where the chunk begins in the blob's plaintext.
    pub start: u32,
    /// Plain length of the chunk.
    pub chunk_bytes: u32,
}

/// A pack as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackEntry {
    pub pack: PackId,
    pub bytes: u64,
    pub epoch: u32,
}
