//! What every decoder promises for any bytes at all, one function each: it does not panic, does not
//! allocate beyond its limits, and what it accepts is what we would have written.
//!
//! The fuzz targets run these, and so does `tests/suite/hostile.rs`, which includes this file.

mod resealed;
mod texts;

pub use resealed::resealed;
pub use texts::{btree_page, config, manifest, object_name, recovery_sheet, selector, show};

use stillpoint::format::{
    descriptor::Descriptor,
    envelope::Header,
    frame,
    image::Image,
    node::{Entry, NodeDecoder, NodeReader},
    page_chunk::{PageChunk, PageSlot, encode_patches, encode_plain},
    page_map::PageMap,
    parity::ParityTable,
    patch,
    pin::Pin,
    record::Record,
    ring::Ring,
    segment::{Items, SegmentWriter, split_frames},
    slot::Slot,
    table::{Table, TableBuilder, Trailer},
    tombstone::{ForgetMarker, Tombstone},
};

/// Panics if a decoder breaks its promise for these bytes.
pub type Promise = fn(&[u8]);

/// All decoders by name. [`resealed`] is apart: it is a hundred times slower.
pub const DECODERS: [(&str, Promise); 27] = [
    ("btree_page", btree_page),
    ("config", config),
    ("descriptor", descriptor),
    ("entry", entry),
    ("forget_marker", forget_marker),
    ("frame", frame),
    ("header", header),
    ("image", image),
    ("index_frame", index_frame),
    ("index_object", index_object),
    ("manifest", manifest),
    ("node", node),
    ("object_name", object_name),
    ("page_chunk", page_chunk),
    ("page_map", page_map),
    ("patch", patch),
    ("parity", parity),
    ("pin", pin),
    ("record", record),
    ("recovery_sheet", recovery_sheet),
    ("ring", ring),
    ("selector", selector),
    ("show", show),
    ("slot", slot),
    ("table", table),
    ("tombstone", tombstone),
    ("trailer", trailer),
];

const PAGE_BYTES: u32 = 512;

pub fn descriptor(bytes: &[u8]) {
    check_descriptor(bytes);
    // Few mutations hit upon the right hash and length, so both are put right and tried again.
    if let Some((header, body)) = bytes.split_at_checked(88) {
        let fields = &body[..body.len().saturating_sub(32)];
        let mut object = header.to_vec();
        object[80..].copy_from_slice(&(fields.len() as u64 + 32).to_le_bytes());
        object.extend_from_slice(fields);
        let hash = blake3::hash(&object);
        object.extend_from_slice(hash.as_bytes());
        check_descriptor(&object);
    }
}

fn check_descriptor(object: &[u8]) {
    if let Ok(descriptor) = Descriptor::decode(object) {
        let again = descriptor.encode().expect("what was read can be written");
        assert_eq!(Descriptor::decode(&again), Ok(descriptor));
    }
}

pub fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        let again = entry.encode().expect("what was read can be written");
        assert_eq!(Entry::decode(&again), Ok(entry));
    }
}

pub fn forget_marker(bytes: &[u8]) {
    if let Ok(marker) = ForgetMarker::decode(bytes) {
        let again = marker.encode().expect("what was read can be written");
        assert_eq!(ForgetMarker::decode(&again), Ok(marker));
    }
}

pub fn frame(bytes: &[u8]) {
    const PLAIN_BYTES_MAX: usize = 1 << 16;
    if let Ok(plain) = frame::decode(bytes.to_vec(), PLAIN_BYTES_MAX) {
        assert!(plain.len() <= PLAIN_BYTES_MAX);
        let mut again = Vec::new();
        frame::put_compressed(&mut again, &plain);
        assert_eq!(frame::decode(again, PLAIN_BYTES_MAX), Ok(plain));
    }
}

pub fn header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode(), bytes[..88]);
        let _ = header.expect_length(bytes.len() as u64);
    }
}

pub fn image(bytes: &[u8]) {
    if let Ok(image) = Image::decode(bytes) {
        assert_eq!(image.encode().as_deref(), Ok(bytes));
    }
}

pub fn index_frame(bytes: &[u8]) {
    let _ = Items::of_later_frame(bytes).count();
    let items = Items::of_first_frame(bytes).collect::<Result<Vec<_>, _>>();
    if let Ok([stillpoint::format::segment::Item::Begin { sequence, runs }, items @ ..]) =
        items.as_deref()
    {
        let mut writer = SegmentWriter::begin(*sequence, *runs);
        for item in items {
            assert_eq!(writer.push(item), Ok(None));
        }
        assert!(writer.finish().len() <= bytes.len());
    }
}

