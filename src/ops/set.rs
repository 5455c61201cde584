//! What is to be backed up: sets, as the configuration or the command line names them.

use std::path::PathBuf;

pub use crate::source::files::Mounts;
use crate::{format::record::PartKind, limits::PART_NAME_BYTES_MAX};

/// One thing to back up. A run makes one part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Valid by [`is_part_name`].
    pub name: String,
    pub source: SetSource,
}

/// Where a set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetSource {
    Sqlite { path: PathBuf },
    Files(FileSet),
}

/// A choice of files and folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSet {
    /// Absolute; at least one.
    pub paths: Vec<PathBuf>,
    /// Patterns in the manner of `.gitignore`.
    pub exclude: Vec<String>,
    /// A folder that holds one of these names is left out.
    pub exclude_if_present: Vec<String>,
    pub mounts: Mounts,
    pub content: FileContent,
}

/// What the files are to their owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileContent {
    #[default]
    Files,
    Config,
    Cache,
}

impl Set {
    /// The kind of part that the set makes.
    pub const fn kind(&self) -> PartKind {
        match &self.source {
            SetSource::Sqlite { .. } => PartKind::Database,
            SetSource::Files(FileSet { content: FileContent::Files, .. }) => PartKind::Files,
            SetSource::Files(FileSet { content: FileContent::Config, .. }) => PartKind::Config,
            SetSource::Files(FileSet { content: FileContent::Cache, .. }) => PartKind::Cache,
        }
    }
}

/// How the version of the backed-up application is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppVersion {
    /// The first column of the first row that the query returns from this database set.
    Sql { set: String, query: String },
    /// The first line of the file.
    File(PathBuf),
    /// The first line that the command prints; no shell.
    Command(Vec<String>),
}

/// Whether the text may name a part: `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
pub fn is_part_name(text: &str) -> bool {
    let first_fits =
        text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    first_fits && text.len() <= PART_NAME_BYTES_MAX && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_names_are_lower_case_and_begin_with_a_letter_or_digit() {
        for name in ["pos", "0", "pos.v2", "uploads-2026_11", &"a".repeat(64)] {
            assert!(is_part_name(name), "{name}");
        }
        for name in ["", ".pos", "-pos", "POS", "größe", "a/b", "a:b", "a b", &"a".repeat(65)] {
            assert!(!is_part_name(name), "{name}");
        }
    }
}
