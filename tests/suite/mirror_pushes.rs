//! What goes up when: packs while a backup still runs, and later snapshots beside one that is
//! damaged here.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use stillpoint::{
    backend::{Backend, Folder, ObjectName, memory::MemoryBackend},
    chunk::Store,
    disk::RealDisk,
    format::record::Storage,
    id::SnapshotId,
    ops::{
        backup,
        event::Silent,
        mirror::{Ledger, Made, Target, push, send_ahead},
        set::{FileContent, FileSet, Set, SetSource},
    },
    repo::{Repository, Snapshot, check, marks},
};

use crate::{
    cli::shop as program,
    harness::s3::{BUCKET, CREDENTIALS, S3Server},
    shop::{KEY, Shop, environment, open, pseudo_random, restore},
};

/// A repository in memory, and a mirror of it.
struct Scene {
    shop: Shop,
    here: MemoryBackend,
    there: MemoryBackend,
    repo: Repository,
    _state: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (here, there) = (MemoryBackend::new(), MemoryBackend::new());
        let state = tempfile::tempdir().unwrap();
        let env = environment(Arc::new(here.clone()), Arc::new(RealDisk), state.path());
        let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
        Self { shop: Shop::open(), here, there, repo, _state: state }
    }

    fn target(&self) -> Target {
        let backend: Arc<dyn Backend> = Arc::new(self.there.clone());
        Target { name: "away".to_owned(), backend, keep: None }
    }

    fn ledger(&self) -> Ledger {
        Ledger::load(&self.repo, "away", "elsewhere").unwrap()
    }

    fn names_there(&self, folder: Folder) -> BTreeSet<ObjectName> {
        self.there.names().into_iter().filter(|name| name.folder() == folder).collect()
    }

    /// Backs up these folders of the shop, each a part of its name.
    fn back_up(&self, parts: &[(&str, FileContent)]) -> Snapshot {
        let set = |(name, content): &(&str, FileContent)| {
            let paths = vec![self.shop.files().join(name)];
            let files = FileSet { paths, content: *content, ..FileSet::default() };
            Set { name: (*name).to_owned(), source: SetSource::Files(files) }
        };
        let mut request = self.shop.request(Storage::Incremental);
        request.sets = parts.iter().map(set).collect();
        backup::run(&self.repo, &request, &Silent).unwrap().snapshot.unwrap()
    }

    /// The snapshots that the mirror shows to a machine that has only the key; each comes back
    /// whole, and nothing there is damaged or missing.
    fn shown_there(&self) -> BTreeSet<SnapshotId> {
        let state = tempfile::tempdir().unwrap();
        let there = open(Arc::new(self.there.clone()), state.path()).unwrap();
        let mut findings = Vec::new();
        check::run(&there, check::Depth::Data, &mut |event| findings.push(event)).unwrap();
        findings.retain(|event| {
            !event.is_progress() && !matches!(event, check::CheckEvent::Note { .. })
        });
        assert_eq!(findings, []);
        let snapshots = there.snapshots().unwrap().snapshots;
        snapshots.iter().for_each(|one| assert!(restore(&there, one).unwrap().1));
        snapshots.iter().map(|snapshot| snapshot.id).collect()
    }
}

#[test]
fn packs_are_there_before_their_run_has_a_record_and_harm_nobody_if_it_never_has_one() {
    let scene = Scene::new();
    let writer = scene.repo.writer().unwrap();
    let made = Made::default();
    let ledger = Mutex::new(scene.ledger());

    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            assert!(made.wait_for_any());
            let mut ledger = ledger.lock().unwrap();
            send_ahead(&scene.repo, &scene.target(), &mut ledger, (&made, 2)).unwrap()
        });
        for round in 0..3 {
            let mut lane = writer.lane();
            for number in 0..4 {
                let _id = lane.put(&pseudo_random(round * 10 + number, 300_000)).unwrap();
            }
            lane.finish().unwrap();
            writer.flush().unwrap();
            made.add(writer.packs().last().unwrap().0.pack);
            // The run goes on when the mirror has it, as one does that reads for long.
            while scene.names_there(Folder::Packs).len() <= round as usize {
                std::thread::yield_now();
            }
        }
        made.end();
        sender.join().unwrap()
    });

    assert!(sent.bytes > 3 * 4 * 300_000, "{sent:?}");
    assert!(!scene.names_there(Folder::Descriptor).is_empty());
    assert!(scene.names_there(Folder::Snapshots).is_empty());
    scene.repo.abandon(writer).unwrap();
    drop(ledger);
    let snapshot = scene.shop.back_up(&scene.repo).unwrap().snapshot.unwrap();
    let early = scene.names_there(Folder::Packs);
    let _pushed = push(&scene.repo, &scene.target(), &mut scene.ledger(), &Silent).unwrap();
    assert_eq!(scene.shown_there(), BTreeSet::from([snapshot.id]));
    assert!(scene.names_there(Folder::Packs).is_superset(&early));
}

