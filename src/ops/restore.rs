//! Restoring: the parts of a moment, each into its own place below a target folder.
//!
//! A part of files lands in `TARGET/NAME/`, a database in `TARGET/NAME.db`. What cannot be restored
//! is listed, and the rest is restored. Nothing outside the target is touched; success means that
//! all of it is durable.

mod database;
mod space;
mod tree;

use std::{path::PathBuf, time::Duration};

use crate::{
    disk::Dir,
    format::record::{Outcome, Part, PartContent, Problem, Totals},
    ops::{
        Error,
        event::{Event, Observer, PartDone, Phase},
        moment::PartAt,
        restore::tree::Acts,
    },
    repo::Repository,
    sink::files::{Chooser, Overwrite},
};

/// What is restored, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    pub target: PathBuf,
    pub overwrite: Overwrite,
    pub extra: Extra,
    /// Patterns in the manner of `.gitignore`; none means all.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub verify: Verify,
    /// Free space that must be left.
    pub min_free_bytes: u64,
    /// Our own program, which checks databases in processes of their own.
    pub program: PathBuf,
}

impl Request {
    /// Whether no pattern chooses.
    fn takes_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// What becomes of entries below a restored part that the snapshot does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extra {
    #[default]
    Keep,
    Delete,
}

/// What is proved beyond the identity of every chunk and image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    #[default]
    Identity,
    /// SQLite's `quick_check` of every restored database as well.
    QuickCheck,
}

/// What a restore did, or would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub parts: Vec<RestoredPart>,
}

/// What became of one part.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoredPart {
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    pub files: u64,
    /// Already as they were in the snapshot, or left alone.
    pub kept: u64,
    pub folders: u64,
    pub others: u64,
    pub databases: u64,
    pub deleted: u64,
    pub bytes_written: u64,
    pub problems: Vec<Problem>,
    pub problem_count: u64,
}

impl Report {
    /// Whether all that was asked for is there.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.problem_count == 0)
    }
}

impl RestoredPart {
    /// Adds something that could not be restored, and tells it.
    fn add_problem(
        &mut self,
        run: &Run<'_>,
        part: &Part,
        path: &[u8],
        (code, message): (&str, String),
    ) {
        let event = Event::Problem {
            part: part.name.clone(),
            path: path.to_vec(),
            code: code.to_owned(),
            message: message.clone(),
        };
        run.observer.observe(&event);
        self.problems.push(Problem { path: path.to_vec(), code: code.to_owned(), message });
        self.problem_count += 1;
    }
}

/// A restore under way.
pub struct Run<'a> {
    pub repo: &'a Repository,
    pub request: &'a Request,
    pub observer: &'a dyn Observer,
    pub target: &'a Dir,
}

/// Restores the parts. Success means that what the report counts is durable.
pub fn run(
    repo: &Repository,
    parts: &[PartAt<'_>],
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let env = repo.environment();
    let parts = &chosen(parts, request)?;
    space::check(repo, parts, request)?;
    let target = env.disk.create_root(&request.target, 0o755).map_err(|source| Error::Io {
        action: "open the target",
        path: request.target.clone(),
        source,
    })?;
    let run = Run { repo, request, observer, target: &target };
    let mut report = Report::default();
    for at in parts {
        let began = env.clock.elapsed();
        observer.observe(&Event::Phase { phase: Phase::Restore, item: at.part.name.clone() });
        let restored = run.part(at)?;
        run.done(at.part, &restored, env.clock.elapsed() - began);
        report.parts.push(restored);
    }
    Ok(report)
}

/// Says what [`run`] would restore, without touching the target.
pub fn plan(
    repo: &Repository,
    parts: &[PartAt<'_>],
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let parts = &chosen(parts, request)?;
    space::check(repo, parts, request)?;
    observer.observe(&Event::Phase { phase: Phase::Plan, item: String::new() });
    // Nothing can differ in a target that does not exist.
    let target = repo.environment().disk.open_root(&request.target).ok();
    let mut report = Report::default();
    for at @ PartAt { part, .. } in parts {
        let mut planned = match (&part.content, &target) {
            (PartContent::Tree { root, .. }, Some(target)) => {
                tree::restore(&Run { repo, request, observer, target }, at, root, Acts::Plan)?
            }
            (PartContent::Database { image, .. }, Some(target)) => {
                database::plan(&Run { repo, request, observer, target }, part, image)?
            }
            _ => whole(repo, part, request)?,
        };
        planned.name.clone_from(&part.name);
        planned.path = place(request, part);
        report.parts.push(planned);
    }
    Ok(report)
}

/// The parts without the databases that the patterns leave out. A database goes by the names of its
/// part and of its file; of folders the patterns choose what is in them.
fn chosen<'a>(parts: &[PartAt<'a>], request: &Request) -> Result<Vec<PartAt<'a>>, Error> {
    let chooser = Chooser::new(&request.include, &request.exclude)?;
    let is_chosen = |at: &&PartAt<'a>| match at.part.content {
        PartContent::Tree { .. } => true,
        PartContent::Database { .. } => {
            chooser.takes(&[&at.part.name, &format!("{}.db", at.part.name)])
        }
    };
    Ok(parts.iter().filter(is_chosen).copied().collect())
}

/// What is restored of a part where nothing is yet.
fn whole(repo: &Repository, part: &Part, request: &Request) -> Result<RestoredPart, Error> {
    let is_database = matches!(part.content, PartContent::Database { .. });
    let totals = match &part.content {
        PartContent::Tree { root, .. } if !request.takes_all() => {
            let chooser = Chooser::new(&request.include, &request.exclude)?;
            space::chosen_totals(repo.fetcher()?.as_ref(), root, &chooser)
        }
        _ => part.totals,
    };
    let Totals { files, folders, others, bytes, .. } = totals;
    Ok(RestoredPart {
        files: if is_database { 0 } else { files },
        databases: u64::from(is_database),
        folders,
        others,
        bytes_written: bytes,
        ..RestoredPart::default()
    })
}

/// Where a part lands.
pub fn place(request: &Request, part: &Part) -> PathBuf {
    match part.content {
        PartContent::Tree { .. } => request.target.join(&part.name),
        PartContent::Database { .. } => request.target.join(format!("{}.db", part.name)),
    }
}

impl Run<'_> {
    fn part(&self, at: &PartAt<'_>) -> Result<RestoredPart, Error> {
        let part = at.part;
        let mut restored = match &part.content {
            PartContent::Tree { root, .. } => tree::restore(self, at, root, Acts::Restore)?,
            PartContent::Database { image, .. } => database::restore(self, part, image)?,
        };
        restored.name.clone_from(&part.name);
        restored.path = place(self.request, part);
        Ok(restored)
    }

    fn done(&self, part: &Part, restored: &RestoredPart, took: Duration) {
        let outcome =
            if restored.problem_count == 0 { Outcome::Complete } else { Outcome::Incomplete };
        self.observer.observe(&Event::PartDone(PartDone {
            part: part.name.clone(),
            kind: part.kind,
            bytes: part.totals.bytes,
            bytes_new: restored.bytes_written,
            outcome,
            problem_count: restored.problem_count,
            took,
        }));
    }
}
