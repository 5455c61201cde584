//! Values of every kind for the tests of this layer: some fixed, some drawn.

use proptest::{collection::vec, option, prelude::*, sample::subsequence};

use crate::{
    format::{
        Error,
        image::{Image, Method, Witness},
        node::{Content, Entry},
        page_map::{PageEntry, PageMap},
        record::{
            DatabaseFacts, FailedPart, Outcome, Part, PartContent, PartKind, Problem, Record,
            SchemaObject, Storage, Totals, Trigger,
        },
        stream::Stream,
    },
    id::{ChunkId, ImageIdentity, SnapshotId, WriterId},
    limits::CHUNK_BYTES_MAX,
};

/// Shows bytes as the spec does.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the rule that an error names contains the words.
pub fn breaks<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) -> bool {
    match result {
        Err(Error::Corrupt { why, .. } | Error::Unstorable { why, .. }) => why.contains(words),
        other => panic!("{other:?} breaks no rule"),
    }
}

/// Proves that no beginning of an encoding is an encoding.
pub fn every_truncation_fails<'a, T>(
    bytes: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<T, Error>,
) {
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "the first {length} bytes decode");
    }
}

pub fn chunk_id(byte: u8) -> ChunkId {
    ChunkId([byte; 32])
}

pub fn stream() -> Stream {
    Stream { depth: 0, bytes: 1_000_000, ids: vec![chunk_id(0x11), chunk_id(0x22)] }
}

pub fn image() -> Image {
    Image {
        page_bytes: 4096,
        page_count: 300,
        identity: ImageIdentity([0x77; 32]),
        group_pages: 64,
        base_pages: 250,
        base: Stream { depth: 0, bytes: 128, ids: vec![chunk_id(0xb0)] },
        folded: Stream::default(),
        recent: Stream { depth: 0, bytes: 500, ids: vec![chunk_id(0xb1)] },
        recent_bytes_written: 1500,
        method: Method::Pages,
        damaged: false,
        unchecked: true,
        begun: (1_763_600_000, 5),
        witnesses: vec![Witness {
            device: 2049,
            inode: 131_074,
            bytes: 1_228_800,
            modified: (1_763_599_000, 999_999_999),
            changed: (-1, 0),
        }],
    }
}

pub fn entry(name: &str, content: Content) -> Entry {
    Entry {
        name: name.into(),
        content,
        mode: 0o644,
        uid: 1000,
        gid: 100,
        modified: (1_763_600_000, 123_456_789),
        changed: (1_763_600_001, 0),
        device: 2049,
        inode: 1_311_768,
        links: 1,
        xattrs: Vec::new(),
        problem: None,
    }
}

pub fn file(name: &str) -> Entry {
    entry(name, Content::File { bytes: 1_000_000, stream: stream(), extents: None })
}

pub fn record() -> Record {
    Record {
        created: 1_763_600_000_000_000_000,
        finished: 1_763_600_004_000_000_000,
        host: "till-3".to_owned(),
        writer: WriterId([0x0a; 32]),
        counter: 17,
        parent: Some(SnapshotId([0x0b; 32])),
        storage: Storage::Full,
        trigger: Trigger::Schedule,
        actor: "ada".to_owned(),
        station: "counter".to_owned(),
        name: "before the sale".to_owned(),
        note: "with gift cards".to_owned(),
        tags: vec!["monthly".to_owned()],
        environment: vec![("TZ".to_owned(), "Europe/Berlin".to_owned())],
        app_version: "4.2".to_owned(),
        program_version: "0.1.0".to_owned(),
        config: "version = 1\n".to_owned(),
        configured: vec![
            ("shop".to_owned(), PartKind::Database),
            ("uploads".to_owned(), PartKind::Files),
        ],
        parts: vec![tree_part("uploads"), database_part("shop")],
        bytes_added: 123_456,
        incomplete: true,
        failed: vec![FailedPart {
            name: "config".to_owned(),
            code: "gone".to_owned(),
            message: "no such folder".to_owned(),
        }],
    }
}

