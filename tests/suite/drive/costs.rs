//! What things cost, in requests.

use std::{sync::Arc, time::Duration};

use stillpoint::{
    backend::{
        Backend, Folder, ObjectName, gdrive::GDriveBackend, layer::cache::Cached,
        memory::MemoryBackend,
    },
    disk::{Disk, RealDisk},
    format::record::Storage,
    id::{ObjectId, SnapshotId},
    ops::{
        backup,
        event::Silent,
        prune::{PruneOptions, prune},
    },
    repo::Repository,
};

use super::{Scene, noise, pack};
use crate::shop::{KEY, Shop, environment, open};

fn index(seed: u8) -> ObjectName {
    ObjectName::Index { sequence: u64::from(seed), id: ObjectId([seed; 32]) }
}

/// What one hourly run sends: a short pack, an index object, a record.
fn hour(backend: &dyn Backend, seed: u8) {
    backend.put_new(&pack(seed), &[&noise(seed, 60_000)]).unwrap();
    backend.put_new(&index(seed), &[&noise(seed, 900)]).unwrap();
    backend.put_new(&ObjectName::Snapshot(SnapshotId([seed; 32])), &[b"record"]).unwrap();
}

#[test]
fn an_hourly_run_costs_at_most_eight_requests_and_lists_nothing() {
    let scene = Scene::new();
    drop(scene.create());

    let mut most = 0;
    let mut all = 0;
    for run in 0..100 {
        let backend = scene.open().unwrap();
        scene.fake.plan(None);
        hour(&backend, run);
        let log = scene.fake.log();
        most = most.max(log.len());
        all += log.len();
        assert!(log.iter().all(|request| request.what != "GET list"), "{log:?}");
    }

    println!("100 hourly runs: {all} requests, at most {most} in one");
    assert!(most <= 8, "{most} requests");
}

#[test]
fn a_large_object_costs_one_request_for_each_piece_and_one_to_begin() {
    let scene = Scene::new();
    let backend = scene.create();
    let content = noise(1, super::PIECE_BYTES * 4 + 1);
    backend.put_new(&pack(1), &[b"warms up token and ids"]).unwrap();
    scene.fake.plan(None);

    backend.put_new(&pack(2), &[&content]).unwrap();

    assert_eq!(scene.fake.log().len(), 1 + 5);
    scene.fake.plan(None);
    assert_eq!(backend.get(&pack(2), u64::MAX).unwrap(), content);
    assert_eq!(backend.get_range(&pack(2), 7..70_000).unwrap(), content[7..70_000]);
    assert_eq!(backend.size(&pack(2)).unwrap(), content.len() as u64);
    assert_eq!(scene.fake.log().len(), 2);
}

#[test]
fn a_machine_that_knows_nothing_finds_everything_with_one_query() {
    let scene = Scene::new();
    let backend = scene.create();
    (0..5).for_each(|seed| hour(&backend, seed));
    let all: Vec<_> =
        Folder::ALL.iter().flat_map(|folder| backend.list(*folder).unwrap().objects).collect();
    let fresh = tempfile::tempdir().unwrap();
    scene.fake.plan(None);
    let fake = &scene.fake;
    let queries = || fake.log().iter().filter(|request| request.what == "GET list").count();

    let other = stillpoint::backend::gdrive::GDriveBackend::open(scene.site(fresh.path())).unwrap();
    for folder in Folder::ALL {
        let mut listed = other.list(folder).unwrap();
        assert_eq!(queries(), 1);
        let mut known =
            all.iter().filter(|one| one.name.folder() == folder).cloned().collect::<Vec<_>>();
        listed.objects.sort();
        known.sort();
        assert_eq!(listed.objects, known);
    }

    assert_eq!(other.get(&pack(3), u64::MAX).unwrap(), noise(3, 60_000));
    // Whoever writes looks again, and sees what others wrote meanwhile.
    backend.put_new(&pack(9), &[b"late"]).unwrap();
    other.put_new(&pack(10), &[b"later"]).unwrap();
    assert_eq!(other.list(Folder::Packs).unwrap().objects.len(), 7);
    assert_eq!(queries(), 1 + 1);
}

/// On a Drive whose pages hold as many files as there are snapshots: a thousand of them on real
/// Drive take as many pages.
#[test]
fn opening_a_repository_on_a_machine_that_knows_nothing_takes_at_most_ten_requests() {
    const SNAPSHOTS: usize = 60;
    let (scene, shop) = (Scene::new(), Shop::open());
    let state = tempfile::tempdir().unwrap();
    let here = MemoryBackend::new();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let env = environment(Arc::new(here.clone()), Arc::clone(&disk), state.path());
    let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
    let mut request = shop.request(Storage::Incremental);
    request.sets.retain(|set| set.name == "files");
    for number in 0..SNAPSHOTS {
        shop.write("a/log", format!("sale {number}").as_bytes());
        let _ = backup::run(&repo, &request, &Silent).unwrap();
    }
    // As the weekly prune leaves it, and some runs after that.
    let options = PruneOptions { grace: Duration::ZERO, ..PruneOptions::default() };
    let _ = prune(&repo, &options, &Silent).unwrap();
    for number in 0..5 {
        shop.write("a/log", format!("evening {number}").as_bytes());
        let _ = backup::run(&repo, &request, &Silent).unwrap();
    }
    let backend = scene.create();
    for name in here.names().iter().filter(|name| name.folder() != Folder::Pending) {
        backend.put_new(name, &[&here.get(name, u64::MAX).unwrap()]).unwrap();
    }
    drop(backend);
    scene.fake.turn(|knobs| knobs.page_files_max = SNAPSHOTS);
    let fresh = tempfile::tempdir().unwrap();
    scene.fake.plan(None);

    let drive = GDriveBackend::open(scene.site(&fresh.path().join("drive"))).unwrap();
    let dir = disk.create_root(&fresh.path().join("objects"), 0o700).unwrap();
    let remembered = Cached::new(Arc::new(drive), scene.clock.clone(), (disk, dir));
    let repo = open(Arc::new(remembered), fresh.path()).unwrap();
    assert_eq!(repo.snapshots().unwrap().snapshots.len(), SNAPSHOTS + 5);
    assert!(repo.catalogue().unwrap().lost().is_empty());

    let requests: Vec<_> = scene.fake.log().into_iter().map(|request| request.what).collect();
    println!(
        "a repository of {SNAPSHOTS} snapshots is opened with {}: {requests:?}",
        requests.len()
    );
    assert!(requests.len() <= 10, "{requests:?}");
}
