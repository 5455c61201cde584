//! Streams through the two seams: gathered while a sequence is stored, walked when it is read back.
//! Spec: `format-spec/40-folder.md`, "Stream".
//!
//! Knows nothing of what the bytes mean, nor how they were cut.

use crate::{
    chunk::{self, Fetch, Store},
    format::{self, stream::Stream},
    id::ChunkId,
    limits::{STREAM_DEPTH_MAX, STREAM_INLINE_IDS_MAX, STREAM_LIST_IDS_MAX},
};

/// Gathers the ids of a sequence's chunks; holds at most one list chunk per level.
#[must_use = "a stream exists once it is finished"]
#[derive(Debug, Default)]
pub struct StreamWriter {
    bytes: u64,
    /// `levels[0]` are ids of data, `levels[d]` ids of lists of ids of level d - 1; what is not yet
    /// stored of each.
    levels: Vec<Vec<ChunkId>>,
}

impl StreamWriter {
    /// Begins an empty sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores the next bytes of the sequence as one chunk.
    pub fn put(&mut self, store: &mut dyn Store, plain: &[u8]) -> Result<(), chunk::Error> {
        let id = store.put(plain)?;
        self.push(store, id, plain.len() as u64)
    }

    /// Adds a chunk that is stored already, of the given plain length.
    pub fn push(
        &mut self,
        store: &mut dyn Store,
        id: ChunkId,
        bytes: u64,
    ) -> Result<(), chunk::Error> {
        self.bytes += bytes;
        self.push_at(store, 0, id)
    }

    /// Stores the lists that are still open and returns the stream.
    pub fn finish(mut self, store: &mut dyn Store) -> Result<Stream, chunk::Error> {
        let mut depth = 0;
        loop {
            let is_top = depth + 1 >= self.levels.len();
            let open = self.levels.get_mut(depth).map(std::mem::take).unwrap_or_default();
            if is_top && open.len() <= STREAM_INLINE_IDS_MAX {
                return Ok(Stream { depth: depth as u8, bytes: self.bytes, ids: open });
            }
            if !open.is_empty() {
                let list = store_list(store, &open)?;
                self.push_at(store, depth + 1, list)?;
            }
            depth += 1;
        }
    }

    fn push_at(
        &mut self,
        store: &mut dyn Store,
        mut depth: usize,
        mut id: ChunkId,
    ) -> Result<(), chunk::Error> {
        loop {
            if self.levels.len() == depth {
                self.levels.push(Vec::new());
            }
            self.levels[depth].push(id);
            if self.levels[depth].len() < STREAM_LIST_IDS_MAX {
                return Ok(());
            }
            id = store_list(store, &std::mem::take(&mut self.levels[depth]))?;
            depth += 1;
        }
    }
}

fn store_list(store: &mut dyn Store, ids: &[ChunkId]) -> Result<ChunkId, chunk::Error> {
    let plain: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    store.put(&plain)
}

/// What a chunk of a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Bytes of the sequence.
    Data,
    /// Ids of further chunks of the stream.
    Ids,
}

/// Walks the chunks of a stream: data in the order of the sequence, each list before what it names.
///
/// Fetches lists only.
pub struct Chunks<'a> {
    fetch: &'a dyn Fetch,
    /// What is still to visit, nearest last, with its height above the data. No recursion on input.
    ahead: Vec<(u8, ChunkId)>,
}

impl<'a> Chunks<'a> {
    /// Begins at the first chunk; nothing is fetched yet.
    pub fn new(fetch: &'a dyn Fetch, stream: &Stream) -> Self {
        Self { fetch, ahead: stream.ids.iter().rev().map(|id| (stream.depth, *id)).collect() }
    }

    fn open_list(&mut self, height: u8, id: &ChunkId) -> Result<(), Error> {
        if height > STREAM_DEPTH_MAX {
            return Err(corrupt(0, "a stream is too deep"));
        }
        let list = self.fetch.get(id)?;
        if list.len() % 32 != 0 || list.len() / 32 > STREAM_LIST_IDS_MAX {
            return Err(corrupt(0, "a list of ids has another length"));
        }
        self.ahead.extend(list.as_chunks().0.iter().rev().map(|id| (height - 1, ChunkId(*id))));
        Ok(())
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<(Holds, ChunkId), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (height, id) = self.ahead.pop()?;
        if height == 0 {
            return Some(Ok((Holds::Data, id)));
        }
        Some(self.open_list(height, &id).map(|()| (Holds::Ids, id)))
    }
}

