//! Restores in place, killed at every durable step and failing at every call: afterwards the shop
//! is wholly as it was before or wholly as it was saved, and its application runs.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::io::Errno;
use stillpoint::{
    disk::{Disk, Uninterrupted},
    format::record::Storage,
    ops::{
        backup,
        event::Silent,
        live::{self, Goal, Hooks, Installed, Occupants, Request},
        moment::PartAt,
        restore::Extra,
        with_causes,
    },
};

use crate::{
    harness::{
        Tally,
        faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
        in_parallel,
        vault::{Failure, Vault, copy_tree, steady},
    },
    shop::{self, Content, Shop, program, pseudo_random},
};

const FOLDER: &str = "STILLPOINT_TEST_LIVE_FOLDER";
const CALL: &str = "STILLPOINT_TEST_LIVE_CALL";
const WAY: &str = "STILLPOINT_TEST_LIVE_WAY";
/// Threads make the number of steps vary; so many more are tried.
const MORE_CALLS: u64 = 4;
/// Of the calls that do not write, every so many-th fails.
const READ_EVERY: u64 = 5;

/// Something that changes a shop in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Restore,
    /// The table of sales keeps its rows.
    RestoreButSales,
    /// Takes a restore back that succeeded.
    Undo,
    /// A snapshot, a command that spoils the shop, and all of it back.
    Guard,
}

impl Way {
    const ALL: [Self; 4] = [Self::Restore, Self::RestoreButSales, Self::Undo, Self::Guard];

    fn named(name: &str) -> Self {
        let way = Self::ALL.into_iter().find(|way| format!("{way:?}") == name);
        way.expect("the name of a way")
    }
}

