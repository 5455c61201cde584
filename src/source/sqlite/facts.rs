//! What SQLite says of a database besides its pages, from the same read transaction.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crossbeam_channel::RecvTimeoutError;
use rusqlite::{Connection, types::Value};
use serde::{Deserialize, Serialize};

use crate::{
    format::record::{DatabaseFacts, SchemaObject},
    limits::MIB,
    source::sqlite::{
        header::Header,
        open::{force, is_damage},
        protocol::Failure,
    },
};

/// A record holds 4 MiB in all: of a larger schema the statements are left out, not the names.
const SCHEMA_SQL_BYTES_MAX: usize = MIB;

/// What is known of a database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    pub engine_version: String,
    pub encoding: String,
    pub journal_mode: String,
    pub user_version: i64,
    pub application_id: i64,
    pub schema: Vec<Object>,
    /// -1: not counted.
    pub rows: Vec<(String, i64)>,
}

/// A row of `sqlite_schema`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Object {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

impl Facts {
    /// What the beginning of page 1 tells; little, for a database without pages.
    pub fn from_header(header: Option<Header>) -> Self {
        let engine_version = rusqlite::version().to_owned();
        let Some(header) = header else { return Self { engine_version, ..Self::default() } };
        Self {
            engine_version,
            encoding: header.encoding.as_str().to_owned(),
            journal_mode: header.journal.as_str().to_owned(),
            user_version: header.user_version.into(),
            application_id: header.application_id.into(),
            ..Self::default()
        }
    }

    /// As the record keeps it.
    pub fn into_record(self, check: String) -> DatabaseFacts {
        DatabaseFacts {
            engine: "sqlite".to_owned(),
            engine_version: self.engine_version,
            encoding: self.encoding,
            journal_mode: self.journal_mode,
            user_version: self.user_version,
            application_id: self.application_id,
            schema: self.schema.into_iter().map(Object::into_record).collect(),
            rows: self.rows,
            check,
        }
    }
}

impl Object {
    fn into_record(self) -> SchemaObject {
        SchemaObject { kind: self.kind, name: self.name, table: self.table, sql: self.sql }
    }
}

/// Reads the schema. If it is damaged, says how, and returns what could be read.
pub fn schema(connection: &Connection) -> Result<(Vec<Object>, Option<String>), Failure> {
    let mut objects = Vec::new();
    let Err(error) = read_schema(connection, &mut objects) else { return Ok((objects, None)) };
    if !is_damage(&error) {
        return Err(super::open::failure(error));
    }
    force(connection)?;
    // The first statement after forcing fails once more; then what is left of the schema counts.
    for _ in 0..2 {
        objects.clear();
        if read_schema(connection, &mut objects).is_ok() {
            break;
        }
    }
    Ok((objects, Some(error.to_string())))
}

fn read_schema(connection: &Connection, objects: &mut Vec<Object>) -> rusqlite::Result<()> {
    let mut sql_bytes = 0;
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| {
            let value = row.get_ref(column).ok().and_then(|value| value.as_bytes().ok());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let mut sql = text(3);
        sql_bytes += sql.len();
        if sql_bytes > SCHEMA_SQL_BYTES_MAX {
            sql.clear();
        }
        objects.push(Object { kind: text(0), name: text(1), table: text(2), sql });
    }
    Ok(())
}

/// Counts the rows of every table for as long as the bound allows; the rest stays uncounted (-1).
///
/// Returns the first damage met as well. Virtual tables are not counted: their module may be
/// missing, and may do anything.
pub fn count_rows(
    connection: &Connection,
    schema: &[Object],
    bound: Duration,
) -> (Vec<(String, i64)>, Option<String>) {
    within(connection, bound, |is_over| {
        let mut damage = None;
        let tables = schema.iter().filter(|object| object.kind == "table");
        let rows = tables
            .map(|table| {
                let is_over = is_over.load(Ordering::SeqCst);
                let count = if is_over { -1 } else { count(connection, table, &mut damage) };
                (table.name.clone(), count)
            })
            .collect();
        (rows, damage)
    })
}

/// Asks a question that the configuration holds: the first column of the first row, as text.
pub fn answer(connection: &Connection, question: &str, bound: Duration) -> Result<String, String> {
    let answered = within(connection, bound, |_| {
        connection.query_row(question, [], |row| row.get::<_, Value>(0))
    });
    match answered {
        Ok(Value::Text(text)) => Ok(text),
        Ok(Value::Integer(number)) => Ok(number.to_string()),
        Ok(Value::Real(number)) => Ok(number.to_string()),
        Ok(Value::Null | Value::Blob(_)) => Err("the answer is no text".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Does work with a connection, whose statements are interrupted once the bound has passed.
fn within<T>(connection: &Connection, bound: Duration, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let (done, watch) = crossbeam_channel::bounded::<()>(0);
    let interrupt = connection.get_interrupt_handle();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ = scope.spawn(|| {
            if watch.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                is_over.store(true, Ordering::SeqCst);
                interrupt.interrupt();
            }
        });
        let result = work(&is_over);
        drop(done);
        result
    })
}

fn count(connection: &Connection, table: &Object, damage: &mut Option<String>) -> i64 {
    let head = table.sql.get(..20).unwrap_or_default();
    if head.eq_ignore_ascii_case("CREATE VIRTUAL TABLE") {
        return -1;
    }
    let name = table.name.replace('"', "\"\"");
    let sql = format!("SELECT count(*) FROM main.\"{name}\"");
    match connection.query_row(&sql, [], |row| row.get(0)) {
        Ok(rows) => rows,
        Err(error) => {
            if is_damage(&error) && damage.is_none() {
                *damage = Some(error.to_string());
            }
            -1
        }
    }
}
