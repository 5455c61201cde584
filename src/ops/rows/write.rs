//! Writes what was loaded, inside the transaction.

use rusqlite::Connection;

use super::{
    Error, Mode,
    load::{Loaded, list},
    shape::Shape,
};
use crate::ops::past::{PastDatabase, names::quoted};

/// Writes all tables. The caller commits, or drops the connection.
pub fn all(past: &PastDatabase, present: &Connection, loaded: &[Loaded]) -> Result<(), Error> {
    let before = orphans(present)?;
    for one in loaded {
        let table = quoted(&one.target_name());
        match (one.mode, &one.present) {
            (Mode::Beside, _) => make_beside(present, one)?,
            (_, None) => make_again(past, present, one)?,
            (Mode::Replace, Some(_)) => remove(present, one)?,
            (Mode::Missing, Some(_)) => {}
        }
        // Beside, the rowid of another table means nothing.
        let columns = one.past.stored();
        let skipped = usize::from(one.mode == Mode::Beside && columns[0] == "_rowid_");
        let places: Vec<String> = (skipped..columns.len()).map(|at| format!("c{at}")).collect();
        let _ = present.execute(
            &format!(
                "INSERT INTO main.{table} ({}) SELECT {} FROM temp.{}",
                list(&columns[skipped..]),
                places.join(", "),
                one.adds
            ),
            [],
        )?;
    }
    let after = orphans(present)?;
    match after.into_iter().find(|(table, rows)| {
        let known = before.iter().find(|(known, _)| known == table);
        *rows > known.map_or(0, |(_, rows)| *rows)
    }) {
        None => Ok(()),
        Some((table, rows)) => Err(Error::Orphans { table, rows }),
    }
}

/// Rows that refer to nothing, by the table that they refer to.
fn orphans(present: &Connection) -> Result<Vec<(String, u64)>, Error> {
    let mut statement = present.prepare("PRAGMA main.foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut orphans: Vec<(String, u64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let parent: String = row.get(2)?;
        match orphans.iter_mut().find(|(known, _)| *known == parent) {
            Some((_, rows)) => *rows += 1,
            None => orphans.push((parent, 1)),
        }
    }
    Ok(orphans)
}

fn remove(present: &Connection, one: &Loaded) -> Result<(), Error> {
    let table = quoted(&one.past.name);
    let chosen = match one.has_filter {
        false => String::new(),
        true => format!(
            " WHERE EXISTS (SELECT 1 FROM temp.{} AS r WHERE {})",
            one.rows,
            one.key_condition("r")
        ),
    };
    let _ = present.execute(&format!("DELETE FROM main.{table} AS t{chosen}"), [])?;
    Ok(())
}

/// A table for what is put beside: its columns as they were declared, and no rule.
fn make_beside(present: &Connection, one: &Loaded) -> Result<(), Error> {
    let name = one.target_name();
    if Shape::read(present, &name)?.is_some() {
        return Err(Error::Taken { table: name });
    }
    let columns = one.past.columns.iter().filter(|column| !column.is_generated);
    let columns: Vec<String> = columns
        .map(|column| format!("{} {}", quoted(&column.name), quoted_type(&column.declared)))
        .collect();
    let sql = format!("CREATE TABLE main.{} ({})", quoted(&name), columns.join(", "));
    let _ = present.execute(&sql, [])?;
    Ok(())
}

fn quoted_type(declared: &str) -> String {
    if declared.is_empty() { String::new() } else { quoted(declared) }
}

/// A table that is gone is made as it was, with its indexes; triggers are left to its owner.
fn make_again(past: &PastDatabase, present: &Connection, one: &Loaded) -> Result<(), Error> {
    let sql = "SELECT sql FROM main.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type IN \
               ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC, rowid";
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = past.connection().prepare(sql)?;
        statement.query_map([&one.past.name], |row| row.get(0))?.collect()
    };
    for sql in read().map_err(|error| past.explain(error))? {
        let _ = present.execute(&sql, [])?;
    }
    Ok(())
}
