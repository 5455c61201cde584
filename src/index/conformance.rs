//! What every index must pass, and the packs to try it with.

use super::{Batch, Index, IndexMut};
use crate::{
    format::table::TableBuilder,
    id::{ChunkId, ObjectId, PackId},
    location::{Location, PackEntry},
};

/// Checks the whole contract on an empty index.
pub(super) fn check(index: &mut dyn IndexMut) {
    an_empty_index_knows_nothing(index);
    what_was_added_is_found_in_the_order_asked(index);
    a_pack_added_twice_counts_once(index);
    a_chunk_in_two_packs_has_two_copies(index);
    a_forgotten_pack_takes_its_locations_along(index);
    a_pack_that_comes_back_is_found_again(index);
    visits_go_in_order_and_stop_when_told(index);
    a_pack_added_and_forgotten_at_once_is_forgotten(index);
}

/// An id that looks random and comes back from its number.
pub(super) fn chunk(number: u32) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A pack of two blobs for each pair of chunks: number, and the chunks it holds.
pub(super) fn pack(number: u8, chunks: &[u32]) -> (PackEntry, Vec<u8>) {
    let mut table = TableBuilder::default();
    for pair in chunks.chunks(2) {
        let chunks: Vec<(ChunkId, u32)> =
            pair.iter().map(|number| (chunk(*number), number % 1000 + 1)).collect();
        table.push_blob(100 + u32::from(number), &chunks);
    }
    (
        PackEntry { pack: PackId([number; 32]), bytes: 4000, epoch: u32::from(number) },
        table.finish(),
    )
}

pub(super) fn added(packs: &[(u8, &[u32])]) -> Batch {
    Batch {
        add: packs.iter().map(|(number, chunks)| pack(*number, chunks)).collect(),
        ..Batch::default()
    }
}

/// Where the pack says its chunk lies, worked out by hand.
fn location(number: u8, chunks: &[u32], at: usize) -> Location {
    let blob = at / 2;
    Location {
        pack: PackId([number; 32]),
        epoch: u32::from(number),
        blob: blob as u32,
        blob_offset: 88 + blob as u64 * (100 + u64::from(number)),
        blob_bytes: 100 + u32::from(number),
        start: if at.is_multiple_of(2) { 0 } else { chunks[at - 1] % 1000 + 1 },
        chunk_bytes: chunks[at] % 1000 + 1,
    }
}

fn an_empty_index_knows_nothing(index: &dyn Index) {
    assert_eq!(index.locate(&[chunk(1), chunk(2)]).unwrap(), [None, None]);
    assert!(index.copies(&chunk(1)).unwrap().is_empty());
    assert!(index.packs().unwrap().is_empty());
    assert!(index.applied().unwrap().is_empty());
    index.for_each(&mut |_, _| panic!("nothing to visit")).unwrap();
}

const FIRST: [u32; 5] = [10, 11, 12, 13, 14];

fn what_was_added_is_found_in_the_order_asked(index: &mut dyn IndexMut) {
    let mut batch = added(&[(1, &FIRST)]);
    batch.applied = vec![ObjectId([1; 32]), ObjectId([2; 32])];

    index.apply(&batch).unwrap();

    let asked = [chunk(13), chunk(99), chunk(10), chunk(13), chunk(14), chunk(98)];
    let at = |at| Some(location(1, &FIRST, at));
    assert_eq!(index.locate(&asked).unwrap(), [at(3), None, at(0), at(3), at(4), None]);
    assert_eq!(index.packs().unwrap(), [batch.add[0].0]);
    assert_eq!(index.applied().unwrap(), batch.applied);
    assert!(index.locate(&[]).unwrap().is_empty());
}

fn a_pack_added_twice_counts_once(index: &mut dyn IndexMut) {
    index.apply(&added(&[(1, &FIRST), (1, &FIRST)])).unwrap();

    assert_eq!(index.copies(&chunk(11)).unwrap(), [location(1, &FIRST, 1)]);
    assert_eq!(index.packs().unwrap().len(), 1);
}

fn a_chunk_in_two_packs_has_two_copies(index: &mut dyn IndexMut) {
    index.apply(&added(&[(2, &[12, 20]), (3, &[20, 12, 12])])).unwrap();

    let mut copies = index.copies(&chunk(12)).unwrap();
    copies.sort();
    let mut expected = vec![
        location(1, &FIRST, 2),
        location(2, &[12, 20], 0),
        location(3, &[20, 12, 12], 1),
        location(3, &[20, 12, 12], 2),
    ];
    expected.sort();
    assert_eq!(copies, expected);
    assert!(expected.contains(&index.locate(&[chunk(12)]).unwrap()[0].unwrap()));
}

fn a_forgotten_pack_takes_its_locations_along(index: &mut dyn IndexMut) {
    let remove = vec![PackId([1; 32]), PackId([77; 32])];
    index.apply(&Batch { remove, ..Batch::default() }).unwrap();

    assert_eq!(index.locate(&[chunk(10), chunk(11)]).unwrap(), [None, None]);
    assert_eq!(index.copies(&chunk(12)).unwrap().len(), 3);
    assert_eq!(index.packs().unwrap().len(), 2);
}

fn a_pack_that_comes_back_is_found_again(index: &mut dyn IndexMut) {
    index.apply(&added(&[(1, &FIRST)])).unwrap();

    assert_eq!(index.copies(&chunk(10)).unwrap(), [location(1, &FIRST, 0)]);
    assert_eq!(index.copies(&chunk(12)).unwrap().len(), 4);
}

fn visits_go_in_order_and_stop_when_told(index: &mut dyn IndexMut) {
    let mut seen = Vec::new();
    index
        .for_each(&mut |id, _| {
            seen.push(*id);
            true
        })
        .unwrap();

    let mut expected: Vec<ChunkId> = [10, 11, 12, 13, 14, 20].map(chunk).to_vec();
    expected.sort();
    assert_eq!(seen, expected);
    let mut visits = 0;
    index
        .for_each(&mut |_, _| {
            visits += 1;
            visits < 2
        })
        .unwrap();
    assert_eq!(visits, 2);
}

fn a_pack_added_and_forgotten_at_once_is_forgotten(index: &mut dyn IndexMut) {
    let mut batch = added(&[(5, &[50])]);
    batch.remove = vec![PackId([5; 32])];

    index.apply(&batch).unwrap();

    assert_eq!(index.locate(&[chunk(50)]).unwrap(), [None]);
}
