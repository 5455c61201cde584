use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    backend::{Folder, memory::MemoryBackend},
    chunk::Store,
    clock::{SystemClock, SystemEntropy},
    crypto::object::seal_object,
    disk::RealDisk,
    format::{
        envelope::Kind,
        image::{Image, Method},
        record::{DatabaseFacts, Part, PartContent, PartKind, Totals},
        stream::Stream,
        tombstone::Tombstone,
    },
    id::{ChunkId, ImageIdentity, ObjectId, PackId},
    limits::MIB,
};

/// A repository in memory, with a state folder that is gone after the test.
pub(super) struct Fixture {
    pub env: Environment,
    _state: tempfile::TempDir,
}

pub(super) const KEY: Credential = Credential::KeyFile([9; 32]);

impl Fixture {
    pub fn new() -> Self {
        Self::over(Arc::new(MemoryBackend::new()))
    }

    /// In this backend, which is empty.
    pub fn over(backend: Arc<dyn Backend>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let env = Environment {
            backend,
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            state_root: state.path().to_owned(),
            stop: Arc::new(AtomicBool::new(false)),
        };
        drop(Repository::create(env.clone(), &[(KEY, "key".to_owned())]).unwrap());
        Self { env, _state: state }
    }

    pub fn open(&self) -> Repository {
        Repository::open(self.env.clone(), &KEY).unwrap()
    }

    /// The same repository seen from a machine that never saw it.
    pub fn open_elsewhere(&self) -> (Repository, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let env = Environment { state_root: state.path().to_owned(), ..self.env.clone() };
        (Repository::open(env, &KEY).unwrap(), state)
    }

    pub fn count(&self, folder: Folder) -> usize {
        self.env.backend.list(folder).unwrap().objects.len()
    }
}

/// Plaintext of a chunk that compresses badly and differs for each number.
pub(super) fn plain(number: u64, bytes: usize) -> Vec<u8> {
    let mut plain = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut plain);
    plain
}

/// Stores the chunks as the base of one database and commits.
pub(super) fn commit_chunks(repo: &Repository, chunks: &[Vec<u8>]) -> Result<Snapshot, Error> {
    let writer = repo.writer()?;
    let mut lane = writer.lane();
    let ids: Vec<_> = chunks.iter().map(|chunk| lane.put(chunk)).collect::<Result<_, _>>()?;
    let list: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
    let base = Stream { depth: 0, bytes: list.len() as u64, ids: vec![lane.put(&list)?] };
    lane.finish()?;
    repo.commit(writer, record(base))
}

pub(super) fn record(base: Stream) -> Record {
    let image = Image {
        page_bytes: 4096,
        page_count: 1,
        identity: ImageIdentity([1; 32]),
        group_pages: 64,
        base_pages: (base.bytes / 32) as u32 * 64,
        base,
        folded: Stream::default(),
        recent: Stream::default(),
        recent_bytes_written: 0,
        method: Method::Pages,
        damaged: false,
        unchecked: false,
        begun: (0, 0),
        witnesses: Vec::new(),
    };
    let facts = Box::new(DatabaseFacts::default());
    let part = Part {
        name: "pos".to_owned(),
        kind: PartKind::Database,
        sources: Vec::new(),
        totals: Totals::default(),
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database { image: Box::new(image), facts },
        outcome: crate::format::record::Outcome::Complete,
    };
    Record {
        created: 1,
        finished: 2,
        host: "host".to_owned(),
        configured: vec![("pos".to_owned(), PartKind::Database)],
        parts: vec![part],
        ..Record::default()
    }
}

pub(super) fn read_all(repo: &Repository, chunks: &[Vec<u8>]) {
    let fetch = repo.fetcher().unwrap();
    for chunk in chunks {
        let id = repo.keys().chunk_id(chunk);
        assert_eq!(&*fetch.get(&id).unwrap(), &chunk[..]);
    }
}

#[test]
fn what_was_committed_is_read_back_here_and_elsewhere() {
    let fixture = Fixture::new();
    let chunks: Vec<_> = (0..40).map(|n| plain(n, 1 + n as usize * 40_000)).collect();

    let snapshot = commit_chunks(&fixture.open(), &chunks).unwrap();

    let (elsewhere, _state) = fixture.open_elsewhere();
    for repo in [fixture.open(), elsewhere] {
        assert_eq!(repo.snapshots().unwrap().snapshots, std::slice::from_ref(&snapshot));
        read_all(&repo, &chunks);
        let mut events = Vec::new();
        check::run(&repo, check::Depth::Data, &mut |event| events.push(event)).unwrap();
        events.retain(is_finding);
        assert_eq!(events, []);
    }
}

