//! What each snapshot cannot give back: from records down to the chunks that are lost.
//!
//! A folder is walked once, however many snapshots hold it. Kept of it is whether all below it is
//! whole, or else what is not: memory grows with the number of distinct folders and with the
//! damage, never with the number of snapshots.

use std::collections::{HashMap, HashSet};

use crate::{
    chunk::Fetch,
    format::{
        image::Image,
        node::{Content, Entry},
        page_map::PageMap,
        record::{Part, PartContent},
        stream::Stream,
    },
    id::ChunkId,
    limits::{FOLDER_DEPTH_MAX, PAGE_MAP_BYTES_MAX},
    repo::{
        Error,
        closure::identity,
        stream,
        tree::{self, NodeEntries},
    },
};

/// Things that are not whole in one folder and are told one by one.
const HARMS_TOLD_MAX: usize = 1000;

/// Walks records and tells what of them is lost.
pub struct Affected<'a> {
    fetch: &'a dyn Fetch,
    is_lost: &'a dyn Fn(&ChunkId) -> bool,
    /// Nodes below which all is whole.
    whole: HashSet<[u8; 32]>,
    harmed: HashMap<[u8; 32], Vec<Harm>>,
    /// What is wrong with streams that many images share: bases and folded maps.
    streams: HashMap<[u8; 32], Option<String>>,
}

/// Something in a folder that is not whole.
#[derive(Debug, Clone)]
enum Harm {
    /// The folder's own list of entries, an entry, or a number of further ones.
    Here { name: Vec<u8>, why: String },
    /// Something below an entry.
    Below { name: Vec<u8>, node: [u8; 32] },
}

/// A folder whose entries were read, and whose folders are being walked.
struct Open {
    name: Vec<u8>,
    node: [u8; 32],
    harms: Vec<Harm>,
    folders: Vec<(Vec<u8>, Stream)>,
}

