//! What a walk has counted so far, from all its threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    format::{
        node::{Content, Entry},
        record::{Problem, Totals},
    },
    limits::PROBLEMS_KEPT_MAX,
    source::files::Event,
};

/// Counters, problems, and what is gone.
pub struct Tally<'a> {
    observe: &'a (dyn Fn(Event<'_>) + Sync),
    files: AtomicU64,
    folders: AtomicU64,
    others: AtomicU64,
    bytes: AtomicU64,
    chunks: AtomicU64,
    bytes_read: AtomicU64,
    problems: Kept<Problem>,
    gone: Kept<Vec<u8>>,
}

impl<'a> Tally<'a> {
    /// Begins with nothing counted.
    pub fn new(observe: &'a (dyn Fn(Event<'_>) + Sync)) -> Self {
        Self {
            observe,
            files: AtomicU64::new(0),
            folders: AtomicU64::new(0),
            others: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            problems: Kept::default(),
            gone: Kept::default(),
        }
    }

    /// Counts an entry that is in the snapshot.
    pub fn entry(&self, path: &[u8], entry: &Entry) {
        let (count, bytes, chunks) = match &entry.content {
            Content::File { bytes, stream, .. } => (&self.files, *bytes, stream.ids.len()),
            Content::Database(image) => {
                let streams = [&image.base, &image.folded, &image.recent];
                (&self.files, image.bytes(), streams.iter().map(|stream| stream.ids.len()).sum())
            }
            Content::Folder { node } => (&self.folders, 0, node.ids.len()),
            _ => (&self.others, 0, 0),
        };
        let _ = count.fetch_add(1, Relaxed);
        let _ = self.bytes.fetch_add(bytes, Relaxed);
        let _ = self.chunks.fetch_add(chunks as u64, Relaxed);
        (self.observe)(Event::Entry { path, bytes, owner: (entry.uid, entry.gid) });
    }

    /// Counts bytes that were read from the source.
    pub fn read(&self, bytes: u64) {
        let _ = self.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// Tells and keeps a problem.
    pub fn problem(&self, path: &[u8], code: &str, message: String) {
        let problem = Problem { path: path.to_vec(), code: code.to_owned(), message };
        (self.observe)(Event::Problem(&problem));
        self.problems.push(problem);
    }

    /// Keeps the path of an entry of the parent that is gone.
    pub fn gone(&self, path: &[u8]) {
        self.gone.push(path.to_vec());
    }

    /// Tells anything else.
    pub fn tell(&self, event: Event<'_>) {
        (self.observe)(event);
    }

    pub fn totals(&self) -> Totals {
        Totals {
            files: self.files.load(Relaxed),
            folders: self.folders.load(Relaxed),
            others: self.others.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            chunks: self.chunks.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_new: 0,
        }
    }

    /// Returns the problems kept, by path, and how many there were.
    pub fn problems(&self) -> (Vec<Problem>, u64) {
        let (mut kept, count) = self.problems.take();
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        (kept, count)
    }

    /// Returns the paths kept of what is gone, and how many there were.
    pub fn all_gone(&self) -> (Vec<Vec<u8>>, u64) {
        let (mut kept, count) = self.gone.take();
        kept.sort();
        (kept, count)
    }
}

/// The first thousand of something, and how many there were.
struct Kept<T> {
    count: AtomicU64,
    items: Mutex<Vec<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), items: Mutex::default() }
    }
}

impl<T> Kept<T> {
    fn push(&self, item: T) {
        if self.count.fetch_add(1, Relaxed) < PROBLEMS_KEPT_MAX as u64 {
            self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        }
    }

    fn take(&self) -> (Vec<T>, u64) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut items), self.count.load(Relaxed))
    }
}
