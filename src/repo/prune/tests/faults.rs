//! Prunes that fail at any call, and die at any call; and histories of many kinds, against a
//! repository that never had what was forgotten.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    AT_ONCE, forget,
    schedule::{environment, hold_index},
};
use crate::{
    backend::{
        Backend, Folder,
        layer::fault::{Fault, FaultPlan, FaultyBackend, Times},
        memory::MemoryBackend,
    },
    clock::SystemClock,
    repo::{
        Repository, prune,
        tests::{Fixture, KEY, commit_chunks, plain, read_all},
    },
};

/// A repository in memory with things to delete, to move and to keep.
struct Scene {
    backend: MemoryBackend,
    kept: Vec<Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let backend = copy_of(&*Fixture::new().env.backend);
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repo = open(Arc::new(backend.clone()), &folder);
        let chunks = |numbers: std::ops::Range<u64>| -> Vec<Vec<u8>> {
            numbers.map(|number| plain(number, 2_000)).collect()
        };
        let old = commit_chunks(&repo, &chunks(0..12)).unwrap();
        for number in 0..4 {
            let _ = commit_chunks(&repo, &chunks(10 + number..13 + number)).unwrap();
        }
        let gone = commit_chunks(&repo, &chunks(40..50)).unwrap();
        forget(&repo, old.id);
        forget(&repo, gone.id);
        Self { backend, kept: chunks(10..16) }
    }

    /// All that was kept is there, and the next prune brings everything to its end.
    fn assert_survived(&self, backend: &MemoryBackend, packs: &BTreeSet<u64>) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repo = open(Arc::new(backend.clone()), &folder);
        let _lock = hold_index(repo.environment(), &repo);
        assert_eq!(repo.snapshots().unwrap().snapshots.len(), 4);
        read_all(&repo, &self.kept);

        let _ = prune::prune(&repo, &AT_ONCE, &mut |_| ()).unwrap();

        let repo = open(Arc::new(backend.clone()), &folder);
        read_all(&repo, &self.kept);
        let count = |folder| backend.list(folder).unwrap().objects.len();
        assert_eq!(count(Folder::Snapshots), 4);
        assert_eq!((count(Folder::Tombstones), count(Folder::Forgotten)), (0, 0));
        let bytes: u64 = pack_sizes(backend).iter().sum();
        let clean: u64 = packs.iter().sum();
        assert!(bytes * 10 <= clean * 13, "{bytes} bytes instead of {clean}");
    }
}

fn copy_of(from: &dyn Backend) -> MemoryBackend {
    let copy = MemoryBackend::new();
    for folder in Folder::ALL {
        for listed in from.list(folder).unwrap().objects {
            copy.put_new(&listed.name, &[&from.get(&listed.name, u64::MAX).unwrap()]).unwrap();
        }
    }
    copy
}

fn open(backend: Arc<dyn Backend>, folder: &tempfile::TempDir) -> Repository {
    Repository::open(environment(backend, folder), &KEY).unwrap()
}

fn pack_sizes(backend: &MemoryBackend) -> BTreeSet<u64> {
    backend.list(Folder::Packs).unwrap().objects.iter().map(|listed| listed.bytes).collect()
}

/// Prunes with this plan of faults; returns whether it was done and how many calls it made.
fn prune_with(backend: &MemoryBackend, plan: Option<FaultPlan>) -> (bool, u64) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let faulty = Arc::new(FaultyBackend::new(backend.clone(), Arc::new(SystemClock)));
    let repo = open(faulty.clone(), &folder);
    let _lock = hold_index(repo.environment(), &repo);
    faulty.plan(plan);
    let done = prune::prune(&repo, &AT_ONCE, &mut |_| ()).is_ok();
    (done, faulty.calls())
}

#[test]
fn a_prune_that_fails_or_dies_at_any_call_loses_nothing_and_is_taken_up() {
    let scene = Scene::new();
    let clean = scene.backend.copied();
    let (done, calls) = prune_with(&clean, None);
    assert!(done);
    let packs = pack_sizes(&clean);
    let faults = [
        (Fault::Io, Times::Once),
        // It does nothing any more: dead.
        (Fault::Io, Times::ForEver),
        (Fault::LostAnswer, Times::Once),
        (Fault::NoSpace, Times::ForEver),
        (Fault::ListError, Times::Once),
    ];
    let mut injected = 0;
    for call in 1..=calls {
        for (fault, times) in faults {
            let backend = scene.backend.copied();
            let _ = prune_with(&backend, Some(FaultPlan { call, fault, times }));
            scene.assert_survived(&backend, &packs);
            injected += 1;
        }
    }
    println!("{injected} faults in prunes of {calls} calls");
}

#[test]
fn a_prune_that_dies_and_whose_successor_dies_too_loses_nothing() {
    let scene = Scene::new();
    let clean = scene.backend.copied();
    let (_, calls) = prune_with(&clean, None);
    let packs = pack_sizes(&clean);
    let mut pairs = 0;
    for first in (1..=calls).step_by(3) {
        for nth in 0..3 {
            let second = 1 + (first * 7 + nth * calls / 3) % calls;
            let backend = scene.backend.copied();
            for call in [first, second] {
                let plan = FaultPlan { call, fault: Fault::Io, times: Times::ForEver };
                let _ = prune_with(&backend, Some(plan));
            }
            scene.assert_survived(&backend, &packs);
            pairs += 1;
        }
    }
    println!("{pairs} pairs of deaths");
}

