//! The end of a pack: table of contents, padding, trailer. Spec: `format-spec/30-pack.md`.
//!
//! The table is columns, walked without being built in memory: one `parse` proves every rule, and
//! the iterators after it need no further checks.

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint, uvarint_bytes},
        envelope::HEADER_BYTES,
    },
    id::ChunkId,
    limits::{
        BLOB_CHUNKS_MAX, BLOB_PLAIN_BYTES_MAX, BLOB_SEALED_BYTES_MAX, CHUNK_BYTES_MAX,
        PACK_BYTES_MAX, PACK_TABLE_BYTES_MAX,
    },
    location::{Location, PackEntry},
};

/// Length of the trailer, sealed.
pub const TRAILER_SEALED_BYTES: u64 = 40;
/// Length of the trailer's plaintext.
pub const TRAILER_BYTES: usize = 24;

const TAG_BYTES: u64 = 16;
/// A frame header, the shortest chunk, a tag.
const BLOB_SEALED_BYTES_MIN: u64 = 22;
const TABLE: &str = "table of contents";
const TRAILER: &str = "pack trailer";

/// Gathers the table of contents while a pack grows.
#[derive(Debug, Default)]
pub struct TableBuilder {
    blob_count: u64,
    stored: Vec<u8>,
    counts: Vec<u8>,
    lengths: Vec<u8>,
    ids: Vec<u8>,
}

impl TableBuilder {
    /// Adds the next blob: its sealed length, and its chunks with their plain lengths, in order.
    pub fn push_blob(&mut self, stored_bytes: u32, chunks: &[(ChunkId, u32)]) {
        self.blob_count += 1;
        put_uvarint(&mut self.stored, u64::from(stored_bytes));
        put_uvarint(&mut self.counts, chunks.len() as u64);
        for (id, plain_bytes) in chunks {
            put_uvarint(&mut self.lengths, u64::from(*plain_bytes));
            self.ids.extend_from_slice(id.as_bytes());
        }
    }

    /// Number of blobs so far, which is the number of the next one.
    pub const fn blob_count(&self) -> u64 {
        self.blob_count
    }

    /// Length of the table as it stands, before sealing.
    pub const fn encoded_bytes(&self) -> usize {
        uvarint_bytes(self.blob_count)
            + self.stored.len()
            + self.counts.len()
            + self.lengths.len()
            + self.ids.len()
    }

    /// Returns the table's plaintext.
    pub fn finish(self) -> Vec<u8> {
        let mut table = Vec::with_capacity(self.encoded_bytes() + TAG_BYTES as usize);
        put_uvarint(&mut table, self.blob_count);
        for column in [self.stored, self.counts, self.lengths, self.ids] {
            table.extend_from_slice(&column);
        }
        table
    }
}

/// A valid table of contents, in its encoded form.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    blob_count: u32,
    blobs_end: u64,
    stored: Column<'a>,
    counts: Column<'a>,
    lengths: Column<'a>,
    ids: &'a [[u8; 32]],
}

/// One blob of a table.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    pub number: u32,
    /// Where the sealed blob begins in the pack.
    pub offset: u64,
    /// Sealed length.
    pub stored_bytes: u32,
    lengths: Column<'a>,
    ids: &'a [[u8; 32]],
}

/// One chunk of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableChunk {
    pub id: ChunkId,
    /// Where the chunk begins in the blob's plaintext.
    pub start: u32,
    /// Plain length.
    pub bytes: u32,
}