/// Whether an event tells more than that a check goes on.
pub(super) fn is_finding(event: &CheckEvent) -> bool {
    use CheckEvent::{Plan, Progress, ReadSoFar};
    !matches!(event, Plan { .. } | Progress { .. } | ReadSoFar { .. })
}

#[test]
fn chunks_that_are_there_already_are_not_stored_again() {
    let fixture = Fixture::new();
    let chunks: Vec<_> = (0..10).map(|n| plain(n, 100_000)).collect();
    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();

    let again = commit_chunks(&fixture.open(), &chunks).unwrap();

    assert_eq!(again.record.bytes_added, 0);
    assert_eq!(fixture.count(Folder::Packs), 1);
    assert_eq!(fixture.count(Folder::Snapshots), 2);
}

#[test]
fn packs_are_cut_at_32_mib_and_only_the_last_is_padded() {
    let fixture = Fixture::new();
    let chunks: Vec<_> = (0..80).map(|n| plain(n, MIB)).collect();

    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();

    let mut sizes: Vec<_> =
        fixture.env.backend.list(Folder::Packs).unwrap().objects.iter().map(|o| o.bytes).collect();
    sizes.sort();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|bytes| *bytes <= 32 << 20), "{sizes:?}");
    assert!(sizes[1] > 31 << 20, "{sizes:?}");
}

#[test]
fn what_an_abandoned_run_finished_is_used_by_the_next() {
    let fixture = Fixture::new();
    let chunks: Vec<_> = (0..10).map(|n| plain(n, 100_000)).collect();
    let repo = fixture.open();
    let writer = repo.writer().unwrap();
    let mut lane = writer.lane();
    for chunk in &chunks {
        let _ = lane.put(chunk).unwrap();
    }
    lane.finish().unwrap();
    repo.abandon(writer).unwrap();

    let snapshot = commit_chunks(&fixture.open(), &chunks).unwrap();

    assert!(snapshot.record.bytes_added < 2_000, "{}", snapshot.record.bytes_added);
}

#[test]
fn fifty_runs_leave_few_index_objects_to_read() {
    let fixture = Fixture::new();
    for n in 0..50 {
        let _ = commit_chunks(&fixture.open(), &[plain(n, 5_000)]).unwrap();
    }

    let (repo, _state) = fixture.open_elsewhere();

    let report = repo.catalogue().unwrap().report().clone();
    assert!(report.index_objects <= 1 + 4, "{report:?}");
    assert_eq!((report.packs, report.tables_read), (50, 0));
    assert_eq!(repo.snapshots().unwrap().snapshots.len(), 50);
    read_all(&repo, &(0..50).map(|n| plain(n, 5_000)).collect::<Vec<_>>());
}

#[test]
fn a_run_whose_packs_were_condemned_stores_them_again() {
    let fixture = Fixture::new();
    let chunks = [plain(1, 1000)];
    let first = commit_chunks(&fixture.open(), &chunks).unwrap();
    let repo = fixture.open();
    // The run has looked at the repository before the deleter condemns what it reuses.
    let writer = repo.writer().unwrap();
    condemn_all(&fixture, &repo);

    let second = repo.commit(writer, Record { ..first.record.clone() }).unwrap();

    assert_eq!(fixture.count(Folder::Packs), 2);
    let (elsewhere, _state) = fixture.open_elsewhere();
    for repo in [fixture.open(), elsewhere] {
        assert!(repo.snapshots().unwrap().snapshots.contains(&second));
        let copies = |chunk| repo.catalogue().unwrap().locate(&repo.keys().chunk_id(chunk));
        assert!(copies(&chunks[0]).unwrap().is_some(), "a copy that nobody has condemned");
    }
}

#[test]
fn a_run_whose_packs_are_gone_withdraws_its_record() {
    let fixture = Fixture::new();
    let chunks = [plain(1, 1000)];
    let first = commit_chunks(&fixture.open(), &chunks).unwrap();
    let repo = fixture.open();
    let writer = repo.writer().unwrap();
    condemn_all(&fixture, &repo);
    for listed in fixture.env.backend.list(Folder::Packs).unwrap().objects {
        fixture.env.backend.delete(&listed.name).unwrap();
    }

    let result = repo.commit(writer, Record { ..first.record.clone() });

    assert!(matches!(result, Err(Error::Condemned { ref parts }) if parts == "pos"), "{result:?}");
    assert_eq!(fixture.count(Folder::Snapshots), 1);
    assert_eq!(fixture.count(Folder::Pending), 1);
}

