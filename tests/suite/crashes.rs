//! Killed at every durable step: what was reported is there, what was not is absent or whole, and
//! the next run goes on by itself.

use crate::harness::{
    Tally, crash,
    faulty_disk::{Class, FaultyDisk},
    work::{Scrutiny, Work, World},
};

/// Threads make the number of steps vary; so many more are tried.
const MORE_CALLS: u64 = 4;
/// Every so many-th death is followed by a check of every chunk.
const CHECK_EVERY: usize = 8;

#[test]
fn a_kill_at_any_durable_step_loses_nothing() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        let counting = FaultyDisk::counting();
        let done = work.run(counting.clone(), &world.vault_for(work), &world.shop);
        assert!(done.is_ok(), "{work:?}: {done:?}");
        let steps = counting.calls(Class::Write) + MORE_CALLS;
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
