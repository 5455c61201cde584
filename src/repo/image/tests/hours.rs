//! Pages that change every hour, for many hours.

use std::ops::Range;

use super::*;

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
    }

    let mean = |hours: Range<usize>| stored[hours.clone()].iter().sum::<usize>() / hours.len();
    let (first, last) = (mean(0..10), mean(HOURS - 40..HOURS));
    assert!(last < 4 * first, "{last} bytes an hour, {first} in the beginning");
    archive.assert_holds(&image, &pages);
}
