//! Which entries are restored.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::sink::files::Error;

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is restored; if it is a folder, with all in it that is not left out.
    Take,
    /// It is a folder that may hold something to restore, and is made only if it does.
    Look,
    Leave,
}

/// Decides what is restored.
#[derive(Debug)]
pub struct Chooser {
    /// Absent: all.
    include: Option<Gitignore>,
    exclude: Gitignore,
}

impl Chooser {
    /// Compiles the patterns.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Error> {
        let include = if include.is_empty() { None } else { Some(compile(include)?) };
        Ok(Self { include, exclude: compile(exclude)? })
    }

    /// What to do with the root folder.
    pub const fn root(&self) -> Choice {
        if self.include.is_none() { Choice::Take } else { Choice::Look }
    }

    /// Whether something that goes by these names is restored: no name is left out, and one is
    /// asked for.
    pub fn takes(&self, names: &[&str]) -> bool {
        let is_in = |patterns: &Gitignore| {
            names.iter().any(|name| matches!(patterns.matched(name, false), Match::Ignore(_)))
        };
        !is_in(&self.exclude) && self.include.as_ref().is_none_or(is_in)
    }

    /// What to do with the entry at this path below the root, in a folder chosen like that.
    pub fn choose(&self, above: Choice, path: &[u8], is_dir: bool) -> Choice {
        let path = Path::new(OsStr::from_bytes(path));
        let is_in =
            |patterns: &Gitignore| matches!(patterns.matched(path, is_dir), Match::Ignore(_));
        if is_in(&self.exclude) {
            return Choice::Leave;
        }
        match &self.include {
            _ if above == Choice::Take => Choice::Take,
            Some(include) if is_in(include) => Choice::Take,
            _ if is_dir => Choice::Look,
            _ => Choice::Leave,
        }
    }
}

fn compile(patterns: &[String]) -> Result<Gitignore, Error> {
    let invalid = |pattern: &str, why: &ignore::Error| Error::Pattern {
        pattern: pattern.to_owned(),
        why: why.to_string(),
    };
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        let _ = builder.add_line(None, pattern).map_err(|why| invalid(pattern, &why))?;
    }
    builder.build().map_err(|why| invalid(&patterns.join(", "), &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(include: &[&str], exclude: &[&str]) -> Chooser {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
        Chooser::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn without_patterns_all_is_taken() {
        let chooser = chooser(&[], &[]);

        assert_eq!(chooser.root(), Choice::Take);
        assert_eq!(chooser.choose(Choice::Take, b"a", false), Choice::Take);
    }

    #[test]
    fn what_has_two_names_is_asked_for_by_either_and_left_out_by_either() {
        let names = ["pos", "pos.db"];

        for (include, exclude, taken) in [
            (&[][..], &[][..], true),
            (&["pos"], &[], true),
            (&["*.db"], &[], true),
            (&["2026/"], &[], false),
            (&[], &["*.db"], false),
            (&["pos"], &["pos.db"], false),
            (&[], &["/uploads"], true),
        ] {
            assert_eq!(chooser(include, exclude).takes(&names), taken, "{include:?} {exclude:?}");
        }
    }

    #[test]
    fn what_is_below_an_included_folder_is_taken() {
        let chooser = chooser(&["2026/"], &["*.tmp"]);

        assert_eq!(chooser.root(), Choice::Look);
        assert_eq!(chooser.choose(Choice::Look, b"a", true), Choice::Look);
        assert_eq!(chooser.choose(Choice::Look, b"a/2026", true), Choice::Take);
        assert_eq!(chooser.choose(Choice::Take, b"a/2026/x", false), Choice::Take);
        assert_eq!(chooser.choose(Choice::Take, b"a/2026/x.tmp", false), Choice::Leave);
        assert_eq!(chooser.choose(Choice::Look, b"a/2026", false), Choice::Leave);
        assert_eq!(chooser.choose(Choice::Look, b"b", false), Choice::Leave);
    }
}
