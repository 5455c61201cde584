//! Every version of one row, over all snapshots.
//!
//! The row is looked up in the first image, and the pages that SQLite read for it are noted. As
//! long as none of them changes from one image to the next, the answer cannot change either; so
//! most images are never opened as a database, and their page maps alone say so.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use rusqlite::{params_from_iter, types::ValueRef};

use crate::{
    chunk::Fetch,
    format::{
        image::Image,
        record::{DatabaseFacts, PartContent},
    },
    ops::{
        Error,
        past::{Answer, Error as PastError, PastDatabase, Terms, names::quoted, value::Value},
    },
    repo::{Snapshot, image::ImageReader},
};

/// Which row.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The part that is the database.
    pub part: &'a str,
    pub table: &'a str,
    /// The values of its primary key, or its rowid.
    pub key: &'a [String],
}

/// A row as it was for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Version<'a> {
    /// The first snapshot that has it so, and the last.
    pub first: &'a Snapshot,
    pub last: &'a Snapshot,
    /// Names and values of its columns; nothing where there was no such row.
    pub row: Option<Vec<(String, Value)>>,
}

/// What was found, and what it took.
#[derive(Debug, Default)]
pub struct History<'a> {
    /// Oldest first.
    pub versions: Vec<Version<'a>>,
    pub images: u64,
    /// Images that were opened as a database; the others share all pages of the row with one.
    pub images_opened: u64,
    /// Snapshots whose image could not be read, and why.
    pub unreadable: Vec<(&'a Snapshot, Error)>,
}

/// The image that was looked at last.
struct Looked<'a> {
    image: &'a Image,
    reader: ImageReader,
    /// What the answer rests on; nothing if that is too much to compare.
    pages: Option<BTreeSet<u32>>,
    head: Vec<u8>,
}

/// Finds every version of a row.
pub fn history<'a>(
    snapshots: &'a [Snapshot],
    fetch: &Arc<dyn Fetch>,
    terms: &Terms,
    wanted: &Wanted<'_>,
) -> Result<History<'a>, Error> {
    let mut history = History::default();
    let mut before: Option<Looked<'a>> = None;
    let mut has_table = false;
    for snapshot in snapshots {
        let Some((image, _)) = image_of(snapshot, wanted.part) else { continue };
        history.images += 1;
        match look(image, fetch, before.as_ref()) {
            Ok(Look::Same(reader)) => {
                if let (Some(looked), Some(version)) = (&mut before, history.versions.last_mut()) {
                    (looked.image, looked.reader) = (image, reader);
                    version.last = snapshot;
                }
            }
            Ok(Look::Other(reader, head)) => {
                history.images_opened += 1;
                match find(terms, fetch, image, wanted) {
                    Ok(found) => {
                        has_table |= found.has_table;
                        history.add(snapshot, found.row);
                        let pages = found.pages;
                        before = Some(Looked { image, reader, pages, head });
                    }
                    Err(error @ PastError::Stopped) => return Err(error.into()),
                    Err(error) => history.unreadable.push((snapshot, error.into())),
                }
            }
            Err(error) => history.unreadable.push((snapshot, error)),
        }
    }
    if !has_table && history.unreadable.is_empty() {
        let message = format!("no snapshot has a table {} in {}", wanted.table, wanted.part);
        return Err(PastError::Statement { message }.into());
    }
    // That there was nothing before the first version goes without saying.
    if history.versions.first().is_some_and(|version| version.row.is_none()) {
        let _ = history.versions.remove(0);
    }
    Ok(history)
}

impl<'a> History<'a> {
    fn add(&mut self, snapshot: &'a Snapshot, row: Option<Vec<(String, Value)>>) {
        match self.versions.last_mut() {
            Some(version) if version.row == row => version.last = snapshot,
            _ => self.versions.push(Version { first: snapshot, last: snapshot, row }),
        }
    }
}

fn image_of<'a>(snapshot: &'a Snapshot, part: &str) -> Option<(&'a Image, &'a DatabaseFacts)> {
    let part = snapshot.record.parts.iter().find(|held| held.name == part)?;
    match &part.content {
        PartContent::Database { image, facts } => Some((image, facts)),
        PartContent::Tree { .. } => None,
    }
}

/// Whether an image can hold another answer than the one before it.
enum Look {
    Same(ImageReader),
    /// With what matters of its page 1.
    Other(ImageReader, Vec<u8>),
}

fn look(image: &Image, fetch: &Arc<dyn Fetch>, before: Option<&Looked<'_>>) -> Result<Look, Error> {
    let reader = ImageReader::open(image, Arc::clone(fetch))?;
    if let Some(before) = before.filter(|before| before.image.identity == image.identity) {
        let _ = before;
        return Ok(Look::Same(reader));
    }
    let head = match image.page_count {
        0 => Vec::new(),
        _ => without_counters(reader.page(1)?),
    };
    let Some((before, pages)) = before.and_then(|before| Some((before, before.pages.as_ref()?)))
    else {
        return Ok(Look::Other(reader, head));
    };
    let differs = |page: &u32| *page > 1 && pages.contains(page);
    let has_all = pages.last().is_none_or(|last| *last <= image.page_count);
    let is_same_size = image.page_bytes == before.image.page_bytes;
    let is_same = has_all
        && is_same_size
        && before.head == head
        && !reader.may_differ(&before.reader).iter().any(differs);
    Ok(if is_same { Look::Same(reader) } else { Look::Other(reader, head) })
}

