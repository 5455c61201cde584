//! Nodes and contents, written and read back through chunks in memory.

use std::sync::Arc;

use crate::{
    chunk::{self, cut::CutTable, memory::MemoryChunks},
    crypto::{keys::Keys, secret::Secret32},
    format::{
        node::{Content, Entry},
        stream::Stream,
    },
    id::RepositoryId,
    limits::{KIB, NODE_CUT_BYTES_MAX, NODE_CUT_BYTES_MIN, NODE_WHOLE_BYTES_MAX},
    repo::{
        stream,
        tree::{
            Error, Met, NodeEntries, NodeWriter, Step,
            content::{CONTENT_BUFFER_BYTES, Layout},
            find, store_content, walk,
        },
    },
};

fn keys() -> Arc<Keys> {
    let key = Secret32::new([7; 32]);
    Arc::new(Keys {
        repository: RepositoryId([1; 32]),
        chunk: key.clone(),
        cut: key.clone(),
        page: key.clone(),
        identity: key.clone(),
        epochs: crate::crypto::keys::Epochs::new(vec![(1, key)]),
    })
}

fn entry(name: &str, content: Content) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        content,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        modified: (1_700_000_000, 123_456_789),
        changed: (1_700_000_001, 987_654_321),
        device: 1,
        inode: 2,
        links: 1,
        xattrs: Vec::new(),
        problem: None,
    }
}

fn fifo(number: usize) -> Entry {
    entry(&format!("{number:08}"), Content::Fifo)
}

fn written(keys: &Keys, chunks: &MemoryChunks, entries: &[Entry]) -> Stream {
    let mut store = chunks.clone();
    let mut writer = NodeWriter::new(keys);
    entries.iter().for_each(|entry| writer.push(&mut store, entry).unwrap());
    writer.finish(&mut store).unwrap()
}

fn read(chunks: &MemoryChunks, node: &Stream) -> Result<Vec<Entry>, Error> {
    NodeEntries::new(chunks, node).collect()
}

#[test]
fn nodes_of_any_size_come_back_entry_by_entry() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    for count in [0, 1, 1000, 1500, 20_000] {
        let entries: Vec<Entry> = (0..count).map(fifo).collect();

        let node = written(&keys, &chunks, &entries);

        assert_eq!(read(&chunks, &node).unwrap(), entries);
        assert_eq!(node.ids.len() > 1, node.bytes > NODE_WHOLE_BYTES_MAX as u64, "{count}");
    }
}

#[test]
fn pieces_of_a_node_have_the_lengths_that_the_spec_gives() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let entries: Vec<Entry> = (0..50_000).map(fifo).collect();

    let node = written(&keys, &chunks, &entries);

    let pieces: Vec<usize> =
        node.ids.iter().map(|id| chunk::Fetch::get(&chunks, id).unwrap().len()).collect();
    let (last, others) = pieces.split_last().unwrap();
    assert!(others.iter().all(|bytes| (NODE_CUT_BYTES_MIN..=NODE_CUT_BYTES_MAX).contains(bytes)));
    assert!(*last <= NODE_CUT_BYTES_MAX);
    assert!(pieces.len() > 20, "{} pieces", pieces.len());
}

#[test]
fn one_entry_more_changes_one_piece() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let mut entries: Vec<Entry> = (0..50_000).map(fifo).collect();
    let before = written(&keys, &chunks, &entries);
    entries.insert(25_000, entry("00024999x", Content::Fifo));

    let after = written(&keys, &chunks, &entries);

    let new = after.ids.iter().filter(|id| !before.ids.contains(id)).count();
    assert!(new <= 2, "{new} of {} pieces", after.ids.len());
}

#[test]
fn an_entry_larger_than_a_piece_has_one_to_itself() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let large = Entry { xattrs: vec![(b"user.x".to_vec(), vec![1; 900 * KIB])], ..fifo(7) };
    let entries = [fifo(5), large, fifo(8)];

    let node = written(&keys, &chunks, &entries);

    assert_eq!(read(&chunks, &node).unwrap(), entries);
    assert_eq!(node.ids.len(), 3);
}

#[test]
fn an_entry_that_the_format_cannot_hold_leaves_the_node_as_it_was() {
    let keys = keys();
    let mut chunks = MemoryChunks::new(keys.clone());
    let mut writer = NodeWriter::new(&keys);
    writer.push(&mut chunks, &fifo(1)).unwrap();

    let refused = writer.push(&mut chunks, &entry("a/b", Content::Fifo));

    assert!(matches!(refused, Err(Error::Format(_))));
    writer.push(&mut chunks, &fifo(2)).unwrap();
    let node = writer.finish(&mut chunks).unwrap();
    assert_eq!(read(&chunks, &node).unwrap(), [fifo(1), fifo(2)]);
}

