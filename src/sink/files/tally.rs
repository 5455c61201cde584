//! What a restore has counted so far, from all its threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    format::record::Problem,
    limits::PROBLEMS_KEPT_MAX,
    sink::files::{Event, Report, failure::Trouble},
};

/// Counters and problems.
pub struct Tally<'a> {
    observe: &'a (dyn Fn(Event<'_>) + Sync),
    files: AtomicU64,
    kept: AtomicU64,
    folders: AtomicU64,
    others: AtomicU64,
    deleted: AtomicU64,
    bytes_written: AtomicU64,
    sockets_skipped: AtomicU64,
    problem_count: AtomicU64,
    problems: Mutex<Vec<Problem>>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    File,
    Kept,
    Folder,
    Other,
    SocketSkipped,
    /// Not yet: it is put off to the end.
    Later,
}

impl<'a> Tally<'a> {
    /// Begins with nothing counted.
    pub fn new(observe: &'a (dyn Fn(Event<'_>) + Sync)) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            observe,
            files: zero(),
            kept: zero(),
            folders: zero(),
            others: zero(),
            deleted: zero(),
            bytes_written: zero(),
            sockets_skipped: zero(),
            problem_count: zero(),
            problems: Mutex::default(),
        }
    }

    /// Counts an entry of this plain size.
    pub fn done(&self, path: &[u8], done: Done, bytes: u64) {
        let count = match done {
            Done::File => &self.files,
            Done::Kept => &self.kept,
            Done::Folder => &self.folders,
            Done::Other => &self.others,
            Done::SocketSkipped => &self.sockets_skipped,
            Done::Later => return,
        };
        let _ = count.fetch_add(1, Relaxed);
        (self.observe)(Event::Entry { path, bytes });
    }

    /// Counts bytes written.
    pub fn wrote(&self, bytes: u64) {
        let _ = self.bytes_written.fetch_add(bytes, Relaxed);
    }

    /// Counts an entry that was in the target and not in the snapshot.
    pub fn deleted(&self) {
        let _ = self.deleted.fetch_add(1, Relaxed);
    }

    /// Tells and keeps a problem.
    pub fn problem(&self, path: &[u8], trouble: Trouble) {
        let Trouble { code, message } = trouble;
        let problem = Problem { path: path.to_vec(), code, message };
        (self.observe)(Event::Problem(&problem));
        if self.problem_count.fetch_add(1, Relaxed) < PROBLEMS_KEPT_MAX as u64 {
            self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
        }
    }

    /// Tells anything else.
    pub fn tell(&self, event: Event<'_>) {
        (self.observe)(event);
    }

    /// Bytes written so far.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Relaxed)
    }

    /// Returns what was counted.
    pub fn report(&self) -> Report {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Report {
            files: self.files.load(Relaxed),
            kept: self.kept.load(Relaxed),
            folders: self.folders.load(Relaxed),
            others: self.others.load(Relaxed),
            deleted: self.deleted.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            sockets_skipped: self.sockets_skipped.load(Relaxed),
            problems,
            problem_count: self.problem_count.load(Relaxed),
        }
    }
}
