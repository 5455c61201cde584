//! What made the repository grow: tables and folders that changed since a moment.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use rusqlite::types::ValueRef;

use crate::{
    chunk::Fetch,
    clock::UnixNanos,
    format::{
        image::Image,
        node::{Content, Entry},
        record::{Part, PartContent},
    },
    ops::{
        Error,
        diff::{Found, diff},
        moment::PartAt,
        past::{
            self, Answer, PastDatabase, Terms,
            btree::{Alike, PageSet, Pages, differing_pages},
        },
    },
    repo::Snapshot,
};

/// Folders are added up down to this many names.
const FOLDER_NAMES: usize = 2;

/// What was added since a moment.
#[derive(Debug, Default)]
pub struct Growth {
    /// Snapshots that were made since.
    pub snapshots: u64,
    /// What they added to the repository, compressed and sealed.
    pub bytes_added: u64,
    /// Plain bytes of each part that were new, over all of them; most first.
    pub parts: Vec<(String, u64)>,
    /// Where a part is not as it was then; most first.
    pub places: Vec<Place>,
}

/// A table, or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub part: String,
    /// Name of a table, or path of a folder.
    pub name: String,
    /// Plain bytes of pages or files that are not as they were then.
    pub bytes: u64,
}

/// Adds up what differs from one moment to another, and what the snapshots between them stored.
pub fn growth(
    snapshots: &[Snapshot],
    since: UnixNanos,
    (from, to): (&[PartAt<'_>], &[PartAt<'_>]),
    (terms, fetch): (&Terms, &Arc<dyn Fetch>),
) -> Result<Growth, Error> {
    let mut growth = Growth::default();
    let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.record.created >= since) {
        growth.snapshots += 1;
        growth.bytes_added += snapshot.record.bytes_added;
        for part in &snapshot.record.parts {
            *parts.entry(&part.name).or_default() += part.totals.bytes_new;
        }
    }
    let mut places: BTreeMap<(String, String), u64> = BTreeMap::new();
    for newer in to {
        let older = from.iter().find(|older| older.part.name == newer.part.name);
        let older = older.map(|older| older.part);
        if let PartContent::Database { image, .. } = &newer.part.content {
            for (table, bytes) in tables(terms, fetch, older, image)? {
                *places.entry((newer.part.name.clone(), table)).or_default() += bytes;
            }
        }
    }
    diff(Arc::clone(fetch), from, to, &[], &mut |found| {
        let Found::Entry { part, difference } = found else { return };
        let is_new =
            |entry: &&Entry| difference.from.is_none_or(|older| older.content != entry.content);
        if let Some(bytes) = difference.to.filter(is_new).and_then(file_bytes) {
            let key = (part.to_owned(), folder(difference.path));
            *places.entry(key).or_default() += bytes;
        }
    })?;
    growth.parts = parts.into_iter().map(|(part, bytes)| (part.to_owned(), bytes)).collect();
    growth.parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let place = |((part, name), bytes)| Place { part, name, bytes };
    growth.places = places.into_iter().map(place).filter(|place| place.bytes > 0).collect();
    growth.places.sort_by_key(|place| std::cmp::Reverse(place.bytes));
    Ok(growth)
}

fn file_bytes(entry: &Entry) -> Option<u64> {
    match &entry.content {
        Content::File { bytes, .. } => Some(*bytes),
        _ => None,
    }
}

/// The folder that a path is counted in.
fn folder(path: &[u8]) -> String {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let above = names.len().saturating_sub(1).min(FOLDER_NAMES);
    let folder = names[..above].join(&b'/');
    format!("{}/", String::from_utf8_lossy(&folder))
}

/// Bytes of pages of each table and its indexes that are not as they were.
fn tables(
    terms: &Terms,
    fetch: &Arc<dyn Fetch>,
    older: Option<&Part>,
    newer: &Image,
) -> Result<Vec<(String, u64)>, past::Error> {
    let older = older.and_then(|part| match &part.content {
        PartContent::Database { image, .. } => Some(&**image),
        PartContent::Tree { .. } => None,
    });
    if newer.page_count == 0 || older.is_some_and(|older| older.identity == newer.identity) {
        return Ok(Vec::new());
    }
    let (now, roots) = trees(terms, fetch, newer)?;
    let before = match older.filter(|image| image.page_count > 0) {
        Some(image) => Some(trees(terms, fetch, image)?),
        None => None,
    };
    let page_bytes = u64::from(newer.page_bytes);
    let mut found = Vec::new();
    for (name, table, root) in roots {
        let same = before.as_ref().and_then(|(pages, roots)| {
            Some((pages, roots.iter().find(|(known, ..)| *known == name)?.2))
        });
        let changed = match same {
            Some((pages, older_root)) => {
                let alike = alike(pages, &now);
                differing_pages((pages, older_root), (&now, root), &alike)?.newer.len()
            }
            None => past::btree::all_pages(&now, root)?.len(),
        };
        found.push((table, changed as u64 * page_bytes));
    }
    Ok(found)
}

fn alike(older: &Pages, newer: &Pages) -> Alike {
    let common = older.page_count().min(newer.page_count());
    let changed = newer.image().reader().may_differ(older.image().reader());
    Alike { may_differ: Some(PageSet::of(common, &changed)), common }
}

/// Name, table and first page of every tree.
type Roots = Vec<(String, String, u32)>;

fn trees(
    terms: &Terms,
    fetch: &Arc<dyn Fetch>,
    image: &Image,
) -> Result<(Pages, Roots), past::Error> {
    let database = PastDatabase::open(terms, Arc::clone(fetch), image)?;
    let mut roots = Vec::new();
    let sql = "SELECT name, tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0";
    database.query(sql, &mut |answer| {
        if let Answer::Row([ValueRef::Text(name), ValueRef::Text(table), ValueRef::Integer(root)]) =
            answer
        {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            roots.push((text(name), text(table), u32::try_from(*root).unwrap_or_default()));
        }
        ControlFlow::Continue(())
    })?;
    Ok((Pages::open(Arc::clone(database.pages()))?, roots))
}
