//! Which chunks and base pages an image needs: by way of its patches, older versions included.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::{
    format::{
        image::Image,
        page_chunk::Older,
        page_map::{PageEntry, PageMap},
    },
    id::ChunkId,
    limits::PATCH_DEPTH_MAX,
    repo::image::{Error, corrupt, encode::Links, page_chunks::PageChunks},
};

/// What the pages of a map need.
pub struct Needs {
    /// For each chunk of the map's table: a bit for each slot that is needed.
    live: Vec<u64>,
    /// For each chunk of the table: how its slots go on.
    steps: Vec<Vec<Step>>,
}

/// Where the older version of a slot lies.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The slot is plain.
    End,
    Base,
    /// Place of a chunk in the table, and slot.
    Chunk(u32, u8),
    /// In a chunk that is not in the table.
    Unnamed,
}

/// Where the versions of a page end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Plain,
    Base,
}

impl Needs {
    /// Follows every page of the map. Reads each chunk of its table once, but for those whose links
    /// are known.
    pub fn of(map: &PageMap, chunks: &PageChunks, known: &Links) -> Result<Self, Error> {
        let index: HashMap<ChunkId, u32> = map.chunks.iter().copied().zip(0..).collect();
        let steps = map
            .chunks
            .par_iter()
            .map(|id| match known.get(id) {
                Some(slots) => Ok(slots.iter().map(|slot| step(*slot, &index)).collect()),
                None => Ok(chunks.get(id, 0)?.links().map(|slot| step(slot, &index)).collect()),
            })
            .collect::<Result<Vec<Vec<Step>>, Error>>()?;
        let mut live = vec![0; steps.len()];
        let needs = Self { live: Vec::new(), steps };
        for entry in &map.entries {
            let _ = needs.walk(entry, &mut |chunk, slot| live[chunk as usize] |= 1 << slot)?;
        }
        Ok(Self { live, ..needs })
    }

    /// Whether a chunk, by its place in the table, is needed at all.
    pub fn is_needed(&self, chunk: usize) -> bool {
        self.live[chunk] != 0
    }

    /// The pages that are made from a chunk of which less than half is needed.
    pub fn pages_in_mostly_dead_chunks(&self, map: &PageMap) -> Result<Vec<u32>, Error> {
        let mut pages = Vec::new();
        for entry in &map.entries {
            let mut keeps_dead = false;
            let _ = self.walk(entry, &mut |chunk, _| keeps_dead |= self.is_mostly_dead(chunk))?;
            if keeps_dead {
                pages.push(entry.page);
            }
        }
        Ok(pages)
    }

    /// How many base groups hold no page that the image needs.
    pub fn dead_base_groups(&self, map: &PageMap, image: &Image) -> Result<u32, Error> {
        let base_pages = image.base_pages.min(image.page_count);
        // Pages of each group that have moved elsewhere without leaving a need behind.
        let mut moved = vec![0; image.base_pages.div_ceil(image.group_pages.max(1)) as usize];
        for entry in map.entries.iter().take_while(|entry| entry.page <= base_pages) {
            if self.walk(entry, &mut |_, _| ())? == End::Plain {
                moved[((entry.page - 1) / image.group_pages) as usize] += 1;
            }
        }
        let is_dead = |(group, moved): (u32, &u32)| {
            let held = base_pages.saturating_sub(group * image.group_pages);
            *moved == held.min(image.group_pages)
        };
        Ok((0..).zip(&moved).filter(|group| is_dead(*group)).count() as u32)
    }

    fn is_mostly_dead(&self, chunk: u32) -> bool {
        let live = self.live[chunk as usize].count_ones() as usize;
        live * 2 < self.steps[chunk as usize].len()
    }

    /// Calls back with chunk and slot of every version of a page that lies in a page chunk.
    fn walk(&self, entry: &PageEntry, visit: &mut dyn FnMut(u32, u8)) -> Result<End, Error> {
        let (mut chunk, mut slot) = (entry.chunk, entry.slot);
        for _ in 0..=PATCH_DEPTH_MAX {
            visit(chunk, slot);
            match self.steps[chunk as usize].get(usize::from(slot)) {
                Some(Step::End) => return Ok(End::Plain),
                Some(Step::Base) => return Ok(End::Base),
                Some(Step::Chunk(older, older_slot)) => (chunk, slot) = (*older, *older_slot),
                Some(Step::Unnamed) => {
                    let why = "a patch refers to a chunk that no page map names";
                    return Err(corrupt(entry.page, why));
                }
                None => return Err(corrupt(entry.page, "a chunk has no such slot")),
            }
        }
        Err(corrupt(entry.page, "too many patches lead to a page"))
    }
}

/// A slot that nothing needs may go on in a chunk that was dropped.
fn step((_, older): (u32, Option<Older>), index: &HashMap<ChunkId, u32>) -> Step {
    match older {
        None => Step::End,
        Some(Older::Base) => Step::Base,
        Some(Older::Chunk { id, slot }) => {
            index.get(&id).map_or(Step::Unnamed, |chunk| Step::Chunk(*chunk, slot))
        }
    }
}
