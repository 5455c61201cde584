//! Bytes of one file, from anywhere in it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    chunk::{Chunk, Fetch},
    format::stream::Stream,
    id::ChunkId,
    ops::{mount::Error, past::in_rollback_mode},
    repo::{
        image::CachedImage,
        stream::{Chunks, Holds},
    },
};

/// Tells how long a chunk is without fetching it.
pub type ChunkBytes<'a> = &'a dyn Fn(&ChunkId) -> Result<Option<u32>, crate::chunk::Error>;

/// An opened file.
pub enum Opened {
    File(FileContent),
    /// As SQLite wants a database that nobody writes.
    Database(Box<CachedImage>),
}

/// A file whose chunks are found by where they begin.
pub struct FileContent {
    fetch: Arc<dyn Fetch>,
    bytes: u64,
    /// Where in the file the stream's bytes belong, and where they begin in the stream.
    extents: Vec<(u64, u64, u64)>,
    /// Where each chunk begins in the stream.
    chunks: Vec<(u64, ChunkId)>,
    /// The kernel reads a chunk in several pieces.
    last: Mutex<Option<(usize, Chunk)>>,
}

impl Opened {
    /// Reads up to so many bytes; fewer only at the end of the file.
    pub fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(content) => content.read(offset, bytes),
            Self::Database(image) => {
                let mut buffer = vec![0; bytes];
                let read = image.read_at(offset, &mut buffer)?;
                buffer.truncate(read);
                in_rollback_mode(offset, &mut buffer);
                Ok(buffer)
            }
        }
    }
}

impl FileContent {
    /// Finds out where the chunks of a file lie; fetches lists of ids only.
    pub fn open(
        fetch: Arc<dyn Fetch>,
        (bytes, stream, extents): (u64, &Stream, Option<&[(u64, u64)]>),
        chunk_bytes: ChunkBytes<'_>,
    ) -> Result<Self, Error> {
        let mut chunks = Vec::new();
        let mut start = 0;
        for chunk in Chunks::new(&*fetch, stream) {
            let (Holds::Data, id) = chunk? else { continue };
            let length = chunk_bytes(&id)?.ok_or(crate::chunk::Error::Missing(id))?;
            chunks.push((start, id));
            start += u64::from(length);
        }
        let whole = [(0, bytes)];
        let mut in_stream = 0;
        let extents = extents.unwrap_or(&whole).iter().map(|(offset, length)| {
            let extent = (*offset, *length, in_stream);
            in_stream += length;
            extent
        });
        let extents = extents.collect();
        Ok(Self { fetch, bytes, extents, chunks, last: Mutex::default() })
    }

    fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, Error> {
        let left = self.bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
        // Holes are zeros to a reader.
        let mut buffer = vec![0; wanted];
        let end = offset + wanted as u64;
        for (start, length, in_stream) in &self.extents {
            let (from, to) = (offset.max(*start), end.min(start.saturating_add(*length)));
            if from < to {
                let into = &mut buffer[(from - offset) as usize..(to - offset) as usize];
                self.read_stream(in_stream + (from - start), into)?;
            }
        }
        Ok(buffer)
    }

    /// Fills the buffer from a place in the stream.
    fn read_stream(&self, mut at: u64, mut into: &mut [u8]) -> Result<(), Error> {
        while !into.is_empty() {
            let index = self.chunks.partition_point(|(start, _)| *start <= at).checked_sub(1);
            let Some(index) = index else { return Err(Error::Unknown) };
            let chunk = self.chunk(index)?;
            let rest = chunk.get((at - self.chunks[index].0) as usize..).unwrap_or_default();
            if rest.is_empty() {
                // The stream is shorter than the file says.
                return Err(crate::chunk::Error::Missing(self.chunks[index].1).into());
            }
            let piece = rest.len().min(into.len());
            into[..piece].copy_from_slice(&rest[..piece]);
            into = &mut into[piece..];
            at += piece as u64;
        }
        Ok(())
    }

    fn chunk(&self, index: usize) -> Result<Chunk, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunk)) = last.as_ref().filter(|(known, _)| *known == index) {
            return Ok(chunk.clone());
        }
        let chunk = self.fetch.get(&self.chunks[index].1)?;
        *last = Some((index, chunk.clone()));
        Ok(chunk)
    }
}
