//! The tables of a past database.

use std::ops::ControlFlow;

use rusqlite::types::ValueRef;

use crate::{
    format::record::DatabaseFacts,
    ops::past::{Answer, Error, PastDatabase, names::quoted},
};

/// A table, and what is known of it without reading it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    pub name: String,
    /// `table`, `virtual` or `shadow`.
    pub kind: &'static str,
    /// As counted when it was captured, or now; nothing where it cannot be counted.
    pub rows: Option<u64>,
}

/// Lists all tables, those of SQLite itself left out.
///
/// Rows that were not counted at the backup are counted now, which reads the table.
pub fn tables(
    database: &PastDatabase,
    facts: Option<&DatabaseFacts>,
) -> Result<Vec<TableFacts>, Error> {
    let mut tables = Vec::new();
    database.query("PRAGMA main.table_list", &mut |answer| {
        if let Answer::Row([_, ValueRef::Text(name), ValueRef::Text(kind), ..]) = answer {
            let name = String::from_utf8_lossy(name).into_owned();
            let kind = match *kind {
                b"table" => "table",
                b"virtual" => "virtual",
                b"shadow" => "shadow",
                _ => return ControlFlow::Continue(()),
            };
            if !name.starts_with("sqlite_") {
                tables.push(TableFacts { name, kind, rows: None });
            }
        }
        ControlFlow::Continue(())
    })?;
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    for table in &mut tables {
        let known = facts.and_then(|facts| facts.rows.iter().find(|(name, _)| *name == table.name));
        let known = known.and_then(|(_, rows)| u64::try_from(*rows).ok());
        table.rows = known.or_else(|| count(database, &table.name));
    }
    Ok(tables)
}

/// Counts the rows of a table, if it can be read.
fn count(database: &PastDatabase, table: &str) -> Option<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
    let mut rows = None;
    let counted = database.query(&sql, &mut |answer| {
        if let Answer::Row([ValueRef::Integer(count), ..]) = answer {
            rows = u64::try_from(*count).ok();
        }
        ControlFlow::Continue(())
    });
    counted.ok().and(rows)
}
