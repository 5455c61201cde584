//! The changed pages of a new image, in order, a piece at a time.

use crate::repo::image::{ChangedPages, Error};

/// Page numbers read ahead.
const NUMBERS_AHEAD: u32 = 16_384;

/// Walks over changed pages.
pub struct ChangedCursor<'a> {
    pages: &'a dyn ChangedPages,
    page_bytes: usize,
    /// Changed pages taken so far.
    taken: u32,
    /// Numbers of the pages that come next; empty at the end.
    ahead: Vec<u32>,
    /// How many of those are taken.
    used: usize,
}

impl<'a> ChangedCursor<'a> {
    pub const fn new(pages: &'a dyn ChangedPages, page_bytes: usize) -> Self {
        Self { pages, page_bytes, taken: 0, ahead: Vec::new(), used: 0 }
    }

    /// Takes the next pages below the given number, at most so many: their numbers and bytes.
    /// None are left if there are no numbers and `below` was beyond the last page.
    pub fn take(
        &mut self,
        below: u32,
        count_max: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<u32>, Error> {
        let first = self.taken;
        let mut numbers = Vec::new();
        while numbers.len() < count_max {
            match self.next_number()? {
                Some(number) if number < below => numbers.push(number),
                _ => break,
            }
            self.used += 1;
            self.taken += 1;
        }
        bytes.resize(numbers.len() * self.page_bytes, 0);
        if !numbers.is_empty() {
            self.pages.read(first, bytes).map_err(Error::Captured)?;
        }
        Ok(numbers)
    }

    fn next_number(&mut self) -> Result<Option<u32>, Error> {
        if self.used == self.ahead.len() {
            let left = self.pages.count() - self.taken;
            self.ahead.resize(left.min(NUMBERS_AHEAD) as usize, 0);
            self.used = 0;
            self.pages.numbers(self.taken, &mut self.ahead).map_err(Error::Captured)?;
        }
        Ok(self.ahead.get(self.used).copied())
    }
}
