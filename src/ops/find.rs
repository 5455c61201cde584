//! Every version of a file, over all snapshots, found by its name.
//!
//! A folder that is the same in two snapshots is one node: it is looked into once, however many
//! snapshots hold it.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::{
    chunk::Fetch,
    format::{
        node::{Content, Entry},
        record::PartContent,
        stream::Stream,
    },
    limits::FOLDER_DEPTH_MAX,
    ops::Error,
    repo::{
        Snapshot,
        tree::{self, NodeEntries, walk},
    },
};

/// A file as it was for a while.
#[derive(Debug, Clone)]
pub struct Version<'a> {
    pub part: &'a str,
    /// Inside the part.
    pub path: Vec<u8>,
    pub entry: Rc<Entry>,
    /// The first snapshot that has it so, and the last.
    pub first: &'a Snapshot,
    pub last: &'a Snapshot,
    /// Whether the newest snapshot of the part has it.
    pub is_present: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found<'a> {
    /// By part and path, oldest first.
    pub versions: Vec<Version<'a>>,
    /// Folders that were read.
    pub nodes_read: u64,
    /// Folders that cannot be read to their end.
    pub unreadable: Vec<(Vec<u8>, tree::Error)>,
}

/// What is in a folder and below it, of what is looked for.
type Matches = Rc<Vec<(Vec<u8>, Rc<Entry>)>>;

/// Finds every version of what matches a pattern, as in `.gitignore`.
pub fn find<'a>(
    snapshots: &'a [Snapshot],
    fetch: &dyn Fetch,
    pattern: &str,
) -> Result<Found<'a>, Error> {
    let mut search = Search { fetch, patterns: compile(pattern)?, known: HashMap::new(), nodes: 0 };
    let mut found = Found::default();
    // The version of each path that the snapshot before has.
    let mut current: BTreeMap<(&'a str, Vec<u8>), Version<'a>> = BTreeMap::new();
    for snapshot in snapshots {
        for part in &snapshot.record.parts {
            let PartContent::Tree { root, .. } = &part.content else { continue };
            let matches = search.below(root, &mut found.unreadable);
            let before: Vec<_> =
                current.keys().filter(|(of, _)| *of == part.name).cloned().collect();
            for key in before {
                let is_there = matches.binary_search_by(|(path, _)| path.cmp(&key.1)).is_ok();
                if !is_there && let Some(mut gone) = current.remove(&key) {
                    gone.is_present = false;
                    found.versions.push(gone);
                }
            }
            for (path, entry) in matches.iter() {
                let version = Version {
                    part: &part.name,
                    path: path.clone(),
                    entry: Rc::clone(entry),
                    first: snapshot,
                    last: snapshot,
                    is_present: true,
                };
                let key = (part.name.as_str(), path.clone());
                match current.get_mut(&key) {
                    Some(known) if is_same(&known.entry, entry) => known.last = snapshot,
                    Some(known) => {
                        let mut older = std::mem::replace(known, version);
                        older.is_present = false;
                        found.versions.push(older);
                    }
                    None => drop(current.insert(key, version)),
                }
            }
        }
    }
    found.versions.extend(current.into_values());
    found.versions.sort_by(|a, b| {
        let key = |version: &Version<'a>| (version.part, version.first.record.created);
        key(a).0.cmp(key(b).0).then_with(|| a.path.cmp(&b.path)).then(key(a).1.cmp(&key(b).1))
    });
    found.nodes_read = search.nodes;
    Ok(found)
}

fn compile(pattern: &str) -> Result<Gitignore, Error> {
    let refused = |error: ignore::Error| Error::Pattern { why: error.to_string() };
    let mut builder = GitignoreBuilder::new("");
    let _ = builder.add_line(None, pattern).map_err(refused)?;
    builder.build().map_err(refused)
}

/// Whether two entries of one path hold the same.
fn is_same(a: &Entry, b: &Entry) -> bool {
    match (&a.content, &b.content) {
        // A folder is the same as long as it is there.
        (Content::Folder { .. }, Content::Folder { .. }) => true,
        (Content::Database(a), Content::Database(b)) => a.identity == b.identity,
        (a, b) => a == b,
    }
}

struct Search<'f> {
    fetch: &'f dyn Fetch,
    patterns: Gitignore,
    /// What was found below each node, by the node and its path: a pattern may ask for a path.
    known: HashMap<(Vec<u8>, [u8; 32]), Matches>,
    nodes: u64,
}

/// A folder that is being read.
struct Open<'f> {
    key: (Vec<u8>, [u8; 32]),
    entries: NodeEntries<'f>,
    found: Vec<(Vec<u8>, Rc<Entry>)>,
}

impl<'f> Search<'f> {
    /// Everything below a root that matches, by path.
    fn below(&mut self, root: &Entry, unreadable: &mut Vec<(Vec<u8>, tree::Error)>) -> Matches {
        let Content::Folder { node } = &root.content else { return Rc::default() };
        let key = (Vec::new(), identity(node));
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        // No recursion on input.
        let mut open = vec![self.enter(key, node)];
        loop {
            let depth = open.len();
            let Some(folder) = open.last_mut() else { return Rc::default() };
            let entry = match folder.entries.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    unreadable.push((folder.key.0.clone(), error));
                    continue;
                }
                None => {
                    let done = open.pop().map(|folder| self.leave(folder)).unwrap_or_default();
                    match open.last_mut() {
                        Some(above) => above.found.extend(done.iter().cloned()),
                        None => return done,
                    }
                    continue;
                }
            };
            let mut path = folder.key.0.clone();
            walk::join(&mut path, &entry.name);
            if self.matches(&path, &entry) {
                folder.found.push((path.clone(), Rc::new(entry.clone())));
            }
            let Content::Folder { node } = &entry.content else { continue };
            let key = (path, identity(node));
            match self.known.get(&key) {
                Some(known) => folder.found.extend(known.iter().cloned()),
                None if depth <= FOLDER_DEPTH_MAX => open.push(self.enter(key, node)),
                None => {}
            }
        }
    }

    fn enter(&mut self, key: (Vec<u8>, [u8; 32]), node: &Stream) -> Open<'f> {
        self.nodes += 1;
        Open { key, entries: NodeEntries::new(self.fetch, node), found: Vec::new() }
    }

    fn leave(&mut self, mut folder: Open<'f>) -> Matches {
        folder.found.sort_by(|a, b| a.0.cmp(&b.0));
        let found: Matches = Rc::new(folder.found);
        let _ = self.known.insert(folder.key, Rc::clone(&found));
        found
    }

    fn matches(&self, path: &[u8], entry: &Entry) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
        let is_folder = matches!(entry.content, Content::Folder { .. });
        self.patterns.matched(path, is_folder).is_ignore()
    }
}

/// Nodes with the same stream are the same.
fn identity(node: &Stream) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let _ = hasher.update(&node.bytes.to_le_bytes()).update(&[node.depth]);
    for id in &node.ids {
        let _ = hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
