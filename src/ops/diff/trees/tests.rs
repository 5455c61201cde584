use std::sync::Arc;

use super::*;
use crate::{
    chunk::{Store, memory::MemoryChunks},
    clock::SystemEntropy,
    crypto::keys::{Keys, first_ring},
    id::RepositoryId,
    repo::tree::NodeWriter,
};

/// A store to build trees in.
struct Shop {
    keys: Arc<Keys>,
    chunks: MemoryChunks,
    owners: OwnerMap,
}

fn shop() -> Shop {
    let ring = first_ring(&SystemEntropy, [0; 32]);
    let keys = Arc::new(Keys::from_ring(RepositoryId([1; 32]), &ring));
    Shop { chunks: MemoryChunks::new(Arc::clone(&keys)), keys, owners: OwnerMap::default() }
}

fn entry(name: &str, content: Content) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        content,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: (1, 0),
        changed: (1, 0),
        device: 1,
        inode: 1,
        links: 1,
        xattrs: Vec::new(),
        problem: None,
    }
}

impl Shop {
    fn file(&mut self, name: &str, text: &str) -> Entry {
        let id = self.chunks.put(text.as_bytes()).unwrap();
        let stream = Stream { depth: 0, bytes: text.len() as u64, ids: vec![id] };
        entry(name, Content::File { bytes: text.len() as u64, stream, extents: None })
    }

    fn folder(&mut self, name: &str, mut entries: Vec<Entry>) -> Entry {
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let mut node = NodeWriter::new(&self.keys);
        for entry in &entries {
            node.push(&mut self.chunks, entry).unwrap();
        }
        let node = node.finish(&mut self.chunks).unwrap();
        entry(name, Content::Folder { node })
    }

    fn diff(&self, from: &Entry, to: &Entry) -> Vec<(String, Change)> {
        let mut seen = Vec::new();
        diff((&self.chunks, &self.owners), (from, to), b"", &mut |found| match found {
            Ok(difference) => {
                seen.push((
                    String::from_utf8_lossy(difference.path).into_owned(),
                    difference.change,
                ));
            }
            Err((path, _)) => {
                seen.push((format!("?{}", String::from_utf8_lossy(path)), Change::Kind))
            }
        });
        seen
    }
}

fn pairs(expected: &[(&str, Change)]) -> Vec<(String, Change)> {
    expected.iter().map(|(path, change)| ((*path).to_owned(), *change)).collect()
}

#[test]
fn equal_trees_do_not_differ() {
    let mut shop = shop();
    let file = shop.file("a", "one");
    let root = shop.folder("root", vec![file]);

    assert_eq!(shop.diff(&root, &root.clone()), []);
}

#[test]
fn every_kind_of_difference_is_told_by_its_path() {
    let mut shop = shop();
    let (kept, gone, old) =
        (shop.file("kept", "1"), shop.file("gone", "2"), shop.file("edited", "3"));
    let (touched, turned) = (shop.file("touched", "4"), shop.file("turned", "5"));
    let below = shop.folder("below", vec![old, touched.clone()]);
    let from = shop.folder("root", vec![below, kept.clone(), gone, turned]);

    let (new, fresh) = (shop.file("edited", "33"), shop.file("fresh", "6"));
    let touched = Entry { mode: 0o600, ..touched };
    let below = shop.folder("below", vec![new, touched]);
    let turned = shop.folder("turned", Vec::new());
    let to = shop.folder("root", vec![below, kept, fresh, turned]);

    assert_eq!(
        shop.diff(&from, &to),
        pairs(&[
            ("below/edited", Change::Content),
            ("below/touched", Change::Metadata),
            ("fresh", Change::Added),
            ("gone", Change::Removed),
            ("turned", Change::Kind),
        ])
    );
}

#[test]
fn a_folder_that_one_side_lacks_is_told_with_all_that_is_below() {
    let mut shop = shop();
    let deep = shop.file("c", "1");
    let inner = shop.folder("b", vec![deep]);
    let outer = shop.folder("a", vec![inner]);
    let (full, empty) = (shop.folder("root", vec![outer]), shop.folder("root", Vec::new()));

    let all = ["a", "a/b", "a/b/c"];
    assert_eq!(shop.diff(&empty, &full), pairs(&all.map(|path| (path, Change::Added))));
    assert_eq!(shop.diff(&full, &empty), pairs(&all.map(|path| (path, Change::Removed))));
}

#[test]
fn another_inode_or_change_time_is_no_difference() {
    let mut shop = shop();
    let file = shop.file("a", "one");
    let from = shop.folder("root", vec![file.clone()]);
    let to = shop.folder("root", vec![Entry { inode: 2, changed: (9, 9), links: 2, ..file }]);

    assert_eq!(shop.diff(&from, &to), []);
}

#[test]
fn a_folder_that_cannot_be_read_is_told_and_the_others_are_compared() {
    let mut shop = shop();
    let (lost, kept) = (shop.file("x", "1"), shop.file("y", "2"));
    let broken = shop.folder("a", vec![lost]);
    let from = shop.folder("root", vec![broken.clone(), kept]);
    let (other, changed) = (shop.file("x", "3"), shop.file("y", "4"));
    let whole = shop.folder("a", vec![other]);
    let to = shop.folder("root", vec![whole, changed]);
    let Content::Folder { node } = &broken.content else { panic!("it is a folder") };
    shop.chunks.lose(&node.ids[0]);

    assert_eq!(
        shop.diff(&from, &to),
        pairs(&[("?a", Change::Kind), ("a/x", Change::Added), ("y", Change::Content)])
    );
}

#[test]
fn an_owner_with_another_number_and_the_same_name_is_the_same() {
    let mut shop = shop();
    let before = shop.file("price", "900");
    let after = |uid, gid| Entry { uid, gid, ..before.clone() };
    let _ = shop.owners.users.insert(0, 1000);

    assert_eq!(shop.diff(&before, &after(1000, 0)), []);
    assert_eq!(shop.diff(&before, &after(0, 0)), pairs(&[("", Change::Metadata)]));
    assert_eq!(shop.diff(&before, &after(1000, 5)), pairs(&[("", Change::Metadata)]));
}
