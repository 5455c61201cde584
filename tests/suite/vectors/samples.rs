//! The keys, ids and values that the vectors are made of.

use stillpoint::{
    crypto::keys::Keys,
    format::{
        descriptor::{Descriptor, descriptor_hash},
        envelope::Suite,
        image::{Image, Method, Witness},
        node::{Content, Entry},
        page_map::{PageEntry, PageMap},
        record::{
            DatabaseFacts, FailedPart, Outcome, Part, PartContent, PartKind, Problem, Record,
            SchemaObject, Storage, Totals, Trigger,
        },
        ring::Ring,
        stream::Stream,
    },
    id::{ChunkId, ImageIdentity, RepositoryId, SnapshotId, WriterId},
};

pub const REPOSITORY: RepositoryId = RepositoryId(counting(0x10));
pub const MASTER: [u8; 32] = counting(0x20);
pub const EPOCH: u32 = 1;
pub const EPOCH_KEY: [u8; 32] = counting(0x30);
pub const CHUNK_KEY: [u8; 32] = counting(0x40);
pub const CUT_KEY: [u8; 32] = counting(0x50);
pub const PAGE_KEY: [u8; 32] = counting(0x60);
pub const IDENTITY_KEY: [u8; 32] = counting(0x70);
const CREATED: i64 = 1_763_600_000_000_000_000;

/// Returns 32 bytes that count up.
pub const fn counting(first: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = first.wrapping_add(at as u8);
        at += 1;
    }
    bytes
}

pub fn descriptor() -> Vec<u8> {
    let descriptor = Descriptor {
        repository: REPOSITORY,
        generation: 1,
        created: CREATED,
        optional_features: Vec::new(),
        suite: Suite::ChaCha20Poly1305,
    };
    descriptor.encode().unwrap()
}

pub fn ring() -> Ring {
    Ring {
        generation: 1,
        chunk: CHUNK_KEY,
        cut: CUT_KEY,
        page: PAGE_KEY,
        identity: IDENTITY_KEY,
        epochs: vec![(EPOCH, EPOCH_KEY)],
        descriptor_hash: descriptor_hash(&descriptor()),
    }
}

pub fn keys() -> Keys {
    Keys::from_ring(REPOSITORY, &ring())
}

pub fn stream(bytes: u64) -> Stream {
    let ids = if bytes == 0 { vec![] } else { vec![keys().chunk_id(b"hello")] };
    Stream { depth: 0, bytes, ids }
}

pub fn image() -> Image {
    Image {
        page_bytes: 512,
        page_count: 3,
        identity: ImageIdentity(counting(0x80)),
        group_pages: 512,
        base_pages: 2,
        base: stream(32),
        folded: Stream::default(),
        recent: stream(39),
        recent_bytes_written: 39,
        method: Method::Pages,
        damaged: false,
        unchecked: false,
        begun: (1_763_599_999, 500_000_000),
        witnesses: vec![
            Witness {
                device: 2049,
                inode: 42,
                bytes: 1536,
                modified: (1_763_590_000, 1),
                changed: (1_763_590_000, 2),
            },
            Witness {
                device: 2049,
                inode: 43,
                bytes: 0,
                modified: (-1, 999_999_999),
                changed: (0, 0),
            },
        ],
    }
}

/// An entry of each kind, ascending by name.
pub fn entries() -> Vec<Entry> {
    let sparse = Content::File {
        bytes: 10_000_000,
        stream: stream(8192),
        extents: Some(vec![(0, 4096), (8_000_000, 4096)]),
    };
    let mut entries = vec![
        entry("a file", Content::File { bytes: 5, stream: stream(5), extents: None }),
        entry("b folder", Content::Folder { node: stream(1) }),
        entry("c link", Content::Link { target: b"../elsewhere".to_vec() }),
        entry("d fifo", Content::Fifo),
        entry("e socket", Content::Socket),
        entry("f char device", Content::CharDevice { major: 1, minor: 3 }),
        entry("g block device", Content::BlockDevice { major: 8, minor: 0 }),
        entry("h database", Content::Database(Box::new(image()))),
        entry("i sparse", sparse),
        entry("j empty", Content::File { bytes: 0, stream: stream(0), extents: None }),
    ];
    entries[0].xattrs =
        vec![(b"user.colour".to_vec(), b"blue".to_vec()), (b"user.raw".to_vec(), vec![0xff, 0x00])];
    entries[0].problem = Some("changed while it was read".to_owned());
    let mut not_utf8 = entry("k", Content::Fifo);
    not_utf8.name = vec![b'k', 0xff];
    entries.push(not_utf8);
    entries
}

