//! The real code in thousands of orders of steps: every call of the backend waits for its turn, and
//! a seed decides whose turn it is, and who is killed. Spec: `format-spec/70-write-order.md`.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::AT_ONCE;
use crate::{
    backend::{self, Backend, Folder, Listing, ObjectName, memory::MemoryBackend},
    clock::{Clock, SystemEntropy, UnixNanos},
    disk::RealDisk,
    id::SnapshotId,
    repo::{
        Environment, Error, Lock, Repository, marks, prune,
        state::State,
        tests::{Fixture, KEY, commit_chunks, plain},
    },
};

const SCHEDULES: u64 = 300;
/// Of so many turns one ends in the death of whose turn it is.
const KILL_ONE_IN: u64 = 500;
const CHUNKS: u64 = 8;

/// Gives turns to actors, one call of the backend at a time.
#[derive(Debug)]
struct Stage {
    state: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Debug)]
struct Turns {
    random: u64,
    /// For each actor: calls that wait; nothing once it has left.
    waiting: Vec<Option<usize>>,
    killed: Vec<bool>,
    granted: Option<usize>,
    is_busy: bool,
    kills: u64,
    turns: u64,
}

impl Stage {
    fn new(seed: u64, actors: usize) -> Arc<Self> {
        let state = Turns {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            waiting: vec![Some(0); actors],
            killed: vec![false; actors],
            granted: None,
            is_busy: false,
            kills: 0,
            turns: 0,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Waits for a turn and does the call in it. A dead actor does nothing any more.
    fn turn<T>(
        &self,
        actor: usize,
        call: impl FnOnce() -> Result<T, backend::Error>,
    ) -> Result<T, backend::Error> {
        let mut turns = self.state.lock().unwrap();
        *turns.waiting[actor].as_mut().unwrap() += 1;
        self.next(&mut turns);
        while turns.granted != Some(actor) && !turns.killed[actor] {
            turns = self.changed.wait(turns).unwrap();
        }
        *turns.waiting[actor].as_mut().unwrap() -= 1;
        if turns.killed[actor] {
            turns.granted = turns.granted.filter(|granted| *granted != actor);
            self.next(&mut turns);
            return Err(dead());
        }
        (turns.granted, turns.is_busy) = (None, true);
        drop(turns);
        let done = call();
        let mut turns = self.state.lock().unwrap();
        turns.is_busy = false;
        self.next(&mut turns);
        done
    }

    /// Decides whose turn is next, once all who are alive wait for one.
    fn next(&self, turns: &mut Turns) {
        let all_wait = turns.waiting.iter().all(|waiting| *waiting != Some(0));
        if turns.is_busy || turns.granted.is_some() || !all_wait {
            return;
        }
        let alive: Vec<_> =
            (0..turns.waiting.len()).filter(|a| turns.waiting[*a].is_some()).collect();
        if alive.is_empty() {
            return;
        }
        let actor = alive[turns.draw(alive.len() as u64) as usize];
        turns.turns += 1;
        if turns.draw(KILL_ONE_IN) == 0 {
            turns.killed[actor] = true;
            turns.kills += 1;
        } else {
            turns.granted = Some(actor);
        }
        self.changed.notify_all();
    }

    /// The actor comes back to life; returns whether it was dead.
    fn revive(&self, actor: usize) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().killed[actor])
    }

    fn leave(&self, actor: usize) {
        let mut turns = self.state.lock().unwrap();
        turns.waiting[actor] = None;
        self.next(&mut turns);
    }

    fn draw(&self, below: u64) -> u64 {
        self.state.lock().unwrap().draw(below)
    }
}

impl Turns {
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }
}

fn dead() -> backend::Error {
    let (what, place) = ("anything".to_owned(), "the grave".to_owned());
    backend::Error::Io { action: "do", what, place, source: std::io::ErrorKind::Other.into() }
}

/// The backend as one actor has it.
struct Staged {
    inner: MemoryBackend,
    stage: Arc<Stage>,
    actor: usize,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {}", self.actor)
    }
}

