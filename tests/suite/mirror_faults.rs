//! Every request of a push to S3 and of a restore from there, with every fault that a network and a
//! tired server know; a switched-off machine between any two requests; and what it all costs.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stillpoint::{
    backend::{Folder, ObjectName},
    clock::{Clock, SystemClock, UnixNanos},
    config::{Bucket, Mirror, Place},
    ops::{
        self,
        event::Silent,
        mirror::{Ledger, Pushed, Target, push},
    },
    repo::{Repository, marks, prune},
    setup::{Known, Machine},
};

use crate::{
    harness::{
        Tally, in_parallel,
        s3::{BUCKET, CREDENTIALS, Fault, S3Server},
    },
    shop::{self, Content, KEY, Shop, scratch},
};

/// All that goes wrong with one request.
const FAULTS: [(&str, Fault); 28] = [
    ("reset before", Fault::ResetBefore),
    ("reset after", Fault::ResetAfter),
    ("cut answer", Fault::CutAnswer),
    ("error after", Fault::ErrorAfter),
    ("page for people", Fault::Html),
    ("empty body", Fault::EmptyBody),
    ("flipped bit", Fault::FlippedBit),
    ("wrong tag", Fault::WrongTag),
    ("short listing", Fault::ShortListing),
    ("empty listing", Fault::EmptyListing),
    ("double listing", Fault::DoubleListing),
    ("500", Fault::Status(500, "InternalError")),
    ("502", Fault::Status(502, "BadGateway")),
    ("503 slow down", Fault::Status(503, "SlowDown")),
    ("503 wait 2", Fault::Wait(503, 2)),
    ("429 wait 5", Fault::Wait(429, 5)),
    ("429 wait an hour", Fault::Wait(429, 3600)),
    ("504", Fault::Status(504, "GatewayTimeout")),
    ("408", Fault::Status(408, "RequestTimeout")),
    ("400 timeout", Fault::Status(400, "RequestTimeout")),
    ("403 denied", Fault::Status(403, "AccessDenied")),
    ("403 key", Fault::Status(403, "InvalidAccessKeyId")),
    ("403 clock", Fault::Status(403, "RequestTimeTooSkewed")),
    ("404 bucket", Fault::Status(404, "NoSuchBucket")),
    ("404 object", Fault::Status(404, "NoSuchKey")),
    ("409", Fault::Status(409, "OperationAborted")),
    ("412", Fault::Status(412, "PreconditionFailed")),
    ("507", Fault::Status(507, "InsufficientStorage")),
];

