//! A repository into which somebody who has the key put what nobody should: an object sealed as it
//! must be, whose content is hostile.
//!
//! The decoders alone are not the whole way: what they let pass is walked, restored, checked,
//! planned with and pruned. Nothing of that panics or runs away, and whatever the hostile object
//! says, a prune deletes nothing that an honest snapshot needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use stillpoint::{
    backend::{Backend, Folder, ObjectName, local::LocalBackend, memory::MemoryBackend},
    chunk::{Store, compress},
    clock::{SystemClock, SystemEntropy},
    crypto::{
        keys::Keys,
        object::seal_object,
        seal::{ObjectKey, Role},
        secret::Credential,
    },
    disk::RealDisk,
    format::{
        envelope::{Header, Kind},
        image::Image,
        node::Content,
        page_map::{PageEntry, PageMap},
        record::{PartContent, Record},
        stream::Stream,
    },
    id::{ChunkId, ObjectId, SnapshotId},
    ops::{
        event::Silent,
        list::{self, Reach},
        prune::{self, PruneOptions},
        repair::{self, Scope},
    },
    repo::{
        Environment, Repository, Snapshot,
        check::{self, CheckEvent, Depth},
        image::ImageReader,
    },
};

/// The tiny repository of the spec, and the key file that opens it.
const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../format-spec/vectors/repository");
const KEY_FILE: [u8; 32] = {
    let mut key = [0; 32];
    let mut at = 0;
    while at < key.len() {
        key[at] = at as u8;
        at += 1;
    }
    key
};
const ID: [u8; 32] = [0xab; 32];
/// Something in that repository is forgotten, and stays in the trash.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What a way of being hostile works with.
struct Hostile<'a> {
    backend: &'a MemoryBackend,
    plain: &'a [u8],
}

type Way = fn(&Hostile<'_>);

/// All ways; the first byte of the input chooses.
const WAYS: [Way; 13] = [
    |it| it.seal(Kind::Snapshot, ObjectName::Snapshot(SnapshotId(ID))),
    |it| it.seal(Kind::Pending, ObjectName::Pending(SnapshotId(ID))),
    |it| it.seal(Kind::Tombstone, ObjectName::Tombstone(ObjectId(ID))),
    |it| it.seal(Kind::Forgotten, ObjectName::Forgotten(ObjectId(ID))),
    |it| it.seal(Kind::Pinned, ObjectName::Pinned(ObjectId(ID))),
    |it| it.seal_index(Kind::Segment),
    |it| it.seal_index(Kind::Summary),
    |it| it.commit(|record, id, bytes| set_node(record, Stream { depth: 0, bytes, ids: vec![id] })),
    |it| {
        let bytes = 1 << 20;
        it.commit(|record, id, _| set_node(record, Stream { depth: 1, bytes, ids: vec![id] }));
    },
    |it| {
        it.commit(|record, id, bytes| {
            let recent = Stream { depth: 0, bytes, ids: vec![id] };
            set_image(record, |image| image.recent = recent.clone());
        });
    },
    |it| {
        it.commit(|record, id, bytes| {
            let base = Stream { depth: 0, bytes, ids: vec![id] };
            set_image(record, |image| image.base = base.clone());
        });
    },
    |it| it.commit_pages(PageMap::default()),
    |it| it.commit_pages(pages_of_first_slots(8)),
];

/// Panics if anything does that reads a repository in which these bytes are sealed.
pub fn resealed(bytes: &[u8]) {
    let Some((way, plain)) = bytes.split_first() else { return };
    let backend = HONEST.copied();
    let honest: BTreeSet<ObjectName> = backend.names().into_iter().collect();
    WAYS[usize::from(*way) % WAYS.len()](&Hostile { backend: &backend, plain });

    let state = Scratch::new();
    let repo = open(&backend, &state.0);
    let _ = check::run(&repo, Depth::Structure, &mut |_| {});
    let _ = repair::plan(&repo, (Scope::All, Depth::Structure), &Silent);
    read_what_is_new(&repo, &honest);
    // Whoever has the key can condemn and forget; but what is honest stays where it is.
    let _ = prune::prune(&repo, &impatient(), &Silent);
    let left: BTreeSet<ObjectName> = backend.names().into_iter().collect();
    // Nothing can be lost where nothing went, which is so for most.
    if !left.is_superset(&honest) {
        expect_all(&repo, &honest, &left);
    }
}

/// Lists and rebuilds what the honest snapshots do not hold.
fn read_what_is_new(repo: &Repository, honest: &BTreeSet<ObjectName>) {
    let (Ok(snapshots), Ok(fetch)) = (repo.snapshots(), repo.fetcher()) else { return };
    let is_new = |snapshot: &&Snapshot| !honest.contains(&ObjectName::Snapshot(snapshot.id));
    for part in snapshots.snapshots.iter().filter(is_new).flat_map(|new| &new.record.parts) {
        let _ = list::list(&*fetch, part, &[], Reach::Below, &mut |_| {});
        if let PartContent::Database { image, .. } = &part.content
            && let Ok(reader) = ImageReader::open(image, fetch.clone())
        {
            let _ = reader.verify(repo.keys());
        }
    }
}

/// Whether every honest snapshot is there, and gives back all that it holds.
fn expect_all(repo: &Repository, honest: &BTreeSet<ObjectName>, left: &BTreeSet<ObjectName>) {
    let is_record = |name: &&ObjectName| matches!(name, ObjectName::Snapshot(_));
    let gone: Vec<_> = honest.difference(left).filter(is_record).collect();
    assert_eq!(gone, [] as [&ObjectName; 0], "an honest record is gone");
    let mut lost = Vec::new();
    let _ = check::run(repo, Depth::Data, &mut |event| {
        if let CheckEvent::Affected { snapshot, part, why, .. } = event
            && honest.contains(&ObjectName::Snapshot(snapshot))
        {
            lost.push((part, why));
        }
    });
    assert_eq!(lost, [], "an honest snapshot lost something");
}

impl Hostile<'_> {
    fn seal(&self, kind: Kind, name: ObjectName) {
        let sealed = seal_object(&KEYS, kind, &ID, self.plain);
        self.backend.tamper(&name, sealed);
    }

    /// An index object of one frame, newer than all others.
    fn seal_index(&self, kind: Kind) {
        let epoch = KEYS.epoch_now();
        let header = Header::streamed(kind, epoch, KEYS.repository, ID).encode();
        let key = ObjectKey::for_epoch(&KEYS, epoch, kind, &ID).expect("the epoch is the newest");
        let frame = key.seal(0, Role::LastFrame, &header, compress::encode_frame(self.plain));
        let length = (frame.len() as u32).to_le_bytes();
        let name = ObjectName::Index { sequence: 1000, id: ObjectId(ID) };
        self.backend.tamper(&name, [&header[..], &length, &frame].concat());
    }

    /// A snapshot like the newest, but that a chunk of these bytes is put in somewhere.
    fn commit(&self, change: impl Fn(&mut Record, ChunkId, u64)) {
        self.commit_chunks(&[self.plain.to_vec()], |record, ids| {
            change(record, ids[0], self.plain.len() as u64);
        });
    }

    /// A snapshot whose database has a map with the hostile chunk in it.
    fn commit_pages(&self, map: PageMap) {
        let mut map = PageMap { chunks: vec![self.chunk_id()], ..map };
        if map.entries.is_empty() {
            map.entries = vec![PageEntry { page: 1, chunk: 0, slot: 0 }];
        }
        let map = map.encode().expect("the map is well made");
        let bytes = map.len() as u64;
        self.commit_chunks(&[self.plain.to_vec(), map], |record, ids| {
            let recent = Stream { depth: 0, bytes, ids: vec![ids[1]] };
            set_image(record, |image| image.recent = recent.clone());
        });
    }

    fn commit_chunks(&self, chunks: &[Vec<u8>], change: impl Fn(&mut Record, &[ChunkId])) {
        if chunks.iter().any(Vec::is_empty) {
            return;
        }
        let state = Scratch::new();
        let repo = open(self.backend, &state.0);
        let newest = repo.snapshots().expect("honest").snapshots.pop().expect("some");
        let writer = repo.writer().expect("nothing is hostile yet");
        let mut lane = writer.lane();
        let ids: Vec<_> =
            chunks.iter().map(|plain| lane.put(plain).expect("a chunk is stored")).collect();
        lane.finish().expect("all is stored");
        let mut record = newest.record;
        change(&mut record, &ids);
        let _ = repo.commit(writer, record);
    }

    fn chunk_id(&self) -> ChunkId {
        KEYS.chunk_id(self.plain)
    }
}

