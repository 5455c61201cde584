//! What an earlier restore in place added, and is to go again.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use super::{Change, Kind, Planner, Site, is_database_file, split};
use crate::{
    disk::{Dir, Disk, FileKind},
    format::record::PartKind,
    ops::{self, owners::Origin},
    source::sqlite::COMPANIONS,
};

/// Paths that one restore added in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub part: String,
    pub kind: PartKind,
    pub root: PathBuf,
    pub paths: Vec<Vec<u8>>,
}

impl Planner<'_> {
    /// Adds what is to go to the sites. What holds something that came later stays.
    pub(super) fn add_removals(
        &self,
        sites: &mut Vec<Site>,
        removal: &Removal,
    ) -> Result<(), ops::Error> {
        let Removal { part, kind, root, paths } = removal;
        let Ok(at) = self.disk().open_root(root) else { return Ok(()) };
        let known = sites.iter().position(|site| site.part == *part && site.root == *root);
        let site = match known {
            Some(known) => &mut sites[known],
            None => {
                sites.push(Site {
                    part: part.clone(),
                    kind: *kind,
                    place: root.clone(),
                    root: root.clone(),
                    missing: Vec::new(),
                    changes: Vec::new(),
                    kept: 0,
                    origin: Origin::default(),
                });
                sites.last_mut().expect("it was pushed just now")
            }
        };
        for path in paths {
            let is_wanted = site.changes.iter().any(|change| change.path == *path);
            if !is_wanted && is_ours_whole(self.disk(), &at, path, paths) {
                site.changes.push(Change { path: path.clone(), kind: Kind::Delete });
                let full = root.join(OsStr::from_bytes(path));
                if let Ok((parent, name)) = split(&full)
                    && let Ok(at) = self.disk().open_root(parent)
                    && is_database_file(self.disk(), &at, name)
                {
                    site.delete_companions(self.disk(), (&at, name), path);
                }
            }
        }
        Ok(())
    }
}

/// Whether all at this path was made by the restore that is undone.
fn is_ours_whole(disk: &dyn Disk, root: &Dir, path: &[u8], ours: &[Vec<u8>]) -> bool {
    let mut at = match root.0.try_clone() {
        Ok(root) => Dir(root),
        Err(_) => return false,
    };
    let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let Some(last) = names.pop() else { return false };
    for name in names {
        match disk.open_dir(&at, OsStr::from_bytes(name)) {
            Ok(below) => at = below,
            Err(_) => return false,
        }
    }
    let mut ahead = vec![(at, last.to_vec(), path.to_vec())];
    while let Some((at, name, path)) = ahead.pop() {
        let name = OsStr::from_bytes(&name);
        let Ok(stat) = disk.stat(&at, name) else { return false };
        let is_companion = COMPANIONS.iter().any(|suffix| path.ends_with(suffix.as_bytes()));
        if !is_companion && !ours.contains(&path) {
            return false;
        }
        if stat.kind == FileKind::Dir {
            let Ok(dir) = disk.open_dir(&at, name) else { return false };
            for name in disk.list(&dir).unwrap_or_default() {
                let Ok(dir) = dir.0.try_clone().map(Dir) else { return false };
                let below = [&path[..], b"/", name.as_bytes()].concat();
                ahead.push((dir, name.into_vec(), below));
            }
        }
    }
    true
}
