//! Bringing everything back in place: the parts of a moment, each where it came from.
//!
//! ```text
//! plan, space, version -> journal -> stage beside -> before_restore -> proof that nobody has the
//! databases open -> safety snapshot -> plan again -> rows of kept tables -> moves, durable -> swap
//! by renames -> verify -> migrate -> after_restore -> done
//! ```
//!
//! Up to `after_restore` any failure takes all of it back, by itself; a process that is killed
//! leaves its journal in the state folder, and the next command that opens it takes the restore
//! back, or finishes it. What was there before is in the safety snapshot, from which `undo` brings
//! it back. Everything that can fail because of the repository or for want of room fails while
//! things are staged, before the application is stopped.

mod error;
mod hook;
mod journal;
mod kept;
mod mixture;
mod moves;
mod path_text;
mod plan;
mod prove;
mod roll_back;
mod stage;
mod undo;
mod verify;
mod version;
mod work;

use std::{path::PathBuf, time::Duration};

use crate::{
    ops::{
        self, backup,
        event::{Event, Observer, Phase},
        moment::PartAt,
        restore::Extra,
        set::Set,
    },
    repo::{Lock, Repository, Snapshot, Taken},
};

pub use error::Error;
pub use kept::{Kept, plan_kept};
pub use mixture::refuse_mixture;
pub use plan::{Kind, Removal, Site, tree_place};
pub use roll_back::Recovered;
pub use undo::{Undo, undo};
pub use version::Installed;

use journal::Journal;
use plan::Planner;
use roll_back::Back;
use work::Work;

/// What the names of folders begin with in which things wait beside their places.
pub const STAGING_PREFIX: &str = ".stillpoint-live-";
/// Only one live restore at a time may be under way, and whoever ends a dead one is alone too.
const LOCK: &str = "live-restore.lock";
/// A process that is just being started by a dead one holds its locks for a moment.
const DEAD_WITHIN: Duration = Duration::from_secs(2);

/// How a live restore is done.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the parts belong; a part that is not among them goes where it was.
    pub sets: Vec<Set>,
    pub extra: Extra,
    pub hooks: Hooks,
    pub installed: Installed,
    pub occupants: Occupants,
    /// The safety snapshot, but for its sets.
    pub safety: backup::Request,
    /// Free space that must be left.
    pub min_free_bytes: u64,
    /// Our own program, which checks databases in processes of their own.
    pub program: PathBuf,
    /// Tables that keep their present rows, whatever database they are in.
    pub kept_tables: Vec<String>,
    /// Folders that are never touched: the repository and the state folder.
    pub own: Vec<PathBuf>,
}

/// Commands of the owner: a program and its arguments, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Stops the application.
    pub before: Vec<String>,
    /// Starts it.
    pub after: Vec<String>,
    /// Brings an older database to the version of the installed application.
    pub migrate: Vec<String>,
    pub timeout: Duration,
}

/// What counts as proof that nobody has a database open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Occupants {
    /// All processes can be looked into.
    #[default]
    MustBeSeen,
    /// Somebody promised that the application is stopped. Who is seen all the same is refused.
    Assumed,
}

/// What is to be there afterwards.
#[derive(Debug, Clone, Default)]
pub struct Goal<'a> {
    pub parts: Vec<PartAt<'a>>,
    pub removals: Vec<Removal>,
    /// As it was typed, for those who ask later.
    pub asked: String,
}

/// What a live restore did.
#[derive(Debug, Clone)]
pub struct Report {
    pub sites: Vec<Site>,
    /// What was there before; nothing if nothing was.
    pub safety: Option<Snapshot>,
}

/// Says what [`run`] would do. Looks, and changes nothing.
pub fn plan(
    repo: &Repository,
    goal: &Goal<'_>,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Vec<Site>, ops::Error> {
    observer.observe(&Event::Phase { phase: Phase::Plan, item: String::new() });
    let _ = request.installed.judge(&goal.parts)?;
    let sites = Planner { repo, request }.sites(goal)?;
    let disk = repo.environment().disk.as_ref();
    stage::check_space(disk, &sites, request.min_free_bytes)?;
    Ok(sites)
}

/// Brings the parts back in place. Success means that all of it is durable and verified.
///
/// # Errors
/// [`Error::TakenBack`]: all is as it was before. [`Error::Unfinished`]: neither; the next command
/// tries again. Others: nothing was changed.
pub fn run(
    repo: &Repository,
    goal: &Goal<'_>,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, ops::Error> {
    let _alone = match lock(repo, request.safety.wait)? {
        Taken::Lock(lock) => lock,
        Taken::HeldBy(holder) => {
            return Err(ops::Error::Busy { part: "the live restore".to_owned(), holder });
        }
    };
    let _ = recover_alone(repo, observer)?;
    let _parts = lock_parts(repo, goal, request, observer)?;
    let age = request.installed.judge(&goal.parts)?;
    let sites = plan(repo, goal, request, observer)?;
    if sites.iter().all(|site| site.changes.is_empty()) {
        return Ok(Report { sites, safety: None });
    }
    // What cannot be kept is found before the application is stopped.
    let _ = plan_kept(repo, (goal, &sites), request)?;
    let mut work = Work::begin((repo, request), observer, goal, (sites, age))?;
    match work.go() {
        Ok(report) => Ok(report),
        Err(error) => Err(work.take_back(error)),
    }
}

/// Ends a live restore whose process died, if there is one and nobody else is at it.
pub fn recover(
    repo: &Repository,
    observer: &dyn Observer,
) -> Result<Option<Recovered>, ops::Error> {
    let (disk, state) = (repo.environment().disk.as_ref(), repo.state_dir());
    let journal = Journal::read(disk, state);
    let journal = journal.map_err(|source| plan::io_error("read", repo.state_path(), source))?;
    if journal.is_none() {
        return Ok(None);
    }
    match lock(repo, DEAD_WITHIN)? {
        Taken::Lock(_alone) => recover_alone(repo, observer),
        // It is not dead.
        Taken::HeldBy(_) => Ok(None),
    }
}

fn recover_alone(
    repo: &Repository,
    observer: &dyn Observer,
) -> Result<Option<Recovered>, ops::Error> {
    let (disk, state) = (repo.environment().disk.as_ref(), repo.state_dir());
    let journal = Journal::read(disk, state);
    let journal = journal.map_err(|source| plan::io_error("read", repo.state_path(), source))?;
    match journal {
        None => Ok(None),
        Some(journal) => Back { repo, observer }.recover(&journal).map(Some),
    }
}

fn lock(repo: &Repository, wait: Duration) -> Result<Taken, ops::Error> {
    let holder = format!("process {}", std::process::id());
    Ok(repo.lock_as(LOCK, &holder, wait)?)
}

/// No backup of these parts may run meanwhile: it would save a mixture.
fn lock_parts(
    repo: &Repository,
    goal: &Goal<'_>,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Vec<Lock>, ops::Error> {
    let parts = goal.parts.iter().map(|at| at.part.name.clone());
    let parts = parts.chain(goal.removals.iter().map(|removal| removal.part.clone()));
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts.dedup();
    backup::lock_parts(repo, &parts, &request.safety, observer)
}
