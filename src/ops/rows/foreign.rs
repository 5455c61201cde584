//! Rows that the added rows refer to: they come along, or nothing does.

use rusqlite::{Connection, params_from_iter};

use super::{
    Error,
    load::{Loaded, name},
};
use crate::ops::past::{PastDatabase, names::quoted, value::Value};

/// Parents of parents, up to here.
const DEPTH_MAX: usize = 16;

/// Columns that refer to another table.
struct Reference {
    parent: String,
    /// Pairs of columns: of the child, and of the parent; an absent one means its primary key.
    columns: Vec<(String, Option<String>)>,
}

/// Adds the parents that are missing in the present and are in the past, and theirs.
pub fn add_parents(
    past: &PastDatabase,
    present: &Connection,
    loaded: &mut Vec<Loaded>,
) -> Result<(), Error> {
    for _ in 0..DEPTH_MAX {
        let mut added = 0;
        for child in 0..loaded.len() {
            for reference in references(past, present, &loaded[child])? {
                added += add(past, present, loaded, (child, &reference))?;
            }
        }
        if added == 0 {
            break;
        }
    }
    Ok(())
}

fn references(
    past: &PastDatabase,
    present: &Connection,
    child: &Loaded,
) -> Result<Vec<Reference>, Error> {
    let connection = if child.present.is_some() { present } else { past.connection() };
    let read = || -> rusqlite::Result<Vec<Reference>> {
        let sql = format!("PRAGMA main.foreign_key_list({})", quoted(&child.past.name));
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get("id")?, row.get("table")?, row.get("from")?, row.get("to")?))
        })?;
        let mut references: Vec<(i64, Reference)> = Vec::new();
        for row in rows {
            let (id, parent, from, to): (i64, String, String, Option<String>) = row?;
            match references.iter_mut().find(|(known, _)| *known == id) {
                Some((_, reference)) => reference.columns.push((from, to)),
                None => references.push((id, Reference { parent, columns: vec![(from, to)] })),
            }
        }
        Ok(references.into_iter().map(|(_, reference)| reference).collect())
    };
    read().map_err(|error| past.explain(error).into())
}

/// Adds the rows of one parent table that one child needs; returns how many.
fn add(
    past: &PastDatabase,
    present: &Connection,
    loaded: &mut Vec<Loaded>,
    (child, reference): (usize, &Reference),
) -> Result<u64, Error> {
    let known = |one: &Loaded| one.past.name.eq_ignore_ascii_case(&reference.parent);
    let parent = match loaded.iter().position(known) {
        Some(parent) => parent,
        None => {
            let names = (reference.parent.as_str(), loaded[child].past.name.as_str());
            match Loaded::parent(past, present, names, loaded.len()) {
                Ok(parent) => loaded.push(parent),
                // What is not in the past cannot come from there; the check before the commit
                // decides.
                Err(Error::UnknownTable { .. }) => return Ok(0),
                Err(error) => return Err(error),
            }
            loaded.len() - 1
        }
    };
    let needed = needed(present, (&loaded[child], &loaded[parent]), reference)?;
    let Some((to, keys)) = needed else { return Ok(0) };
    let condition: Vec<String> = to.iter().map(|column| format!("{} = ?", name(column))).collect();
    let condition = format!(" WHERE {}", condition.join(" AND "));
    let parent = &loaded[parent];
    let before = count(present, &parent.rows)?;
    for key in keys {
        let _ = parent.add_rows(past, present, (&condition, &key))?;
    }
    let (adds, rows) = (&parent.adds, &parent.rows);
    let sql = format!(
        "INSERT INTO temp.{adds} SELECT * FROM temp.{rows} ORDER BY rowid LIMIT -1 OFFSET {before}"
    );
    Ok(present.execute(&sql, [])? as u64)
}

/// Names of columns, and values of rows in them.
type Keys = (Vec<String>, Vec<Vec<Value>>);

/// The keys of parents that are neither there nor coming, and the columns that they are of.
fn needed(
    present: &Connection,
    (child, parent): (&Loaded, &Loaded),
    reference: &Reference,
) -> Result<Option<Keys>, Error> {
    let key = parent.past.key();
    let mut from = Vec::new();
    let mut to = Vec::new();
    for (at, (child_column, parent_column)) in reference.columns.iter().enumerate() {
        let parent_column = parent_column.clone().or_else(|| key.get(at).cloned());
        match (child.place(child_column), parent_column) {
            (Some(place), Some(column)) if parent.place(&column).is_some() => {
                from.push(place);
                to.push(column);
            }
            _ => return Ok(None),
        }
    }
    let given: Vec<String> = from.iter().map(|place| format!("a.{place} IS NOT NULL")).collect();
    let pairs = || from.iter().zip(&to);
    let coming =
        pairs().map(|(from, to)| format!("p.{} IS a.{from}", parent.place(to).unwrap_or_default()));
    let coming = coming.collect::<Vec<_>>().join(" AND ");
    let there = pairs().map(|(from, to)| format!("t.{} IS a.{from}", name(to)));
    let there = there.collect::<Vec<_>>().join(" AND ");
    let is_there = match &parent.present {
        None => String::new(),
        Some(now) => {
            format!(" AND NOT EXISTS (SELECT 1 FROM main.{} AS t WHERE {there})", quoted(&now.name))
        }
    };
    let columns: Vec<String> = from.iter().map(|place| format!("a.{place}")).collect();
    let sql = format!(
        "SELECT DISTINCT {} FROM temp.{} AS a WHERE {} AND NOT EXISTS (SELECT 1 FROM temp.{} AS p \
         WHERE {coming}){is_there}",
        columns.join(", "),
        child.adds,
        given.join(" AND "),
        parent.adds,
    );
    let mut statement = present.prepare(&sql)?;
    let keys = statement.query_map(params_from_iter::<[i64; 0]>([]), |row| {
        (0..columns.len()).map(|at| row.get_ref(at).map(Value::from)).collect()
    })?;
    Ok(Some((to, keys.collect::<rusqlite::Result<_>>()?)))
}

fn count(present: &Connection, table: &str) -> Result<i64, Error> {
    Ok(present.query_row(&format!("SELECT count(*) FROM temp.{table}"), [], |row| row.get(0))?)
}
