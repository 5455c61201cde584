//! Decoded objects as JSON, for those who look inside: `cat`, `debug`, test vectors.
//!
//! Complete and never secret: a key ring shows which keys it has, not the keys. What is not UTF-8
//! is shown as hexadecimal digits, marked as such, so that nothing is lost on the way.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::{Value, json};

use crate::format::{
    Error,
    cursor::Cursor,
    descriptor::Descriptor,
    envelope::{HEADER_BYTES, Header, Kind},
    node::NodeReader,
    page_chunk::{PageChunk, PageSlot},
    page_map::PageMap,
    parity::ParityTable,
    pin::Pin,
    record::Record,
    segment::{Item, Items},
    slot::Slot,
    table::Table,
    tombstone::{ForgetMarker, Tombstone},
};

/// Shows what an object of this kind holds.
///
/// `plain` is the whole object for descriptor, slot and ring, the table of contents for a pack, the
/// plaintexts of all frames for an index object, and the plaintext for all others.
pub fn object(kind: Kind, plain: &[u8]) -> Result<Value, Error> {
    Ok(match kind {
        Kind::Descriptor => value(&Descriptor::decode(plain)?),
        Kind::Slot => slot(plain)?,
        Kind::Ring => json!({ "header": Header::decode(plain)?, "keys": "secret" }),
        Kind::Pack => table(plain)?,
        Kind::Segment | Kind::Summary => items(Items::of_first_frame(plain))?,
        Kind::Pending | Kind::Snapshot => value(&Record::decode(plain)?),
        Kind::Tombstone => value(&Tombstone::decode(plain)?),
        Kind::Forgotten => value(&ForgetMarker::decode(plain)?),
        Kind::Pinned => value(&Pin::decode(plain)?),
        Kind::Parity => value(&ParityTable::decode(plain)?),
    })
}

/// What a chunk is taken for; nothing in the chunk itself says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkUse {
    /// A whole folder node.
    Node,
    /// A list of ids: of a stream's chunks, or of base groups.
    Ids,
    /// A whole page map.
    PageMap,
    /// Pages of this size, plain or as patches.
    PageChunk { page_bytes: u32 },
}

/// Shows what a chunk holds that is used like this.
pub fn chunk(chunk_use: ChunkUse, plain: &[u8]) -> Result<Value, Error> {
    Ok(match chunk_use {
        ChunkUse::Node => value(&NodeReader::new(plain).collect::<Result<Vec<_>, _>>()?),
        ChunkUse::Ids => ids(plain)?,
        ChunkUse::PageMap => value(&PageMap::decode(plain)?),
        ChunkUse::PageChunk { page_bytes } => page_chunk(&PageChunk::parse(plain, page_bytes)?),
    })
}

fn slot(object: &[u8]) -> Result<Value, Error> {
    let header = Header::decode(object)?;
    header.expect_length(object.len() as u64)?;
    Ok(json!({ "header": header, "slot": Slot::decode(&object[HEADER_BYTES..])? }))
}

fn table(plain: &[u8]) -> Result<Value, Error> {
    let blobs = Table::parse(plain)?.blobs().map(|blob| {
        let chunks = blob.chunks();
        let chunks = chunks
            .map(|chunk| json!({ "id": chunk.id, "start": chunk.start, "bytes": chunk.bytes }));
        json!({
            "number": blob.number,
            "offset": blob.offset,
            "stored_bytes": blob.stored_bytes,
            "chunks": chunks.collect::<Vec<Value>>(),
        })
    });
    Ok(blobs.collect())
}

fn items(items: Items<'_>) -> Result<Value, Error> {
    items.map(|item| show_item(&item?)).collect()
}

fn show_item(item: &Item<'_>) -> Result<Value, Error> {
    Ok(match item {
        Item::Begin { sequence, runs } => {
            json!({ "begin": { "sequence": sequence, "runs": runs } })
        }
        Item::Covers(id) => json!({ "covers": id }),
        Item::Pack { entry, table: bytes } => json!({ "pack": {
            "id": entry.pack,
            "bytes": entry.bytes,
            "epoch": entry.epoch,
            "table": table(bytes)?,
        } }),
        Item::Record { id, bytes } => {
            json!({ "record": { "id": id, "record": Record::decode(bytes)? } })
        }
        Item::Tombstone { id, bytes } => {
            json!({ "tombstone": { "id": id, "tombstone": Tombstone::decode(bytes)? } })
        }
    })
}

fn page_chunk(chunk: &PageChunk<'_>) -> Value {
    let slots = chunk.slots().iter().map(|(page, slot)| match slot {
        PageSlot::Plain(bytes) => json!({ "page": page, "plain_bytes": bytes.len() }),
        PageSlot::Patch { older, ops } => {
            json!({ "page": page, "older": older, "patch_bytes": ops.len() })
        }
    });
    slots.collect()
}

fn ids(plain: &[u8]) -> Result<Value, Error> {
    match plain.as_chunks::<32>() {
        (ids, []) => Ok(ids.iter().map(|id| digits(id)).collect()),
        _ => Err(Cursor::new("list of ids", plain).corrupt("an id is cut short")),
    }
}

fn value<T: Serialize>(decoded: &T) -> Value {
    serde_json::to_value(decoded).expect("decoded objects have no maps and no odd keys")
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text where it is text, else `{"hex": …}`.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => json!({ "hex": digits(self.0) }).serialize(serializer),
        }
    }
}

pub(super) fn text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Text(bytes).serialize(serializer)
}

