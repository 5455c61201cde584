//! Storing the chunks of one run: lanes gather, workers compress and seal, two threads write packs.
//!
//! ```text
//! lane: hash, known?, gather 512 KiB ─▶ worker: compress, seal, prove ─▶ pack thread: write, sync
//! ```
//!
//! Queues are bounded, so memory is: a few blobs, and three packs; a worker that would begin a
//! fourth waits until one is written. A writer that failed stays failed.

use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    backend::ObjectName,
    chunk::{
        self, Store,
        compress::{self, Effort},
    },
    crypto::seal::TAG_BYTES,
    id::ChunkId,
    limits::{BLOB_CHUNKS_MAX, BLOB_SHARED_BYTES, CHUNK_BYTES_MAX},
    location::{Location, PackEntry},
    repo::{
        Environment, Error,
        catalogue::Catalogue,
        packer::{BlobChunk, FullPack, Packer, Padding},
        staged::Staged,
    },
};

/// One pack is written while another waits for its sync. There is no queue between: a pack that
/// waits in one takes the same memory as a pack that is being written.
const PACK_THREADS: usize = 2;
/// Buffers of blobs that are kept for blobs to come.
const SPARE_MAX: usize = 8;

/// Stores the chunks of one run. Lanes may be used from different threads.
pub struct Writer {
    shared: Arc<Shared>,
    /// Gone once the writer is dropped: workers end when the last sender is.
    blobs: Option<Sender<Blob>>,
    threads: Vec<JoinHandle<()>>,
}

/// What lanes and threads of one run share.
pub struct Shared {
    env: Environment,
    catalogue: Arc<Catalogue>,
    packer: Packer,
    spare: Spare,
    /// Chunks of this run that are not in a durable pack yet.
    pending: Mutex<HashSet<ChunkId>>,
    /// Packs of this run that are durable.
    staged: RwLock<Staged>,
    failed: OnceLock<chunk::Error>,
    work: WorkCount,
    lanes_open: AtomicUsize,
    bytes_written: AtomicU64,
    bytes_new: AtomicU64,
    chunks_new: AtomicU64,
}

/// Plain chunks that will be one blob.
#[derive(Default)]
struct Blob {
    plain: Vec<u8>,
    chunks: Vec<BlobChunk>,
    effort: Effort,
}

/// Buffers of blobs that are done: their memory need not be touched for the first time again.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

/// Counts blobs and packs under way, so that a flush can wait for them.
#[derive(Default)]
struct WorkCount {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Writer {
    /// Starts the threads of a run.
    pub fn start(env: Environment, catalogue: Arc<Catalogue>) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
        let (blobs, blob_queue) = bounded(workers);
        let (packs, pack_queue) = bounded(0);
        let shared = Arc::new(Shared {
            packer: Packer::new(catalogue.keys().clone(), env.entropy.clone()),
            spare: Spare::default(),
            env,
            catalogue,
            pending: Mutex::default(),
            staged: RwLock::default(),
            failed: OnceLock::new(),
            work: WorkCount::default(),
            lanes_open: AtomicUsize::new(0),
            bytes_written: AtomicU64::new(0),
            bytes_new: AtomicU64::new(0),
            chunks_new: AtomicU64::new(0),
        });
        let mut threads: Vec<_> = (0..workers)
            .map(|_| {
                let (shared, queue, packs) = (shared.clone(), blob_queue.clone(), packs.clone());
                std::thread::spawn(move || seal_blobs(&shared, &queue, &packs))
            })
            .collect();
        threads.extend((0..PACK_THREADS).map(|_| {
            let (shared, queue) = (shared.clone(), pack_queue.clone());
            std::thread::spawn(move || write_packs(&shared, &queue))
        }));
        Self { shared, blobs: Some(blobs), threads }
    }

    /// Opens a lane: small chunks stored through one lane in turn share blobs.
    pub fn lane(&self) -> Lane {
        let _ = self.shared.lanes_open.fetch_add(1, Ordering::SeqCst);
        let blobs = self.blobs.clone().expect("only dropping takes the sender");
        let (ordered, random) = (Blob::default(), Blob::default());
        Lane { shared: self.shared.clone(), blobs, ordered, random }
    }

    /// Makes everything stored so far durable; the pack that is open is closed and padded.
    ///
    /// # Panics
    /// If a lane is still open: its chunks would be lost.
    pub fn flush(&self) -> Result<(), Error> {
        let shared = &self.shared;
        assert_eq!(shared.lanes_open.load(Ordering::SeqCst), 0, "a lane was not finished");
        shared.work.wait();
        if let Some(pack) = shared.packer.close() {
            write_pack(shared, pack, Padding::Padme);
        }
        shared.failed.get().map_or(Ok(()), |error| Err(error.clone().into()))
    }