fn tree_part(name: &str) -> Part {
    let root = entry("uploads", Content::Folder { node: stream() });
    Part {
        name: name.to_owned(),
        kind: PartKind::Files,
        sources: vec![b"/srv/uploads".to_vec()],
        totals: Totals { files: 3, folders: 1, bytes: 1_000_000, ..Totals::default() },
        problems: vec![Problem {
            path: b"a/b\xff".to_vec(),
            code: "unreadable".to_owned(),
            message: "permission denied".to_owned(),
        }],
        problem_count: 5,
        gone: vec![b"old.txt".to_vec()],
        gone_count: 1,
        content: PartContent::Tree { root: Box::new(root), path: b"/srv/uploads".to_vec() },
        outcome: Outcome::Incomplete,
    }
}

fn database_part(name: &str) -> Part {
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
        name: name.to_owned(),
        kind: PartKind::Database,
        sources: vec![b"/srv/shop.db".to_vec()],
        totals: Totals::default(),
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database { image: Box::new(image()), facts: Box::new(facts) },
        outcome: Outcome::Complete,
    }
}

pub fn any_chunk_id() -> impl Strategy<Value = ChunkId> {
    any::<[u8; 32]>().prop_map(ChunkId)
}

pub fn any_stream() -> impl Strategy<Value = Stream> {
    (0..=4u8, vec(any_chunk_id(), 0..6), any::<u64>()).prop_map(|(depth, ids, draw)| {
        let count = ids.len() as u64;
        match (count, depth) {
            (0, _) => Stream::default(),
            (_, 0) => Stream { depth, bytes: count + draw % (count * 1024), ids },
            _ => Stream { depth, bytes: draw.max(count), ids },
        }
    })
}

fn any_stream_of(bytes: u64) -> impl Strategy<Value = Stream> {
    let count = bytes.div_ceil(CHUNK_BYTES_MAX as u64) as usize;
    vec(any_chunk_id(), count).prop_map(move |ids| Stream { depth: 0, bytes, ids })
}

fn any_moment() -> impl Strategy<Value = (i64, u32)> {
    (any::<i64>(), 0..1_000_000_000u32)
}

fn any_witness() -> impl Strategy<Value = Witness> {
    (any::<[u64; 3]>(), any_moment(), any_moment()).prop_map(|(numbers, modified, changed)| {
        let [device, inode, bytes] = numbers;
        Witness { device, inode, bytes, modified, changed }
    })
}

pub fn any_image() -> impl Strategy<Value = Image> {
    let shape = (9..=16u32, any::<u16>(), 1..=8u32, 0..4000u32);
    let maps = (any_map_stream(), any_map_stream(), any::<u64>());
    let state = (any::<[u8; 32]>(), any::<[bool; 3]>(), any_moment(), vec(any_witness(), 0..=2));
    (shape, maps, state).prop_flat_map(|(shape, maps, state)| {
        let (exponent, page_count, group_pages, base_pages) = shape;
        any_stream_of(u64::from(base_pages.div_ceil(group_pages)) * 32).prop_map(move |base| {
            let (folded, recent, recent_bytes_written) = maps.clone();
            let (identity, [backup, damaged, unchecked], begun, witnesses) = state.clone();
            Image {
                page_bytes: 1 << exponent,
                page_count: page_count.into(),
                identity: ImageIdentity(identity),
                group_pages,
                base_pages,
                base,
                folded,
                recent,
                recent_bytes_written,
                method: if backup { Method::BackupApi } else { Method::Pages },
                damaged,
                unchecked,
                begun,
                witnesses,
            }
        })
    })
}

fn any_map_stream() -> impl Strategy<Value = Stream> {
    (0..10_000_000u64).prop_flat_map(any_stream_of)
}

fn any_content() -> impl Strategy<Value = Content> {
    let extents = vec((1..1000u64, 1..1000u64), 0..5);
    prop_oneof![
        (0..9_000_000u64).prop_flat_map(any_stream_of).prop_map(|stream| Content::File {
            bytes: stream.bytes,
            stream,
            extents: None
        }),
        (extents, any::<u32>()).prop_flat_map(|(gaps, hole)| any_sparse(gaps, hole.into())),
        any_stream().prop_map(|node| Content::Folder { node }),
        vec(any::<u8>(), 1..100).prop_map(|target| Content::Link { target }),
        Just(Content::Fifo),
        Just(Content::Socket),
        any::<(u32, u32)>().prop_map(|(major, minor)| Content::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| Content::BlockDevice { major, minor }),
        any_image().prop_map(|image| Content::Database(Box::new(image))),
    ]
}

