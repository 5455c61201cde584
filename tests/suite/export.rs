//! Exports: what comes back from them, with and without us, and what is refused.

#[path = "export/hostile.rs"]
mod hostile;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use stillpoint::{
    clock::{SystemClock, SystemEntropy},
    disk::{Disk, RealDisk, Uninterrupted, scratch::Scratch},
    format::record::{PartContent, Storage, Trigger},
    ops::{
        self, backup,
        event::Silent,
        export,
        moment::PartAt,
        unpack::{Export, Imported, Terms, imported},
    },
    repo::{Repository, check::Depth},
};
use zeroize::Zeroizing;

use crate::{
    harness::{
        Tally, crash,
        faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
        in_parallel,
        vault::{Failure, Vault, steady},
        work::{Work, World},
    },
    shop::{self, Content, program},
};

const EXPORT: &str = "export.zip";
const TARGET: &str = "unpacked";
/// Every so many-th import that was hit is followed by a check of every chunk.
const CHECK_EVERY: usize = 16;

/// Does one of [`Work::EXPORTS`].
pub fn work(work: Work, disk: impl Disk + 'static, vault: &Vault) -> Result<(), Failure> {
    let told = |error: ops::Error| ops::with_causes(&error);
    match work {
        Work::Export => {
            make(&vault.open(disk)?, &vault.target("again.zip"), None).map(drop).map_err(told)
        }
        Work::Unpack => {
            restore(Arc::new(disk), (&vault.target(EXPORT), None), &vault.target(TARGET))
                .map_err(told)
        }
        _ => match import(&vault.open(disk)?, &vault.target(EXPORT)).map_err(told)? {
            report if report.is_complete() => Ok(()),
            report => Err(format!("reported as incomplete: {:?}", report.failed)),
        },
    }
}

fn passphrase(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

/// Exports the newest snapshot.
fn make(
    repo: &Repository,
    output: &Path,
    secret: Option<&str>,
) -> Result<export::Report, ops::Error> {
    let snapshots = repo.snapshots()?.snapshots;
    let snapshot = snapshots.last().unwrap();
    let parts: Vec<_> =
        snapshot.record.parts.iter().map(|part| PartAt { snapshot, part }).collect();
    let request = export::Request {
        output: output.to_owned(),
        passphrase: secret.map(passphrase),
        scratch: repo.state_path().to_owned(),
        min_free_bytes: 0,
    };
    export::run(repo, &parts, &request, &Silent)
}

fn terms(disk: Arc<dyn Disk>, stop: &AtomicBool, place: PathBuf) -> Terms<'_> {
    Terms {
        disk,
        clock: &SystemClock,
        entropy: &SystemEntropy,
        stop,
        observer: &Silent,
        place,
        min_free_bytes: 0,
    }
}

fn restore(
    disk: Arc<dyn Disk>,
    (file, secret): (&Path, Option<&str>),
    target: &Path,
) -> Result<(), ops::Error> {
    let stop = AtomicBool::new(false);
    let terms = terms(disk, &stop, target.to_owned());
    let secret = secret.map(passphrase);
    let export = Export::open(&terms, file)?;
    export.restore(&terms, secret.as_ref(), &BTreeSet::new()).map(drop)
}

fn check(file: &Path, secret: Option<&str>) -> Result<(), ops::Error> {
    let stop = AtomicBool::new(false);
    let terms = terms(Arc::new(RealDisk), &stop, PathBuf::new());
    let secret = secret.map(passphrase);
    Export::open(&terms, file)?.check(&terms, secret.as_ref()).map(drop)
}

fn import(repo: &Repository, file: &Path) -> Result<backup::Report, ops::Error> {
    let env = repo.environment();
    let terms = terms(Arc::clone(&env.disk), &env.stop, repo.state_path().to_owned());
    let (manifest, scratch) = Export::open(&terms, file)?.unpack(&terms, None)?;
    let Imported { sets, origins, app_version } = imported(&terms, &manifest, &scratch)?;
    let request = backup::Request {
        configured: sets.iter().map(|set| (set.name.clone(), set.kind())).collect(),
        sets,
        storage: Storage::Incremental,
        trigger: Trigger::Import,
        actor: String::new(),
        station: String::new(),
        name: String::new(),
        note: String::new(),
        tags: Vec::new(),
        environment: Vec::new(),
        app_version,
        config: String::new(),
        host: String::new(),
        // A process that another test is just starting holds our locks for a moment.
        wait: std::time::Duration::from_secs(10),
        min_free_bytes: 0,
        program: program(),
        own: Vec::new(),
        origins,
    };
    backup::run(repo, &request, &Silent)
}

