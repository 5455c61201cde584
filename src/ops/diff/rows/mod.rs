//! How the rows of two moments of one database differ.
//!
//! Which rows may differ comes from the b-trees ([`crate::ops::past::btree`]): only pages that are
//! not the same in both images are read, besides the few that lead to them. What these rows are,
//! SQLite itself says, so that defaults, generated columns, encodings and numbers stored in another
//! form are as an application sees them. Rows are told apart by their rowid, or by the primary key
//! of a table WITHOUT ROWID.

mod candidates;
mod keyed;
mod lookup;
mod merge;
mod schema;
mod script;
mod side;

use std::ops::ControlFlow;

use rayon::prelude::*;
pub use schema::{Key, Object, Schema, Table};
pub use script::script;
pub use side::Side;

use crate::ops::{
    diff::Change,
    past::{
        Error,
        btree::{self, Alike, PageSet, leaves_tell_all},
        value::Value,
    },
};
use candidates::{Candidate, Candidates};
use keyed::{Keyed, Rowids};
use lookup::Lookup;

/// More changed pages than this part of all: the trees have too little in common to look for it.
const SHARED_PART: u32 = 2;
/// Pages that the caches of both sides can hold.
const PAGES_WARMED_MAX: usize = 1000;

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    Added,
    Removed,
    Changed,
}

/// One row that differs.
#[derive(Debug)]
pub struct Row<'a> {
    pub change: RowChange,
    /// The table as the older and the newer side have it.
    pub older: Option<(&'a Table, &'a [Value])>,
    pub newer: Option<(&'a Table, &'a [Value])>,
    /// The primary key, or the rowid.
    pub key: &'a [Value],
    pub key_names: &'a [String],
}

/// What is wanted of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only how many differ.
    Counts,
    /// By their primary key, if they have one.
    Rows,
    /// By what SQLite itself tells them apart: their rowid.
    Stored,
}

/// A piece of the answer.
#[derive(Debug)]
pub enum Event<'a> {
    /// An object of the schema that differs; of a changed one both are given.
    Schema {
        change: Change,
        older: Option<&'a Object>,
        newer: Option<&'a Object>,
    },
    Row(&'a Row<'a>),
    /// A table is done.
    Table(&'a TableCounts),
}

/// How many rows of a table differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCounts {
    pub table: String,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
}

/// Takes the pieces; breaks when nobody wants more.
pub type Visit<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// Two moments of one database.
pub struct Comparison<'a> {
    pub older: &'a Side,
    pub newer: &'a Side,
    alike: Alike,
}

impl TableCounts {
    /// Whether no row differs.
    pub const fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

impl<'a> Comparison<'a> {
    /// Finds out which pages may differ. Reads those, to learn whether they lead to all changes.
    pub fn new(older: &'a Side, newer: &'a Side) -> Result<Self, Error> {
        let alike = match (&older.pages, &newer.pages) {
            (Some(older), Some(newer)) => alike(older, newer)?,
            _ => Alike { may_differ: None, common: 0 },
        };
        Ok(Self { older, newer, alike })
    }

