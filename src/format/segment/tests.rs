use super::*;
use crate::format::samples::{breaks, every_truncation_fails, hex};

const PACK: PackEntry = PackEntry { pack: PackId([0xaa; 32]), bytes: 0x1000, epoch: 2 };
const SNAPSHOT: SnapshotId = SnapshotId([0xcc; 32]);
const OBJECT_ID: ObjectId = ObjectId([0xbb; 32]);

fn items() -> [Item<'static>; 5] {
    [
        Item::Begin { sequence: 7, runs: 3 },
        Item::Covers(OBJECT_ID),
        Item::Pack { entry: PACK, table: &[1, 2, 3] },
        Item::Record { id: SNAPSHOT, bytes: &[4] },
        Item::Tombstone { id: OBJECT_ID, bytes: &[] },
    ]
}

fn frame() -> Vec<u8> {
    let mut writer = SegmentWriter::begin(7, 3);
    for item in &items()[1..] {
        assert_eq!(writer.push(item), Ok(None));
    }
    writer.finish()
}

fn read_first(bytes: &[u8]) -> Result<Vec<Item<'_>>, Error> {
    Items::of_first_frame(bytes).collect()
}

#[test]
fn a_frame_has_the_bytes_of_the_spec() {
    let expected = [
        "010c070000000000000003000000".to_owned(),
        format!("0220{}", "bb".repeat(32)),
        format!("032f{}{}{}010203", "aa".repeat(32), "0010000000000000", "02000000"),
        format!("0421{}04", "cc".repeat(32)),
        format!("0520{}", "bb".repeat(32)),
    ];

    assert_eq!(hex(&frame()), expected.concat());
    assert_eq!(read_first(&frame()), Ok(items().to_vec()));
    let lengths: usize = items().iter().map(Item::encoded_bytes).sum();
    assert_eq!(frame().len(), lengths);
}

#[test]
fn a_frame_ends_with_a_whole_item() {
    let whole: Vec<usize> = items()
        .iter()
        .scan(0, |end, item| {
            *end += item.encoded_bytes();
            Some(*end)
        })
        .collect();
    for length in 0..frame().len() {
        assert_eq!(read_first(&frame()[..length]).is_ok(), whole.contains(&length), "{length}");
    }
}

#[test]
fn an_index_object_begins_exactly_once() {
    let begin = &frame()[..14];

    assert!(breaks(read_first(&frame()[14..]), "begins twice, or not at all"));
    assert!(breaks(read_first(&[begin, begin].concat()), "begins twice, or not at all"));
    let later: Result<Vec<Item<'_>>, Error> = Items::of_later_frame(begin).collect();
    assert!(breaks(later, "begins twice, or not at all"));
    assert_eq!(Items::of_later_frame(&[]).count(), 0);
}

#[test]
fn unknown_items_are_skipped_from_128_on_and_refused_below() {
    let with = |tag: u8| [&frame()[..14], &[tag, 2, 0, 0]].concat();

    assert_eq!(read_first(&with(128)).map(|items| items.len()), Ok(1));
    assert!(matches!(read_first(&with(6)), Err(Error::Newer { .. })));
}

#[test]
fn a_value_with_bytes_to_spare_is_corrupt() {
    let mut bytes = frame()[..14].to_vec();
    bytes.extend_from_slice(&[2, 33]);
    bytes.extend_from_slice(&[0; 33]);

    assert!(breaks(read_first(&bytes), "follow the end"));
}

#[test]
fn packs_and_tables_beyond_the_limits_are_corrupt() {
    let read = |bytes: u64, table: &[u8]| {
        let mut out = Vec::new();
        Item::Pack { entry: PackEntry { bytes, ..PACK }, table }.encode(&mut out);
        Items::of_later_frame(&out).next().unwrap().map(|_| ())
    };

    assert_eq!(read(PACK_BYTES_MAX, &[]), Ok(()));
    assert!(breaks(read(PACK_BYTES_MAX + 1, &[]), "too long"));
    assert_eq!(read(1, &vec![0; PACK_TABLE_BYTES_MAX]), Ok(()));
    assert!(breaks(read(1, &vec![0; PACK_TABLE_BYTES_MAX + 1]), "too long"));
}

#[test]
fn a_frame_is_handed_out_when_the_next_item_does_not_fit() {
    let record = vec![7; OBJECT_PLAIN_BYTES_MAX];
    let mut writer = SegmentWriter::begin(1, 1);

    assert_eq!(writer.push(&Item::Covers(OBJECT_ID)), Ok(None));
    let longest = Item::Record { id: SNAPSHOT, bytes: &record };
    let first = writer.push(&longest).unwrap().unwrap();
    let second = writer.push(&Item::Covers(OBJECT_ID)).unwrap().unwrap();
    let last = writer.finish();

    assert_eq!(read_first(&first).map(|items| items.len()), Ok(2));
    assert!(second.len() <= INDEX_FRAME_BYTES_MAX);
    let later: Result<Vec<Item<'_>>, Error> = Items::of_later_frame(&second).collect();
    assert_eq!(later, Ok(vec![longest]));
    assert_eq!(Items::of_later_frame(&last).count(), 1);
    let too_long = vec![7; INDEX_FRAME_BYTES_MAX];
    let item = Item::Record { id: SNAPSHOT, bytes: &too_long };
    assert!(breaks(SegmentWriter::begin(1, 1).push(&item), "fits no frame"));
}

#[test]
fn frames_are_split_where_their_lengths_say() {
    let body = [&22u32.to_le_bytes()[..], &[1; 22], &21u32.to_le_bytes(), &[2; 21]].concat();

    let frames = split_frames(&body).unwrap();
    assert_eq!(frames[0], SealedFrame { number: 0, bytes: &[1; 22], is_last: false });
    assert_eq!(frames[1], SealedFrame { number: 1, bytes: &[2; 21], is_last: true });
    assert_eq!(split_frames(&body[..26]).map(|frames| frames.len()), Ok(1));
    every_truncation_fails(&body[..26], split_frames);
    assert!(sealed_frame_bytes(20u32.to_le_bytes()).is_err());
    assert!(sealed_frame_bytes((FRAME_SEALED_BYTES_MAX as u32).to_le_bytes()).is_ok());
    assert!(sealed_frame_bytes((FRAME_SEALED_BYTES_MAX as u32 + 1).to_le_bytes()).is_err());
}
