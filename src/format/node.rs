//! Folder nodes. Spec: `format-spec/40-folder.md`, "Node".

use crate::format::{image::Image, stream::Stream};

/// One name in a folder, with all that a restore puts back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1 to 255 bytes, never `.` or `..`, no `/`, no zero byte.
    pub name: Vec<u8>,
    pub content: Content,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970 UTC.
    pub modified: (i64, u32),
    pub changed: (i64, u32),
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    /// Ascending by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Problem met while reading; what is stored may be incomplete.
    pub problem: Option<String>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    File {
        bytes: u64,
        stream: Stream,
        /// Data extents (offset, length) of a sparse file, ascending; the stream holds only these.
        extents: Option<Vec<(u64, u64)>>,
    },
    Folder { node: Stream },
    Link { target: Vec<u8> },
    Fifo,
    Socket,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Database(Box<Image>),
}