/// A shop and its vault in one folder, so that both are copied together.
struct Scene {
    folder: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl Scene {
    fn empty() -> Self {
        let scratch = tempfile::tempdir_in(shop::scratch()).unwrap();
        Self { folder: scratch.path().canonicalize().unwrap(), _scratch: Some(scratch) }
    }

    fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _scratch: None }
    }

    /// A shop that was saved and has changed since in every way there is.
    fn after_a_day() -> (Self, Content) {
        let scene = Self::empty();
        let first = Shop::open();
        copy_tree(first.path(), &scene.shop_path());
        let (shop, vault) = (scene.shop(), scene.vault());
        fs::create_dir_all(vault.path()).unwrap();
        vault.init(steady()).unwrap();
        assert!(vault.back_up(steady(), &shop).unwrap().is_complete());
        let saved = shop.content();
        shop.sell(15);
        shop.write("a/file-1", &pseudo_random(77, 900));
        fs::remove_file(shop.files().join("a/file-2")).unwrap();
        fs::remove_file(shop.files().join("a/link")).unwrap();
        std::os::unix::fs::symlink("file-3", shop.files().join("a/link")).unwrap();
        fs::remove_dir_all(shop.files().join("a/b")).unwrap();
        fs::create_dir_all(shop.files().join("new/below")).unwrap();
        shop.write("new/below/file", b"made since");
        (scene, saved)
    }

    fn copied(&self) -> Self {
        let copy = Self::empty();
        copy_tree(&self.folder, &copy.folder);
        copy
    }

    fn shop_path(&self) -> PathBuf {
        self.folder.join("shop")
    }

    fn shop(&self) -> Shop {
        Shop::at(&self.shop_path())
    }

    fn vault(&self) -> Vault {
        Vault::at(&self.folder.join("vault"))
    }

    fn request(&self) -> Request {
        let hook = |word: &str| {
            let log = self.folder.join("application").display().to_string();
            let line = format!("echo {word} >> {log}");
            vec!["sh".to_owned(), "-c".to_owned(), line]
        };
        Request {
            sets: self.shop().sets(),
            extra: Extra::Delete,
            hooks: Hooks {
                before: hook("stopped"),
                after: hook("started"),
                migrate: Vec::new(),
                timeout: Duration::from_secs(60),
            },
            installed: Installed::default(),
            // Other users' processes may not be seen where tests run.
            occupants: Occupants::Assumed,
            safety: self.shop().request(Storage::Incremental),
            min_free_bytes: 0,
            program: program(),
            kept_tables: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Brings the oldest snapshot back in place.
    fn restore(&self, disk: impl Disk + 'static) -> Result<(), Failure> {
        self.restore_with(disk, &self.request())
    }

    fn restore_with(&self, disk: impl Disk + 'static, request: &Request) -> Result<(), Failure> {
        let repo = self.vault().open(disk)?;
        let told = |error: stillpoint::ops::Error| with_causes(&error);
        let snapshots = repo.snapshots().map_err(|error| with_causes(&error))?.snapshots;
        let snapshot = &snapshots[0];
        let parts = snapshot.record.parts.iter().map(|part| PartAt { snapshot, part });
        let goal = Goal { parts: parts.collect(), ..Goal::default() };
        live::run(&repo, &goal, request, &Silent).map(drop).map_err(told)
    }

    fn go(&self, way: Way, disk: impl Disk + 'static) -> Result<(), Failure> {
        let mut request = self.request();
        match way {
            Way::Restore => self.restore(disk),
            Way::RestoreButSales => {
                request.kept_tables = vec!["sale".to_owned()];
                self.restore_with(disk, &request)
            }
            Way::Undo => {
                let repo = self.vault().open(disk)?;
                live::undo(&repo, &request, &Silent).map(drop).map_err(|error| with_causes(&error))
            }
            Way::Guard => self.guard(disk, &request),
        }
    }

    fn guard(&self, disk: impl Disk + 'static, request: &Request) -> Result<(), Failure> {
        let told = |error: stillpoint::ops::Error| with_causes(&error);
        let repo = self.vault().open(disk)?;
        let report = backup::run(&repo, &request.safety, &Silent).map_err(told)?;
        let snapshot = report.snapshot.filter(|_| report.failed.is_empty());
        let snapshot = &snapshot.ok_or("nothing was saved")?;
        let shop = self.shop();
        shop.sell(5);
        shop.write("made-by-the-command", b"half a migration");
        fs::remove_file(shop.files().join("a/file-3")).unwrap();
        let spoiled = serde_json::to_vec(&shop.content()).unwrap();
        fs::write(self.folder.join("spoiled"), spoiled).unwrap();
        let parts = snapshot.record.parts.iter().map(|part| PartAt { snapshot, part });
        let goal = Goal { parts: parts.collect(), ..Goal::default() };
        live::run(&repo, &goal, request, &Silent).map(drop).map_err(told)
    }

    /// What the shop may be if the way did not come to its end.
    fn before(&self, way: Way, content: Content) -> Content {
        match fs::read(self.folder.join("spoiled")) {
            Ok(spoiled) if way == Way::Guard => serde_json::from_slice(&spoiled).unwrap(),
            _ => content,
        }
    }

    /// Does what every command does first.
    fn recover(&self) {
        let repo = self.vault().open(steady()).expect("the repository opens");
        let _ = live::recover(&repo, &Silent).expect("a dead restore is ended");
    }

    /// Backs up as the first command after a death: what it saves is one of the two, whole.
    fn assert_saves_a_moment(&self, (before, saved): (&Content, &Content)) {
        let repo = self.vault().open(steady()).expect("the repository opens");
        let report = self.shop().back_up(&repo).expect("the dead restore is ended first");
        let snapshot = report.snapshot.expect("a snapshot");
        let (content, is_whole) = shop::restore(&repo, &snapshot).unwrap();
        assert!(is_whole && (content == *before || content == *saved), "a mixture is saved");
    }

    /// Panics unless the shop is one of the two, whole, its application runs, and nothing is left.
    fn assert_whole(&self, (before, saved): (&Content, &Content), succeeded: bool) -> &'static str {
        let now = self.shop().content();
        let is_saved = now == *saved;
        if !is_saved || succeeded {
            let expected = if succeeded { saved } else { before };
            let names = expected.keys().chain(now.keys());
            let other: Vec<_> =
                names.filter(|name| expected.get(*name) != now.get(*name)).collect();
            assert!(other.is_empty(), "a mixture: {other:?}");
        }
        for folder in [self.shop_path(), self.shop().files()] {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let left = names.filter(|name| name.to_string_lossy().starts_with(".stillpoint"));
            assert_eq!(left.count(), 0, "something is left beside");
        }
        let log = fs::read_to_string(self.folder.join("application")).unwrap_or_default();
        assert_ne!(log.lines().last(), Some("stopped"), "the application does not run");
        if is_saved { "as saved" } else { "as before" }
    }
}