pub(super) fn texts<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(Some(list.len()))?;
    list.iter().try_for_each(|bytes| seq.serialize_element(&Text(bytes)))?;
    seq.end()
}

pub(super) fn text_pairs<S: Serializer>(
    list: &[(Vec<u8>, Vec<u8>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(Some(list.len()))?;
    list.iter().try_for_each(|(name, value)| seq.serialize_element(&(Text(name), Text(value))))?;
    seq.end()
}

pub(super) fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digits(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::{
            envelope::Suite,
            node::{Content, NODE_VERSION},
            page_chunk::{Older, encode_patches, encode_plain},
            samples::{chunk_id, entry, file, image, record},
            segment::SegmentWriter,
            table::TableBuilder,
        },
        id::{ObjectId, PackId, RepositoryId, SnapshotId, WriterId},
        location::PackEntry,
    };

    fn table_bytes() -> Vec<u8> {
        let mut table = TableBuilder::default();
        table.push_blob(300, &[(chunk_id(0xa1), 200), (chunk_id(0xa2), 7)]);
        table.finish()
    }

    #[test]
    fn a_record_shows_all_it_holds() {
        let shown = object(Kind::Snapshot, &record().encode().unwrap()).unwrap();

        assert_eq!(shown["host"], "till-3");
        assert_eq!(shown["trigger"], "schedule");
        assert_eq!(shown["parent"], "0b".repeat(32));
        let part = &shown["parts"][0];
        assert_eq!(part["problems"][0]["path"], json!({ "hex": "612f62ff" }));
        assert_eq!(part["content"]["tree"]["root"]["name"], "uploads");
        let facts = &shown["parts"][1]["content"]["database"]["facts"];
        assert_eq!(facts["schema"][0]["name"], "invoice");
        assert_eq!(shown["parts"][1]["content"]["database"]["image"]["method"], "pages");
    }

    #[test]
    fn tables_and_index_objects_show_their_chunks_and_records() {
        let entry = PackEntry { pack: PackId([9; 32]), bytes: 500, epoch: 1 };
        let record = record().encode().unwrap();
        let mut writer = SegmentWriter::begin(7, 1);
        let items = [
            Item::Covers(ObjectId([8; 32])),
            Item::Pack { entry, table: &table_bytes() },
            Item::Record { id: SnapshotId([7; 32]), bytes: &record },
        ];
        items.iter().for_each(|item| assert_eq!(writer.push(item), Ok(None)));

        let shown = object(Kind::Segment, &writer.finish()).unwrap();

        assert_eq!(shown[0]["begin"]["sequence"], 7);
        assert_eq!(shown[1]["covers"], "08".repeat(32));
        assert_eq!(shown[2]["pack"]["table"], object(Kind::Pack, &table_bytes()).unwrap());
        assert_eq!(shown[2]["pack"]["table"][0]["chunks"][1]["start"], 200);
        assert_eq!(shown[3]["record"]["record"]["counter"], 17);
    }

    #[test]
    fn a_ring_shows_no_key() {
        let header = Header {
            kind: Kind::Ring,
            suite: Suite::ChaCha20Poly1305,
            epoch: 0,
            repository: RepositoryId([1; 32]),
            object: [2; 32],
            body_bytes: 500,
        };

        let shown = object(Kind::Ring, &header.encode()).unwrap();
        assert_eq!(shown["keys"], "secret");
        assert_eq!(shown["header"]["object"], "02".repeat(32));
    }

    #[test]
    fn small_objects_show_their_fields() {
        let tombstone = Tombstone {
            deleter: WriterId([1; 32]),
            created: 5,
            packs: vec![PackId([2; 32])],
            index_objects: vec![],
            snapshots: vec![],
        };
        let shown = object(Kind::Tombstone, &tombstone.encode().unwrap()).unwrap();
        assert_eq!(shown["packs"], json!(["02".repeat(32)]));

        let marker = ForgetMarker { snapshot: SnapshotId([3; 32]), created: 5, reason: "x".into() };
        let shown = object(Kind::Forgotten, &marker.encode().unwrap()).unwrap();
        assert_eq!(shown["snapshot"], "03".repeat(32));
    }

    #[test]
    fn chunks_show_what_they_are_taken_for() {
        let mut node = vec![NODE_VERSION];
        file("a").encode_into(&mut node).unwrap();
        entry("b", Content::Database(Box::new(image()))).encode_into(&mut node).unwrap();
        let shown = chunk(ChunkUse::Node, &node).unwrap();
        assert_eq!(shown[0]["content"]["file"]["bytes"], 1_000_000);
        assert_eq!(shown[1]["content"]["database"]["page_count"], 300);

        let shown = chunk(ChunkUse::Ids, &[7; 64]).unwrap();
        assert_eq!(shown, json!(["07".repeat(32), "07".repeat(32)]));
        assert!(chunk(ChunkUse::Ids, &[7; 33]).is_err());

        let plain = encode_plain(&[(3, &[0; 512])]).unwrap();
        let shown = chunk(ChunkUse::PageChunk { page_bytes: 512 }, &plain).unwrap();
        assert_eq!(shown, json!([{ "page": 3, "plain_bytes": 512 }]));
        let patches = encode_patches(&[(3, Older::Base, &[1, 2])]).unwrap();
        let shown = chunk(ChunkUse::PageChunk { page_bytes: 512 }, &patches).unwrap();
        assert_eq!(shown, json!([{ "page": 3, "older": "base", "patch_bytes": 2 }]));
    }
}
