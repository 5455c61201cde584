//! Rows of the past, beside the present ones: in temporary tables of the present connection, so
//! that SQLite itself compares them.

use rusqlite::{Connection, params_from_iter};

use super::{Error, Mode, Reason, TableReport, shape::Shape};
use crate::ops::past::{self, PastDatabase, names::quoted, value::Value};

/// One table with the rows that were asked for.
#[derive(Debug)]
pub struct Loaded {
    pub past: Shape,
    /// Nothing if the table does not exist any more.
    pub present: Option<Shape>,
    pub reason: Reason,
    pub mode: Mode,
    pub defaulted: Vec<String>,
    pub has_filter: bool,
    /// The temporary table of the past's rows, and that of the rows to be added.
    pub rows: String,
    pub adds: String,
}

/// A table as it is asked for: its name, the condition, and what is done with it.
pub type Asked<'a> = (&'a str, Option<&'a str>, Mode);

impl Loaded {
    /// A parent of other rows, without rows so far.
    pub fn parent(
        past: &PastDatabase,
        present: &Connection,
        (table, child): (&str, &str),
        number: usize,
    ) -> Result<Self, Error> {
        let mut loaded = Self::prepare(past, present, (table, None, Mode::Missing), number)?;
        loaded.reason = Reason::ParentOf(child.to_owned());
        loaded.choose_adds(present)?;
        Ok(loaded)
    }

    /// Makes room for the rows that were asked for, if they fit.
    pub fn prepare(
        past: &PastDatabase,
        present: &Connection,
        (table, filter, mode): Asked<'_>,
        number: usize,
    ) -> Result<Self, Error> {
        let then = Shape::read(past.connection(), table).map_err(|error| past.explain(error))?;
        let Some(then) = then else {
            return Err(Error::UnknownTable { table: table.to_owned(), known: known(past)? });
        };
        if then.is_virtual {
            return Err(Error::Virtual { table: then.name });
        }
        let now = Shape::read(present, &then.name)?;
        let defaulted = match (&now, mode) {
            (Some(now), Mode::Missing | Mode::Replace) => then.fits_into(now)?,
            _ => Vec::new(),
        };
        let (rows, adds) =
            (format!("stillpoint_past_{number}"), format!("stillpoint_add_{number}"));
        let columns = (0..then.stored().len()).map(|at| format!("c{at}"));
        let columns = columns.collect::<Vec<_>>().join(", ");
        present.execute_batch(&format!("CREATE TEMP TABLE {rows} ({columns})"))?;
        Ok(Self {
            past: then,
            present: now,
            reason: Reason::Asked,
            mode,
            defaulted,
            has_filter: filter.is_some(),
            rows,
            adds,
        })
    }

    /// Reads the rows that were asked for.
    pub fn fill(
        &self,
        past: &PastDatabase,
        present: &Connection,
        filter: Option<&str>,
    ) -> Result<(), Error> {
        let condition = filter.map(|filter| format!(" WHERE ({filter}\n)")).unwrap_or_default();
        self.add_rows(past, present, (&condition, &[])).map(drop)
    }

    /// Copies the rows of the past that meet the condition, which begins with `WHERE`.
    pub fn add_rows(
        &self,
        past: &PastDatabase,
        present: &Connection,
        (condition, values): (&str, &[Value]),
    ) -> Result<u64, Error> {
        let explain = |error| Error::from(past.explain(error));
        let columns = self.past.stored();
        let sql =
            format!("SELECT {} FROM main.{}{condition}", list(&columns), quoted(&self.past.name));
        past.restart();
        let mut statement =
            past.connection().prepare(&sql).map_err(|error| match past.explain(error) {
                past::Error::Statement { message: why } if !condition.is_empty() => {
                    Error::Condition { table: self.past.name.clone(), why }
                }
                error => error.into(),
            })?;
        let marks = vec!["?"; columns.len()].join(", ");
        let mut insert =
            present.prepare(&format!("INSERT INTO temp.{} VALUES ({marks})", self.rows))?;
        let mut rows = statement.query(params_from_iter(values)).map_err(explain)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(explain)? {
            let values = (0..columns.len()).map(|at| row.get_ref(at).map(Value::from));
            let values = values.collect::<rusqlite::Result<Vec<_>>>().map_err(explain)?;
            let _ = insert.execute(params_from_iter(&values))?;
            count += 1;
        }
        Ok(count)
    }

