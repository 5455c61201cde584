//! Trees of folder nodes over the two seams: nodes built and read piece by piece, contents cut and
//! read back.
//! Spec: `format-spec/40-folder.md`.
//!
//! Knows [`Store`](crate::chunk::Store) and [`Fetch`](crate::chunk::Fetch) only: no files, no
//! packs, no index.

pub mod content;
pub mod node_reader;
pub mod node_writer;
pub mod walk;

use crate::{chunk, format, repo::stream};

pub use content::store_content;
pub use node_reader::NodeEntries;
pub use node_writer::NodeWriter;
pub use walk::{Met, Step, find, walk};

/// Why a tree could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error("a folder has more entries than the format allows")]
    TooManyEntries,
}

impl From<stream::Error> for Error {
    fn from(error: stream::Error) -> Self {
        match error {
            stream::Error::Chunk(error) => Self::Chunk(error),
            stream::Error::Format(error) => Self::Format(error),
        }
    }
}

#[cfg(test)]
mod tests;
