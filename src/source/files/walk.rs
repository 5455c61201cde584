//! The walk over one tree: folders in parallel, each from its names to its node.
//!
//! Threads take neighbouring entries each, so that what one lane stores in turn belongs together;
//! the order of the names decides what a node looks like, whoever was faster. What is held at any
//! time is the names of the folders on the way down, and one window of entries of each.

use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use rayon::prelude::*;

use crate::{
    chunk::{self, Store, cut::CutTable},
    clock::UnixNanos,
    disk::{Dir, FileKind, Stat},
    format::{
        node::{Content, Entry},
        stream::Stream,
    },
    id::ChunkId,
    repo::tree::{self, Met, Step, walk::join},
    source::files::{
        Error, Event, Mounts, Source,
        failure::Failure,
        filter::Filter,
        linked::Linked,
        names::Names,
        node::{NodeBuilder, Taken},
        older::Older,
        read_disk::uninterrupted,
        roots::Chosen,
        tally::Tally,
        unchanged::is_unchanged,
    },
};

/// Entries of one folder that are in memory at a time.
const WINDOW_ENTRIES: usize = 4096;

/// What all threads of one walk share.
pub struct Walk<'a, L> {
    pub source: &'a Source<'a>,
    pub cut_table: CutTable,
    /// The folder that all paths are below.
    pub root: &'a Path,
    pub filter: Filter,
    pub mounts: Mounts,
    /// Absent: every file is read.
    pub parent_began: Option<UnixNanos>,
    /// One for each thread.
    pub workers: Vec<Mutex<Worker<'a, L>>>,
    pub nodes: Mutex<&'a mut L>,
    pub linked: Linked,
    pub tally: Tally<'a>,
}

/// What one thread works with.
pub struct Worker<'a, L> {
    pub lane: &'a mut L,
    pub buffer: Vec<u8>,
}

/// A folder on the way down.
pub struct Folder<'a> {
    pub dir: Dir,
    /// Below the root; empty for the root.
    pub path: &'a [u8],
    pub depth: usize,
    /// The file system to stay on, if that is asked for.
    pub device: Option<u64>,
    pub chosen: &'a Chosen,
    pub names: Names,
    /// The parent's node of this folder.
    pub older: Option<&'a Stream>,
}

impl<'a, L: Store + Send> Walk<'a, L> {
    /// Saves all that is in a folder, and returns its node.
    pub fn node(&self, folder: &Folder<'_>) -> Result<Stream, Failure> {
        self.tally.tell(Event::Folder { path: folder.path });
        for name in folder.names.too_long() {
            let message = "its name is too long".to_owned();
            self.tally.problem(&path_of(folder, name), "unstorable", message);
        }
        let fetch = self.source.fetch;
        let mut older = Older::new(fetch, folder.older);
        let mut node = NodeBuilder::new(fetch, self.source.keys, folder.older);
        for start in (0..folder.names.len()).step_by(WINDOW_ENTRIES) {
            self.window(folder, start, &mut older, &mut node)?;
        }
        older.take_rest()?;
        if self.note_gone(folder, &mut older) {
            let _ = node.begin_to_differ(&mut self.node_lane())?;
        }
        Ok(node.finish(&mut self.node_lane())?)
    }

    /// Saves the next entries of a folder.
    fn window(
        &self,
        folder: &Folder<'_>,
        start: usize,
        older: &mut Older<'_>,
        node: &mut NodeBuilder<'_>,
    ) -> Result<(), Failure> {
        let end = folder.names.len().min(start + WINDOW_ENTRIES);
        let paired = (start..end)
            .map(|index| Ok((index, older.take(folder.names.get(index))?)))
            .collect::<Result<Vec<_>, chunk::Error>>()?;
        let mut differs = self.note_gone(folder, older);
        let taken = paired
            .into_par_iter()
            .map(|(index, older)| self.entry(folder, folder.names.get(index), older))
            .collect::<Result<Vec<_>, Error>>()
            .map_err(Failure::Run)?;
        differs |= node.differs() || taken.iter().any(|taken| !taken.is_same());
        if differs {
            self.push_all(folder, node, &taken)
        } else {
            node.skip_same(taken.iter().filter_map(Taken::entry).count());
            Ok(())
        }
    }

    fn push_all(
        &self,
        folder: &Folder<'_>,
        node: &mut NodeBuilder<'_>,
        taken: &[Taken],
    ) -> Result<(), Failure> {
        let mut lane = self.node_lane();
        let writer = node.begin_to_differ(&mut lane)?;
        for entry in taken.iter().filter_map(Taken::entry) {
            match writer.push(&mut lane, entry) {
                // This entry breaks a rule of the format; the node goes on without it.
                Err(tree::Error::Format(error)) => {
                    let path = path_of(folder, &entry.name);
                    self.tally.problem(&path, "unstorable", error.to_string());
                }
                pushed => pushed?,
            }
        }
        Ok(())
    }

    /// Notes what is gone and whether the parent's node was damaged; either way the node cannot
    /// stay as it was.
    fn note_gone(&self, folder: &Folder<'_>, older: &mut Older<'_>) -> bool {
        let gone = older.take_gone();
        for entry in &gone {
            let path = path_of(folder, &entry.name);
            self.tally.gone(&path);
            if let Content::Folder { node } = &entry.content {
                self.note_gone_below(&path, node);
            }
        }
        let unreadable = older.take_unreadable();
        if let Some(error) = &unreadable {
            let error = error.to_string();
            self.tally.tell(Event::ParentUnreadable { path: folder.path, error: &error });
        }
        !gone.is_empty() || unreadable.is_some()
    }

