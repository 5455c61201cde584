//! Pages that change every hour, for many hours.

use std::ops::Range;

use super::*;
use crate::format::page_map::PageEntry;

const HOURS: usize = 200;
const ROW_BYTES: usize = 40;

/// A page of a hundred rows.
fn page_of_rows(number: u32) -> Vec<u8> {
    (0..8).flat_map(|part| page(number * 8 + part)).collect()
}

/// Changes four bytes of one row, another one in each of a hundred hours.
fn sell(page: &mut [u8], number: usize, hour: usize) {
    let at = (hour * 57 + number * 31) % 100 * ROW_BYTES;
    page[at..at + 4].copy_from_slice(&(hour as u32 + 1).wrapping_mul(2_654_435_761).to_le_bytes());
}

/// Found on a shop's stock, of which every page changes nearly every hour: with four patches on its
/// way to the base, each further version was a patch against the same one, and longer every hour.
#[test]
fn a_page_that_changes_every_hour_costs_hardly_more_after_a_hundred_hours() {
    let mut archive = Archive::new();
    let mut pages: Pages = (1..=40).map(page_of_rows).collect();
    let mut image = archive.build(&pages, None, Storage::Incremental);
    let mut stored = Vec::new();
    for hour in 0..HOURS {
        let (before, (_, stored_before)) = (pages.clone(), archive.store.totals());
        for (number, page) in pages.iter_mut().enumerate() {
            sell(page, number, hour);
        }
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);
        stored.push(archive.store.totals().1 - stored_before);
        // A reader refuses a fifth patch on its way.
        if hour % 20 == 0 {
            archive.assert_holds(&image, &pages);
        }
    }

    let mean = |hours: Range<usize>| stored[hours.clone()].iter().sum::<usize>() / hours.len();
    let (first, last) = (mean(0..10), mean(HOURS - 40..HOURS));
    assert!(last < 4 * first, "{last} bytes an hour, {first} in the beginning");
    archive.assert_holds(&image, &pages);
}

/// A map of as many pages as chunks.
fn map_of(count: u32) -> PageMap {
    let id = |number: u32| {
        let mut id = ChunkId([9; 32]);
        id.0[..4].copy_from_slice(&number.to_le_bytes());
        id
    };
    let entry = |chunk| PageEntry { page: chunk + 1, chunk, slot: 0 };
    PageMap { chunks: (0..count).map(id).collect(), entries: (0..count).map(entry).collect() }
}

/// Of a thousand ids, 960 lie in pieces of 512, 256, 128 and 64.
#[test]
fn of_a_chunk_table_that_grew_only_the_end_is_stored_again() {
    let mut archive = Archive::new();
    let first = maps::store_map(&mut archive.store, &map_of(1000)).unwrap();
    let (_, stored_before) = archive.store.totals();

    let second = maps::store_map(&mut archive.store, &map_of(1010)).unwrap();

    let stored = archive.store.totals().1 - stored_before;
    let (columns, rest_of_the_table) = (1010 * 4, 50 * 32);
    assert!(stored < columns + rest_of_the_table + 300, "{stored}");
    assert_eq!((first.ids.len(), second.ids.len()), (1, 1));
    assert_eq!(archive.map(&first), map_of(1000));
    assert_eq!(archive.map(&second), map_of(1010));
}

#[test]
fn chunk_tables_of_every_length_come_back() {
    let mut archive = Archive::new();
    for count in [1, 63, 64, 65, 127, 128, 4095, 4096, 20_000] {
        let stored = maps::store_map(&mut archive.store, &map_of(count)).unwrap();

        assert_eq!(archive.map(&stored), map_of(count), "{count} chunks");
    }
}
