//! Rows of a table whose primary key is not its rowid: a row that was replaced has another rowid
//! and the same key, and is one that changed.

use std::{collections::HashMap, ops::ControlFlow};

use crate::ops::{
    diff::rows::{Event, Row, RowChange, Table, TableCounts, Visit, lookup::Lookup},
    past::value::Value,
};

/// Rows that are kept to be matched, of each side; what comes after them is told as it is.
const KEPT_MAX: usize = 50_000;

/// Matches rows that only one side has by their primary key.
pub struct Keyed<'a> {
    names: &'a [String],
    older: Option<&'a Table>,
    newer: Option<&'a Table>,
    removed: HashMap<Vec<u8>, Vec<Value>>,
    added: Vec<Vec<Value>>,
}

impl<'a> Keyed<'a> {
    /// Begins, if the rows of the table are told apart by a key that is not the rowid.
    pub fn new(older: Option<&'a Table>, newer: Option<&'a Table>) -> Option<Self> {
        let table = newer.or(older)?;
        let is_keyed = |table: &Table| table.has_own_rowid() && !table.primary.is_empty();
        let is_same = older.is_none_or(|older| older.primary == table.primary);
        (is_keyed(table) && is_same).then(|| Self {
            names: &table.primary,
            older,
            newer,
            removed: HashMap::new(),
            added: Vec::new(),
        })
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
            match identity(key_before) {
                Some(identity) if self.removed.len() < KEPT_MAX => {
                    let _ = self.removed.insert(identity, values.to_vec());
                }
                _ => self.tell(Some(values), None, counts, visit)?,
            }
        }
        match now {
            Some(values) if self.added.len() < KEPT_MAX => self.added.push(values.to_vec()),
            Some(values) => self.tell(None, Some(values), counts, visit)?,
            None => {}
        }
        ControlFlow::Continue(())
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
            let before = identity(key).and_then(|identity| self.removed.remove(&identity));
            let is_same = before.as_ref().is_some_and(|before| !lookup.differ(before, &now));
            if !is_same {
                self.tell(before.as_deref(), Some(&now), counts, visit)?;
            }
        }
        let mut gone: Vec<(Vec<u8>, Vec<Value>)> = self.removed.drain().collect();
        gone.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, before) in gone {
            self.tell(Some(&before), None, counts, visit)?;
        }
        ControlFlow::Continue(())
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
        let key = newer.or(older).and_then(|(table, values)| key_of(table, self.names, values));
        let (key, key_names) = (&key.unwrap_or_default()[..], self.names);
        visit(Event::Row(&Row { change, older, newer, key, key_names }))
    }
}

/// The values of the primary key in a row.
fn key_of(table: &Table, names: &[String], values: &[Value]) -> Option<Vec<Value>> {
    let place = |name: &String| table.columns.iter().position(|column| column == name);
    names.iter().map(|name| values.get(place(name)?).cloned()).collect()
}

/// Alike for alike keys; none where a part of the key is NULL, which equals nothing.
fn identity(key: Option<Vec<Value>>) -> Option<Vec<u8>> {
    let key = key.filter(|key| !key.contains(&Value::Null))?;
    let shown = format!("{key:?}");
    Some(shown.into_bytes())
}
