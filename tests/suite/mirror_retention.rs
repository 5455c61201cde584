//! Mirrors that keep a history of their own: more or less than is kept here, whatever dies on the
//! way, and by what they themselves list and say.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::tz::TimeZone;
use stillpoint::{
    backend::{
        self, Backend, Capabilities, Folder, Listing, ObjectName,
        layer::{
            fault::{Fault, FaultPlan, FaultyBackend, Times},
            record::{Call, Recorded},
        },
        memory::MemoryBackend,
    },
    clock::SystemClock,
    disk::RealDisk,
    format::record::Storage,
    id::SnapshotId,
    ops::{
        self, backup,
        event::Silent,
        forget::Most,
        mirror::{Keep, Ledger, Need, Outlook, Presence, Pushed, Target, Upkeep, push, tend},
        prune::{PruneOptions, prune},
        retention::{Policies, Policy},
    },
    repo::{Environment, Repository, check, marks},
};

use crate::{
    harness::{Tally, in_parallel},
    shop::{KEY, Shop, environment, restore},
    time::{BEGIN, DAY, HOUR, ToldClock},
};

/// Another place, in memory.
#[derive(Debug)]
struct Place {
    objects: FaultyBackend<MemoryBackend>,
    lags: bool,
}

impl Place {
    fn new(objects: MemoryBackend) -> Arc<Self> {
        let objects = FaultyBackend::new(objects, Arc::new(SystemClock));
        Arc::new(Self { objects, lags: false })
    }

    fn lagging() -> Arc<Self> {
        let objects = FaultyBackend::new(MemoryBackend::new(), Arc::new(SystemClock));
        Arc::new(Self { objects, lags: true })
    }

    fn names(&self, folder: Folder) -> BTreeSet<ObjectName> {
        let names = self.objects.inner().names();
        names.into_iter().filter(|name| name.folder() == folder).collect()
    }
}

impl Backend for Place {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), backend::Error> {
        self.objects.put_new(name, pieces)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, backend::Error> {
        self.objects.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, backend::Error> {
        self.objects.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64, backend::Error> {
        self.objects.size(name)
    }

    fn list(&self, folder: Folder) -> Result<Listing, backend::Error> {
        self.objects.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), backend::Error> {
        self.objects.delete(name)
    }

    fn free_bytes(&self) -> Result<Option<u64>, backend::Error> {
        self.objects.free_bytes()
    }

    fn place(&self) -> String {
        "elsewhere".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { strong_listing: !self.lags, ..Capabilities::LOCAL }
    }
}

/// A shop, its repository, and the clock on its wall.
struct Scene {
    shop: Shop,
    clock: Arc<ToldClock>,
    repo: Repository,
    state: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ToldClock::at(BEGIN));
        let state = tempfile::tempdir().unwrap();
        let env = environment(Arc::new(MemoryBackend::new()), Arc::new(RealDisk), state.path());
        let env = Environment { clock: clock.clone(), ..env };
        let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
        Self { shop: Shop::open(), clock, repo, state }
    }

    fn pass(&self, nanos: i64) {
        let _ = self.clock.0.fetch_add(nanos, Ordering::SeqCst);
    }

    fn back_up(&self) -> SnapshotId {
        self.shop.sell(2);
        self.shop.back_up(&self.repo).unwrap().snapshot.unwrap().id
    }

    /// Of the files alone.
    fn back_up_files(&self) -> SnapshotId {
        let mut request = self.shop.request(Storage::Incremental);
        request.sets.retain(|set| set.name == "files");
        backup::run(&self.repo, &request, &Silent).unwrap().snapshot.unwrap().id
    }

    fn ledger(&self, name: &str) -> Ledger {
        Ledger::load(&self.repo, name, "elsewhere").unwrap()
    }

    fn push(&self, target: &Target) -> Result<Pushed, ops::Error> {
        patiently(|| push(&self.repo, target, &mut self.ledger(&target.name), &Silent))
    }

    fn tend(&self, target: &Target) -> Result<Upkeep, ops::Error> {
        let how = (Need::Now, Most::Refuse);
        patiently(|| tend(&self.repo, target, &mut self.ledger(&target.name), how, &Silent))
    }

    /// Opens a place as a machine does that has nothing but the key.
    fn open(&self, place: &Arc<Place>) -> (Repository, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let env = environment(Arc::clone(place) as _, Arc::new(RealDisk), state.path());
        let env = Environment { clock: self.clock.clone(), ..env };
        (Repository::open(env, &KEY).unwrap(), state)
    }