#[test]
fn entries_before_a_lost_piece_are_read_all_the_same() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let entries: Vec<Entry> = (0..20_000).map(fifo).collect();
    let node = written(&keys, &chunks, &entries);
    chunks.lose(&node.ids[node.ids.len() / 2]);

    let mut read = NodeEntries::new(&chunks, &node);
    let sound = read.by_ref().take_while(Result::is_ok).count();

    assert!(sound > 5000, "{sound} entries");
    assert!(read.next().is_none(), "nothing comes after an error");
}

#[test]
fn contents_of_every_length_come_back() {
    let keys = keys();
    let table = CutTable::new(&keys);
    let mut chunks = MemoryChunks::new(keys.clone());
    let mut buffer = vec![0; CONTENT_BUFFER_BYTES];
    for bytes in [0, 1, 512 * KIB, 512 * KIB + 1, CONTENT_BUFFER_BYTES, 9_999_999] {
        let mut plain = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut plain);
        let mut rest = &plain[..];
        // Reads come in odd lengths, and some bytes are in the buffer before.
        let filled = rest.len().min(100);
        buffer[..filled].copy_from_slice(&rest[..filled]);
        rest = &rest[filled..];

        let stream = store_content::<chunk::Error>(
            &mut chunks,
            table.file(),
            &mut buffer,
            filled,
            &mut |room| {
                let count = room.len().min(rest.len()).min(77_777);
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            },
        )
        .unwrap();

        let chunk_count = stream.ids.len();
        let is_whole = chunk_count == usize::from(bytes > 0);
        assert!(is_whole || bytes > 512 * KIB, "{bytes} bytes in {chunk_count} chunks");
        assert!(chunk_count > 2 || bytes < 4 * 1024 * KIB, "{bytes} bytes in {chunk_count}");
        assert_eq!(stream::read(&chunks, &stream, u64::MAX).unwrap(), plain);
    }
}

#[test]
fn bytes_of_a_sparse_file_go_where_its_extents_say() {
    let extents = [(10, 3), (20, 5)];
    let mut layout = Layout::new(30, Some(&extents));
    let mut placed = Vec::new();

    for piece in ["abcd", "ef", "gh"] {
        layout
            .place::<Error>(piece.as_bytes(), &mut |offset, bytes| {
                placed.push((offset, String::from_utf8(bytes.to_vec()).unwrap()));
                Ok(())
            })
            .unwrap();
    }

    let expected = [(10, "abc"), (20, "d"), (21, "ef"), (23, "gh")];
    assert_eq!(placed, expected.map(|(offset, text)| (offset, text.to_owned())));
    assert!(layout.finish().is_ok());
    assert!(layout.place::<Error>(b"more", &mut |_, _| Ok(())).is_err());
    assert!(Layout::new(1, None).finish().is_err());
}

/// A tree of `a/b/c` and `d`.
fn tree(keys: &Keys, chunks: &MemoryChunks) -> Entry {
    let folder = |name, entries: &[Entry]| {
        entry(name, Content::Folder { node: written(keys, chunks, entries) })
    };
    let b = folder("b", &[entry("c", Content::Fifo)]);
    folder("root", &[folder("a", &[b]), entry("d", Content::Fifo)])
}

#[test]
fn a_path_leads_to_its_entry_or_nowhere() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let root = tree(&keys, &chunks);
    let name = |path: &str| {
        find(&chunks, &root, path.as_bytes()).unwrap().map(|e| String::from_utf8(e.name).unwrap())
    };

    assert_eq!(name("").as_deref(), Some("root"));
    assert_eq!(name("a/b/c").as_deref(), Some("c"));
    assert_eq!(name("/a/b/").as_deref(), Some("b"));
    assert_eq!(name("a/x"), None);
    assert_eq!(name("d/x"), None);
    assert_eq!(name("e"), None);
}

#[test]
fn a_walk_meets_every_entry_and_goes_on_beside_what_it_cannot_read() {
    let keys = keys();
    let chunks = MemoryChunks::new(keys.clone());
    let root = tree(&keys, &chunks);
    let Content::Folder { node } = &root.content else { unreachable!("it is a folder") };
    let met = || {
        let mut met = Vec::new();
        walk::<Error>(&chunks, node, &mut |path, what| {
            let path = String::from_utf8(path.to_vec()).unwrap();
            met.push(match what {
                Met::Entry(_) => path,
                Met::Unreadable(_) => format!("{path} is unreadable"),
            });
            Ok(Step::Into)
        })
        .unwrap();
        met
    };
    assert_eq!(met(), ["a", "a/b", "a/b/c", "d"]);
    let b = find(&chunks, &root, b"a/b").unwrap().unwrap();
    let Content::Folder { node: lost } = b.content else { unreachable!("it is a folder") };

    chunks.lose(&lost.ids[0]);

    assert_eq!(met(), ["a", "a/b", "a/b is unreadable", "d"]);
}