impl Backend for Staged {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), backend::Error> {
        self.stage.turn(self.actor, || self.inner.put_new(name, pieces))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, backend::Error> {
        self.stage.turn(self.actor, || self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, backend::Error> {
        self.stage.turn(self.actor, || self.inner.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<u64, backend::Error> {
        self.stage.turn(self.actor, || self.inner.size(name))
    }

    fn list(&self, folder: Folder) -> Result<Listing, backend::Error> {
        self.stage.turn(self.actor, || self.inner.list(folder))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), backend::Error> {
        self.stage.turn(self.actor, || self.inner.delete(name))
    }

    fn free_bytes(&self) -> Result<Option<u64>, backend::Error> {
        Ok(None)
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// Time passes only where somebody sleeps, and then at once.
#[derive(Default)]
struct PatientClock(AtomicU64);

impl Clock for PatientClock {
    fn now(&self) -> UnixNanos {
        i64::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {
        let _ = self.0.fetch_add(10_000_000_000, Ordering::Relaxed);
    }
}

/// What was reported to whoever asked.
#[derive(Default)]
struct Promises(Mutex<BTreeMap<SnapshotId, Promise>>);

struct Promise {
    chunks: Vec<u64>,
    is_forgotten: bool,
}

impl Promises {
    /// One of the snapshots that are forgotten, or are not.
    fn any(&self, stage: &Stage, is_forgotten: bool) -> Option<(SnapshotId, Vec<u64>)> {
        let promises = self.0.lock().unwrap();
        let such: Vec<_> =
            promises.iter().filter(|(_, promise)| promise.is_forgotten == is_forgotten).collect();
        // The last one that is not forgotten stays.
        let least = if is_forgotten { 1 } else { 2 };
        (such.len() >= least).then(|| {
            let (id, promise) = such[stage.draw(such.len() as u64) as usize];
            (*id, promise.chunks.clone())
        })
    }

    fn set_forgotten(&self, id: SnapshotId, is_forgotten: bool) {
        self.0.lock().unwrap().get_mut(&id).unwrap().is_forgotten = is_forgotten;
    }

    fn is_kept(&self, id: SnapshotId) -> bool {
        !self.0.lock().unwrap()[&id].is_forgotten
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    BackUp,
    Prune,
    Forget,
    Restore,
}

const ROLES: [Role; 6] =
    [Role::BackUp, Role::BackUp, Role::Prune, Role::Prune, Role::Forget, Role::Restore];

/// One actor: a machine of its own, with its own state folder.
struct Actor<'a> {
    stage: &'a Arc<Stage>,
    number: usize,
    env: Environment,
    promises: &'a Promises,
    outcomes: &'a Mutex<BTreeMap<String, u64>>,
}

impl Actor<'_> {
    fn play(&self, role: Role) {
        for _ in 0..3 {
            let done =
                Repository::open(self.env.clone(), &KEY).and_then(|repo| self.act(&repo, role));
            let outcome = match done {
                Ok(()) => "done".to_owned(),
                Err(_) if self.stage.revive(self.number) => "killed".to_owned(),
                Err(Error::Condemned { .. }) => "withdrawn".to_owned(),
                Err(Error::TooLate { .. }) => "too late".to_owned(),
                Err(error) => error.to_string(),
            };
            *self.outcomes.lock().unwrap().entry(format!("{role:?}: {outcome}")).or_default() += 1;
        }
        let _ = self.stage.revive(self.number);
        self.stage.leave(self.number);
    }

    fn act(&self, repo: &Repository, role: Role) -> Result<(), Error> {
        match role {
            Role::BackUp => {
                let count = 1 + self.stage.draw(4);
                let chunks: Vec<_> = (0..count).map(|_| self.stage.draw(CHUNKS)).collect();
                let plains: Vec<_> = chunks.iter().map(|number| plain(*number, 300)).collect();
                let snapshot = commit_chunks(repo, &plains)?;
                let promise = Promise { chunks, is_forgotten: false };
                let _ = self.promises.0.lock().unwrap().insert(snapshot.id, promise);
                Ok(())
            }
            Role::Prune => prune::prune(repo, &AT_ONCE, &mut |_| ()).map(drop),
            Role::Forget if self.stage.draw(3) == 0 => {
                let Some((id, _)) = self.promises.any(self.stage, true) else { return Ok(()) };
                if marks::undelete(repo, id)? > 0 {
                    self.promises.set_forgotten(id, false);
                }
                Ok(())
            }
            Role::Forget => {
                let Some((id, _)) = self.promises.any(self.stage, false) else { return Ok(()) };
                self.promises.set_forgotten(id, true);
                marks::forget(repo, id, "").map(drop)
            }
            Role::Restore => {
                let Some((id, chunks)) = self.promises.any(self.stage, false) else {
                    return Ok(());
                };
                let restored = restore(repo, id, &chunks);
                match restored {
                    // What was forgotten meanwhile may go while it is read.
                    Err(_) if !self.promises.is_kept(id) => Ok(()),
                    other => other,
                }
            }
        }
    }
}

fn restore(repo: &Repository, id: SnapshotId, chunks: &[u64]) -> Result<(), Error> {
    let snapshots = repo.snapshots()?.snapshots;
    if !snapshots.iter().any(|snapshot| snapshot.id == id) {
        return Err(prune::refused(format!("snapshot {id} is not listed")));
    }
    let fetch = repo.fetcher()?;
    for number in chunks {
        let expected = plain(*number, 300);
        assert_eq!(*fetch.get(&repo.keys().chunk_id(&expected))?, expected[..]);
    }
    Ok(())
}

/// An environment whose index is kept in memory: somebody else holds the one on disk.
pub fn environment(backend: Arc<dyn Backend>, folder: &tempfile::TempDir) -> Environment {
    Environment {
        backend,
        disk: Arc::new(RealDisk),
        clock: Arc::new(PatientClock(AtomicU64::new(1_000_000_000))),
        entropy: Arc::new(SystemEntropy),
        state_root: folder.path().to_owned(),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// Holds the lock of the index, so that it stays in memory.
pub fn hold_index(env: &Environment, repo: &Repository) -> Lock {
    let state = State::open(env, repo.id()).unwrap();
    state.lock(env, "index.lock", Duration::ZERO).unwrap().unwrap()
}

/// Plays one schedule; returns turns and kills.
fn play(base: &MemoryBackend, seed: u64, outcomes: &Mutex<BTreeMap<String, u64>>) -> (u64, u64) {
    let backend = base.copied();
    let stage = Stage::new(seed, ROLES.len());
    let promises = Promises::default();
    let folders = ROLES.map(|_| tempfile::tempdir_in("/dev/shm").unwrap());
    let first =
        Repository::open(environment(Arc::new(backend.clone()), &folders[0]), &KEY).unwrap();
    let _locks = folders
        .each_ref()
        .map(|folder| hold_index(&environment(Arc::new(backend.clone()), folder), &first));
    for numbers in [[0, 1], [1, 2], [3, 4]] {
        let plains: Vec<_> = numbers.iter().map(|number| plain(*number, 300)).collect();
        let id = commit_chunks(&first, &plains).unwrap().id;
        let promise = Promise { chunks: numbers.to_vec(), is_forgotten: false };
        let _ = promises.0.lock().unwrap().insert(id, promise);
    }
    std::thread::scope(|scope| {
        for (number, role) in ROLES.into_iter().enumerate() {
            let staged = Staged { inner: backend.clone(), stage: stage.clone(), actor: number };
            let env = environment(Arc::new(staged), &folders[number]);
            let actor = Actor { stage: &stage, number, env, promises: &promises, outcomes };
            let _actor = scope.spawn(move || actor.play(role));
        }
    });
    assert_promises(&backend, &promises, seed);
    let turns = stage.state.lock().unwrap();
    (turns.turns, turns.kills)
}

/// All that was reported and not forgotten is there, also after one more prune.
fn assert_promises(backend: &MemoryBackend, promises: &Promises, seed: u64) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let env = environment(Arc::new(backend.clone()), &folder);
    let repo = Repository::open(env.clone(), &KEY).unwrap();
    let _lock = hold_index(&env, &repo);
    for round in ["before", "after"] {
        for (id, promise) in promises.0.lock().unwrap().iter() {
            if !promise.is_forgotten
                && let Err(error) = restore(&repo, *id, &promise.chunks)
            {
                panic!("seed {seed}: {id} is lost {round} the last prune: {error}");
            }
        }
        if let Err(error) = prune::prune(&repo, &AT_ONCE, &mut |_| ()) {
            panic!("seed {seed}: the last prune fails: {error}");
        }
    }
}

#[test]
fn no_schedule_of_backups_prunes_and_forgets_loses_a_snapshot() {
    let fixture = Fixture::new();
    let base = MemoryBackend::new();
    for folder in Folder::ALL {
        for listed in fixture.env.backend.list(folder).unwrap().objects {
            let bytes = fixture.env.backend.get(&listed.name, u64::MAX).unwrap();
            base.put_new(&listed.name, &[&bytes]).unwrap();
        }
    }
    let outcomes = Mutex::new(BTreeMap::new());
    let (next, turns, kills) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let _worker = scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SCHEDULES {
                        break;
                    }
                    let (more_turns, more_kills) = play(&base, seed, &outcomes);
                    let _ = turns.fetch_add(more_turns, Ordering::Relaxed);
                    let _ = kills.fetch_add(more_kills, Ordering::Relaxed);
                }
            });
        }
    });
    println!("{SCHEDULES} schedules of {turns:?} turns, {kills:?} kills");
    for (outcome, count) in outcomes.lock().unwrap().iter() {
        println!("  {outcome}: {count}");
    }
}
