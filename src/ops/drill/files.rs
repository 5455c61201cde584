//! Reads restored files back and compares them with their chunks.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::atomic::Ordering};

use super::{Check, Hashes};
use crate::{
    chunk::Fetch,
    disk::{Disk, read_exact_at},
    format::{
        node::{Content, Entry},
        stream::Stream,
    },
    ops,
    repo::{
        Repository,
        stream::{Chunks, Holds},
        tree::walk::{Met, Step, walk},
    },
};

/// Compares all files of a tree, or some spread over all of it. Sparse ones were compared chunk by
/// chunk when they were written.
pub fn compared(
    repo: &Repository,
    root: &Entry,
    hashes: Hashes,
    folder: &Path,
) -> Result<Check, ops::Error> {
    let env = repo.environment();
    let fetch = repo.fetcher()?;
    let mut all = Vec::new();
    let Content::Folder { node } = &root.content else {
        return Ok(Check::of("files compared", false, "its root is no folder"));
    };
    walk::<ops::Error>(fetch.as_ref(), node, &mut |path, met| {
        match met {
            Met::Entry(Entry { content: Content::File { stream, extents: None, .. }, .. }) => {
                all.push((path.to_vec(), stream.clone()));
            }
            Met::Entry(_) => {}
            Met::Unreadable(error) => return Err(error.into()),
        }
        Ok(Step::Into)
    })?;
    let step = match hashes {
        Hashes::All => 1,
        Hashes::Sample(count) => (all.len() as u64).div_ceil(count.max(1)).max(1),
    };
    let mut compared = 0_u64;
    for (path, stream) in all.iter().step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        if env.stop.load(Ordering::Relaxed) {
            return Err(ops::Error::Stopped);
        }
        let file = folder.join(OsStr::from_bytes(path));
        if let Err(why) = is_alike(env.disk.as_ref(), fetch.as_ref(), stream, &file) {
            let path = String::from_utf8_lossy(path).into_owned();
            return Ok(Check::of("files compared", false, format!("{path}: {why}")));
        }
        compared += 1;
    }
    Ok(Check::of("files compared", true, format!("{compared} of {}", all.len())))
}

fn is_alike(
    disk: &dyn Disk,
    fetch: &dyn Fetch,
    stream: &Stream,
    path: &Path,
) -> Result<(), String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err("it has no name".to_owned());
    };
    let file = disk.open_root(parent).and_then(|at| disk.open(&at, name));
    let file = file.map_err(|error| error.to_string())?;
    let mut offset = 0;
    let mut piece = Vec::new();
    for chunk in Chunks::new(fetch, stream) {
        let (holds, id) = chunk.map_err(|error| error.to_string())?;
        if holds == Holds::Ids {
            continue;
        }
        let chunk = fetch.get(&id).map_err(|error| error.to_string())?;
        piece.resize(chunk.len(), 0);
        read_exact_at(disk, &file, &mut piece, offset).map_err(|error| error.to_string())?;
        if piece != *chunk {
            return Err(format!("it differs after byte {offset}"));
        }
        offset += chunk.len() as u64;
    }
    let length = disk.stat_file(&file).map_err(|error| error.to_string())?.bytes;
    if length == offset { Ok(()) } else { Err(format!("it has {length} bytes, not {offset}")) }
}
