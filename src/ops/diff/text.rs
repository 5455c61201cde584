//! What differs inside of a text file, in the manner of `diff -u`.

use std::{ops::ControlFlow, path::Path};

use similar::TextDiff;

use crate::{
    chunk::Fetch,
    disk::{Disk, file},
    format::node::{Content, Entry},
    limits::MIB,
    ops::{Error, dump::dump_file},
};

/// Longer files are not looked into.
const TEXT_BYTES_MAX: u64 = MIB as u64;
/// Lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// Returns the differences of two files line by line; nothing where one of them is no text, or is
/// too long.
pub fn text_diff(
    fetch: &dyn Fetch,
    from: &Entry,
    to: &Entry,
    path: &str,
) -> Result<Option<String>, Error> {
    let (Some(older), Some(newer)) = (text(fetch, from)?, text(fetch, to)?) else {
        return Ok(None);
    };
    Ok(Some(unified((&older, &newer), path)))
}

/// The same for a file that is compared with what lies at this place now.
pub fn text_diff_present(
    (fetch, disk): (&dyn Fetch, &dyn Disk),
    (from, place): (&Entry, &Path),
    path: &str,
) -> Result<Option<String>, Error> {
    let Some(older) = text(fetch, from)? else { return Ok(None) };
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { return Ok(None) };
    let read = disk.open_root(parent).and_then(|at| file::read(disk, &at, name, TEXT_BYTES_MAX));
    // Longer, or gone meanwhile: there is nothing to show.
    let newer = read.ok().and_then(as_text);
    Ok(newer.map(|newer| unified((&older, &newer), path)))
}

fn unified((older, newer): (&str, &str), path: &str) -> String {
    let diff = TextDiff::from_lines(older, newer);
    let mut unified = diff.unified_diff();
    unified.context_radius(CONTEXT_LINES).header(path, path).to_string()
}

fn text(fetch: &dyn Fetch, entry: &Entry) -> Result<Option<String>, Error> {
    let Content::File { bytes, stream, extents } = &entry.content else { return Ok(None) };
    if *bytes > TEXT_BYTES_MAX {
        return Ok(None);
    }
    let mut content = Vec::new();
    dump_file(fetch, *bytes, stream, extents.as_deref(), &mut |piece| {
        content.extend_from_slice(piece);
        ControlFlow::Continue(())
    })?;
    Ok(as_text(content))
}

fn as_text(content: Vec<u8>) -> Option<String> {
    String::from_utf8(content).ok().filter(|text| !text.contains('\0'))
}