    /// Bytes of packs written so far, and plain bytes and number of chunks that were new.
    pub fn progress(&self) -> Progress {
        Progress {
            bytes_written: self.shared.bytes_written.load(Ordering::Relaxed),
            bytes_new: self.shared.bytes_new.load(Ordering::Relaxed),
            chunks_new: self.shared.chunks_new.load(Ordering::Relaxed),
        }
    }

    /// Where the durable chunks of this run lie.
    pub fn run_index(&self) -> RunIndex {
        RunIndex(self.shared.clone())
    }

    /// The durable packs of this run, with the plaintext of their tables, in the order written.
    pub fn packs(&self) -> Vec<(PackEntry, Vec<u8>)> {
        self.shared.staged().packs().to_vec()
    }

    /// The index that this run looks chunks up in.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.shared.catalogue
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.blobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where the durable chunks of one run lie.
#[derive(Clone)]
pub struct RunIndex(Arc<Shared>);

impl RunIndex {
    /// Returns the place of a chunk that this run stored.
    pub fn locate(&self, id: &ChunkId) -> Option<Location> {
        self.0.staged_location(id)
    }
}

/// What a run has stored so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes_written: u64,
    pub bytes_new: u64,
    pub chunks_new: u64,
}

/// One ordered way into a writer.
///
/// What compresses and what does not is gathered apart: among random bytes the compressor finds
/// less in a text, and random bytes among themselves are not compressed at all.
#[must_use = "a lane holds chunks until it is finished"]
pub struct Lane {
    shared: Arc<Shared>,
    blobs: Sender<Blob>,
    ordered: Blob,
    random: Blob,
}

impl Store for Lane {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> {
        assert!(
            !plain.is_empty() && plain.len() <= CHUNK_BYTES_MAX,
            "chunk of {} bytes",
            plain.len()
        );
        self.shared.check()?;
        let id = self.shared.catalogue.keys().chunk_id(plain);
        if self.shared.claim(&id)? {
            self.gather(id, plain)?;
        }
        Ok(id)
    }
}

impl Lane {
    /// Stores another copy of a chunk that the repository has already, once in this run. The id
    /// must be the chunk's; the finished pack is proven against it.
    pub fn copy(&mut self, id: ChunkId, plain: &[u8]) -> Result<(), chunk::Error> {
        self.shared.check()?;
        if self.shared.claim_copy(&id) {
            self.gather(id, plain)?;
        }
        Ok(())
    }

    fn gather(&mut self, id: ChunkId, plain: &[u8]) -> Result<(), chunk::Error> {
        self.shared.count_new(plain.len());
        let blob = match compress::is_mostly_random(plain) {
            true => &mut self.random,
            false => &mut self.ordered,
        };
        if !blob.has_room(plain.len()) {
            hand_over(&self.shared, &self.blobs, std::mem::take(blob))?;
        }
        if blob.plain.capacity() == 0 {
            blob.plain = self.shared.spare.take();
        }
        blob.plain.extend_from_slice(plain);
        blob.chunks.push((id, plain.len() as u32));
        Ok(())
    }

    /// Hands over what is still gathered.
    pub fn finish(mut self) -> Result<(), chunk::Error> {
        for mut blob in [std::mem::take(&mut self.ordered), std::mem::take(&mut self.random)] {
            // The last blob of a lane is all that most runs have to store, and takes 40 ms at most.
            if blob.plain.len() <= BLOB_SHARED_BYTES {
                blob.effort = Effort::Thorough;
            }
            hand_over(&self.shared, &self.blobs, blob)?;
        }
        Ok(())
    }
}

impl Blob {
    fn has_room(&self, bytes: usize) -> bool {
        self.plain.len() + bytes <= BLOB_SHARED_BYTES && self.chunks.len() < BLOB_CHUNKS_MAX
    }
}

