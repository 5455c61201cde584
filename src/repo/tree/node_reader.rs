//! Reads one folder node, entry by entry. Spec: `format-spec/40-folder.md`, "Node".

use crate::{
    chunk::Fetch,
    format::{
        self,
        node::{Entry, NodeDecoder},
        stream::Stream,
    },
    id::ChunkId,
    limits::KIB,
    repo::{
        stream::{Chunks, Holds},
        tree::Error,
    },
};

/// Bytes of a node that are decoded at a time, so that a hostile one cannot fill the memory with
/// tiny entries.
const PIECE_BYTES: usize = 64 * KIB;

/// The entries of a node, in ascending order of their names. Ends after the first error.
///
/// Between two calls it holds no chunk: whoever walks a tree has one of these open for each level.
pub struct NodeEntries<'a> {
    fetch: &'a dyn Fetch,
    chunks: Chunks<'a>,
    /// The chunk being decoded, and where its undecoded rest begins.
    current: Option<(ChunkId, usize)>,
    /// Gone once the node has ended.
    decoder: Option<NodeDecoder>,
    entries: std::vec::IntoIter<Entry>,
    bytes_left: u64,
}

impl<'a> NodeEntries<'a> {
    /// Begins at the first entry; nothing is fetched yet.
    pub fn new(fetch: &'a dyn Fetch, node: &Stream) -> Self {
        Self {
            fetch,
            chunks: Chunks::new(fetch, node),
            current: None,
            decoder: Some(NodeDecoder::default()),
            entries: Vec::new().into_iter(),
            bytes_left: node.bytes,
        }
    }

    /// Decodes the next piece. Returns false at the end of the node.
    fn advance(&mut self) -> Result<bool, Error> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        let (id, start) = match self.current.take() {
            Some(current) => current,
            None => match self.chunks.next().transpose()? {
                Some((Holds::Ids, _)) => return Ok(true),
                Some((Holds::Data, id)) => (id, 0),
                None => return self.end().map(|()| false),
            },
        };
        let chunk = self.fetch.get(&id)?;
        let end = chunk.len().min(start + PIECE_BYTES);
        let piece = &chunk[start..end];
        let left = self.bytes_left.checked_sub(piece.len() as u64);
        self.bytes_left = left.ok_or_else(|| corrupt("it is longer than it says"))?;
        self.entries = decoder.decode(piece)?.into_iter();
        self.current = (end < chunk.len()).then_some((id, end));
        Ok(true)
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.bytes_left > 0 {
            return Err(corrupt("it is shorter than it says"));
        }
        self.decoder.take().map_or(Ok(()), |decoder| Ok(decoder.finish()?))
    }
}

impl Iterator for NodeEntries<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(Ok(entry));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.decoder = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn corrupt(why: &'static str) -> Error {
    Error::Format(format::Error::Corrupt { object: "folder node", at: 0, why })
}
