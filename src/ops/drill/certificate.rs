//! What a drill found, kept in the state folder: for programs as JSON, for people as a page of
//! text. Both bear a seal that only the keys of the repository can make.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Request;
use crate::{
    clock::UnixNanos,
    disk::{self, Dir},
    ops::{
        self,
        words::{bytes, counted, duration},
    },
    repo::Repository,
};

const FOLDER: &str = "drills";
const CERTIFICATE_BYTES_MAX: u64 = 16 << 20;
/// Older ones are dropped.
const KEPT_MAX: usize = 200;

/// The result of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub version: u32,
    pub repository: String,
    pub place: String,
    pub host: String,
    pub asked: String,
    /// Nanoseconds since 1970 UTC.
    pub began: UnixNanos,
    /// Restoring alone: what a restore of all this takes on this machine.
    pub restore_ms: u64,
    pub total_ms: u64,
    pub passed: bool,
    pub parts: Vec<CheckedPart>,
    /// Keyed BLAKE3 over all of the above, hexadecimal.
    pub seal: String,
}

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedPart {
    pub name: String,
    pub snapshot: String,
    /// When the snapshot was made, nanoseconds since 1970 UTC.
    pub saved: UnixNanos,
    pub bytes: u64,
    pub files: u64,
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    pub detail: String,
}

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    Genuine,
    Broken,
}

impl Check {
    pub fn of(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passed, detail: detail.into() }
    }
}

impl Certificate {
    pub(super) fn begin(repo: &Repository, request: &Request) -> Self {
        Self {
            version: 1,
            repository: repo.id().to_string(),
            place: request.place.clone(),
            host: request.host.clone(),
            asked: request.asked.clone(),
            began: repo.environment().clock.now(),
            restore_ms: 0,
            total_ms: 0,
            passed: false,
            parts: Vec::new(),
            seal: String::new(),
        }
    }

    pub(super) fn restored_after(&mut self, took: Duration) {
        self.restore_ms = millis(took);
    }

    pub(super) fn conclude(&mut self, parts: Vec<CheckedPart>, took: Duration) {
        self.total_ms = millis(took);
        let all = || parts.iter().flat_map(|part| &part.checks);
        self.passed = !parts.is_empty() && all().all(|check| check.passed);
        self.parts = parts;
    }

    /// Seals it and keeps both forms; durable on return.
    pub(super) fn keep(&mut self, repo: &Repository) -> Result<(), ops::Error> {
        self.seal = self.seal_by(repo);
        let failed = |source| ops::Error::Io {
            action: "keep the certificate in",
            path: repo.state_path().join(FOLDER),
            source,
        };
        self.write(repo).map_err(failed)
    }

    fn write(&self, repo: &Repository) -> io::Result<()> {
        let disk = repo.environment().disk.as_ref();
        let at = folder(repo)?;
        let stem = format!("{:020}-{}", self.began, &self.seal[..8]);
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let text = self.to_text();
        disk::file::replace(disk, &at, format!("{stem}.txt").as_ref(), text.as_bytes(), 0o600)?;
        disk::file::replace(disk, &at, format!("{stem}.json").as_ref(), &json, 0o600)?;
        let mut names = names(repo, &at)?;
        while names.len() > KEPT_MAX {
            let oldest = names.remove(0);
            disk.remove_file(&at, &oldest)?;
            let text = Path::new(&oldest).with_extension("txt");
            let _ = disk.remove_file(&at, text.as_os_str());
        }
        Ok(())
    }

    /// Whether nothing of it was changed since the keys of this repository sealed it.
    pub fn seal_in(&self, repo: &Repository) -> Seal {
        if self.seal_by(repo) == self.seal { Seal::Genuine } else { Seal::Broken }
    }

    fn seal_by(&self, repo: &Repository) -> String {
        let unsealed = Self { seal: String::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&unsealed)
            .expect("text, numbers and lists of them always become JSON");
        let mac = repo.keys().certificate_mac(&bytes);
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A page to print.
    pub fn to_text(&self) -> String {
        let time = |at: UnixNanos| {
            let at = Timestamp::from_nanosecond(at.into()).unwrap_or_default();
            at.strftime("%Y-%m-%d %H:%M UTC").to_string()
        };
        let verdict = if self.passed { "PASSED" } else { "FAILED" };
        let mut text = format!(
            "RESTORE DRILL: {verdict}\n\nrestored    {}, from {}\non          {}, {}\nrepository  \
             {}\ntook        {} to restore, {} in all\n",
            self.asked,
            self.place,
            self.host,
            time(self.began),
            self.repository,
            duration(Duration::from_millis(self.restore_ms)),
            duration(Duration::from_millis(self.total_ms)),
        );
        for part in &self.parts {
            text.push_str(&format!(
                "\n{}  {} in {}, saved {}\n            snapshot {}\n",
                part.name,
                bytes(part.bytes),
                counted(part.files, "file"),
                time(part.saved),
                part.snapshot,
            ));
            for check in &part.checks {
                let mark = if check.passed { "passed" } else { "FAILED" };
                text.push_str(&format!("  {mark}    {}  {}\n", check.name, check.detail));
            }
        }
        text.push_str(&format!(
            "\nseal        {}\n            made by a key of the repository over the JSON form of \
             this page\n",
            self.seal
        ));
        text
    }
}

/// The newest genuine result, if there ever was a drill; also of drills from mirrors, whose state
/// folders are named. Others count for nothing.
pub fn last(
    repo: &Repository,
    state_of_mirrors: &[PathBuf],
) -> Result<Option<Certificate>, ops::Error> {
    let disk = repo.environment().disk.as_ref();
    let own = repo.state_path().to_owned();
    let mut newest: Option<Certificate> = None;
    for state in [&own].into_iter().chain(state_of_mirrors) {
        let path = state.join(FOLDER);
        let failed = |source| ops::Error::Io {
            action: "read the certificates in",
            path: path.clone(),
            source,
        };
        match disk.open_root(&path) {
            // Of there, nobody has ever drilled.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let found = last_in(repo, &opened.map_err(failed)?).map_err(failed)?;
                let best = newest.take().into_iter().chain(found);
                newest = best.max_by_key(|certificate| certificate.began);
            }
        }
    }
    Ok(newest)
}

fn last_in(repo: &Repository, at: &Dir) -> io::Result<Option<Certificate>> {
    let disk = repo.environment().disk.as_ref();
    for name in names(repo, at)?.iter().rev() {
        let bytes = disk::file::read(disk, at, name, CERTIFICATE_BYTES_MAX)?;
        let read = serde_json::from_slice::<Certificate>(&bytes).ok();
        let genuine = read.filter(|certificate| certificate.seal_in(repo) == Seal::Genuine);
        if genuine.is_some() {
            return Ok(genuine);
        }
    }
    Ok(None)
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn folder(repo: &Repository) -> io::Result<Dir> {
    let disk = repo.environment().disk.as_ref();
    disk::tree::create_dir(disk, repo.state_dir(), FOLDER.as_ref(), 0o700)
}

/// Names of the JSON forms, oldest first.
fn names(repo: &Repository, at: &Dir) -> io::Result<Vec<OsString>> {
    let mut names = repo.environment().disk.list(at)?;
    names.retain(|name| name.as_encoded_bytes().ends_with(b".json"));
    names.sort();
    Ok(names)
}