fn entry(name: &str, content: Content) -> Entry {
    Entry {
        name: name.into(),
        content,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        modified: (1_763_500_000, 123_456_789),
        changed: (-1, 999_999_999),
        device: 2049,
        inode: 1_311_768,
        links: 1,
        xattrs: Vec::new(),
        problem: None,
    }
}

pub fn page_map() -> PageMap {
    PageMap {
        chunks: vec![ChunkId(counting(0x90)), ChunkId(counting(0xa0))],
        entries: vec![
            PageEntry { page: 1, chunk: 0, slot: 0 },
            PageEntry { page: 2, chunk: 1, slot: 63 },
            PageEntry { page: 100_000, chunk: 0, slot: 1 },
        ],
    }
}

pub fn record() -> Record {
    Record {
        created: CREATED,
        finished: CREATED + 4_000_000_000,
        host: "till-3".to_owned(),
        writer: WriterId(counting(0xb0)),
        counter: 17,
        parent: Some(SnapshotId(counting(0xc0))),
        storage: Storage::Full,
        trigger: Trigger::Schedule,
        actor: "ada".to_owned(),
        station: "counter".to_owned(),
        name: "before the sale".to_owned(),
        note: "with gift cards".to_owned(),
        tags: vec!["monthly".to_owned(), "kept".to_owned()],
        environment: vec![("TZ".to_owned(), "Europe/Berlin".to_owned())],
        app_version: "4.2".to_owned(),
        program_version: "0.1.0".to_owned(),
        config: "version = 1\n".to_owned(),
        configured: vec![
            ("config".to_owned(), PartKind::Config),
            ("shop".to_owned(), PartKind::Database),
            ("uploads".to_owned(), PartKind::Files),
        ],
        parts: vec![database_part(), tree_part()],
        bytes_added: 123_456,
        incomplete: true,
        failed: vec![FailedPart {
            name: "config".to_owned(),
            code: "source-missing".to_owned(),
            message: "no such folder".to_owned(),
        }],
    }
}

fn database_part() -> Part {
    let facts = DatabaseFacts {
        engine: "sqlite".to_owned(),
        engine_version: "3.54.1".to_owned(),
        encoding: "UTF-8".to_owned(),
        journal_mode: "wal".to_owned(),
        user_version: 7,
        application_id: -1,
        schema: vec![SchemaObject {
            kind: "table".to_owned(),
            name: "invoice".to_owned(),
            table: "invoice".to_owned(),
            sql: "CREATE TABLE invoice(id INTEGER PRIMARY KEY)".to_owned(),
        }],
        rows: vec![("invoice".to_owned(), 12_345)],
        check: "ok".to_owned(),
    };
    Part {
        name: "shop".to_owned(),
        kind: PartKind::Database,
        sources: vec![b"/srv/shop.db".to_vec()],
        totals: Totals { bytes: 1536, chunks: 3, bytes_read: 1536, ..Totals::default() },
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database { image: Box::new(image()), facts: Box::new(facts) },
        outcome: Outcome::Complete,
    }
}

fn tree_part() -> Part {
    let root = entry("uploads", Content::Folder { node: stream(300) });
    Part {
        name: "uploads".to_owned(),
        kind: PartKind::Files,
        sources: vec![b"/srv/uploads".to_vec()],
        totals: Totals {
            files: 3,
            folders: 1,
            others: 7,
            bytes: 10_000_005,
            chunks: 4,
            bytes_read: 5,
            bytes_new: 5,
        },
        problems: vec![Problem {
            path: b"a file".to_vec(),
            code: "changed".to_owned(),
            message: "changed while it was read".to_owned(),
        }],
        problem_count: 1,
        gone: vec![b"old\xff".to_vec()],
        gone_count: 1,
        content: PartContent::Tree { root: Box::new(root), path: b"/srv/uploads".to_vec() },
        outcome: Outcome::Incomplete,
    }
}
