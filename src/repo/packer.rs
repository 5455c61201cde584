//! Packs in the making: which blob goes where, sealing, and proof from the finished bytes. Spec:
//! `format-spec/30-pack.md`.
//!
//! Many threads compress and seal; a blob's pack and number are drawn first, because both are part
//! of its key and nonce, and its bytes arrive when they are ready. Whoever brings the last blob of
//! a closed pack gets the whole pack.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::Entropy,
    crypto::{
        keys::Keys,
        seal::{ObjectKey, Role, TAG_BYTES},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        frame,
        table::{self, Table, TableBuilder, Trailer},
    },
    id::{ChunkId, PackId},
    limits::{BLOB_PLAIN_BYTES_MAX, PACK_BYTES_TARGET, PACK_TABLE_BYTES_MAX},
    location::PackEntry,
    repo::Error,
};

thread_local! {
    /// Where a blob is opened again to prove it; kept, because it is as large as a blob.
    static PROVING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A chunk inside a blob, and its plain length.
pub type BlobChunk = (ChunkId, u32);

/// Draws packs and hands out places in them.
pub struct Packer {
    keys: Arc<Keys>,
    entropy: Arc<dyn Entropy>,
    open: Mutex<Option<Arc<OpenPack>>>,
}

/// A place for one blob.
pub struct Reservation {
    pack: Arc<OpenPack>,
    number: u32,
}

/// A pack with all its blobs, in order, not yet written.
pub struct FullPack {
    pack: Arc<OpenPack>,
    blobs: Vec<SealedBlob>,
}

/// A pack as it will be written: the pieces in order, and what the index must know.
pub struct FinishedPack {
    pub entry: PackEntry,
    /// Plaintext of the table of contents.
    pub table: Vec<u8>,
    header: [u8; HEADER_BYTES],
    blobs: Vec<SealedBlob>,
    end: Vec<u8>,
}

struct OpenPack {
    id: PackId,
    epoch: u32,
    header: [u8; HEADER_BYTES],
    key: ObjectKey,
    state: Mutex<PackState>,
}

#[derive(Default)]
struct PackState {
    slots: Vec<Option<SealedBlob>>,
    filled: usize,
    bytes: u64,
    table_bytes: usize,
    closed: bool,
}

struct SealedBlob {
    bytes: Vec<u8>,
    chunks: Vec<BlobChunk>,
}

/// Worst case of what one chunk adds to the table: id and length.
const TABLE_BYTES_PER_CHUNK: usize = 32 + 4;
/// Worst case of what one blob adds to the table besides.
const TABLE_BYTES_PER_BLOB: usize = 4 + 3;

impl Packer {
    /// Creates a packer that has begun no pack.
    pub fn new(keys: Arc<Keys>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy, open: Mutex::new(None) }
    }

    /// Reserves a place for a blob of this sealed length. A pack that was closed by this and has
    /// all its blobs already comes back too, to be written.
    pub fn reserve(
        &self,
        sealed_bytes: u64,
        chunk_count: usize,
    ) -> Result<(Reservation, Option<FullPack>), Error> {
        let table_bytes = chunk_count * TABLE_BYTES_PER_CHUNK + TABLE_BYTES_PER_BLOB;
        let mut open = lock(&self.open);
        let mut full = None;
        if open.as_ref().is_some_and(|pack| !pack.has_room(sealed_bytes, table_bytes)) {
            full = open.take().and_then(close);
        }
        let pack = match open.as_ref() {
            Some(pack) => pack.clone(),
            None => open.insert(Arc::new(self.begin()?)).clone(),
        };
        let number = pack.reserve(sealed_bytes, table_bytes);
        Ok((Reservation { pack, number }, full))
    }

    /// Closes the pack that is open, if any. It comes back if it has all its blobs.
    pub fn close(&self) -> Option<FullPack> {
        lock(&self.open).take().and_then(close)
    }

    fn begin(&self) -> Result<OpenPack, Error> {
        let id = PackId(self.entropy.bytes32());
        let epoch = self.keys.epoch_now();
        let header = Header::streamed(Kind::Pack, epoch, self.keys.repository, id.0).encode();
        let key = ObjectKey::for_epoch(&self.keys, epoch, Kind::Pack, &id.0)?;
        let state = Mutex::new(PackState { bytes: HEADER_BYTES as u64, ..PackState::default() });
        Ok(OpenPack { id, epoch, header, key, state })
    }
}

impl Reservation {
    /// Seals the frame, proves it from the sealed bytes, and puts it in its place.
    ///
    /// Returns the pack if this was its last blob.
    pub fn fill(
        self,
        frame: Vec<u8>,
        chunks: Vec<BlobChunk>,
        keys: &Keys,
    ) -> Result<Option<FullPack>, Error> {
        let pack = &self.pack;
        let bytes = pack.key.seal(u64::from(self.number), Role::Blob, &pack.header, frame);
        self.prove(&bytes, &chunks, keys)?;
        let mut state = lock(&pack.state);
        state.slots[self.number as usize] = Some(SealedBlob { bytes, chunks });
        state.filled += 1;
        let blobs = state.take_if_full();
        drop(state);
        Ok(blobs.map(|blobs| FullPack { pack: self.pack, blobs }))
    }

