//! Every request of a session goes wrong in every way, the process dies between any two, the disk
//! fails at any write; then it goes on. Nothing is lost, nothing is left twice, nobody tries for
//! ever, and a cut costs at most one piece.

use std::sync::{Arc, atomic::AtomicBool};

use rustix::io::Errno;
use stillpoint::{
    backend::{
        Backend, Error, Folder, ObjectName,
        layer::retry::{Patience, Retrying, Waits},
    },
    clock::SystemEntropy,
    disk::{Disk, RealDisk},
    id::ObjectId,
};

use super::{LITTLE_PATIENCE, PIECE_BYTES, Scene, noise, pack};
use crate::{
    fake_drive::{Fault, When},
    harness::{
        Tally,
        faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
        in_parallel,
    },
};

/// What one request that goes wrong may cost in further ones.
const FURTHER_REQUESTS_MAX: usize = 16;
/// What nine steps may cost when everything goes wrong for ever.
const REQUESTS_MAX: usize = 80;
/// What a request has around its content.
const AROUND_BYTES: usize = 8 * 1024;

/// Runs of whoever uses the backend, one after the other.
const STEPS: usize = 9;

fn large() -> Vec<u8> {
    noise(2, PIECE_BYTES * 3 + 12_345)
}

fn small() -> Vec<u8> {
    noise(1, 40_000)
}

fn index() -> ObjectName {
    ObjectName::Index { sequence: 1, id: ObjectId([9; 32]) }
}

fn step(backend: &dyn Backend, step: usize) -> Result<(), Error> {
    match step {
        0 => backend.put_new(&pack(1), &[&small()]),
        1 => backend.put_new(&pack(2), &[&large()]),
        2 => backend.put_new(&index(), &[b"index"]),
        3 => backend.get(&pack(2), u64::MAX).map(|bytes| assert!(bytes == large())),
        4 => backend.get_range(&pack(1), 100..300).map(|bytes| assert!(bytes == small()[100..300])),
        5 => backend.list(Folder::Packs).map(|listing| {
            let mut names: Vec<_> = listing.objects.into_iter().map(|listed| listed.name).collect();
            names.sort();
            assert_eq!(names, [pack(1), pack(2)]);
        }),
        6 => backend.size(&index()).map(|bytes| assert_eq!(bytes, 5)),
        7 => backend.delete(&pack(1)),
        _ => backend.free_bytes().map(drop),
    }
}

/// Takes the steps from here on; returns the one that failed.
fn go_on(backend: &dyn Backend, from: usize) -> Result<(), (usize, Error)> {
    (from..STEPS).try_for_each(|at| step(backend, at).map_err(|error| (at, error)))
}

fn open(scene: &Scene, disk: Arc<dyn Disk>, attempts_max: u32) -> Result<Retrying, Error> {
    let waits = Waits {
        clock: Arc::<super::QuickClock>::clone(&scene.clock),
        entropy: Arc::new(SystemEntropy),
        stop: Arc::<AtomicBool>::default(),
        patience: Patience { attempts_max, ..Patience::default() },
    };
    scene.open_on(disk).map(|backend| Retrying::new(Arc::new(backend), waits))
}

/// Takes all steps, the first attempt on this disk and with this plan, and a run of its own after
/// each failure, which has neither; returns whether there was one.
fn live_through(scene: &Scene, disk: Arc<dyn Disk>, attempts_max: u32) -> bool {
    let mut outcome = match open(scene, disk, attempts_max) {
        Ok(backend) => go_on(&backend, 0),
        Err(error) => Err((0, error)),
    };
    let had_failed = outcome.is_err();
    while let Err((at, _)) = outcome {
        scene.fake.let_be();
        let backend = open(scene, Arc::new(RealDisk), Patience::default().attempts_max).unwrap();
        outcome = go_on(&backend, at).map_err(|(then, error)| {
            assert!(then > at, "step {then} fails in a run without a fault: {error:?}");
            (then, error)
        });
    }
    had_failed
}

/// Nothing is lost, nothing is there twice, nothing of ours is left over.
fn assert_sound(scene: &Scene, what: &str) {
    scene.fake.let_be();
    let backend = scene.open().unwrap();
    assert_eq!(backend.get(&pack(2), u64::MAX).unwrap(), large(), "{what}");
    assert_eq!(backend.get(&index(), 100).unwrap(), b"index", "{what}");
    assert_eq!(scene.files_of(&pack(1)), Vec::<String>::new(), "{what}");
    for name in [pack(2), index()] {
        assert_eq!(scene.files_of(&name).len(), 1, "{what}: {name}");
    }
    let left = std::fs::read_dir(scene.state.path().join("uploads")).unwrap().count();
    assert_eq!(left, 0, "{what}: uploads are left in the journal");
}

fn assert_little_was_sent_again(scene: &Scene, what: &str) {
    let once = small().len() + large().len() + 5 + AROUND_BYTES;
    let sent = scene.fake.content_bytes_received();
    assert!(sent <= once + PIECE_BYTES, "{what}: {sent} bytes were sent, {once} are there");
}

