//! What a record reaches: every chunk that a restore of it may need. Spec:
//! `format-spec/40-folder.md`, `50-page-map.md`.

use std::collections::HashSet;

use crate::{
    chunk::{self, Fetch},
    format::{
        image::Image,
        node::{Content, Entry},
        page_map::PageMap,
        record::{Part, PartContent, Record},
        stream::Stream,
    },
    id::ChunkId,
    limits::PAGE_MAP_BYTES_MAX,
    repo::{
        Error, stream,
        tree::{self, NodeEntries},
    },
};

/// Walks over everything that records reach. Nodes that were walked once are not walked again.
pub struct Closure<'a> {
    fetch: &'a dyn Fetch,
    /// Hashes of the ids of node streams that were walked; equal nodes are equal trees.
    walked: HashSet<[u8; 32]>,
    /// The same for the streams of page maps, where one visit of each chunk is enough.
    walked_maps: Option<HashSet<[u8; 32]>>,
}

/// What a walk could not read, where it is used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub path: Vec<u8>,
    pub why: String,
}

/// Is told what a walk meets.
struct Meets<'v> {
    visit: &'v mut dyn FnMut(&[u8], &ChunkId),
    unreadable: Vec<Unreadable>,
    /// Folders that are still to be walked, with their paths.
    folders: Vec<(Vec<u8>, Stream)>,
}

impl<'a> Closure<'a> {
    /// Begins a walk that has seen nothing.
    pub fn new(fetch: &'a dyn Fetch) -> Self {
        Self { fetch, walked: HashSet::new(), walked_maps: None }
    }

    /// Begins a walk that visits what many images share only once.
    pub fn once(fetch: &'a dyn Fetch) -> Self {
        Self { walked_maps: Some(HashSet::new()), ..Self::new(fetch) }
    }

    /// Calls `visit` with every chunk the part reaches. What cannot be read is returned; the walk
    /// goes on past it.
    pub fn part(&mut self, part: &Part, visit: &mut dyn FnMut(&[u8], &ChunkId)) -> Vec<Unreadable> {
        let mut meets = Meets { visit, unreadable: Vec::new(), folders: Vec::new() };
        match &part.content {
            PartContent::Database { image, .. } => self.image(b"", image, &mut meets),
            PartContent::Tree { root, .. } => self.entry(root, Vec::new(), &mut meets),
        }
        while let Some((path, node)) = meets.folders.pop() {
            let identity = identity(&node);
            if self.walked.insert(identity)
                && let Err(error) = self.node(&path, &node, &mut meets)
            {
                // Whoever meets it again is to hear of it, too.
                let _ = self.walked.remove(&identity);
                meets.unreadable.push(Unreadable { path, why: error.to_string() });
            }
        }
        meets.unreadable
    }

    fn node(
        &mut self,
        path: &[u8],
        node: &Stream,
        meets: &mut Meets<'_>,
    ) -> Result<(), tree::Error> {
        visit_ids(node, self.fetch, &mut |id| (meets.visit)(path, id))?;
        for entry in NodeEntries::new(self.fetch, node) {
            let entry = entry?;
            let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.entry(&entry, [path, separator, &entry.name].concat(), meets);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, path: Vec<u8>, meets: &mut Meets<'_>) {
        match &entry.content {
            Content::Folder { node } => meets.folders.push((path, node.clone())),
            Content::Database(image) => self.image(&path, image, meets),
            Content::File { stream, .. } => {
                let walked = visit_ids(stream, self.fetch, &mut |id| (meets.visit)(&path, id));
                if let Err(error) = walked {
                    meets.unreadable.push(Unreadable { path, why: error.to_string() });
                }
            }
            _ => {}
        }
    }

    fn image(&mut self, path: &[u8], image: &Image, meets: &mut Meets<'_>) {
        if let Err(error) = self.try_image(path, image, meets.visit) {
            meets.unreadable.push(Unreadable { path: path.to_vec(), why: error.to_string() });
        }
    }

    fn try_image(
        &mut self,
        path: &[u8],
        image: &Image,
        visit: &mut dyn FnMut(&[u8], &ChunkId),
    ) -> Result<(), Error> {
        if self.is_new_map(&image.base) {
            visit_ids(&image.base, self.fetch, &mut |id| visit(path, id))?;
            let groups = stream::read(self.fetch, &image.base, PAGE_MAP_BYTES_MAX)?;
            for group in groups.chunks_exact(32) {
                visit(path, &ChunkId(group.try_into().expect("chunks of 32 bytes")));
            }
            self.note_map(&image.base);
        }
        for stream in [&image.folded, &image.recent] {
            if stream.bytes > 0 && self.is_new_map(stream) {
                visit_ids(stream, self.fetch, &mut |id| visit(path, id))?;
                let map = stream::read(self.fetch, stream, PAGE_MAP_BYTES_MAX)?;
                PageMap::decode(&map)?.chunks.iter().for_each(|id| visit(path, id));
                self.note_map(stream);
            }
        }
        Ok(())
    }

    fn is_new_map(&self, stream: &Stream) -> bool {
        self.walked_maps.as_ref().is_none_or(|maps| !maps.contains(&identity(stream)))
    }

    /// Only what was read to its end need not be read again.
    fn note_map(&mut self, stream: &Stream) {
        if let Some(maps) = &mut self.walked_maps {
            let _ = maps.insert(identity(stream));
        }
    }
}

/// What tells one stream from all others.
pub(super) fn identity(node: &Stream) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let _ = hasher.update(&[node.depth]);
    for id in &node.ids {
        let _ = hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
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

/// What of a record is lost.
#[derive(Debug, Default)]
pub struct Lost {
    /// Names of the parts that need a lost chunk, or cannot be walked.
    pub parts: Vec<String>,
    pub chunks: HashSet<ChunkId>,
    /// Whether all that the record reaches is known: else more may be lost than the chunks say.
    pub is_walked: bool,
}

/// Looks for everything that a record reaches.
pub fn lost(
    record: &Record,
    fetch: &dyn Fetch,
    is_lost: &mut dyn FnMut(&ChunkId) -> Result<bool, chunk::Error>,
) -> Result<Lost, Error> {
    let mut all = Lost { is_walked: true, ..Lost::default() };
    for part in &record.parts {
        let (mut failed, mut found) = (None, false);
        let unreadable = Closure::new(fetch).part(part, &mut |_, id| match is_lost(id) {
            Ok(false) => {}
            Ok(true) => {
                found = true;
                let _ = all.chunks.insert(*id);
            }
            Err(error) => drop(failed.get_or_insert(error)),
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        all.is_walked &= unreadable.is_empty();
        if found || !unreadable.is_empty() {
            all.parts.push(part.name.clone());
        }
    }
    Ok(all)
}