    /// The snapshots that a place shows, each of which comes back whole.
    fn shown(&self, place: &Arc<Place>) -> BTreeSet<SnapshotId> {
        let listed = self.listed(place, check::Depth::Data);
        let (there, _state) = self.open(place);
        for snapshot in &there.snapshots().unwrap().snapshots {
            assert!(restore(&there, snapshot).unwrap().1);
        }
        listed
    }

    /// The snapshots that a place shows, in which a check finds nothing wrong.
    fn listed(&self, place: &Arc<Place>, depth: check::Depth) -> BTreeSet<SnapshotId> {
        let (there, _state) = self.open(place);
        let mut findings = Vec::new();
        check::run(&there, depth, &mut |event| findings.push(event)).unwrap();
        findings.retain(|event| {
            !event.is_progress() && !matches!(event, check::CheckEvent::Note { .. })
        });
        assert_eq!(findings, []);
        let snapshots = there.snapshots().unwrap().snapshots;
        snapshots.into_iter().map(|snapshot| snapshot.id).collect()
    }

    fn here(&self) -> usize {
        self.repo.snapshots().unwrap().snapshots.len()
    }
}

/// A child that another test starts holds our locks too, until it is the other program.
fn patiently<T>(work: impl Fn() -> Result<T, ops::Error>) -> Result<T, ops::Error> {
    loop {
        match work() {
            Err(
                ops::Error::Mirror(ops::mirror::Error::Busy { .. })
                | ops::Error::Repository(stillpoint::repo::Error::Busy { .. }),
            ) => std::thread::yield_now(),
            done => return done,
        }
    }
}

fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn keep(policy: Policy) -> Keep {
    let policies = Policies::all(&policy);
    Keep { policies, zone: TimeZone::UTC, trash: Duration::ZERO }
}

fn days(count: u32) -> Keep {
    keep(Policy { daily: Some(count), ..Policy::default() })
}

fn target(name: &str, place: &Arc<Place>, keep: Keep) -> Target {
    Target { name: name.to_owned(), backend: Arc::clone(place) as _, keep: Some(keep) }
}

#[test]
fn a_mirror_keeps_less_than_is_kept_here_and_is_not_sent_again_what_went_there() {
    let scene = Scene::new();
    let place = Place::new(MemoryBackend::new());
    let away = target("away", &place, days(3));
    let mut newest = Vec::new();
    for _ in 0..6 {
        for _ in 0..2 {
            scene.pass(HOUR);
            newest.push(scene.back_up());
            assert_eq!(scene.push(&away).unwrap().snapshots, 1);
        }
        let _ = newest.remove(newest.len() - 2);
        let _ = scene.tend(&away).unwrap();
        scene.pass(DAY - 2 * HOUR);
    }
    let stay: BTreeSet<_> = newest[3..].iter().copied().collect();

    assert_eq!(scene.shown(&place), stay);
    assert_eq!(scene.here(), 12);
    assert_eq!(scene.push(&away).unwrap().snapshots, 0);
    assert_eq!(scene.shown(&place), stay);
    // Neither when nothing is known of it any more.
    Ledger::remove(&scene.repo, "away").unwrap();
    assert_eq!(scene.push(&away).unwrap().snapshots, 0);
    assert_eq!(scene.shown(&place), stay);
}

#[test]
fn what_is_forgotten_and_pruned_here_stays_on_a_mirror_that_keeps_more() {
    let scene = Scene::new();
    let place = Place::new(MemoryBackend::new());
    let away = target("away", &place, days(10));
    let mut all = BTreeSet::new();
    for day in 0..5 {
        scene.shop.write("a/large", &vec![day; 50_000]);
        let _ = all.insert(scene.back_up());
        let _ = scene.push(&away).unwrap();
        scene.pass(DAY);
    }
    let newest = *scene.repo.snapshots().unwrap().snapshots.last().map(|one| &one.id).unwrap();
    for id in all.iter().filter(|id| **id != newest) {
        let _ = marks::forget(&scene.repo, *id, "").unwrap();
    }
    let at_once =
        PruneOptions { trash: Duration::ZERO, grace: Duration::ZERO, ..PruneOptions::default() };
    assert_eq!(prune(&scene.repo, &at_once, &Silent).unwrap().snapshots_removed, 4);

    // The index that goes up now says what was condemned here.
    let _ = all.insert(scene.back_up());
    let _ = scene.push(&away).unwrap();
    let upkeep = scene.tend(&away).unwrap();

    assert_eq!(upkeep.forgotten, 0);
    // A pack whose chunks were repacked here may go, since the new pack is there.
    assert_eq!(upkeep.pruned.unwrap().packs_rewritten, 0);
    assert_eq!(scene.shown(&place), all);
    assert_eq!(scene.here(), 2);
}

