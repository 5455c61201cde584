//! What is inside a part: the entries of a tree, the tables of a database.

use crate::{
    chunk::Fetch,
    format::{
        node::{Content, Entry},
        record::{DatabaseFacts, Part, PartContent},
    },
    ops::Error,
    repo::tree::{self, Met, Step},
};

/// How far a listing goes down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// What is in the folder itself.
    #[default]
    Folder,
    /// What is in the folders below, too.
    Below,
}

/// Something inside a part.
#[derive(Debug)]
pub enum Listed<'a> {
    /// An entry and its path inside the part.
    Entry { path: &'a [u8], entry: &'a Entry },
    /// A table and the number of its rows, if they were counted.
    Table { name: &'a str, rows: Option<u64> },
    /// A folder that cannot be read to its end.
    Unreadable { path: &'a [u8], error: tree::Error },
}

/// Calls back with everything at a path of a part: the entries of a folder, or the one entry that
/// is there.
pub fn list(
    fetch: &dyn Fetch,
    part: &Part,
    path: &[Vec<u8>],
    reach: Reach,
    visit: &mut dyn FnMut(Listed<'_>),
) -> Result<(), Error> {
    match &part.content {
        PartContent::Database { facts, .. } => list_tables(part, facts, path, visit),
        PartContent::Tree { root, .. } => {
            let at = path.join(&b'/');
            let entry = find(fetch, part, root, &at)?;
            match &entry.content {
                Content::Folder { node } => list_folder(fetch, node, &at, reach, visit),
                _ => {
                    visit(Listed::Entry { path: &at, entry: &entry });
                    Ok(())
                }
            }
        }
    }
}

/// Finds the entry at a path of a tree.
pub fn find(fetch: &dyn Fetch, part: &Part, root: &Entry, path: &[u8]) -> Result<Entry, Error> {
    tree::find(fetch, root, path)?.ok_or_else(|| unknown_path(part, path))
}

pub(super) fn unknown_path(part: &Part, path: &[u8]) -> Error {
    Error::UnknownPath { part: part.name.clone(), path: path.to_vec() }
}

fn list_folder(
    fetch: &dyn Fetch,
    node: &crate::format::stream::Stream,
    at: &[u8],
    reach: Reach,
    visit: &mut dyn FnMut(Listed<'_>),
) -> Result<(), Error> {
    tree::walk(fetch, node, &mut |below, met| {
        let mut path = at.to_vec();
        tree::walk::join(&mut path, below);
        match met {
            Met::Entry(entry) => visit(Listed::Entry { path: &path, entry }),
            Met::Unreadable(error) => visit(Listed::Unreadable { path: &path, error }),
        }
        Ok(match reach {
            Reach::Folder => Step::Over,
            Reach::Below => Step::Into,
        })
    })
}

fn list_tables(
    part: &Part,
    facts: &DatabaseFacts,
    path: &[Vec<u8>],
    visit: &mut dyn FnMut(Listed<'_>),
) -> Result<(), Error> {
    let wanted = path.join(&b'/');
    let mut found = path.is_empty();
    for (name, rows) in &facts.rows {
        if path.is_empty() || name.as_bytes() == wanted {
            found = true;
            visit(Listed::Table { name, rows: u64::try_from(*rows).ok() });
        }
    }
    match found {
        true => Ok(()),
        false => Err(unknown_path(part, &wanted)),
    }
}
