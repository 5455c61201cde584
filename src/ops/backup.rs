//! Backing up: one run makes one snapshot of all its parts, databases first, then files.
//!
//! What befalls one part (a database that is locked, an unreadable file) does not stop the others:
//! it stands in the record and in the report. What befalls the repository ends the run; finished
//! packs stay, and the next run uses them.

mod database;
pub(in crate::ops) mod kept_chunks;
mod metered;
mod record;
mod space;
mod tree;

use std::{path::PathBuf, time::Duration};

pub use record::installed_version;

use crate::{
    format::record::{FailedPart, Part, PartKind, Storage, Trigger},
    ops::{
        Error,
        event::{Event, Observer, PartDone, Phase},
        live, owners,
        set::{AppVersion, Set, SetSource},
    },
    repo::{self, Lock, Repository, Snapshot, Taken, Writer},
};

/// How often a run that lost a race against a deleter captures the parts concerned again.
const ATTEMPTS_MAX: usize = 3;

/// What is to be backed up, and what the record says about it.
#[derive(Debug, Clone)]
pub struct Request {
    /// At least one; names are unique.
    pub sets: Vec<Set>,
    /// All parts that are configured, also those this run leaves out.
    pub configured: Vec<(String, PartKind)>,
    pub storage: Storage,
    pub trigger: Trigger,
    pub actor: String,
    pub station: String,
    pub name: String,
    pub note: String,
    pub tags: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub app_version: Option<AppVersion>,
    /// The configuration without secrets, TOML.
    pub config: String,
    pub host: String,
    /// How long another backup of the same part is waited for.
    pub wait: Duration,
    /// Free space that must be left.
    pub min_free_bytes: u64,
    /// Our own program, which captures databases in processes of their own.
    pub program: PathBuf,
    /// Folders that are never saved: the repository and the state folder.
    pub own: Vec<PathBuf>,
    /// Where parts come from that are read from a copy, as those of an export are.
    pub origins: Vec<Origin>,
}

/// Where a part was before it was copied to where it is read.
#[derive(Debug, Clone)]
pub struct Origin {
    pub part: String,
    pub sources: Vec<Vec<u8>>,
    /// The folder that a part of files is the content of.
    pub root: Vec<u8>,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Absent when no part at all could be captured: then nothing was published.
    pub snapshot: Option<Snapshot>,
    pub failed: Vec<FailedPart>,
    /// Bytes that the packs of this run take in the repository.
    pub bytes_added: u64,
}

impl Report {
    /// Whether everything that was asked for is in the snapshot, whole.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
            && self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.record.incomplete)
    }
}

/// Makes one snapshot. Success means that it is durable.
pub fn run(repo: &Repository, request: &Request, observer: &dyn Observer) -> Result<Report, Error> {
    let names: Vec<String> = request.sets.iter().map(|set| set.name.clone()).collect();
    let _locks = lock_parts(repo, &names, request, observer)?;
    live::refuse_mixture(repo, &request.sets, observer)?;
    run_locked(repo, request, observer)
}

/// Makes one snapshot for somebody who has the locks of the parts already.
pub fn run_locked(
    repo: &Repository,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let mut reliance = match request.storage {
        Storage::Incremental => Reliance::Unchanged,
        Storage::Full => Reliance::Content,
    };
    for _ in 1..ATTEMPTS_MAX {
        match attempt(repo, request, reliance, observer) {
            Err(Error::Repository(repo::Error::Condemned { parts })) => {
                let message =
                    format!("{parts} is captured again: a prune removed data that it shared");
                observer.observe(&Event::Warning { item: parts, message });
                reliance = Reliance::Nothing;
            }
            other => return other,
        }
    }
    attempt(repo, request, reliance, observer)
}

/// How much of the parent snapshot a run relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliance {
    /// What looks unchanged is not read.
    Unchanged,
    /// Everything is read; databases are stored as changes to their older images.
    Content,
    /// Everything is read and looked up anew.
    Nothing,
}

/// A run under way.
pub struct Run<'a> {
    pub repo: &'a Repository,
    pub request: &'a Request,
    pub observer: &'a dyn Observer,
    pub writer: Writer,
    pub reliance: Reliance,
    /// Snapshots made before this are not relied on at all: packs were found missing then.
    pub loss_noticed: Option<i64>,
    /// Committed snapshots, oldest first.
    pub older: Vec<Snapshot>,
    pub started: i64,
    pub owners: owners::Seen,
}

impl Run<'_> {
    /// How much of the parent snapshot this part relies on.
    pub fn reliance_of(&self, set: &Set) -> Reliance {
        let created = self.parent(set).map(|(snapshot, _)| snapshot.record.created);
        match (created, self.loss_noticed) {
            (Some(created), Some(noticed)) if created <= noticed => Reliance::Nothing,
            _ => self.reliance,
        }
    }

    /// The newest snapshot's part of this name and kind. One that was imported serves where there
    /// is no other: it may be of any age.
    pub fn parent(&self, set: &Set) -> Option<(&Snapshot, &Part)> {
        let holds = |snapshot| part_of(snapshot, set).map(|part| (snapshot, part));
        let own = |snapshot: &&Snapshot| snapshot.record.trigger != Trigger::Import;
        let newest_own = self.older.iter().rev().filter(own).find_map(holds);
        newest_own.or_else(|| self.older.iter().rev().find_map(holds))
    }

    fn done(&self, part: &Part, began: Duration) {
        self.observer.observe(&Event::PartDone(PartDone {
            part: part.name.clone(),
            kind: part.kind,
            bytes: part.totals.bytes,
            bytes_new: part.totals.bytes_new,
            outcome: part.outcome,
            problem_count: part.problem_count,
            took: self.repo.environment().clock.elapsed() - began,
        }));
    }
}

