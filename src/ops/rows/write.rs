//! Writes what was loaded, inside the transaction.

use rusqlite::Connection;

use super::{
    Error, Mode,
    foreign::{Going, note_going},
    load::{Loaded, index, list},
    shape::Shape,
};
use crate::ops::past::{self, PastDatabase, names::quoted};

/// Writes all tables. The caller commits, or drops the connection.
pub fn all(past: &PastDatabase, present: &Connection, loaded: &[Loaded]) -> Result<(), Error> {
    let mut going = Vec::new();
    for (number, one) in loaded.iter().enumerate() {
        let table = quoted(&one.target_name());
        match (one.mode, &one.present) {
            (Mode::Beside, _) => make_beside(present, one)?,
            (_, None) => make_again(past, present, one)?,
            (Mode::Replace, Some(_)) => going.extend(remove(present, one, number)?),
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
    going.iter().try_for_each(|going| going.refuse_orphans(present))
}

/// Removes what is replaced; returns what others may have referred to.
fn remove(present: &Connection, one: &Loaded, number: usize) -> Result<Vec<Going>, Error> {
    let table = quoted(&one.past.name);
    let chosen = match one.has_filter {
        false => String::new(),
        true => {
            let places = one.past.key().iter().filter_map(|key| one.place(key)).collect::<Vec<_>>();
            index(present, &one.rows, &places.join(", "))?;
            let alike = one.key_condition("r");
            format!(" WHERE EXISTS (SELECT 1 FROM temp.{} AS r WHERE {alike})", one.rows)
        }
    };
    let going = note_going(present, one, (&chosen, number))?;
    let _ = present.execute(&format!("DELETE FROM main.{table} AS t{chosen}"), [])?;
    Ok(going)
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
        // What the columns beside it say of an entry need not be true.
        if !is_table_or_index(&sql) {
            let why =
                format!("the schema of {} holds what is no table and no index", one.past.name);
            return Err(past::Error::Damaged { why }.into());
        }
        let _ = present.execute(&sql, [])?;
    }
    Ok(())
}

/// SQLite itself writes how such statements begin.
fn is_table_or_index(sql: &str) -> bool {
    ["CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX "]
        .iter()
        .any(|head| sql.get(..head.len()).is_some_and(|found| found.eq_ignore_ascii_case(head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_again_is_a_table_or_an_index() {
        assert!(is_table_or_index("CREATE TABLE t (a)"));
        assert!(is_table_or_index("create unique index i ON t (a)"));
        for sql in ["CREATE TRIGGER x", "CREATE VIRTUAL TABLE t USING fts5", "CREATE VIEW v", "é"]
        {
            assert!(!is_table_or_index(sql), "{sql}");
        }
    }
}
