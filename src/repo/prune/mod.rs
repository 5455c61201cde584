//! Removing what nothing reaches, beside backups, restores and other prunes. Spec:
//! `format-spec/70-write-order.md`, "Tombstones".
//!
//! ```text
//! survey: records ─▶ index, tables ─▶ mark ─▶ plan        (`--dry-run` ends here)
//! move what is alive out of wasteful packs ─▶ index object
//! own tombstone ─▶ records again, copies again ─▶ rescind, or delete ─▶ fold into a summary
//! ```
//!
//! What is deleted is decided by listings, records and tables read in this run; the local index
//! finds chunks faster, and what it says is compared with what the packs say. Whatever cannot be
//! read ends the prune before it deletes anything. A prune that dies leaves packs that are
//! condemned and still there: the next one takes them over.

mod condemn;
mod explain;
mod fold;
mod mark;
mod occurrences;
mod plan;
mod recheck;
mod rewrite;
mod ripe;
pub mod roots;
mod survey;
#[cfg(test)]
mod tests;
mod unclaimed;

use std::time::Duration;

use crate::{
    limits::MIB,
    repo::{Error, Repository, commit, parity},
};

use condemn::Condemnation;
pub use explain::explain_removal;
use plan::Effort;
pub use plan::Plan;
use ripe::Ripeness;
use roots::Trash;
use survey::Survey;

const PRUNE_LOCK: &str = "prune.lock";
const PRUNE_LOCK_WAIT: Duration = Duration::from_secs(2);
/// Below this a pack is small.
const SMALL_PACK_BYTES: u64 = 4 * MIB as u64;
/// So many small packs may lie about before they are merged.
const SMALL_PACKS_MAX: usize = 16;

/// How a prune goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Dead bytes that may stay in packs that are partly used, in thousandths of all that stays.
    pub max_unused_permille: u32,
    /// At most so many bytes are moved for the sake of space.
    pub max_repack_bytes: Option<u64>,
    /// How long forgotten snapshots can be had back.
    pub trash: Duration,
    /// How long packs are left alone that no index object names: a run under way may have written
    /// them. Safety does not need it; without it such a run stores again what it stored.
    pub grace: Duration,
    pub older_epochs: OlderEpochs,
}

/// What becomes of packs that were sealed before the newest epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OlderEpochs {
    Stay,
    /// What is alive in them moves to new packs, of up to so many bytes in one prune, at least one.
    Move {
        bytes_max: u64,
    },
}

impl Default for Options {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            max_unused_permille: 50,
            max_repack_bytes: None,
            trash: Duration::from_secs(7 * DAY),
            grace: Duration::from_secs(DAY),
            older_epochs: OlderEpochs::Stay,
        }
    }
}

/// What a prune tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PruneEvent {
    /// A stretch of work begins, of so many bytes where that is known.
    Step {
        step: PruneStep,
        bytes: u64,
    },
    Progress {
        bytes: u64,
    },
    /// Something that was left alone, and why.
    Left {
        what: String,
        why: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneStep {
    /// Following every record to all that it reaches.
    Mark,
    /// Moving what is alive out of wasteful packs.
    Move,
    Delete,
}

/// What a prune would do, and what keeps it from doing more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    pub plan: Plan,
    pub packs: u64,
    pub snapshots: u64,
    /// Forgotten, and still to be had back.
    pub in_trash: u64,
    /// Forgotten snapshots whose records go.
    pub expired: u64,
    /// Packs that were sealed before the newest epoch began.
    pub older_packs: u64,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub outlook: Outlook,
    /// Packs that were condemned and go with a later prune: the place's listings lag.
    pub packs_condemned: u64,
    pub packs_deleted: u64,
    pub bytes_deleted: u64,
    pub packs_rewritten: u64,
    /// Size of the packs that took in what was moved.
    pub bytes_written: u64,
    pub snapshots_removed: u64,
    /// Packs that were condemned and are needed after all.
    pub rescinded: u64,
    pub index_objects_removed: u64,
}

impl Report {
    /// Bytes that the packs take less than before.
    pub const fn bytes_freed(&self) -> u64 {
        self.bytes_deleted.saturating_sub(self.bytes_written)
    }
}