/// Numbers that look drawn, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

#[test]
fn after_any_history_little_more_is_there_than_without_what_was_forgotten() {
    let worst = Mutex::new(0.0);
    for seed in 0..12 {
        let ratio = ratio_after_history(seed);
        let mut worst = worst.lock().unwrap();
        *worst = f64::max(*worst, ratio);
    }
    println!("at worst {:.2} times the bytes", worst.lock().unwrap());
}

fn ratio_after_history(seed: u64) -> f64 {
    let mut draw = Draw(seed + 1);
    let empty = copy_of(&*Fixture::new().env.backend);
    let (folder, other) =
        (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let (backend, reference) = (empty.copied(), empty.copied());
    let repo = open(Arc::new(backend.clone()), &folder);
    let _lock = hold_index(repo.environment(), &repo);
    let mut history = Vec::new();
    for _ in 0..30 {
        let chunks: Vec<_> = (0..1 + draw.below(8))
            .map(|_| draw.below(60))
            .map(|number| plain(number, 1_000 + number as usize * 300))
            .collect();
        history.push((commit_chunks(&repo, &chunks).unwrap().id, chunks));
        if draw.below(3) == 0 && history.len() > 2 {
            let (id, _) = history.remove(draw.below(history.len() as u64 - 1) as usize);
            forget(&repo, id);
        }
        if draw.below(8) == 0 {
            let _ = prune::prune(&repo, &AT_ONCE, &mut |_| ()).unwrap();
        }
    }
    let _ = prune::prune(&repo, &AT_ONCE, &mut |_| ()).unwrap();

    let never = open(Arc::new(reference.clone()), &other);
    let _other_lock = hold_index(never.environment(), &never);
    let repo = open(Arc::new(backend.clone()), &folder);
    for (_, chunks) in &history {
        read_all(&repo, chunks);
        let _ = commit_chunks(&never, chunks).unwrap();
    }
    assert_eq!(repo.snapshots().unwrap().snapshots.len(), history.len());
    let all = |backend: &MemoryBackend| -> u64 {
        let bytes = |folder| -> u64 {
            backend.list(folder).unwrap().objects.iter().map(|listed| listed.bytes).sum()
        };
        Folder::ALL.map(bytes).iter().sum()
    };
    let ratio = all(&backend) as f64 / all(&reference) as f64;
    assert!(ratio <= 1.3, "seed {seed}: {ratio:.2} times the bytes");
    ratio
}

#[test]
fn nothing_is_deleted_while_anything_is_in_doubt() {
    let scene = Scene::new();
    let refuses = |harm: &dyn Fn(&MemoryBackend)| {
        let backend = scene.backend.copied();
        harm(&backend);
        let before = pack_sizes(&backend);
        let (done, _) = prune_with(&backend, None);
        assert!(!done);
        assert_eq!(pack_sizes(&backend), before);
    };
    let names = |folder| -> Vec<_> {
        scene.backend.list(folder).unwrap().objects.into_iter().map(|listed| listed.name).collect()
    };
    // Both copies of a record; a tombstone; an index object; a pin says nothing, keeps everything.
    refuses(&|backend| {
        for folder in [Folder::Snapshots, Folder::Pending] {
            names(folder).iter().for_each(|name| backend.tamper(name, vec![1; 200]));
        }
        names(Folder::Index).iter().for_each(|name| backend.delete(name).unwrap());
    });
    refuses(&|backend| {
        let id = crate::id::ObjectId([7; 32]);
        backend.put_new(&crate::backend::ObjectName::Tombstone(id), &[b"no tombstone"]).unwrap();
    });
    refuses(&|backend| {
        names(Folder::Index).iter().for_each(|name| backend.tamper(name, vec![1; 200]));
    });
    refuses(&|backend| {
        for folder in [Folder::Snapshots, Folder::Pending] {
            names(folder).iter().for_each(|name| backend.delete(name).unwrap());
        }
    });
    // A pack that a kept snapshot needs.
    let pack = names(Folder::Packs);
    for name in &pack {
        let backend = scene.backend.copied();
        backend.delete(name).unwrap();
        let before = pack_sizes(&backend).len();
        if !prune_with(&backend, None).0 {
            assert_eq!(pack_sizes(&backend).len(), before);
        }
    }
}

#[test]
fn fewer_snapshots_than_this_machine_saw_are_refused() {
    let scene = Scene::new();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let repo = open(Arc::new(scene.backend.clone()), &folder);
    let _lock = hold_index(repo.environment(), &repo);
    let patient = prune::Options { trash: Duration::from_secs(3600), ..AT_ONCE };
    let _ = prune::prune(&repo, &patient, &mut |_| ()).unwrap();
    let newest = repo.snapshots().unwrap().snapshots.pop().unwrap().id;
    for name in
        [crate::backend::ObjectName::Snapshot(newest), crate::backend::ObjectName::Pending(newest)]
    {
        scene.backend.delete(&name).unwrap();
    }

    let refused = prune::prune(&repo, &patient, &mut |_| ());

    assert!(matches!(refused, Err(crate::repo::Error::Refused { .. })), "{refused:?}");
}
