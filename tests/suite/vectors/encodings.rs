//! Everything that is encoded before it is sealed.

use serde_json::{Value, json};
use stillpoint::{
    format::{
        Error,
        cursor::{Cursor, put_svarint, put_uvarint},
        envelope::{Header, Kind, Suite},
        fields::{FieldsReader, FieldsWriter},
        frame,
        image::Image,
        node::{Entry, NODE_VERSION},
        page_chunk::{Older, encode_patches, encode_plain},
        parity::{HASH_BYTES, ParityTable},
        patch,
        pin::Pin,
        segment::{Item, SegmentWriter},
        show::{self, ChunkUse},
        table::{TableBuilder, Trailer},
        tombstone::{ForgetMarker, Tombstone},
    },
    id::{ChunkId, ObjectId, PackId, SnapshotId, WriterId},
    location::PackEntry,
};

use super::{
    hex,
    samples::{REPOSITORY, counting, descriptor, entries, image, keys, page_map, record},
    unhex,
};

/// Size of the pages in page chunks and patches.
const PAGE_BYTES: u32 = 512;
/// Size of the pack whose trailer is a vector.
const PACK_BYTES: u64 = 0x2000;

pub fn all() -> Vec<Value> {
    let mut cases = integers();
    cases.extend(
        Kind::ALL
            .map(|kind| case(&format!("header of kind {}", kind as u8), "header", &header(kind))),
    );
    cases.extend(entries().iter().map(|entry| {
        let name = format!("entry {}", String::from_utf8_lossy(&entry.name));
        case(&name, "entry", &entry.encode().unwrap())
    }));
    cases.extend([
        case("descriptor", "descriptor", &descriptor()),
        case("fields", "fields", &fields()),
        case("table of two blobs", "table", &table()),
        case("trailer", "trailer", &trailer()),
        case("index frame", "index_frame", &index_frame()),
        case("empty node", "node", &[NODE_VERSION]),
        case("node with an entry of each kind", "node", &node()),
        case("image", "image", &image().encode().unwrap()),
        case("empty page map", "page_map", &[1, 0, 0]),
        case("page map", "page_map", &page_map().encode().unwrap()),
        case("plain pages of 512 bytes", "page_chunk", &plain_pages()),
        case("patches of pages of 512 bytes", "page_chunk", &patched_pages()),
        case("record", "record", &record().encode().unwrap()),
        case("tombstone", "tombstone", &tombstone()),
        case("forget marker", "forget_marker", &forget_marker()),
        case("pin", "pin", &pin()),
        case("parity table", "parity", &parity_table()),
    ]);
    cases
}

