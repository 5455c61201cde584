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

use crate::{
    disk::{Dir, Disk},
    limits::MIB,
    sink::files::tally::Tally,
};

/// Bytes written after which the disk is told to begin.
const EVERY_BYTES: u64 = 192 * MIB as u64;
/// How long the thread rests between two looks.
const PATIENCE: Duration = Duration::from_millis(50);

/// Does the work while another thread syncs what it has written so far. Returns the result of the
/// work, and the first error of a sync.
pub fn beside<T>(
    disk: &dyn Disk,
    dir: Option<&Dir>,
    tally: &Tally<'_>,
    work: impl FnOnce() -> T,
) -> (T, io::Result<()>) {
    let Some(dir) = dir else { return (work(), Ok(())) };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncing = scope.spawn(|| sync_now_and_then(disk, dir, tally, &is_over));
        let result = work();
        is_over.store(true, Relaxed);
        syncing.thread().unpark();
        (result, syncing.join().unwrap_or_else(|_| Err(io::Error::other("a sync died"))))
    })
}

fn sync_now_and_then(
    disk: &dyn Disk,
    dir: &Dir,
    tally: &Tally<'_>,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut synced_bytes = 0;
    while !is_over.load(Relaxed) {
        let written_bytes = tally.bytes_written();
        if written_bytes >= synced_bytes + EVERY_BYTES {
            disk.sync_tree(dir)?;
            synced_bytes = written_bytes;
        }
        thread::park_timeout(PATIENCE);
    }
    Ok(())
}