/// A vault with two snapshots, an export of the newest, and what that holds.
fn scene() -> (World, Vault, Content) {
    let world = World::new();
    let vault = world.vault_for(Work::Restore);
    let _ = make(&vault.open(steady()).unwrap(), &vault.target(EXPORT), None).unwrap();
    let content = world.shop.content();
    (world, vault, content)
}

fn steady_disk() -> Arc<dyn Disk> {
    Arc::new(Uninterrupted(RealDisk))
}

#[test]
fn what_was_exported_comes_back_without_a_repository() {
    let (_world, vault, content) = scene();
    for secret in [None, Some("of its own")] {
        let (file, target) = (vault.target("out.zip"), vault.target("back"));
        let _ = make(&vault.open(steady()).unwrap(), &file, secret).unwrap();

        restore(steady_disk(), (&file, secret), &target).unwrap();

        assert_eq!(shop::restored(&target), content);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "something is left beside");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(file).unwrap();
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn an_export_becomes_a_snapshot_again() {
    let (_world, vault, content) = scene();
    let repo = vault.open(steady()).unwrap();

    assert!(import(&repo, &vault.target(EXPORT)).unwrap().is_complete());

    let snapshots = repo.snapshots().unwrap().snapshots;
    let imported = snapshots.last().unwrap();
    assert_eq!((snapshots.len(), imported.record.trigger), (3, Trigger::Import));
    let target = vault.target("back");
    assert!(shop::restore_into(&repo, imported, &target).unwrap().is_complete());
    assert_eq!(shop::restored(&target), content);
    assert!(rooms(&vault).is_empty());
    // It belongs where the original does, and no room of plaintext is remembered.
    let original = &snapshots[1].record.parts;
    for (part, original) in imported.record.parts.iter().zip(original) {
        assert_eq!((&part.name, &part.sources), (&original.name, &original.sources));
        if let (PartContent::Tree { path, .. }, PartContent::Tree { path: before, .. }) =
            (&part.content, &original.content)
        {
            assert_eq!(path, before);
        }
    }
}

#[test]
fn common_tools_open_an_export_and_find_it_whole() {
    let (_world, vault, content) = scene();
    let (file, target) = (vault.target(EXPORT), vault.target("by-python"));

    run("python3", &["-c", PYTHON, file.to_str().unwrap(), target.to_str().unwrap()]);
    run("sh", &["-c", &format!("cd '{}' && {BY_HAND}", target.display())]);
    assert_eq!(shop::rows(&target.join("databases/pos.db")), {
        let mut rows = content.clone();
        rows.retain(|name, _| name.starts_with("sale "));
        rows
    });
    let sum = format!(
        "test $(head -c -64 '{0}' | sha256sum | head -c 64) = $(tail -c 64 '{0}')",
        file.display()
    );
    run("sh", &["-c", &sum]);
}

const PYTHON: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as export:
    assert export.testzip() is None
    export.extractall(sys.argv[2])
";
const BY_HAND: &str = "sha256sum --quiet --check SHA256SUMS && gunzip databases/*.gz";

#[test]
fn seven_zip_opens_an_encrypted_export_with_its_passphrase_only() {
    let (_world, vault, content) = scene();
    let (file, target) = (vault.target("secret.zip"), vault.target("by-7z"));
    let _ = make(&vault.open(steady()).unwrap(), &file, Some("horse 7")).unwrap();
    let (file, into) = (file.to_str().unwrap(), format!("-o{}", target.display()));

    run("7z", &["x", "-bd", "-y", "-phorse 7", &into, file]);
    run("sh", &["-c", &format!("cd '{}' && {BY_HAND}", target.display())]);

    let listed = Command::new("7z").args(["l", "-slt", file]).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("Method = AES-256") && !listed.contains("ZipCrypto"), "{listed}");
    let wrong = Command::new("7z").args(["t", "-bd", "-pwrong", file]).output().unwrap();
    assert!(!wrong.status.success());
    assert_eq!(
        shop::tree(&target.join("files/files")).len()
            + shop::rows(&target.join("databases/pos.db")).len(),
        content.len()
    );
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program}: {words}{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Rooms of plaintext that are still there.
fn rooms(vault: &Vault) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![vault.path().to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name().to_string_lossy().starts_with(".tmp-room-") {
                    found.push(entry.path());
                }
                ahead.push(entry.path());
            }
        }
    }
    found
}