#[test]
fn a_backup_of_the_program_sends_each_pack_once_whether_ahead_or_not() {
    let (shop, server) = (program::Shop::open(), S3Server::start());
    shop.write("credentials", CREDENTIALS);
    let (url, credentials) = (server.url(), shop.path("credentials"));
    let place = ["mirror", "add", "away", "--kind", "s3", "--bucket", BUCKET, "--prefix", "pos"];
    let how = ["--endpoint", &url, "--credentials-file", credentials.to_str().unwrap()];
    assert_eq!(shop.run(place.iter().chain(&how)).code, Some(0));
    put(&shop.path("uploads/film"), &pseudo_random(1, 72_000_000));
    server.forget();

    let backup = shop.back_up(&["--json"]);

    assert_eq!(backup.code, Some(0), "{}", backup.err);
    let mirror = &backup.summary()["mirrors"][0];
    assert_eq!(mirror["state"], "complete");
    assert!(mirror["bytes_sent"].as_u64().unwrap() > 72_000_000, "{mirror}");
    let requests = server.requests();
    let begun: Vec<_> = requests
        .iter()
        .filter(|one| one.verb == "POST" && one.path.ends_with("?uploads="))
        .map(|one| one.path.clone())
        .collect();
    assert!(begun.len() >= 2, "{requests:?}");
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len());
    let looks = requests.iter().filter(|one| one.path.contains("prefix=pos%2Fdescriptor")).count();
    println!("{} large packs; sent ahead: {}", begun.len(), looks > 1);
    let place = format!("s3:{BUCKET}/pos?endpoint={url}&credentials={}", credentials.display());
    let mut check = shop.command(["check", "--read-data"]);
    let _ = check.env("STILLPOINT_REPO", place).env("STILLPOINT_STATE_DIR", shop.path("elsewhere"));
    let check = program::Ran::from(check.output().unwrap());
    assert_eq!(check.code, Some(0), "{}{}", check.out, check.err);
}

/// A snapshot that cannot go up has been looked into by then. What it shares with an older one was
/// once taken for sent, and the older one came to the mirror without it.
#[test]
fn a_snapshot_damaged_here_leaves_those_beside_it_whole_on_the_mirror() {
    const SETTINGS: (&str, FileContent) = ("settings", FileContent::Config);
    const GOODS: (&str, FileContent) = ("goods", FileContent::Files);
    let scene = Scene::new();
    for folder in ["settings", "goods"] {
        std::fs::create_dir(scene.shop.files().join(folder)).unwrap();
    }
    scene.shop.write("settings/till", &pseudo_random(1, 5_000));
    scene.shop.write("goods/list", &pseudo_random(2, 5_000));
    // The settings lie in a pack that nothing else is in, and no snapshot of them alone is left.
    let first = scene.back_up(&[SETTINGS]);
    let _marker = marks::forget(&scene.repo, first.id, "alone").unwrap();
    let second = scene.back_up(&[SETTINGS, GOODS]);
    let before = packs(&scene.here);
    scene.shop.write("goods/list", &pseudo_random(3, 5_000));
    let third = scene.back_up(&[SETTINGS, GOODS]);
    for lost in packs(&scene.here).difference(&before) {
        scene.here.delete(lost).unwrap();
    }
    let repo = open(Arc::new(scene.here.clone()), scene._state.path()).unwrap();

    let pushed = push(&repo, &scene.target(), &mut scene.ledger(), &Silent).unwrap();

    let damaged: Vec<_> = pushed.damaged.iter().map(|(id, _)| *id).collect();
    assert_eq!((damaged, pushed.snapshots), (vec![third.id], 1));
    assert_eq!(scene.shown_there(), BTreeSet::from([second.id]));
}

fn packs(backend: &MemoryBackend) -> BTreeSet<ObjectName> {
    backend.names().into_iter().filter(|name| name.folder() == Folder::Packs).collect()
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
