//! Page chunks on their way from the store to whoever asks for a page: decoded, kept a while.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    chunk::Fetch,
    format::page_chunk::{Older, PageChunk, PageSlot},
    id::ChunkId,
    limits::MIB,
    repo::image::{Error, corrupt},
};

/// Half of what is kept at most.
const GENERATION_BYTES_MAX: usize = 16 * MIB;

/// A decoded page chunk that owns its bytes.
///
/// It does not keep the blob that the chunk came in, which may be a hundred times as long.
pub struct PageSlots {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

struct Slot {
    page: u32,
    /// Nothing: a plain page.
    older: Option<Older>,
    start: usize,
    end: usize,
}

impl PageSlots {
    fn parse(chunk: &[u8], page_bytes: u32) -> Result<Self, Error> {
        let parsed = PageChunk::parse(chunk, page_bytes)?;
        let mut slots = Vec::with_capacity(parsed.slots().len());
        let mut bytes = Vec::new();
        for (page, slot) in parsed.slots() {
            let (older, content) = match slot {
                PageSlot::Plain(content) => (None, content),
                PageSlot::Patch { older, ops } => (Some(*older), ops),
            };
            let start = bytes.len();
            bytes.extend_from_slice(content);
            slots.push(Slot { page: *page, older, start, end: bytes.len() });
        }
        Ok(Self { bytes, slots })
    }

    /// Returns what the slot holds for this page.
    pub fn get(&self, slot: u8, page: u32) -> Result<PageSlot<'_>, Error> {
        match self.slots.get(usize::from(slot)) {
            Some(slot) if slot.page == page => Ok(self.content(slot)),
            _ => Err(corrupt(page, "a slot does not hold the page")),
        }
    }

    /// The page of every slot, and where its older version lies, if it has one.
    pub fn links(&self) -> impl Iterator<Item = (u32, Option<Older>)> {
        self.slots.iter().map(|slot| (slot.page, slot.older))
    }

    fn content(&self, slot: &Slot) -> PageSlot<'_> {
        let ops = &self.bytes[slot.start..slot.end];
        match slot.older {
            Some(older) => PageSlot::Patch { older, ops },
            None => PageSlot::Plain(ops),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>() + 128
    }
}

/// Fetches the page chunks of one image, and keeps those that were asked for of late.
pub struct PageChunks {
    fetch: Arc<dyn Fetch>,
    page_bytes: u32,
    /// The chunks that the image's maps name: no other may be part of it.
    named: HashSet<ChunkId>,
    kept: Mutex<Generations>,
}

/// What was asked for since the last turn, and what had been before it.
#[derive(Default)]
struct Generations {
    young: HashMap<ChunkId, Arc<PageSlots>>,
    old: HashMap<ChunkId, Arc<PageSlots>>,
    young_bytes: usize,
}

impl PageChunks {
    pub fn new(fetch: Arc<dyn Fetch>, page_bytes: u32, named: HashSet<ChunkId>) -> Self {
        Self { fetch, page_bytes, named, kept: Mutex::default() }
    }

    /// Returns a chunk of the image.
    pub fn get(&self, id: &ChunkId, page: u32) -> Result<Arc<PageSlots>, Error> {
        if let Some(slots) = self.kept(id) {
            return Ok(slots);
        }
        if !self.named.contains(id) {
            return Err(corrupt(page, "a patch refers to a chunk that no page map names"));
        }
        // Fetched without the lock: two threads may fetch one chunk, none waits for another's.
        let slots = Arc::new(PageSlots::parse(&self.fetch.get(id)?, self.page_bytes)?);
        self.lock().keep(*id, slots.clone());
        Ok(slots)
    }

    fn kept(&self, id: &ChunkId) -> Option<Arc<PageSlots>> {
        let mut kept = self.lock();
        if let Some(slots) = kept.young.get(id) {
            return Some(slots.clone());
        }
        let slots = kept.old.remove(id)?;
        kept.keep(*id, slots.clone());
        Some(slots)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, id: ChunkId, slots: Arc<PageSlots>) {
        self.young_bytes += slots.memory_bytes();
        let _ = self.young.insert(id, slots);
        if self.young_bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}
