//! Forgetting, undeleting, pinning and unpinning, killed and failed at every step: what was
//! reported holds, no data is lost, and doing it again brings it about.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use rustix::io::Errno;
use stillpoint::{
    disk::{Disk, Uninterrupted},
    id::SnapshotId,
    ops::{
        self,
        event::Silent,
        forget::{self, Most, Plan},
        retention::Choice,
    },
    repo::{Repository, check::Depth},
};

use crate::harness::{
    Tally, crash,
    faulty_disk::{Class, FaultyDisk, Kind, Plan as FaultPlan, Times},
    in_parallel,
    vault::{Failure, Vault, steady},
    work::{Work, World},
};

/// Every so many-th death or error is followed by a restore and a check of every chunk.
const CHECK_EVERY: usize = 16;

/// Does one of [`Work::MARKS`] to the oldest of two snapshots.
pub fn mark(work: Work, disk: impl Disk + 'static, vault: &Vault) -> Result<(), Failure> {
    let repo = vault.open(disk)?;
    let told = |error: ops::Error| ops::with_causes(&error);
    let id = oldest(&repo).map_err(told)?;
    match work {
        Work::Forget => forget_one(&repo, id).map_err(told),
        Work::Undelete => forget::undelete(&repo, &[id], &Silent).map(drop).map_err(told),
        Work::Pin => forget::pin(&repo, id, ("why", None), &Silent).map_err(told),
        _ => forget::unpin(&repo, id, &Silent).map(drop).map_err(told),
    }
}

fn oldest(repo: &Repository) -> Result<SnapshotId, ops::Error> {
    let history = repo.history()?;
    assert_eq!((history.snapshots.len(), history.damaged.len()), (2, 0), "snapshots are gone");
    Ok(history.snapshots[0].id)
}

fn forget_one(repo: &Repository, id: SnapshotId) -> Result<(), ops::Error> {
    let _lock = forget::lock(repo)?;
    let named = HashSet::from([id]);
    let now = repo.environment().clock.now();
    let plan = Plan::new(&repo.history()?, Choice::Named(&named), now, &TimeZone::UTC)?;
    forget::execute(repo, &plan, ("test", Most::Refuse), &Silent).map(drop)
}

/// The vault with two snapshots as it is before the work.
fn vault_before(world: &World, work: Work) -> Vault {
    let vault = world.vault_for(Work::Restore);
    match work {
        Work::Undelete => mark(Work::Forget, steady(), &vault).unwrap(),
        Work::Unpin => {
            mark(Work::Pin, steady(), &vault).unwrap();
            mark(Work::Pin, steady(), &vault).unwrap();
        }
        _ => {}
    }
    vault
}

/// Whether what the work is for is the case.
fn is_done(work: Work, vault: &Vault) -> bool {
    let repo = vault.open(steady()).expect("the repository opens");
    let id = oldest(&repo).expect("records can be read");
    let marks = repo.history().unwrap().marks;
    assert_eq!(marks.damaged, [], "a mark is half");
    match work {
        Work::Forget => marks.is_forgotten(&id),
        Work::Undelete => !marks.is_forgotten(&id),
        Work::Pin => marks.has_pins(&id),
        _ => !marks.has_pins(&id),
    }
}

/// Panics unless what was reported holds, doing it again works, and all goes on by itself.
fn assert_survived(world: &World, work: Work, vault: &Vault, (reported, is_checked): (bool, bool)) {
    assert!(is_done(work, vault) || !reported, "{work:?} was reported done and is not");
    mark(work, steady(), vault).expect("it works when it is done again");
    assert!(is_done(work, vault));
    if is_checked {
        if work == Work::Forget {
            mark(Work::Undelete, steady(), vault).expect("it comes back");
        }
        assert!(vault.restore_oldest(steady(), "oldest").unwrap().is_complete());
        let report = vault.back_up(steady(), &world.shop).expect("the next backup works");
        assert!(report.is_complete());
        let report = vault.check(Depth::Data).expect("a check works");
        assert!(report.is_sound(), "{report:?}");
    }
}

#[test]
fn a_kill_at_any_step_of_marking_leaves_it_done_or_not() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::MARKS {
        let before = vault_before(&world, work);
        let counting = FaultyDisk::counting();
        mark(work, counting.clone(), &before.copied()).unwrap();
        let steps = counting.calls(Class::Write);
        crash::at_every_step(work, (&before, &world.shop), steps, &tally, |piece, vault| {
            let is_checked = piece % CHECK_EVERY == 0;
            assert_survived(&world, work, vault, (false, is_checked));
        });
    }
    tally.print("killed while marking:");
}

#[test]
fn an_error_at_any_call_of_marking_is_reported_or_harmless() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::MARKS {
        let before = vault_before(&world, work);
        let counting = FaultyDisk::counting();
        mark(work, Uninterrupted(counting.clone()), &before.copied()).unwrap();
        let mut plans = Vec::new();
        for class in [Class::Write, Class::Read] {
            for call in 1..=counting.calls(class) {
                for kind in [Kind::Error(Errno::IO), Kind::Error(Errno::NOSPC), Kind::Short] {
                    let times = if call % 2 == 0 { Times::Once } else { Times::ForEver };
                    plans.push(FaultPlan { class, call, kind, times });
                }
            }
        }
        in_parallel(plans.len(), |piece| {
            let (vault, disk) = (before.copied(), FaultyDisk::new(plans[piece]));
            let ended = mark(work, Uninterrupted(disk.clone()), &vault);
            if disk.injected() == 0 {
                return;
            }
            let is_checked = piece % (CHECK_EVERY * 4) == 0;
            assert_survived(&world, work, &vault, (ended.is_ok(), is_checked));
            let outcome = if ended.is_ok() { "survived unnoticed" } else { "reported" };
            tally.add(format!("{work:?} {outcome}"), 1);
        });
    }
    tally.print("errors while marking:");
}