    /// Tells of all that differs, or of one table.
    pub fn run(&self, only: Option<&str>, detail: Detail, visit: Visit<'_>) -> Result<(), Error> {
        if self.tell_schema(only, visit).is_break() {
            return Ok(());
        }
        for name in self.table_names() {
            if only.is_some_and(|only| !only.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let mut counts = TableCounts { table: name.clone(), ..TableCounts::default() };
            let flow = self.run_table(&name, detail, &mut counts, visit)?;
            if flow.is_break() || (!counts.is_empty() && visit(Event::Table(&counts)).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// The names of all tables that hold rows, on either side.
    pub fn table_names(&self) -> Vec<String> {
        let tables = self.older.schema.tables.iter().chain(&self.newer.schema.tables);
        let mut names: Vec<String> = tables.map(|table| table.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn tell_schema(&self, only: Option<&str>, visit: Visit<'_>) -> ControlFlow<()> {
        let (older, newer) = (&self.older.schema, &self.newer.schema);
        let is_meant =
            |object: &Object| only.is_none_or(|only| object.table.eq_ignore_ascii_case(only));
        for object in older.objects.iter().filter(|object| is_meant(object)) {
            match newer.object(object) {
                None => {
                    let change = Change::Removed;
                    visit(Event::Schema { change, older: Some(object), newer: None })?;
                }
                Some(now) if now.sql != object.sql => {
                    let change = Change::Content;
                    visit(Event::Schema { change, older: Some(object), newer: Some(now) })?;
                }
                Some(_) => {}
            }
        }
        for object in newer.objects.iter().filter(|object| is_meant(object)) {
            if older.object(object).is_none() {
                let change = Change::Added;
                visit(Event::Schema { change, older: None, newer: Some(object) })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn run_table(
        &self,
        name: &str,
        detail: Detail,
        counts: &mut TableCounts,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let older = self.older.schema.table(name);
        let newer = self.newer.schema.table(name);
        let candidates = Candidates::of((self.older, older), (self.newer, newer), &self.alike)?;
        let mut lookup = Lookup::new((self.older, older), (self.newer, newer))?;
        let rowids = match self.alike.may_differ {
            Some(_) => Rowids::Kept,
            None => Rowids::MayBeNew,
        };
        if detail != Detail::Stored
            && let Some(mut keyed) = Keyed::new(older, newer, rowids)
        {
            let flow = candidates.visit(&mut |candidate| {
                let row = lookup.row(&candidate.key)?;
                Ok(row.map_or(ControlFlow::Continue(()), |row| keyed.take(&row, counts, visit)))
            })?;
            let is_wanted = flow.is_continue();
            return Ok(if is_wanted { keyed.finish(&lookup, counts, visit) } else { flow });
        }
        candidates.visit(&mut |candidate| {
            if detail == Detail::Counts
                && let Some(change) = lookup.known_change(&candidate)
            {
                counts.add(change);
                return Ok(ControlFlow::Continue(()));
            }
            match lookup.row(&candidate.key)? {
                Some(row) => {
                    counts.add(row.change);
                    Ok(visit(Event::Row(&row)))
                }
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }
}

impl TableCounts {
    const fn add(&mut self, change: RowChange) {
        match change {
            RowChange::Added => self.added += 1,
            RowChange::Removed => self.removed += 1,
            RowChange::Changed => self.changed += 1,
        }
    }
}

/// Which pages of two images are alike, as far as it helps.
fn alike(older: &btree::Pages, newer: &btree::Pages) -> Result<Alike, Error> {
    let common = older.page_count().min(newer.page_count());
    let nothing = Alike { may_differ: None, common };
    if older.usable_bytes() != newer.usable_bytes() {
        return Ok(nothing);
    }
    let changed = newer.image().reader().may_differ(older.image().reader());
    let is_too_much = changed.len() as u64 * u64::from(SHARED_PART) > u64::from(common);
    if is_too_much {
        return Ok(nothing);
    }
    warm(older, newer, &changed)?;
    if !leaves_tell_all(older, newer, &changed)? {
        return Ok(nothing);
    }
    Ok(Alike { may_differ: Some(PageSet::of(common, &changed)), common })
}

/// Reads changed pages on all cores, those of one base group together, so that they are at hand
/// for what follows.
fn warm(older: &btree::Pages, newer: &btree::Pages, changed: &[u32]) -> Result<(), Error> {
    let group_pages = newer.image().reader().image().group_pages.max(1);
    let first = &changed[..changed.len().min(PAGES_WARMED_MAX)];
    first
        .par_chunk_by(|a, b| (a - 1) / group_pages == (b - 1) / group_pages)
        .flatten_iter()
        .try_for_each(|page| older.bytes(*page).and(newer.bytes(*page)).map(drop))?;
    Ok(())
}

#[cfg(test)]
mod tests;
