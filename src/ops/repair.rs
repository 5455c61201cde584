//! Repairing: a check, a plan of what it found, and then the plan.

pub use crate::repo::repair::{Mirror, Outcome, Plan, Scope, Step};

use crate::{
    ops::{
        Error,
        check::{self, Report},
        event::{Event, Observer, Phase, Silent},
    },
    repo::{
        Repository,
        check::Depth,
        repair::{self, Planner},
    },
};

/// What is wrong, and what will be done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    pub plan: Plan,
    pub found: Report,
}

/// Finds out what there is to repair. Changes nothing in the repository.
///
/// Packs are read in full as the depth says, and besides those of which an earlier check of this
/// machine found that they are damaged.
pub fn plan(
    repo: &Repository,
    (scope, depth): (Scope, Depth),
    observer: &dyn Observer,
) -> Result<Diagnosis, Error> {
    let mut planner = Planner::new(scope);
    let found = check::examine(repo, depth, observer, &mut |event| planner.hear(event))?;
    Ok(Diagnosis { plan: planner.finish(repo)?, found })
}

/// Carries out the plan, with what these mirrors have, and looks again at what there is now.
pub fn execute(
    repo: &Repository,
    (plan, mirrors): (&Plan, &[Mirror]),
    observer: &dyn Observer,
) -> Result<(Outcome, Report), Error> {
    let outcome = repair::execute(repo, (plan, mirrors), &mut |step| {
        observer.observe(&Event::Phase { phase: Phase::Repair, item: step.item() });
    })?;
    for (item, why) in &outcome.left {
        observer.observe(&Event::Problem {
            part: String::new(),
            path: item.clone().into_bytes(),
            code: "not-repaired".to_owned(),
            message: why.clone(),
        });
    }
    observer.observe(&Event::Phase { phase: Phase::Check, item: String::new() });
    let report = check::examine(repo, Depth::Structure, &Silent, &mut |_| {})?;
    Ok((outcome, report))
}
