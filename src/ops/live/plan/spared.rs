//! What a restore in place does not delete, although the snapshot lacks it.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Planner, Site};
use crate::{
    disk::Disk,
    ops::{
        self,
        live::STAGING_PREFIX,
        set::{Set, SetSource},
    },
    sink::files::{Choice, Chooser},
    source::sqlite::COMPANIONS,
};

/// What is not deleted although the snapshot lacks it.
pub struct Spared<'a> {
    disk: &'a dyn Disk,
    root: PathBuf,
    own: &'a [PathBuf],
    /// What the backup leaves out is in no safety snapshot either.
    left_out: Chooser,
}

impl<'a> Spared<'a> {
    pub fn new(
        planner: &'a Planner<'_>,
        site: &Site,
        set: Option<&Set>,
    ) -> Result<Self, ops::Error> {
        let exclude = match set.map(|set| &set.source) {
            Some(SetSource::Files(files)) => files.exclude.clone(),
            _ => Vec::new(),
        };
        let left_out = Chooser::new(&[], &exclude)?;
        let (root, own) = (site.root.clone(), planner.request.own.as_slice());
        Ok(Self { disk: planner.disk(), root, own, left_out })
    }

    pub fn holds(&self, path: &[u8]) -> bool {
        let full = self.root.join(OsStr::from_bytes(path));
        let is_own = self.own.iter().any(|own| own.starts_with(&full) || full.starts_with(own));
        is_own || self.is_companion(&full) || self.keeps(&full, path)
    }

    /// Whether it belongs to a database that stays; one that is replaced takes it along.
    fn is_companion(&self, full: &Path) -> bool {
        let name = full.file_name().unwrap_or_default().as_bytes();
        COMPANIONS.iter().any(|suffix| {
            let stem = name.strip_suffix(suffix.as_bytes());
            stem.is_some_and(|stem| full.with_file_name(OsStr::from_bytes(stem)).is_file())
        })
    }

    /// Whether the backup leaves it out, or anything in it.
    fn keeps(&self, full: &Path, path: &[u8]) -> bool {
        let mut ahead = vec![(full.to_owned(), path.to_vec())];
        while let Some((full, path)) = ahead.pop() {
            let is_dir = full.symlink_metadata().is_ok_and(|stat| stat.is_dir());
            let name = full.file_name().unwrap_or_default().as_bytes();
            if name.starts_with(STAGING_PREFIX.as_bytes())
                || self.left_out.choose(Choice::Take, &path, is_dir) == Choice::Leave
            {
                return true;
            }
            if is_dir && let Ok(at) = self.disk.open_root(&full) {
                for name in self.disk.list(&at).unwrap_or_default() {
                    let below = [&path[..], b"/", name.as_bytes()].concat();
                    ahead.push((full.join(&name), below));
                }
            }
        }
        false
    }
}
