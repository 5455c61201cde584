//! How much a selection holds, from `stat` alone: for questions that come before a backup.

use crate::{
    disk::{Dir, FileKind},
    source::files::{
        Error, Mounts, Selection,
        filter::Filter,
        names::Names,
        read_disk::ReadDisk,
        roots::{Chosen, resolve},
    },
};

/// What a selection holds. What cannot be read counts as nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    pub files: u64,
    pub bytes: u64,
}

/// Counts the files of a selection and their bytes.
///
/// # Errors
/// As [`back_up_tree`](super::back_up_tree): none of the paths can be read, or a pattern is wrong.
pub fn measure(disk: &dyn ReadDisk, selection: &Selection) -> Result<Measured, Error> {
    let roots = resolve(disk, &selection.paths)?;
    let filter = Filter::new(disk, selection)?;
    let root = disk
        .open_root(&roots.path)
        .map_err(|source| Error::Root { path: roots.path.clone(), source })?;
    let mut measured = Measured::default();
    let mut folders = vec![(root, Vec::new(), roots.chosen)];
    while let Some((dir, path, chosen)) = folders.pop() {
        let Ok(names) = Names::of(disk, &dir, &chosen) else { continue };
        if chosen == Chosen::Whole && filter.is_marked(&names) {
            continue;
        }
        let here = disk.stat_open(crate::disk::Handle::Dir(&dir)).map(|stat| stat.device).ok();
        for name in (0..names.len()).map(|index| names.get(index)) {
            let Ok(stat) = disk.stat(&dir, name) else { continue };
            let below = join(&path, name);
            let named = named_in(&chosen, name);
            let is_dir = stat.kind == FileKind::Dir;
            if named.is_none() && filter.excludes(&below, is_dir) {
                continue;
            }
            if stat.kind == FileKind::File {
                measured.files += 1;
                measured.bytes = measured.bytes.saturating_add(stat.blocks.saturating_mul(512));
            }
            let is_mount = selection.mounts == Mounts::Skip && Some(stat.device) != here;
            if is_dir && !is_mount && !filter.is_own(&stat) {
                folders.extend(enter(disk, &dir, name, below, named));
            }
        }
    }
    Ok(measured)
}

type Folder = (Dir, Vec<u8>, Chosen);

fn enter(
    disk: &dyn ReadDisk,
    at: &Dir,
    name: &[u8],
    path: Vec<u8>,
    named: Option<Chosen>,
) -> Option<Folder> {
    Some((disk.open_dir(at, name).ok()?, path, named.unwrap_or(Chosen::Whole)))
}

/// What of a sub-folder was asked for by name.
fn named_in(chosen: &Chosen, name: &[u8]) -> Option<Chosen> {
    match chosen {
        Chosen::Whole => None,
        Chosen::Only(named) => named.get(name).cloned(),
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
