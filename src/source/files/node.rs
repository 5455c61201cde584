//! Builds the node of one folder; an unchanged folder keeps the node it has and stores nothing.

use crate::{
    chunk::{Fetch, Store},
    crypto::keys::Keys,
    format::{node::Entry, stream::Stream},
    repo::tree::{self, NodeEntries, NodeWriter},
};

/// What became of one name.
#[derive(Debug)]
pub enum Taken {
    /// It is in the parent's node, exactly so.
    Same(Entry),
    New(Entry),
    /// It is left out, but the parent's node has it.
    Dropped,
    /// It is left out, and always was.
    Nothing,
}

impl Taken {
    /// Takes an entry, and compares it with the parent's.
    pub fn new(entry: Entry, older: Option<&Entry>) -> Self {
        if older == Some(&entry) { Self::Same(entry) } else { Self::New(entry) }
    }

    /// Whether the parent's node may stay as it is.
    pub const fn is_same(&self) -> bool {
        matches!(self, Self::Same(_) | Self::Nothing)
    }

    /// The entry that goes into the node.
    pub const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Same(entry) | Self::New(entry) => Some(entry),
            Self::Dropped | Self::Nothing => None,
        }
    }
}

/// A node in the making, with the parent's node to fall back on.
pub struct NodeBuilder<'a> {
    fetch: &'a dyn Fetch,
    keys: &'a Keys,
    older: Option<&'a Stream>,
    /// How many entries are as in the parent's node, without a gap, from its first on.
    same: usize,
    /// There is one from the first difference on.
    writer: Option<NodeWriter<'a>>,
}

impl<'a> NodeBuilder<'a> {
    /// Begins a node without entries.
    pub fn new(fetch: &'a dyn Fetch, keys: &'a Keys, older: Option<&'a Stream>) -> Self {
        Self { fetch, keys, older, same: 0, writer: None }
    }

    /// Whether the node already differs from the parent's.
    pub const fn differs(&self) -> bool {
        self.writer.is_some()
    }

    /// Counts entries that are the parent's next ones.
    pub const fn skip_same(&mut self, count: usize) {
        self.same += count;
    }

    /// Notes that this node is not the parent's, and returns the writer for all entries that
    /// follow.
    pub fn begin_to_differ(
        &mut self,
        store: &mut dyn Store,
    ) -> Result<&mut NodeWriter<'a>, tree::Error> {
        if self.writer.is_none() {
            let mut writer = NodeWriter::new(self.keys);
            if let Some(older) = self.older {
                for entry in NodeEntries::new(self.fetch, older).take(self.same) {
                    writer.push(store, &entry?)?;
                }
            }
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("it was set above"))
    }

    /// Returns the node: the parent's own if nothing differs.
    pub fn finish(mut self, store: &mut dyn Store) -> Result<Stream, tree::Error> {
        if let (None, Some(older)) = (&self.writer, self.older) {
            return Ok(older.clone());
        }
        let _ = self.begin_to_differ(store)?;
        self.writer.take().expect("it was just begun").finish(store)
    }
}