/// Page 1 without what every commit may change and no answer depends on: the change counter, the
/// size, the list of free pages, and the version that wrote last.
fn without_counters(mut page: Vec<u8>) -> Vec<u8> {
    for counters in [24..40, 92..100] {
        page[counters].fill(0);
    }
    page
}

struct Found {
    row: Option<Vec<(String, Value)>>,
    has_table: bool,
    pages: Option<BTreeSet<u32>>,
}

fn find(
    terms: &Terms,
    fetch: &Arc<dyn Fetch>,
    image: &Image,
    wanted: &Wanted<'_>,
) -> Result<Found, PastError> {
    let database = PastDatabase::open(terms, Arc::clone(fetch), image)?;
    let Some(names) = key_names(&database, wanted.table)? else {
        return Ok(Found { row: None, has_table: false, pages: database.pages_seen() });
    };
    if names.len() != wanted.key.len() {
        let message = format!(
            "the key of {} has {} columns: {}",
            wanted.table,
            names.len(),
            names.join(", ")
        );
        return Err(PastError::Statement { message });
    }
    let conditions: Vec<String> = names.iter().map(|name| format!("{name} = ?")).collect();
    let (table, conditions) = (quoted(wanted.table), conditions.join(" AND "));
    let sql = format!("SELECT * FROM main.{table} WHERE {conditions}");
    let explain = |error| database.explain(error);
    let mut statement = database.connection().prepare(&sql).map_err(explain)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query(params_from_iter(wanted.key)).map_err(explain)?;
    let row = match rows.next().map_err(explain)? {
        None => None,
        Some(row) => {
            let value = |at: usize| row.get_ref(at).map(Value::from).map_err(explain);
            let columns = columns.into_iter().enumerate();
            let values = columns.map(|(at, name)| Ok((name, value(at)?)));
            Some(values.collect::<Result<Vec<_>, PastError>>()?)
        }
    };
    Ok(Found { row, has_table: true, pages: database.pages_seen() })
}

/// The columns of the primary key, quoted, or the rowid; nothing if there is no such table.
fn key_names(database: &PastDatabase, table: &str) -> Result<Option<Vec<String>>, PastError> {
    let mut keyed: Vec<(i64, String)> = Vec::new();
    let mut has_table = false;
    let sql = format!("PRAGMA main.table_info({})", quoted(table));
    database.query(&sql, &mut |answer| {
        if let Answer::Row([_, ValueRef::Text(name), _, _, _, ValueRef::Integer(place)]) = answer {
            has_table = true;
            if *place > 0 {
                keyed.push((*place, quoted(&String::from_utf8_lossy(name))));
            }
        }
        ControlFlow::Continue(())
    })?;
    keyed.sort();
    let names: Vec<String> = keyed.into_iter().map(|(_, name)| name).collect();
    Ok(has_table.then(|| if names.is_empty() { vec!["rowid".to_owned()] } else { names }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::past::sample::{Archive, database, snapshot, terms};

    const SHOP: &str = "PRAGMA page_size=512; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE other (x);
        INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)
            SELECT i, 'value ' || i FROM n;";

    #[test]
    fn a_row_is_told_in_versions_and_images_that_share_it_are_not_opened() {
        let mut archive = Archive::new();
        let mut snapshots = Vec::new();
        let mut sql = SHOP.to_owned();
        let mut last: Option<(Vec<u8>, Image)> = None;
        for change in [
            "",
            "UPDATE t SET v = 'far away' WHERE id = 2900;",
            "UPDATE t SET v = 'new' WHERE id = 7;",
            "UPDATE t SET v = 'also far' WHERE id = 2800;",
            "DELETE FROM t WHERE id = 7;",
            "INSERT INTO other VALUES (1);",
        ] {
            sql.push_str(change);
            let file = database(&sql);
            let image = archive.put(&file, last.as_ref().map(|(file, image)| (image, &file[..])));
            snapshots.push(snapshot(snapshots.len() as u8, "pos", &image));
            last = Some((file, image));
        }

        let wanted = Wanted { part: "pos", table: "t", key: &["7".to_owned()] };
        let found = history(&snapshots, &archive.fetch(), &terms(), &wanted).unwrap();

        let told: Vec<_> = found
            .versions
            .iter()
            .map(|version| {
                let row = version.row.as_ref().map(|row| row[1].1.clone());
                (version.first.id.0[0], version.last.id.0[0], row)
            })
            .collect();
        assert_eq!(
            told,
            [(0, 1, Some(Value::text("value 7"))), (2, 3, Some(Value::text("new"))), (4, 5, None)]
        );
        assert_eq!((found.images, found.images_opened), (6, 3));
    }

    #[test]
    fn a_table_that_never_was_is_an_error_and_not_an_empty_history() {
        let mut archive = Archive::new();
        let image = archive.put(&database(SHOP), None);
        let snapshots = [snapshot(1, "pos", &image)];

        let wanted = Wanted { part: "pos", table: "nowhere", key: &["7".to_owned()] };
        let found = history(&snapshots, &archive.fetch(), &terms(), &wanted);

        assert!(matches!(found, Err(Error::Past(PastError::Statement { .. }))));
    }
}
