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

use bytes::BytesMut;

use crate::{
    clock::Entropy,
    crypto::{
        keys::Keys,
        seal::{ObjectKey, Role, TAG_BYTES},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        frame::{Frame, Pieces},
        table::{self, Table, TableBuilder, Trailer},
    },
    id::{ChunkId, PackId},
    limits::{BLOB_PLAIN_BYTES_MAX, PACK_BYTES_TARGET, PACK_TABLE_BYTES_MAX},
    location::PackEntry,
    repo::{
        Error,
        pack_memory::{PackMemory, PackRoom},
    },
};

thread_local! {
    /// Where a blob is opened again to prove it, and decompressed; kept, because both are as large
    /// as a blob.
    static PROVING: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// A chunk inside a blob, and its plain length.
pub type BlobChunk = (ChunkId, u32);

/// Draws packs and hands out places in them.
pub struct Packer {
    keys: Arc<Keys>,
    entropy: Arc<dyn Entropy>,
    memory: Arc<PackMemory>,
    open: Mutex<Option<Arc<OpenPack>>>,
}

/// A place for one blob.
pub struct Reservation {
    pack: Arc<OpenPack>,
    number: u32,
    room: BytesMut,
}

/// A pack with all its blobs, in order, not yet written.
pub struct FullPack {
    pack: Arc<OpenPack>,
    room: PackRoom,
    blobs: Vec<SealedBlob>,
}

/// A pack as it will be written: the pieces in order, and what the index must know.
pub struct FinishedPack {
    pub entry: PackEntry,
    /// Plaintext of the table of contents.
    pub table: Vec<u8>,
    /// Header and blobs.
    room: PackRoom,
    chunks: Vec<Vec<BlobChunk>>,
    end: Vec<u8>,
}

struct OpenPack {
    id: PackId,
    epoch: u32,
    header: [u8; HEADER_BYTES],
    key: ObjectKey,
    state: Mutex<PackState>,
}

struct PackState {
    /// Gone once the pack has all its blobs.
    room: Option<PackRoom>,
    slots: Vec<Option<SealedBlob>>,
    filled: usize,
    bytes: u64,
    table_bytes: usize,
    closed: bool,
}

struct SealedBlob {
    bytes: BytesMut,
    chunks: Vec<BlobChunk>,
}

/// Worst case of what one chunk adds to the table: id and length.
const TABLE_BYTES_PER_CHUNK: usize = 32 + 4;
/// Worst case of what one blob adds to the table besides.
const TABLE_BYTES_PER_BLOB: usize = 4 + 3;

impl Packer {
    /// Creates a packer that has begun no pack.
    pub fn new(keys: Arc<Keys>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy, memory: Arc::default(), open: Mutex::new(None) }
    }

    /// Reserves a place for a blob of this sealed length. A pack that was closed by this and has
    /// all its blobs already comes back too, to be written. Waits for packs to be written where
    /// there are as many as there may be.
    pub fn reserve(
        &self,
        sealed_bytes: usize,
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
        let (number, room) = pack.reserve(sealed_bytes, table_bytes);
        Ok((Reservation { pack, number, room }, full))
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
        let state = Mutex::new(PackState::begin(&header, self.memory.lend()));
        Ok(OpenPack { id, epoch, header, key, state })
    }
}

impl Reservation {
    /// Puts the frame in its place, seals it there, and proves it from the sealed bytes.
    ///
    /// Returns the pack if this was its last blob.
    pub fn fill(
        mut self,
        frame: Pieces<'_>,
        chunks: Vec<BlobChunk>,
        keys: &Keys,
    ) -> Result<Option<FullPack>, Error> {
        let pack = &self.pack;
        let (plain, tag) = self.room.split_at_mut(frame.bytes());
        frame.copy_to(plain);
        let number = u64::from(self.number);
        tag.copy_from_slice(&pack.key.seal_in_place(number, Role::Blob, &pack.header, plain));
        self.prove(&chunks, keys)?;
        let Self { pack, number, room } = self;
        let mut state = lock(&pack.state);
        state.slots[number as usize] = Some(SealedBlob { bytes: room, chunks });
        state.filled += 1;
        let full = state.take_if_full();
        drop(state);
        Ok(full.map(|(room, blobs)| FullPack { pack, room, blobs }))
    }