fn part_of<'a>(snapshot: &'a Snapshot, set: &Set) -> Option<&'a Part> {
    let mut parts = snapshot.record.parts.iter();
    parts.find(|part| part.name == set.name && part.kind == set.kind())
}

fn attempt(
    repo: &Repository,
    request: &Request,
    reliance: Reliance,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    observer.observe(&Event::Phase { phase: Phase::Open, item: String::new() });
    let writer = repo.writer()?;
    // After the look at the repository, so that a loss noticed by it is older than this run.
    let started = repo.environment().clock.now();
    let older = repo.snapshots()?.snapshots;
    let loss_noticed = repo.writer_state()?.loss_noticed;
    let owners = owners::Seen::default();
    let run =
        Run { repo, request, observer, writer, reliance, loss_noticed, older, started, owners };
    warn_of_losses(&run);
    match capture(&run) {
        Ok(captured) => publish(run, captured),
        Err(error) => {
            // What is in finished packs helps the next run; the error that ended this one matters
            // more.
            let _ = repo.abandon(run.writer);
            Err(error)
        }
    }
}

fn warn_of_losses(run: &Run<'_>) {
    let is_distrusted = |set: &&Set| run.reliance_of(set) != run.reliance;
    for set in run.request.sets.iter().filter(is_distrusted) {
        let message = "packs are gone from the repository, or damaged: all of this part is read \
                       again, so that what its source still has is safe. What older snapshots \
                       lost:  stillpoint check --read-data"
            .to_owned();
        run.observer.observe(&Event::Warning { item: set.name.clone(), message });
    }
}

/// The parts of a run, and what remains to be done with them.
#[derive(Default)]
struct Captured {
    parts: Vec<Part>,
    failed: Vec<FailedPart>,
    page_lists: Vec<database::PageList>,
    /// What the version query of the configuration returned.
    app_version: Option<Result<String, String>>,
}

fn capture(run: &Run<'_>) -> Result<Captured, Error> {
    space::check(run)?;
    let mut captured = Captured::default();
    database::capture_all(run, &mut captured)?;
    for set in &run.request.sets {
        let SetSource::Files(files) = &set.source else { continue };
        let began = run.repo.environment().clock.elapsed();
        run.observer.observe(&Event::Phase { phase: Phase::Read, item: set.name.clone() });
        match tree::capture(run, set, files)? {
            Ok(part) => {
                run.done(&part, began);
                captured.parts.push(part);
            }
            Err(failed) => captured.fail(run, failed),
        }
    }
    Ok(captured)
}

impl Captured {
    fn fail(&mut self, run: &Run<'_>, failed: FailedPart) {
        let FailedPart { name, code, message } = failed.clone();
        run.observer.observe(&Event::PartFailed { part: name, code, message });
        self.failed.push(failed);
    }
}

fn publish(run: Run<'_>, captured: Captured) -> Result<Report, Error> {
    let (repo, request, observer) = (run.repo, run.request, run.observer);
    if captured.parts.is_empty() {
        repo.abandon(run.writer)?;
        return Ok(Report { failed: captured.failed, ..Report::default() });
    }
    let mut captured = captured;
    if request.storage == Storage::Full {
        run.writer.flush()?;
        database::verify_all(&run, &mut captured)?;
    }
    observer.observe(&Event::Phase { phase: Phase::Publish, item: String::new() });
    let record = record::assemble(&run, &captured);
    let bytes_added = run.writer.progress().bytes_written;
    let Captured { failed, page_lists, .. } = captured;
    let snapshot = repo.commit(run.writer, record)?;
    for list in page_lists {
        list.keep(repo, snapshot.id, observer);
    }
    Ok(Report {
        bytes_added: bytes_added.max(snapshot.record.bytes_added),
        snapshot: Some(snapshot),
        failed,
    })
}

/// Takes the lock of every part, in the order of their names, so that two runs never wait for each
/// other.
pub fn lock_parts(
    repo: &Repository,
    parts: &[String],
    request: &Request,
    observer: &dyn Observer,
) -> Result<Vec<Lock>, Error> {
    let mut names: Vec<_> = parts.iter().map(String::as_str).collect();
    names.sort_unstable();
    let holder = format!("process {} on {}", std::process::id(), request.host);
    let mut locks = Vec::new();
    for name in names {
        let file = format!("part-{name}.lock");
        match repo.lock_as(&file, &holder, Duration::ZERO)? {
            Taken::Lock(lock) => locks.push(lock),
            Taken::HeldBy(holder) if request.wait.is_zero() => {
                return Err(Error::Busy { part: name.to_owned(), holder });
            }
            Taken::HeldBy(_) => {
                observer.observe(&Event::Phase { phase: Phase::Wait, item: name.to_owned() });
                match repo.lock_as(&file, &holder, request.wait)? {
                    Taken::Lock(lock) => locks.push(lock),
                    Taken::HeldBy(holder) => {
                        return Err(Error::Busy { part: name.to_owned(), holder });
                    }
                }
            }
        }
    }
    Ok(locks)
}