/// Pages 1 to `count`, each in the slot of its own number, from 0 on.
fn pages_of_first_slots(count: u8) -> PageMap {
    let entries = (0..count).map(|slot| PageEntry { page: u32::from(slot) + 1, chunk: 0, slot });
    PageMap { chunks: Vec::new(), entries: entries.collect() }
}

fn set_node(record: &mut Record, node: Stream) {
    for part in &mut record.parts {
        if let PartContent::Tree { root, .. } = &mut part.content {
            root.content = Content::Folder { node: node.clone() };
        }
    }
}

fn set_image(record: &mut Record, change: impl Fn(&mut Image)) {
    for part in &mut record.parts {
        if let PartContent::Database { image, .. } = &mut part.content {
            change(image);
        }
    }
}

/// The repository of the spec, read once, and pruned: what goes from now on goes for the sake of
/// what is hostile.
static HONEST: LazyLock<MemoryBackend> = LazyLock::new(|| {
    // Included by the test suite, this file lies one folder deeper than the package.
    let spec = [SPEC, &SPEC.replace("/../", "/")].map(PathBuf::from);
    let spec = spec.iter().find(|path| path.is_dir()).expect("the spec has a repository");
    let stored = LocalBackend::open(Arc::new(RealDisk), spec).expect("it opens");
    let memory = MemoryBackend::new();
    for listed in Folder::ALL.iter().flat_map(|f| stored.list(*f).expect("it lists").objects) {
        let bytes = stored.get(&listed.name, u64::MAX).expect("it reads");
        memory.put_new(&listed.name, &[&bytes]).expect("it is new");
    }
    let state = Scratch::new();
    let _ = prune::prune(&open(&memory, &state.0), &impatient(), &Silent).expect("it is sound");
    memory
});

/// Its keys, opened once.
static KEYS: LazyLock<Arc<Keys>> =
    LazyLock::new(|| open(&HONEST, &Scratch::new().0).keys().clone());

/// Nothing waits, but what is in the trash stays there.
fn impatient() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, trash: CENTURY, ..PruneOptions::default() }
}

fn open(backend: &MemoryBackend, state: &Path) -> Repository {
    let env = Environment {
        backend: Arc::new(backend.clone()),
        disk: Arc::new(RealDisk),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        state_root: state.to_owned(),
        stop: Arc::new(AtomicBool::new(false)),
    };
    Repository::open(env, &Credential::KeyFile(KEY_FILE)).expect("the honest key opens it")
}

/// A folder in memory that is gone after use.
struct Scratch(PathBuf);

impl Scratch {
    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = root.join(format!("stillpoint-resealed-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a scratch folder is made");
        Self(path)
    }
}

impl Drop for Scratch {
    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
