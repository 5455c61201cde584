//! Refusing a restore that would not fit, before it writes anything.

use std::path::Path;

use crate::{
    chunk::Fetch,
    disk::{Dir, Disk, FileKind, Stat},
    format::{
        node::{Content, Entry},
        record::{Part, PartContent, Totals},
    },
    ops::{
        Error,
        event::Silent,
        moment::PartAt,
        restore::{Request, Run, database, place},
    },
    repo::{
        Repository,
        tree::walk::{Met, Step, walk},
    },
    sink::files::{Choice, Chooser},
};

/// Fails if the parts and the reserve do not fit beside what is there. What a part of files finds
/// in its place already counts as room; a database is written anew before it replaces another.
///
/// The record's totals are enough where they fit. Only where they do not, the trees are walked: a
/// sparse file takes less than its size, and patterns may leave most of a part out.
pub fn check(repo: &Repository, parts: &[PartAt<'_>], request: &Request) -> Result<(), Error> {
    let disk = repo.environment().disk.as_ref();
    let io = |path: &Path, source| Error::Io { action: "look at", path: path.to_owned(), source };
    let Some((existing, dir)) = nearest_existing(disk, &request.target) else { return Ok(()) };
    let free_bytes = disk.free_bytes(&dir).map_err(|source| io(existing, source))?;
    let reserve_bytes = request.min_free_bytes;
    let there: Vec<u64> = parts.iter().map(|at| room_in_place(disk, request, at.part)).collect();
    let beside = |bytes: u64, there: &u64| bytes.saturating_sub(*there);
    let totals = parts.iter().zip(&there).map(|(at, there)| beside(at.part.totals.bytes, there));
    if totals.fold(reserve_bytes, u64::saturating_add) <= free_bytes {
        return Ok(());
    }
    let mut needed_bytes = reserve_bytes;
    for (at, there) in parts.iter().zip(&there) {
        let bytes = beside(bytes_to_write(repo, request, at.part)?, there);
        needed_bytes = needed_bytes.saturating_add(bytes);
    }
    if needed_bytes > free_bytes {
        let place = existing.display().to_string();
        return Err(Error::NoSpace { place, needed_bytes, free_bytes });
    }
    Ok(())
}

fn nearest_existing<'a>(disk: &dyn Disk, path: &'a Path) -> Option<(&'a Path, Dir)> {
    path.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        disk.open_root(path).ok().map(|dir| (path, dir))
    })
}

fn room_in_place(disk: &dyn Disk, request: &Request, part: &Part) -> u64 {
    match part.content {
        PartContent::Tree { .. } => bytes_below(disk, &place(request, part)),
        PartContent::Database { .. } => 0,
    }
}

/// Bytes that all files below a folder take; what cannot be read counts as nothing.
fn bytes_below(disk: &dyn Disk, path: &Path) -> u64 {
    let mut bytes = 0_u64;
    let mut folders: Vec<_> = disk.open_root(path).into_iter().collect();
    while let Some(dir) = folders.pop() {
        for name in disk.list(&dir).unwrap_or_default() {
            let Ok(stat) = disk.stat(&dir, &name) else { continue };
            match stat.kind {
                FileKind::File => bytes = bytes.saturating_add(bytes_taken(&stat)),
                FileKind::Dir => folders.extend(disk.open_dir(&dir, &name)),
                _ => {}
            }
        }
    }
    bytes
}

/// What becomes free if the file is written over: its holes take nothing.
const fn bytes_taken(stat: &Stat) -> u64 {
    let in_use = stat.blocks.saturating_mul(512);
    if in_use < stat.bytes { in_use } else { stat.bytes }
}

/// Bytes of a part that a restore would write if nothing were there.
fn bytes_to_write(repo: &Repository, request: &Request, part: &Part) -> Result<u64, Error> {
    match &part.content {
        PartContent::Tree { root, .. } => {
            let fetch = repo.fetcher()?;
            let chooser = Chooser::new(&request.include, &request.exclude)?;
            Ok(chosen_totals(fetch.as_ref(), root, &chooser).bytes)
        }
        PartContent::Database { image, .. } => {
            let disk = repo.environment().disk.as_ref();
            let is_kept = disk.open_root(&request.target).is_ok_and(|target| {
                let run = Run { repo, request, observer: &Silent, target: &target };
                database::is_kept(&run, part, image).unwrap_or(false)
            });
            Ok(if is_kept { 0 } else { image.bytes() })
        }
    }
}

/// Counts all that is chosen, holes left out; what cannot be read is not restored either.
pub fn chosen_totals(fetch: &dyn Fetch, root: &Entry, chooser: &Chooser) -> Totals {
    let mut totals = Totals::default();
    let Content::Folder { node } = &root.content else { return totals };
    // How each open folder was chosen, and how long its path is.
    let mut above: Vec<(usize, Choice)> = Vec::new();
    let walked: Result<(), std::convert::Infallible> = walk(fetch, node, &mut |path, met| {
        let Met::Entry(entry) = met else { return Ok(Step::Over) };
        let folder_bytes = path.len() - entry.name.len();
        while above.last().is_some_and(|(path_bytes, _)| *path_bytes >= folder_bytes) {
            let _ = above.pop();
        }
        let from = above.last().map_or(chooser.root(), |(_, choice)| *choice);
        let is_dir = matches!(entry.content, Content::Folder { .. });
        let choice = chooser.choose(from, path, is_dir);
        if choice == Choice::Leave {
            return Ok(Step::Over);
        }
        if is_dir {
            above.push((path.len(), choice));
        }
        match &entry.content {
            Content::File { .. } | Content::Database(_) => totals.files += 1,
            Content::Folder { .. } => totals.folders += u64::from(choice == Choice::Take),
            _ => totals.others += 1,
        }
        totals.bytes = totals.bytes.saturating_add(data_bytes(entry));
        Ok(Step::Into)
    });
    let Ok(()) = walked;
    totals
}

fn data_bytes(entry: &Entry) -> u64 {
    match &entry.content {
        Content::File { bytes, extents: None, .. } => *bytes,
        Content::File { stream, extents: Some(_), .. } => stream.bytes,
        Content::Database(image) => image.bytes(),
        _ => 0,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of a test are not durable")]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn holes_of_sparse_files_are_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::File::create(below.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let full = std::fs::File::create(below.join("full")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&full, &[7; 100_000], 0).unwrap();
        full.sync_all().unwrap();

        assert_eq!(bytes_below(&RealDisk, folder.path()), 100_000);
    }
}
