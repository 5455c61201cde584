//! Asking SQLite whether a database image is sound, in a process of its own.
//!
//! The image may be hostile or broken in ways that SQLite does not survive; then only the child
//! is lost. It is opened as immutable: nothing is written beside it.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{clock::Clock, source::sqlite::immutable_uri};

/// How often a check that is waited for looks whether it was told to stop.
const PATIENCE: Duration = Duration::from_millis(20);
/// Lines of what a check found that are worth showing.
const LINES_MAX: usize = 5;

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every page, without comparing indexes with tables.
    Quick,
    /// Indexes and constraints too.
    Integrity,
}

/// What SQLite said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Sound,
    /// The first lines of what it found.
    Damaged(String),
    /// It needs a module or collation that only its application has. No damage.
    NotChecked(String),
}

/// The program that checks: this one, with its hidden subcommand.
#[derive(Debug, Clone)]
pub struct CheckProgram {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

impl CheckProgram {
    /// Checks the database at this path, which nobody may change meanwhile.
    ///
    /// # Errors
    /// `Interrupted` if it was told to stop; others if the child could not be started or read.
    pub fn check(
        &self,
        database: &Path,
        depth: Depth,
        (clock, stop): (&dyn Clock, &AtomicBool),
    ) -> io::Result<Verdict> {
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .arg(match depth {
                Depth::Quick => "quick",
                Depth::Integrity => "integrity",
            })
            .arg(std::path::absolute(database)?)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let status = loop {
            if stop.load(Ordering::Relaxed) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::ErrorKind::Interrupted.into());
            }
            match child.try_wait()? {
                Some(status) => break status,
                None => clock.sleep(PATIENCE),
            }
        };
        let mut said = String::new();
        if let Some(mut output) = child.stdout.take() {
            let _ = output.read_to_string(&mut said)?;
        }
        Ok(match (status.success(), said.trim_end()) {
            (true, "ok") => Verdict::Sound,
            (true, said) if needs_application(said) => Verdict::NotChecked(said.to_owned()),
            (true, said) => Verdict::Damaged(said.to_owned()),
            (false, _) => Verdict::Damaged(format!("SQLite did not survive the check ({status})")),
        })
    }
}

fn needs_application(said: &str) -> bool {
    ["no such module", "no such collation", "unknown tokenizer", "no such function"]
        .iter()
        .any(|missing| said.contains(missing))
}

/// The child: checks a database, and prints what SQLite says.
pub fn run_child(depth: &str, database: &Path, output: &mut dyn Write) -> ExitCode {
    let pragma = if depth == "quick" { "quick_check" } else { "integrity_check" };
    let said = check(pragma, database).unwrap_or_else(|error| error.to_string());
    match output.write_all(said.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn check(pragma: &str, database: &Path) -> rusqlite::Result<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(database), flags)?;
    let _ = connection.pragma_update(None, "trusted_schema", "OFF");
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}({LINES_MAX})"))?;
    let lines: Vec<String> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(lines.join("\n"))
}