fn hand_over(shared: &Shared, blobs: &Sender<Blob>, blob: Blob) -> Result<(), chunk::Error> {
    if blob.chunks.is_empty() {
        return Ok(());
    }
    shared.work.begin();
    blobs.send(blob).expect("workers end after the last lane");
    shared.check()
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A lane that is dropped with chunks in hand belongs to a run that failed or was stopped.
        if !(self.ordered.chunks.is_empty() && self.random.chunks.is_empty()) {
            self.shared.fail(chunk::Error::Stopped);
        }
        let _ = self.shared.lanes_open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn check(&self) -> Result<(), chunk::Error> {
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        if self.env.stop.load(Ordering::Relaxed) {
            return Err(chunk::Error::Stopped);
        }
        Ok(())
    }

    fn fail(&self, error: chunk::Error) {
        let _ = self.failed.set(error);
    }

    /// Whether the chunk is new to the repository and this run, so that the caller has to store it.
    fn claim(&self, id: &ChunkId) -> Result<bool, chunk::Error> {
        if lock(&self.pending).contains(id) || self.staged_location(id).is_some() {
            return Ok(false);
        }
        if self.catalogue.locate(id)?.is_some() {
            return Ok(false);
        }
        Ok(lock(&self.pending).insert(*id))
    }

    /// Whether the chunk is new to this run.
    fn claim_copy(&self, id: &ChunkId) -> bool {
        self.staged_location(id).is_none() && lock(&self.pending).insert(*id)
    }

    fn staged(&self) -> RwLockReadGuard<'_, Staged> {
        self.staged.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn staged_location(&self, id: &ChunkId) -> Option<Location> {
        self.staged().locate(id)
    }

    fn count_new(&self, bytes: usize) {
        let _ = self.bytes_new.fetch_add(bytes as u64, Ordering::Relaxed);
        let _ = self.chunks_new.fetch_add(1, Ordering::Relaxed);
    }
}

impl Spare {
    fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_else(|| Vec::with_capacity(BLOB_SHARED_BYTES))
    }

    fn put(&self, mut plain: Vec<u8>) {
        let mut spare = lock(&self.0);
        // That of a single long chunk would be longer than most will need.
        if plain.capacity() <= BLOB_SHARED_BYTES && spare.len() < SPARE_MAX {
            plain.clear();
            spare.push(plain);
        }
    }
}

impl WorkCount {
    fn begin(&self) {
        *lock(&self.count) += 1;
    }

    fn end(&self) {
        *lock(&self.count) -= 1;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut count = lock(&self.count);
        while *count > 0 {
            count = self.changed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A worker: compresses, seals and proves blobs until the last lane has ended.
fn seal_blobs(shared: &Shared, queue: &Receiver<Blob>, packs: &Sender<FullPack>) {
    for blob in queue {
        // After a failure the queue is drained, so that no lane waits for ever.
        if shared.failed.get().is_none()
            && let Err(error) = seal_blob(shared, blob, packs)
        {
            shared.fail(into_chunk_error(error));
        }
        shared.work.end();
    }
}

fn seal_blob(shared: &Shared, blob: Blob, packs: &Sender<FullPack>) -> Result<(), Error> {
    let Blob { plain, chunks, effort } = blob;
    let (full, last) = compress::with_frame(&plain, effort, |frame| {
        let sealed_bytes = frame.bytes() + TAG_BYTES;
        let (place, full) = shared.packer.reserve(sealed_bytes, chunks.len())?;
        let last = place.fill(frame, chunks, shared.catalogue.keys())?;
        Ok::<_, Error>((full, last))
    })?;
    shared.spare.put(plain);
    for pack in full.into_iter().chain(last) {
        shared.work.begin();
        packs.send(pack).expect("the pack threads end after the last worker");
    }
    Ok(())
}

/// A pack thread: makes packs durable, one after another.
fn write_packs(shared: &Shared, queue: &Receiver<FullPack>) {
    for pack in queue {
        write_pack(shared, pack, Padding::None);
        shared.work.end();
    }
}

fn write_pack(shared: &Shared, pack: FullPack, padding: Padding) {
    if shared.failed.get().is_some() {
        return;
    }
    if let Err(error) = try_write_pack(shared, pack, padding) {
        shared.fail(into_chunk_error(error));
    }
}

fn try_write_pack(shared: &Shared, pack: FullPack, padding: Padding) -> Result<(), Error> {
    let pack = pack.finish(padding)?;
    shared.env.backend.put_new(&ObjectName::Pack(pack.entry.pack), &pack.pieces())?;
    let _ = shared.bytes_written.fetch_add(pack.entry.bytes, Ordering::Relaxed);
    shared
        .staged
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .add(pack.entry, pack.table.clone())?;
    let mut pending = lock(&shared.pending);
    for (id, _) in pack.chunks() {
        let _ = pending.remove(id);
    }
    Ok(())
}

fn into_chunk_error(error: Error) -> chunk::Error {
    match error {
        Error::Chunk(error) => error,
        Error::Stopped => chunk::Error::Stopped,
        other => chunk::Error::Repository(Arc::new(other)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
