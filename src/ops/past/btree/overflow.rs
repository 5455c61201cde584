//! Whether rows may have changed in pages that no changed leaf leads to.
//!
//! SQLite writes over the end of a long value in place where its length stays the same: then an
//! overflow page changes, and the leaf that it belongs to does not. Such a page is recognised by
//! what it is not: no b-tree page, not free, and not reached from any cell of a changed page.

use crate::ops::past::btree::{Error, Kind, PageSet, Pages, malformed, page::u32_at};

/// From here on, the first byte of an overflow page may look like that of a b-tree page.
const PAGES_TOLD_APART: u32 = 0x0200_0000;
/// SQLite never uses the page that this byte of the file lies on.
const LOCK_BYTE: usize = 0x4000_0000;

/// Whether all changed pages are explained by leaves that changed themselves. Reads each of them.
pub fn leaves_tell_all(older: &Pages, newer: &Pages, changed: &[u32]) -> Result<bool, Error> {
    if older.page_count().max(newer.page_count()) >= PAGES_TOLD_APART {
        return Ok(false);
    }
    let mut open = Vec::new();
    for &page in changed {
        if page > 1 && is_other_than_tree(older, page)? && is_other_than_tree(newer, page)? {
            open.push(page);
        }
    }
    for side in [older, newer] {
        if open.is_empty() {
            return Ok(true);
        }
        let free = free_pages(side)?;
        let met = met_from(side, changed, &free)?;
        open.retain(|page| !free.contains(*page) && !met.contains(*page));
    }
    Ok(open.is_empty())
}

/// Whether a page may be an overflow page.
fn is_other_than_tree(pages: &Pages, number: u32) -> Result<bool, Error> {
    let bytes = pages.bytes(number)?;
    Ok(Kind::parse(bytes[0]).is_none() && !is_pointer_map(pages, number)?)
}

/// Databases with auto-vacuum have pages that say which page leads to which.
fn is_pointer_map(pages: &Pages, number: u32) -> Result<bool, Error> {
    let first = pages.bytes(1)?;
    if u32_at(&first, 52) == 0 {
        return Ok(false);
    }
    let per_map = (pages.usable_bytes() / 5) as u32 + 1;
    let lock_page = (LOCK_BYTE / first.len()) as u32 + 1;
    let map = (number - 2) / per_map * per_map + 2;
    let map = if map == lock_page { map + 1 } else { map };
    Ok(map == number)
}

/// All pages that the file does not use.
fn free_pages(pages: &Pages) -> Result<PageSet, Error> {
    let first = pages.bytes(1)?;
    let mut free = PageSet::new(pages.page_count());
    let mut trunk = u32_at(&first, 32);
    while trunk != 0 {
        if !free.insert(trunk) {
            return Err(malformed(trunk, "the list of free pages runs in a circle"));
        }
        let bytes = pages.bytes(trunk)?;
        let room = bytes.len() / 4 - 2;
        for at in 0..(u32_at(&bytes, 4) as usize).min(room) {
            let _ = free.insert(u32_at(&bytes, 8 + 4 * at));
        }
        trunk = u32_at(&bytes, 0);
    }
    Ok(free)
}

/// The overflow pages that cells of changed pages lead to.
fn met_from(pages: &Pages, changed: &[u32], free: &PageSet) -> Result<PageSet, Error> {
    let mut met = PageSet::new(pages.page_count());
    pages.begin_pass();
    for &number in changed {
        if free.contains(number) || number > pages.page_count() {
            continue;
        }
        // What is no b-tree page has no cells.
        let Ok(page) = pages.page(number) else { continue };
        for cell in page.cells() {
            let Ok(cell) = cell else { break };
            if let Some(payload) = cell.payload {
                payload.note_pages(pages, &mut met)?;
            }
        }
    }
    Ok(met)
}
