//! How the index grows: time, size and memory at 10^5, 10^6 and 10^7 chunks.
//!
//!     cargo bench --bench index_scale [-- COUNT...]
//!
//! Each line comes from a process of its own, so that peak memory is its own too. Lookups are
//! counted in time on the processor and the best of a few rounds, so that a busy machine shows
//! less; `first round` is the first of them.

#![expect(clippy::print_stdout, reason = "prints what it measured")]

mod phases;

use std::{path::Path, time::Duration};

use stillpoint::{
    clock::{Clock, SystemClock},
    format::table::TableBuilder,
    id::{ChunkId, PackId},
    index::{
        Batch, Index, IndexMut,
        rocks::{RocksReader, RocksWriter},
    },
    location::PackEntry,
};

/// Chunks of one pack, as many as a pack of 128 KiB chunks holds.
const PACK_CHUNKS: u64 = 256;
/// Packs applied at a time: about one index frame.
const BATCH_PACKS: u64 = 400;
const LOOKUPS: u64 = 200_000;
const LOOKUP_BATCH: usize = 1000;
const ROUNDS: usize = 5;

fn main() {
    phases::run(
        &[("build", build), ("read", read), ("change", change)],
        &["build", "read", "change", "read"],
        &[100_000, 1_000_000, 10_000_000],
    );
}

fn id(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A pack of the chunks from `first` on.
fn pack(first: u64) -> (PackEntry, Vec<u8>) {
    let mut table = TableBuilder::default();
    for four in 0..PACK_CHUNKS / 4 {
        let chunks: Vec<(ChunkId, u32)> =
            (0..4).map(|at| (id(first + four * 4 + at), 128 * 1024)).collect();
        table.push_blob(300_000, &chunks);
    }
    let pack = PackId(*blake3::hash(&(!first).to_le_bytes()).as_bytes());
    (PackEntry { pack, bytes: 30 << 20, epoch: 0 }, table.finish())
}

fn batch(first: u64, end: u64) -> Batch {
    let add = (first..end).step_by(PACK_CHUNKS as usize).map(pack).collect();
    Batch { add, ..Batch::default() }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = SystemClock.elapsed();
    let done = work();
    (SystemClock.elapsed() - start, done)
}

fn build(path: &Path, count: u64) {
    let mut writing = Duration::ZERO;
    let (open, mut writer) = timed(|| RocksWriter::open(path).expect("a new index"));
    for first in (0..count).step_by((BATCH_PACKS * PACK_CHUNKS) as usize) {
        let batch = batch(first, count.min(first + BATCH_PACKS * PACK_CHUNKS));
        let (time, applied) = timed(|| writer.apply(&batch));
        applied.expect("it applies");
        writing += time;
    }
    let (close, ()) = timed(|| drop(writer));
    println!(
        "  build   {:8.2} s ({:.2} us a chunk), created in {open:.1?}, closed in {close:.1?}, \
         {} MB on disk, peak {} MB",
        writing.as_secs_f64(),
        writing.as_secs_f64() * 1e6 / count as f64,
        disk_bytes(path) / 1_000_000,
        phases::peak_megabytes()
    );
}

fn change(path: &Path, count: u64) {
    let (open, mut writer) = timed(|| RocksWriter::open(path).expect("it opens"));
    let batch = batch(count, count + PACK_CHUNKS);
    let (apply, applied) = timed(|| writer.apply(&batch));
    applied.expect("it applies");
    let (close, ()) = timed(|| drop(writer));
    println!(
        "  change  open {open:.1?}, one pack {apply:.1?}, close {close:.1?}, peak {} MB",
        phases::peak_megabytes()
    );
}

fn read(path: &Path, count: u64) {
    let mut opens: Vec<Duration> =
        (0..9).map(|_| timed(|| RocksReader::open(path).expect("it opens")).0).collect();
    opens.sort();
    let reader = RocksReader::open(path).expect("it opens");
    // Numbers far apart, so that neighbours in a batch share no block.
    let known: Vec<ChunkId> = (0..LOOKUPS).map(|at| id(at * 7919 % count)).collect();
    let unknown: Vec<ChunkId> = (0..LOOKUPS).map(|at| id(u64::MAX / 2 + at)).collect();
    let misses: Vec<f64> = (0..ROUNDS).map(|_| lookups(&reader, &unknown, 0)).collect();
    let hits: Vec<f64> = (0..ROUNDS).map(|_| lookups(&reader, &known, LOOKUPS)).collect();
    println!(
        "  read    open {:.1?}; a miss {:.2} us (first round {:.2}), \
         a hit {:.2} us (first round {:.2}), peak {} MB",
        opens[4],
        misses.iter().copied().fold(f64::MAX, f64::min),
        misses[0],
        hits.iter().copied().fold(f64::MAX, f64::min),
        hits[0],
        phases::peak_megabytes()
    );
}

/// Looks all ids up in sorted batches; returns microseconds on the processor for each.
fn lookups(index: &dyn Index, ids: &[ChunkId], expected: u64) -> f64 {
    let mut found = 0;
    let mut nanos = 0;
    for batch in ids.chunks(LOOKUP_BATCH) {
        let mut batch = batch.to_vec();
        batch.sort_unstable();
        let before = processor_nanos();
        let located = index.locate(&batch).expect("it answers");
        nanos += processor_nanos() - before;
        found += located.iter().flatten().count() as u64;
    }
    assert_eq!(found, expected);
    nanos as f64 / 1000.0 / ids.len() as f64
}

/// Time that this thread has had on a processor.
fn processor_nanos() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    times.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number")
}

fn disk_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("it is there");
    entries.map(|entry| entry.expect("an entry").metadata().map_or(0, |stat| stat.len())).sum()
}
