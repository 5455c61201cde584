//! Errors at every call of the disk: each ends in a clear error or changes nothing, and the next
//! run goes on by itself.

use rustix::io::Errno;
use stillpoint::disk::Uninterrupted;

use crate::harness::{
    Tally, Trying,
    faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
    in_parallel,
    work::{Scrutiny, Whole, Work, World},
};

const WRITE_KINDS: [Kind; 5] = [
    Kind::Error(Errno::IO),
    Kind::Error(Errno::NOSPC),
    Kind::Error(Errno::INTR),
    Kind::Error(Errno::ROFS),
    Kind::Short,
];
const READ_KINDS: [Kind; 3] = [Kind::Error(Errno::IO), Kind::Error(Errno::INTR), Kind::Short];
/// Every so many-th fault is followed by a check of every chunk.
const CHECK_EVERY: usize = 16;

#[test]
fn one_error_at_any_call_loses_nothing() {
    try_all(Times::Once);
}

#[test]
fn errors_from_any_call_on_lose_nothing() {
    try_all(Times::ForEver);
}

fn try_all(times: Times) {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        let counting = FaultyDisk::counting();
        let done = work.run(counting.clone(), &world.vault_for(work), &world.shop);
        assert!(done.is_ok(), "{work:?}: {done:?}");
        // A repair reads much, in few different ways.
        let stride = if matches!(work, Work::Repair | Work::Heal) { 11 } else { 1 };
        let plans: Vec<Plan> = [(Class::Write, &WRITE_KINDS[..]), (Class::Read, &READ_KINDS[..])]
            .into_iter()
            .flat_map(|(class, kinds)| plans(class, counting.calls(class), kinds, times))
            .step_by(stride)
            .collect();
        in_parallel(plans.len(), |piece| {
            let scrutiny =
                if piece % CHECK_EVERY == 0 { Scrutiny::Check } else { Scrutiny::Restore };
            fail_and_recover(&world, work, plans[piece], scrutiny, &tally);
        });
    }
    tally.print(&format!("faults, {times:?}:"));
}

fn plans(class: Class, calls: u64, kinds: &[Kind], times: Times) -> impl Iterator<Item = Plan> {
    let of_call =
        move |call| kinds.iter().map(move |kind| Plan { class, call, kind: *kind, times });
    (1..=calls).flat_map(of_call)
}

fn fail_and_recover(world: &World, work: Work, plan: Plan, scrutiny: Scrutiny, tally: &Tally) {
    let vault = world.vault_for(work);
    let disk = FaultyDisk::new(plan);
    let _trying = Trying(format!("{work:?} with {plan:?}"));

    let ended = work.run(Uninterrupted(disk.clone()), &vault, &world.shop);

    if disk.injected() == 0 {
        return;
    }
    assert_eq!(disk.synced_again(), 0, "{plan:?}: a file was synced again after a failed sync");
    world.assert_survived(work, &vault, Some(&ended), scrutiny);
    let outcome = match ended {
        Ok(Whole::Yes) => "survived unnoticed",
        Ok(Whole::No) => "reported as incomplete",
        Err(_) => "reported as an error",
    };
    tally.add(format!("{work:?} {outcome}"), 1);
    tally.add(format!("{:?} faults injected", plan.class), disk.injected());
}