/// Panics unless what is there is whole, nothing is left behind for long, and it works again.
fn assert_survived(
    work: Work,
    vault: &Vault,
    content: &Content,
    (reported, is_checked): (bool, bool),
) {
    let again = vault.target("again.zip");
    match work {
        Work::Export => {
            assert!(!reported || again.exists());
            if again.exists() {
                check(&again, None).expect("what has its name is whole");
                fs::remove_file(&again).unwrap();
            }
        }
        Work::Unpack => {
            let target = vault.target(TARGET);
            let [files, database] = ["files", "pos.db"].map(|name| target.join(name));
            assert!(!reported || (files.exists() && database.exists()));
            if files.exists() {
                let found = shop::tree(&files);
                assert!(found.iter().all(|(name, what)| content.get(name) == Some(what)));
                fs::remove_dir_all(files).unwrap();
            }
            if database.exists() {
                let found = shop::rows(&database);
                assert!(found.iter().all(|(name, what)| content.get(name) == Some(what)));
                fs::remove_file(database).unwrap();
            }
        }
        _ => {
            let repo = vault.open(steady()).unwrap();
            let snapshots = repo.snapshots().unwrap();
            assert!(snapshots.damaged.is_empty());
            let count = snapshots.snapshots.len();
            assert!((2..=3).contains(&count) && (count == 3 || !reported), "{count}");
        }
    }
    self::work(work, steady(), vault).expect("it works the next time");
    for room in rooms(vault) {
        // A process that another test is just starting may have held its lock for a moment.
        let below = room.parent().unwrap();
        drop(Scratch::create(&RealDisk, &SystemEntropy, below).unwrap());
    }
    assert!(rooms(vault).is_empty(), "plaintext is left behind");
    if is_checked {
        let report = vault.check(Depth::Data).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}

#[test]
fn a_kill_at_any_step_leaves_no_half_export_and_no_plaintext() {
    let (world, vault, content) = scene();
    let tally = Tally::default();
    for work in Work::EXPORTS {
        let counting = FaultyDisk::counting();
        self::work(work, counting.clone(), &vault.copied()).unwrap();
        let steps = counting.calls(Class::Write);
        crash::at_every_step(work, (&vault, &world.shop), steps, &tally, |piece, vault| {
            let is_checked = work == Work::Import && piece % CHECK_EVERY == 0;
            assert_survived(work, vault, &content, (false, is_checked));
        });
    }
    tally.print("killed over exports:");
}

#[test]
fn an_error_at_any_call_leaves_no_half_export_and_no_plaintext() {
    use rustix::io::Errno;
    let (_world, vault, content) = scene();
    let tally = Tally::default();
    for work in Work::EXPORTS {
        let counting = FaultyDisk::counting();
        self::work(work, Uninterrupted(counting.clone()), &vault.copied()).unwrap();
        let mut plans = Vec::new();
        for (class, kinds) in [
            (Class::Write, &[Kind::Error(Errno::IO), Kind::Error(Errno::NOSPC), Kind::Short][..]),
            (Class::Read, &[Kind::Error(Errno::IO), Kind::Short]),
        ] {
            for call in 1..=counting.calls(class) {
                plans.extend(kinds.iter().map(|&kind| {
                    let times = if call % 4 == 0 { Times::ForEver } else { Times::Once };
                    Plan { class, call, kind, times }
                }));
            }
        }
        in_parallel(plans.len(), |piece| {
            let (vault, disk) = (vault.copied(), FaultyDisk::new(plans[piece]));
            let ended = self::work(work, Uninterrupted(disk.clone()), &vault);
            if disk.injected() == 0 {
                return;
            }
            let is_checked = work == Work::Import && piece % (CHECK_EVERY * 4) == 0;
            assert_survived(work, &vault, &content, (ended.is_ok(), is_checked));
            let outcome = if ended.is_ok() { "survived unnoticed" } else { "reported" };
            tally.add(format!("{work:?} {outcome}"), 1);
            tally.add("errors injected", disk.injected());
        });
    }
    tally.print("errors over exports:");
}