impl<'a> Table<'a> {
    /// Checks every rule of the table's plaintext and returns it ready to walk.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(TABLE, bytes);
        if bytes.len() > PACK_TABLE_BYTES_MAX {
            return Err(cursor.corrupt("it is too long"));
        }
        let blob_count = cursor.uvarint()?;
        if blob_count == 0 {
            return Err(cursor.corrupt("it has no blobs"));
        }
        let blob_count = cursor.claim(blob_count, 2)?;
        let mut blobs_end = HEADER_BYTES as u64;
        let stored = Column::parse(&mut cursor, bytes, blob_count, |cursor, stored_bytes| {
            blobs_end += stored_bytes;
            match stored_bytes {
                BLOB_SEALED_BYTES_MIN.. if stored_bytes <= BLOB_SEALED_BYTES_MAX as u64 => Ok(()),
                _ => Err(cursor.corrupt("a blob has an impossible length")),
            }
        })?;
        if blobs_end > PACK_BYTES_MAX {
            return Err(cursor.corrupt("its blobs are longer than a pack"));
        }
        let mut chunk_count = 0;
        let counts = Column::parse(&mut cursor, bytes, blob_count, |cursor, count| {
            chunk_count += count;
            match count {
                1.. if count <= BLOB_CHUNKS_MAX as u64 => Ok(()),
                _ => Err(cursor.corrupt("a blob has no chunks or too many")),
            }
        })?;
        let chunk_count = cursor.claim(chunk_count, 33)?;
        let lengths = parse_lengths(&mut cursor, bytes, counts, blob_count)?;
        let (ids, []) = cursor.take(chunk_count * 32)?.as_chunks() else {
            return Err(cursor.corrupt("an id is cut short"));
        };
        cursor.finish()?;
        Ok(Self { blob_count: blob_count as u32, blobs_end, stored, counts, lengths, ids })
    }

    /// Number of blobs.
    pub const fn blob_count(&self) -> u32 {
        self.blob_count
    }

    /// Number of chunks.
    pub const fn chunk_count(&self) -> usize {
        self.ids.len()
    }

    /// Where the last blob ends, which is where the sealed table must begin.
    pub const fn blobs_end(&self) -> u64 {
        self.blobs_end
    }

    /// Walks the blobs in the order in which they lie in the pack.
    pub const fn blobs(&self) -> Blobs<'a> {
        Blobs { table: *self, number: 0, offset: HEADER_BYTES as u64 }
    }

    /// Walks all chunks with their places in the pack that the entry names.
    pub fn locations(&self, pack: PackEntry) -> impl Iterator<Item = (ChunkId, Location)> + 'a {
        self.blobs().flat_map(move |blob| {
            blob.chunks().map(move |chunk| {
                let location = Location {
                    pack: pack.pack,
                    epoch: pack.epoch,
                    blob: blob.number,
                    blob_offset: blob.offset,
                    blob_bytes: blob.stored_bytes,
                    start: chunk.start,
                    chunk_bytes: chunk.bytes,
                };
                (chunk.id, location)
            })
        })
    }
}

impl<'a> Blob<'a> {
    /// Number of chunks, at least 1.
    pub const fn chunk_count(&self) -> usize {
        self.ids.len()
    }

    /// Length of the blob's plaintext.
    pub fn plain_bytes(&self) -> u32 {
        self.chunks().map(|chunk| chunk.bytes).sum()
    }

    /// Walks the chunks in the order in which they lie in the plaintext.
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks { lengths: self.lengths, ids: self.ids.iter(), start: 0 }
    }
}

/// Walks the blobs of a table.
#[derive(Debug, Clone)]
pub struct Blobs<'a> {
    /// What is left of each column.
    table: Table<'a>,
    number: u32,
    offset: u64,
}

impl<'a> Iterator for Blobs<'a> {
    type Item = Blob<'a>;

    fn next(&mut self) -> Option<Blob<'a>> {
        if self.number == self.table.blob_count {
            return None;
        }
        let stored_bytes = self.table.stored.pop();
        let (ids, later) = self.table.ids.split_at(self.table.counts.pop() as usize);
        let lengths = self.table.lengths;
        let blob = Blob { number: self.number, offset: self.offset, stored_bytes, lengths, ids };
        self.table.lengths.skip(ids.len());
        self.table.ids = later;
        self.number += 1;
        self.offset += u64::from(stored_bytes);
        Some(blob)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.table.blob_count - self.number) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Blobs<'_> {}

/// Walks the chunks of a blob.
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    lengths: Column<'a>,
    ids: std::slice::Iter<'a, [u8; 32]>,
    start: u32,
}

