//! Streams: sequences of bytes stored as chunks. Spec: `format-spec/40-folder.md`, "Stream".

use crate::id::ChunkId;

/// A sequence of bytes that is stored as chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// 0: `ids` are the data; d: the chunks hold the ids of depth d - 1.
    pub depth: u8,
    /// Length of the whole sequence.
    pub bytes: u64,
    pub ids: Vec<ChunkId>,
}
