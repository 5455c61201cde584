//! Clocks that jump: no snapshot is forgotten, and none leaves the trash, because a clock says so.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use stillpoint::{
    backend::memory::MemoryBackend,
    clock::{Clock, SystemClock, UnixNanos},
    disk::RealDisk,
    id::SnapshotId,
    ops::{
        self,
        event::Silent,
        forget::{self, Most, Plan},
        prune::{PruneOptions, prune},
        retention::{Choice, Group, Policies, Policy},
    },
    repo::{Environment, Repository},
};

use crate::shop::{KEY, Shop, environment};

const SECOND: i64 = 1_000_000_000;
pub const HOUR: i64 = 3_600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// Noon of some day.
pub const BEGIN: i64 = 1_795_003_200 * SECOND;

/// Shows what it is told to show.
pub struct ToldClock(pub AtomicI64);

impl ToldClock {
    pub fn at(now: i64) -> Self {
        Self(AtomicI64::new(now))
    }
}

impl Clock for ToldClock {
    fn now(&self) -> UnixNanos {
        self.0.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration);
    }
}

/// A shop, its repository, and the clock on its wall.
struct Scene {
    shop: Shop,
    clock: Arc<ToldClock>,
    repo: Repository,
    _state: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ToldClock::at(BEGIN));
        let state = tempfile::tempdir().unwrap();
        let backend = Arc::new(MemoryBackend::new());
        let env = environment(backend, Arc::new(RealDisk), state.path());
        let env = Environment { clock: clock.clone(), ..env };
        let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
        Self { shop: Shop::open(), clock, repo, _state: state }
    }

    fn set(&self, at: i64) {
        self.clock.0.store(at, Ordering::SeqCst);
    }

    /// Backs up at the same time of so many days.
    fn days(&self, days: std::ops::Range<i64>) {
        for day in days {
            self.set(BEGIN + day * DAY);
            self.back_up();
        }
    }

    fn back_up(&self) {
        self.shop.sell(1);
        assert!(self.shop.back_up(&self.repo).unwrap().is_complete());
    }

    /// What a policy would let go at the present time.
    fn going(&self) -> Result<HashSet<SnapshotId>, ops::Error> {
        let within = Some("4d".parse().unwrap());
        let policies = Policies::all(&Policy { daily: Some(3), within, ..Policy::default() });
        let choice = Choice::Policy(&policies, &Group::ALL);
        let now = self.clock.now();
        let plan = Plan::new(&self.repo.history().unwrap(), choice, now, &TimeZone::UTC)?;
        Ok(plan.going().map(|decision| decision.id).collect())
    }

    fn forget(&self, ids: impl IntoIterator<Item = SnapshotId>) {
        let named = ids.into_iter().collect();
        let history = self.repo.history().unwrap();
        let choice = Choice::Named(&named);
        let plan = Plan::new(&history, choice, self.clock.now(), &TimeZone::UTC).unwrap();
        let forgotten = forget::execute(&self.repo, &plan, ("test", Most::Refuse), &Silent);
        assert_eq!(forgotten.unwrap().snapshots.len(), named.len());
    }

    /// How many snapshots a prune removes for good.
    fn prune(&self) -> u64 {
        prune(&self.repo, &PruneOptions::default(), &Silent).unwrap().snapshots_removed
    }

    fn ids(&self) -> Vec<SnapshotId> {
        self.repo.history().unwrap().snapshots.iter().map(|snapshot| snapshot.id).collect()
    }
}

#[test]
fn no_jump_of_the_clock_decides_a_deletion() {
    let scene = Scene::new();
    scene.days(0..10);
    let now = scene.clock.now();
    let ids = scene.ids();
    scene.forget(ids[..2].iter().copied());
    let usual = scene.going().unwrap();
    assert_eq!(usual.len(), 4);

    for jump in [SECOND, HOUR, DAY, 3650 * DAY] {
        scene.set(now + jump);
        assert_eq!(scene.going().unwrap(), usual, "{jump} ahead");
        assert_eq!(scene.prune(), 0, "{jump} ahead");

        scene.set(now - jump);
        match scene.going() {
            Ok(going) => assert!(going.is_subset(&usual), "{jump} back"),
            Err(error) => {
                assert!(matches!(error, ops::Error::ClockBehind(_)), "{error:?}");
                assert!(jump > DAY, "{jump} back");
            }
        }
        assert_eq!(scene.prune(), 0, "{jump} back");
    }
    assert_eq!(scene.ids(), ids);
}

#[test]
fn a_backup_made_by_a_clock_that_is_ahead_takes_one_place_and_blocks_the_rules_when_it_is_back() {
    let scene = Scene::new();
    scene.days(0..10);
    let usual = scene.going().unwrap();
    let now = scene.clock.now();

    scene.set(now + 3650 * DAY);
    scene.back_up();
    let ahead = scene.going().unwrap();
    assert!(ahead.is_superset(&usual) && ahead.len() <= usual.len() + 1, "{ahead:?}");

    scene.set(now + HOUR);
    scene.back_up();
    assert!(matches!(scene.going(), Err(ops::Error::ClockBehind(_))));
    let history = scene.repo.history().unwrap();
    scene.forget([history.snapshots.last().unwrap().id]);
    // The day has two snapshots now, of which the newer one stands for it.
    assert_eq!(scene.going().unwrap().len(), usual.len());
}

#[test]
fn the_trash_is_emptied_after_seven_days_that_had_backups() {
    let scene = Scene::new();
    scene.days(0..4);
    scene.forget(scene.ids()[..2].iter().copied());
    let forgotten_at = scene.clock.now();

    scene.set(forgotten_at + 3650 * DAY);
    assert_eq!(scene.prune(), 0);
    scene.days(4..10);
    assert_eq!(scene.prune(), 0);
    scene.set(forgotten_at + 7 * DAY);
    assert_eq!(scene.prune(), 2);
    assert_eq!(scene.ids().len(), 8);
}