/// Says what a prune would do. Changes nothing.
pub fn outlook(
    repo: &Repository,
    options: &Options,
    observe: &mut dyn FnMut(PruneEvent),
) -> Result<Outlook, Error> {
    let trash = Trash { keep: options.trash, now: repo.env.clock.now() };
    let mut survey = Survey::take(repo, &trash, observe)?;
    let waiting = unclaimed::waiting(repo, &survey, options.grace)?;
    let plan = survey.weigh(&waiting.young, &effort(options));
    Ok(of_survey(&survey, plan))
}

/// Removes what nothing reaches. Interrupted at any moment, the next prune goes on.
///
/// # Errors
/// [`Error::Refused`] if anything is not as it must be for a deletion to be safe: then nothing was
/// deleted. [`Error::Busy`] if another prune of this machine is under way.
pub fn prune(
    repo: &Repository,
    options: &Options,
    observe: &mut dyn FnMut(PruneEvent),
) -> Result<Report, Error> {
    let Some(_lock) = repo.lock(PRUNE_LOCK, PRUNE_LOCK_WAIT)? else {
        return Err(Error::Busy { what: "another prune on this machine is under way".to_owned() });
    };
    repo.opened.refresh(repo.env.backend.as_ref())?;
    repo.forget_catalogue();
    let _ = commit::finish_pending(repo, &*repo.catalogue()?)?;
    let done = work(repo, options, observe);
    repo.forget_catalogue();
    done
}

fn work(
    repo: &Repository,
    options: &Options,
    observe: &mut dyn FnMut(PruneEvent),
) -> Result<Report, Error> {
    let trash = Trash { keep: options.trash, now: repo.env.clock.now() };
    let mut survey = Survey::take(repo, &trash, observe)?;
    let waiting = unclaimed::waiting(repo, &survey, options.grace)?;
    unclaimed::remember(repo, &waiting)?;
    roots::remember(repo, &survey.roots.committed)?;
    let plan = survey.weigh(&waiting.young, &effort(options));
    let mut report = Report { outlook: of_survey(&survey, plan.clone()), ..Report::default() };

    observe(PruneEvent::Step { step: PruneStep::Move, bytes: plan.moved_bytes });
    let rewritten = rewrite::rewrite(repo, &survey, &plan.rewrite, observe)?;
    report.packs_rewritten = rewritten.packs.len() as u64;
    report.bytes_written = rewritten.bytes_written;

    let mut packs = [plan.delete, rewritten.packs].concat();
    packs.sort_unstable();
    let wanted = Condemnation { packs, snapshots: survey.roots.expired.clone() };
    let ripeness = Ripeness::of(repo)?;
    let (wanted, later) = ripeness.part(wanted, &survey);
    report.packs_condemned = later.packs.len() as u64;
    condemn::leave_word(repo, &survey, &later)?;
    observe(PruneEvent::Step { step: PruneStep::Delete, bytes: wanted.bytes(&survey) });
    let deleted = condemn::carry_out(repo, &mut survey, wanted, &trash, observe)?;
    (report.packs_deleted, report.bytes_deleted) = (deleted.packs, deleted.bytes);
    (report.snapshots_removed, report.rescinded) = (deleted.snapshots, deleted.rescinded);
    drop(survey);
    fold::fold(repo, (&trash, &ripeness), &mut report)?;
    parity::tidy(repo)?;
    Ok(report)
}

fn effort(options: &Options) -> Effort {
    Effort {
        max_unused_permille: options.max_unused_permille,
        max_repack_bytes: options.max_repack_bytes,
        older_epochs: options.older_epochs,
        small_pack_bytes: SMALL_PACK_BYTES,
        small_packs_max: SMALL_PACKS_MAX,
    }
}

fn of_survey(survey: &Survey, plan: Plan) -> Outlook {
    Outlook {
        plan,
        packs: survey.packs.len() as u64,
        snapshots: survey.roots.committed.len() as u64,
        in_trash: survey.roots.in_trash as u64,
        expired: survey.roots.expired.len() as u64,
        older_packs: survey.packs.iter().filter(|pack| survey.is_older(pack)).count() as u64,
    }
}

/// Nothing is deleted, for this reason.
fn refused(why: String) -> Error {
    Error::Refused { why }
}
