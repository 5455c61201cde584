//! Refusing a restore that would not fit, before it writes anything.

use std::path::Path;

use crate::{
    disk::{Dir, Disk, FileKind},
    format::record::PartContent,
    ops::{
        Error,
        moment::PartAt,
        restore::{Request, place},
    },
    repo::Repository,
};

/// Fails if the parts and the reserve do not fit beside what is there. What a part of files finds
/// in its place already counts as room; a database is written anew before it replaces another.
pub fn check(repo: &Repository, parts: &[PartAt<'_>], request: &Request) -> Result<(), Error> {
    let disk = repo.environment().disk.as_ref();
    let io = |path: &Path, source| Error::Io { action: "look at", path: path.to_owned(), source };
    let Some((existing, dir)) = nearest_existing(disk, &request.target) else { return Ok(()) };
    let free_bytes = disk.free_bytes(&dir).map_err(|source| io(existing, source))?;
    let needed_bytes = parts.iter().map(|at| {
        let there = match at.part.content {
            PartContent::Tree { .. } => bytes_below(disk, &place(request, at.part)),
            PartContent::Database { .. } => 0,
        };
        at.part.totals.bytes.saturating_sub(there)
    });
    let needed_bytes = needed_bytes.fold(request.min_free_bytes, u64::saturating_add);
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

/// Bytes of all files below a folder; what cannot be read counts as nothing.
fn bytes_below(disk: &dyn Disk, path: &Path) -> u64 {
    let mut bytes = 0_u64;
    let mut folders: Vec<_> = disk.open_root(path).into_iter().collect();
    while let Some(dir) = folders.pop() {
        for name in disk.list(&dir).unwrap_or_default() {
            let Ok(stat) = disk.stat(&dir, &name) else { continue };
            match stat.kind {
                FileKind::File => bytes = bytes.saturating_add(stat.bytes),
                FileKind::Dir => folders.extend(disk.open_dir(&dir, &name)),
                _ => {}
            }
        }
    }
    bytes
}
