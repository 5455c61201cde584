//! What a backup leaves out: patterns, folders that carry a marker, and our own folders.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::{
    disk::{Dir, Handle, Stat},
    source::files::{Error, Selection, names::Names, read_disk::ReadDisk},
};

/// Decides what is left out.
#[derive(Debug)]
pub struct Filter {
    patterns: Gitignore,
    markers: Vec<OsString>,
    /// Device and inode of our own folders: a path could be spelled in many ways.
    own: HashSet<(u64, u64)>,
}

impl Filter {
    /// Compiles the patterns, and looks up our own folders; one that is not there cannot be met.
    pub fn new(disk: &dyn ReadDisk, selection: &Selection) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in &selection.exclude {
            let _ = builder.add_line(None, pattern).map_err(|why| invalid(pattern, &why))?;
        }
        let all = || selection.exclude.join(", ");
        let patterns = builder.build().map_err(|why| invalid(&all(), &why))?;
        let identity = |dir: Dir| disk.stat_open(Handle::Dir(&dir));
        let own =
            selection.own.iter().filter_map(|path| disk.open_root(path).and_then(identity).ok());
        Ok(Self {
            patterns,
            markers: selection.exclude_if_present.clone(),
            own: own.map(|stat| (stat.device, stat.inode)).collect(),
        })
    }

    /// Whether a pattern leaves out this path below the root.
    pub fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        let matched = self.patterns.matched(Path::new(OsStr::from_bytes(path)), is_dir);
        matches!(matched, Match::Ignore(_))
    }

    /// Whether the folder is one of our own.
    pub fn is_own(&self, stat: &Stat) -> bool {
        self.own.contains(&(stat.device, stat.inode))
    }

    /// Whether a folder with these names is marked to be left out.
    pub fn is_marked(&self, names: &Names) -> bool {
        self.markers.iter().any(|marker| names.contains(marker.as_bytes()))
    }
}

fn invalid(pattern: &str, why: &ignore::Error) -> Error {
    Error::Pattern { pattern: pattern.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::files::real_disk::RealReadDisk;

    fn filter(exclude: &[&str]) -> Filter {
        let exclude = exclude.iter().map(|&pattern| pattern.to_owned()).collect();
        let selection = Selection { exclude, ..Selection::default() };
        Filter::new(&RealReadDisk, &selection).unwrap()
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let filter = filter(&["paint-swatches/", "*.tmp", "/top", "!keep.tmp", "a/**/z"]);
        for (path, is_dir, left_out) in [
            ("paint-swatches", true, true),
            ("deep/below/paint-swatches", true, true),
            ("paint-swatches", false, false),
            ("x/y.tmp", false, true),
            ("x/keep.tmp", false, false),
            ("top", false, true),
            ("x/top", false, false),
            ("a/b/c/z", false, true),
            ("z", false, false),
        ] {
            assert_eq!(filter.excludes(path.as_bytes(), is_dir), left_out, "{path}");
        }
    }

    #[test]
    fn names_that_are_no_text_are_matched_all_the_same() {
        assert!(filter(&["*.tmp"]).excludes(b"\xff\xfe.tmp", false));
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_refused_by_name() {
        let selection = Selection { exclude: vec!["{a".to_owned()], ..Selection::default() };

        let refused = Filter::new(&RealReadDisk, &selection);

        assert!(matches!(refused, Err(Error::Pattern { pattern, .. }) if pattern == "{a"));
    }
}
