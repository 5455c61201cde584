//! What a row is on either side, in SQLite's own words.

use std::collections::HashSet;

use rusqlite::{CachedStatement, params_from_iter};

use crate::ops::{
    diff::rows::{Candidate, Row, RowChange, Side, Table, schema::Key},
    past::{
        Error,
        btree::{Compared, Content, compare},
        names::quoted,
        value::Value,
    },
};

/// Asks both sides for rows of one table.
pub struct Lookup<'a> {
    older: Option<Asked<'a>>,
    newer: Option<Asked<'a>>,
    /// Columns that both have, as places in the one and the other.
    common: Vec<(usize, usize)>,
    is_same_layout: bool,
    /// Rows found under keys that are not alike, but equal: 'a' and 'A' without regard to case.
    told: HashSet<Vec<u8>>,
    has_equal_keys: bool,
}

/// One side of a table.
struct Asked<'a> {
    side: &'a Side,
    table: &'a Table,
    statement: CachedStatement<'a>,
    values: Vec<Value>,
}

impl<'a> Lookup<'a> {
    pub fn new(
        (older_side, older): (&'a Side, Option<&'a Table>),
        (newer_side, newer): (&'a Side, Option<&'a Table>),
    ) -> Result<Self, Error> {
        let common = match (older, newer) {
            (Some(older), Some(newer)) => common_columns(older, newer),
            _ => Vec::new(),
        };
        let columns = |table: Option<&'a Table>| table.map(|table| &table.columns);
        let by_columns =
            |table: Option<&Table>| table.is_some_and(|table| matches!(table.key, Key::Columns(_)));
        Ok(Self {
            is_same_layout: columns(older) == columns(newer),
            has_equal_keys: by_columns(older) || by_columns(newer),
            older: older.map(|table| Asked::new(older_side, table)).transpose()?,
            newer: newer.map(|table| Asked::new(newer_side, table)).transpose()?,
            common,
            told: HashSet::new(),
        })
    }

    /// How a row differs, if its bytes say so without doubt.
    pub fn known_change(&self, candidate: &Candidate) -> Option<RowChange> {
        if self.has_equal_keys {
            return None;
        }
        match (&candidate.older, &candidate.newer) {
            (None, Some(_)) => Some(RowChange::Added),
            (Some(_), None) => Some(RowChange::Removed),
            (Some(Content::Whole(older)), Some(Content::Whole(newer)))
                if self.is_same_layout && compare(older, newer) == Compared::Different =>
            {
                Some(RowChange::Changed)
            }
            _ => None,
        }
    }

    /// Looks a row up; nothing if it is the same on both sides.
    pub fn row<'r>(&'r mut self, key: &'r [Value]) -> Result<Option<Row<'r>>, Error> {
        let before = self.older.as_mut().map(|side| side.find(key)).transpose()? == Some(true);
        let now = self.newer.as_mut().map(|side| side.find(key)).transpose()? == Some(true);
        let older = self.older.as_ref().filter(|_| before);
        let newer = self.newer.as_ref().filter(|_| now);
        let change = match (older, newer) {
            (Some(older), Some(newer)) if !self.differ(&older.values, &newer.values) => {
                return Ok(None);
            }
            (Some(_), Some(_)) => RowChange::Changed,
            (Some(_), None) => RowChange::Removed,
            (None, Some(_)) => RowChange::Added,
            (None, None) => return Ok(None),
        };
        if self.has_equal_keys {
            let shown = format!("{:?}", newer.or(older).map(|side| &side.values));
            let hash = blake3::hash(shown.as_bytes());
            if !self.told.insert(hash.as_bytes()[..16].to_vec()) {
                return Ok(None);
            }
        }
        let key_names = newer.or(older).map(|side| side.table.key.names()).unwrap_or_default();
        let told = |side: Option<&'r Asked<'a>>| side.map(|side| (side.table, &side.values[..]));
        Ok(Some(Row { change, older: told(older), newer: told(newer), key, key_names }))
    }

    /// Whether a column that both sides have differs.
    pub fn differ(&self, older: &[Value], newer: &[Value]) -> bool {
        self.common.iter().any(|(before, now)| older[*before] != newer[*now])
    }
}

impl<'a> Asked<'a> {
    fn new(side: &'a Side, table: &'a Table) -> Result<Self, Error> {
        let columns: Vec<String> = table.columns.iter().map(|name| quoted(name)).collect();
        let names = table.key.names();
        let names = names.iter().map(|name| format!("{} = ?", quoted(name)));
        let condition = match &table.key {
            // Quoted, a rowid that is no column would be a text.
            Key::Rowid(name) if table.has_own_rowid() => format!("{name} = ?"),
            Key::Rowid(name) => format!("{} = ?", quoted(name)),
            Key::Columns(_) => names.collect::<Vec<_>>().join(" AND "),
            Key::Hidden => {
                let message = format!("the rows of {} cannot be told apart", table.name);
                return Err(Error::Statement { message });
            }
        };
        let columns = if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") };
        let name = quoted(&table.name);
        let sql = format!("SELECT {columns} FROM main.{name} WHERE {condition}");
        let statement = side.database.connection().prepare_cached(&sql);
        let statement = statement.map_err(|error| side.database.explain(error))?;
        Ok(Self { side, table, statement, values: Vec::new() })
    }

    /// Finds the row; whether there is one.
    fn find(&mut self, key: &[Value]) -> Result<bool, Error> {
        let explain = |error| self.side.database.explain(error);
        self.side.database.restart();
        self.values.clear();
        let mut rows = self.statement.query(params_from_iter(key)).map_err(explain)?;
        let Some(row) = rows.next().map_err(explain)? else { return Ok(false) };
        for at in 0..self.table.columns.len() {
            self.values.push(row.get_ref(at).map_err(explain)?.into());
        }
        Ok(true)
    }
}

fn common_columns(older: &Table, newer: &Table) -> Vec<(usize, usize)> {
    let place = |name: &String| newer.columns.iter().position(|column| column == name);
    let columns = older.columns.iter().enumerate();
    columns.filter_map(|(before, name)| Some((before, place(name)?))).collect()
}
