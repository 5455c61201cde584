//! Rows that the added rows refer to: they come along, or nothing does.

use rusqlite::{Connection, params_from_iter};

use super::{
    Error,
    load::{Loaded, index, name},
    shape::Shape,
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
    let read = references_of(connection, &child.past.name);
    read.map_err(|error| past.explain(error).into())
}

fn references_of(connection: &Connection, child: &str) -> rusqlite::Result<Vec<Reference>> {
    let sql = format!("PRAGMA main.foreign_key_list({})", quoted(child));
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
}

/// Refuses rows whose parents are neither there nor coming.
///
/// Only the rows that come are looked at: a check of all foreign keys reads all tables, and the
/// application would wait for it.
pub fn refuse_orphans(
    past: &PastDatabase,
    present: &Connection,
    loaded: &[Loaded],
) -> Result<(), Error> {
    for child in loaded {
        for reference in references(past, present, child)? {
            let known = |one: &&Loaded| one.past.name.eq_ignore_ascii_case(&reference.parent);
            let coming = loaded.iter().find(known);
            let parent = Shape::read(present, &reference.parent)?;
            let shape = parent.as_ref().or(coming.map(|one| &one.past));
            // What does not fit together SQLite would not enforce either.
            let Some(pairs) = reference.pairs(child, shape) else { continue };
            let rows = orphans(present, child, (&pairs, parent.as_ref(), coming))?;
            if rows > 0 {
                return Err(Error::Orphans { table: reference.parent, rows });
            }
        }
    }
    Ok(())
}