/// Encodings that break one rule each.
pub fn refused() -> Vec<Value> {
    let case = |rule: &str, decoder: &str, bytes: &[u8]| {
        let bytes = hex(bytes);
        json!({ "rule": rule, "decoder": decoder, "bytes": bytes })
    };
    let changed = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    let mut swapped = vec![NODE_VERSION];
    entries()[..2].iter().rev().for_each(|entry| entry.encode_into(&mut swapped).unwrap());
    let map = page_map().encode().unwrap();
    vec![
        case("an integer is minimal", "uvarint", &[0x80, 0x00]),
        case("an integer fits 64 bits", "uvarint", &[[0xff; 9].as_slice(), &[2]].concat()),
        case("the magic is ours", "header", &changed(header(Kind::Pack), 0, b's')),
        case("the format version is known", "header", &changed(header(Kind::Pack), 8, 2)),
        case("the kind is known", "header", &changed(header(Kind::Pack), 10, 0xff)),
        case("the suite is known", "header", &changed(header(Kind::Pack), 11, 0xff)),
        case("a pack is sealed", "header", &changed(header(Kind::Pack), 11, 0)),
        case("a pack has an epoch", "header", &changed(header(Kind::Pack), 12, 0)),
        case("a key ring has no epoch", "header", &changed(header(Kind::Ring), 12, 1)),
        case("a descriptor has no id", "header", &changed(header(Kind::Descriptor), 48, 1)),
        case("the header of a pack has no length", "header", &changed(header(Kind::Pack), 80, 1)),
        case("the header of a pin has a length", "header", &lengthless(Kind::Pinned)),
        case("the hash of a descriptor is right", "descriptor", &changed(descriptor(), 90, 0xff)),
        case("tags ascend", "fields", &[fields(), fields()].concat()),
        case("a mandatory field is known", "fields", &[0, 0x80, 0, 0, 0, 0]),
        case("a table ends where it ends", "table", &[table(), vec![0]].concat()),
        case("a blob has at least 22 bytes", "table", &changed(table(), 3, 21)),
        case("a blob has a chunk", "table", &changed(table(), 4, 0)),
        case("the parts of a pack add up to it", "trailer", &changed(trailer(), 0, 0xff)),
        case(
            "an index object begins once",
            "index_frame",
            &[index_frame(), index_frame()].concat(),
        ),
        case(
            "unknown items below 128 are not skipped",
            "index_frame",
            &[index_frame(), vec![6, 0]].concat(),
        ),
        case("names ascend", "node", &swapped),
        case("no name has a slash", "node", &changed(node(), 3, b'/')),
        case("a node ends with a whole entry", "node", &node()[..50]),
        case("slots are below 64", "page_map", &changed(map.clone(), map.len() - 2, 64)),
        case(
            "entries name chunks of the table",
            "page_map",
            &changed(map.clone(), map.len() - 4, 2),
        ),
        case("pages ascend", "page_map", &changed(map.clone(), map.len() - 11, 0)),
        case("the base has no slots", "page_chunk", &[2, 0, 1, 9, 0, 1, 0]),
        case(
            "a page size is a power of two",
            "image",
            &changed(image().encode().unwrap(), 1, 0x81),
        ),
        case("part names are restricted", "record", &renamed_part()),
        case("a frame has a known codec", "frame", &[2, 1, 0, 0, 0, 0]),
        case("a frame is as long as it says", "frame", &[0, 2, 0, 0, 0, 0]),
        case("a zstd frame is as long as it says", "frame", &changed(compressed(), 1, 0xbd)),
        case("a zstd frame is not empty", "frame", &packed(0, EMPTY)),
        case("nothing follows a zstd frame", "frame", &[compressed(), packed(0, EMPTY)].concat()),
        case("no zstd frame is skippable", "frame", &packed(4, "502a4d180400000001020304")),
        case("zstd has no dictionary", "frame", &packed(111, WITH_DICTIONARY)),
    ]
}

/// A compressed frame of this plain length.
fn packed(plain_bytes: u32, zstd_frame: &str) -> Vec<u8> {
    [&[1][..], &plain_bytes.to_le_bytes(), &unhex(&json!(zstd_frame))].concat()
}

fn compressed() -> Vec<u8> {
    unhex(&json!(COMPRESSED))
}

/// Frames and their plaintexts. The compressed one is kept as it once came out, since another
/// version of zstd may pack it differently and be right as well.
pub fn frames() -> Vec<Value> {
    let mut stored = Vec::new();
    frame::put_stored(&mut stored, b"hello");
    let cases = [
        ("stored", stored),
        ("compressed", compressed()),
        ("compressed as a stream", unhex(&json!(COMPRESSED_AS_STREAM))),
        ("compressed with a checksum", unhex(&json!(COMPRESSED_WITH_CHECKSUM))),
    ];
    cases
        .into_iter()
        .map(|(name, bytes)| {
            let plain = frame::decode(bytes.clone(), 1 << 20).unwrap();
            json!({ "name": name, "bytes": hex(&bytes), "plain": hex(&plain) })
        })
        .collect()
}

/// A frame that holds `hello, ` a hundred times, packed by a program that was told the length.
const COMPRESSED: &str = "01bc02000028b52ffd60bc017500003868656c6c6f2c200100b2541523";
/// The same from a program that was not: its zstd frame does not repeat the plain length.
const COMPRESSED_AS_STREAM: &str = "01bc02000028b52ffd00587500003868656c6c6f2c200100b2541523";
/// The same with the checksum that zstd can add.
const COMPRESSED_WITH_CHECKSUM: &str =
    "01bc02000028b52ffd64bc017500003868656c6c6f2c200100b254152306d38651";
/// What zstd makes of nothing.
const EMPTY: &str = "28b52ffd2000010000";
/// Packed with a dictionary that is not here.
const WITH_DICTIONARY: &str = "28b52ffd214d6fb50000a380012492157d780105fc473b3ca642eeb1724c2808";