fn any_sparse(gaps: Vec<(u64, u64)>, hole: u64) -> impl Strategy<Value = Content> {
    let mut end = 0;
    let mut extents = Vec::new();
    for (gap, length) in gaps {
        extents.push((end + gap, length));
        end += gap + length;
    }
    any_stream_of(extents.iter().map(|(_, length)| length).sum()).prop_map(move |stream| {
        Content::File { bytes: end + hole, stream, extents: Some(extents.clone()) }
    })
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..=255).prop_filter("a name that a folder can have", |name| {
        crate::format::entry::is_entry_name(name)
    })
}

pub fn any_entry() -> impl Strategy<Value = Entry> {
    let owner = (0..=0o7777u32, any::<u32>(), any::<u32>());
    let times = (any_moment(), any_moment(), any::<[u64; 3]>());
    let xattrs =
        prop::collection::btree_map(vec(any::<u8>(), 1..40), vec(any::<u8>(), 0..90), 0..4);
    let problem = option::of("[a-zé ]{0,60}");
    (any_name(), any_content(), owner, times, xattrs, problem).prop_map(
        |(name, content, (mode, uid, gid), (modified, changed, numbers), xattrs, problem)| {
            let [device, inode, links] = numbers;
            let xattrs = xattrs.into_iter().collect();
            let (name, content) = (name, content);
            Entry {
                name,
                content,
                mode,
                uid,
                gid,
                modified,
                changed,
                device,
                inode,
                links,
                xattrs,
                problem,
            }
        },
    )
}

pub fn any_page_map() -> impl Strategy<Value = PageMap> {
    let pages: Vec<u32> = (1..=400).map(|page| page * page * 26_000).collect();
    (vec(any_chunk_id(), 1..20), subsequence(pages, 0..=400), any::<u64>()).prop_map(
        |(chunks, pages, draw)| {
            let count = chunks.len() as u64;
            let place = |at: usize, page| PageEntry {
                page,
                chunk: (draw.wrapping_mul(at as u64 + 1) % count) as u32,
                slot: (draw.wrapping_add(at as u64) % 64) as u8,
            };
            let entries = pages.into_iter().enumerate().map(|(at, page)| place(at, page)).collect();
            PageMap { chunks, entries }
        },
    )
}

pub fn any_record() -> impl Strategy<Value = Record> {
    let words = vec("[a-zé\n\"]{0,30}", 9);
    let numbers = (any::<[i64; 2]>(), any::<[u64; 2]>(), any::<[u8; 32]>(), any::<bool>());
    let parts = vec((any_entry(), any_image(), any::<bool>()), 0..4);
    (words, numbers, option::of(any::<[u8; 32]>()), parts).prop_map(
        |(words, (times, counts, writer, incomplete), parent, parts)| {
            let parts = parts.into_iter().enumerate().map(|(at, (root, image, is_tree))| {
                let name = format!("part-{at}");
                let mut part = if is_tree { tree_part(&name) } else { database_part(&name) };
                match &mut part.content {
                    PartContent::Tree { root: place, .. } => **place = root,
                    PartContent::Database { image: place, .. } => **place = image,
                }
                part
            });
            let parts = parts.collect();
            let [host, actor, station, name, note, tag, app_version, program_version, config] =
                words.try_into().expect("nine words were drawn");
            Record {
                created: times[0],
                finished: times[1],
                host,
                writer: WriterId(writer),
                counter: counts[0],
                parent: parent.map(SnapshotId),
                storage: if incomplete { Storage::Full } else { Storage::Incremental },
                trigger: if incomplete { Trigger::Import } else { Trigger::Manual },
                actor,
                station,
                name,
                note,
                tags: vec![tag],
                environment: Vec::new(),
                app_version,
                program_version,
                config,
                configured: Vec::new(),
                parts,
                bytes_added: counts[1],
                incomplete,
                failed: Vec::new(),
            }
        },
    )
}