/// A repository's folder, and the kinds of the requests that all steps take without a fault.
fn undisturbed() -> (Scene, Vec<&'static str>) {
    let template = Scene::new();
    drop(template.create());
    let scene = template.copied();
    scene.fake.plan(None);
    assert!(!live_through(&scene, Arc::new(RealDisk), 1));
    let kinds = scene.fake.log().iter().map(|request| request.what).collect();
    assert_sound(&scene, "without a fault");
    (template, kinds)
}

/// All faults that make a difference, at all requests.
fn cases(kinds: &[&str]) -> Vec<(usize, Fault)> {
    let requests = kinds.iter().enumerate();
    requests
        .flat_map(|(at, kind)| {
            let concerned = Fault::ALL.into_iter().filter(|fault| fault.concerns(kind));
            concerned.map(move |fault| (at + 1, fault))
        })
        .collect()
}

#[test]
fn a_request_that_goes_wrong_once_loses_nothing() {
    let (template, kinds) = undisturbed();
    let mut cases = cases(&kinds);
    // Waiting costs time, and the kind of the request makes little difference.
    cases.retain(|(request, fault)| !fault.takes_for_ever() || request % 3 == 0);
    let tally = Tally::default();

    in_parallel(cases.len(), |piece| {
        let (request, fault) = cases[piece];
        let what = format!("{fault:?} at request {request}, {}", kinds[request - 1]);
        let mut scene = template.copied();
        if fault.takes_for_ever() {
            scene.patience = LITTLE_PATIENCE;
        }
        scene.fake.plan(Some((When::Once(request), fault)));

        let had_failed = live_through(&scene, Arc::new(RealDisk), 7);

        let requests = scene.fake.log().len();
        assert_eq!(scene.fake.injected(), 1, "{what}");
        // With little patience a busy machine adds faults of its own.
        let is_exact = !fault.takes_for_ever();
        let is_bounded = requests <= kinds.len() + FURTHER_REQUESTS_MAX;
        assert!(is_bounded || !is_exact, "{what}: {requests} requests");
        if is_exact && !fault.loses_the_session() {
            assert_little_was_sent_again(&scene, &what);
        }
        assert_sound(&scene, &what);
        tally.add(format!("{fault:?}"), 1);
        tally.add(if had_failed { "in a later run" } else { "in the same run" }.to_owned(), 1);
    });

    println!("{} requests in a session", kinds.len());
    tally.print("drive, once:");
}

#[test]
fn what_goes_wrong_for_ever_ends_and_the_next_run_goes_on() {
    let (template, kinds) = undisturbed();
    let mut cases = cases(&kinds);
    cases.retain(|(_, fault)| !fault.takes_for_ever());
    let cases: Vec<_> = cases.into_iter().step_by(3).collect();
    let tally = Tally::default();

    in_parallel(cases.len(), |piece| {
        let (request, fault) = cases[piece];
        let what = format!("{fault:?} from request {request} on, {}", kinds[request - 1]);
        let scene = template.copied();
        scene.fake.plan(Some((When::From(request), fault)));

        let _ = live_through(&scene, Arc::new(RealDisk), 7);

        let requests = scene.fake.log().len();
        assert!(requests <= REQUESTS_MAX, "{what}: {requests} requests");
        assert_sound(&scene, &what);
        tally.add(format!("{fault:?}"), scene.fake.injected() as u64);
    });

    tally.print("drive, for ever:");
}

#[test]
fn a_process_that_dies_between_any_two_requests_goes_on_where_it_was() {
    let (template, kinds) = undisturbed();
    let deaths = [Fault::CutBefore, Fault::CutInBody, Fault::CutAfter];
    let tally = Tally::default();

    in_parallel(kinds.len() * deaths.len(), |piece| {
        let (request, fault) = (piece / deaths.len() + 1, deaths[piece % deaths.len()]);
        let what = format!("{fault:?} at request {request}, {}", kinds[request - 1]);
        let scene = template.copied();
        scene.fake.plan(Some((When::LastWord(request), fault)));

        let _ = live_through(&scene, Arc::new(RealDisk), 1);

        assert_little_was_sent_again(&scene, &what);
        assert_sound(&scene, &what);
        tally.add(format!("{fault:?}"), 1);
    });

    tally.print("drive, died at a request:");
}

#[test]
fn a_process_that_dies_at_any_write_to_its_journal_goes_on_where_it_was() {
    let (template, kinds) = undisturbed();
    let counting = FaultyDisk::counting();
    let scene = template.copied();
    assert!(!live_through(&scene, Arc::new(counting.clone()), 1));
    let calls = counting.calls(Class::Write);
    let tally = Tally::default();

    in_parallel(usize::try_from(calls).unwrap(), |piece| {
        let call = piece as u64 + 1;
        let what = format!("dead at write {call} of {calls}");
        let kind = Kind::Error(Errno::IO);
        let disk = FaultyDisk::new(Plan { class: Class::Write, call, kind, times: Times::ForEver });
        let scene = template.copied();
        scene.fake.plan(None);

        let _ = live_through(&scene, Arc::new(disk), 1);

        let requests = scene.fake.log().len();
        assert!(requests <= kinds.len() + FURTHER_REQUESTS_MAX, "{what}: {requests} requests");
        assert_little_was_sent_again(&scene, &what);
        assert_sound(&scene, &what);
        tally.add("died at a write".to_owned(), 1);
    });

    tally.print("drive, journal:");
}
