//! A new image, from the pages that changed and the image before it.
//! Spec: `format-spec/50-page-map.md`, "Rules for writers".

use std::collections::HashSet;

use crate::{
    chunk::Store,
    format::{image::Image, page_map::PageMap, record::Storage, stream::Stream},
    limits::RECENT_MAP_BYTES_MAX,
    repo::image::{
        Error, ImageReader, NewImage,
        base::{group_pages, store_base},
        changed::ChangedCursor,
        encode::{Against, Encoded, Links, PageEncoder, WINDOW_BYTES},
        maps::{
            count_pages, keep_needed, merge, store_ids, store_map, table_bytes_kept, without_named,
        },
        needs::Needs,
    },
};

/// Stores the image and returns its description.
///
/// Without a parent, `changed` must be all pages; with one, what differs from the parent's image.
/// What comes back is complete and proven; it is durable once the run that stores it commits.
pub fn build(
    new: &NewImage<'_>,
    parent: Option<&ImageReader>,
    storage: Storage,
    store: &mut dyn Store,
) -> Result<Image, Error> {
    if new.page_count == 0 {
        // An empty database has no pages, and no page size to count them by.
        return Ok(without_pages(new));
    }
    // Pages of another size are pages of another database.
    let parent = parent.filter(|parent| parent.image().page_bytes == new.page_bytes);
    match parent {
        Some(parent) if !wants_base(new, parent, storage)? => {
            Increment { new, parent, storage }.store(store)
        }
        _ => on_new_base(new, parent, store),
    }
}

/// Whether a new base is due.
fn wants_base(new: &NewImage<'_>, parent: &ImageReader, storage: Storage) -> Result<bool, Error> {
    let most_changed = u64::from(new.changed.count()) * 2 > u64::from(new.page_count);
    if most_changed || storage == Storage::Incremental {
        return Ok(most_changed);
    }
    let image = parent.image();
    let (folded, recent) = parent.maps();
    let map = merge(folded, recent, image.page_count);
    let dead = Needs::of(&map, parent.chunks(), &Links::new())?.dead_base_groups(&map, image)?;
    let groups = image.base_pages.div_ceil(image.group_pages.max(1));
    Ok(u64::from(dead) * 2 > u64::from(groups))
}

fn on_new_base(
    new: &NewImage<'_>,
    parent: Option<&ImageReader>,
    store: &mut dyn Store,
) -> Result<Image, Error> {
    let ids = store_base(new, parent, store)?;
    Ok(Image {
        group_pages: group_pages(new.page_bytes),
        base_pages: new.page_count,
        base: store_ids(store, &ids)?,
        ..without_pages(new)
    })
}

fn without_pages(new: &NewImage<'_>) -> Image {
    Image {
        page_bytes: new.page_bytes,
        page_count: new.page_count,
        identity: new.identity,
        group_pages: 1,
        base_pages: 0,
        base: Stream::default(),
        folded: Stream::default(),
        recent: Stream::default(),
        recent_bytes_written: 0,
        method: new.method,
        damaged: new.damaged,
        unchecked: new.unchecked,
        begun: new.begun,
        witnesses: new.witnesses.clone(),
    }
}

/// An image on the base of its parent.
struct Increment<'a> {
    new: &'a NewImage<'a>,
    parent: &'a ImageReader,
    storage: Storage,
}

