use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    format::samples::{any_chunk_id, breaks, chunk_id, every_truncation_fails, hex},
    id::PackId,
};

fn two_blobs() -> Vec<u8> {
    let mut table = TableBuilder::default();
    table.push_blob(300, &[(chunk_id(0xa1), 200), (chunk_id(0xa2), 7)]);
    table.push_blob(22, &[(chunk_id(0xa3), 1)]);
    assert_eq!(table.blob_count(), 2);
    let encoded_bytes = table.encoded_bytes();
    let bytes = table.finish();
    assert_eq!(bytes.len(), encoded_bytes);
    bytes
}

/// Encodes a table of one blob without any check.
fn one_blob(stored_bytes: u64, chunk_count: u64, plain_bytes: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    [1, stored_bytes, chunk_count].into_iter().for_each(|number| put_uvarint(&mut bytes, number));
    (0..chunk_count).for_each(|_| put_uvarint(&mut bytes, plain_bytes));
    bytes.resize(bytes.len() + chunk_count as usize * 32, 0xee);
    bytes
}

#[test]
fn the_table_has_the_bytes_of_the_spec() {
    let [a, b, c] = ["a1", "a2", "a3"].map(|byte| byte.repeat(32));
    let expected = format!("02{}{}{}{a}{b}{c}", "ac0216", "0201", "c8010701");

    assert_eq!(hex(&two_blobs()), expected);
    every_truncation_fails(&two_blobs(), Table::parse);
}

#[test]
fn blobs_and_chunks_lie_one_after_another() {
    let bytes = two_blobs();
    let table = Table::parse(&bytes).unwrap();

    let mut left = table.blobs();
    assert_eq!((left.len(), left.by_ref().next().unwrap().chunks().len(), left.len()), (2, 2, 1));
    let blobs: Vec<Blob<'_>> = table.blobs().collect();
    assert_eq!((table.blob_count(), table.chunk_count()), (2, 3));
    assert_eq!((blobs[0].number, blobs[0].offset, blobs[0].stored_bytes), (0, 88, 300));
    assert_eq!((blobs[1].number, blobs[1].offset, blobs[1].stored_bytes), (1, 388, 22));
    assert_eq!((blobs[0].chunk_count(), blobs[0].plain_bytes()), (2, 207));
    assert_eq!(table.blobs_end(), 410);
    let chunks: Vec<TableChunk> = blobs[0].chunks().collect();
    assert_eq!(chunks[1], TableChunk { id: chunk_id(0xa2), start: 200, bytes: 7 });
    let pack = PackEntry { pack: PackId([9; 32]), bytes: 1000, epoch: 3 };
    let (id, last) = table.locations(pack).last().unwrap();
    assert_eq!(id, chunk_id(0xa3));
    assert_eq!((last.epoch, last.blob, last.blob_offset, last.start), (3, 1, 388, 0));
}

#[test]
fn every_limit_of_the_table_is_enforced() {
    let parse = |bytes: &[u8]| Table::parse(bytes).map(|table| table.chunk_count());
    let chunk_max = CHUNK_BYTES_MAX as u64;

    assert_eq!(parse(&one_blob(22, 1, 1)), Ok(1));
    assert_eq!(parse(&one_blob(BLOB_SEALED_BYTES_MAX as u64, 1, chunk_max)), Ok(1));
    assert!(breaks(parse(&one_blob(21, 1, 1)), "impossible length"));
    let sealed_max = BLOB_SEALED_BYTES_MAX as u64;
    assert!(breaks(parse(&one_blob(sealed_max + 1, 1, 1)), "impossible length"));
    assert!(breaks(parse(&one_blob(22, 0, 1)), "no chunks or too many"));
    assert!(breaks(parse(&one_blob(22, 65_537, 1)), "too long"));
    assert!(breaks(parse(&one_blob(22, 1, 0)), "empty"));
    assert!(breaks(parse(&one_blob(22, 1, chunk_max + 1)), "too long"));
    assert!(breaks(parse(&one_blob(22, 2, chunk_max / 2 + 1)), "holds too much"));
    assert!(breaks(parse(&[0]), "no blobs"));
    assert!(breaks(parse(&vec![0; PACK_TABLE_BYTES_MAX + 1]), "too long"));
    assert!(breaks(parse(&[two_blobs(), vec![0]].concat()), "follow the end"));
    assert!(breaks(parse(&[0x81, 0x00]), "not minimal"));
}

