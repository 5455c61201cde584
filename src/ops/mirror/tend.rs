//! How long snapshots stay on a mirror: by a policy of its own, applied to what the mirror itself
//! lists and says. Nothing that is or is not here makes anything go there.
//!
//! The mirror is opened as the repository that it is. What its policy does not keep is forgotten
//! there, stays in the trash for its time, and goes by the rules of every prune. A mirror is not
//! repacked: packs go when nothing there needs them.

use std::time::Duration;

use crate::{
    clock::UnixNanos,
    ops::{
        self,
        event::Observer,
        forget::{self, Most, Plan},
        mirror::{
            Error, Keep, Ledger, Target, Tended,
            copy::not_noted,
            push::{lock, state_root},
        },
        prune::{PruneOptions, PrunePlan, PruneReport, plan, prune},
        retention::{Choice, Decision, Group},
        upkeep,
    },
    repo::Repository,
};

/// Each of these looks costs some requests.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    pub forgotten: usize,
    pub pruned: Option<PruneReport>,
}

/// Whether somebody asks for a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A prune is made when much is dead, or after a week.
    WhenDue,
    Now,
}

/// Whether a day has passed since the mirror was looked after. Of one that never was, the first day
/// begins with the first look.
pub fn is_due(ledger: &Ledger, now: UnixNanos) -> bool {
    // A clock that went back is no reason to wait until it is there again.
    let is_over = |at: UnixNanos| at > now || now.saturating_sub(at) >= PERIOD.as_nanos() as i64;
    ledger.notes.tended.at.is_some_and(is_over)
}

/// Applies the policy of the mirror, and removes there what was forgotten long enough ago.
///
/// # Errors
/// [`Error::TooMany`] if more than half of what stayed the last time would go.
pub fn tend(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    (need, most): (Need, Most),
    observer: &dyn Observer,
) -> Result<Upkeep, ops::Error> {
    let Some(keep) = &target.keep else { return Ok(Upkeep::default()) };
    let _lock = lock(repo, target)?;
    let there = repo.at(target.backend.clone(), state_root(repo, target))?;
    let _forget_lock = forget::lock(&there)?;
    let plan = judge(&there, keep)?;
    let going = plan.going().count();
    let kept = plan.decisions.len() - going;
    if most == Most::Refuse && (kept as u64).saturating_mul(2) < ledger.notes.tended.kept {
        let (name, of) = (target.name.clone(), plan.decisions.len());
        return Err(Error::TooMany { name, going, of }.into());
    }
    let forgotten =
        forget::execute(&there, &plan, ("policy of the mirror", Most::Allow), observer)?;
    let options = options(keep);
    let is_asked = need == Need::Now || ledger.notes.tended.is_unfinished;
    let pruned = if is_asked || upkeep::is_prune_due(&there, &options)? {
        // Known before anything goes: whatever cuts this short, the next push lists.
        ledger.doubt().map_err(|source| not_noted(repo, source))?;
        Some(prune(&there, &options, observer)?)
    } else {
        None
    };
    let is_unfinished = match &pruned {
        Some(report) => report.packs_condemned > 0,
        None => ledger.notes.tended.is_unfinished,
    };
    let at = Some(repo.environment().clock.now());
    let tended = Tended { at, kept: kept as u64, is_unfinished };
    ledger.set_tended(tended).map_err(|source| not_noted(repo, source))?;
    Ok(Upkeep { forgotten: forgotten.snapshots.len(), pruned })
}

/// What [`tend`] would do: the verdict on every snapshot there, newest first, and the prune that
/// would follow. Changes nothing.
pub fn outlook(
    repo: &Repository,
    target: &Target,
    observer: &dyn Observer,
) -> Result<(Vec<Decision>, PrunePlan), ops::Error> {
    let Some(keep) = &target.keep else { return Ok((Vec::new(), PrunePlan::default())) };
    let there = repo.at(target.backend.clone(), state_root(repo, target))?;
    let judged = judge(&there, keep)?;
    Ok((judged.decisions, plan(&there, &options(keep), observer)?))
}

fn judge(there: &Repository, keep: &Keep) -> Result<Plan, ops::Error> {
    let choice = Choice::Policy(&keep.policies, &Group::ALL);
    Plan::new(&there.history()?, choice, there.environment().clock.now(), &keep.zone)
}

fn options(keep: &Keep) -> PruneOptions {
    PruneOptions { trash: keep.trash, max_repack_bytes: Some(0), ..PruneOptions::default() }
}
