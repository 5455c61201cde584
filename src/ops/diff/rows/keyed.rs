//! Rows that are told apart by more than their rowid.
//!
//! A row that was replaced has another rowid and the same primary key, and is one that changed. Of
//! a table without a primary key nothing but the rowid tells rows apart, and VACUUM gives new ones:
//! there only what rows hold counts, as in a bag.

use std::{collections::HashMap, ops::ControlFlow};

use crate::{
    limits::MIB,
    ops::{
        diff::rows::{Event, Row, RowChange, Table, TableCounts, Visit, lookup::Lookup},
        past::value::Value,
    },
};

/// Rows that are kept to be matched, of each side; what comes after them is told as it is.
const KEPT_MAX: usize = 50_000;
/// The same for what they hold, of both sides together.
const KEPT_BYTES_MAX: usize = 64 * MIB;

/// Matches rows that only one side has by their primary key, or by all that they hold.
pub struct Keyed<'a> {
    /// The columns that count, and those that are shown as the key.
    names: &'a [String],
    shown: &'a [String],
    older: Option<&'a Table>,
    newer: Option<&'a Table>,
    /// Several may be alike where there is no key.
    removed: HashMap<Vec<u8>, Vec<Vec<Value>>>,
    removed_count: usize,
    added: Vec<Vec<Value>>,
    kept_bytes: usize,
}

/// Whether rowids may have been given anew between the two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rowids {
    Kept,
    MayBeNew,
}

impl<'a> Keyed<'a> {
    /// Begins, if the rows of the table are told apart by something else than the rowid.
    pub fn new(older: Option<&'a Table>, newer: Option<&'a Table>, rowids: Rowids) -> Option<Self> {
        let table = newer.or(older).filter(|table| table.has_own_rowid())?;
        let is_same = older.is_none_or(|older| older.primary == table.primary);
        let (names, shown) = match table.primary.is_empty() {
            false if is_same => (&table.primary[..], &table.primary[..]),
            true if rowids == Rowids::MayBeNew => (&table.columns[..], &[][..]),
            _ => return None,
        };
        let (removed, added) = (HashMap::new(), Vec::new());
        Some(Self { names, shown, older, newer, removed, removed_count: 0, added, kept_bytes: 0 })
    }

    /// Takes a row; tells it at once if it cannot be half of a pair.
    pub fn take(
        &mut self,
        row: &Row<'_>,
        counts: &mut TableCounts,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let before = row.older.map(|(_, values)| values);
        let now = row.newer.map(|(_, values)| values);
        let key =
            |table: Option<&Table>, values: Option<&[Value]>| key_of(table?, self.names, values?);
        let (key_before, key_now) = (key(self.older, before), key(self.newer, now));
        if before.is_some() && now.is_some() && key_before == key_now {
            return self.tell(before, now, counts, visit);
        }
        if let Some(values) = before {
            match self.identity(key_before) {
                Some(identity) if self.removed_count < KEPT_MAX && self.has_room() => {
                    self.kept_bytes += identity.len() + bytes_of(values);
                    self.removed.entry(identity).or_default().push(values.to_vec());
                    self.removed_count += 1;
                }
                _ => self.tell(Some(values), None, counts, visit)?,
            }
        }
        match now {
            Some(values) if self.added.len() < KEPT_MAX && self.has_room() => {
                self.kept_bytes += bytes_of(values);
                self.added.push(values.to_vec());
            }
            Some(values) => self.tell(None, Some(values), counts, visit)?,
            None => {}
        }
        ControlFlow::Continue(())
    }

    const fn has_room(&self) -> bool {
        self.kept_bytes < KEPT_BYTES_MAX
    }

    /// Tells what was kept, in pairs where there are two of a key.
    pub fn finish(
        mut self,
        lookup: &Lookup<'_>,
        counts: &mut TableCounts,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        for now in std::mem::take(&mut self.added) {
            let key = self.newer.and_then(|table| key_of(table, self.names, &now));
            let alike = self.identity(key).and_then(|identity| self.removed.get_mut(&identity));
            let before = alike.and_then(Vec::pop);
            let is_same = before.as_ref().is_some_and(|before| !lookup.differ(before, &now));
            if !is_same {
                self.tell(before.as_deref(), Some(&now), counts, visit)?;
            }
        }
        let mut gone: Vec<(Vec<u8>, Vec<Vec<Value>>)> = self.removed.drain().collect();
        gone.sort_by(|a, b| a.0.cmp(&b.0));
        for before in gone.into_iter().flat_map(|(_, alike)| alike) {
            self.tell(Some(&before), None, counts, visit)?;
        }
        ControlFlow::Continue(())
    }

    /// Alike for alike keys; none where a part of a primary key is NULL, which equals nothing.
    fn identity(&self, key: Option<Vec<Value>>) -> Option<Vec<u8>> {
        let key = key.filter(|key| self.shown.is_empty() || !key.contains(&Value::Null))?;
        Some(format!("{key:?}").into_bytes())
    }

    fn tell(
        &self,
        before: Option<&[Value]>,
        now: Option<&[Value]>,
        counts: &mut TableCounts,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let change = match (before, now) {
            (Some(_), Some(_)) => RowChange::Changed,
            (Some(_), None) => RowChange::Removed,
            _ => RowChange::Added,
        };
        counts.add(change);
        let (older, newer) = (self.older.zip(before), self.newer.zip(now));
        let key = newer.or(older).and_then(|(table, values)| key_of(table, self.shown, values));
        let (key, key_names) = (&key.unwrap_or_default()[..], self.shown);
        visit(Event::Row(&Row { change, older, newer, key, key_names }))
    }
}

fn bytes_of(values: &[Value]) -> usize {
    values.iter().map(Value::bytes).sum()
}

/// The values of the primary key in a row.
fn key_of(table: &Table, names: &[String], values: &[Value]) -> Option<Vec<Value>> {
    let place = |name: &String| table.columns.iter().position(|column| column == name);
    names.iter().map(|name| values.get(place(name)?).cloned()).collect()
}