#[test]
fn a_kill_at_any_durable_step_leaves_no_mixture() {
    let (scene, saved) = Scene::after_a_day();
    let tally = Tally::default();
    let counting = FaultyDisk::counting();
    scene.copied().restore(counting.clone()).unwrap();
    let calls = counting.calls(Class::Write) + MORE_CALLS;
    in_parallel(usize::try_from(calls).unwrap(), |piece| {
        let copy = scene.copied();
        let before = copy.shop().content();
        if !killed_at(&copy, (Way::Restore, piece as u64 + 1)) {
            return;
        }
        // Some commands only look, others save what they find.
        match piece % 8 {
            4 => copy.assert_saves_a_moment((&before, &saved)),
            _ => copy.recover(),
        }
        let outcome = copy.assert_whole((&before, &saved), false);
        // What it was killed in does not stand in the way of the next one.
        if piece % 8 == 0 {
            copy.restore(steady()).unwrap();
            let _ = copy.assert_whole((&before, &saved), true);
        }
        tally.add(format!("killed, {outcome}"), 1);
    });
    tally.print("restores in place:");
}

/// Does nothing, except in a process that was started to die.
#[test]
fn child() {
    let Some(folder) = told(FOLDER) else { return };
    let call = told(CALL).and_then(|call| call.parse().ok()).unwrap();
    let plan = Plan { class: Class::Write, call, kind: Kind::Kill, times: Times::Once };

    let way = Way::named(&told(WAY).expect("the parent tells it all"));

    let done = Scene::at(Path::new(&folder)).go(way, Uninterrupted(FaultyDisk::new(plan)));

    assert_eq!(done, Ok(()));
}