/// Counts rows that come and whose parent is in neither place.
fn orphans(
    present: &Connection,
    child: &Loaded,
    (pairs, parent, coming): (&[(String, String)], Option<&Shape>, Option<&Loaded>),
) -> Result<u64, Error> {
    let mut conditions: Vec<String> =
        pairs.iter().map(|(from, _)| format!("a.{from} IS NOT NULL")).collect();
    if let Some(parent) = parent {
        conditions.push(is_absent(&format!("main.{}", quoted(&parent.name)), pairs, name));
    }
    if let Some(coming) = coming {
        let place = |column: &str| coming.place(column).unwrap_or_else(|| "NULL".to_owned());
        let places: Vec<String> = pairs.iter().filter_map(|(_, to)| coming.place(to)).collect();
        index(present, &coming.adds, &places.join(", "))?;
        conditions.push(is_absent(&format!("temp.{}", coming.adds), pairs, place));
    }
    let adds = &child.adds;
    let sql = format!("SELECT count(*) FROM temp.{adds} AS a WHERE {}", conditions.join(" AND "));
    Ok(present.query_row(&sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// That no row of a table has what `a` refers to.
fn is_absent(table: &str, pairs: &[(String, String)], column: impl Fn(&str) -> String) -> String {
    let alike = pairs.iter().map(|(from, to)| format!("p.{} = a.{from}", column(to)));
    let alike = alike.collect::<Vec<_>>().join(" AND ");
    format!("NOT EXISTS (SELECT 1 FROM {table} AS p WHERE {alike})")
}

impl Reference {
    /// Where the columns of the child lie among the rows that come, and what they refer to; a
    /// parent that does not exist has no columns.
    fn pairs(&self, child: &Loaded, parent: Option<&Shape>) -> Option<Vec<(String, String)>> {
        let to = match parent {
            Some(parent) => self.to(parent)?,
            None => vec![String::new(); self.columns.len()],
        };
        // A generated column of the child is in none of the rows that come.
        let from = self.columns.iter().map(|(from, _)| child.place(from));
        from.zip(to).map(|(from, to)| Some((from?, to))).collect()
    }

    /// The columns that are referred to; nothing if they are fewer than refer.
    fn to(&self, parent: &Shape) -> Option<Vec<String>> {
        let key = parent.key();
        let columns = self.columns.iter().enumerate();
        columns.map(|(at, (_, to))| to.clone().or_else(|| key.get(at).cloned())).collect()
    }
}

/// Rows that other rows may refer to, and that a replacement may take away.
pub struct Going {
    /// The table that refers, by these columns.
    child: String,
    from: Vec<String>,
    parent: String,
    to: Vec<String>,
    /// The temporary table of what is referred to.
    keys: String,
}

/// Notes what the rows are known by that are about to be removed from a table; `removed` chooses
/// them, as a condition on `t`.
pub fn note_going(
    present: &Connection,
    one: &Loaded,
    (removed, number): (&str, usize),
) -> Result<Vec<Going>, Error> {
    let Some(parent) = &one.present else { return Ok(Vec::new()) };
    let mut going = Vec::new();
    for child in tables(present)? {
        for reference in references_of(present, &child)? {
            if !reference.parent.eq_ignore_ascii_case(&parent.name) {
                continue;
            }
            let Some(to) = reference.to(parent) else { continue };
            let from = reference.columns.iter().map(|(from, _)| from.clone()).collect();
            let keys = format!("stillpoint_going_{number}_{}", going.len());
            let columns = to.iter().enumerate().map(|(at, to)| format!("t.{} AS k{at}", name(to)));
            let columns = columns.collect::<Vec<_>>().join(", ");
            let table = quoted(&parent.name);
            let chosen = format!("SELECT DISTINCT {columns} FROM main.{table} AS t{removed}");
            present.execute_batch(&format!("CREATE TEMP TABLE {keys} AS {chosen}"))?;
            let (child, parent) = (child.clone(), parent.name.clone());
            going.push(Going { child, from, parent, to, keys });
        }
    }
    Ok(going)
}

impl Going {
    /// Refuses if a row refers to one that is gone now, and did not come back.
    pub fn refuse_orphans(&self, present: &Connection) -> Result<(), Error> {
        let (keys, parent) = (&self.keys, quoted(&self.parent));
        let there = self.to.iter().enumerate();
        let there = there.map(|(at, to)| format!("p.{} = k.k{at}", name(to)));
        present.execute_batch(&format!(
            "DELETE FROM temp.{keys} AS k WHERE EXISTS (SELECT 1 FROM main.{parent} AS p WHERE {})",
            there.collect::<Vec<_>>().join(" AND ")
        ))?;
        if count(present, keys)? == 0 {
            return Ok(());
        }
        let places = 0..self.to.len();
        let keyed = places.clone().map(|at| format!("k{at} COLLATE NOCASE")).collect::<Vec<_>>();
        index(present, keys, &keyed.join(", "))?;
        let pairs = || self.from.iter().map(|from| name(from)).enumerate();
        // Equal is what the parent calls equal; of what is alike without regard to case, more.
        let gone = pairs().map(|(at, from)| format!("k.k{at} = c.{from} COLLATE NOCASE"));
        let there = pairs().map(|(at, from)| format!("p.{} = c.{from}", name(&self.to[at])));
        let sql = format!(
            "SELECT count(*) FROM main.{} AS c WHERE EXISTS (SELECT 1 FROM temp.{keys} AS k WHERE \
             {}) AND NOT EXISTS (SELECT 1 FROM main.{parent} AS p WHERE {})",
            quoted(&self.child),
            gone.collect::<Vec<_>>().join(" AND "),
            there.collect::<Vec<_>>().join(" AND ")
        );
        match present.query_row(&sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs() {
            0 => Ok(()),
            rows => Err(Error::Orphans { table: self.parent.clone(), rows }),
        }
    }
}

fn tables(present: &Connection) -> Result<Vec<String>, Error> {
    let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut statement = present.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
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
                // What is not in the past cannot come from there, and is refused afterwards.
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
    let places: Vec<String> = to.iter().filter_map(|column| parent.place(column)).collect();
    index(present, &parent.adds, &places.join(", "))?;
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
