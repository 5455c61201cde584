//! Patches: a page as copy and insert instructions against its older self. Spec: `format-spec/50-page-map.md`, "Patch".
//!
//! Only the reading side; `chunk::page_diff` makes patches.

use crate::format::{Error, cursor::Cursor};

/// Builds a page from its older version. `page` and `older` have the page's size; after an error `page` is of no use.
pub fn apply(patch: &[u8], older: &[u8], page: &mut [u8]) -> Result<(), Error> {
    assert_eq!(older.len(), page.len(), "both versions have the page's size");
    let mut cursor = Cursor::new("page patch", patch);
    let mut at = 0;
    loop {
        at += insert(&mut cursor, &mut page[at..])?;
        if at == page.len() {
            break;
        }
        at += copy(&mut cursor, older, at, &mut page[at..])?;
        if at == page.len() {
            break;
        }
    }
    cursor.finish()
}

fn insert(cursor: &mut Cursor<'_>, out: &mut [u8]) -> Result<usize, Error> {
    let literal = cursor.bytes(out.len(), "it goes beyond the page")?;
    out[..literal.len()].copy_from_slice(literal);
    Ok(literal.len())
}

fn copy(cursor: &mut Cursor<'_>, older: &[u8], at: usize, out: &mut [u8]) -> Result<usize, Error> {
    let count = cursor.uvarint_to(out.len() as u64, "it goes beyond the page")? as usize;
    if count == 0 {
        return Err(cursor.corrupt("it copies nothing"));
    }
    let distance = cursor.svarint()?;
    let start = (at as i64).checked_add(distance).and_then(|start| usize::try_from(start).ok());
    let end = start.and_then(|start| start.checked_add(count));
    match (start, end) {
        (Some(start), Some(end)) if end <= older.len() => {
            out[..count].copy_from_slice(&older[start..end]);
            Ok(count)
        }
        _ => Err(cursor.corrupt("it copies from outside the older page")),
    }
}