#[expect(clippy::disallowed_methods, reason = "how a test process is told its part")]
fn told(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Goes a way that dies at the durable step of this number; whether it came so far.
fn killed_at(scene: &Scene, (way, call): (Way, u64)) -> bool {
    let mut command = Command::new(env::current_exe().unwrap());
    let _ = command
        .args(["--exact", "live_faults::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, &scene.folder)
        .env(WAY, format!("{way:?}"))
        .env(CALL, call.to_string());
    let output = command.output().unwrap();
    let was_killed = output.status.signal() == Some(9);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(was_killed || output.status.success(), "{errors}");
    was_killed
}

#[test]
fn half_a_restore_is_not_backed_up_while_somebody_works_on_it() {
    let (scene, saved) = Scene::after_a_day();
    let counting = FaultyDisk::counting();
    scene.copied().restore(counting.clone()).unwrap();
    let is_swapping = |scene: &Scene| {
        let states = fs::read_dir(scene.folder.join("vault/state")).unwrap();
        let mut journals = states.map(|state| state.unwrap().path().join("live.json"));
        journals.any(|journal| {
            fs::read_to_string(journal).is_ok_and(|text| text.contains("\"swapping\""))
        })
    };
    let half = (1..=counting.calls(Class::Write)).rev().find_map(|call| {
        let copy = scene.copied();
        let before = copy.shop().content();
        (killed_at(&copy, (Way::Restore, call)) && is_swapping(&copy)).then_some((copy, before))
    });
    let (half, before) = half.expect("a restore dies while things change places");
    // The application was started by somebody who did not know.
    let till = format!("exec 3<'{}'; echo; exec sleep 600", half.shop().database().display());
    let mut till = Command::new("sh")
        .args(["-c", &till])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let _ = std::io::Read::read(till.stdout.as_mut().unwrap(), &mut [0]).unwrap();

    let repo = half.vault().open(steady()).unwrap();
    let refused = half.shop().back_up(&repo).map_err(|error| with_causes(&error));
    till.kill().unwrap();
    let _ = till.wait().unwrap();

    let why = refused.expect_err("a mixture is not saved");
    assert!(why.contains("is in use by"), "{why}");
    half.assert_saves_a_moment((&before, &saved));
    let _ = half.assert_whole((&before, &saved), false);
}

#[test]
fn an_error_at_any_call_is_taken_back() {
    let (scene, saved) = Scene::after_a_day();
    let tally = Tally::default();
    let counting = FaultyDisk::counting();
    scene.copied().restore(counting.clone()).unwrap();
    let mut plans = Vec::new();
    for call in 1..=counting.calls(Class::Write) {
        let errno = [Errno::IO, Errno::NOSPC, Errno::ROFS][call as usize % 3];
        let times = if call % 4 == 0 { Times::ForEver } else { Times::Once };
        plans.push(Plan { class: Class::Write, call, kind: Kind::Error(errno), times });
    }
    for call in (1..=counting.calls(Class::Read)).step_by(READ_EVERY as usize) {
        let kind = Kind::Error(Errno::IO);
        plans.push(Plan { class: Class::Read, call, kind, times: Times::Once });
    }
    in_parallel(plans.len(), |piece| {
        let copy = scene.copied();
        let before = copy.shop().content();
        let disk = FaultyDisk::new(plans[piece]);

        let ended = copy.restore(Uninterrupted(disk.clone()));

        if disk.injected() == 0 {
            return;
        }
        assert_eq!(disk.synced_again(), 0, "{:?}", plans[piece]);
        copy.recover();
        let outcome = copy.assert_whole((&before, &saved), ended.is_ok());
        let told = if ended.is_ok() { "survived" } else { "reported" };
        tally.add(format!("{:?} error {told}, {outcome}", plans[piece].class), 1);
    });
    tally.print("restores in place:");
}

/// Where a way begins, and where it leads.
fn scene_of(way: Way) -> (Scene, Content) {
    let (scene, saved) = Scene::after_a_day();
    let day = scene.shop().content();
    match way {
        Way::Restore => (scene, saved),
        Way::RestoreButSales => {
            let is_sale = |name: &String| name.starts_with("sale ");
            let mut mixed: Content = saved.into_iter().filter(|(name, _)| !is_sale(name)).collect();
            mixed.extend(day.into_iter().filter(|(name, _)| is_sale(name)));
            (scene, mixed)
        }
        Way::Undo | Way::Guard => (scene, day),
    }
}

/// Of the steps of the other ways, which have most in common with a restore, every so many-th.
const STEP_EVERY: u64 = 3;

/// A copy of the scene, what it is, and what the way makes of it. An undo and a guard lead back to
/// where the copy began, whose times are its own.
fn begin(way: Way, scene: &Scene, leads_to: &Content) -> (Scene, Content, Content) {
    let copy = scene.copied();
    let day = copy.shop().content();
    if way == Way::Undo {
        copy.restore(steady()).unwrap();
    }
    let now = copy.shop().content();
    let end = if matches!(way, Way::Undo | Way::Guard) { day } else { leads_to.clone() };
    (copy, now, end)
}

fn dies_anywhere(way: Way) {
    let (scene, leads_to) = scene_of(way);
    let tally = Tally::default();
    let counting = FaultyDisk::counting();
    begin(way, &scene, &leads_to).0.go(way, counting.clone()).unwrap();
    let calls = (counting.calls(Class::Write) + MORE_CALLS) / STEP_EVERY;
    in_parallel(usize::try_from(calls).unwrap(), |piece| {
        let (copy, now, end) = begin(way, &scene, &leads_to);
        if !killed_at(&copy, (way, piece as u64 * STEP_EVERY + 1)) {
            return;
        }
        copy.recover();
        let before = copy.before(way, now);
        let outcome = copy.assert_whole((&before, &end), false);
        tally.add(format!("{way:?} killed, {}", words(outcome)), 1);
    });
    tally.print("in place:");
}

const fn words(outcome: &str) -> &str {
    match outcome.as_bytes() {
        b"as saved" => "at its end",
        _ => "as before",
    }
}

fn fails_anywhere(way: Way) {
    let (scene, leads_to) = scene_of(way);
    let tally = Tally::default();
    let counting = FaultyDisk::counting();
    begin(way, &scene, &leads_to).0.go(way, counting.clone()).unwrap();
    let calls = counting.calls(Class::Write) / STEP_EVERY;
    in_parallel(usize::try_from(calls).unwrap(), |piece| {
        let (copy, now, end) = begin(way, &scene, &leads_to);
        let kind = Kind::Error([Errno::IO, Errno::NOSPC, Errno::ROFS][piece % 3]);
        let times = if piece % 4 == 0 { Times::ForEver } else { Times::Once };
        let call = piece as u64 * STEP_EVERY + 2;
        let disk = FaultyDisk::new(Plan { class: Class::Write, call, kind, times });

        let ended = copy.go(way, Uninterrupted(disk.clone()));

        if disk.injected() == 0 {
            return;
        }
        copy.recover();
        let before = copy.before(way, now);
        let outcome = copy.assert_whole((&before, &end), ended.is_ok());
        let told = if ended.is_ok() { "survived" } else { "reported" };
        tally.add(format!("{way:?} error {told}, {}", words(outcome)), 1);
    });
    tally.print("in place:");
}

#[test]
fn an_undo_that_dies_or_fails_anywhere_leaves_no_mixture() {
    dies_anywhere(Way::Undo);
    fails_anywhere(Way::Undo);
}

#[test]
fn a_guard_that_dies_or_fails_anywhere_leaves_no_mixture() {
    dies_anywhere(Way::Guard);
    fails_anywhere(Way::Guard);
}

#[test]
fn a_restore_with_a_kept_table_dies_and_fails_like_any_other() {
    dies_anywhere(Way::RestoreButSales);
    fails_anywhere(Way::RestoreButSales);
}