pub fn patches() -> Vec<Value> {
    let older: Vec<u8> = (0..PAGE_BYTES).map(|at| (at * 7) as u8).collect();
    let literal = [&[0x80, 0x04], &[0xaa; 512][..]].concat();
    let mut changed_head = vec![4, b'h', b'e', b'a', b'd'];
    put_uvarint(&mut changed_head, 508);
    put_svarint(&mut changed_head, 0);
    let mut moved = vec![0];
    for (count, distance) in [(256, 256), (256, -256)] {
        put_uvarint(&mut moved, count);
        put_svarint(&mut moved, distance);
        moved.push(0);
    }
    let _ = moved.pop();
    [("all literal", literal), ("a new head", changed_head), ("halves exchanged", moved)]
        .into_iter()
        .map(|(name, bytes)| {
            let mut page = [0; PAGE_BYTES as usize];
            patch::apply(&bytes, &older, &mut page).unwrap();
            json!({ "name": name, "older": hex(&older), "patch": hex(&bytes), "page": hex(&page) })
        })
        .collect()
}

/// Decodes bytes by the name of their decoder and shows what they hold.
pub fn decode(decoder: &Value, bytes: &[u8]) -> Result<Value, Error> {
    let to_end = |mut cursor: Cursor<'_>, read: fn(&mut Cursor<'_>) -> Result<Value, Error>| {
        let value = read(&mut cursor)?;
        cursor.finish().map(|()| value)
    };
    match decoder.as_str().expect("a decoder is a string") {
        "uvarint" => to_end(Cursor::new("uvarint", bytes), |cursor| Ok(json!(cursor.uvarint()?))),
        "svarint" => to_end(Cursor::new("svarint", bytes), |cursor| Ok(json!(cursor.svarint()?))),
        "header" => Ok(json!(Header::decode(bytes)?)),
        "fields" => show_fields(bytes),
        "frame" => Ok(json!(hex(&frame::decode(bytes.to_vec(), 1 << 20)?))),
        "trailer" => {
            let trailer = Trailer::decode(bytes, PACK_BYTES)?;
            Ok(json!({
                "pack_bytes": PACK_BYTES,
                "table_offset": trailer.table_offset,
                "table_bytes": trailer.table_bytes,
                "padding_bytes": trailer.padding_bytes,
            }))
        }
        "entry" => Ok(json!(Entry::decode(bytes)?)),
        "image" => Ok(json!(Image::decode(bytes)?)),
        "node" => show::chunk(ChunkUse::Node, bytes),
        "page_map" => show::chunk(ChunkUse::PageMap, bytes),
        "page_chunk" => show::chunk(ChunkUse::PageChunk { page_bytes: PAGE_BYTES }, bytes),
        "descriptor" => show::object(Kind::Descriptor, bytes),
        "table" => show::object(Kind::Pack, bytes),
        "index_frame" => show::object(Kind::Segment, bytes),
        "record" => show::object(Kind::Snapshot, bytes),
        "tombstone" => show::object(Kind::Tombstone, bytes),
        "forget_marker" => show::object(Kind::Forgotten, bytes),
        "pin" => show::object(Kind::Pinned, bytes),
        "parity" => show::object(Kind::Parity, bytes),
        other => panic!("no decoder is called {other}"),
    }
}

