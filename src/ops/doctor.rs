//! Is everything in place for the next backup? Looks, and changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{Access, access};

use crate::{
    clock::{Clock, UnixNanos},
    disk::Disk,
    ops::{
        set::{FileSet, Set, SetSource},
        words::bytes,
    },
    repo::{Repository, snapshots::Snapshots},
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was looked at: `database pos`, `space`...
    pub about: String,
    pub message: String,
    /// What to do about it.
    pub help: Vec<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Good,
    /// Worth knowing; backups work.
    Caution,
    /// The next backup fails, or is incomplete.
    Bad,
}

impl Finding {
    pub fn good(about: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Good,
            about: about.into(),
            message: message.into(),
            help: Vec::new(),
        }
    }

    pub fn caution(about: impl Into<String>, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Caution, ..Self::good(about, message) }
    }

    pub fn bad(about: impl Into<String>, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::good(about, message) }
    }

    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// What is looked at besides the repository itself.
pub struct Patient<'a> {
    pub disk: Arc<dyn Disk>,
    pub clock: &'a dyn Clock,
    pub sets: &'a [Set],
    pub repository: Option<&'a Path>,
    pub state_root: &'a Path,
    pub min_free_bytes: u64,
}

/// The oldest time that a clock may show: before this program was written, it is wrong.
const CLOCK_MIN: UnixNanos = 1_767_225_600 * 1_000_000_000;

/// Looks at sources, clock, space and state folder.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = patient.sets.iter().map(|set| source(patient, set)).collect();
    if patient.sets.is_empty() {
        findings.push(
            Finding::caution("sets", "the configuration names nothing to back up")
                .with_help("add [[database]] and [[files]] to the configuration"),
        );
    }
    findings.push(sqlite());
    findings.push(clock(patient.clock.now()));
    findings.push(state_folder(patient.state_root));
    if let Some(repository) = patient.repository {
        findings.push(space(patient, "space", repository));
    }
    findings
}

/// Looks at an opened repository.
pub fn examine_repository(repository: &Repository, snapshots: &Snapshots) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, why) in &snapshots.damaged {
        let message = format!("{name} cannot be read: {why}");
        findings.push(Finding::bad("snapshots", message).with_help("stillpoint check --read-data"));
    }
    let now = repository.environment().clock.now();
    match snapshots.snapshots.last() {
        Some(newest) if newest.record.created > now => findings.push(
            Finding::bad(
                "clock",
                "the newest snapshot is from the future: this clock, or the one then, is wrong",
            )
            .with_help("set the clock; date"),
        ),
        Some(newest) if newest.record.incomplete => findings.push(
            Finding::caution("snapshots", "the newest snapshot is incomplete")
                .with_help("stillpoint runs tells why"),
        ),
        Some(_) => {}
        None => findings.push(
            Finding::caution("snapshots", "there is no snapshot yet")
                .with_help("stillpoint backup"),
        ),
    }
    findings
}

fn source(patient: &Patient<'_>, set: &Set) -> Finding {
    match &set.source {
        SetSource::Sqlite { path } => database(set, path),
        SetSource::Files(files) => folders(patient, set, files),
    }
}

fn database(set: &Set, path: &Path) -> Finding {
    let about = format!("database {}", set.name);
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::bad(about, format!("cannot see {shown}: {}", reason(&error)));
        }
    };
    if !metadata.is_file() {
        return Finding::bad(about, format!("{shown} is no file"));
    }
    // SQLite has to write beside the database, even to read one that others write to.
    let folder = path.parent().unwrap_or(Path::new("/"));
    let allowed = access(path, Access::READ_OK | Access::WRITE_OK)
        .and_then(|()| access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK));
    match allowed {
        Ok(()) => Finding::good(about, format!("{shown}, {}", bytes(metadata.len()))),
        Err(_) => Finding::bad(about, format!("no right to read and write {shown} and its folder"))
            .with_help("run as the owner of the database, or as root"),
    }
}

fn folders(patient: &Patient<'_>, set: &Set, files: &FileSet) -> Finding {
    let about = format!("files {}", set.name);
    for path in &files.paths {
        let shown = path.display();
        match path.metadata() {
            Err(error) => {
                return Finding::bad(about, format!("cannot see {shown}: {}", reason(&error)));
            }
            Ok(metadata) => {
                let right = if metadata.is_dir() {
                    Access::READ_OK | Access::EXEC_OK
                } else {
                    Access::READ_OK
                };
                if access(path, right).is_err() {
                    return Finding::bad(about, format!("no right to read {shown}"))
                        .with_help("run as its owner, or as root");
                }
            }
        }
    }
    let mut own = patient.repository.into_iter().chain([patient.state_root]);
    let inside = own.find(|own| files.paths.iter().any(|path| own.starts_with(path)));
    match inside {
        Some(own) => {
            Finding::caution(about, format!("{} lies inside, and is left out", own.display()))
                .with_help(
                    "keep the repository on another disk: one disk dies with all that is on it",
                )
        }
        None => {
            let paths: Vec<String> =
                files.paths.iter().map(|path| path.display().to_string()).collect();
            Finding::good(about, paths.join(", "))
        }
    }
}

/// The SQLite that is built in must read pages itself and be free of the fault that broke databases
/// in WAL mode.
fn sqlite() -> Finding {
    const VERSION_MIN: i32 = 3_051_003;
    let version = rusqlite::version();
    if rusqlite::version_number() < VERSION_MIN {
        return Finding::bad(
            "sqlite",
            format!("SQLite {version} may corrupt databases in WAL mode"),
        )
        .with_help("install a newer Stillpoint");
    }
    let has_pages = rusqlite::Connection::open_in_memory().and_then(|connection| {
        connection.query_row(
            "SELECT count(*) FROM pragma_module_list WHERE name = 'sqlite_dbpage'",
            [],
            |row| row.get::<_, i64>(0),
        )
    });
    match has_pages {
        Ok(1..) => Finding::good("sqlite", format!("SQLite {version}, reads pages itself")),
        _ => Finding::caution(
            "sqlite",
            format!("SQLite {version} without sqlite_dbpage: captures are slower"),
        ),
    }
}

fn clock(now: UnixNanos) -> Finding {
    match now >= CLOCK_MIN {
        true => Finding::good("clock", "plausible"),
        false => Finding::bad("clock", "shows a time before this program was written")
            .with_help("set it; date"),
    }
}

fn state_folder(path: &Path) -> Finding {
    // What is not there yet is made by the first run, if the folder above allows it.
    let existing: PathBuf =
        path.ancestors().find(|path| path.exists()).map(Path::to_owned).unwrap_or_default();
    match access(&existing, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::good("state", path.display().to_string()),
        Err(_) => Finding::bad("state", format!("no right to write {}", path.display()))
            .with_help("name another folder: --state-dir DIR"),
    }
}

fn space(patient: &Patient<'_>, about: &str, path: &Path) -> Finding {
    let free = patient.disk.open_root(path).and_then(|dir| patient.disk.free_bytes(&dir));
    match free {
        Ok(free) if free < patient.min_free_bytes => {
            let message = format!(
                "{} free at {}, {} must stay free",
                bytes(free),
                path.display(),
                bytes(patient.min_free_bytes)
            );
            Finding::bad(about, message).with_help("free some, or lower min_free")
        }
        Ok(free) => Finding::good(about, format!("{} free at {}", bytes(free), path.display())),
        Err(error) => {
            Finding::caution(about, format!("unknown at {}: {}", path.display(), reason(&error)))
        }
    }
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist",
        io::ErrorKind::PermissionDenied => "no right to",
        _ => "the disk does not answer",
    }
}