#[test]
fn blobs_longer_than_a_pack_are_corrupt() {
    let mut table = TableBuilder::default();
    for _ in 0..16 {
        table.push_blob(BLOB_SEALED_BYTES_MAX as u32, &[(chunk_id(1), 1)]);
    }

    assert!(breaks(Table::parse(&table.finish()).map(|_| ()), "longer than a pack"));
}

#[test]
fn the_trailer_has_the_bytes_of_the_spec() {
    let trailer = Trailer { table_offset: 0x0102, table_bytes: 0x30, padding_bytes: 0x11 };
    let pack_bytes = 0x0102 + 0x30 + 0x11 + 40;

    let bytes = trailer.encode();
    assert_eq!(hex(&bytes), "020100000000000030000000000000001100000000000000");
    assert_eq!(Trailer::decode(&bytes, pack_bytes), Ok(trailer));
    every_truncation_fails(&bytes, |bytes| Trailer::decode(bytes, pack_bytes));
}

#[test]
fn a_trailer_that_points_outside_the_pack_is_corrupt() {
    let decode = |table_offset, table_bytes, padding_bytes, pack_bytes| {
        Trailer::decode(&Trailer { table_offset, table_bytes, padding_bytes }.encode(), pack_bytes)
    };

    assert!(decode(88, 17, 0, 145).is_ok());
    assert!(breaks(decode(88, 17, 0, 146), "add up"));
    assert!(breaks(decode(87, 18, 0, 145), "inside the header"));
    assert!(breaks(decode(88, 16, 0, 144), "the table has"));
    let table_max = PACK_TABLE_BYTES_MAX as u64 + 16;
    assert!(decode(88, table_max, 0, 128 + table_max).is_ok());
    assert!(breaks(decode(88, table_max + 1, 0, 129 + table_max), "the table has"));
    assert!(breaks(decode(88, 17, 16, 161), "the padding has"));
    assert!(breaks(decode(88, 17, u64::MAX, 145), "the padding has"));
    assert!(breaks(decode(u64::MAX, 17, 0, 145), "as long"));
    assert!(breaks(decode(88, u64::MAX, 0, 145), "the table has"));
    let too_long = PACK_BYTES_MAX + 1;
    assert!(breaks(decode(too_long - 57, 17, 0, too_long), "as long"));
}

#[test]
fn padded_lengths_are_those_of_padme() {
    let golden =
        [(0, 0), (1, 1), (2, 2), (9, 10), (100, 104), (1000, 1024), (1_000_001, 1_015_808)];
    golden.into_iter().for_each(|(bytes, padded)| assert_eq!(padme(bytes), padded, "{bytes}"));
}

#[test]
fn padding_is_the_least_that_can_be_sealed() {
    for bytes in 88..3000 {
        let fits = |padding| padme(bytes + padding) == bytes + padding;
        let least = (0..).find(|padding| (*padding == 0 || *padding > 16) && fits(*padding));

        assert_eq!(Some(padding_for(bytes)), least, "{bytes}");
    }
}

proptest! {
    #[test]
    fn padding_is_none_or_can_be_sealed(bytes in 88..PACK_BYTES_MAX) {
        let padding = padding_for(bytes);

        prop_assert!(padding == 0 || padding > 16);
        prop_assert_eq!(padme(bytes + padding), bytes + padding);
        prop_assert!(padding <= bytes / 8 + 64);
    }

    #[test]
    fn every_table_survives(
        blobs in vec((22..5000u32, vec((any_chunk_id(), 1..4000u32), 1..20)), 1..20),
    ) {
        let mut builder = TableBuilder::default();
        blobs.iter().for_each(|(stored_bytes, chunks)| builder.push_blob(*stored_bytes, chunks));
        let bytes = builder.finish();

        let table = Table::parse(&bytes).unwrap();

        let read: Vec<(u32, Vec<(ChunkId, u32)>)> = table
            .blobs()
            .map(|blob| {
                let chunks = blob.chunks().map(|chunk| (chunk.id, chunk.bytes)).collect();
                (blob.stored_bytes, chunks)
            })
            .collect();
        prop_assert_eq!(read, blobs);
    }
}
