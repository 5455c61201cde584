//! A drill: a restore that nobody needs, so that the one that somebody needs is known to work.
//!
//! Everything is restored into a scratch folder below the state folder, as a restore would do it
//! on an empty machine, and taken at its word: databases by SQLite's own checks, by the rows that
//! were counted when they were saved and by what their owner says must hold; files by comparing
//! them with their chunks. The time it took is the time that a restore takes. The result is kept,
//! sealed by a key of the repository, so that `status` can believe it.

mod certificate;
mod database;
mod files;

use std::{io, path::PathBuf};

use crate::{
    disk::scratch::Scratch,
    format::record::PartContent,
    ops::{
        self,
        event::{Event, Observer, Phase},
        moment::PartAt,
        restore::{self, Extra, Verify},
    },
    repo::Repository,
    sink::files::Overwrite,
};

pub use certificate::{Certificate, Check, CheckedPart, last};

/// What a drill does.
#[derive(Debug, Clone)]
pub struct Request {
    /// What was asked for, as it was typed.
    pub asked: String,
    /// Where it is restored from, as people call it.
    pub place: String,
    pub host: String,
    pub assertions: Vec<Assertion>,
    pub hashes: Hashes,
    /// Free space that must be left.
    pub min_free_bytes: u64,
    /// Our own program, which checks databases in processes of their own.
    pub program: PathBuf,
}

/// What must hold in a restored database: a query whose first value is neither 0, nor empty, nor
/// NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The part that is asked.
    pub database: String,
    pub sql: String,
}

/// How many files are read back and compared with their chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashes {
    All,
    /// About so many of each part, spread over all of it.
    Sample(u64),
}

/// Runs a drill. That something did not come back as it should is a result, no error; the result
/// is kept either way.
pub fn drill(
    repo: &Repository,
    parts: &[PartAt<'_>],
    request: &Request,
    observer: &dyn Observer,
) -> Result<Certificate, ops::Error> {
    let env = repo.environment();
    let scratch = Scratch::create(env.disk.as_ref(), env.entropy.as_ref(), repo.state_path());
    let scratch = scratch.map_err(|source| failed("make a folder in", repo, source))?;
    let path = scratch.path.clone();
    let began = env.clock.elapsed();
    let mut certificate = Certificate::begin(repo, request);
    let restored = restore(repo, parts, request, (&path, observer));
    certificate.restored_after(env.clock.elapsed() - began);
    let checked = restored.and_then(|report| {
        observer.observe(&Event::Phase { phase: Phase::Verify, item: String::new() });
        parts
            .iter()
            .map(|at| checked_part(repo, at, request, (&report, &path)))
            .collect::<Result<Vec<_>, _>>()
    });
    // What lies there is plaintext.
    scratch.close().map_err(|source| failed("remove a folder of", repo, source))?;
    certificate.conclude(checked?, env.clock.elapsed() - began);
    certificate.keep(repo)?;
    Ok(certificate)
}

fn failed(action: &'static str, repo: &Repository, source: io::Error) -> ops::Error {
    ops::Error::Io { action, path: repo.state_path().to_owned(), source }
}

fn restore(
    repo: &Repository,
    parts: &[PartAt<'_>],
    request: &Request,
    (path, observer): (&PathBuf, &dyn Observer),
) -> Result<restore::Report, ops::Error> {
    let request = restore::Request {
        target: path.clone(),
        overwrite: Overwrite::Always,
        extra: Extra::Keep,
        include: Vec::new(),
        exclude: Vec::new(),
        verify: Verify::Identity,
        min_free_bytes: request.min_free_bytes,
        program: request.program.clone(),
    };
    restore::run(repo, parts, &request, observer)
}

fn checked_part(
    repo: &Repository,
    at: &PartAt<'_>,
    request: &Request,
    (report, path): (&restore::Report, &PathBuf),
) -> Result<CheckedPart, ops::Error> {
    let restored = report.parts.iter().find(|part| part.name == at.part.name);
    let problems = restored.map_or(1, |part| part.problem_count);
    let first = restored.and_then(|part| part.problems.first());
    let why = first.map(|problem| problem.message.clone()).unwrap_or_default();
    let mut checks = vec![Check::of("restored", problems == 0, why)];
    match &at.part.content {
        PartContent::Database { image, facts } if problems == 0 => {
            let file = path.join(format!("{}.db", at.part.name));
            checks.extend(database::checks(repo, (at, image, facts), request, &file)?);
        }
        PartContent::Tree { root, .. } => {
            checks.push(files::compared(repo, root, request.hashes, &path.join(&at.part.name))?);
        }
        PartContent::Database { .. } => {}
    }
    Ok(CheckedPart {
        name: at.part.name.clone(),
        snapshot: at.snapshot.id.to_string(),
        saved: at.snapshot.record.created,
        bytes: at.part.totals.bytes,
        files: at.part.totals.files,
        checks,
    })
}
