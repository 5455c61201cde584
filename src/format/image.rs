//! The description of one database image. Spec: `format-spec/50-page-map.md`, "Image".

use crate::{format::stream::Stream, id::ImageIdentity};

/// A consistent database image and where its pages lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// 0 for an empty database.
    pub page_bytes: u32,
    pub page_count: u32,
    pub identity: ImageIdentity,
    /// Pages in a base group.
    pub group_pages: u32,
    pub base_pages: u32,
    /// The 32-byte ids of the base groups.
    pub base: Stream,
    pub folded: Stream,
    pub recent: Stream,
    /// Bytes of recent maps written since the last fold.
    pub recent_bytes_written: u64,
    pub method: Method,
    pub damaged: bool,
    pub unchecked: bool,
    /// When the witnesses were taken, before the read transaction began.
    pub begun: (i64, u32),
    /// What `stat` said of the database file and, if it existed, of its `-wal`.
    pub witnesses: Vec<Witness>,
}

/// How an image was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Page by page through `sqlite_dbpage`.
    Pages,
    /// SQLite's backup API; page 1 differs from the file's in two counters.
    BackupApi,
}

/// What `stat` said of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    pub modified: (i64, u32),
    pub changed: (i64, u32),
}
