//! Patches: a page as copy and insert instructions against its older self. Spec:
//! `format-spec/50-page-map.md`, "Patch".
//!
//! Only the reading side; `chunk::page_diff` makes patches.

use crate::format::{Error, cursor::Cursor};

/// Builds a page from its older version. `page` and `older` have the page's size; after an error
/// `page` is of no use.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::samples::breaks;

    const OLDER: &[u8; 8] = b"abcdefgh";

    fn patched(patch: &[u8]) -> Result<Vec<u8>, Error> {
        let mut page = [0; 8];
        apply(patch, OLDER, &mut page).map(|()| page.to_vec())
    }

    #[test]
    fn literals_and_copies_take_turns_until_the_page_is_full() {
        // "XY", 3 bytes from 2 behind, nothing, 2 bytes from 1 ahead, "Z".
        let patch = [2, b'X', b'Y', 3, 3, 0, 2, 2, 1, b'Z'];

        assert_eq!(patched(&patch), Ok(b"XYabcghZ".to_vec()));
        assert_eq!(patched(&[0, 8, 0]), Ok(OLDER.to_vec()));
        assert_eq!(patched(b"\x08ABCDEFGH"), Ok(b"ABCDEFGH".to_vec()));
    }

    #[test]
    fn patches_that_leave_the_page_or_the_older_page_are_corrupt() {
        assert!(breaks(patched(b"\x09ABCDEFGHI"), "beyond the page"));
        assert!(breaks(patched(&[0, 9, 0]), "beyond the page"));
        assert!(breaks(patched(&[0, 1, 1]), "outside the older page"));
        assert!(breaks(patched(&[0, 8, 2]), "outside the older page"));
        assert!(breaks(patched(&[1, b'X', 7, 0, 0]), "follow the end"));
        let far = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(breaks(patched(&[&[1, b'X', 7], &far[..]].concat()), "outside the older page"));
        let ahead = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(breaks(patched(&[&[1, b'X', 7], &ahead[..]].concat()), "outside the older page"));
    }

    #[test]
    fn patches_that_go_nowhere_or_end_too_early_are_corrupt() {
        assert!(breaks(patched(&[0, 0, 0]), "copies nothing"));
        assert!(breaks(patched(&[]), "ends too early"));
        assert!(breaks(patched(&[1, b'X']), "ends too early"));
        assert!(breaks(patched(&[0, 7, 0]), "ends too early"));
        assert!(breaks(patched(&[0, 7, 0, 0]), "ends too early"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(patch in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = patched(&patch);
        }
    }
}
