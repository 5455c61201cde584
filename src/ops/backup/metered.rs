//! Pages on their way into the repository, counted for whoever watches.

use std::io;

use crate::{
    clock::Clock,
    ops::event::{Meter, Observer},
    repo::image::ChangedPages,
};

/// Changed pages that tell how far their reader is.
pub struct MeteredPages<'a> {
    pages: &'a dyn ChangedPages,
    meter: Meter<'a>,
}

impl<'a> MeteredPages<'a> {
    pub fn new(
        pages: &'a dyn ChangedPages,
        page_bytes: u32,
        observer: &'a dyn Observer,
        clock: &'a dyn Clock,
    ) -> Self {
        let count = u64::from(pages.count());
        let meter = Meter::new(observer, clock).with_totals(count * u64::from(page_bytes), count);
        Self { pages, meter }
    }
}

impl ChangedPages for MeteredPages<'_> {
    fn count(&self) -> u32 {
        self.pages.count()
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        self.pages.numbers(first, into)
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        self.pages.read(first, into)?;
        self.meter.add(into.len() as u64, 0, b"");
        Ok(())
    }
}
