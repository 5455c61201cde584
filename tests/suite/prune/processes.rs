//! Four real processes on one repository, each with its own state folder: two that back up, one
//! that prunes, one that restores. At random they are stopped, go on, and are killed.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use stillpoint::{
    backend::local::LocalBackend,
    disk::RealDisk,
    id::SnapshotId,
    ops::{event::Silent, prune::prune},
    repo::{Repository, marks},
};

use super::AT_ONCE;
use crate::{
    harness::{
        Tally,
        vault::{Vault, steady},
    },
    shop::{self, Content, Shop},
};

const WORK: &str = "STILLPOINT_TEST_PROCESS_WORK";
const REPOSITORY: &str = "STILLPOINT_TEST_PROCESS_REPOSITORY";
const STATE: &str = "STILLPOINT_TEST_PROCESS_STATE";
const SHOP: &str = "STILLPOINT_TEST_PROCESS_SHOP";
const SECONDS: &str = "STILLPOINT_TEST_PROCESS_SECONDS";
const SECONDS_USUALLY: u64 = 12;

/// A snapshot that a process reported, and what must come back.
struct Promise {
    id: SnapshotId,
    content: Content,
    is_forgotten: bool,
}

/// What all threads of the test share.
struct World {
    vault: Vault,
    folder: tempfile::TempDir,
    promises: Mutex<Vec<Promise>>,
    /// Processes that may be stopped or killed.
    alive: Mutex<Vec<Child>>,
    is_over: AtomicBool,
    random: AtomicU64,
    tally: Tally,
}

