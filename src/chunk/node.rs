//! Folder nodes in the making: entries in, chunks out. Spec: `format-spec/40-folder.md`.

use crate::{
    chunk::cut::{NodeCut, NodeCutter},
    crypto::keys::Keys,
    format::{
        Error,
        node::{Entry, NODE_VERSION},
    },
    limits::{NODE_BYTES_MAX, NODE_WHOLE_BYTES_MAX},
};

/// Gathers the entries of one folder.
#[derive(Debug)]
pub struct NodeBuilder<'k> {
    bytes: Vec<u8>,
    cutter: NodeCutter<'k>,
    /// Where chunks end, apart from the last, should the node be cut at all.
    cuts: Vec<usize>,
    last_name: Vec<u8>,
}

impl<'k> NodeBuilder<'k> {
    /// Begins a node.
    pub fn new(keys: &'k Keys) -> Self {
        Self {
            bytes: vec![NODE_VERSION],
            cutter: NodeCutter::new(keys, 1),
            cuts: Vec::new(),
            last_name: Vec::new(),
        }
    }

    /// Adds an entry, whose name must come after all names before it.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the entry breaks a rule of the format; the node is as before then.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        let unstorable = |why| Err(Error::Unstorable { object: "folder node", why });
        if entry.name <= self.last_name {
            return unstorable("its names do not ascend");
        }
        let start = self.bytes.len();
        entry.encode_into(&mut self.bytes)?;
        let end = self.bytes.len();
        if end as u64 > NODE_BYTES_MAX {
            self.bytes.truncate(start);
            return unstorable("it is too long");
        }
        let cut = self.cutter.push(&entry.name, end - start);
        if matches!(cut, NodeCut::Before | NodeCut::BeforeAndAfter) {
            self.cuts.push(start);
        }
        if matches!(cut, NodeCut::After | NodeCut::BeforeAndAfter) {
            self.cuts.push(end);
        }
        self.last_name.clone_from(&entry.name);
        Ok(())
    }

    /// Length of the node as it stands.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the node, cut into chunks.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let cuts = match self.bytes.len() {
            ..=NODE_WHOLE_BYTES_MAX => &[],
            _ => &self.cuts[..],
        };
        let mut start = 0;
        cuts.iter().copied().chain([self.bytes.len()]).filter_map(move |end| {
            let chunk = &self.bytes[start..end];
            start = end;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}
