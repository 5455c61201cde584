//! The schema of one side, as SQLite understands it.

use std::ops::ControlFlow;

use rusqlite::types::ValueRef;

use crate::ops::past::{Answer, Error, PastDatabase, names::quoted};

/// All that a database holds.
#[derive(Debug, Default)]
pub struct Schema {
    /// What somebody created: tables, indexes, views, triggers.
    pub objects: Vec<Object>,
    /// Tables that hold rows.
    pub tables: Vec<Table>,
}

/// A row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub kind: String,
    pub name: String,
    pub table: String,
    pub sql: String,
}

/// A table that holds rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// The first page of its tree.
    pub root: u32,
    /// Columns whose values are stored.
    pub columns: Vec<String>,
    pub key: Key,
    /// The columns of a primary key that is not the rowid itself.
    pub primary: Vec<String>,
}

/// What tells the rows of a table apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The rowid, and by which name statements can use it.
    Rowid(String),
    /// The columns of the primary key of a table WITHOUT ROWID.
    Columns(Vec<String>),
    /// A rowid that no statement can name: all its names belong to columns.
    Hidden,
}

impl Key {
    /// The names of its columns.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Rowid(name) => std::slice::from_ref(name),
            Self::Columns(names) => names,
            Self::Hidden => &[],
        }
    }
}

impl Table {
    /// Whether its rowid is no column: then it is not part of `SELECT *`.
    pub fn has_own_rowid(&self) -> bool {
        matches!(&self.key, Key::Rowid(name) if !self.columns.contains(name))
    }
}

impl Schema {
    /// Reads the schema of the main database.
    pub fn read(database: &PastDatabase) -> Result<Self, Error> {
        let mut schema = Self::default();
        let mut roots: Vec<(String, u32)> = Vec::new();
        let sql = "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema";
        each_row(database, sql, &mut |row| {
            let root = match row[3] {
                ValueRef::Integer(root) => u32::try_from(root).unwrap_or_default(),
                _ => 0,
            };
            let object = Object {
                kind: text(row[0]),
                name: text(row[1]),
                table: text(row[2]),
                sql: text(row[4]),
            };
            if object.kind == "table" && root > 0 {
                roots.push((object.name.clone(), root));
            }
            // SQLite makes indexes of its own for constraints; they have no statement.
            if !object.sql.is_empty() && !object.name.starts_with("sqlite_") {
                schema.objects.push(object);
            }
        })?;
        let is_without_rowid = without_rowid(database)?;
        for (name, root) in roots {
            // Statistics are the planner's business.
            if !name.starts_with("sqlite_stat") {
                let without_rowid = is_without_rowid.contains(&name);
                schema.tables.push(table(database, name, root, without_rowid)?);
            }
        }
        Ok(schema)
    }

    /// Finds a table by its name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Finds the object of the same kind and name.
    pub fn object(&self, other: &Object) -> Option<&Object> {
        let mut objects = self.objects.iter();
        objects.find(|object| object.kind == other.kind && object.name == other.name)
    }
}

fn without_rowid(database: &PastDatabase) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    each_row(database, "PRAGMA main.table_list", &mut |row| {
        if row.get(4) == Some(&ValueRef::Integer(1)) {
            names.push(text(row[1]));
        }
    })?;
    Ok(names)
}

fn table(
    database: &PastDatabase,
    name: String,
    root: u32,
    without_rowid: bool,
) -> Result<Table, Error> {
    let mut columns = Vec::new();
    let mut all = Vec::new();
    // Name, type, place in the primary key.
    let mut keyed: Vec<(i64, String, String)> = Vec::new();
    let sql = format!("PRAGMA main.table_xinfo({})", quoted(&name));
    each_row(database, &sql, &mut |row| {
        let (column, kind) = (text(row[1]), text(row[2]));
        if let ValueRef::Integer(place @ 1..) = row[5] {
            keyed.push((place, column.clone(), kind));
        }
        // 2 and 3 are generated columns, computed or stored.
        if row[6] == ValueRef::Integer(0) {
            columns.push(column.clone());
        }
        all.push(column);
    })?;
    keyed.sort_by_key(|(place, ..)| *place);
    let mut primary: Vec<String> = keyed.iter().map(|(_, name, _)| name.clone()).collect();
    let key = match &keyed[..] {
        _ if without_rowid => Key::Columns(keyed.into_iter().map(|(_, name, _)| name).collect()),
        [(_, column, kind)] if is_alias(database, &name, kind)? => Key::Rowid(column.clone()),
        _ => rowid_name(&all).map_or(Key::Hidden, Key::Rowid),
    };
    if matches!(&key, Key::Rowid(name) if primary == [name.as_str()]) {
        primary.clear();
    }
    // SQLite's own table of numbers has one row for each name, and does not say so.
    if name == "sqlite_sequence" {
        primary = vec!["name".to_owned()];
    }
    Ok(Table { name, root, columns, key, primary })
}

/// Whether a primary key of one column is the rowid itself: then it has no index.
fn is_alias(database: &PastDatabase, table: &str, kind: &str) -> Result<bool, Error> {
    let mut has_index = false;
    let sql = format!("PRAGMA main.index_list({})", quoted(table));
    each_row(database, &sql, &mut |row| has_index |= text(row[3]) == "pk")?;
    Ok(kind.eq_ignore_ascii_case("integer") && !has_index)
}

fn rowid_name(columns: &[String]) -> Option<String> {
    let is_free = |name: &&str| columns.iter().all(|column| !column.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(is_free).map(str::to_owned)
}

fn each_row(
    database: &PastDatabase,
    sql: &str,
    visit: &mut dyn FnMut(&[ValueRef<'_>]),
) -> Result<(), Error> {
    database.query(sql, &mut |answer| {
        if let Answer::Row(row) = answer {
            visit(row);
        }
        ControlFlow::Continue(())
    })
}

fn text(value: ValueRef<'_>) -> String {
    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
}
