//! Images built and read back, against a model that keeps every page of every moment.

mod hours;

use std::{collections::HashSet, io, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    chunk::{Fetch, memory::MemoryChunks},
    crypto::{keys::Keys, secret::Secret32},
    format::{image::Image, page_map::PageMap, record::Storage},
    id::{ChunkId, RepositoryId},
};

const PAGE_BYTES: usize = 512;

fn keys() -> Arc<Keys> {
    let key = |byte| Secret32::new([byte; 32]);
    Arc::new(Keys {
        repository: RepositoryId([1; 32]),
        chunk: key(2),
        cut: key(3),
        page: key(4),
        identity: key(5),
        epochs: crate::crypto::keys::Epochs::new(vec![(1, key(6))]),
    })
}

/// Changed pages in memory.
struct Changed {
    numbers: Vec<u32>,
    bytes: Vec<u8>,
    page_bytes: usize,
}

impl ChangedPages for Changed {
    fn count(&self) -> u32 {
        self.numbers.len() as u32
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        into.copy_from_slice(&self.numbers[first as usize..][..into.len()]);
        Ok(())
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(&self.bytes[first as usize * self.page_bytes..][..into.len()]);
        Ok(())
    }
}

/// A database: its pages.
type Pages = Vec<Vec<u8>>;

/// A store, and the images in it.
struct Archive {
    keys: Arc<Keys>,
    store: MemoryChunks,
}

impl Archive {
    fn new() -> Self {
        let keys = keys();
        Self { store: MemoryChunks::new(keys.clone()), keys }
    }

    fn fetch(&self) -> Arc<dyn Fetch> {
        Arc::new(self.store.clone())
    }

    fn reader(&self, image: &Image) -> ImageReader {
        ImageReader::open(image, self.fetch()).unwrap()
    }

    /// Stores the pages on top of an older image, whose pages are given with it.
    fn build(
        &mut self,
        pages: &Pages,
        parent: Option<(&Image, &Pages)>,
        storage: Storage,
    ) -> Image {
        let is_changed = |at: &usize| match parent {
            Some((_, older)) => older.get(*at) != pages.get(*at),
            None => true,
        };
        let changed: Vec<usize> = (0..pages.len()).filter(is_changed).collect();
        let page_bytes = pages.first().map_or(0, Vec::len);
        let changed = Changed {
            numbers: changed.iter().map(|at| *at as u32 + 1).collect(),
            bytes: changed.iter().flat_map(|at| pages[*at].clone()).collect(),
            page_bytes,
        };
        let mut identity = self.keys.image_identity(page_bytes as u32, pages.len() as u32);
        pages.iter().for_each(|page| identity.update(&self.keys.page_hash(page)));
        let new = NewImage {
            page_bytes: page_bytes as u32,
            page_count: pages.len() as u32,
            identity: identity.finish(),
            method: Method::Pages,
            damaged: false,
            unchecked: true,
            begun: (0, 0),
            witnesses: Vec::new(),
            changed: &changed,
        };
        // What a run stores cannot be fetched before it is durable.
        let fetch = Arc::new(self.store.frozen());
        let parent = parent.map(|(image, _)| ImageReader::open(image, fetch).unwrap());
        build(&new, parent.as_ref(), storage, &mut self.store).unwrap()
    }

    /// Reads the image back in both ways from nothing but the chunks that it says it needs.
    fn assert_holds(&self, image: &Image, pages: &Pages) {
        let mut needed = HashSet::new();
        self.reader(image)
            .for_each_chunk(&mut |id| {
                let _ = needed.insert(id);
            })
            .unwrap();
        let reader = ImageReader::open(image, Arc::new(self.only(&needed))).unwrap();
        for (at, page) in pages.iter().enumerate() {
            assert_eq!(&reader.page(at as u32 + 1).unwrap(), page, "page {}", at + 1);
        }
        assert!(reader.page(pages.len() as u32 + 1).is_err());
        reader.verify(&self.keys).unwrap();
        assert_eq!(Image::decode(&image.encode().unwrap()).as_ref(), Ok(image));
    }

