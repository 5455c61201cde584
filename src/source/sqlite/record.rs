//! Pages on their way into the spool: hashed, compared with the older image, the changed ones kept.
//!
//! A thread of its own does that while the next pages are read, so that the read transaction lasts
//! no longer than the slower of the two.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    thread::{Scope, ScopedJoinHandle},
};

use crossbeam_channel::{Receiver, Sender};

use crate::{
    crypto::{page_hash::PageHasher, secret::Secret32},
    disk::real::WRITE_BYTES_MAX,
    limits::MIB,
    source::sqlite::{
        protocol::Failure,
        spool::{HASH_BYTES, Layout},
    },
};

/// Pages change hands in batches of this size.
const BATCH_BYTES: usize = MIB;
/// Batches under way.
const BATCH_COUNT: usize = 4;

/// What a recorder works with.
#[derive(Clone, Copy)]
pub struct Recording<'a> {
    pub spool: &'a File,
    pub layout: Layout,
    pub key: &'a Secret32,
    /// The older hashes are of pages of this size; any other size makes all pages changed.
    pub older_page_bytes: u32,
}

/// Takes all pages of an image, in order.
#[must_use = "the last pages are recorded by `finish`"]
pub struct Recorder<'scope> {
    batch: Vec<u8>,
    full: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    worker: ScopedJoinHandle<'scope, io::Result<Recorded>>,
}

impl<'scope> Recorder<'scope> {
    /// Starts the recorder's thread.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        recording: Recording<'env>,
    ) -> Recorder<'scope> {
        let (full, batches) = crossbeam_channel::bounded(BATCH_COUNT);
        let (used, empty) = crossbeam_channel::bounded(BATCH_COUNT + 1);
        let worker = scope.spawn(move || Worker::new(recording).run(&batches, &used));
        Recorder { batch: Vec::with_capacity(BATCH_BYTES), full, empty, worker }
    }

    /// Takes the next page; returns whether the recorder can go on.
    pub fn push(&mut self, page: &[u8]) -> bool {
        self.batch.extend_from_slice(page);
        self.batch.len() < BATCH_BYTES || self.hand_over()
    }

    /// Whether a batch has just been handed over: a good moment to look at the clock.
    pub const fn is_between_batches(&self) -> bool {
        self.batch.is_empty()
    }

    /// Waits until all is in the spool.
    pub fn finish(mut self) -> Result<Recorded, Failure> {
        let _ = self.batch.is_empty() || self.hand_over();
        drop(self.full);
        match self.worker.join() {
            Ok(Ok(recorded)) => Ok(recorded),
            Ok(Err(error)) => {
                Err(Failure::Spool { os_error: error.raw_os_error(), why: error.to_string() })
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Fails only if the worker ended early; what went wrong is for `finish` to say.
    fn hand_over(&mut self) -> bool {
        let fresh = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_BYTES));
        self.full.send(std::mem::replace(&mut self.batch, fresh)).is_ok()
    }
}

/// What went into the spool.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    pub page_count: u32,
    pub changed_count: u32,
}

struct Worker<'a> {
    recording: Recording<'a>,
    hasher: PageHasher,
    /// Hashes of the batch.
    hashes: Vec<u8>,
    /// Pages seen so far.
    page_count: u32,
    changed_count: u32,
    /// Which pages of the batch changed, counted from 0.
    changed: Vec<usize>,
    /// Their bytes, one after another.
    gathered: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(recording: Recording<'a>) -> Self {
        Self {
            recording,
            hasher: PageHasher::new(recording.key),
            hashes: Vec::new(),
            page_count: 0,
            changed_count: 0,
            changed: Vec::new(),
            gathered: Vec::new(),
        }
    }

    fn run(mut self, batches: &Receiver<Vec<u8>>, used: &Sender<Vec<u8>>) -> io::Result<Recorded> {
        for mut batch in batches {
            self.record(&batch)?;
            batch.clear();
            let _ = used.try_send(batch);
        }
        Ok(Recorded { page_count: self.page_count, changed_count: self.changed_count })
    }

    fn record(&mut self, batch: &[u8]) -> io::Result<()> {
        let Recording { layout, .. } = self.recording;
        let page_bytes = layout.page_bytes as usize;
        let first = self.page_count;
        let older = self.older_hashes(first, batch.len() / page_bytes)?;
        self.hashes.clear();
        self.hasher.hash_all(batch, page_bytes, &mut self.hashes);
        let hashes = self.hashes.as_chunks().0;
        let changed = hashes.iter().enumerate().filter(|(at, hash)| older.get(*at) != Some(hash));
        self.changed.extend(changed.map(|(at, _)| at));
        self.page_count += hashes.len() as u32;
        self.write(&self.hashes, layout.hashes() + u64::from(first) * HASH_BYTES)?;
        self.write_changed(batch, first)
    }

    /// Hashes of the older image's pages from this one (counted from 0) on, as far as it goes.
    fn older_hashes(&self, first: u32, count: usize) -> io::Result<Vec<[u8; 16]>> {
        let Recording { spool, layout, older_page_bytes, .. } = self.recording;
        if older_page_bytes != layout.page_bytes {
            return Ok(Vec::new());
        }
        let count = count.min(layout.older_count.saturating_sub(first) as usize);
        let mut hashes = vec![[0; 16]; count];
        let offset = Layout::OLDER_HASHES + u64::from(first) * HASH_BYTES;
        spool.read_exact_at(hashes.as_flattened_mut(), offset)?;
        Ok(hashes)
    }

    /// Writes the changed pages of a batch, whose first page (counted from 0) is given.
    fn write_changed(&mut self, batch: &[u8], first: u32) -> io::Result<()> {
        let Recording { layout, .. } = self.recording;
        let page_bytes = layout.page_bytes as usize;
        let page = |at: &usize| &batch[at * page_bytes..][..page_bytes];
        let numbers: Vec<u8> =
            self.changed.iter().flat_map(|at| (first + *at as u32 + 1).to_le_bytes()).collect();
        let done = u64::from(self.changed_count);
        self.write(&numbers, layout.numbers() + done * 4)?;
        let offset = layout.pages() + done * u64::from(layout.page_bytes);
        if self.changed.len() * page_bytes == batch.len() {
            self.write(batch, offset)?;
        } else {
            self.gathered.clear();
            self.changed.iter().for_each(|at| self.gathered.extend_from_slice(page(at)));
            self.write(&self.gathered, offset)?;
        }
        self.changed_count += self.changed.len() as u32;
        self.changed.clear();
        Ok(())
    }

    /// Writes to the spool, as little at once as [`RealDisk`](crate::disk::RealDisk) does.
    fn write(&self, bytes: &[u8], mut offset: u64) -> io::Result<()> {
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            self.recording.spool.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}
