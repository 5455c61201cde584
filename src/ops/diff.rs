//! What differs between two moments: paths of trees, pages and rows of databases.

mod present;
mod renames;
pub mod rows;
pub mod text;
mod trees;

use std::sync::Arc;

pub use present::{Place, diff_present};
use renames::Renames;
pub use trees::{Change, Difference};

use crate::{
    chunk::Fetch,
    format::{
        image::Image,
        record::{DatabaseFacts, PartContent, PartKind},
    },
    ops::{Error, list::find, moment::PartAt, owners::owners_between},
    repo::{image::ImageReader, tree},
};

/// One difference.
#[derive(Debug)]
pub enum Found<'a> {
    /// A part that only one side has.
    Part {
        name: &'a str,
        kind: PartKind,
        change: Change,
    },
    Entry {
        part: &'a str,
        difference: Difference<'a>,
    },
    Database {
        part: &'a str,
        older: &'a Image,
        newer: &'a Image,
        difference: DatabaseDifference,
    },
    /// A folder of one side that cannot be read to its end.
    Unreadable {
        part: &'a str,
        path: &'a [u8],
        error: tree::Error,
    },
}

/// How two images of one database differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseDifference {
    pub pages_from: u32,
    pub pages_to: u32,
    /// Pages of the newer image that are not as they were.
    pub pages_changed: u32,
    pub page_bytes: u32,
    /// Tables whose number of rows differs: name, before, now; absent where there is no such table.
    pub tables: Vec<(String, Option<i64>, Option<i64>)>,
}

/// Calls back with everything that differs. Parts that both sides take from one snapshot are alike
/// without a look.
pub fn diff(
    fetch: Arc<dyn Fetch>,
    from: &[PartAt<'_>],
    to: &[PartAt<'_>],
    path: &[Vec<u8>],
    visit: &mut dyn FnMut(Found<'_>),
) -> Result<(), Error> {
    for older in from {
        let name = &older.part.name;
        match to.iter().find(|newer| newer.part.name == *name) {
            Some(newer) if newer.snapshot.id == older.snapshot.id => {}
            Some(newer) => diff_parts(&fetch, (*older, *newer), path, visit)?,
            None => visit(Found::Part { name, kind: older.part.kind, change: Change::Removed }),
        }
    }
    for newer in to {
        let name = &newer.part.name;
        if from.iter().all(|older| older.part.name != *name) {
            visit(Found::Part { name, kind: newer.part.kind, change: Change::Added });
        }
    }
    Ok(())
}

fn diff_parts(
    fetch: &Arc<dyn Fetch>,
    (older, newer): (PartAt<'_>, PartAt<'_>),
    path: &[Vec<u8>],
    visit: &mut dyn FnMut(Found<'_>),
) -> Result<(), Error> {
    let (from, to) = (older.part, newer.part);
    let [before, now] = [older, newer].map(|at| &at.snapshot.record.environment);
    let owners = owners_between(before, now);
    match (&from.content, &to.content) {
        (PartContent::Tree { root: older, .. }, PartContent::Tree { root: newer, .. }) => {
            let path = path.join(&b'/');
            let older = find(&**fetch, from, older, &path)?;
            let newer = find(&**fetch, to, newer, &path)?;
            let part = &to.name;
            let mut renames = Renames::default();
            trees::diff((&**fetch, &owners), (&older, &newer), &path, &mut |seen| match seen {
                Ok(difference) if renames.keeps(&difference) => {}
                Ok(difference) => visit(Found::Entry { part, difference }),
                Err((path, error)) => visit(Found::Unreadable { part, path, error }),
            });
            renames.tell(&mut |difference| visit(Found::Entry { part, difference }));
            Ok(())
        }
        (
            PartContent::Database { image: older, facts: rows_before },
            PartContent::Database { image: newer, facts: rows_now },
        ) => {
            if older.identity != newer.identity {
                let (before, now) = ((&**older, &**rows_before), (&**newer, &**rows_now));
                let difference = database_difference(fetch, before, now)?;
                visit(Found::Database { part: &to.name, older, newer, difference });
            }
            Ok(())
        }
        _ => {
            visit(Found::Part { name: &to.name, kind: to.kind, change: Change::Kind });
            Ok(())
        }
    }
}

/// How two images of one database differ, as far as their pages and their records tell.
pub fn database_difference(
    fetch: &Arc<dyn Fetch>,
    (older, rows_before): (&Image, &DatabaseFacts),
    (newer, rows_now): (&Image, &DatabaseFacts),
) -> Result<DatabaseDifference, Error> {
    let older_reader = ImageReader::open(older, Arc::clone(fetch))?;
    let newer_reader = ImageReader::open(newer, Arc::clone(fetch))?;
    // Without a look at them: a page that was stored anew is as good as changed.
    let changed = if older.page_bytes == newer.page_bytes {
        let more = newer.page_count.saturating_sub(older.page_count);
        newer_reader.may_differ(&older_reader).len() as u32 + more
    } else {
        newer.page_count
    };
    Ok(DatabaseDifference {
        pages_from: older.page_count,
        pages_to: newer.page_count,
        pages_changed: changed,
        page_bytes: newer.page_bytes,
        tables: tables(rows_before, rows_now),
    })
}

fn tables(from: &DatabaseFacts, to: &DatabaseFacts) -> Vec<(String, Option<i64>, Option<i64>)> {
    let rows = |facts: &DatabaseFacts, table: &str| {
        let found = facts.rows.iter().find(|(name, _)| name == table);
        found.map(|(_, rows)| *rows)
    };
    let mut names: Vec<&String> = from.rows.iter().chain(&to.rows).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let compared = names.into_iter().map(|name| (name.clone(), rows(from, name), rows(to, name)));
    compared.filter(|(_, from, to)| from != to).collect()
}
