//! What goes with a backup besides the backup: room for it before, a pin, the policy and a prune
//! behind it.
//!
//! Whatever goes wrong behind a backup costs nothing but a warning: the snapshot is safe. A backup
//! that lacks space has forgotten snapshots removed, never others: first those whose trash time is
//! over, then the rest of the trash, which is said.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::{
    backend, chunk,
    clock::UnixNanos,
    ops::{
        Error,
        backup::{self, Report, Request},
        event::{Event, Observer},
        forget::{self, Most, Plan},
        prune::{PruneOptions, PruneReport, prune},
        retention::{Choice, Group, Policies},
        with_causes, words,
    },
    repo::{self, Repository, Snapshot},
};

/// So much time after a prune there is another one.
const PRUNE_PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A prune pays when about this share is dead.
const DEAD_ONE_IN: u64 = 10;

/// What is wanted besides the backup.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Whether the policy is applied and prunes are made.
    pub mode: Mode,
    pub policies: Policies,
    pub zone: TimeZone,
    pub prune: PruneOptions,
    /// Why the new snapshot is pinned, and until when.
    pub pin: Option<(String, Option<UnixNanos>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Auto,
    /// Nothing is forgotten unless somebody asks for it.
    Manual,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub report: Report,
    pub forgotten: usize,
    pub pruned: Option<PruneReport>,
}

/// Makes one snapshot, and does what goes with it.
///
/// # Errors
/// Those of the backup, and of the pin that was asked for.
pub fn back_up(
    repo: &Repository,
    request: &Request,
    upkeep: &Upkeep,
    observer: &dyn Observer,
) -> Result<Outcome, Error> {
    let report = match backup::run(repo, request, observer) {
        Err(error) if lacks_space(repo, &error) => {
            with_more_room(repo, (request, upkeep), error, observer)?
        }
        other => other?,
    };
    let mut outcome = Outcome { report, ..Outcome::default() };
    let Some(snapshot) = &outcome.report.snapshot else { return Ok(outcome) };
    if let Some((reason, until)) = &upkeep.pin {
        forget::pin(repo, snapshot.id, (reason, *until), observer)?;
    }
    if upkeep.mode == Mode::Auto {
        outcome.forgotten = or_warn(forget_old(repo, snapshot, upkeep, observer), observer);
        outcome.pruned = or_warn(prune_if_due(repo, upkeep, observer), observer);
    }
    Ok(outcome)
}

fn or_warn<T: Default>(done: Result<T, Error>, observer: &dyn Observer) -> T {
    done.unwrap_or_else(|error| {
        let why = match &error {
            Error::TooMany { going, of } => format!(
                "the policy would let {going} of {of} snapshots go, more than half, so nothing \
                 went. See which:  stillpoint forget --policy --dry-run"
            ),
            Error::ClockBehind(_) => "the clock is more than a day behind a snapshot, so nothing \
                                      was forgotten. See why:  stillpoint forget --policy --dry-run"
                .to_owned(),
            error => format!("the backup is safe, but not what follows it: {}", with_causes(error)),
        };
        observer.observe(&Event::Warning { item: "retention".to_owned(), message: why });
        T::default()
    })
}

/// Applies the policy of the group that the new snapshot belongs to.
fn forget_old(
    repo: &Repository,
    snapshot: &Snapshot,
    upkeep: &Upkeep,
    observer: &dyn Observer,
) -> Result<usize, Error> {
    let _lock = forget::lock(repo)?;
    let group = [Group::of(&snapshot.record)];
    let choice = Choice::Policy(&upkeep.policies, &group);
    let now = repo.environment().clock.now();
    let plan = Plan::new(&repo.history()?, choice, now, &upkeep.zone)?;
    if plan.going().next().is_none() {
        return Ok(0);
    }
    Ok(forget::execute(repo, &plan, ("policy", Most::Refuse), observer)?.snapshots.len())
}

/// Prunes when it is due.
fn prune_if_due(
    repo: &Repository,
    upkeep: &Upkeep,
    observer: &dyn Observer,
) -> Result<Option<PruneReport>, Error> {
    match is_prune_due(repo, &upkeep.prune)? {
        true => prune(repo, &upkeep.prune, observer).map(Some),
        false => Ok(None),
    }
}

/// Whether about a tenth is dead, or a week has passed since the last prune.
pub fn is_prune_due(repo: &Repository, options: &PruneOptions) -> Result<bool, Error> {
    let now = repo.environment().clock.now();
    let Some(last) = repo.writer_state()?.pruned else {
        // Of a repository that was never pruned from here the first week begins now.
        repo.note_pruned(now)?;
        return Ok(false);
    };
    let history = repo.history()?;
    let dropped = history.dropped(options.trash, now);
    let gone = history.snapshots.iter().filter(|snapshot| dropped.contains(&snapshot.id));
    // What a snapshot added is about what goes with it: near enough to decide when to look closer.
    let dead_bytes: u64 = gone.map(|snapshot| snapshot.record.bytes_added).sum();
    let bytes: u64 = repo.catalogue()?.packs().values().sum();
    let is_late = now.saturating_sub(last) >= PRUNE_PERIOD.as_nanos() as i64;
    Ok(is_late || dead_bytes > 0 && dead_bytes.saturating_mul(DEAD_ONE_IN) >= bytes)
}

/// Removes what is forgotten, as much as it takes, and tries again.
fn with_more_room(
    repo: &Repository,
    (request, upkeep): (&Request, &Upkeep),
    mut error: Error,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    for trash in [upkeep.prune.trash, Duration::ZERO] {
        let count = repo.history()?.dropped(trash, repo.environment().clock.now()).len();
        if count == 0 {
            continue;
        }
        let snapshots = words::counted(count as u64, "forgotten snapshot");
        let why = if trash.is_zero() { "before their time, " } else { "" };
        let message = format!("space is short: {snapshots} removed for good, {why}to make room");
        observer.observe(&Event::Warning { item: String::new(), message });
        // Nothing is moved: that would take space first.
        let options = PruneOptions { trash, max_repack_bytes: Some(0), ..upkeep.prune };
        if let Err(failed) = prune(repo, &options, observer) {
            let message = format!("no room could be made: {}", with_causes(&failed));
            observer.observe(&Event::Warning { item: String::new(), message });
            return Err(error);
        }
        match backup::run(repo, request, observer) {
            Err(again) if lacks_space(repo, &again) => error = again,
            other => return other,
        }
    }
    Err(error)
}

/// Whether it is the repository that is full.
fn lacks_space(repo: &Repository, error: &Error) -> bool {
    let is_full = |error: &backend::Error| matches!(error, backend::Error::NoSpace { .. });
    match error {
        Error::NoSpace { place, .. } => *place == repo.environment().backend.place(),
        Error::Backend(error) | Error::Repository(repo::Error::Backend(error)) => is_full(error),
        Error::Chunk(chunk::Error::Repository(error))
        | Error::Repository(repo::Error::Chunk(chunk::Error::Repository(error))) => {
            let error = error.downcast_ref::<repo::Error>();
            matches!(error, Some(repo::Error::Backend(error)) if is_full(error))
        }
        _ => false,
    }
}