/// Real time, but nobody waits.
#[derive(Default)]
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> UnixNanos {
        SystemClock.now()
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed() + Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap();
        let _ = self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

/// A repository with two snapshots that is to be mirrored.
struct Scene {
    shop: Shop,
    folder: tempfile::TempDir,
}

/// A store of its own, and what is known of it.
struct Elsewhere {
    server: S3Server,
    mirror: Mirror,
}

impl Scene {
    fn new(prepare: impl Fn(&Shop)) -> Self {
        let shop = Shop::open();
        prepare(&shop);
        let scene = Self { shop, folder: tempfile::tempdir_in(scratch()).unwrap() };
        fs::write(scene.folder.path().join("credentials"), CREDENTIALS).unwrap();
        let env = machine().create(&scene.place(), &scene.state()).unwrap();
        drop(Repository::create(env, &[(KEY, "key".to_owned())]).unwrap());
        for _ in 0..2 {
            let _ = scene.shop.back_up(&scene.open()).unwrap();
            scene.shop.sell(3);
        }
        scene
    }

    fn place(&self) -> Place {
        Place::Folder(self.folder.path().join("repository"))
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self) -> Repository {
        let env = machine().open(&self.place(), &self.state()).unwrap();
        Repository::open(env, &KEY).unwrap()
    }

    fn elsewhere(&self, name: &str) -> Elsewhere {
        let server = S3Server::start();
        let bucket = Bucket {
            name: BUCKET.to_owned(),
            prefix: "shop".to_owned(),
            endpoint: Some(server.url()),
            credentials_file: Some(self.folder.path().join("credentials")),
            ..Bucket::default()
        };
        let place = Place::S3(bucket);
        Elsewhere { server, mirror: Mirror::at(name, place) }
    }

    /// A push of a process of its own.
    fn push(&self, to: &Elsewhere) -> Result<Pushed, ops::Error> {
        let repo = self.open();
        let place = to.mirror.place.to_string();
        let mut ledger = Ledger::load(&repo, &to.mirror.name, &place).unwrap();
        let known = match ledger.notes.is_listed {
            true => Known::Used(ledger.proven()),
            false => Known::Nothing,
        };
        let backend = machine().mirror(&to.mirror, &repo, known)?;
        let target = Target { name: to.mirror.name.clone(), backend, keep: None };
        push(&repo, &target, &mut ledger, &Silent)
    }

    /// The repository as a fresh machine sees it there, with this state folder.
    fn open_there(&self, to: &Elsewhere, state: &str) -> Result<Repository, ops::Error> {
        let state = self.folder.path().join(state);
        let env = machine().open(&to.mirror.place, &state)?;
        Ok(Repository::open(env, &KEY)?)
    }

    /// What must be there: every object but pending records, byte for byte.
    fn assert_whole(&self, to: &Elsewhere, what: &str) {
        let root = self.folder.path().join("repository");
        let mut expected = Vec::new();
        for folder in Folder::ALL.iter().filter(|folder| **folder != Folder::Pending) {
            for entry in fs::read_dir(root.join(folder.as_str())).into_iter().flatten() {
                let name = entry.unwrap().file_name();
                expected.push(format!("shop/{}/{}", folder.as_str(), name.display()));
            }
        }
        expected.sort();
        // A test of the place that was cut may leave its canary.
        let mut there = to.server.keys();
        there.retain(|key| !key.starts_with("shop/canary/"));
        // What a later index object covers need not be there.
        expected.retain(|key| !key.contains("/index/") || there.contains(key));
        assert_eq!(there, expected, "{what}");
        for key in &there {
            let here = fs::read(root.join(key.strip_prefix("shop/").unwrap())).unwrap();
            assert!(fs::read(to.server.path_of(key)).unwrap() == here, "{what}: {key}");
        }
        assert!(there.iter().any(|key| key.contains("/index/")), "{what}");
    }
}

fn machine() -> Machine {
    Machine { clock: Arc::new(Hasty::default()), ..Machine::real() }
}

#[test]
fn a_push_survives_every_fault_at_every_request() {
    let scene = Scene::new(|_| {});
    let honest = scene.elsewhere("honest");
    let _ = scene.push(&honest).unwrap();
    scene.assert_whole(&honest, "honest");
    let requests = usize::try_from(honest.server.count()).unwrap();
    let tally = Tally::default();

    in_parallel(requests * FAULTS.len(), |piece| {
        let (at, (what, fault)) = (piece / FAULTS.len() + 1, FAULTS[piece % FAULTS.len()]);
        let name = format!("fault-{piece}");
        let to = scene.elsewhere(&name);
        to.server.fail_at(at as u64, fault);
        let what = format!("{what} at request {at}");

        let first = scene.push(&to);

        tally.add("faults injected", to.server.injected());
        assert!(to.server.count() <= 2 * requests as u64 + 20, "{what}: too many requests");
        to.server.forget();
        if let Err(error) = first {
            tally.add("pushes that the next one finished", 1);
            let again = scene.push(&to);
            assert!(again.is_ok(), "{what}: {error}; then {:?}", again.err());
        } else {
            tally.add("pushes that bridged it", 1);
        }
        scene.assert_whole(&to, &what);
    });

    tally.add("requests of a push", requests as u64);
    tally.add("kinds of faults", FAULTS.len() as u64);
    tally.print("faults of S3 while pushing");
}

#[test]
fn a_push_that_is_cut_at_any_request_goes_on_where_it_was() {
    let scene = Scene::new(|shop| shop.write("large", &shop::pseudo_random(7, 9 << 20)));
    let honest = scene.elsewhere("honest");
    let _ = scene.push(&honest).unwrap();
    let requests = usize::try_from(honest.server.count()).unwrap();
    let bytes = |to: &Elsewhere| to.server.requests().iter().map(|one| one.sent).sum::<u64>();
    let needed = bytes(&honest);
    let tally = Tally::default();

    in_parallel(requests, |piece| {
        let to = scene.elsewhere(&format!("cut-{piece}"));
        to.server.die_at(piece as u64 + 1);

        let cut = scene.push(&to);
        let (before, first) = (bytes(&to), to.server.requests());
        to.server.forget();
        let again = scene.push(&to);

        assert!(cut.is_err() && again.is_ok(), "request {piece}: {cut:?}, {again:?}");
        scene.assert_whole(&to, &format!("cut at request {}", piece + 1));
        // Whoever is cut sends at most one piece again, of each upload that was under way.
        let twice = (before + bytes(&to)).saturating_sub(needed);
        let sent = (first, to.server.requests());
        assert!(twice <= 9 << 20, "request {piece}: {twice} bytes were sent twice: {sent:?}");
        tally.add("cuts", 1);
    });

    tally.add("requests of a push", requests as u64);
    tally.print("S3 switched off between any two requests");
}

#[test]
fn a_restore_survives_every_fault_at_every_request() {
    let scene = Scene::new(|_| {});
    let to = scene.elsewhere("whole");
    let _ = scene.push(&to).unwrap();
    let repo = scene.open();
    let newest = repo.snapshots().unwrap().snapshots.pop().unwrap();
    let expected: Content = shop::restore(&repo, &newest).unwrap().0;
    let restore = |to: &Elsewhere, state: &str| -> Result<(Content, bool), ops::Error> {
        let repo = scene.open_there(to, state)?;
        let all = repo.snapshots()?.snapshots;
        match all.iter().find(|one| one.id == newest.id) {
            Some(snapshot) => shop::restore(&repo, snapshot),
            // As if it had never been sent; nobody is told that this was all.
            None => Ok((Content::new(), false)),
        }
    };
    to.server.forget();
    assert_eq!(restore(&to, "honest").unwrap(), (expected.clone(), true));
    let requests = usize::try_from(to.server.count()).unwrap();
    let tally = Tally::default();

    in_parallel(requests * FAULTS.len(), |piece| {
        let (at, (what, fault)) = (piece / FAULTS.len() + 1, FAULTS[piece % FAULTS.len()]);
        let to = scene.elsewhere(&format!("restore-{piece}"));
        copy_store(&scene, &to);
        to.server.fail_at(at as u64, fault);
        let what = format!("{what} at request {at}");
        let state = format!("state-{piece}");

        let first = restore(&to, &state);

        tally.add("faults injected", to.server.injected());
        match first {
            Ok((content, true)) => {
                assert!(content == expected, "{what}: restored something else");
                tally.add("restores that bridged it", 1);
            }
            _ => {
                to.server.forget();
                let again = restore(&to, &state);
                assert!(
                    again.as_ref().is_ok_and(|again| *again == (expected.clone(), true)),
                    "{what}: {:?}",
                    again.err()
                );
                tally.add("restores that the next one finished", 1);
            }
        }
    });

    tally.add("requests of a restore on a fresh machine", requests as u64);
    tally.print("faults of S3 while restoring");
}

/// Puts there what a push would have put there.
fn copy_store(scene: &Scene, to: &Elsewhere) {
    let here = machine().open(&scene.place(), &scene.state()).unwrap().backend;
    for (folder, listing) in here.list_all().unwrap() {
        for object in listing.objects.iter().filter(|_| folder != Folder::Pending) {
            let bytes = here.get(&object.name, 1 << 30).unwrap();
            to.server.put(&format!("shop/{}", object.name), &bytes);
        }
    }
}

#[test]
fn an_hourly_run_costs_eight_requests_and_an_idle_one_two() {
    let scene = Scene::new(|_| {});
    let to = scene.elsewhere("hourly");
    let _ = scene.push(&to).unwrap();
    scene.shop.sell(5);
    let _ = scene.shop.back_up(&scene.open()).unwrap();
    to.server.forget();

    let pushed = scene.push(&to).unwrap();
    let hourly = to.server.count();
    to.server.forget();
    let _ = scene.push(&to).unwrap();

    assert_eq!(pushed.snapshots, 1);
    assert!(hourly <= 8, "{hourly}: {:?}", to.server.requests());
    assert!(to.server.count() <= 2, "{:?}", to.server.requests());
}

#[test]
fn a_database_comes_back_in_a_few_large_pieces_and_a_cut_restore_goes_on() {
    let scene = Scene::new(|shop| {
        shop.connect().execute_batch("CREATE TABLE blob (bytes BLOB)").unwrap();
        for number in 0..240 {
            let bytes = shop::pseudo_random(number, 50_000);
            let _ = shop.connect().execute("INSERT INTO blob VALUES (?1)", [bytes]).unwrap();
        }
        shop.write("beside", &shop::pseudo_random(99, 40 << 20));
    });
    let to = scene.elsewhere("few");
    let _ = scene.push(&to).unwrap();
    let stored = 12_000_000;
    let restore = |state: &str| -> Result<(Content, bool), ops::Error> {
        let repo = scene.open_there(&to, state)?;
        let mut snapshot = repo.snapshots()?.snapshots.pop().unwrap();
        snapshot.record.parts.retain(|part| part.name == "pos");
        shop::restore(&repo, &snapshot)
    };
    let returned = || to.server.requests().iter().map(|one| one.returned).sum::<u64>();

    to.server.forget();
    let whole = restore("whole").unwrap();
    let (requests, bytes) = (to.server.count(), returned());
    to.server.forget();
    to.server.die_at(requests);
    let cut = restore("cut");
    to.server.forget();
    let again = restore("cut").unwrap();

    println!("restore of one database: {requests} requests, {bytes} bytes of {stored} stored");
    assert!(whole.1 && again == whole);
    assert!(requests <= 24, "{requests}: {:?}", to.server.requests());
    assert!(bytes <= stored * 13 / 10, "{bytes} of {stored}");
    assert!(!matches!(cut, Ok((_, true))));
    assert!(returned() <= bytes / 2, "{} of {bytes} came again", returned());
}

#[test]
fn a_prune_on_the_mirror_is_noticed_and_what_it_took_is_sent_again() {
    let secret = shop::pseudo_random(5, 600_000);
    let scene = Scene::new(|shop| shop.write("gone", &secret));
    let to = scene.elsewhere("pruned");
    fs::remove_file(scene.shop.files().join("gone")).unwrap();
    let _ = scene.shop.back_up(&scene.open()).unwrap();
    let _ = scene.push(&to).unwrap();
    // Another machine forgets there what holds the file, and prunes.
    let there = scene.open_there(&to, "pruner").unwrap();
    let before = to.server.keys();
    for snapshot in &there.snapshots().unwrap().snapshots[..2] {
        let _ = marks::forget(&there, snapshot.id, "test").unwrap();
    }
    let options = prune::Options {
        trash: Duration::ZERO,
        grace: Duration::ZERO,
        ..prune::Options::default()
    };
    let _ = prune::prune(&there, &options, &mut |_| {}).unwrap();
    assert_ne!(to.server.keys(), before);
    // Here the file comes back, and its chunks are here still.
    scene.shop.write("gone", &secret);
    let _ = scene.shop.back_up(&scene.open()).unwrap();

    let pushed = scene.push(&to).unwrap();

    assert!(pushed.snapshots >= 1);
    let there = scene.open_there(&to, "fresh").unwrap();
    let newest = there.snapshots().unwrap().snapshots.pop().unwrap();
    let (content, is_complete) = shop::restore(&there, &newest).unwrap();
    assert!(is_complete && content == scene.shop.content());
    let record = ObjectName::Snapshot(newest.id);
    assert!(there.environment().backend.size(&record).unwrap() > 0);
}
