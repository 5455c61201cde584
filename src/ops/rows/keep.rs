//! Tables that keep the rows they have while everything else becomes what it was: the same transfer
//! of rows, the other way round. Rows of the present go into an image of the past that nobody has
//! put in place yet.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use super::{Error, Mode, Request, Target, run, shape::Shape};
use crate::ops::past::{PastDatabase, names::quoted};

/// Nobody else knows the file that is written.
const BUSY: Duration = Duration::from_secs(1);

/// What keeping one table means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTable {
    pub table: String,
    /// Rows that it has, and keeps.
    pub present_rows: u64,
    /// Rows that it had, if it existed.
    pub past_rows: Option<u64>,
    /// Tables that it refers to: rows that it needs come along.
    pub parents: Vec<String>,
    /// Tables that refer to it.
    pub children: Vec<String>,
}

/// Says what keeping these tables would mean; those that the present does not have are left out.
///
/// # Errors
/// Rows that the past has no place for are refused.
pub fn plan_keep(
    present: &PastDatabase,
    past: &PastDatabase,
    tables: &[String],
) -> Result<Vec<KeptTable>, Error> {
    let mut kept = Vec::new();
    for table in tables {
        let now = Shape::read(present.connection(), table);
        let Some(now) = now.map_err(|error| present.explain(error))? else { continue };
        if now.is_virtual {
            return Err(Error::Virtual { table: now.name });
        }
        let then = Shape::read(past.connection(), table);
        let then = then.map_err(|error| past.explain(error))?;
        let past_rows = match &then {
            None => None,
            Some(then) => {
                let _ = now.fits_into(then)?;
                Some(count(past, &then.name)?)
            }
        };
        let schema = if then.is_some() { past } else { present };
        kept.push(KeptTable {
            present_rows: count(present, &now.name)?,
            past_rows,
            parents: parents(schema, &now.name)?,
            children: children(past, &now.name)?,
            table: now.name,
        });
    }
    Ok(kept)
}

/// Gives the tables in the file their present rows, and the rows that these refer to; names those
/// that the present has. The file is changed in one transaction or not at all.
pub fn keep(present: &PastDatabase, file: &Path, tables: &[String]) -> Result<Vec<String>, Error> {
    let mut kept = Vec::new();
    for table in tables {
        let shape = Shape::read(present.connection(), table);
        kept.extend(shape.map_err(|error| present.explain(error))?.map(|shape| shape.name));
    }
    if !kept.is_empty() {
        let request = Request {
            tables: kept.clone(),
            filter: None,
            mode: Mode::Replace,
            into: Target::Live(PathBuf::from(file)),
            busy: BUSY,
        };
        let _ = run(present, &request)?;
    }
    Ok(kept)
}

fn count(database: &PastDatabase, table: &str) -> Result<u64, Error> {
    database.restart();
    let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
    let rows = database.connection().query_row(&sql, [], |row| row.get::<_, i64>(0));
    Ok(rows.map_err(|error| database.explain(error))?.unsigned_abs())
}

fn parents(database: &PastDatabase, table: &str) -> Result<Vec<String>, Error> {
    referred(database.connection(), table).map_err(|error| database.explain(error).into())
}

/// Tables that refer to this one.
fn children(database: &PastDatabase, table: &str) -> Result<Vec<String>, Error> {
    let connection = database.connection();
    let read = || -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = connection.prepare(sql)?;
        let names = statement.query_map([], |row| row.get(0))?;
        let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
        let mut children = Vec::new();
        for name in names.into_iter().filter(|name| !name.eq_ignore_ascii_case(table)) {
            if referred(connection, &name)?.iter().any(|to| to.eq_ignore_ascii_case(table)) {
                children.push(name);
            }
        }
        Ok(children)
    };
    read().map_err(|error| database.explain(error).into())
}

/// Tables that a table refers to.
fn referred(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = format!("PRAGMA main.foreign_key_list({})", quoted(table));
    let mut statement = connection.prepare(&sql)?;
    let parents = statement.query_map([], |row| row.get::<_, String>("table"))?;
    let mut parents: Vec<String> = parents.collect::<rusqlite::Result<_>>()?;
    parents.retain(|parent| !parent.eq_ignore_ascii_case(table));
    parents.sort();
    parents.dedup();
    Ok(parents)
}