#[test]
fn a_run_after_the_condemnation_stores_its_chunks_anew() {
    let fixture = Fixture::new();
    let chunks = [plain(1, 1000)];
    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();
    condemn_all(&fixture, &fixture.open());

    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();

    assert_eq!(fixture.count(Folder::Packs), 2);
    assert_eq!(fixture.count(Folder::Snapshots), 2);
}

fn condemn_all(fixture: &Fixture, repo: &Repository) {
    let packs = repo.catalogue().unwrap().packs().keys().copied().collect::<Vec<PackId>>();
    let tombstone = Tombstone {
        deleter: WriterId([5; 32]),
        created: 1,
        packs,
        index_objects: Vec::new(),
        snapshots: Vec::new(),
    };
    let id = ObjectId([6; 32]);
    let sealed = seal_object(repo.keys(), Kind::Tombstone, &id.0, &tombstone.encode().unwrap());
    fixture.env.backend.put_new(&ObjectName::Tombstone(id), &[&sealed]).unwrap();
}

#[test]
fn a_pending_record_of_a_dead_run_is_finished_by_the_next() {
    let fixture = Fixture::new();
    let snapshot = commit_chunks(&fixture.open(), &[plain(1, 1000)]).unwrap();
    fixture.env.backend.delete(&ObjectName::Snapshot(snapshot.id)).unwrap();

    drop(fixture.open().writer().unwrap());

    assert_eq!(fixture.open().snapshots().unwrap().snapshots, [snapshot]);
}

#[test]
fn a_pending_record_of_another_writer_is_left_alone() {
    let fixture = Fixture::new();
    let snapshot = commit_chunks(&fixture.open(), &[plain(1, 1000)]).unwrap();
    fixture.env.backend.delete(&ObjectName::Snapshot(snapshot.id)).unwrap();

    let (elsewhere, _state) = fixture.open_elsewhere();
    drop(elsewhere.writer().unwrap());

    assert_eq!(fixture.count(Folder::Snapshots), 0);
    assert_eq!(fixture.count(Folder::Pending), 1);
}

#[test]
fn a_record_whose_object_is_gone_bad_is_read_from_its_copy() {
    let fixture = Fixture::new();
    let snapshot = commit_chunks(&fixture.open(), &[plain(1, 1000)]).unwrap();
    let name = ObjectName::Snapshot(snapshot.id);
    fixture.env.backend.delete(&name).unwrap();
    fixture.env.backend.put_new(&name, &[b"rubbish"]).unwrap();

    let (elsewhere, _state) = fixture.open_elsewhere();

    assert_eq!(snapshots::read(&elsewhere, snapshot.id).unwrap(), snapshot.record);
}

#[test]
fn damaged_index_objects_are_made_up_for_by_the_tables() {
    let fixture = Fixture::new();
    let chunks: Vec<_> = (0..10).map(|n| plain(n, 100_000)).collect();
    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();
    for listed in fixture.env.backend.list(Folder::Index).unwrap().objects {
        fixture.env.backend.delete(&listed.name).unwrap();
        fixture.env.backend.put_new(&listed.name, &[b"rubbish"]).unwrap();
    }

    let (elsewhere, _state) = fixture.open_elsewhere();

    read_all(&elsewhere, &chunks);
    assert_eq!(elsewhere.catalogue().unwrap().report().damaged.len(), 1);
}

#[test]
fn a_chunk_with_two_copies_outlives_one_of_them() {
    let fixture = Fixture::new();
    let chunks = [plain(1, 1000)];
    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();
    let first: Vec<_> = fixture.env.backend.list(Folder::Packs).unwrap().objects;
    condemn_all(&fixture, &fixture.open());
    let _ = commit_chunks(&fixture.open(), &chunks).unwrap();

    fixture.env.backend.delete(&first[0].name).unwrap();

    read_all(&fixture.open(), &chunks);
}

#[test]
fn wrong_credentials_touch_nothing() {
    let fixture = Fixture::new();
    let before = fixture.count(Folder::Keys);

    let result = Repository::open(fixture.env.clone(), &Credential::KeyFile([8; 32]));

    assert!(matches!(result, Err(Error::WrongCredential { .. })));
    assert_eq!(fixture.count(Folder::Keys), before);
}