    fn note_gone_below(&self, folder: &[u8], node: &Stream) {
        let visit = &mut |path: &[u8], met: Met<'_>| -> Result<Step, Infallible> {
            if let Met::Entry(_) = met {
                let mut gone = folder.to_vec();
                join(&mut gone, path);
                self.tally.gone(&gone);
            }
            Ok(Step::Into)
        };
        match tree::walk(self.source.fetch, node, visit) {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Saves one entry. Only what ends the run is an error.
    fn entry(
        &self,
        folder: &Folder<'_>,
        name: &[u8],
        older: Option<Entry>,
    ) -> Result<Taken, Error> {
        if self.source.stop.load(Relaxed) {
            return Err(Error::Stopped);
        }
        let left_out = if older.is_some() { Taken::Dropped } else { Taken::Nothing };
        let path = path_of(folder, name);
        match self.take(folder, name, &path, older) {
            Ok(None) => Ok(left_out),
            Ok(Some(taken)) => {
                if let Some(entry) = taken.entry() {
                    self.tally.entry(&path, entry);
                }
                Ok(taken)
            }
            Err(Failure::Run(error)) => Err(error),
            Err(Failure::Entry { code, message }) => {
                self.tally.problem(&path, &code, message);
                Ok(left_out)
            }
        }
    }

    fn take(
        &self,
        at: &Folder<'_>,
        name: &[u8],
        path: &[u8],
        older: Option<Entry>,
    ) -> Result<Option<Taken>, Failure> {
        let is_named = matches!(at.chosen, Chosen::Only(_));
        let disk = self.source.disk;
        let stat = match uninterrupted(|| disk.stat(&at.dir, name)) {
            Err(error) if is_named && error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::entry("missing", "it is to be saved, but is not there"));
            }
            stat => stat?,
        };
        if !is_named && self.filter.excludes(path, stat.kind == FileKind::Dir) {
            return Ok(None);
        }
        match stat.kind {
            FileKind::Dir => self.folder(at, path, &stat, older),
            FileKind::File => self.file(at, path, &stat, older),
            _ => self.other(at, name, &stat, older).map(Some),
        }
    }

    /// Saves what is neither a file nor a folder: all of it is in the entry.
    fn other(
        &self,
        at: &Folder<'_>,
        name: &[u8],
        stat: &Stat,
        older: Option<Entry>,
    ) -> Result<Taken, Failure> {
        let older = match older {
            Some(older) if self.is_same(stat, &older) => return Ok(Taken::Same(older)),
            older => older,
        };
        let (major, minor) = (stat.rdev_major, stat.rdev_minor);
        let content = match stat.kind {
            FileKind::Fifo => Content::Fifo,
            FileKind::Socket => Content::Socket,
            FileKind::CharDevice => Content::CharDevice { major, minor },
            FileKind::BlockDevice => Content::BlockDevice { major, minor },
            FileKind::Link | FileKind::File | FileKind::Dir => {
                let disk = self.source.disk;
                Content::Link { target: uninterrupted(|| disk.read_link(&at.dir, name))? }
            }
        };
        Ok(Taken::new(entry_of(name, stat, content), older.as_ref()))
    }

    /// Whether the parent's entry still holds, so that nothing needs to be read.
    pub fn is_same(&self, stat: &Stat, older: &Entry) -> bool {
        self.parent_began.is_some_and(|began| is_unchanged(stat, older, began))
    }

    /// The lane of the thread that asks. Hold it only while nothing else can be stolen: never
    /// across a parallel loop.
    pub fn worker(&self) -> MutexGuard<'_, Worker<'a, L>> {
        let thread = rayon::current_thread_index().unwrap_or(0);
        self.workers[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn node_lane(&self) -> NodeLane<'_, 'a, L> {
        NodeLane(&self.nodes)
    }
}

/// The one lane of all nodes, taken for each chunk.
pub struct NodeLane<'w, 'a, L>(&'w Mutex<&'a mut L>);

impl<L: Store> Store for NodeLane<'_, '_, L> {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(plain)
    }
}

/// The path of a name in a folder, below the root.
pub fn path_of(folder: &Folder<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.path.len() + 1 + name.len());
    path.extend_from_slice(folder.path);
    join(&mut path, name);
    path
}

/// The last name of a path.
pub fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The node of an entry that is a folder.
pub const fn node_of(entry: &Entry) -> Option<&Stream> {
    match &entry.content {
        Content::Folder { node } => Some(node),
        _ => None,
    }
}

/// Makes an entry of what `stat` said.
pub fn entry_of(name: &[u8], stat: &Stat, content: Content) -> Entry {
    Entry {
        name: name.to_vec(),
        // A folder's count is about its sub-folders, and no two names are ever one folder.
        links: if matches!(content, Content::Folder { .. }) { 1 } else { stat.links },
        content,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        modified: stat.modified,
        changed: stat.changed,
        device: stat.device,
        inode: stat.inode,
        xattrs: Vec::new(),
        problem: None,
    }
}
