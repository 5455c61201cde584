//! Snapshots as a file system: every file of every moment, opened by any program, nothing restored.
//!
//! FUSE rather than WebDAV: the shop's own server is where files are looked for, every program
//! there can open a mounted folder, and nothing listens on a network. A desktop that is elsewhere
//! has the page, and `restore` or `dump`. What is read is fetched by range, chunk by chunk; a
//! database is a file `NAME.db` that SQLite opens read-only where it lies. Nothing can be written,
//! set-user-id bits and devices mean nothing, and only who mounted it can look inside.
//!
//! [`view`] knows what there is and what is in it; `fuse` speaks with the kernel.

mod content;
#[cfg(feature = "mount")]
mod fuse;
mod view;

use std::path::PathBuf;

#[cfg(feature = "mount")]
pub use fuse::{Mounted, mount};
pub use view::View;

use crate::{chunk, repo};

/// Why nothing could be mounted, or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{} cannot be mounted on", path.display())]
    NotMounted {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the file system came to an end")]
    Ended(#[source] std::io::Error),
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error(transparent)]
    Image(#[from] repo::image::Error),
    #[error(transparent)]
    Tree(#[from] repo::tree::Error),
    #[error(transparent)]
    Stream(#[from] repo::stream::Error),
    #[error("there is no such file")]
    Unknown,
}

#[cfg(test)]
mod tests;
