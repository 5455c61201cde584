//! A new base: the whole image, plain, in groups of pages.

use crate::{
    chunk::Store,
    id::ChunkId,
    limits::PAGE_GROUP_BYTES,
    repo::image::{Error, ImageReader, NewImage, changed::ChangedCursor},
};

/// Pages in a base group.
pub const fn group_pages(page_bytes: u32) -> u32 {
    match PAGE_GROUP_BYTES.checked_div(page_bytes) {
        None | Some(0) => 1,
        Some(pages) => pages,
    }
}

/// Stores all pages: those that changed as captured, the others as the parent holds them.
///
/// Returns the ids of the groups. A group that the parent holds just so is not read again.
pub fn store_base(
    new: &NewImage<'_>,
    parent: Option<&ImageReader>,
    store: &mut dyn Store,
) -> Result<Vec<ChunkId>, Error> {
    let page_bytes = new.page_bytes as usize;
    let group_pages = group_pages(new.page_bytes);
    let mut cursor = ChangedCursor::new(new.changed, page_bytes);
    let mut ids = Vec::with_capacity(new.page_count.div_ceil(group_pages) as usize);
    let (mut captured, mut group) = (Vec::new(), Vec::new());
    for first in (0..new.page_count).step_by(group_pages as usize) {
        let pages = first + 1..first.saturating_add(group_pages).min(new.page_count) + 1;
        let changed = cursor.take(pages.end, pages.len(), &mut captured)?;
        if changed.len() == pages.len() {
            ids.push(store.put(&captured)?);
            continue;
        }
        let parent = parent.ok_or(Error::NoPlace { page: pages.start })?;
        if changed.is_empty()
            && let Some(id) = parent.base_group(&pages)
        {
            ids.push(id);
            continue;
        }
        parent.assemble(&pages, &changed, &mut group)?;
        for (page, bytes) in changed.iter().zip(captured.chunks_exact(page_bytes)) {
            let start = (page - pages.start) as usize * page_bytes;
            group[start..start + page_bytes].copy_from_slice(bytes);
        }
        ids.push(store.put(&group)?);
    }
    Ok(ids)
}
