use proptest::prelude::*;

use super::*;
use crate::format::samples::{
    any_entry, breaks, chunk_id, entry, every_truncation_fails, file, hex, image, stream,
};

fn sparse(bytes: u64, extents: Vec<(u64, u64)>) -> Entry {
    let data_bytes = extents.iter().map(|(_, length)| length).sum();
    let stream = Stream { depth: 0, bytes: data_bytes, ids: vec![chunk_id(1)] };
    entry("s", Content::File { bytes, stream, extents: Some(extents) })
}

#[test]
fn a_file_has_the_bytes_of_the_spec() {
    let mut file = file("a.jpg");
    file.xattrs = vec![(b"user.a".to_vec(), b"1".to_vec())];
    file.problem = Some("é".to_owned());
    let expected = [
        "05612e6a7067",       // name
        "01a403e80764",       // kind, mode, owner, group
        "809af3910d959aef3a", // modified
        "829af3910d00",       // changed
        "8110988850",         /* device, inode */
        "01",                 // links
        "c0843d",             // size
        &hex(&{
            let mut out = Vec::new();
            stream().encode(&mut out);
            out
        }),
        "02",
        "0109",
        "06757365722e61",
        "0131",
        "0302c3a9",
    ];

    let bytes = file.encode().unwrap();
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(Entry::decode(&bytes), Ok(file));
    every_truncation_fails(&bytes, Entry::decode);
}

#[test]
fn a_sparse_file_keeps_its_extents_as_gaps_and_lengths() {
    let entry = sparse(10_000, vec![(100, 5), (105, 1), (9_999, 1)]);

    let bytes = entry.encode().unwrap();

    assert!(hex(&bytes).ends_with("0102080364050001a54d01"));
    assert_eq!(Entry::decode(&bytes), Ok(entry));
}

#[test]
fn names_that_could_lead_out_of_a_folder_are_refused_on_both_sides() {
    for name in ["", ".", "..", "a/b", "/", "a\0", &"x".repeat(256)] {
        assert!(file(name).encode().is_err(), "{name:?} is written");
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, name.as_bytes());
        bytes.extend_from_slice(&file("x").encode().unwrap()[2..]);
        assert!(Entry::decode(&bytes).is_err(), "{name:?} is read");
    }
    assert!(file(&"x".repeat(255)).encode().is_ok());
    assert!(file("...").encode().is_ok());
}

#[test]
fn every_rule_of_entries_is_enforced() {
    let refused = |change: fn(&mut Entry), words| {
        let mut entry = file("x");
        change(&mut entry);
        breaks(entry.encode(), words)
    };
    let xattr = |name: &str, bytes: usize| (name.as_bytes().to_vec(), vec![0; bytes]);

    assert!(refused(|entry| entry.mode = 0o10_000, "unknown bits"));
    assert!(refused(|entry| entry.changed.1 = 1_000_000_000, "more than a second"));
    assert!(refused(|entry| entry.problem = Some("x".repeat(4097)), "problem is too long"));
    assert!(refused(|entry| entry.content = Content::Link { target: vec![] }, "no target"));
    let link = |bytes| Content::Link { target: vec![b'x'; bytes] };
    let link_to = |bytes| Entry { content: link(bytes), ..file("x") }.encode();
    assert!(link_to(LINK_TARGET_BYTES_MAX).is_ok());
    assert!(breaks(link_to(LINK_TARGET_BYTES_MAX + 1), "link target is too long"));
    assert!(Entry { modified: (0, 999_999_999), ..file("x") }.encode().is_ok());
    let xattrs = |xattrs| Entry { xattrs, ..file("x") }.encode();
    assert!(xattrs(vec![xattr("a", XATTR_BYTES_MAX - 1)]).is_ok());
    assert!(breaks(xattrs(vec![xattr("a", XATTR_BYTES_MAX)]), "attributes are too long"));
    assert!(breaks(xattrs(vec![xattr("b", 1), xattr("a", 1)]), "do not ascend"));
    assert!(breaks(xattrs(vec![xattr("a", 1), xattr("a", 1)]), "do not ascend"));
    assert!(breaks(xattrs(vec![xattr("", 1)]), "no name"));
}

#[test]
fn an_entry_that_is_refused_leaves_nothing_behind() {
    let image = Image { page_bytes: 1, ..image() };
    let refused = Entry { content: Content::Database(Box::new(image)), ..file("x") };
    let mut out = vec![7];

    assert!(breaks(refused.encode_into(&mut out), "power of two"));
    assert_eq!(out, [7]);
}

#[test]
fn every_rule_of_extents_is_enforced() {
    assert!(sparse(10, vec![(0, 10)]).encode().is_ok());
    assert!(breaks(sparse(10, vec![(0, 11)]).encode(), "beyond the file"));
    assert!(breaks(sparse(10, vec![(u64::MAX, 2)]).encode(), "beyond the file"));
    assert!(breaks(sparse(10, vec![(0, 1), (1, 0)]).encode(), "empty"));
    assert!(breaks(sparse(10, vec![(5, 1), (4, 1)]).encode(), "out of order"));
    let many = |count: u64| sparse(count * 2, (0..count).map(|at| (at * 2, 1)).collect());
    assert!(many(EXTENTS_MAX as u64).encode().is_ok());
    assert!(breaks(many(EXTENTS_MAX as u64 + 1).encode(), "too many extents"));
    let mut other = sparse(10, vec![(0, 10)]);
    if let Content::File { stream, .. } = &mut other.content {
        stream.bytes = 9;
    }
    assert!(breaks(other.encode(), "extents and stream differ"));
    let dense = Content::File { bytes: 5, stream: stream(), extents: None };
    assert!(breaks(entry("x", dense).encode(), "size and stream differ"));
}

#[test]
fn extras_ascend_and_unknown_ones_are_skipped() {
    let plain = file("x").encode().unwrap();
    let with = |extras: &[u8]| Entry::decode(&[&plain[..plain.len() - 1], extras].concat());

    assert_eq!(with(&[1, 200, 2, 0xff, 0xff]), Ok(file("x")));
    assert!(breaks(with(&[2, 3, 0, 3, 0]), "do not ascend"));
    assert!(breaks(with(&[2, 3, 0, 1, 3, 1, 97, 0]), "do not ascend"));
    assert!(breaks(with(&[1, 3, 1, 0xff]), "not UTF-8"));
    assert!(breaks(with(&[1, 1, 4, 1, 97, 0, 0]), "follow the end"));
    let fifo = entry("x", Content::Fifo).encode().unwrap();
    let sparse_fifo = [&fifo[..fifo.len() - 1], &[1, 2, 1, 0]].concat();
    assert!(breaks(Entry::decode(&sparse_fifo), "only files have extents"));
    let mut unknown = fifo;
    unknown[2] = 9;
    assert!(matches!(Entry::decode(&unknown), Err(Error::Newer { .. })));
}

proptest! {
    #[test]
    fn every_entry_survives(entry in any_entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
    }
}
