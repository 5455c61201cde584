use proptest::{collection::vec, prelude::*};

use super::*;
use crate::format::samples::{breaks, chunk_id, every_truncation_fails, hex};

const OLDER: Older = Older::Chunk { id: ChunkId([0xa1; 32]), slot: 5 };

fn patches() -> [(u32, Older, &'static [u8]); 3] {
    [(3, Older::Base, &[1, 2]), (7, OLDER, &[3]), (200, OLDER, &[4, 5, 6])]
}

#[test]
fn plain_pages_have_the_bytes_of_the_spec() {
    let [first, second] = [[0x0a; 512], [0x0b; 512]];

    let bytes = encode_plain(&[(2, &first), (130, &second)]).unwrap();

    let expected = format!("0102028001{}{}", "0a".repeat(512), "0b".repeat(512));
    assert_eq!(hex(&bytes), expected);
    let chunk = PageChunk::parse(&bytes, 512).unwrap();
    assert_eq!(chunk.get(1, 130), Ok(PageSlot::Plain(&second)));
    every_truncation_fails(&bytes, |bytes| PageChunk::parse(bytes, 512).map(|_| ()));
    assert!(PageChunk::parse(&bytes, 1024).is_err());
}

#[test]
fn patches_have_the_bytes_of_the_spec() {
    let bytes = encode_patches(&patches()).unwrap();

    let columns = ["030304c101", "000101", "000505", "020103", "010203040506"].concat();
    assert_eq!(hex(&bytes), format!("0201{}{columns}", "a1".repeat(32)));
    let chunk = PageChunk::parse(&bytes, 4096).unwrap();
    for (slot, (page, older, ops)) in patches().into_iter().enumerate() {
        assert_eq!(chunk.get(slot as u8, page), Ok(PageSlot::Patch { older, ops }));
    }
    every_truncation_fails(&bytes, |bytes| PageChunk::parse(bytes, 4096).map(|_| ()));
}

#[test]
fn a_slot_is_for_the_page_that_was_asked_for() {
    let bytes = encode_patches(&patches()).unwrap();
    let chunk = PageChunk::parse(&bytes, 4096).unwrap();

    assert!(breaks(chunk.get(0, 4), "another page"));
    assert!(breaks(chunk.get(3, 3), "no such slot"));
    assert_eq!(chunk.slots().len(), 3);
}

#[test]
fn every_rule_of_page_chunks_is_enforced_by_the_writer() {
    let page = [0; 512];
    let plain = |pages: &[u32]| {
        let pages: Vec<(u32, &[u8])> = pages.iter().map(|number| (*number, &page[..])).collect();
        encode_plain(&pages)
    };
    let many: Vec<u32> = (1..=65).collect();

    assert!(plain(&many[..64]).is_ok());
    assert!(breaks(plain(&many), "no slots or too many"));
    assert!(breaks(plain(&[]), "no slots or too many"));
    assert!(breaks(plain(&[0]), "do not ascend"));
    assert!(breaks(plain(&[2, 2]), "do not ascend"));
    assert!(plain(&[PAGE_COUNT_MAX]).is_ok());
    assert!(breaks(plain(&[PAGE_COUNT_MAX + 1]), "do not ascend"));
    assert!(breaks(encode_plain(&[(1, &page), (2, &page[1..])]), "differ in size"));
    let longest = vec![0; CHUNK_BYTES_MAX - 3];
    assert_eq!(encode_plain(&[(1, &longest)]).unwrap().len(), CHUNK_BYTES_MAX);
    let huge = vec![0; CHUNK_BYTES_MAX - 2];
    assert!(breaks(encode_plain(&[(1, &huge)]), "longer than a chunk"));
    let high = Older::Chunk { id: chunk_id(1), slot: 64 };
    assert!(breaks(encode_patches(&[(1, high, &[])]), "too high"));
}

#[test]
fn every_rule_of_page_chunks_is_enforced_by_the_reader() {
    let parse = |bytes: &[u8]| PageChunk::parse(bytes, 512).map(|_| ());

    assert!(parse(&[2, 0, 1, 9, 0, 0, 0]).is_ok());
    assert!(breaks(parse(&[2, 0, 1, 9, 1, 0, 0]), "reference is too high"));
    assert!(breaks(parse(&[2, 0, 1, 9, 0, 1, 0]), "base has no slots"));
    assert!(breaks(parse(&[2, 0, 1, 9, 0, 64, 0]), "slot is too high"));
    assert!(breaks(parse(&[2, 0, 1, 0, 0, 0, 0]), "do not ascend"));
    assert!(breaks(parse(&[2, 0, 0]), "no slots"));
    assert!(breaks(parse(&[2, 0, 65]), "too many slots"));
    assert!(breaks(parse(&[2, 65]), "too many references"));
    assert!(breaks(parse(&[2, 0, 1, 9, 0, 0, 0, 0]), "follow the end"));
    assert!(breaks(parse(&[2, 0, 1, 9, 0, 0, 0x81, 0x80, 0x80, 0x02]), "patch is too long"));
    assert!(matches!(parse(&[3]), Err(Error::Newer { .. })));
}

proptest! {
    #[test]
    fn every_chunk_of_patches_survives(
        steps in vec((1..1000u32, any::<Option<(u8, u8)>>(), vec(any::<u8>(), 0..20)), 1..=64),
    ) {
        let mut page = 0;
        let patches: Vec<(u32, Older, &[u8])> = steps
            .iter()
            .map(|(step, older, ops)| {
                page += step;
                let older = older.map_or(Older::Base, |(byte, slot)| Older::Chunk {
                    id: chunk_id(byte % 8),
                    slot: slot % 64,
                });
                (page, older, &ops[..])
            })
            .collect();
        let bytes = encode_patches(&patches).unwrap();

        let chunk = PageChunk::parse(&bytes, 4096).unwrap();

        let slots: Vec<(u32, PageSlot<'_>)> = patches
            .into_iter()
            .map(|(page, older, ops)| (page, PageSlot::Patch { older, ops }))
            .collect();
        prop_assert_eq!(chunk.slots(), slots);
    }
}