impl World {
    fn draw(&self, below: u64) -> u64 {
        let drawn = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        (drawn ^ drawn >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) % below
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a process to its end, however it ends; returns what it printed if it was done.
    fn run(&self, work: &str, state: &str, shop: Option<&Shop>) -> Option<String> {
        let output = self.state(&format!("{state}.out"));
        let printed = std::fs::File::create(&output).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        let _ = command
            .args(["--exact", "prune::processes::child", "--nocapture", "--test-threads=1"])
            .env(WORK, work)
            .env(REPOSITORY, self.vault.repository())
            .env(STATE, self.state(state))
            .stdout(printed.try_clone().unwrap())
            .stderr(printed);
        if let Some(shop) = shop {
            let _ = command.env(SHOP, shop.path());
        }
        let child = command.spawn().unwrap();
        let pid = child.id();
        self.alive.lock().unwrap().push(child);
        let status = loop {
            std::thread::sleep(Duration::from_millis(5));
            // Under the lock, so that no signal goes to a process that is not ours any more.
            let mut alive = self.alive.lock().unwrap();
            let at = alive.iter().position(|child| child.id() == pid).unwrap();
            if let Some(status) = alive[at].try_wait().unwrap() {
                let mut child = alive.remove(at);
                let _ = child.wait();
                break status;
            }
        };
        let outcome = match (status.success(), status.code()) {
            (true, _) => "done",
            (_, None) => "killed",
            _ => "failed",
        };
        let kind = work.split(' ').next().unwrap();
        self.tally.add(format!("{kind} {outcome}"), 1);
        let printed = std::fs::read_to_string(&output).unwrap();
        if outcome == "failed" {
            println!("{work}: {printed}");
        }
        status.success().then_some(printed)
    }

    fn back_up(&self, number: usize) {
        let (shop, state) = (Shop::open(), format!("state-{number}"));
        while !self.is_over.load(Ordering::Relaxed) {
            shop.sell(1 + self.draw(20) as usize);
            let content = shop.content();
            let printed = self.run("backup", &state, Some(&shop));
            let id = printed.and_then(|text| {
                text.lines().find_map(|line| line.strip_prefix("snapshot ")?.parse().ok())
            });
            if let Some(id) = id {
                let promise = Promise { id, content, is_forgotten: false };
                self.promises.lock().unwrap().push(promise);
            }
        }
    }

    fn forget_and_prune(&self) {
        let repo = self.open("state-forget");
        while !self.is_over.load(Ordering::Relaxed) {
            let oldest = {
                let mut promises = self.promises.lock().unwrap();
                let kept = promises.iter().filter(|promise| !promise.is_forgotten).count();
                let at = self.draw(promises.len().max(1) as u64) as usize;
                match promises.get_mut(at) {
                    Some(promise) if kept > 3 && !promise.is_forgotten => {
                        promise.is_forgotten = true;
                        Some(promise.id)
                    }
                    _ => None,
                }
            };
            if let Some(id) = oldest {
                let _ = marks::forget(&repo, id, "").unwrap();
            }
            let _ = self.run("prune", "state-prune", None);
        }
    }

    fn restore(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let chosen = {
                let promises = self.promises.lock().unwrap();
                let kept: Vec<_> = promises.iter().filter(|one| !one.is_forgotten).collect();
                kept.get(self.draw(kept.len().max(1) as u64) as usize)
                    .map(|promise| (promise.id, promise.content.clone()))
            };
            match chosen {
                Some((id, content)) => self.restore_one("state-restore", id, &content),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn restore_one(&self, state: &str, id: SnapshotId, content: &Content) {
        let work = format!("restore {id}");
        let target = self.state(state).join(format!("target-{id}"));
        let done = self.run(&work, state, None).is_some();
        let is_kept = || {
            let promises = self.promises.lock().unwrap();
            promises.iter().any(|promise| promise.id == id && !promise.is_forgotten)
        };
        if done && is_kept() {
            assert!(shop::restored(&target) == *content, "{id} came back differently");
        }
        let _ = std::fs::remove_dir_all(target);
    }

    /// Stops, wakes and kills until the time is over.
    fn torment(&self, until: Instant) {
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10 + self.draw(60)));
            let alive = self.alive.lock().unwrap();
            let Some(child) = alive.get(self.draw(alive.len().max(1) as u64) as usize) else {
                continue;
            };
            let pid = Pid::from_child(child);
            match self.draw(8) {
                0 => {
                    let _ = kill_process(pid, Signal::KILL);
                    self.tally.add("signals: killed", 1);
                }
                1..=3 => {
                    let _ = kill_process(pid, Signal::STOP);
                    self.tally.add("signals: stopped", 1);
                }
                _ => {
                    wake(&alive);
                }
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        wake(&self.alive.lock().unwrap());
    }

    fn open(&self, state: &str) -> Repository {
        open(&self.vault.repository(), &self.state(state))
    }

    /// All that was reported and not forgotten comes back, before and after one more prune.
    fn assert_promises(&self) {
        let repo = self.open("state-last");
        for round in 0..2 {
            let snapshots = repo.snapshots().unwrap().snapshots;
            for promise in self.promises.lock().unwrap().iter().filter(|one| !one.is_forgotten) {
                let snapshot = snapshots.iter().find(|snapshot| snapshot.id == promise.id);
                let snapshot = snapshot.unwrap_or_else(|| panic!("{} is gone", promise.id));
                let (content, is_whole) = shop::restore(&repo, snapshot).unwrap();
                assert!(is_whole && content == promise.content, "{}: {round}", promise.id);
            }
            let _ = prune(&repo, &AT_ONCE, &Silent).expect("the last prune works");
        }
    }
}

fn wake(children: &[Child]) {
    for child in children {
        let _ = kill_process(Pid::from_child(child), Signal::CONT);
    }
}

fn open(repository: &Path, state: &Path) -> Repository {
    let backend = LocalBackend::open(Arc::new(RealDisk), repository);
    shop::open(Arc::new(backend.unwrap()), state).unwrap()
}

#[test]
fn processes_that_are_stopped_and_killed_lose_nothing_that_was_reported() {
    let vault = Vault::absent();
    vault.init(steady()).unwrap();
    let world = World {
        vault,
        folder: tempfile::tempdir_in(shop::scratch()).unwrap(),
        promises: Mutex::default(),
        alive: Mutex::default(),
        is_over: AtomicBool::new(false),
        random: AtomicU64::new(u64::from(std::process::id())),
        tally: Tally::default(),
    };
    let seconds = told(SECONDS).and_then(|text| text.parse().ok()).unwrap_or(SECONDS_USUALLY);
    let until = Instant::now() + Duration::from_secs(seconds);

    std::thread::scope(|scope| {
        let world = &world;
        let _threads = [
            scope.spawn(move || world.back_up(1)),
            scope.spawn(move || world.back_up(2)),
            scope.spawn(move || world.forget_and_prune()),
            scope.spawn(move || world.restore()),
            scope.spawn(move || world.torment(until)),
        ];
    });

    world.assert_promises();
    world.tally.add("snapshots reported", world.promises.lock().unwrap().len() as u64);
    world.tally.print("processes:");
}

/// How a restore ends that finds its snapshot gone, or going.
const GONE: i32 = 3;

/// Does nothing, except in a process that the test started.
#[test]
fn child() {
    let Some(work) = told(WORK) else { return };
    let told = |name| told(name).expect("the parent tells it all");
    let (repository, state) = (PathBuf::from(told(REPOSITORY)), PathBuf::from(told(STATE)));
    let repo = open(&repository, &state);
    match work.split_once(' ') {
        Some((_, id)) => {
            let id: SnapshotId = id.parse().unwrap();
            let snapshots = repo.snapshots().unwrap().snapshots;
            let snapshot = snapshots.iter().find(|snapshot| snapshot.id == id);
            let target = state.join(format!("target-{id}"));
            let restored = snapshot.map(|one| shop::restore_into(&repo, one, &target).unwrap());
            // It was forgotten meanwhile; of those that were not, the parent sees it at the end.
            if !restored.is_some_and(|report| report.is_complete()) {
                std::process::exit(GONE);
            }
        }
        None if work == "prune" => {
            let _ = prune(&repo, &AT_ONCE, &Silent).unwrap();
        }
        None => {
            let shop = Shop::at(Path::new(&told(SHOP)));
            let report = shop.back_up(&repo).unwrap();
            assert!(report.is_complete());
            println!("\nsnapshot {}", report.snapshot.unwrap().id);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how a test process is told its part")]
fn told(name: &str) -> Option<String> {
    env::var(name).ok()
}
