//! What the store may say, and what becomes of it.

use stillpoint::backend::{
    Backend, Error, Folder, SetUp,
    gdrive::{GDriveBackend, Site},
};

use super::{PIECE_BYTES, Scene, account, noise, pack};
use crate::fake_drive::{Fault, When};

#[test]
fn each_refusal_is_an_error_of_its_own() {
    let scene = Scene::new();
    let backend = scene.create();
    let outcome = |fault| {
        scene.fake.plan(Some((When::Every("POST whole"), fault)));
        backend.put_new(&pack(1), &[b"x"]).unwrap_err()
    };

    assert!(matches!(outcome(Fault::RateLimited), Error::RateLimited { .. }));
    let slow = outcome(Fault::TooMany);
    assert_eq!(slow.retry_after(), Some(std::time::Duration::from_secs(1)));
    assert!(matches!(outcome(Fault::StorageFull), Error::QuotaFull { .. }));
    assert!(matches!(outcome(Fault::DailyLimit), Error::Paused { .. }));
    assert!(matches!(outcome(Fault::Unauthorized), Error::SignIn { .. }));
    for fault in [Fault::StorageFull, Fault::DailyLimit, Fault::Unauthorized] {
        assert!(!outcome(fault).is_retryable(), "{fault:?}");
    }
    for fault in [Fault::CutBefore, Fault::Unavailable, Fault::BadGateway] {
        assert!(outcome(fault).is_retryable(), "{fault:?}");
    }
    scene.fake.plan(None);
    backend.put_new(&pack(1), &[b"x"]).unwrap();
    assert_eq!(scene.files_of(&pack(1)).len(), 1);
}

#[test]
fn an_ended_permission_asks_for_a_sign_in_once_and_keeps_what_was_begun() {
    let scene = Scene::new();
    drop(scene.create());
    let content = noise(1, PIECE_BYTES * 3);
    let backend = scene.open().unwrap();
    scene.fake.plan(Some((When::From(3), Fault::CutBefore)));
    assert!(backend.put_new(&pack(1), &[&content]).is_err());
    scene.fake.store().refresh.clear();
    scene.fake.store().bearers.clear();
    scene.fake.plan(None);

    for _ in 0..3 {
        let error = backend.put_new(&pack(1), &[&content]).unwrap_err();
        assert!(matches!(error, Error::SignIn { .. }), "{error:?}");
    }

    let asked = scene.fake.log().iter().filter(|request| request.what == "POST token").count();
    assert_eq!(asked, 1);
    drop(backend);
    let refresh = scene.fake.sign_in(super::PROJECT);
    let site =
        Site { account: account(super::PROJECT, &refresh), ..scene.site(scene.state.path()) };
    let backend = GDriveBackend::open(site).unwrap();
    backend.put_new(&pack(1), &[&content]).unwrap();
    assert_eq!(backend.get(&pack(1), u64::MAX).unwrap(), content);
    assert_eq!(scene.files_of(&pack(1)).len(), 1);
}