/// Calls back with every chunk of the stream, data in the order of the sequence, each list before
/// what it names.
pub fn for_each_chunk<E: From<Error>>(
    fetch: &dyn Fetch,
    stream: &Stream,
    visit: &mut dyn FnMut(Holds, ChunkId) -> Result<(), E>,
) -> Result<(), E> {
    for chunk in Chunks::new(fetch, stream) {
        let (holds, id) = chunk?;
        visit(holds, id)?;
    }
    Ok(())
}

/// Returns the whole sequence, which must not be longer than `bytes_max`.
pub fn read(fetch: &dyn Fetch, stream: &Stream, bytes_max: u64) -> Result<Vec<u8>, Error> {
    if stream.bytes > bytes_max {
        return Err(corrupt(0, "a stream is longer than what it may hold"));
    }
    let mut bytes = Vec::with_capacity(stream.bytes as usize);
    for_each_chunk(fetch, stream, &mut |holds, id| {
        if holds == Holds::Data {
            let chunk = fetch.get(&id)?;
            if (bytes.len() + chunk.len()) as u64 > stream.bytes {
                return Err(corrupt(bytes.len() as u64, "a stream is longer than it says"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    })?;
    if bytes.len() as u64 != stream.bytes {
        return Err(corrupt(bytes.len() as u64, "a stream is shorter than it says"));
    }
    Ok(bytes)
}

fn corrupt(at: u64, why: &'static str) -> Error {
    Error::Format(format::Error::Corrupt { object: "stream", at, why })
}

/// Why a stream could not be walked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
}

impl From<Error> for crate::repo::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Chunk(error) => Self::Chunk(error),
            Error::Format(error) => Self::Format(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        chunk::memory::MemoryChunks,
        crypto::{keys::Keys, secret::Secret32},
        id::RepositoryId,
    };

    fn chunks() -> MemoryChunks {
        let key = Secret32::new([7; 32]);
        MemoryChunks::new(Arc::new(Keys {
            repository: RepositoryId([1; 32]),
            chunk: key.clone(),
            cut: key.clone(),
            page: key.clone(),
            identity: key.clone(),
            epochs: crate::crypto::keys::Epochs::new(vec![(1, key)]),
        }))
    }

    fn stored(store: &mut MemoryChunks, chunk_count: u32) -> (Stream, Vec<u8>) {
        let mut writer = StreamWriter::new();
        let mut all = Vec::new();
        for number in 0..chunk_count {
            let plain = number.to_le_bytes();
            writer.put(store, &plain).unwrap();
            all.extend(plain);
        }
        (writer.finish(store).unwrap(), all)
    }

    #[test]
    fn sequences_of_every_depth_come_back() {
        let list = STREAM_LIST_IDS_MAX as u32;
        for (chunk_count, depth) in
            [(0, 0), (1, 0), (128, 0), (129, 1), (list, 1), (list + 1, 1), (list * 128 + 1, 2)]
        {
            let mut store = chunks();

            let (stream, all) = stored(&mut store, chunk_count);

            assert_eq!(stream.depth, depth, "{chunk_count} chunks");
            assert!(stream.ids.len() <= STREAM_INLINE_IDS_MAX);
            assert_eq!(read(&store, &stream, u64::MAX).unwrap(), all);
        }
    }

    #[test]
    fn a_stream_that_lies_about_its_length_is_corrupt() {
        let mut store = chunks();
        let (mut stream, all) = stored(&mut store, 200);
        for bytes in [0, all.len() as u64 - 1, all.len() as u64 + 1] {
            stream.bytes = bytes;

            assert!(matches!(read(&store, &stream, u64::MAX), Err(Error::Format(_))));
        }
    }

    #[test]
    fn a_lost_list_is_missing_not_corrupt() {
        let mut store = chunks();
        let (stream, _) = stored(&mut store, 200);

        store.lose(&stream.ids[0]);

        let lost = read(&store, &stream, u64::MAX);
        assert!(matches!(lost, Err(Error::Chunk(chunk::Error::Missing(_)))));
    }
}
