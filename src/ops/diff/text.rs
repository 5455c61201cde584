//! What differs inside of a text file, in the manner of `diff -u`.

use std::ops::ControlFlow;

use similar::TextDiff;

use crate::{
    chunk::Fetch,
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
    let diff = TextDiff::from_lines(&older, &newer);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(CONTEXT_LINES).header(path, path);
    Ok(Some(unified.to_string()))
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
    Ok(String::from_utf8(content).ok().filter(|text| !text.contains('\0')))
}
