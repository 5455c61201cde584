//! The kernels that every byte passes through, each alone: what a core does in a second.
//!
//! `cargo bench --bench kernels` (or `-- seal` for one group). `scripts/bench` measures whole
//! commands.

use std::{hint::black_box, time::Duration};

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use stillpoint::{
    chunk::{
        compress,
        cut::{CutTable, Rest},
        page_diff::PageDiff,
    },
    clock::Entropy,
    crypto::{
        keys::{self, Keys},
        seal::{ObjectKey, Role},
        secret::Secret32,
    },
    format::{
        envelope::{HEADER_BYTES, Kind},
        patch,
        table::{Table, TableBuilder},
    },
    id::{ChunkId, PackId, RepositoryId},
    index::{Batch, Index, IndexMut, rocks::RocksWriter},
    limits::{FILE_CUT_BYTES_MAX, KIB, MIB},
    location::PackEntry,
};

const PAGE_BYTES: usize = 4 * KIB;

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = cut, hash, compress, seal, pack_table, index_lookup, page_diff
}
criterion_main!(kernels);

/// Finds the cut points of a large file.
fn cut(c: &mut Criterion) {
    let table = CutTable::new(&keys());
    let file = random_bytes(16 * MIB);
    let mut group = throughput(c, "cut", file.len());
    let _ = group.bench_function("16 MiB", |b| {
        b.iter(|| {
            let (mut cutter, mut start, mut chunks) = (table.file(), 0, 0);
            while let Some(length) = cutter.next_chunk(window(&file, start), Rest::Ended) {
                start += length;
                chunks += 1;
            }
            chunks
        });
    });
}

/// The cutter never looks further ahead than this.
fn window(file: &[u8], start: usize) -> &[u8] {
    &file[start..file.len().min(start + FILE_CUT_BYTES_MAX)]
}

/// Names chunks, and hashes database pages.
fn hash(c: &mut Criterion) {
    let keys = keys();
    for (name, bytes) in
        [("page 4 KiB", PAGE_BYTES), ("chunk 64 KiB", 64 * KIB), ("chunk 1 MiB", MIB)]
    {
        let chunk = random_bytes(bytes);
        let mut group = throughput(c, "hash", bytes);
        let _ = group.bench_function(name, |b| b.iter(|| keys.chunk_id(black_box(&chunk))));
    }
}

/// Makes frames of what compresses and of what does not, and opens one.
fn compress(c: &mut Criterion) {
    let mut group = throughput(c, "compress", 256 * KIB);
    let (text, random) = (text_bytes(256 * KIB), random_bytes(256 * KIB));
    for (name, plain) in [("text", &text), ("random", &random)] {
        let _ = group.bench_function(name, |b| b.iter(|| compress::encode_frame(black_box(plain))));
    }
    let frame = compress::encode_frame(&text);
    let _ = group.bench_function("text, back", |b| {
        b.iter(|| compress::decode_frame(frame.clone(), text.len()).expect("a frame of ours"));
    });
}

/// Seals a blob and opens it.
fn seal(c: &mut Criterion) {
    let key = ObjectKey::derive(&Secret32::new([3; 32]), Kind::Pack, &[4; 32]);
    let header = [5; HEADER_BYTES];
    let mut group = throughput(c, "seal", 512 * KIB);
    let mut blob = random_bytes(512 * KIB);
    let _ = group.bench_function("512 KiB", |b| {
        b.iter(|| key.seal_in_place(0, Role::Blob, &header, black_box(&mut blob)));
    });
    let sealed = key.seal(0, Role::Blob, &header, blob);
    let _ = group.bench_function("512 KiB, open", |b| {
        b.iter(|| key.open(0, Role::Blob, &header, sealed.clone()).expect("a seal of ours"));
    });
}

/// Writes the table of contents of a full pack of small chunks, and reads it as the index does.
fn pack_table(c: &mut Criterion) {
    const CHUNKS: u64 = 8_000;
    let blob: Vec<_> = (0..CHUNKS / 64).map(|number| (chunk_id(number), 4_000)).collect();
    let build = || {
        let mut table = TableBuilder::default();
        for _ in 0..64 {
            table.push_blob(200_000, &blob);
        }
        table.finish()
    };
    let table = build();
    let entry = PackEntry { pack: PackId([6; 32]), bytes: 13_000_000, epoch: 1 };
    let mut group = c.benchmark_group("pack table");
    let _ = group.throughput(Throughput::Elements(CHUNKS));
    let _ = group.bench_function("build", |b| b.iter(build));
    let _ = group.bench_function("parse", |b| {
        b.iter(|| {
            Table::parse(black_box(&table)).expect("a table of ours").locations(entry).count()
        });
    });
}