    /// Decrypts, decompresses and hashes what was sealed: a fault of memory, processor or codec
    /// shows here, while the source still has the data, and not on the day of the restore.
    fn prove(&self, sealed: &[u8], chunks: &[BlobChunk], keys: &Keys) -> Result<(), Error> {
        let pack = &self.pack;
        let corrupt = |why: &str| Error::Corrupt {
            name: format!("blob {} of new pack {}", self.number, pack.id),
            why: why.to_owned(),
        };
        PROVING.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(sealed);
            let number = u64::from(self.number);
            let frame = pack
                .key
                .open_in_place(number, Role::Blob, &pack.header, scratch)
                .map_err(|_| corrupt("what was sealed does not open"))?;
            let plain = frame::decode_ref(frame, BLOB_PLAIN_BYTES_MAX)
                .map_err(|_| corrupt("what was compressed does not decompress"))?;
            same_chunks(&plain, chunks, keys).map_err(corrupt)
        })
    }
}

/// Compares the plaintext of a blob with the ids of its chunks.
fn same_chunks(plain: &[u8], chunks: &[BlobChunk], keys: &Keys) -> Result<(), &'static str> {
    let mut start = 0;
    for (id, bytes) in chunks {
        let end = start + *bytes as usize;
        if plain.get(start..end).map(|chunk| keys.chunk_id(chunk)) != Some(*id) {
            return Err("a chunk differs from what was stored");
        }
        start = end;
    }
    if start == plain.len() { Ok(()) } else { Err("the blob is longer than its chunks") }
}

impl OpenPack {
    fn has_room(&self, sealed_bytes: u64, table_bytes: usize) -> bool {
        let state = lock(&self.state);
        let end_bytes = (state.table_bytes + table_bytes) as u64;
        state.bytes + sealed_bytes + end_bytes <= PACK_BYTES_TARGET
            && state.table_bytes + table_bytes + 8 <= PACK_TABLE_BYTES_MAX
    }

    fn reserve(&self, sealed_bytes: u64, table_bytes: usize) -> u32 {
        let mut state = lock(&self.state);
        state.slots.push(None);
        state.bytes += sealed_bytes;
        state.table_bytes += table_bytes;
        u32::try_from(state.slots.len() - 1).expect("a table of 2 MiB has fewer than 2^32 blobs")
    }
}

impl PackState {
    fn take_if_full(&mut self) -> Option<Vec<SealedBlob>> {
        if !self.closed || self.filled != self.slots.len() || self.slots.is_empty() {
            return None;
        }
        std::mem::take(&mut self.slots).into_iter().collect()
    }
}

fn close(pack: Arc<OpenPack>) -> Option<FullPack> {
    let mut state = lock(&pack.state);
    state.closed = true;
    let blobs = state.take_if_full();
    drop(state);
    blobs.map(|blobs| FullPack { pack, blobs })
}

/// Whether a pack is the last of its run and hides its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    None,
    Padme,
}

impl FullPack {
    /// Adds table, padding and trailer, and proves the table from its sealed bytes.
    pub fn finish(self, padding: Padding) -> Result<FinishedPack, Error> {
        let Self { pack, blobs } = self;
        let mut builder = TableBuilder::default();
        for blob in &blobs {
            let sealed_bytes = u32::try_from(blob.bytes.len()).expect("a blob is at most 4 MiB");
            builder.push_blob(sealed_bytes, &blob.chunks);
        }
        let blobs_end =
            HEADER_BYTES as u64 + blobs.iter().map(|blob| blob.bytes.len() as u64).sum::<u64>();
        let table = builder.finish();
        let (end, bytes) = pack.seal_end(&table, blobs_end, padding);
        pack.prove_table(&end, &table)?;
        let entry = PackEntry { pack: pack.id, bytes, epoch: pack.epoch };
        Ok(FinishedPack { entry, table, header: pack.header, blobs, end })
    }
}

impl OpenPack {
    /// Returns sealed table, padding and trailer, and the size of the whole pack.
    fn seal_end(&self, table: &[u8], table_offset: u64, padding: Padding) -> (Vec<u8>, u64) {
        let seal = |role, plain| self.key.seal(0, role, &self.header, plain);
        let mut end = seal(Role::Table, table.to_vec());
        let table_bytes = end.len() as u64;
        let plain_end = table_offset + table_bytes + table::TRAILER_SEALED_BYTES;
        let padding_bytes = match padding {
            Padding::None => 0,
            Padding::Padme => table::padding_for(plain_end),
        };
        if padding_bytes > 0 {
            end.extend(seal(Role::Padding, vec![0; padding_bytes as usize - TAG_BYTES]));
        }
        let trailer = Trailer { table_offset, table_bytes, padding_bytes };
        end.extend(seal(Role::Trailer, trailer.encode().to_vec()));
        (end, plain_end + padding_bytes)
    }

    fn prove_table(&self, end: &[u8], table: &[u8]) -> Result<(), Error> {
        let sealed = end[..table.len() + TAG_BYTES].to_vec();
        let opened = self.key.open(0, Role::Table, &self.header, sealed)?;
        if opened != table {
            let name = format!("table of new pack {}", self.id);
            return Err(Error::Corrupt { name, why: "differs from what was sealed".to_owned() });
        }
        let _ = Table::parse(&opened)?;
        Ok(())
    }
}

impl FinishedPack {
    /// The pack's bytes, in order.
    pub fn pieces(&self) -> Vec<&[u8]> {
        let blobs = self.blobs.iter().map(|blob| blob.bytes.as_slice());
        std::iter::once(self.header.as_slice()).chain(blobs).chain([self.end.as_slice()]).collect()
    }

    /// Every chunk in the pack.
    pub fn chunks(&self) -> impl Iterator<Item = &BlobChunk> {
        self.blobs.iter().flat_map(|blob| &blob.chunks)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
