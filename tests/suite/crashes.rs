//! Killed at every durable step: what was reported is there, what was not is absent or whole, and
//! the next run goes on by itself.

use crate::harness::{
    Tally, Trying,
    crash::{self, End},
    faulty_disk::{Class, FaultyDisk, Kind},
    in_parallel,
    work::{Scrutiny, Work, World},
};

/// Threads make the number of steps vary; so many more are tried.
const MORE_CALLS: u64 = 4;
/// Every so many-th death is followed by a check of every chunk.
const CHECK_EVERY: usize = 8;
/// Pairs of deaths tried for each work.
const PAIRS: usize = 60;

#[test]
fn a_kill_at_any_durable_step_loses_nothing() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        let steps = durable_steps(&world, work) + MORE_CALLS;
        let scene = (&world.vault_for(work), &world.shop);
        crash::at_every_step(work, scene, steps, &tally, |piece, vault| {
            let step = piece / 2 + 1;
            let scrutiny =
                if step % CHECK_EVERY == 0 { Scrutiny::Check } else { Scrutiny::Restore };
            world.assert_survived(work, vault, None, scrutiny);
        });
    }
    tally.print("killed:");
}

/// Whoever dies in a loop, as a service that is started again and again, dies in what takes up the
/// work of the one that died before.
#[test]
fn a_kill_of_the_run_that_follows_a_kill_loses_nothing() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        let steps = durable_steps(&world, work);
        in_parallel(PAIRS, |pair| die_twice(&world, work, (pair, steps), &tally));
    }
    tally.print("killed, and killed again:");
}

/// How many there are.
pub fn durable_steps(world: &World, work: Work) -> u64 {
    let counting = FaultyDisk::counting();
    let done = work.run(counting.clone(), &world.vault_for(work), &world.shop);
    assert!(done.is_ok(), "{work:?}: {done:?}");
    counting.calls(Class::Write)
}

fn die_twice(world: &World, work: Work, (pair, steps): (usize, u64), tally: &Tally) {
    let vault = world.vault_for(work);
    // Seeded by the pair, so that a failure comes again.
    let seed = blake3::hash(format!("{work:?} {pair}").as_bytes());
    let step = |at: usize| 1 + u64::from(seed.as_bytes()[at]) * steps / 256;
    let deaths = [(step(0), Kind::Kill), (step(1), Kind::Tear)];
    let _trying = Trying(format!("{work:?} with {deaths:?}"));
    let mut killed = 0;
    for death in deaths {
        match crash::run(work, &vault, &world.shop, death) {
            End::Killed => killed += 1,
            End::NothingToTear | End::Finished(Ok(())) => {}
            // There is a repository, when the first one died after it was made.
            End::Finished(Err(why)) => assert!(work == Work::Init, "{why}"),
        }
    }
    let scrutiny = if pair == 0 { Scrutiny::Check } else { Scrutiny::Restore };
    if work.is_backup() {
        // Each may have died right after its commit.
        let _ = world.assert_goes_on(work, &vault, scrutiny);
    } else {
        world.assert_survived(work, &vault, None, scrutiny);
    }
    tally.add(format!("{work:?}"), killed);
}
