//! Bringing rows back: from the tables of a past database into the present one.
//!
//! The past is read through [`PastDatabase`], where nothing can be written and the condition of
//! the person runs under an authorizer. The present is changed in one transaction, or not at all:
//! triggers are off and named, foreign keys are checked before the commit, parents that rows need
//! come along and are named. A preview is the same without the writing.

mod expression;
mod foreign;
mod keep;
mod load;
mod new_file;
mod shape;
mod write;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

pub use keep::{KeptTable, keep, plan_keep};
pub use new_file::run_into_file;

use crate::ops::past::{self, PastDatabase};
use foreign::{add_parents, refuse_orphans};
use load::Loaded;

/// What is brought back, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// At least one.
    pub tables: Vec<String>,
    /// One SQL expression; without it all rows.
    pub filter: Option<String>,
    pub mode: Mode,
    /// The present database.
    pub into: Target,
    /// How long others may hold the lock.
    pub busy: Duration,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A database that is there, and may be in use.
    Live(PathBuf),
    /// A file that is made.
    NewFile(PathBuf),
}

/// What becomes of rows that are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// They stay; missing rows are added.
    #[default]
    Missing,
    /// They are replaced: all of the table, or those that the condition chooses in the past.
    Replace,
    /// They stay; the rows of the past come into a table of their own.
    Beside,
}

/// Why a table is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Asked,
    /// Rows of this table refer to it.
    ParentOf(String),
}

/// What happens to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    pub table: String,
    /// The table that the rows come into.
    pub into: String,
    pub reason: Reason,
    /// Rows of the past that were asked for.
    pub past_rows: u64,
    /// Of those: present and alike.
    pub same: u64,
    /// Of those: present, but with other values.
    pub differing: u64,
    /// Rows that are added, or replace others.
    pub added: u64,
    /// Rows that go.
    pub removed: u64,
    /// It does not exist yet.
    pub is_new: bool,
    /// They do not fire.
    pub triggers: Vec<String>,
    /// Their values are computed anew.
    pub generated: Vec<String>,
    /// The past does not know them; they get their default.
    pub defaulted: Vec<String>,
}

/// Why rows were not brought back. The present database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("`{text}` is not one expression")]
    NotAnExpression { text: String },
    #[error("the condition does not fit {table}: {why}")]
    Condition { table: String, why: String },
    #[error("the past database has no table {table}")]
    UnknownTable { table: String, known: Vec<String> },
    #[error("{table} is a virtual table, whose rows live elsewhere")]
    Virtual { table: String },
    #[error("{table} has no column {column} any more")]
    ColumnGone { table: String, column: String },
    #[error("the column {column} of {table} is new, and has no default")]
    ColumnNew { table: String, column: String },
    #[error("{table} has another primary key now")]
    OtherKey { table: String },
    #[error("there is a table {table} already")]
    Taken { table: String },
    #[error("{} is there already", path.display())]
    FileTaken { path: PathBuf },
    #[error("{rows} rows would refer to rows of {table} that do not exist")]
    Orphans { table: String, rows: u64 },
    #[error("the present database cannot be changed: {why}")]
    Present { why: String },
    #[error("the present database is locked by another process")]
    Locked,
    #[error("there is no room for the rows")]
    Full,
    #[error(transparent)]
    Past(#[from] past::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::Locked
            }
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Present { why: error.to_string() },
        }
    }
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acts {
    Plan,
    Write,
}

/// Says what [`run`] would do.
pub fn plan(past: &PastDatabase, request: &Request) -> Result<Vec<TableReport>, Error> {
    let connection = match &request.into {
        Target::Live(_) => open(request)?,
        Target::NewFile(path) => {
            refuse_taken(path)?;
            Connection::open_in_memory()?
        }
    };
    transfer(past, &connection, request, Acts::Plan)
}

/// Brings the rows back. Success means that the transaction is committed.
pub fn run(past: &PastDatabase, request: &Request) -> Result<Vec<TableReport>, Error> {
    if let Target::NewFile(path) = &request.into {
        refuse_taken(path)?;
    }
    transfer(past, &open(request)?, request, Acts::Write)
}

fn refuse_taken(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::FileTaken { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
}

fn open(request: &Request) -> Result<Connection, Error> {
    let plain = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = match &request.into {
        Target::Live(path) => Connection::open_with_flags(path, plain)?,
        Target::NewFile(path) => {
            Connection::open_with_flags(path, plain | OpenFlags::SQLITE_OPEN_CREATE)?
        }
    };
    connection.busy_timeout(request.busy)?;
    Ok(connection)
}

fn transfer(
    past: &PastDatabase,
    present: &Connection,
    request: &Request,
    acts: Acts,
) -> Result<Vec<TableReport>, Error> {
    let filter = request.filter.as_deref();
    if let Some(text) = filter.filter(|text| !expression::is_one(text)) {
        return Err(Error::NotAnExpression { text: text.to_owned() });
    }
    // Neither fire: what they did then is in the past's tables already.
    let _ = present.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    present.pragma_update(None, "foreign_keys", false)?;
    let schema = schema_version(present)?;
    let mut loaded = load(past, present, request)?;
    // Only now does the application wait, and not for what is read from the repository.
    present.execute_batch(if acts == Acts::Write { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
    // Dropped without a commit, the connection takes everything back.
    if schema_version(present)? != schema {
        let why = "its schema changed meanwhile; try again".to_owned();
        return Err(Error::Present { why });
    }
    for one in &loaded {
        one.choose_adds(present)?;
    }
    if request.mode != Mode::Beside {
        add_parents(past, present, &mut loaded)?;
        refuse_orphans(past, present, &loaded)?;
    }
    let reports = loaded.iter().map(|one| one.report(present));
    let mut reports = reports.collect::<Result<Vec<_>, _>>()?;
    // Parents that are all there are nobody's business.
    reports.retain(|report| report.reason == Reason::Asked || report.added > 0);
    if acts == Acts::Write {
        write::all(past, present, &loaded)?;
        present.execute_batch("COMMIT")?;
    }
    Ok(reports)
}

/// Reads the rows that were asked for into temporary tables; the present database is not locked
/// meanwhile.
fn load(
    past: &PastDatabase,
    present: &Connection,
    request: &Request,
) -> Result<Vec<Loaded>, Error> {
    let filter = request.filter.as_deref();
    let tables = request.tables.iter().enumerate();
    let loaded = tables.map(|(number, table)| {
        Loaded::prepare(past, present, (table, filter, request.mode), number)
    });
    let loaded = loaded.collect::<Result<Vec<_>, _>>()?;
    present.execute_batch("BEGIN")?;
    for one in &loaded {
        one.fill(past, present, filter)?;
    }
    present.execute_batch("COMMIT")?;
    Ok(loaded)
}

fn schema_version(present: &Connection) -> Result<i64, Error> {
    Ok(present.query_row("PRAGMA main.schema_version", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests;