/// Asks a real index of 100,000 chunks for ids it has and ids it has not, in sorted batches.
/// `benches/index_scale.rs` does the same with 10 million.
fn index_lookup(c: &mut Criterion) {
    const CHUNKS: u64 = 100_000;
    const BATCH: u64 = 512;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut index = RocksWriter::open(&folder.path().join("index")).expect("a new index");
    index.apply(&packs_of(CHUNKS)).expect("a batch of ours");
    let sorted = |numbers: Vec<u64>| {
        let mut ids: Vec<ChunkId> = numbers.into_iter().map(chunk_id).collect();
        ids.sort_unstable();
        ids
    };
    let hits = sorted((0..BATCH).map(|n| n * (CHUNKS / BATCH)).collect());
    let misses = sorted((CHUNKS..CHUNKS + BATCH).collect());
    let mut group = c.benchmark_group("index lookup");
    let _ = group.throughput(Throughput::Elements(BATCH));
    for (name, ids) in [("512 hits", hits), ("512 misses", misses)] {
        let _ = group.bench_function(name, |b| {
            b.iter(|| index.locate(black_box(&ids)).expect("a sound index"));
        });
    }
}

/// Makes and applies the patch of a page as a till changes it: a counter, and a row that is moved.
fn page_diff(c: &mut Criterion) {
    let older = text_bytes(PAGE_BYTES);
    let mut newer = older.clone();
    newer[24..28].copy_from_slice(b"\x00\x01\x02\x03");
    newer.copy_within(2000..3000, 2060);
    newer[2000..2060].copy_from_slice(&random_bytes(60));
    let (mut diff, mut patch) = (PageDiff::default(), Vec::new());
    let _ = diff.diff(&older, &newer, PAGE_BYTES, &mut patch).expect("a small change");
    let mut group = throughput(c, "page diff", PAGE_BYTES);
    let _ = group.bench_function("make", |b| {
        let mut made = Vec::with_capacity(PAGE_BYTES);
        b.iter(|| {
            made.clear();
            diff.diff(black_box(&older), black_box(&newer), PAGE_BYTES, &mut made)
        });
    });
    let _ = group.bench_function("apply", |b| {
        let mut page = vec![0; PAGE_BYTES];
        b.iter(|| patch::apply(black_box(&patch), black_box(&older), &mut page));
    });
}

fn throughput<'c>(c: &'c mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    let _ = group.throughput(Throughput::Bytes(bytes as u64));
    group
}

/// Packs of 1,000 chunks each, 64 KiB a chunk, as the index receives them.
fn packs_of(chunks: u64) -> Batch {
    let mut batch = Batch::default();
    for first in (0..chunks).step_by(1000) {
        let mut table = TableBuilder::default();
        for number in first..first + 1000 {
            table.push_blob(40_000, &[(chunk_id(number), 65_536)]);
        }
        let pack = PackId(*blake3::hash(&first.to_le_bytes()).as_bytes());
        batch.add.push((PackEntry { pack, bytes: 40_100_000, epoch: 1 }, table.finish()));
    }
    batch
}

fn chunk_id(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn keys() -> Keys {
    Keys::from_ring(RepositoryId([1; 32]), &keys::first_ring(&Counted, [2; 32]))
}

/// The same keys in every run, so that files are cut at the same places.
struct Counted;

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Text that zstd makes a third of: names and numbers, as in a shop's pages.
fn text_bytes(count: usize) -> Vec<u8> {
    let random = random_bytes(count);
    let words = ["invoice", "card", "coral", "primer", "2026-11-19", "Garcia", "total", "paid"];
    let lines = random.chunks(4).flat_map(|four| {
        let word = words[usize::from(four[0] % 8)];
        format!("{word};{:02x}{:02x}{:02x};", four[1], four[2], four[3]).into_bytes()
    });
    lines.take(count).collect()
}
