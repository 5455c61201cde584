//! What a use case tells while it works. The faces draw it; the run record keeps it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    clock::Clock,
    format::record::{Outcome, PartKind},
};

/// Is told what happens, from any thread. Must be quick: work waits for it.
pub trait Observer: Send + Sync {
    fn observe(&self, event: &Event);
}

/// Something that a person or a log may want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A stretch of work begins; the one before it has ended.
    Phase { phase: Phase, item: String },
    /// How far the present phase is. Send it through a [`Meter`], which keeps it rare.
    Progress(Progress),
    /// A part is captured, or restored.
    PartDone(PartDone),
    /// A part could not be captured or restored at all; the run goes on with the others.
    PartFailed { part: String, code: String, message: String },
    /// One entry could not be read, written or verified; the run goes on.
    Problem { part: String, path: Vec<u8>, code: String, message: String },
    /// Something that did no harm yet.
    Warning { item: String, message: String },
    /// Something good to find in the log.
    Note { item: String, message: String },
}

/// What is being done, in the words of the glossary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the repository.
    Open,
    /// Waiting for another run.
    Wait,
    /// Finding out how much there is to do.
    Count,
    /// Reading a live database.
    Capture,
    /// Reading files.
    Read,
    /// Making a snapshot of what was stored.
    Publish,
    /// Deciding what a restore would change.
    Plan,
    /// Writing files or databases.
    Restore,
    /// Sending to a mirror.
    Upload,
    /// Waiting until the disk has it.
    Sync,
    /// Comparing with what was promised.
    Verify,
    /// Looking at every object.
    Check,
    /// Building the index again.
    Rebuild,
    /// Following snapshots to all that they reach.
    Mark,
    /// Moving what is in use out of packs that are mostly not.
    Move,
    /// Removing what nothing needs.
    Delete,
    /// Marking snapshots as forgotten.
    Forget,
    /// Making damage good.
    Repair,
    /// Having SQLite write a compact copy.
    Compact,
    /// Writing an export.
    Export,
}

impl Phase {
    /// The word for programs and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Wait => "wait",
            Self::Count => "count",
            Self::Capture => "capture",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Plan => "plan",
            Self::Restore => "restore",
            Self::Upload => "upload",
            Self::Sync => "sync",
            Self::Verify => "verify",
            Self::Check => "check",
            Self::Rebuild => "rebuild",
            Self::Mark => "mark",
            Self::Move => "move",
            Self::Delete => "delete",
            Self::Forget => "forget",
            Self::Repair => "repair",
            Self::Compact => "compact",
            Self::Export => "export",
        }
    }
}

/// How far a phase is. A total is absent while it is not known; it may still grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    pub bytes_total: Option<u64>,
    pub items: u64,
    pub items_total: Option<u64>,
    /// What is being worked on.
    pub current: Vec<u8>,
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PartDone {
    pub part: String,
    pub kind: PartKind,
    /// Plain size of the whole part.
    pub bytes: u64,
    /// Plain bytes that were not in the repository, or had to be written to the target.
    pub bytes_new: u64,
    pub outcome: Outcome,
    pub problem_count: u64,
    pub took: Duration,
}

/// Tells two observers.
pub struct Tee<'a>(pub &'a dyn Observer, pub &'a dyn Observer);

impl Observer for Tee<'_> {
    fn observe(&self, event: &Event) {
        self.0.observe(event);
        self.1.observe(event);
    }
}

/// Hears nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: &Event) {}
}

/// Counts the work of one phase on any number of threads, and reports it at most ten times a
/// second.
pub struct Meter<'a> {
    observer: &'a dyn Observer,
    clock: &'a dyn Clock,
    bytes_total: Option<u64>,
    items_total: Option<u64>,
    bytes: AtomicU64,
    items: AtomicU64,
    told_at_ms: AtomicU64,
}

/// Shortest time between two reports of progress.
const METER_PERIOD_MS: u64 = 100;

impl<'a> Meter<'a> {
    /// Starts to count; the totals are what is known of the work ahead.
    pub fn new(observer: &'a dyn Observer, clock: &'a dyn Clock) -> Self {
        Self {
            observer,
            clock,
            bytes_total: None,
            items_total: None,
            bytes: AtomicU64::new(0),
            items: AtomicU64::new(0),
            told_at_ms: AtomicU64::new(0),
        }
    }

    /// Says how much there is to do.
    #[must_use]
    pub const fn with_totals(mut self, bytes: u64, items: u64) -> Self {
        self.bytes_total = Some(bytes);
        self.items_total = Some(items);
        self
    }

    /// Adds finished work, and names what is being worked on.
    pub fn add(&self, bytes: u64, items: u64, current: &[u8]) {
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        let items = self.items.fetch_add(items, Relaxed) + items;
        let now_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told_at_ms = self.told_at_ms.load(Relaxed);
        let due = now_ms >= told_at_ms.saturating_add(METER_PERIOD_MS);
        // Of all threads that see it is due, one reports.
        if due && self.told_at_ms.compare_exchange(told_at_ms, now_ms, Relaxed, Relaxed).is_ok() {
            self.observer.observe(&Event::Progress(Progress {
                bytes,
                bytes_total: self.bytes_total,
                items,
                items_total: self.items_total,
                current: current.to_vec(),
            }));
        }
    }
}
