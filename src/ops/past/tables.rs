//! The tables of a past database.

use std::{ops::ControlFlow, sync::Arc};

use rusqlite::types::ValueRef;

use crate::{
    format::record::DatabaseFacts,
    ops::past::{
        Answer, Error, PastDatabase,
        btree::{Pages, tree_pages},
        names::quoted,
    },
};

/// A table, and what is known of it without reading it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    pub name: String,
    /// `table`, `virtual` or `shadow`.
    pub kind: &'static str,
    /// As counted when it was captured, or now; nothing where it cannot be counted.
    pub rows: Option<u64>,
    /// Of its pages and those of its indexes, without long values that lie on pages of their own.
    pub size: Size,
}

/// How large something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    /// A large tree is only measured here and there.
    pub is_estimated: bool,
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
                tables.push(TableFacts { name, kind, rows: None, size: Size::default() });
            }
        }
        ControlFlow::Continue(())
    })?;
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    database.restart();
    for table in &mut tables {
        let known = facts.and_then(|facts| facts.rows.iter().find(|(name, _)| *name == table.name));
        let known = known.and_then(|(_, rows)| u64::try_from(*rows).ok());
        table.rows = known.or_else(|| count(database, &table.name));
    }
    measure(database, &mut tables)?;
    Ok(tables)
}

/// Adds up the pages of each table and its indexes.
fn measure(database: &PastDatabase, tables: &mut [TableFacts]) -> Result<(), Error> {
    if database.pages().file_bytes() == 0 {
        return Ok(());
    }
    let mut roots: Vec<(String, u32)> = Vec::new();
    let sql = "SELECT tbl_name, rootpage FROM main.sqlite_schema WHERE rootpage > 0";
    database.query(sql, &mut |answer| {
        if let Answer::Row([ValueRef::Text(table), ValueRef::Integer(root)]) = answer {
            let table = String::from_utf8_lossy(table).into_owned();
            roots.push((table, u32::try_from(*root).unwrap_or_default()));
        }
        ControlFlow::Continue(())
    })?;
    let pages = Pages::open(Arc::clone(database.pages()))?;
    let page_bytes = u64::from(database.pages().reader().image().page_bytes);
    for (name, root) in roots {
        let Some(table) = tables.iter_mut().find(|table| table.name == name) else { continue };
        let (count, is_exact) = tree_pages(&pages, root)?;
        table.size.bytes += count * page_bytes;
        table.size.is_estimated |= !is_exact;
    }
    Ok(())
}

/// Counts the rows of a table, if it can be read. All of them share the time of one statement.
fn count(database: &PastDatabase, table: &str) -> Option<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
    let counted = database.connection().query_row(&sql, [], |row| row.get::<_, i64>(0));
    u64::try_from(counted.map_err(|error| database.explain(error)).ok()?).ok()
}