#[test]
fn what_went_there_and_is_needed_again_goes_up_in_packs_of_its_own() {
    let scene = Scene::new();
    let place = Place::new(MemoryBackend::new());
    let away = target("away", &place, days(1));
    let photograph = noise(60_000);
    let _ = scene.back_up();
    let _ = scene.push(&away).unwrap();
    scene.pass(DAY);
    scene.shop.write("a/photograph", &photograph);
    let _ = scene.back_up_files();
    let _ = scene.push(&away).unwrap();
    scene.pass(DAY);
    fs::remove_file(scene.shop.files().join("a/photograph")).unwrap();
    let _ = scene.back_up_files();
    let _ = scene.push(&away).unwrap();
    let before = place.names(Folder::Packs);
    let gone = scene.tend(&away).unwrap().pruned.unwrap().packs_deleted;
    let after = place.names(Folder::Packs);
    assert!(gone > 0, "{before:?}");

    scene.pass(DAY);
    scene.shop.write("a/photograph", &photograph);
    let newest = scene.back_up_files();
    let pushed = scene.push(&away).unwrap();

    assert_eq!(pushed.snapshots, 1);
    assert!(scene.shown(&place).contains(&newest));
    let now = place.names(Folder::Packs);
    let again: Vec<_> = before.difference(&after).filter(|pack| now.contains(pack)).collect();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn where_listings_lag_a_deletion_takes_two_prunes_a_day_apart() {
    let scene = Scene::new();
    let place = Place::lagging();
    let away = target("away", &place, days(1));
    for day in 0..3 {
        scene.shop.write("a/large", &vec![day; 50_000]);
        let _ = scene.back_up_files();
        let _ = scene.push(&away).unwrap();
        scene.pass(DAY);
    }
    let shown = place.names(Folder::Snapshots);

    let first = scene.tend(&away).unwrap().pruned.unwrap();
    let soon = scene.tend(&away).unwrap().pruned.unwrap();
    assert!(first.packs_condemned > 0);
    for report in [&first, &soon] {
        assert_eq!((report.packs_deleted, report.snapshots_removed), (0, 0));
    }
    assert_eq!(soon.packs_condemned, 0);
    assert_eq!(place.names(Folder::Snapshots), shown);
    // A clock that jumps makes a day pass and no more.
    scene.pass(30 * DAY);
    assert_eq!(scene.tend(&away).unwrap().pruned.unwrap().packs_deleted, 0);
    let _ = scene.back_up_files();
    let _ = scene.push(&away).unwrap();
    scene.pass(2 * HOUR);
    let last = scene.tend(&away).unwrap().pruned.unwrap();

    assert!(last.packs_deleted >= first.packs_condemned, "{last:?}");
    assert_eq!(last.snapshots_removed, 2);
    let _ = scene.shown(&place);
}

#[test]
fn tombstones_that_stand_for_a_day_are_read_once() {
    let scene = Scene::new();
    let place = Place::lagging();
    let mut away = target("away", &place, days(1));
    for day in 0..3 {
        scene.shop.write("a/large", &vec![day; 50_000]);
        let _ = scene.back_up_files();
        let _ = scene.push(&away).unwrap();
        scene.pass(DAY);
    }
    assert!(scene.tend(&away).unwrap().pruned.unwrap().packs_condemned > 0);
    let counted = Arc::new(Recorded::new(Arc::clone(&away.backend)));
    away.backend = counted.clone();

    let reads = [0; 3].map(|_| {
        let _ = scene.back_up_files();
        assert_eq!(scene.push(&away).unwrap().snapshots, 1);
        scene.pass(HOUR);
        let calls = counted.take();
        let of_tombstones = |call: &&Call| call.verb == "get" && call.what.contains("tombstones/");
        calls.iter().filter(of_tombstones).count()
    });

    // The first push after a prune looks at everything.
    assert!(reads[0] > 0 && reads[1..] == [0, 0], "{reads:?}");
}

#[test]
fn a_policy_that_would_let_most_go_is_refused_until_somebody_means_it() {
    let scene = Scene::new();
    let place = Place::new(MemoryBackend::new());
    let mut away = target("away", &place, days(8));
    for _ in 0..8 {
        let _ = scene.back_up_files();
        let _ = scene.push(&away).unwrap();
        scene.pass(DAY);
    }
    let _ = scene.tend(&away).unwrap();
    away.keep = Some(days(2));

    let error = scene.tend(&away).unwrap_err();

    assert!(
        matches!(error, ops::Error::Mirror(ops::mirror::Error::TooMany { going: 6, .. })),
        "{error:?}"
    );
    assert_eq!(place.names(Folder::Snapshots).len(), 8);
    let mut ledger = scene.ledger("away");
    let how = (Need::Now, Most::Allow);
    assert_eq!(tend(&scene.repo, &away, &mut ledger, how, &Silent).unwrap().forgotten, 6);
    assert_eq!(place.names(Folder::Snapshots).len(), 2);
}

#[test]
fn a_first_push_sends_what_the_mirror_keeps_and_says_so_of_the_rest() {
    let scene = Scene::new();
    let place = Place::new(MemoryBackend::new());
    let away = target("away", &place, days(2));
    for _ in 0..4 {
        let _ = scene.back_up_files();
        scene.pass(DAY);
    }

    assert_eq!(scene.push(&away).unwrap().snapshots, 2);

    let history = scene.repo.history().unwrap();
    let ledger = scene.ledger("away");
    let outlook = Outlook::new(&scene.repo, &ledger, (away.keep.as_ref(), &history));
    let presence: Vec<_> = history.shown().map(|one| outlook.of(one.id)).collect();
    let (kept, there) = (Presence::NotKept, Presence::There);
    assert_eq!(presence, [kept, kept, there, there]);
    assert_eq!(outlook.waiting(&scene.repo, &history).unwrap().snapshots, 0);
    assert!(scene.state.path().exists());
}

#[test]
fn a_retention_that_dies_at_any_request_loses_nothing_and_is_ended_by_the_next() {
    let scene = Scene::new();
    let model = Place::new(MemoryBackend::new());
    let away = |name: &str, place: &Arc<Place>| target(name, place, days(2));
    for day in 0..4 {
        scene.shop.write("a/large", &vec![day; 50_000]);
        let _ = scene.back_up_files();
        let _ = scene.push(&away("model", &model)).unwrap();
        scene.pass(DAY);
    }
    let copy = |name: &str| {
        let place = Place::new(model.objects.inner().copied());
        let away = away(name, &place);
        let _ = scene.push(&away).unwrap();
        place.objects.plan(None);
        (place, away)
    };
    let (place, whole) = copy("whole");
    let _ = scene.tend(&whole).unwrap();
    let calls = place.objects.calls();
    let stay = scene.shown(&place);
    assert_eq!(stay.len(), 2);
    let tally = Tally::default();

    in_parallel(usize::try_from(calls).unwrap(), |at| {
        let call = at as u64 + 1;
        let (place, away) = copy(&format!("dies-{call}"));
        let fault = if call.is_multiple_of(4) { Fault::LostAnswer } else { Fault::Io };
        let times = if call.is_multiple_of(4) { Times::Once } else { Times::ForEver };
        place.objects.plan(Some(FaultPlan { call, fault, times }));
        let _ = scene.tend(&away);
        tally.add(format!("{fault:?}"), 1);
        place.objects.plan(None);

        // What is shown in between is whole, too; each of the eighth is restored.
        let between = match call % 8 {
            0 => scene.shown(&place),
            _ => scene.listed(&place, check::Depth::Structure),
        };
        assert!(between.is_superset(&stay), "{call}");
        let _ = scene.push(&away).unwrap();
        let _ = scene.tend(&away).unwrap();

        assert_eq!(place.names(Folder::Snapshots).len(), 2, "{call}");
        assert!(place.names(Folder::Tombstones).is_empty(), "{call}");
        assert!(place.names(Folder::Forgotten).is_empty(), "{call}");
    });
    tally.print("retention of a mirror that dies, by fault");
    assert_eq!(scene.here(), 4);
}
