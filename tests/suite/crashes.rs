//! Killed at every durable step: what was reported is there, what was not is absent or whole, and
//! the next run goes on by itself.

use crate::harness::{
    Tally,
    crash::{self, End},
    faulty_disk::{Class, FaultyDisk, Kind},
    in_parallel,
    work::{Scrutiny, Work, World},
};

/// Threads make the number of steps vary; so many more are tried.
const MORE_CALLS: u64 = 4;
/// Every so many-th death is followed by a check of every chunk.
const CHECK_EVERY: u64 = 8;

#[test]
fn a_kill_at_any_durable_step_loses_nothing() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        let counting = FaultyDisk::counting();
        let done = work.run(counting.clone(), &world.vault_for(work), &world.shop);
        assert!(done.is_ok(), "{work:?}: {done:?}");
        let calls = counting.calls(Class::Write) + MORE_CALLS;
        in_parallel(usize::try_from(calls).unwrap() * 2, |piece| {
            let call = piece as u64 / 2 + 1;
            let kind = if piece % 2 == 0 { Kind::Kill } else { Kind::Tear };
            die_and_recover(&world, work, (call, kind), &tally);
        });
    }
    tally.print("killed:");
}

fn die_and_recover(world: &World, work: Work, (call, kind): (u64, Kind), tally: &Tally) {
    let vault = world.vault_for(work);
    match crash::run(work, &vault, &world.shop, (call, kind)) {
        End::Killed => {
            let scrutiny =
                if call % CHECK_EVERY == 0 { Scrutiny::Check } else { Scrutiny::Restore };
            world.assert_survived(work, &vault, None, scrutiny);
            tally.add(format!("{work:?} {kind:?}"), 1);
        }
        End::NothingToTear | End::Finished(Ok(())) => {}
        End::Finished(Err(why)) => panic!("{work:?} failed without a fault: {why}"),
    }
}