#[test]
fn another_client_is_refused_with_the_reason_before_anything_is_sent() {
    let scene = Scene::new();
    drop(scene.create());
    let refresh = scene.fake.sign_in("815");
    let site =
        |state: &std::path::Path| Site { account: account("815", &refresh), ..scene.site(state) };
    scene.fake.plan(None);

    let error = GDriveBackend::open(site(scene.state.path())).unwrap_err();

    let Error::SetUp { why: SetUp::OtherClient { remembered, given }, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((remembered.as_str(), given.as_str()), (super::PROJECT, "815"));
    assert_eq!(scene.fake.log(), []);
    // A machine that remembers nothing sees nothing through the other client.
    let fresh = tempfile::tempdir().unwrap();
    let error = GDriveBackend::open(site(fresh.path())).unwrap_err();
    assert!(matches!(error, Error::WrongPlace { .. }), "{error:?}");
}

#[test]
fn two_folders_of_one_name_are_told_apart_by_their_ids() {
    let scene = Scene::new();
    drop(scene.create());
    let original = {
        let mut store = scene.fake.store();
        let root = store.files.values().find(|file| file.name == super::FOLDER).unwrap().clone();
        let copy = crate::fake_drive::store::File { id: "another".to_owned(), ..root.clone() };
        let _ = store.files.insert(copy.id.clone(), copy);
        root.id
    };
    let fresh = tempfile::tempdir().unwrap();
    let open = |folder: &str| {
        GDriveBackend::open(Site { folder: folder.to_owned(), ..scene.site(fresh.path()) })
    };

    let error = open(super::FOLDER).unwrap_err();

    assert!(matches!(error, Error::SetUp { why: SetUp::SeveralFolders { .. }, .. }), "{error:?}");
    assert!(open(&original).is_ok());
}

#[test]
fn a_listing_is_whole_or_an_error() {
    let scene = Scene::new();
    let backend = scene.create();
    (0..7).for_each(|seed| backend.put_new(&pack(seed), &[b"x"]).unwrap());
    scene.fake.turn(|knobs| knobs.page_files_max = 2);
    for fault in [Fault::Incomplete, Fault::Garbage, Fault::Empty, Fault::CutInAnswer] {
        for request in 1..=4 {
            scene.clock.pass_a_minute();
            scene.fake.plan(Some((When::Once(request), fault)));
            assert!(backend.list(Folder::Packs).is_err(), "{fault:?} at {request}");
        }
    }
    // What claims to be whole and lacks things is held against what is remembered.
    for fault in [Fault::EmptyListing, Fault::TwiceListed] {
        scene.clock.pass_a_minute();
        scene.fake.plan(Some((When::Every("GET list"), fault)));
        assert_eq!(backend.list(Folder::Packs).unwrap().objects.len(), 7, "{fault:?}");
    }
}

#[test]
fn what_people_do_in_their_drive_is_told_and_not_taken_for_loss() {
    let scene = Scene::new();
    let backend = scene.create();
    (0..4).for_each(|seed| backend.put_new(&pack(seed), &[b"content"]).unwrap());
    let id = |seed| scene.files_of(&pack(seed)).remove(0);
    let (renamed, trashed, copied) = (id(0), id(1), id(2));
    {
        let mut store = scene.fake.store();
        store.files.get_mut(&renamed).unwrap().name = "holiday.jpg".to_owned();
        store.set_trashed(&trashed, true);
        let copy = crate::fake_drive::store::File {
            id: "copy".to_owned(),
            ..store.files[&copied].clone()
        };
        let _ = store.files.insert(copy.id.clone(), copy);
        let mut foreign = store.files[&copied].clone();
        foreign.id = "foreign".to_owned();
        foreign.name = "notes.txt".to_owned();
        foreign.app_properties.clear();
        let _ = store.files.insert(foreign.id.clone(), foreign);
    }
    backend.delete(&pack(3)).unwrap();

    let listing = backend.list(Folder::Packs).unwrap();

    let mut names: Vec<_> = listing.objects.iter().map(|listed| listed.name.clone()).collect();
    names.sort();
    assert_eq!(names, [pack(0), pack(2)]);
    assert_eq!(listing.trashed, [pack(1)]);
    assert_eq!(listing.duplicates, [pack(2)]);
    assert_eq!(listing.foreign, ["notes.txt"]);
    for seed in [0, 2] {
        assert_eq!(backend.get(&pack(seed), 100).unwrap(), b"content");
    }
}

#[test]
fn encrypted_bytes_that_look_like_malware_come_back_all_the_same() {
    let scene = Scene::new();
    let backend = scene.create();
    backend.put_new(&pack(1), &[b"looks bad"]).unwrap();
    let id = scene.files_of(&pack(1)).remove(0);
    scene.fake.store().files.get_mut(&id).unwrap().is_abusive = true;

    assert_eq!(backend.get(&pack(1), 100).unwrap(), b"looks bad");
    assert_eq!(backend.get_range(&pack(1), 6..9).unwrap(), b"bad");
}

#[test]
fn quota_is_limit_less_usage_and_may_have_no_limit() {
    let scene = Scene::new();
    let backend = scene.create();
    backend.put_new(&pack(1), &[&noise(1, 1000)]).unwrap();

    assert_eq!(backend.free_bytes().unwrap(), None);
    scene.fake.turn(|knobs| knobs.quota_bytes = Some(5000));
    assert_eq!(backend.free_bytes().unwrap(), Some(4000));
    assert_eq!(backend.about().unwrap().account, "maria@example.com");
    let error = backend.put_new(&pack(2), &[&noise(2, 4001)]).unwrap_err();
    assert!(matches!(error, Error::QuotaFull { .. }), "{error:?}");
    backend.put_new(&pack(3), &[&noise(3, 4000)]).unwrap();
    assert_eq!(backend.free_bytes().unwrap(), Some(0));
}

#[test]
fn a_long_upload_outlives_its_token() {
    let scene = Scene::new();
    let backend = scene.create();
    backend.put_new(&pack(1), &[b"x"]).unwrap();
    // The token ends on their clock while ours stands still.
    scene.fake.pass(3601);
    let content = noise(2, PIECE_BYTES * 3);

    backend.put_new(&pack(2), &[&content]).unwrap();

    assert_eq!(backend.get(&pack(2), u64::MAX).unwrap(), content);
}

#[test]
fn a_place_is_proven_by_what_goes_there_and_comes_back() {
    let scene = Scene::new();
    let backend = scene.create();
    let files = scene.fake.store().files.len();

    let found = backend.prove().unwrap();

    assert!(!found.conditional_create && !found.strong_listing && found.is_remote);
    assert_eq!(scene.fake.store().files.len(), files);
    for fault in [Fault::CorruptStore, Fault::CorruptAnswer] {
        let kind = if fault == Fault::CorruptStore { "POST whole" } else { "GET content" };
        scene.fake.plan(Some((When::Every(kind), fault)));
        let error = backend.prove().unwrap_err();
        assert!(matches!(error, Error::Unproven { .. }), "{error:?}");
        assert_eq!(scene.fake.store().files.len(), files);
    }
}

#[test]
fn what_is_stored_is_compared_by_the_checksums_of_the_store() {
    let scene = Scene::new();
    let backend = scene.create();
    let receipt = backend.upload(&pack(1), &[b"con", b"tent"]).unwrap();
    assert_eq!(scene.files_of(&pack(1)), std::slice::from_ref(&receipt.remote_id));
    scene.fake.plan(None);

    assert_eq!(backend.verify(&pack(1), &[b"content"]).unwrap(), receipt);

    assert_eq!(scene.fake.log().len(), 1);
    let error = backend.verify(&pack(1), &[b"CONTENT"]).unwrap_err();
    assert!(matches!(error, Error::NotAsSent { .. }), "{error:?}");
    let error = backend.verify(&pack(2), &[b"content"]).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}
