//! The parent snapshot's entries of one folder, read alongside the names that are there now.

use std::iter::Peekable;

use crate::{
    chunk::{self, Fetch},
    format::{node::Entry, stream::Stream},
    repo::tree::{self, NodeEntries},
};

/// The parent's entries of one folder, in step with its names.
pub struct Older<'a> {
    entries: Option<Peekable<NodeEntries<'a>>>,
    /// Entries that are gone since, in order.
    gone: Vec<Entry>,
    /// Why the rest of the parent's node cannot be read.
    unreadable: Option<tree::Error>,
}

impl<'a> Older<'a> {
    /// Begins at the parent's first entry, if the parent has the folder.
    pub fn new(fetch: &'a dyn Fetch, node: Option<&Stream>) -> Self {
        let entries = node.map(|node| NodeEntries::new(fetch, node).peekable());
        Self { entries, gone: Vec::new(), unreadable: None }
    }

    /// Returns the parent's entry of this name. Names must ascend; entries between them are gone.
    pub fn take(&mut self, name: &[u8]) -> Result<Option<Entry>, chunk::Error> {
        while let Some(entry) = self.next_if(|entry| entry.name.as_slice() <= name)? {
            if entry.name == name {
                return Ok(Some(entry));
            }
            self.gone.push(entry);
        }
        Ok(None)
    }

    /// Counts all entries that are left as gone.
    pub fn take_rest(&mut self) -> Result<(), chunk::Error> {
        while let Some(entry) = self.next_if(|_| true)? {
            self.gone.push(entry);
        }
        Ok(())
    }

    /// Returns what was found gone since the last call.
    pub fn take_gone(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.gone)
    }

    /// Returns why the parent's node could not be read to its end. From there on everything counts
    /// as new.
    pub fn take_unreadable(&mut self) -> Option<tree::Error> {
        self.unreadable.take()
    }

    fn next_if(&mut self, wanted: impl Fn(&Entry) -> bool) -> Result<Option<Entry>, chunk::Error> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        let is_wanted = |entry: &Result<Entry, tree::Error>| entry.as_ref().map_or(true, &wanted);
        match entries.next_if(is_wanted) {
            None => Ok(None),
            Some(Ok(entry)) => Ok(Some(entry)),
            Some(Err(tree::Error::Chunk(chunk::Error::Stopped))) => Err(chunk::Error::Stopped),
            Some(Err(error)) => {
                self.entries = None;
                self.unreadable = Some(error);
                Ok(None)
            }
        }
    }
}