    fn only(&self, needed: &HashSet<ChunkId>) -> MemoryChunks {
        let mut copy = MemoryChunks::new(self.keys.clone());
        for id in needed {
            let chunk = self.store.get(id).unwrap();
            let _ = crate::chunk::Store::put(&mut copy, &chunk).unwrap();
        }
        copy
    }

    fn map(&self, stream: &crate::format::stream::Stream) -> PageMap {
        if stream.bytes == 0 {
            return PageMap::default();
        }
        PageMap::decode(&stream::read(&self.store, stream, u64::MAX).unwrap()).unwrap()
    }
}

fn page(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..PAGE_BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

fn database(page_count: u32) -> Pages {
    (1..=page_count).map(page).collect()
}

/// Changes a few bytes of a page, differently for each round.
fn touch(pages: &mut Pages, number: usize, round: u8) {
    let at = usize::from(round) * 37 % (PAGE_BYTES - 8);
    pages[number - 1][at..at + 4].fill(round);
}

/// Changes so much of a page that two such patches are too much for one.
fn scribble(pages: &mut Pages, number: usize, round: u8) {
    let at = usize::from(round) % 6 * 78;
    pages[number - 1][at..at + 76].copy_from_slice(&page(u32::from(round) + 700)[..76]);
}

#[test]
fn an_empty_database_is_an_image_without_chunks() {
    let mut archive = Archive::new();

    let image = archive.build(&Vec::new(), None, Storage::Incremental);

    assert_eq!((image.page_bytes, image.page_count), (0, 0));
    assert_eq!(archive.store.totals().0, 0);
    archive.assert_holds(&image, &Vec::new());
}

#[test]
fn a_few_changed_bytes_cost_a_few_stored_bytes() {
    let mut archive = Archive::new();
    let first = database(2000);
    let base = archive.build(&first, None, Storage::Incremental);
    let (_, before) = archive.store.totals();
    let mut second = first.clone();
    for number in [1, 700, 701, 2000] {
        touch(&mut second, number, 9);
    }

    let image = archive.build(&second, Some((&base, &first)), Storage::Incremental);

    let (_, after) = archive.store.totals();
    assert!(after - before < 200, "{} bytes", after - before);
    assert_eq!(image.base, base.base);
    archive.assert_holds(&image, &second);
    archive.assert_holds(&base, &first);
}

#[test]
fn no_page_depends_on_more_than_four_patches() {
    let mut archive = Archive::new();
    let mut pages = database(600);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    let mut longest = 0;
    for round in 1..30 {
        let before = pages.clone();
        scribble(&mut pages, 77, round);
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);

        let reader = archive.reader(&image);
        let chain = reader.versions(77, &reader.group_of(77)).unwrap().chain;
        assert!(chain.len() <= 5, "{} versions after {round} rounds", chain.len());
        longest = longest.max(chain.len());
    }
    assert_eq!(longest, 5);
    archive.assert_holds(&image, &pages);
}

#[test]
fn the_recent_map_is_folded_before_its_copies_outgrow_the_folded_one() {
    let mut archive = Archive::new();
    let mut pages = database(3000);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    let mut folds = 0;
    for round in 1..60 {
        let before = pages.clone();
        for number in 0..20 {
            touch(&mut pages, 1 + usize::from(round) * 20 + number, round);
        }
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);

        assert!(image.recent_bytes_written <= image.folded.bytes);
        folds += u32::from(image.recent.bytes == 0);
    }
    assert!((5..25).contains(&folds), "{folds} folds");
    archive.assert_holds(&image, &pages);
}

#[test]
fn a_database_that_shrinks_and_grows_again_shows_no_stale_page() {
    let mut archive = Archive::new();
    let full = database(900);
    let first = archive.build(&full, None, Storage::Incremental);
    let mut changed = full.clone();
    touch(&mut changed, 850, 3);
    let second = archive.build(&changed, Some((&first, &full)), Storage::Incremental);
    let short: Pages = changed[..800].to_vec();

    let third = archive.build(&short, Some((&second, &changed)), Storage::Incremental);
    let fourth = archive.build(&full, Some((&third, &short)), Storage::Incremental);

    archive.assert_holds(&third, &short);
    archive.assert_holds(&fourth, &full);
}

