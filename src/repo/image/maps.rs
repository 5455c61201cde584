//! Page maps in the making: gathered, merged, freed of what nothing needs, stored.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::{
    chunk::{self, Store},
    format::{
        cursor::uvarint_bytes,
        page_map::{PageEntry, PageMap},
        stream::Stream,
    },
    id::ChunkId,
    limits::KIB,
    repo::{image::Error, stream::StreamWriter},
};

/// Maps and lists of ids are stored in chunks of this size.
const PIECE_BYTES: usize = 256 * KIB;

/// The shortest piece of a chunk table that is stored as a chunk of its own, in ids.
const TABLE_PIECE_IDS: usize = 64;

/// A chunk table in the making: every chunk once.
#[derive(Debug, Default)]
pub struct Table {
    chunks: Vec<ChunkId>,
    index: HashMap<ChunkId, u32>,
}

impl Table {
    /// Returns the chunk's place in the table, to which it is added if need be.
    pub fn name(&mut self, id: ChunkId) -> u32 {
        let chunks = &mut self.chunks;
        *self.index.entry(id).or_insert_with(|| {
            chunks.push(id);
            chunks.len() as u32 - 1
        })
    }

    pub fn into_chunks(self) -> Vec<ChunkId> {
        self.chunks
    }
}

/// Returns the older map with the newer one over it, up to the last page of the image.
pub fn merge(older: &PageMap, newer: &PageMap, page_count: u32) -> PageMap {
    let mut table = Table::default();
    for id in &older.chunks {
        let _ = table.name(*id);
    }
    let renumbered: Vec<u32> = newer.chunks.iter().map(|id| table.name(*id)).collect();
    let mut entries = Vec::with_capacity(older.entries.len() + newer.entries.len());
    let mut newer = newer
        .entries
        .iter()
        .map(|entry| PageEntry { chunk: renumbered[entry.chunk as usize], ..*entry })
        .peekable();
    for entry in &older.entries {
        while let Some(before) = newer.next_if(|new| new.page < entry.page) {
            entries.push(before);
        }
        entries.push(newer.next_if(|new| new.page == entry.page).unwrap_or(*entry));
    }
    entries.extend(newer);
    entries.truncate(entries.partition_point(|entry| entry.page <= page_count));
    PageMap { chunks: table.into_chunks(), entries }
}

/// Returns the map with those chunks of its table that are needed, by their place in it.
pub fn keep_needed(map: &PageMap, is_needed: impl Fn(usize) -> bool) -> PageMap {
    let mut chunks = Vec::new();
    let renumbered: Vec<u32> = map
        .chunks
        .iter()
        .enumerate()
        .map(|(at, id)| {
            if is_needed(at) {
                chunks.push(*id);
            }
            chunks.len() as u32 - u32::from(is_needed(at))
        })
        .collect();
    let entries = map
        .entries
        .iter()
        .map(|entry| PageEntry { chunk: renumbered[entry.chunk as usize], ..*entry })
        .collect();
    PageMap { chunks, entries }
}

/// Returns the newer map without the chunks that only its older versions need and that the older
/// map names: both belong to the image, and ids do not compress.
pub fn without_named(newer: &PageMap, older: &PageMap) -> PageMap {
    let named: HashSet<&ChunkId> = older.chunks.iter().collect();
    let mut is_direct = vec![false; newer.chunks.len()];
    for entry in &newer.entries {
        is_direct[entry.chunk as usize] = true;
    }
    keep_needed(newer, |chunk| is_direct[chunk] || !named.contains(&newer.chunks[chunk]))
}

/// How many pages of the range have an entry in one of the maps, or in both.
pub fn count_pages(pages: &Range<u32>, folded: &PageMap, recent: &PageMap) -> usize {
    let folded = entries_in(folded, pages);
    let only_recent = entries_in(recent, pages)
        .iter()
        .filter(|entry| folded.binary_search_by_key(&entry.page, |folded| folded.page).is_err());
    folded.len() + only_recent.count()
}

/// The entries for pages of the range.
pub fn entries_in<'a>(map: &'a PageMap, pages: &Range<u32>) -> &'a [PageEntry] {
    let from = map.entries.partition_point(|entry| entry.page < pages.start);
    let to = map.entries.partition_point(|entry| entry.page < pages.end);
    &map.entries[from..to.max(from)]
}

/// Stores a map.
///
/// Its chunk table, which does not compress, grows at its end only, until chunks are dropped that
/// nothing needs. It is cut into pieces of powers of two of ids, the longest first: most of them
/// are stored already, and there are never many.
pub fn store_map(store: &mut dyn Store, map: &PageMap) -> Result<Stream, Error> {
    if map.entries.is_empty() {
        return Ok(Stream::default());
    }
    let bytes = map.encode()?;
    let lengths = table_pieces(map.chunks.len());
    if lengths.is_empty() {
        return Ok(store_bytes(store, &bytes)?);
    }
    let head_bytes = 1 + uvarint_bytes(map.chunks.len() as u64);
    let (head, mut rest) = bytes.split_at(head_bytes);
    let mut pieces = vec![head];
    for length in lengths {
        let (piece, after) = rest.split_at(length * size_of::<ChunkId>());
        pieces.extend(piece.chunks(PIECE_BYTES));
        rest = after;
    }
    pieces.extend(rest.chunks(PIECE_BYTES));
    Ok(store_listed(store, &pieces)?)
}

/// What of a map's chunk table is probably stored already when it is stored the next time.
pub fn table_bytes_kept(map: &PageMap) -> u64 {
    let ids: usize = table_pieces(map.chunks.len()).iter().sum();
    (ids * size_of::<ChunkId>()) as u64
}

/// The lengths of the pieces of a chunk table, in ids; what is left over is stored with what
/// follows the table.
fn table_pieces(id_count: usize) -> Vec<usize> {
    let units = id_count / TABLE_PIECE_IDS;
    let powers = (0..usize::BITS).rev().map(|bit| 1 << bit);
    powers.filter(|power| units & power != 0).map(|power| power * TABLE_PIECE_IDS).collect()
}

/// Stores a list of ids.
pub fn store_ids(store: &mut dyn Store, ids: &[ChunkId]) -> Result<Stream, Error> {
    let mut writer = StreamWriter::new();
    for piece in ids.chunks(PIECE_BYTES / 32) {
        let bytes: Vec<u8> = piece.iter().flat_map(|id| id.0).collect();
        writer.put(store, &bytes)?;
    }
    Ok(writer.finish(store)?)
}

/// Stores the pieces of a sequence, and a list of them: what names the sequence, several times an
/// hour, then takes one id.
fn store_listed(store: &mut dyn Store, pieces: &[&[u8]]) -> Result<Stream, chunk::Error> {
    let ids = pieces.iter().map(|piece| store.put(piece)).collect::<Result<Vec<_>, _>>()?;
    let list: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    Ok(Stream { depth: 1, bytes, ids: vec![store.put(&list)?] })
}

fn store_bytes(store: &mut dyn Store, bytes: &[u8]) -> Result<Stream, chunk::Error> {
    let mut writer = StreamWriter::new();
    for piece in bytes.chunks(PIECE_BYTES) {
        writer.put(store, piece)?;
    }
    writer.finish(store)
}
