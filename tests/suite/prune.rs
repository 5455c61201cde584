//! Prunes with faults and deaths of real processes on a real disk, and beside other processes that
//! are stopped, go on and are killed.

mod processes;

use std::time::Duration;

use stillpoint::{
    disk::{Disk, Uninterrupted},
    ops::{self, event::Silent, prune::PruneOptions},
    repo::{marks, prune::OlderEpochs},
};

use crate::{
    harness::{
        Tally,
        crash::{self, End},
        faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
        in_parallel,
        vault::{Failure, Vault, steady},
        work::Work,
    },
    shop::{self, Content, Shop, pseudo_random},
};

/// Nothing waits for a clock.
pub const AT_ONCE: PruneOptions = PruneOptions {
    max_unused_permille: 50,
    max_repack_bytes: None,
    trash: Duration::ZERO,
    grace: Duration::ZERO,
    older_epochs: OlderEpochs::Stay,
};
/// Of the calls of a prune, so many are passed over between two that are tried.
const STEP: usize = 1;
const READ_STEP: usize = 4;

/// Does [`Work::Prune`].
pub fn prune(disk: impl Disk + 'static, vault: &Vault) -> Result<(), Failure> {
    let repo = vault.open(disk)?;
    let pruned = ops::prune::prune(&repo, &AT_ONCE, &Silent);
    pruned.map(drop).map_err(|error| ops::with_causes(&error))
}

/// A vault with a forgotten snapshot that shares packs with two that stay.
struct Scene {
    shop: Shop,
    vault: Vault,
    moments: [Content; 2],
    /// Size of all packs after a prune without faults.
    clean_bytes: u64,
}

impl Scene {
    fn new() -> Self {
        let (shop, vault) = (Shop::open(), Vault::absent());
        vault.init(steady()).unwrap();
        shop.write("junk", &pseudo_random(7, 300_000));
        let _ = vault.back_up(steady(), &shop).unwrap();
        std::fs::remove_file(shop.files().join("junk")).unwrap();
        shop.sell(10);
        let _ = vault.back_up(steady(), &shop).unwrap();
        let before = shop.content();
        shop.sell(30);
        let _ = vault.back_up(steady(), &shop).unwrap();
        let repo = vault.open(steady()).unwrap();
        let oldest = repo.snapshots().unwrap().snapshots[0].id;
        let _ = marks::forget(&repo, oldest, "").unwrap();
        let moments = [before, shop.content()];
        let clean = vault.copied();
        prune(steady(), &clean).unwrap();
        let clean_bytes = pack_bytes(&clean);
        Self { shop, vault, moments, clean_bytes }
    }

    /// What was kept is whole, and one more prune brings everything to its end.
    fn assert_survived(&self, vault: &Vault) {
        self.assert_moments(vault, "once");
        prune(steady(), vault).expect("the next prune works");
        self.assert_moments(vault, "again");
        let bytes = pack_bytes(vault);
        assert!(bytes * 10 <= self.clean_bytes * 13, "{bytes} bytes, not {}", self.clean_bytes);
        let next = vault.back_up(steady(), &self.shop).expect("the next backup works");
        assert!(next.is_complete());
    }

    fn assert_moments(&self, vault: &Vault, name: &str) {
        let repo = vault.open(steady()).unwrap();
        let snapshots = repo.snapshots().unwrap().snapshots;
        assert_eq!(snapshots.len(), 2);
        for (at, snapshot) in snapshots.iter().enumerate() {
            let target = vault.target(&format!("{name}-{at}"));
            let restored = shop::restore_into(&repo, snapshot, &target);
            assert!(restored.is_ok_and(|report| report.is_complete()));
            assert!(shop::restored(&target) == self.moments[at], "snapshot {at} differs");
        }
    }
}

fn pack_bytes(vault: &Vault) -> u64 {
    let repo = vault.open(steady()).unwrap();
    let packs = repo.environment().backend.list(stillpoint::backend::Folder::Packs).unwrap();
    packs.objects.iter().map(|pack| pack.bytes).sum()
}

#[test]
fn a_prune_killed_at_a_durable_step_is_taken_up_by_the_next() {
    let scene = Scene::new();
    let counting = FaultyDisk::counting();
    prune(counting.clone(), &scene.vault.copied()).unwrap();
    let calls = usize::try_from(counting.calls(Class::Write)).unwrap();
    let tally = Tally::default();
    in_parallel(calls / STEP, |piece| {
        let call = (piece * STEP + 1) as u64;
        let kind = if piece % 2 == 0 { Kind::Kill } else { Kind::Tear };
        let vault = scene.vault.copied();
        match crash::run(Work::Prune, &vault, &scene.shop, (call, kind)) {
            End::Killed => tally.add(format!("{kind:?}"), 1),
            End::NothingToTear | End::Finished(Ok(())) => return,
            End::Finished(Err(why)) => panic!("a prune failed without a fault: {why}"),
        }
        if piece % 4 == 0 {
            let second = (1 + (piece * 17) % calls) as u64;
            if crash::run(Work::Prune, &vault, &scene.shop, (second, Kind::Kill)) == End::Killed {
                tally.add("Kill of its successor", 1);
            }
        }
        scene.assert_survived(&vault);
    });
    tally.print("killed prunes:");
}

#[test]
fn errors_in_a_prune_delete_nothing_that_is_needed() {
    let scene = Scene::new();
    let counting = FaultyDisk::counting();
    prune(counting.clone(), &scene.vault.copied()).unwrap();
    let (io, full) = (rustix::io::Errno::IO, rustix::io::Errno::NOSPC);
    let plans = |class, step, kinds: [Kind; 2]| {
        let calls = (1..=counting.calls(class)).step_by(step);
        calls
            .zip([Times::Once, Times::ForEver].into_iter().cycle())
            .flat_map(move |(call, times)| kinds.map(|kind| Plan { class, call, kind, times }))
    };
    let writes = plans(Class::Write, STEP, [Kind::Error(io), Kind::Error(full)]);
    let reads = plans(Class::Read, READ_STEP, [Kind::Error(io), Kind::Short]);
    let plans: Vec<Plan> = writes.chain(reads).collect();
    let tally = Tally::default();
    in_parallel(plans.len(), |piece| {
        let vault = scene.vault.copied();
        let disk = FaultyDisk::new(plans[piece]);
        let done = prune(Uninterrupted(disk.clone()), &vault);
        if disk.injected() > 0 {
            tally.add(if done.is_ok() { "survived" } else { "reported" }, 1);
            scene.assert_survived(&vault);
        }
    });
    tally.print("faults in prunes:");
}