#[test]
fn a_new_base_is_made_when_most_pages_changed_and_keeps_groups_that_did_not() {
    let mut archive = Archive::new();
    let first = database(2048);
    let image = archive.build(&first, None, Storage::Incremental);
    let mut second = first.clone();
    for number in 1..=1100 {
        second[number - 1] = page(number as u32 + 5000);
    }

    let rebased = archive.build(&second, Some((&image, &first)), Storage::Incremental);

    assert_eq!(rebased.folded.bytes + rebased.recent.bytes, 0);
    let (old, new) = (archive.reader(&image), archive.reader(&rebased));
    assert_eq!(old.base()[3], new.base()[3]);
    assert_ne!(old.base()[0], new.base()[0]);
    archive.assert_holds(&rebased, &second);
}

#[test]
fn pages_of_another_size_are_another_database() {
    let mut archive = Archive::new();
    let first = database(100);
    let image = archive.build(&first, None, Storage::Incremental);
    let second: Pages = (0..40).map(|n| [page(n), page(n + 1)].concat()).collect();

    let other = archive.build(&second, Some((&image, &first)), Storage::Incremental);

    assert_eq!(other.page_bytes, 1024);
    archive.assert_holds(&other, &second);
}

#[test]
fn a_full_snapshot_leaves_mostly_dead_chunks_behind() {
    let mut archive = Archive::new();
    let mut pages = database(3000);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    // Sixty pages change together, and then most of them beyond recognition: their first chunk is
    // needed for a few pages only.
    for (round, numbers) in [(1, 1..=60), (2, 1..=55)] {
        let before = pages.clone();
        for number in numbers {
            match round {
                1 => touch(&mut pages, number, 1),
                _ => pages[number - 1] = page(number as u32 + 9000),
            }
        }
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);
    }
    let first_chunk = archive.map(&image.folded).chunks[0];

    let full = archive.build(&pages.clone(), Some((&image, &pages)), Storage::Full);

    assert!(!archive.map(&full.folded).chunks.contains(&first_chunk));
    assert_eq!(full.recent.bytes, 0);
    archive.assert_holds(&full, &pages);
}

#[test]
fn a_full_snapshot_makes_a_new_base_once_most_groups_are_dead() {
    let mut archive = Archive::new();
    let mut pages = database(2048);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    for step in 0..3 {
        let before = pages.clone();
        for number in step * 600 + 1..=step * 600 + 600 {
            pages[number - 1] = page(number as u32 + 9000);
        }
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);
    }

    let full = archive.build(&pages.clone(), Some((&image, &pages)), Storage::Full);

    assert_eq!(full.folded.bytes, 0);
    assert_ne!(full.base, image.base);
    archive.assert_holds(&full, &pages);
}

/// Found by the histories below: the chunk stays for one page, and its other slot, which nothing
/// needs, goes on in a chunk that an earlier full snapshot had dropped.
#[test]
fn a_needless_slot_may_go_on_in_a_chunk_that_is_gone() {
    let mut archive = Archive::new();
    let mut pages = database(200);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    for (round, numbers) in [(1, &[6][..]), (2, &[5, 6])] {
        let before = pages.clone();
        numbers.iter().for_each(|number| scribble(&mut pages, *number, round));
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);
    }
    let before = pages.clone();
    pages[5] = page(9000);
    image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);

    let once = archive.build(&pages, Some((&image, &pages)), Storage::Full);
    let twice = archive.build(&pages, Some((&once, &pages)), Storage::Full);

    archive.assert_holds(&once, &pages);
    archive.assert_holds(&twice, &pages);
}

#[test]
fn a_full_snapshot_of_an_empty_database_is_empty() {
    let mut archive = Archive::new();
    let empty = archive.build(&Vec::new(), None, Storage::Incremental);

    let full = archive.build(&Vec::new(), Some((&empty, &Vec::new())), Storage::Full);

    assert_eq!(full, empty);
}

#[test]
fn without_changes_nothing_is_stored() {
    let mut archive = Archive::new();
    let pages = database(300);
    let image = archive.build(&pages, None, Storage::Incremental);
    let before = archive.store.totals();

    let again = archive.build(&pages, Some((&image, &pages)), Storage::Incremental);

    assert_eq!(again, image);
    assert_eq!(archive.store.totals(), before);
}