impl Iterator for Chunks<'_> {
    type Item = TableChunk;

    fn next(&mut self) -> Option<TableChunk> {
        let id = ChunkId(*self.ids.next()?);
        let bytes = self.lengths.pop();
        let start = self.start;
        self.start += bytes;
        Some(TableChunk { id, start, bytes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for Chunks<'_> {}

/// Integers that [`Table::parse`] has checked: minimal, complete, below 2^32.
#[derive(Debug, Clone, Copy)]
struct Column<'a>(&'a [u8]);

impl<'a> Column<'a> {
    /// Reads `count` integers, each of which `check` must accept.
    fn parse(
        cursor: &mut Cursor<'a>,
        all: &'a [u8],
        count: usize,
        mut check: impl FnMut(&Cursor<'a>, u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let start = cursor.position();
        for _ in 0..count {
            let value = cursor.uvarint32()?;
            check(cursor, u64::from(value))?;
        }
        Ok(Self(&all[start..cursor.position()]))
    }

    fn pop(&mut self) -> u32 {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let (byte, rest) = self.0.split_first().expect("Table::parse counted the integers");
            self.0 = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            let _ = self.pop();
        }
    }
}

fn parse_lengths<'a>(
    cursor: &mut Cursor<'a>,
    all: &'a [u8],
    mut counts: Column<'a>,
    blob_count: usize,
) -> Result<Column<'a>, Error> {
    let start = cursor.position();
    for _ in 0..blob_count {
        let mut plain_bytes = 0;
        for _ in 0..counts.pop() {
            let bytes = cursor.uvarint_to(CHUNK_BYTES_MAX as u64, "a chunk is too long")?;
            if bytes == 0 {
                return Err(cursor.corrupt("a chunk is empty"));
            }
            plain_bytes += bytes;
        }
        if plain_bytes > BLOB_PLAIN_BYTES_MAX as u64 {
            return Err(cursor.corrupt("a blob holds too much"));
        }
    }
    Ok(Column(&all[start..cursor.position()]))
}

/// What the last bytes of a pack say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where the sealed table begins in the pack.
    pub table_offset: u64,
    /// Sealed length of the table.
    pub table_bytes: u64,
    /// Sealed length of the padding; 0 if there is none.
    pub padding_bytes: u64,
}

impl Trailer {
    /// Returns the trailer's plaintext.
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&self.table_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.table_bytes.to_le_bytes());
        bytes[16..].copy_from_slice(&self.padding_bytes.to_le_bytes());
        bytes
    }

    /// Reads the trailer of a pack of the given size; what it returns lies inside the pack.
    pub fn decode(plain: &[u8], pack_bytes: u64) -> Result<Self, Error> {
        let mut cursor = Cursor::new(TRAILER, plain);
        let table_offset = cursor.u64()?;
        let table_bytes = cursor.u64()?;
        let padding_bytes = cursor.u64()?;
        cursor.finish()?;
        let corrupt = |at, why| Err(Error::Corrupt { object: TRAILER, at, why });
        // Limits first: only small numbers make the sum below safe from overflow.
        if pack_bytes > PACK_BYTES_MAX || table_offset > PACK_BYTES_MAX {
            return corrupt(0, "a pack cannot be as long");
        }
        if table_offset < HEADER_BYTES as u64 {
            return corrupt(0, "the table begins inside the header");
        }
        if !(TAG_BYTES + 1..=PACK_TABLE_BYTES_MAX as u64 + TAG_BYTES).contains(&table_bytes) {
            return corrupt(8, "the table has an impossible length");
        }
        if padding_bytes > PACK_BYTES_MAX || (1..=TAG_BYTES).contains(&padding_bytes) {
            return corrupt(16, "the padding has an impossible length");
        }
        if table_offset + table_bytes + padding_bytes + TRAILER_SEALED_BYTES != pack_bytes {
            return corrupt(0, "the parts do not add up to the pack");
        }
        Ok(Self { table_offset, table_bytes, padding_bytes })
    }
}

/// Returns the sealed length of the padding for a pack that would have `bytes` without it.
pub const fn padding_for(bytes: u64) -> u64 {
    match padme(bytes) - bytes {
        0 => 0,
        // No padding is as short as that, so it goes to the next length that Padmé allows.
        1..=TAG_BYTES => padme(bytes + TAG_BYTES + 1) - bytes,
        padding => padding,
    }
}

/// Rounds a length up so that it tells little: at most 12 % more, and few lengths to choose from.
pub const fn padme(bytes: u64) -> u64 {
    if bytes < 2 {
        return bytes;
    }
    let exponent = bytes.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let step = 1 << (exponent - kept_bits);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests;
