//! What a check reads, remembers, and says about damage.

use std::sync::Arc;

use stillpoint::{
    backend::{Backend, Folder, ObjectName, memory::MemoryBackend},
    disk::RealDisk,
    ops::{
        check::{Report, check},
        event::Silent,
    },
    repo::{
        Repository,
        check::{Depth, Share},
    },
};

use crate::shop::{self, KEY, Shop, program, pseudo_random};

/// A shop with some snapshots in memory.
struct Scene {
    shop: Shop,
    backend: MemoryBackend,
    state: tempfile::TempDir,
}

impl Scene {
    fn new(snapshots: usize) -> Self {
        let shop = Shop::open();
        let (backend, state) =
            (MemoryBackend::new(), tempfile::tempdir_in(shop::scratch()).unwrap());
        let env = shop::environment(Arc::new(backend.clone()), Arc::new(RealDisk), state.path());
        let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
        for round in 0..snapshots {
            shop.write("scan", &pseudo_random(round as u64, 20_000));
            assert!(shop.back_up(&repo).unwrap().is_complete());
        }
        Self { shop, backend, state }
    }

    fn open(&self) -> Repository {
        shop::open(Arc::new(self.backend.clone()), self.state.path()).unwrap()
    }

    fn check(&self, depth: Depth) -> Report {
        check(&self.open(), depth, &program(), &Silent).unwrap()
    }

    fn packs(&self) -> Vec<ObjectName> {
        let listed = self.backend.list(Folder::Packs).unwrap().objects;
        listed.into_iter().map(|listed| listed.name).collect()
    }

    fn flip(&self, name: &ObjectName, at: usize) {
        let mut bytes = self.backend.get(name, u64::MAX).unwrap();
        bytes[at] ^= 1;
        self.backend.tamper(name, bytes);
    }
}

#[test]
fn checks_of_a_share_each_read_everything_in_the_end() {
    let scene = Scene::new(5);
    let share = Depth::Share(Share::Fraction { parts: 1, of: 4 });
    let bytes = scene.check(Depth::Structure).bytes;

    let mut runs = Vec::new();
    while runs.last().is_none_or(|last: &Report| last.packs_never_read > 0) {
        runs.push(scene.check(share));
    }

    assert!((2..=4).contains(&runs.len()), "{} runs", runs.len());
    assert!(runs.iter().all(|run| run.is_sound() && run.bytes_read >= bytes / 4));
    assert!(runs[0].bytes_read < bytes);
    assert!(runs[0].oldest_read.is_none() && runs.last().unwrap().oldest_read.is_some());
}

#[test]
fn damage_anywhere_is_found_before_a_round_of_shares_ends() {
    for at in 0..3 {
        let scene = Scene::new(3);
        scene.flip(&scene.packs()[at], 100);

        let share = Depth::Share(Share::Fraction { parts: 1, of: 3 });
        let found: Vec<u64> = (0..3).map(|_| scene.check(share).damaged).collect();

        // Whoever reads little does not forget what was found.
        assert!(found.is_sorted() && found[2] == 1, "{found:?}");
        assert_eq!(scene.check(Depth::Structure).damaged, 1);
        assert!(scene.shop.back_up(&scene.open()).unwrap().is_complete());
    }
}

#[test]
fn a_loss_is_told_with_every_snapshot_that_shares_it() {
    let scene = Scene::new(3);
    // The first pack holds what all three share; its first blobs are those of the database.
    let repo = scene.open();
    let oldest = &repo.snapshots().unwrap().snapshots[0];
    let first = scene.packs().into_iter().max_by_key(|name| scene.backend.size(name).unwrap());
    let first = first.unwrap();
    let bytes = scene.backend.size(&first).unwrap() as usize;
    (0..bytes / 64).for_each(|at| scene.flip(&first, at * 64));

    let report = scene.check(Depth::Data);

    let shared: Vec<_> = report.losses.iter().filter(|loss| loss.snapshot_count == 3).collect();
    assert_eq!(report.snapshots_affected, 3);
    assert!(shared.iter().any(|loss| loss.part == "pos" && loss.path.is_empty()));
    for loss in shared {
        assert_eq!((loss.oldest.snapshot, loss.whole_in), (oldest.id, None));
        assert!(loss.message().contains("lost in 3 snapshots"), "{}", loss.message());
    }
}

#[test]
fn a_check_names_the_file_and_the_snapshots_that_still_have_it() {
    let scene = Scene::new(2);
    let repo = scene.open();
    let snapshots = repo.snapshots().unwrap().snapshots;
    scene.shop.write("scan", &pseudo_random(9, 20_000));
    let last = scene.shop.back_up(&repo).unwrap().snapshot.unwrap();
    // The newest pack of the second run holds its scan alone: a blob of 20 KB that does not shrink.
    let packs = scene.packs();
    let sizes: Vec<_> = packs.iter().map(|name| scene.backend.size(name).unwrap()).collect();
    let mut told = 0;
    for (name, bytes) in packs.iter().zip(sizes) {
        let harmed = Scene {
            shop: Shop::at(scene.shop.path()),
            backend: scene.backend.copied(),
            state: tempfile::tempdir_in(shop::scratch()).unwrap(),
        };
        let middle = harmed.backend.get(name, u64::MAX).unwrap();
        for at in (88..bytes as usize).step_by(1000) {
            harmed.backend.tamper(name, middle.clone());
            harmed.flip(name, at);
            for loss in harmed.check(Depth::Data).losses {
                if loss.path == b"scan" && loss.oldest.snapshot == snapshots[1].id {
                    assert_eq!(loss.newest, loss.oldest);
                    assert_eq!(loss.whole_in.unwrap().snapshot, last.id);
                    told += 1;
                }
            }
        }
    }
    assert!(told > 5, "{told}");
}
