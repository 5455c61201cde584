//! Writes one folder node, entry by entry. Spec: `format-spec/40-folder.md`, "Node" and "Cutting".

use crate::{
    chunk::{
        Store,
        cut::{NodeCut, NodeCutter},
    },
    crypto::keys::Keys,
    format::{
        node::{Entry, NODE_VERSION},
        stream::Stream,
    },
    limits::{NODE_BYTES_MAX, NODE_WHOLE_BYTES_MAX},
    repo::{stream::StreamWriter, tree::Error},
};

/// A node in the making. Holds little more than one chunk, however many entries there are.
#[must_use = "a node exists once it is finished"]
#[derive(Debug)]
pub struct NodeWriter<'a> {
    cutter: NodeCutter<'a>,
    stream: StreamWriter,
    /// What is not stored yet.
    pending: Vec<u8>,
    /// Where chunks end in `pending`, should the node turn out too long to be a single one.
    cuts: Vec<usize>,
    bytes: u64,
}

impl<'a> NodeWriter<'a> {
    /// Begins a node without entries.
    pub fn new(keys: &'a Keys) -> Self {
        let pending = vec![NODE_VERSION];
        let bytes = pending.len();
        let (cutter, cuts) = (NodeCutter::new(keys, bytes), Vec::new());
        Self { cutter, stream: StreamWriter::new(), pending, cuts, bytes: bytes as u64 }
    }

    /// Adds an entry; names must ascend.
    ///
    /// # Errors
    /// [`Error::Format`] if the entry breaks a rule of the format; the node is as before then.
    /// [`Error::TooManyEntries`] if the folder outgrows the format, and errors of the store: the
    /// node is dead then.
    pub fn push(&mut self, store: &mut dyn Store, entry: &Entry) -> Result<(), Error> {
        let start = self.pending.len();
        entry.encode_into(&mut self.pending)?;
        self.bytes += (self.pending.len() - start) as u64;
        if self.bytes > NODE_BYTES_MAX {
            return Err(Error::TooManyEntries);
        }
        let end = self.pending.len();
        match self.cutter.push(&entry.name, end - start) {
            NodeCut::Inside => {}
            NodeCut::After => self.cuts.push(end),
            NodeCut::Before => self.cuts.push(start),
            NodeCut::BeforeAndAfter => self.cuts.extend([start, end]),
        }
        match self.bytes > NODE_WHOLE_BYTES_MAX as u64 {
            true => self.store_cuts(store),
            false => Ok(()),
        }
    }

    /// Stores what is left and returns the node.
    pub fn finish(mut self, store: &mut dyn Store) -> Result<Stream, Error> {
        if !self.pending.is_empty() {
            self.stream.put(store, &self.pending)?;
        }
        Ok(self.stream.finish(store)?)
    }

    fn store_cuts(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        let mut begin = 0;
        for end in self.cuts.drain(..) {
            self.stream.put(store, &self.pending[begin..end])?;
            begin = end;
        }
        let _ = self.pending.drain(..begin);
        Ok(())
    }
}
