//! Moves the content of one file between chunks and an open file.

use std::{fs::File, io, sync::atomic::Ordering::Relaxed};

use rayon::prelude::*;

use crate::{
    chunk::Chunk,
    disk::{Dir, read_exact_at, write_all_at},
    format::stream::Stream,
    id::ChunkId,
    limits::MIB,
    repo::{
        stream::{Chunks, Holds},
        tree::content::Layout,
    },
    sink::files::{
        Error,
        failure::{Failure, Trouble},
        restore::Restore,
    },
};

/// Chunks of one file that are fetched at the same time.
const BATCH_CHUNKS: usize = 4;

/// Files with more data than this are refused at once where there is no room for them.
const ROOM_CHECKED_BYTES: u64 = 64 * MIB as u64;

/// What is in a file, as the snapshot knows it.
#[derive(Debug, Clone, Copy)]
pub struct FileContent<'a> {
    pub bytes: u64,
    pub stream: &'a Stream,
    pub extents: Option<&'a [(u64, u64)]>,
}

impl Restore<'_> {
    /// Writes the content to a new file. Every chunk is verified before a byte of it is written.
    pub fn write_content(
        &self,
        dir: &Dir,
        file: &File,
        content: FileContent<'_>,
    ) -> Result<(), Failure> {
        let disk = self.sink.disk;
        let cannot_write = |error: io::Error| Failure::from(Trouble::io("write it", &error));
        self.check_room(dir, content)?;
        if content.extents.is_some() {
            disk.set_len(file, content.bytes).map_err(cannot_write)?;
        }
        let mut layout = Layout::new(content.bytes, content.extents);
        self.for_each_batch(content.stream, |chunk| {
            layout.place::<Failure>(chunk, &mut |offset, piece| {
                self.tally.wrote(piece.len() as u64);
                write_all_at(disk, file, piece, offset).map_err(cannot_write)
            })?;
            Ok(true)
        })?;
        Ok(layout.finish()?)
    }

    /// Whether the file, which has the right size, holds just this content. It has no holes.
    pub fn has_content(&self, file: &File, content: FileContent<'_>) -> Result<bool, Failure> {
        let mut offset = 0;
        let mut buffer = Vec::new();
        let mut is_equal = true;
        self.for_each_batch(content.stream, |chunk| {
            buffer.resize(chunk.len(), 0);
            let read = read_exact_at(self.sink.disk, file, &mut buffer, offset);
            is_equal = read.is_ok() && buffer.as_slice() == &**chunk;
            offset += chunk.len() as u64;
            Ok(is_equal)
        })?;
        Ok(is_equal && offset == content.bytes)
    }

    /// Calls back with the chunks of a stream in order, until told to stop. A few at a time are
    /// fetched in parallel, so that a single large file keeps all threads busy.
    fn for_each_batch(
        &self,
        stream: &Stream,
        mut visit: impl FnMut(&Chunk) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let fetch = self.sink.fetch;
        let mut data = Chunks::new(fetch, stream).filter_map(|chunk| match chunk {
            Ok((Holds::Data, id)) => Some(Ok(id)),
            Ok((Holds::Ids, _)) => None,
            Err(error) => Some(Err(error)),
        });
        loop {
            if self.sink.stop.load(Relaxed) {
                return Err(Failure::Run(Error::Stopped));
            }
            let ids = data.by_ref().take(BATCH_CHUNKS).collect::<Result<Vec<ChunkId>, _>>()?;
            let chunks: Vec<_> = match ids.as_slice() {
                [] => return Ok(()),
                [id] => vec![fetch.get(id)],
                ids => ids.par_iter().map(|id| fetch.get(id)).collect(),
            };
            for chunk in chunks {
                if !visit(&chunk?)? {
                    return Ok(());
                }
            }
        }
    }

    fn check_room(&self, dir: &Dir, content: FileContent<'_>) -> Result<(), Failure> {
        if i64::try_from(content.bytes).is_err() {
            return Err(Trouble::new("damaged", "no file can be that large").into());
        }
        if content.stream.bytes <= ROOM_CHECKED_BYTES {
            return Ok(());
        }
        match self.sink.disk.free_bytes(dir) {
            Ok(free) if free < content.stream.bytes => {
                let message = format!("{} bytes are needed, {free} free", content.stream.bytes);
                Err(Trouble::new("no-space", message).into())
            }
            _ => Ok(()),
        }
    }
}
