//! The power goes at any moment: what was reported is there, what was not is absent or whole, and
//! the next run goes on by itself. RELIABILITY.md T2.
//!
//! Most cuts leave what another one left; each start that differs is examined once. A run of all
//! tests examines a few for each step, `STILLPOINT_TEST_CUTS=100000` as many as there are.

use std::collections::HashSet;

use stillpoint::disk::Uninterrupted;

use crate::harness::{
    Tally, in_parallel,
    power::Media,
    recording_disk::RecordingDisk,
    vault::Vault,
    work::{Scrutiny, Whole, Work, World},
};

/// Cuts that a run of all tests tries after each step of each work.
const CUTS_OF_A_STEP: usize = 16;
/// Different starts that it examines of these.
const EXAMINED_OF_A_STEP: usize = 2;

#[test]
fn a_power_cut_at_any_moment_loses_nothing() {
    let world = World::new();
    let tally = Tally::default();
    for work in Work::ALL {
        cut_all_over(&world, work, &tally);
    }
    tally.print("power cuts:");
}

fn cut_all_over(world: &World, work: Work, tally: &Tally) {
    let vault = world.vault_for(work);
    let disk = RecordingDisk::default();
    let mut media = Media::of(vault.path(), &disk);
    let done = work.run(Uninterrupted(disk.clone()), &vault, &world.shop);
    assert_eq!(done, Ok(Whole::Yes), "{work:?}");
    let steps = disk.steps();
    let (cuts, examined) = how_many(steps.len() + 1);
    let mut seen = HashSet::new();
    let mut starts = Vec::new();
    for taken in 0..=steps.len() {
        let is_reported = taken == steps.len();
        let seeds = (0..cuts as u64).map(|cut| (taken as u64) << 32 | cut);
        let all = seeds.map(|seed| (seed, is_reported, media.after_a_cut(seed)));
        let new = all.filter(|(_, _, after)| seen.insert((after.fingerprint(), is_reported)));
        starts.extend(new.take(examined));
        if let Some(step) = steps.get(taken) {
            media.take(step);
        }
    }
    in_parallel(starts.len(), |at| {
        let (seed, is_reported, after) = &starts[at];
        start_again(world, work, after, is_reported.then_some(&done), *seed);
    });
    tally.add(format!("{work:?} cuts"), (cuts * (steps.len() + 1)) as u64);
    tally.add(format!("{work:?} different starts examined"), starts.len() as u64);
}

/// Cuts after each step, and starts examined of these.
#[expect(clippy::disallowed_methods, reason = "how a person asks for more")]
fn how_many(steps: usize) -> (usize, usize) {
    let asked = std::env::var("STILLPOINT_TEST_CUTS").ok();
    match asked.and_then(|cuts| cuts.parse::<usize>().ok()) {
        Some(cuts) => (cuts.div_ceil(steps * Work::ALL.len()), usize::MAX),
        None => (CUTS_OF_A_STEP, EXAMINED_OF_A_STEP),
    }
}

fn start_again(
    world: &World,
    work: Work,
    after: &Media,
    ended: Option<&Result<Whole, String>>,
    seed: u64,
) {
    let vault = Vault::absent();
    after.write_to(vault.path());
    let survived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.assert_survived(work, &vault, ended, Scrutiny::Restore);
    }));
    assert!(survived.is_ok(), "{work:?} after the cut of seed {seed:#x}; see above");
}