fn case(name: &str, decoder: &str, bytes: &[u8]) -> Value {
    let value = decode(&json!(decoder), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    json!({ "name": name, "decoder": decoder, "bytes": hex(bytes), "value": value })
}

fn integers() -> Vec<Value> {
    let unsigned = [0, 1, 127, 128, 300, 16_383, 16_384, u64::MAX].map(|value| {
        let mut bytes = Vec::new();
        put_uvarint(&mut bytes, value);
        case(&format!("uvarint {value}"), "uvarint", &bytes)
    });
    let signed = [0, -1, 1, -64, 64, i64::MIN, i64::MAX].map(|value| {
        let mut bytes = Vec::new();
        put_svarint(&mut bytes, value);
        case(&format!("svarint {value}"), "svarint", &bytes)
    });
    [&unsigned[..], &signed].concat()
}

fn header(kind: Kind) -> Vec<u8> {
    let header = Header {
        kind,
        suite: kind.suite(),
        epoch: u32::from(kind.has_epoch()),
        repository: REPOSITORY,
        object: if kind.suite() == Suite::Clear { [0; 32] } else { counting(0xd0) },
        body_bytes: if kind.is_streamed() { 0 } else { 500 },
    };
    header.encode().to_vec()
}

fn fields() -> Vec<u8> {
    let mut fields = FieldsWriter::default();
    fields.put(1, &7u32);
    fields.put(2, &"text".to_owned());
    fields.put(3, &vec![("a".to_owned(), 1u8)]);
    fields.put(300, &Some([9u8; 4]));
    fields.finish()
}

fn show_fields(bytes: &[u8]) -> Result<Value, Error> {
    let mut fields = FieldsReader::of_object("fields", bytes)?;
    let mut shown = Vec::new();
    while let Some(field) = fields.read()? {
        let tag = field.tag;
        if tag >= 1 << 15 {
            field.skip_unknown()?;
        } else {
            shown.push(json!({ "tag": tag, "value": hex(field.into_cursor().rest()) }));
        }
    }
    Ok(json!(shown))
}

fn table() -> Vec<u8> {
    let mut table = TableBuilder::default();
    table.push_blob(300, &[(keys().chunk_id(b"hello"), 200), (ChunkId(counting(1)), 7)]);
    table.push_blob(22, &[(ChunkId(counting(2)), 1)]);
    table.finish()
}

fn trailer() -> Vec<u8> {
    let table_bytes = 500;
    let padding_bytes = 100;
    let table_offset = PACK_BYTES - 40 - table_bytes - padding_bytes;
    Trailer { table_offset, table_bytes, padding_bytes }.encode().to_vec()
}

pub fn index_frame() -> Vec<u8> {
    let entry = PackEntry { pack: PackId(counting(3)), bytes: PACK_BYTES, epoch: 1 };
    let mut writer = SegmentWriter::begin(7, 2);
    let items = [
        Item::Covers(ObjectId(counting(4))),
        Item::Pack { entry, table: &table() },
        Item::Record { id: SnapshotId(counting(5)), bytes: &record().encode().unwrap() },
        Item::Tombstone { id: ObjectId(counting(6)), bytes: &tombstone() },
    ];
    items.iter().for_each(|item| assert_eq!(writer.push(item), Ok(None)));
    writer.finish()
}

fn node() -> Vec<u8> {
    let mut node = vec![NODE_VERSION];
    entries().iter().for_each(|entry| entry.encode_into(&mut node).unwrap());
    node
}

fn plain_pages() -> Vec<u8> {
    encode_plain(&[(2, &[2; 512]), (300, &[3; 512])]).unwrap()
}

fn patched_pages() -> Vec<u8> {
    let older = Older::Chunk { id: ChunkId(counting(0x90)), slot: 1 };
    encode_patches(&[(2, Older::Base, &[0, 0x80, 4, 0]), (300, older, &[0, 0x80, 4, 0])]).unwrap()
}

fn tombstone() -> Vec<u8> {
    let tombstone = Tombstone {
        deleter: WriterId(counting(0xe0)),
        created: 1_763_700_000_000_000_000,
        packs: vec![PackId(counting(3)), PackId(counting(7))],
        index_objects: vec![ObjectId(counting(8))],
        snapshots: vec![SnapshotId(counting(5))],
    };
    tombstone.encode().unwrap()
}

fn forget_marker() -> Vec<u8> {
    let marker = ForgetMarker {
        snapshot: SnapshotId(counting(5)),
        created: 1_763_800_000_000_000_000,
        reason: "policy".to_owned(),
    };
    marker.encode().unwrap()
}

fn pin() -> Vec<u8> {
    let pin = Pin {
        snapshot: SnapshotId(counting(5)),
        created: 1_763_800_000_000_000_000,
        reason: "year end".to_owned(),
        until: Some(2_079_200_000_000_000_000),
    };
    pin.encode().unwrap()
}

/// A table of two packs in one stripe, without the hashes of true shards.
fn parity_table() -> Vec<u8> {
    let table = ParityTable {
        shard_bytes: 4096,
        hash_key: counting(0x77),
        packs: vec![(PackId(counting(3)), 9000), (PackId(counting(7)), 4096)],
        recovery: vec![1],
        hashes: (0..5).map(|shard| [shard; HASH_BYTES]).collect(),
    };
    table.encode()
}

/// A header that leaves out the length of an object that has one.
fn lengthless(kind: Kind) -> Vec<u8> {
    let mut bytes = header(kind);
    bytes[80..].fill(0);
    bytes
}

fn renamed_part() -> Vec<u8> {
    let mut bytes = record().encode().unwrap();
    let name = b"\x01\x00\x0f\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00uploads";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at + 14] = b'U';
    bytes
}
