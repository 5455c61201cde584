//! What a record reaches: every chunk that a restore of it may need. Spec:
//! `format-spec/40-folder.md`, `50-page-map.md`.

use std::collections::HashSet;

use crate::{
    chunk::{self, Fetch},
    format::{
        self,
        image::Image,
        node::{Content, Entry, NodeReader},
        page_map::PageMap,
        record::{Part, PartContent, Record},
        stream::Stream,
    },
    id::ChunkId,
    limits::{NODE_BYTES_MAX, PAGE_MAP_BYTES_MAX},
    repo::{Error, stream},
};

/// Walks over everything that records reach. Nodes that were walked once are not walked again.
pub struct Closure<'a> {
    fetch: &'a dyn Fetch,
    /// First chunks of node streams that were walked; equal nodes are equal trees.
    walked: HashSet<ChunkId>,
}

/// What a walk could not read: the chunk or object, where it is used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub path: Vec<u8>,
    pub why: String,
}

impl<'a> Closure<'a> {
    /// Begins a walk that has seen nothing.
    pub fn new(fetch: &'a dyn Fetch) -> Self {
        Self { fetch, walked: HashSet::new() }
    }

    /// Calls `visit` with every chunk the part reaches. What cannot be read is returned; the walk
    /// goes on past it.
    pub fn part(&mut self, part: &Part, visit: &mut dyn FnMut(&[u8], &ChunkId)) -> Vec<Unreadable> {
        let mut unreadable = Vec::new();
        match &part.content {
            PartContent::Database { image, .. } => self.image(b"", image, visit, &mut unreadable),
            PartContent::Tree { root, .. } => self.tree(root, visit, &mut unreadable),
        }
        unreadable
    }

    fn tree(
        &mut self,
        root: &Entry,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
        unreadable: &mut Vec<Unreadable>,
    ) {
        let mut folders = Vec::new();
        self.entry(root, Vec::new(), &mut folders, visit, unreadable);
        while let Some((path, node)) = folders.pop() {
            if node.ids.first().is_some_and(|id| node.ids.len() == 1 && !self.walked.insert(*id)) {
                continue;
            }
            match self.node(&path, &node, visit) {
                Ok(entries) => {
                    for entry in entries {
                        let mut below = path.clone();
                        if !below.is_empty() {
                            below.push(b'/');
                        }
                        below.extend_from_slice(&entry.name);
                        self.entry(&entry, below, &mut folders, visit, unreadable);
                    }
                }
                Err(error) => unreadable.push(Unreadable { path, why: error.to_string() }),
            }
        }
    }

    fn node(
        &self,
        path: &[u8],
        node: &Stream,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
    ) -> Result<Vec<Entry>, Error> {
        visit_ids(node, self.fetch, &mut |id| visit(path, id))?;
        let bytes = stream::read(self.fetch, node, NODE_BYTES_MAX)?;
        Ok(NodeReader::new(&bytes).collect::<Result<_, format::Error>>()?)
    }

    fn entry(
        &self,
        entry: &Entry,
        path: Vec<u8>,
        folders: &mut Vec<(Vec<u8>, Stream)>,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
        unreadable: &mut Vec<Unreadable>,
    ) {
        match &entry.content {
            Content::Folder { node } => folders.push((path, node.clone())),
            Content::Database(image) => self.image(&path, image, visit, unreadable),
            Content::File { stream, .. } => {
                let walked = visit_ids(stream, self.fetch, &mut |id| visit(&path, id));
                if let Err(error) = walked {
                    unreadable.push(Unreadable { path, why: error.to_string() });
                }
            }
            _ => {}
        }
    }

    fn image(
        &self,
        path: &[u8],
        image: &Image,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
        unreadable: &mut Vec<Unreadable>,
    ) {
        if let Err(error) = self.try_image(path, image, visit) {
            unreadable.push(Unreadable { path: path.to_vec(), why: error.to_string() });
        }
    }

    fn try_image(
        &self,
        path: &[u8],
        image: &Image,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
    ) -> Result<(), Error> {
        for stream in [&image.base, &image.folded, &image.recent] {
            visit_ids(stream, self.fetch, &mut |id| visit(path, id))?;
        }
        for group in stream::read(self.fetch, &image.base, PAGE_MAP_BYTES_MAX)?.chunks_exact(32) {
            visit(path, &ChunkId(group.try_into().expect("chunks of 32 bytes")));
        }
        for map in [&image.folded, &image.recent] {
            if map.bytes > 0 {
                let map = PageMap::decode(&stream::read(self.fetch, map, PAGE_MAP_BYTES_MAX)?)?;
                map.chunks.iter().for_each(|id| visit(path, id));
            }
        }
        Ok(())
    }
}

/// Calls `visit` with every chunk of a stream, lists included.
fn visit_ids(
    stream: &Stream,
    fetch: &dyn Fetch,
    visit: &mut dyn FnMut(&ChunkId),
) -> Result<(), stream::Error> {
    stream::for_each_chunk(fetch, stream, &mut |_, id| {
        visit(&id);
        Ok(())
    })
}

/// Returns the parts of a record that need a lost chunk, or cannot be walked.
pub fn condemned_parts(
    record: &Record,
    fetch: &dyn Fetch,
    is_lost: &mut dyn FnMut(&ChunkId) -> Result<bool, chunk::Error>,
) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    for part in &record.parts {
        let mut lost = Ok(false);
        let unreadable = Closure::new(fetch).part(part, &mut |_, id| {
            if matches!(lost, Ok(false)) {
                lost = is_lost(id);
            }
        });
        if lost? || !unreadable.is_empty() {
            parts.push(part.name.clone());
        }
    }
    Ok(parts)
}
