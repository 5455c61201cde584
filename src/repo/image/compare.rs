//! How many pages of two images differ, reading only those that may.

use crate::repo::image::{Error, ImageReader};

impl ImageReader {
    /// Counts the pages of this image that are not as they were in the older one.
    ///
    /// Images of one base are compared by where their pages lie; only pages that lie elsewhere are
    /// read. Images of different bases are read whole.
    pub fn count_changed_since(&self, older: &Self) -> Result<u32, Error> {
        let (image, before) = (self.image(), older.image());
        if image.page_bytes != before.page_bytes {
            return Ok(image.page_count);
        }
        let common = image.page_count.min(before.page_count);
        let shares_base = image.base == before.base && image.group_pages == before.group_pages;
        let mut changed = image.page_count - common;
        let (mut group, mut older_group) = (self.group_of(1), older.group_of(1));
        for page in 1..=common {
            if (page - 1) % image.group_pages.max(1) == 0 {
                group = self.group_of(page);
            }
            if (page - 1) % before.group_pages.max(1) == 0 {
                older_group = older.group_of(page);
            }
            if shares_base && self.place(page)? == older.place(page)? {
                continue;
            }
            let page_now = self.versions(page, &group)?.into_page();
            changed += u32::from(page_now != older.versions(page, &older_group)?.into_page());
        }
        Ok(changed)
    }
}