impl Increment<'_> {
    fn store(&self, store: &mut dyn Store) -> Result<Image, Error> {
        let older = self.parent.image();
        let page_count = self.new.page_count;
        let (folded, recent) = self.parent.maps();
        if self.storage == Storage::Incremental
            && self.new.changed.count() == 0
            && page_count == older.page_count
        {
            let maps = (older.folded.clone(), older.recent.clone());
            return Ok(self.image(maps, older.recent_bytes_written));
        }
        let changed = self.store_changed(store)?;
        let recent = without_named(&merge(recent, &changed.map, page_count), folded);
        self.check_coverage(folded, &recent)?;
        let recent_bytes = recent.encode()?.len() as u64;
        let written = older.recent_bytes_written + recent_bytes;
        let fold_bytes = older.folded.bytes - table_bytes_kept(folded);
        let folds = written > fold_bytes || recent_bytes > RECENT_MAP_BYTES_MAX;
        let folded = match self.storage {
            Storage::Full => self.refresh(store, merge(folded, &recent, page_count), changed)?,
            Storage::Incremental if folds => {
                self.drop_needless(merge(folded, &recent, page_count), &changed.links)?
            }
            Storage::Incremental => {
                let recent = store_map(store, &recent)?;
                return Ok(self.image((older.folded.clone(), recent), written));
            }
        };
        Ok(self.image((store_map(store, &folded)?, Stream::default()), 0))
    }

    fn image(&self, (folded, recent): (Stream, Stream), recent_bytes_written: u64) -> Image {
        let older = self.parent.image();
        Image {
            group_pages: older.group_pages,
            base_pages: older.base_pages,
            base: older.base.clone(),
            folded,
            recent,
            recent_bytes_written,
            ..without_pages(self.new)
        }
    }

    fn store_changed(&self, store: &mut dyn Store) -> Result<Encoded, Error> {
        // A full snapshot is free of older changes as far as that is cheap.
        let against = match self.storage {
            Storage::Incremental => Against::AnyVersion,
            Storage::Full => Against::Base,
        };
        let page_bytes = self.new.page_bytes as usize;
        let mut encoder = PageEncoder::new(self.parent, against, page_bytes);
        let mut cursor = ChangedCursor::new(self.new.changed, page_bytes);
        let mut pages = Vec::new();
        loop {
            let numbers = cursor.take(u32::MAX, WINDOW_BYTES / page_bytes, &mut pages)?;
            if numbers.is_empty() {
                return encoder.finish(store);
            }
            encoder.put(store, &numbers, &pages)?;
        }
    }

    /// Every page must have a place: in a map, or in the base.
    fn check_coverage(&self, folded: &PageMap, recent: &PageMap) -> Result<(), Error> {
        let (base_pages, page_count) = (self.parent.image().base_pages, self.new.page_count);
        let beyond = base_pages.saturating_add(1)..page_count.saturating_add(1);
        if count_pages(&beyond, folded, recent) == beyond.len() {
            Ok(())
        } else {
            Err(Error::NoPlace { page: page_count })
        }
    }

    /// Stores again what keeps mostly dead chunks alive, and drops the chunks that nothing needs.
    fn refresh(
        &self,
        store: &mut dyn Store,
        map: PageMap,
        changed: Encoded,
    ) -> Result<PageMap, Error> {
        let page_bytes = self.new.page_bytes as usize;
        let needs = Needs::of(&map, &self.parent.chunks_of(&map), &changed.links)?;
        let mut pages = needs.pages_in_mostly_dead_chunks(&map)?;
        // The parent knows only the former content of pages that changed.
        pages.retain(|page| changed.map.get(*page).is_none());
        let mut encoder = PageEncoder::new(self.parent, Against::Base, page_bytes);
        for numbers in pages.chunks(WINDOW_BYTES / page_bytes) {
            let mut bytes = Vec::with_capacity(numbers.len() * page_bytes);
            for number in numbers {
                bytes.extend(self.parent.page(*number)?);
            }
            encoder.put(store, numbers, &bytes)?;
        }
        let mut refreshed = encoder.finish(store)?;
        let map = merge(&map, &refreshed.map, self.new.page_count);
        refreshed.links.extend(changed.links);
        let needs = Needs::of(&map, &self.parent.chunks_of(&map), &refreshed.links)?;
        Ok(keep_needed(&map, |chunk| needs.is_needed(chunk)))
    }

    /// Drops the chunks that nothing needs, where there may be many.
    fn drop_needless(&self, map: PageMap, links: &Links) -> Result<PageMap, Error> {
        let direct: HashSet<u32> = map.entries.iter().map(|entry| entry.chunk).collect();
        if direct.len() * 2 >= map.chunks.len() {
            return Ok(map);
        }
        let needs = Needs::of(&map, &self.parent.chunks_of(&map), links)?;
        Ok(keep_needed(&map, |chunk| needs.is_needed(chunk)))
    }
}
