//! Which pages of two images may differ, told by where they lie.

use crate::{format::page_chunk::Older, repo::image::ImageReader};

impl ImageReader {
    /// Returns the numbers, ascending, of pages that both images have and that may not be alike;
    /// all others are. Nothing is read.
    ///
    /// Images of one base, and groups that two bases share, are compared by where pages lie.
    pub fn may_differ(&self, older: &Self) -> Vec<u32> {
        let (image, before) = (self.image(), older.image());
        let common = image.page_count.min(before.page_count);
        if image.page_bytes != before.page_bytes || image.group_pages != before.group_pages {
            return (1..=common).collect();
        }
        let mut pages = self.pages_of_other_groups(older, common);
        for reader in [self, older] {
            let (folded, recent) = reader.maps();
            pages.extend([folded, recent].iter().flat_map(|map| &map.entries).map(|at| at.page));
        }
        pages.sort_unstable();
        pages.dedup();
        pages.truncate(pages.partition_point(|page| *page <= common));
        pages.retain(|page| !self.lies_as_in(older, *page));
        pages
    }

    /// Pages of the base groups that are not the same chunk in both bases.
    fn pages_of_other_groups(&self, older: &Self, common: u32) -> Vec<u32> {
        let group_pages = self.image().group_pages.max(1);
        let group_count = common.div_ceil(group_pages);
        let is_other = |group: &u32| {
            let group = *group as usize;
            self.base().get(group) != older.base().get(group)
        };
        let pages = |group: u32| {
            let first = group * group_pages;
            first + 1..=first.saturating_add(group_pages).min(common)
        };
        (0..group_count).filter(is_other).flat_map(pages).collect()
    }

    /// Whether a page lies in the same place, on the same group of the base, in both images.
    fn lies_as_in(&self, older: &Self, page: u32) -> bool {
        let group = self.group_index(page) as usize;
        let has_group = |reader: &Self| page <= reader.image().base_pages;
        let is_same_group = self.base().get(group) == older.base().get(group)
            && has_group(self) == has_group(older);
        match (self.place(page), older.place(page)) {
            (Ok(now @ Older::Chunk { .. }), Ok(before)) => now == before && is_same_group,
            (Ok(Older::Base), Ok(Older::Base)) => is_same_group,
            _ => false,
        }
    }
}