pub fn index_object(bytes: &[u8]) {
    if let Ok(frames) = split_frames(bytes) {
        let sealed: usize = frames.iter().map(|frame| frame.bytes.len() + 4).sum();
        assert_eq!(sealed, bytes.len());
        assert!(frames.iter().rev().skip(1).all(|frame| !frame.is_last));
    }
}

pub fn node(bytes: &[u8]) {
    let whole = NodeReader::new(bytes).collect::<Result<Vec<_>, _>>();
    let mut decoder = NodeDecoder::default();
    let mut entries = Vec::new();
    let outcome = bytes.chunks(37).try_for_each(|piece| {
        entries.extend(decoder.decode(piece)?);
        Ok(())
    });
    match (whole, outcome.and_then(|()| decoder.finish())) {
        (Ok(whole), Ok(())) => assert_eq!(whole, entries),
        (Err(_), Err::<(), stillpoint::format::Error>(_)) => {}
        (whole, pieces) => panic!("whole: {whole:?}, in pieces: {pieces:?}"),
    }
}

pub fn page_chunk(bytes: &[u8]) {
    let Ok(chunk) = PageChunk::parse(bytes, PAGE_BYTES) else {
        return;
    };
    let mut plain = Vec::new();
    let mut patches = Vec::new();
    for (page, slot) in chunk.slots() {
        match slot {
            PageSlot::Plain(bytes) => plain.push((*page, *bytes)),
            PageSlot::Patch { older, ops } => patches.push((*page, *older, *ops)),
        }
    }
    let again = if plain.is_empty() { encode_patches(&patches) } else { encode_plain(&plain) };
    let again = again.expect("what was read can be written");
    assert_eq!(PageChunk::parse(&again, PAGE_BYTES), Ok(chunk));
}

pub fn page_map(bytes: &[u8]) {
    if let Ok(map) = PageMap::decode(bytes) {
        assert_eq!(map.encode().as_deref(), Ok(bytes));
    }
}

pub fn patch(bytes: &[u8]) {
    let older: Vec<u8> = (0..PAGE_BYTES).map(|at| (at * 7) as u8).collect();
    let mut page = vec![0; PAGE_BYTES as usize];
    let _ = patch::apply(bytes, &older, &mut page);
}

pub fn parity(bytes: &[u8]) {
    if let Ok(table) = ParityTable::decode(bytes) {
        let of_stripes: usize =
            (0..table.recovery.len()).map(|stripe| table.stripe(stripe).len()).sum();
        assert_eq!(of_stripes as u64, table.shard_count());
        assert_eq!(ParityTable::decode(&table.encode()), Ok(table));
    }
}

pub fn pin(bytes: &[u8]) {
    if let Ok(pin) = Pin::decode(bytes) {
        let again = pin.encode().expect("what was read can be written");
        assert_eq!(Pin::decode(&again), Ok(pin));
    }
}

pub fn record(bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        let again = record.encode().expect("what was read can be written");
        assert_eq!(Record::decode(&again), Ok(record));
    }
}

pub fn ring(bytes: &[u8]) {
    if let Ok(ring) = Ring::decode(bytes) {
        assert_eq!(Ring::decode(&ring.encode()), Ok(ring));
    }
}

pub fn slot(bytes: &[u8]) {
    if let Ok(slot) = Slot::decode(bytes) {
        assert_eq!(slot.encode(), bytes);
    }
}

pub fn table(bytes: &[u8]) {
    let Ok(table) = Table::parse(bytes) else {
        return;
    };
    let mut builder = TableBuilder::default();
    let mut end = 88;
    for blob in table.blobs() {
        assert_eq!(blob.offset, end);
        end += u64::from(blob.stored_bytes);
        let chunks: Vec<_> = blob.chunks().map(|chunk| (chunk.id, chunk.bytes)).collect();
        builder.push_blob(blob.stored_bytes, &chunks);
    }
    assert_eq!(table.blobs_end(), end);
    assert_eq!(builder.finish(), bytes);
}

pub fn tombstone(bytes: &[u8]) {
    if let Ok(tombstone) = Tombstone::decode(bytes) {
        let again = tombstone.encode().expect("what was read can be written");
        assert_eq!(Tombstone::decode(&again), Ok(tombstone));
    }
}

pub fn trailer(bytes: &[u8]) {
    for pack_bytes in [145, 1 << 20, 64 << 20] {
        if let Ok(trailer) = Trailer::decode(bytes, pack_bytes) {
            assert_eq!(trailer.encode(), bytes);
            assert!(trailer.table_offset + trailer.table_bytes < pack_bytes);
        }
    }
}