#[test]
fn a_lost_chunk_is_missing_and_names_itself() {
    let mut archive = Archive::new();
    let pages = database(2048);
    let image = archive.build(&pages, None, Storage::Incremental);
    let lost = archive.reader(&image).base()[2];
    archive.store.lose(&lost);

    let reader = archive.reader(&image);

    assert!(reader.page(512).is_ok());
    let missing = |result: Result<(), Error>| match result {
        Err(Error::Chunk(chunk::Error::Missing(id))) => id == lost,
        _ => false,
    };
    assert!(missing(reader.page(1100).map(drop)));
    assert!(missing(reader.verify(&archive.keys)));
}

#[test]
fn an_image_of_authentic_chunks_in_the_wrong_places_is_noticed() {
    let mut archive = Archive::new();
    let pages = database(2048);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    let mut ids = archive.reader(&image).base().to_vec();
    ids.swap(0, 1);
    image.base = maps::store_ids(&mut archive.store, &ids).unwrap();

    let verified = archive.reader(&image).verify(&archive.keys);

    assert!(matches!(verified, Err(Error::OtherIdentity)));
}

#[test]
fn a_patch_against_a_chunk_that_no_map_names_is_corrupt() {
    let mut archive = Archive::new();
    let mut pages = database(600);
    let mut image = archive.build(&pages, None, Storage::Incremental);
    for round in 1..20 {
        let before = pages.clone();
        scribble(&mut pages, 5, round);
        image = archive.build(&pages, Some((&image, &before)), Storage::Incremental);
        if round > 2 && image.recent.bytes == 0 {
            break;
        }
    }
    let whole = archive.map(&image.folded);
    let used = whole.get(5).unwrap().chunk as usize;
    let poor = maps::keep_needed(&whole, |chunk| chunk == used);
    image.folded = maps::store_map(&mut archive.store, &poor).unwrap();

    let read = archive.reader(&image).page(5);

    assert!(matches!(read, Err(Error::Format(_))));
}

/// What happens to a database between two snapshots.
#[derive(Debug, Clone)]
enum Event {
    Touch(Vec<(u16, u8)>),
    Rewrite(Vec<u16>),
    Grow(u8),
    Shrink(u8),
}

fn events() -> impl Strategy<Value = Vec<(Event, bool)>> {
    let event = prop_oneof![
        4 => prop::collection::vec((any::<u16>(), any::<u8>()), 0..90).prop_map(Event::Touch),
        2 => prop::collection::vec(any::<u16>(), 0..30).prop_map(Event::Rewrite),
        1 => any::<u8>().prop_map(Event::Grow),
        1 => any::<u8>().prop_map(Event::Shrink),
    ];
    prop::collection::vec((event, prop::bool::weighted(0.15)), 1..12)
}

fn happen(pages: &mut Pages, event: &Event, round: u8) {
    let count = pages.len();
    match event {
        Event::Touch(touched) if count > 0 => touched
            .iter()
            .for_each(|(at, byte)| touch(pages, usize::from(*at) % count + 1, byte ^ round)),
        Event::Rewrite(numbers) if count > 0 => numbers.iter().for_each(|at| {
            pages[usize::from(*at) % count] = page(u32::from(*at) + u32::from(round) * 70_000);
        }),
        Event::Grow(by) => pages.extend((0..u32::from(*by)).map(|n| page(n + 80_000))),
        Event::Shrink(by) => pages.truncate(count.saturating_sub(usize::from(*by))),
        Event::Touch(_) | Event::Rewrite(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_moment_of_any_history_comes_back(start in 0..1500u32, events in events()) {
        let mut archive = Archive::new();
        let mut moments: Vec<(Image, Pages)> = Vec::new();
        let mut pages = database(start);
        moments.push((archive.build(&pages, None, Storage::Incremental), pages.clone()));

        for (round, (event, is_full)) in events.iter().enumerate() {
            happen(&mut pages, event, round as u8);
            let storage = if *is_full { Storage::Full } else { Storage::Incremental };
            let (image, older) = moments.last().expect("the first moment is there");
            let image = archive.build(&pages, Some((image, older)), storage);
            moments.push((image, pages.clone()));
        }

        for (image, pages) in &moments {
            archive.assert_holds(image, pages);
        }
    }
}
