//! Page maps: page number to chunk and slot. Spec: `format-spec/50-page-map.md`, "Page map".

use crate::id::ChunkId;

/// Where the changed pages of an image lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageMap {
    /// Every chunk other than base groups that any page of this map needs, older versions included.
    pub chunks: Vec<ChunkId>,
    /// Ascending by page.
    pub entries: Vec<PageEntry>,
}

/// Where one page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageEntry {
    pub page: u32,
    /// Index into [`PageMap::chunks`].
    pub chunk: u32,
    pub slot: u8,
}