#[test]
fn an_existing_repository_is_not_created_again() {
    let fixture = Fixture::new();

    let result = Repository::create(fixture.env.clone(), &[(KEY, String::new())]);

    assert!(matches!(result, Err(Error::AlreadyThere { .. })));
}

#[test]
fn the_loss_of_one_copy_is_reported_and_harmless() {
    let fixture = Fixture::new();
    let _ = commit_chunks(&fixture.open(), &[plain(1, 1000)]).unwrap();
    let names = [Folder::Descriptor, Folder::Keys]
        .map(|folder| fixture.env.backend.list(folder).unwrap().objects)
        .concat();
    for listed in names.iter().filter(|listed| listed.name.to_string().ends_with(".1")) {
        fixture.env.backend.delete(&listed.name).unwrap();
    }

    let mut lost = 0;
    check::run(&fixture.open(), check::Depth::Structure, &mut |event| {
        lost += usize::from(matches!(event, CheckEvent::CopyLost { .. }));
    })
    .unwrap();

    assert_eq!(lost, 3);
}

#[test]
fn a_missing_chunk_is_told_with_snapshot_and_part() {
    let fixture = Fixture::new();
    let snapshot = commit_chunks(&fixture.open(), &[plain(1, 1000)]).unwrap();
    let packs = fixture.env.backend.list(Folder::Packs).unwrap().objects;
    fixture.env.backend.delete(&packs[0].name).unwrap();

    let mut affected = Vec::new();
    check::run(&fixture.open(), check::Depth::Structure, &mut |event| {
        if let CheckEvent::Affected { snapshot, part, .. } = event {
            affected.push((snapshot, part));
        }
    })
    .unwrap();

    assert_eq!(affected, [(snapshot.id, "pos".to_owned())]);
}

#[test]
fn a_stopped_run_leaves_no_snapshot() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let writer = repo.writer().unwrap();
    let mut lane = writer.lane();
    let _ = lane.put(&plain(1, 1000)).unwrap();
    fixture.env.stop.store(true, std::sync::atomic::Ordering::Relaxed);

    let put: Result<ChunkId, _> = lane.put(&plain(2, 1000));

    assert!(matches!(put, Err(chunk::Error::Stopped)));
    drop(lane);
    repo.abandon(writer).unwrap();
    assert_eq!(fixture.count(Folder::Pending), 0);
}

#[test]
fn a_pack_that_is_gone_or_cut_short_is_noticed_and_not_relied_on() {
    for cut in [true, false] {
        let fixture = Fixture::new();
        let chunks = [plain(1, 1000)];
        let _ = commit_chunks(&fixture.open(), &chunks).unwrap();
        let pack = fixture.env.backend.list(Folder::Packs).unwrap().objects.remove(0).name;
        let bytes = fixture.env.backend.get(&pack, 1 << 20).unwrap();
        fixture.env.backend.delete(&pack).unwrap();
        if cut {
            fixture.env.backend.put_new(&pack, &[&bytes[..bytes.len() - 1]]).unwrap();
        }
        let (elsewhere, _state) = fixture.open_elsewhere();

        for repo in [fixture.open(), elsewhere] {
            assert!(repo.writer().unwrap().catalogue().lost().len() == 1);
            assert!(repo.writer_state().unwrap().loss_noticed.is_some());
        }
        let _ = commit_chunks(&fixture.open(), &chunks).unwrap();
        read_all(&fixture.open(), &chunks);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a scratch file")]
fn a_state_that_cannot_be_read_is_an_error_and_is_not_replaced() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let before = repo.writer_id().unwrap();
    let file = repo.state_path().join("writer.json");
    let kept = file.with_extension("kept");
    std::fs::rename(&file, &kept).unwrap();
    // Reading a folder is an error that has nothing to do with what the state was.
    std::fs::create_dir(&file).unwrap();

    assert!(matches!(repo.writer_id(), Err(Error::State { action: "read", .. })));
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(repo.writer_id().unwrap(), before);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a scratch file")]
fn a_state_that_makes_no_sense_makes_a_new_writer() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let before = repo.writer_id().unwrap();
    std::fs::write(repo.state_path().join("writer.json"), b"{\"writer\": 7}").unwrap();

    let after = repo.writer_id().unwrap();
    assert_ne!(after, before);
    assert_eq!(repo.writer_id().unwrap(), after);
}
