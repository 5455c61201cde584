//! Database images in the store: built from the pages that changed, read page by page or whole.
//! Spec: `format-spec/50-page-map.md`.
//!
//! Knows chunks only through [`Store`](crate::chunk::Store) and [`Fetch`](crate::chunk::Fetch), and
//! nothing of where pages come from. What [`build`] returns is proven: every patch was applied to
//! the older version as the store gave it back, and every page has its place.

mod base;
mod build;
mod cached;
mod changed;
mod choice;
mod compare;
mod encode;
mod maps;
mod needs;
mod page_chunks;
mod reader;
mod whole;

use std::io;

pub use build::build;
pub use cached::CachedImage;
pub use reader::ImageReader;

use crate::{
    chunk, format,
    format::image::{Method, Witness},
    id::ImageIdentity,
    repo::stream,
};

/// The pages of a new image that are not as they were in the older one.
pub trait ChangedPages: Sync {
    fn count(&self) -> u32;

    /// Page numbers of changed pages from the given one on (counted from 0); they ascend.
    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()>;

    /// Bytes of changed pages from the given one on (counted from 0), one after another.
    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()>;
}

/// A captured image that is not stored yet.
pub struct NewImage<'a> {
    /// 0 for an empty database.
    pub page_bytes: u32,
    pub page_count: u32,
    pub identity: ImageIdentity,
    pub method: Method,
    pub damaged: bool,
    pub unchecked: bool,
    /// When the witnesses were taken.
    pub begun: (i64, u32),
    pub witnesses: Vec<Witness>,
    /// Relative to the parent image, or all pages where there is none.
    pub changed: &'a dyn ChangedPages,
}

/// Why an image could not be built or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
    /// The captured pages cannot be read back from where they were kept.
    #[error("cannot read the captured pages")]
    Captured(#[source] io::Error),
    #[error("page {page} has no place in the image")]
    NoPlace { page: u32 },
    /// Our own mistake, caught before anything was published.
    #[error("the patch of page {page} does not make the page")]
    WrongPatch { page: u32 },
    /// Chunks are authentic, yet together they are another image.
    #[error("the image is not the one that was captured")]
    OtherIdentity,
}

impl From<stream::Error> for Error {
    fn from(error: stream::Error) -> Self {
        match error {
            stream::Error::Chunk(error) => Self::Chunk(error),
            stream::Error::Format(error) => Self::Format(error),
        }
    }
}

/// The image breaks a rule that spans several of its chunks.
const fn corrupt(page: u32, why: &'static str) -> Error {
    Error::Format(format::Error::Corrupt { object: "database image", at: page as u64, why })
}

#[cfg(test)]
mod tests;
