//! Keeps the disk busy while files are still being written, so that making all of it durable at the
//! end waits for little.
//!
//! A kernel left alone begins to write after gigabytes or half a minute. An error that it meets is
//! told to whoever syncs first, so one that is told here must end the restore.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// How long the thread rests between two looks.
const PATIENCE: Duration = Duration::from_millis(50);

/// When and how to make durable what is written so far.
pub struct EarlySync<'a> {
    /// Bytes written after which the disk is told to begin.
    pub every_bytes: u64,
    pub bytes_written: &'a (dyn Fn() -> u64 + Sync),
    pub sync: &'a (dyn Fn() -> io::Result<()> + Sync),
}

/// Does the work while another thread syncs what it has written so far. Returns the result of the
/// work, and the first error of a sync.
pub fn beside<T>(early: &EarlySync<'_>, work: impl FnOnce() -> T) -> (T, io::Result<()>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncing = scope.spawn(|| sync_now_and_then(early, &is_over));
        let result = work();
        is_over.store(true, Relaxed);
        syncing.thread().unpark();
        (result, syncing.join().unwrap_or_else(|_| Err(io::Error::other("a sync died"))))
    })
}

fn sync_now_and_then(early: &EarlySync<'_>, is_over: &AtomicBool) -> io::Result<()> {
    let mut synced_bytes = 0;
    while !is_over.load(Relaxed) {
        let written_bytes = (early.bytes_written)();
        if written_bytes >= synced_bytes + early.every_bytes {
            (early.sync)()?;
            synced_bytes = written_bytes;
        }
        thread::park_timeout(PATIENCE);
    }
    Ok(())
}
