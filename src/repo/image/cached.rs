//! One stored image as a file that is read here and there: base groups are kept a while.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    chunk::Chunk,
    limits::MIB,
    repo::image::{Error, ImageReader},
};

/// Base groups that are kept, in bytes: of the usual size, 64 of them.
const KEPT_BYTES_MAX: usize = 16 * MIB;

/// Single pages that are kept, in bytes.
const PAGES_BYTES_MAX: usize = 8 * MIB;

/// An opened image with a bounded cache; shared between threads.
///
/// Without it every page would verify the whole group that it lies in again, and put its patches
/// together.
pub struct CachedImage {
    reader: ImageReader,
    kept: Mutex<Kept>,
    pages: Mutex<KeptPages>,
}

/// The pages that were asked for last; of two halves, the older one goes at once.
#[derive(Default)]
struct KeptPages {
    young: HashMap<u32, Arc<Vec<u8>>>,
    old: HashMap<u32, Arc<Vec<u8>>>,
}

/// The groups that were asked for last, the newest first.
#[derive(Default)]
struct Kept {
    groups: VecDeque<(u32, Chunk)>,
    bytes: usize,
}

impl CachedImage {
    pub fn new(reader: ImageReader) -> Self {
        Self { reader, kept: Mutex::default(), pages: Mutex::default() }
    }

    /// The image below.
    pub const fn reader(&self) -> &ImageReader {
        &self.reader
    }

    /// Length of the image as a file.
    pub fn file_bytes(&self) -> u64 {
        let image = self.reader.image();
        u64::from(image.page_bytes) * u64::from(image.page_count)
    }

    /// Returns a page, counted from 1.
    pub fn page(&self, number: u32) -> Result<Arc<Vec<u8>>, Error> {
        if let Some(page) = self.pages().get(number) {
            return Ok(page);
        }
        let page = Arc::new(self.assemble_page(number)?);
        let count_max = PAGES_BYTES_MAX / 2 / page.len().max(1);
        self.pages().keep(number, Arc::clone(&page), count_max);
        Ok(page)
    }

    fn assemble_page(&self, number: u32) -> Result<Vec<u8>, Error> {
        let index = self.reader.group_index(number);
        let kept = self.lock().get(index);
        let was_kept = kept.is_some();
        let group = match kept {
            Some(chunk) => self.reader.group_from(index, chunk),
            None => self.reader.group_of(number),
        };
        let page = self.reader.versions(number, &group)?.into_page();
        if let (false, Some(chunk)) = (was_kept, group.into_chunk()) {
            self.lock().keep(index, chunk);
        }
        Ok(page)
    }

    /// Reads as a file is read; returns how many bytes there were before the end.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let left = self.file_bytes().saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let page_bytes = u64::from(self.reader.image().page_bytes);
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            // Inside the image, so there is a page size, and the number fits.
            let page = self.page((at / page_bytes) as u32 + 1)?;
            let rest = &page[(at % page_bytes) as usize..];
            let piece = rest.len().min(wanted - done);
            into[done..done + piece].copy_from_slice(&rest[..piece]);
            done += piece;
        }
        Ok(done)
    }

    fn pages(&self) -> MutexGuard<'_, KeptPages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptPages {
    fn get(&mut self, number: u32) -> Option<Arc<Vec<u8>>> {
        self.young.get(&number).or_else(|| self.old.get(&number)).cloned()
    }

    fn keep(&mut self, number: u32, page: Arc<Vec<u8>>, count_max: usize) {
        if self.young.len() >= count_max {
            self.old = std::mem::take(&mut self.young);
        }
        let _ = self.young.insert(number, page);
    }
}

impl Kept {
    fn get(&mut self, index: u32) -> Option<Chunk> {
        let at = self.groups.iter().position(|(kept, _)| *kept == index)?;
        let group = self.groups.remove(at)?;
        let chunk = group.1.clone();
        self.groups.push_front(group);
        Some(chunk)
    }

    fn keep(&mut self, index: u32, chunk: Chunk) {
        if self.groups.iter().any(|(kept, _)| *kept == index) {
            return;
        }
        self.bytes += chunk.len();
        self.groups.push_front((index, chunk));
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.groups.pop_back()
        {
            self.bytes -= oldest.len();
        }
    }
}