impl<'a> Affected<'a> {
    /// Begins with nothing walked.
    pub fn new(fetch: &'a dyn Fetch, is_lost: &'a dyn Fn(&ChunkId) -> bool) -> Self {
        Self {
            fetch,
            is_lost,
            whole: HashSet::new(),
            harmed: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// Calls `tell` with the path and the reason of everything in the part that is not whole.
    pub fn part(&mut self, part: &Part, tell: &mut dyn FnMut(&[u8], &str)) {
        match &part.content {
            PartContent::Database { image, .. } => {
                if let Some(why) = self.image(image) {
                    tell(b"", &why);
                }
            }
            PartContent::Tree { root, .. } => match &root.content {
                Content::Folder { node } => {
                    self.walk(node);
                    self.tell_below(identity(node), tell);
                }
                _ => {
                    if let Some(why) = self.entry(root) {
                        tell(b"", &why);
                    }
                }
            },
        }
    }

    /// Tells what is known of a node that was walked.
    fn tell_below(&self, node: [u8; 32], tell: &mut dyn FnMut(&[u8], &str)) {
        let mut ahead = vec![(Vec::new(), node)];
        while let Some((path, node)) = ahead.pop() {
            for harm in self.harmed.get(&node).into_iter().flatten() {
                match harm {
                    Harm::Here { name, why } => tell(&join(&path, name), why),
                    Harm::Below { name, node } => ahead.push((join(&path, name), *node)),
                }
            }
        }
    }

    /// Walks a node and all below it, children before their parents, without recursion.
    fn walk(&mut self, root: &Stream) {
        let mut open = Vec::new();
        self.enter(Vec::new(), root, &mut open);
        while let Some(top) = open.last_mut() {
            if let Some((name, node)) = top.folders.pop() {
                if !self.is_known(&identity(&node)) {
                    self.enter(name, &node, &mut open);
                } else if self.harmed.contains_key(&identity(&node)) {
                    top.harms.push(Harm::Below { name, node: identity(&node) });
                }
                continue;
            }
            let Some(done) = open.pop() else { break };
            self.close(done, open.last_mut());
        }
    }

    fn enter(&mut self, name: Vec<u8>, node: &Stream, open: &mut Vec<Open>) {
        let id = identity(node);
        if self.is_known(&id) {
            return;
        }
        if open.len() > FOLDER_DEPTH_MAX {
            let why = "folders are nested deeper than any may be".to_owned();
            let _ = self.harmed.insert(id, vec![Harm::Here { name: Vec::new(), why }]);
            return;
        }
        let mut new = Open { name, node: id, harms: Vec::new(), folders: Vec::new() };
        if let Err(error) = self.entries(node, &mut new) {
            new.harms.push(Harm::Here { name: Vec::new(), why: error.to_string() });
        }
        open.push(new);
    }

    fn close(&mut self, done: Open, parent: Option<&mut Open>) {
        if done.harms.is_empty() {
            let _ = self.whole.insert(done.node);
            return;
        }
        if let Some(parent) = parent {
            parent.harms.push(Harm::Below { name: done.name, node: done.node });
        }
        let _ = self.harmed.insert(done.node, done.harms);
    }

    fn is_known(&self, node: &[u8; 32]) -> bool {
        self.whole.contains(node) || self.harmed.contains_key(node)
    }

    fn entries(&mut self, node: &Stream, into: &mut Open) -> Result<(), tree::Error> {
        let mut more = 0_u64;
        // A lost chunk of the node itself shows when it is read; the entries before it are known.
        for entry in NodeEntries::new(self.fetch, node) {
            let entry = entry?;
            if let Content::Folder { node } = &entry.content {
                into.folders.push((entry.name.clone(), node.clone()));
            } else if let Some(why) = self.entry(&entry) {
                if into.harms.len() < HARMS_TOLD_MAX {
                    into.harms.push(Harm::Here { name: entry.name.clone(), why });
                } else {
                    more += 1;
                }
            }
        }
        if more > 0 {
            let why = format!("{more} further entries are lost here");
            into.harms.push(Harm::Here { name: Vec::new(), why });
        }
        Ok(())
    }

    /// Why an entry that is no folder cannot be given back whole.
    fn entry(&mut self, entry: &Entry) -> Option<String> {
        match &entry.content {
            Content::File { stream, .. } => self.stream(stream),
            Content::Database(image) => self.image(image),
            _ => None,
        }
    }

    fn image(&mut self, image: &Image) -> Option<String> {
        let [base, folded] = [(&image.base, Use::Groups), (&image.folded, Use::Map)]
            .map(|(stream, used)| self.shared(stream, used));
        base.or(folded).or_else(|| self.listed(&image.recent, Use::Map))
    }

    fn shared(&mut self, stream: &Stream, used: Use) -> Option<String> {
        let id = identity(stream);
        if let Some(known) = self.streams.get(&id) {
            return known.clone();
        }
        let found = self.listed(stream, used);
        let _ = self.streams.insert(id, found.clone());
        found
    }

    /// Looks at a stream and at every chunk that its content names.
    fn listed(&self, stream: &Stream, used: Use) -> Option<String> {
        if stream.bytes == 0 {
            return None;
        }
        let named = || -> Result<Vec<ChunkId>, Error> {
            let content = stream::read(self.fetch, stream, PAGE_MAP_BYTES_MAX)?;
            Ok(match used {
                Use::Map => PageMap::decode(&content)?.chunks,
                Use::Groups => {
                    let (ids, _) = content.as_chunks();
                    ids.iter().map(|id| ChunkId(*id)).collect()
                }
            })
        };
        self.stream(stream).or_else(|| match named() {
            Ok(ids) => ids.iter().find(|id| (self.is_lost)(id)).map(lost),
            Err(error) => Some(error.to_string()),
        })
    }

    /// Why a stream cannot be read whole, if any of its chunks is lost.
    fn stream(&self, stream: &Stream) -> Option<String> {
        let mut first = None;
        let walked = stream::for_each_chunk::<stream::Error>(self.fetch, stream, &mut |_, id| {
            if first.is_none() && (self.is_lost)(&id) {
                first = Some(id);
            }
            Ok(())
        });
        match (first, walked) {
            (Some(id), _) => Some(lost(&id)),
            (None, Err(error)) => Some(error.to_string()),
            (None, Ok(())) => None,
        }
    }
}

/// What the content of a stream names.
#[derive(Clone, Copy)]
enum Use {
    /// Ids of base groups.
    Groups,
    /// A page map.
    Map,
}

fn lost(id: &ChunkId) -> String {
    format!("chunk {id} is in no pack, or only in damaged ones")
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path, name) {
        (path, []) => path.to_vec(),
        ([], name) => name.to_vec(),
        (path, name) => [path, b"/", name].concat(),
    }
}
