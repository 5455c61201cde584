//! What a table looks like, then and now.

use rusqlite::{Connection, OptionalExtension};

use super::Error;
use crate::ops::past::names::quoted;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// As it is written in the schema.
    pub name: String,
    pub columns: Vec<Column>,
    pub is_virtual: bool,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub declared: String,
    pub must_have: bool,
    pub has_default: bool,
    /// Its place in the primary key, from 1; 0: none.
    pub key: i64,
    /// Its value follows from others.
    pub is_generated: bool,
}

impl Shape {
    /// Reads the shape of a table; nothing if there is none of this name.
    pub fn read(connection: &Connection, table: &str) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 \
                   COLLATE NOCASE";
        let found = connection
            .query_row(sql, [table], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)))
            .optional()?;
        let Some((name, sql)): Option<(String, _)> = found else { return Ok(None) };
        let is_virtual = sql.is_some_and(|sql| {
            sql.get(..14).is_some_and(|head| head.eq_ignore_ascii_case("CREATE VIRTUAL"))
        });
        let mut statement =
            connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(&name)))?;
        let columns = statement.query_map([], |row| {
            Ok(Column {
                name: row.get("name")?,
                declared: row.get("type")?,
                must_have: row.get("notnull")?,
                has_default: row.get::<_, Option<String>>("dflt_value")?.is_some(),
                key: row.get("pk")?,
                is_generated: row.get::<_, i64>("hidden")? != 0,
            })
        })?;
        let columns = columns.collect::<rusqlite::Result<_>>()?;
        Ok(Some(Self { name, columns, is_virtual }))
    }

    /// Names of the columns that a row is told apart by; the rowid where there is no primary key.
    pub fn key(&self) -> Vec<String> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        match key.is_empty() {
            true => vec!["_rowid_".to_owned()],
            false => key.iter().map(|column| column.name.clone()).collect(),
        }
    }

    /// Names of the columns whose values are brought along, the rowid first where it is the key.
    pub fn stored(&self) -> Vec<String> {
        let rowid = self.columns.iter().all(|column| column.key == 0);
        let rowid = rowid.then(|| "_rowid_".to_owned());
        let stored = self.columns.iter().filter(|column| !column.is_generated);
        rowid.into_iter().chain(stored.map(|column| column.name.clone())).collect()
    }

    pub fn generated(&self) -> Vec<String> {
        let generated = self.columns.iter().filter(|column| column.is_generated);
        generated.map(|column| column.name.clone()).collect()
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether rows of the past fit into the present table. Returns the columns that get their
    /// default.
    pub fn fits_into(&self, present: &Self) -> Result<Vec<String>, Error> {
        let table = || self.name.clone();
        if present.is_virtual {
            return Err(Error::Virtual { table: table() });
        }
        for column in self.columns.iter().filter(|column| !column.is_generated) {
            match present.column(&column.name) {
                Some(now) if !now.is_generated => {}
                _ => return Err(Error::ColumnGone { table: table(), column: column.name.clone() }),
            }
        }
        let lower = |names: Vec<String>| -> Vec<String> {
            names.iter().map(|name| name.to_ascii_lowercase()).collect()
        };
        if lower(self.key()) != lower(present.key()) {
            return Err(Error::OtherKey { table: table() });
        }
        let new = present.columns.iter().filter(|column| {
            !column.is_generated && self.column(&column.name).is_none_or(|then| then.is_generated)
        });
        let mut defaulted = Vec::new();
        for column in new {
            if column.must_have && !column.has_default {
                let column = column.name.clone();
                return Err(Error::ColumnNew { table: table(), column });
            }
            defaulted.push(column.name.clone());
        }
        Ok(defaulted)
    }
}