    /// Decrypts, decompresses and hashes what was sealed: a fault of memory, processor or codec
    /// shows here, while the source still has the data, and not on the day of the restore.
    fn prove(&self, chunks: &[BlobChunk], keys: &Keys) -> Result<(), Error> {
        let pack = &self.pack;
        let corrupt = |why: &str| Error::Corrupt {
            name: format!("blob {} of new pack {}", self.number, pack.id),
            why: why.to_owned(),
        };
        PROVING.with_borrow_mut(|(scratch, plain)| {
            scratch.clear();
            scratch.extend_from_slice(&self.room);
            let number = u64::from(self.number);
            let frame = pack
                .key
                .open_in_place(number, Role::Blob, &pack.header, scratch)
                .map_err(|_| corrupt("what was sealed does not open"))?;
            let plain = Frame::parse(frame, BLOB_PLAIN_BYTES_MAX)
                .and_then(|frame| frame.plain_in(plain))
                .map_err(|_| corrupt("what was compressed does not decompress"))?;
            same_chunks(plain, chunks, keys).map_err(corrupt)
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
    fn has_room(&self, sealed_bytes: usize, table_bytes: usize) -> bool {
        let state = lock(&self.state);
        let more_bytes = (sealed_bytes + state.table_bytes + table_bytes) as u64;
        state.bytes + more_bytes <= PACK_BYTES_TARGET
            && state.table_bytes + table_bytes + 8 <= PACK_TABLE_BYTES_MAX
    }

    fn reserve(&self, sealed_bytes: usize, table_bytes: usize) -> (u32, BytesMut) {
        let mut state = lock(&self.state);
        state.slots.push(None);
        state.bytes += sealed_bytes as u64;
        state.table_bytes += table_bytes;
        let number = u32::try_from(state.slots.len() - 1);
        let room = state.room.as_mut().expect("a pack that is open has not all its blobs");
        (number.expect("a table of 2 MiB has fewer than 2^32 blobs"), room.cut(sealed_bytes))
    }
}

impl PackState {
    fn begin(header: &[u8; HEADER_BYTES], mut room: PackRoom) -> Self {
        let mut begins = room.cut(HEADER_BYTES);
        begins.copy_from_slice(header);
        room.join(begins);
        let bytes = HEADER_BYTES as u64;
        Self {
            room: Some(room),
            slots: Vec::new(),
            filled: 0,
            bytes,
            table_bytes: 0,
            closed: false,
        }
    }

    fn take_if_full(&mut self) -> Option<(PackRoom, Vec<SealedBlob>)> {
        if !self.closed || self.filled != self.slots.len() || self.slots.is_empty() {
            return None;
        }
        let blobs = std::mem::take(&mut self.slots).into_iter().collect::<Option<_>>()?;
        Some((self.room.take()?, blobs))
    }
}

fn close(pack: Arc<OpenPack>) -> Option<FullPack> {
    let mut state = lock(&pack.state);
    state.closed = true;
    let full = state.take_if_full();
    drop(state);
    full.map(|(room, blobs)| FullPack { pack, room, blobs })
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
        let Self { pack, mut room, blobs } = self;
        let mut builder = TableBuilder::default();
        let mut chunks = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let sealed_bytes = u32::try_from(blob.bytes.len()).expect("a blob is at most 4 MiB");
            builder.push_blob(sealed_bytes, &blob.chunks);
            room.join(blob.bytes);
            chunks.push(blob.chunks);
        }
        let table = builder.finish();
        let (end, bytes) = pack.seal_end(&table, room.joined().len() as u64, padding);
        pack.prove_table(&end, &table)?;
        let entry = PackEntry { pack: pack.id, bytes, epoch: pack.epoch };
        Ok(FinishedPack { entry, table, room, chunks, end })
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
    pub fn pieces(&self) -> [&[u8]; 2] {
        [self.room.joined(), &self.end]
    }

    /// Every chunk in the pack.
    pub fn chunks(&self) -> impl Iterator<Item = &BlobChunk> {
        self.chunks.iter().flatten()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