    /// Chooses those that are to be added.
    pub fn choose_adds(&self, present: &Connection) -> Result<(), Error> {
        let missing = match (&self.present, self.mode) {
            (Some(_), Mode::Missing) => {
                let alike = self.key_condition("r");
                let table = quoted(&self.past.name);
                format!(" WHERE NOT EXISTS (SELECT 1 FROM main.{table} AS t WHERE {alike})")
            }
            _ => String::new(),
        };
        let (adds, rows) = (&self.adds, &self.rows);
        let sql = format!("CREATE TEMP TABLE {adds} AS SELECT * FROM temp.{rows} AS r{missing}");
        Ok(present.execute_batch(&sql)?)
    }

    /// The place of a stored column in the temporary tables.
    pub fn place(&self, column: &str) -> Option<String> {
        let stored = self.past.stored();
        let at = stored.iter().position(|stored| stored.eq_ignore_ascii_case(column));
        at.map(|at| format!("c{at}"))
    }

    /// A row of the present table `t` is that of the temporary one.
    pub fn key_condition(&self, rows: &str) -> String {
        let key = self.past.key();
        let alike = key.iter().filter_map(|column| {
            let place = self.place(column)?;
            Some(format!("t.{} IS {rows}.{place}", name(column)))
        });
        alike.collect::<Vec<_>>().join(" AND ")
    }

    fn same_condition(&self) -> String {
        let columns = self.past.stored();
        let same = columns
            .iter()
            .enumerate()
            .map(|(at, column)| format!("t.{} IS r.c{at} COLLATE BINARY", name(column)));
        same.collect::<Vec<_>>().join(" AND ")
    }

    /// Counts what would happen.
    pub fn report(&self, present: &Connection) -> Result<TableReport, Error> {
        let count = |sql: String| -> Result<u64, Error> {
            Ok(present.query_row(&sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
        };
        let (table, rows, adds) = (quoted(&self.past.name), &self.rows, &self.adds);
        let past_rows = count(format!("SELECT count(*) FROM temp.{rows}"))?;
        let added = count(format!("SELECT count(*) FROM temp.{adds}"))?;
        let (mut same, mut differing, mut removed) = (0, 0, 0);
        if self.present.is_some() && self.mode != Mode::Beside {
            let joined = format!("FROM temp.{rows} AS r JOIN main.{table} AS t ON ");
            let key = self.key_condition("r");
            let found = count(format!("SELECT count(*) {joined} {key}"))?;
            same = count(format!("SELECT count(*) {joined} {key} AND {}", self.same_condition()))?;
            differing = found - same;
            removed = match (self.mode, self.has_filter) {
                (Mode::Replace, false) => count(format!("SELECT count(*) FROM main.{table}"))?,
                (Mode::Replace, true) => found,
                _ => 0,
            };
        }
        let mut triggers = present.prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE \
             NOCASE ORDER BY name",
        )?;
        let triggers = triggers.query_map([&self.past.name], |row| row.get(0))?;
        Ok(TableReport {
            table: self.past.name.clone(),
            into: self.target_name(),
            reason: self.reason.clone(),
            past_rows,
            same,
            differing,
            added,
            removed,
            is_new: self.present.is_none() || self.mode == Mode::Beside,
            triggers: triggers.collect::<rusqlite::Result<_>>()?,
            generated: self.past.generated(),
            defaulted: self.defaulted.clone(),
        })
    }

    /// The table that the rows come into.
    pub fn target_name(&self) -> String {
        match self.mode {
            Mode::Beside => format!("{}_restored", self.past.name),
            Mode::Missing | Mode::Replace => self.past.name.clone(),
        }
    }
}

fn known(past: &PastDatabase) -> Result<Vec<String>, Error> {
    let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE \
               'sqlite^_%' ESCAPE '^' ORDER BY name";
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = past.connection().prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    read().map_err(|error| past.explain(error).into())
}

/// Columns as a statement names them.
pub fn list(columns: &[String]) -> String {
    columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(", ")
}

/// The rowid is no column, and does not answer to a quoted name everywhere.
pub fn name(column: &str) -> String {
    if column == "_rowid_" { column.to_owned() } else { quoted(column) }
}

/// Lets the rows of a temporary table be found by these columns: there may be millions.
pub fn index(present: &Connection, table: &str, columns: &str) -> Result<(), Error> {
    let name: String = columns.chars().filter(char::is_ascii_alphanumeric).collect();
    if name.is_empty() {
        return Ok(());
    }
    let sql = format!("CREATE INDEX IF NOT EXISTS temp.{table}_{name} ON {table} ({columns})");
    Ok(present.execute_batch(&sql)?)
}
