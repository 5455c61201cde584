//! What things cost, in requests.

use stillpoint::{
    backend::{Backend, Folder, ObjectName},
    id::{ObjectId, SnapshotId},
};

use super::{Scene, noise, pack};

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
fn a_machine_that_knows_nothing_finds_everything_with_one_query_a_folder() {
    let scene = Scene::new();
    let backend = scene.create();
    (0..5).for_each(|seed| hour(&backend, seed));
    let fresh = tempfile::tempdir().unwrap();
    scene.fake.plan(None);

    let other = stillpoint::backend::gdrive::GDriveBackend::open(scene.site(fresh.path())).unwrap();
    for folder in Folder::ALL {
        let mut listed = other.list(folder).unwrap();
        let mut known = backend.list(folder).unwrap();
        listed.objects.sort();
        known.objects.sort();
        assert_eq!(listed, known);
    }

    assert_eq!(other.get(&pack(3), u64::MAX).unwrap(), noise(3, 60_000));
    let queries = scene.fake.log().iter().filter(|request| request.what == "GET list").count();
    // Folders, shelves, and each shelf; the first machine looked at the shelves as well.
    assert_eq!(queries, 1 + 2 * (1 + Folder::ALL.len()));
}
