//! What is asked of a restored database.

use std::{ops::ControlFlow, path::Path};

use rusqlite::types::ValueRef;

use super::{Check, Request};
use crate::{
    format::{image::Image, record::DatabaseFacts},
    ops::{
        self,
        moment::PartAt,
        past::{Answer, PastDatabase, Terms, names::quoted},
    },
    repo::Repository,
    source::sqlite_check::{CheckProgram, Depth, Verdict},
};

/// Asks all of it. The file is checked by SQLite in a process of its own; statements run on the
/// image that it was restored from, which has the same identity, and cannot write.
pub fn checks(
    repo: &Repository,
    (at, image, facts): (&PartAt<'_>, &Image, &DatabaseFacts),
    request: &Request,
    file: &Path,
) -> Result<Vec<Check>, ops::Error> {
    let env = repo.environment();
    let program =
        CheckProgram { path: request.program.clone(), arguments: vec!["check-child".into()] };
    let mut checks = Vec::new();
    checks.push(match program.check(file, Depth::Integrity, (&*env.clock, &env.stop)) {
        Ok(Verdict::Sound) => Check::of(INTEGRITY, true, "ok"),
        Ok(Verdict::NotChecked(why)) => Check::of(INTEGRITY, true, format!("not checked: {why}")),
        Ok(Verdict::Damaged(said)) => Check::of(INTEGRITY, false, said),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            return Err(ops::Error::Stopped);
        }
        Err(error) => Check::of(INTEGRITY, false, error.to_string()),
    });
    if image.page_count == 0 {
        return Ok(checks);
    }
    let terms = Terms::of(env);
    let past = match PastDatabase::open(&terms, repo.fetcher()?, image) {
        Ok(past) => past,
        Err(error) => {
            checks.push(Check::of("opened", false, error.to_string()));
            return Ok(checks);
        }
    };
    checks.push(foreign_keys(&past));
    checks.push(row_counts(&past, facts));
    let assertions = request.assertions.iter().filter(|one| one.database == at.part.name);
    checks.extend(assertions.map(|assertion| assert_one(&past, &assertion.sql)));
    Ok(checks)
}

const INTEGRITY: &str = "integrity_check";

fn foreign_keys(past: &PastDatabase) -> Check {
    let name = "foreign_key_check";
    match first_value(past, "PRAGMA main.foreign_key_check") {
        Ok(None) => Check::of(name, true, "ok"),
        Ok(Some(table)) => Check::of(name, false, format!("a row of {table} has no parent")),
        Err(why) => Check::of(name, false, why),
    }
}

/// Compares the rows of all tables with those that were counted at the backup.
fn row_counts(past: &PastDatabase, facts: &DatabaseFacts) -> Check {
    let counted = facts.rows.iter().filter(|(_, rows)| *rows >= 0);
    let mut tables = 0;
    for (table, rows) in counted {
        let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
        match first_value(past, &sql) {
            Ok(Some(Outcome::Number(found))) if found == *rows => tables += 1,
            Ok(Some(Outcome::Number(found))) => {
                let why = format!("{table} has {found} rows, {rows} were saved");
                return Check::of("row counts", false, why);
            }
            Ok(_) => return Check::of("row counts", false, format!("{table} cannot be counted")),
            // The application's own module is missing here; that is no loss.
            Err(why) if why.contains("no such module") => {}
            Err(why) => return Check::of("row counts", false, format!("{table}: {why}")),
        }
    }
    Check::of("row counts", true, format!("{tables} tables"))
}

fn assert_one(past: &PastDatabase, sql: &str) -> Check {
    let name = format!("assert {sql}");
    match first_value(past, sql) {
        Ok(Some(value)) => Check::of(name, value.holds(), value.to_string()),
        Ok(None) => Check::of(name, false, "no row"),
        Err(why) => Check::of(name, false, why),
    }
}

/// The first value of an answer, as far as it matters whether it holds.
enum Outcome {
    Null,
    Number(i64),
    Other { holds: bool, text: String },
}

impl Outcome {
    fn holds(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Number(number) => *number != 0,
            Self::Other { holds, .. } => *holds,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Other { text, .. } => f.write_str(text),
        }
    }
}

fn first_value(past: &PastDatabase, sql: &str) -> Result<Option<Outcome>, String> {
    let mut first = None;
    let asked = past.query(sql, &mut |answer| match answer {
        Answer::Columns(_) => ControlFlow::Continue(()),
        Answer::Row(values) => {
            first = values.first().map(outcome);
            ControlFlow::Break(())
        }
    });
    asked.map(|()| first).map_err(|error| ops::with_causes(&error))
}

fn outcome(value: &ValueRef<'_>) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        ValueRef::Null => Outcome::Null,
        ValueRef::Integer(number) => Outcome::Number(*number),
        ValueRef::Real(number) => {
            Outcome::Other { holds: *number != 0.0, text: number.to_string() }
        }
        // As SQLite takes text for a condition: by the number that it begins with.
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Outcome::Other {
            holds: text(bytes).trim().parse::<f64>().is_ok_and(|number| number != 0.0),
            text: text(bytes),
        },
    }
}
