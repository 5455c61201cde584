//! What a mounted repository holds: folders that are read when somebody looks into them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    chunk::Fetch,
    clock::UnixNanos,
    format::{
        node::{Content, Entry},
        record::PartContent,
        stream::Stream,
    },
    ops::{
        moment::PartAt,
        mount::{
            Error,
            content::{FileContent, Opened},
        },
    },
    repo::{
        Repository,
        catalogue::Catalogue,
        image::{CachedImage, ImageReader},
        tree::NodeEntries,
    },
};

/// Everything that was looked at so far has a number; numbers are never given twice.
pub struct View {
    fetch: Arc<dyn Fetch>,
    catalogue: Arc<Catalogue>,
    nodes: Mutex<Vec<Arc<Node>>>,
}

/// Something with a name.
pub struct Node {
    pub number: u64,
    pub parent: u64,
    pub what: What,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970 UTC.
    pub modified: (i64, u32),
    /// The names in a folder, once somebody looked.
    children: Mutex<Option<Arc<Children>>>,
}

/// Names in a folder, and what they stand for.
pub type Children = BTreeMap<Vec<u8>, u64>;

/// What a node is.
pub enum What {
    /// A folder of ours, whose children are all known.
    Made,
    Entry(Content),
}

impl View {
    /// Number of the root folder.
    pub const ROOT: u64 = 1;

    /// Begins with an empty root.
    pub fn new(repository: &Repository) -> Result<Self, crate::repo::Error> {
        let (fetch, catalogue) = (repository.fetcher()?, repository.catalogue()?);
        let view = Self { fetch, catalogue, nodes: Mutex::default() };
        let _ = view.add(0, Node::made(0));
        Ok(view)
    }

    /// Adds a folder of ours, such as one for a moment.
    pub fn add_folder(&self, parent: u64, name: &str, at: UnixNanos) -> u64 {
        let number = self.add(parent, Node::made(at));
        self.name(parent, name.as_bytes().to_vec(), number);
        number
    }

    /// Adds parts to a folder of ours: folders under their names, databases as `NAME.db`.
    pub fn add_parts(&self, parent: u64, parts: &[PartAt<'_>]) {
        for at in parts {
            let (name, content, entry) = match &at.part.content {
                PartContent::Tree { root, .. } => {
                    (at.part.name.clone(), root.content.clone(), Some(root))
                }
                PartContent::Database { image, .. } => {
                    (format!("{}.db", at.part.name), Content::Database(image.clone()), None)
                }
            };
            let made = Node::made(at.snapshot.record.created);
            let node = match entry {
                Some(entry) => Node::of(entry),
                None => Node { what: What::Entry(content), mode: 0o600, ..made },
            };
            let number = self.add(parent, node);
            self.name(parent, name.into_bytes(), number);
        }
    }

    /// Finds what a number stands for.
    pub fn node(&self, number: u64) -> Result<Arc<Node>, Error> {
        let at = usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX);
        self.nodes().get(at).cloned().ok_or(Error::Unknown)
    }

    /// What is in a folder; nothing if it is none. Reads it the first time.
    pub fn children(&self, node: &Node) -> Result<Option<Arc<Children>>, Error> {
        let mut children = node.children.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = children.as_ref() {
            return Ok(Some(Arc::clone(known)));
        }
        let read = match &node.what {
            What::Made => Children::new(),
            What::Entry(Content::Folder { node: stream }) => self.read(node.number, stream)?,
            What::Entry(_) => return Ok(None),
        };
        let read = Arc::new(read);
        *children = Some(Arc::clone(&read));
        Ok(Some(read))
    }

    /// Opens a file, or the image of a database.
    pub fn open(&self, node: &Node) -> Result<Opened, Error> {
        let fetch = Arc::clone(&self.fetch);
        match &node.what {
            What::Entry(Content::File { bytes, stream, extents }) => {
                let file = (*bytes, stream, extents.as_deref());
                let chunk_bytes =
                    |id: &_| Ok(self.catalogue.locate(id)?.map(|location| location.chunk_bytes));
                Ok(Opened::File(FileContent::open(fetch, file, &chunk_bytes)?))
            }
            What::Entry(Content::Database(image)) => {
                let reader = ImageReader::open(image, fetch)?;
                Ok(Opened::Database(Box::new(CachedImage::new(reader))))
            }
            _ => Err(Error::Unknown),
        }
    }

    fn read(&self, parent: u64, stream: &Stream) -> Result<Children, Error> {
        let mut children = Children::new();
        for entry in NodeEntries::new(&*self.fetch, stream) {
            let entry = entry?;
            let number = self.add(parent, Node::of(&entry));
            let _ = children.insert(entry.name, number);
        }
        Ok(children)
    }

    fn add(&self, parent: u64, node: Node) -> u64 {
        let mut nodes = self.nodes();
        let number = nodes.len() as u64 + 1;
        nodes.push(Arc::new(Node { number, parent, ..node }));
        number
    }

    fn name(&self, parent: u64, name: Vec<u8>, number: u64) {
        let Ok(parent) = self.node(parent) else { return };
        let mut children = parent.children.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = children.as_deref().cloned().unwrap_or_default();
        let _ = named.insert(name, number);
        *children = Some(Arc::new(named));
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn made(at: UnixNanos) -> Self {
        let seconds = at.div_euclid(1_000_000_000);
        Self {
            number: 0,
            parent: 0,
            what: What::Made,
            mode: 0o700,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            modified: (seconds, (at - seconds * 1_000_000_000) as u32),
            children: Mutex::default(),
        }
    }

    fn of(entry: &Entry) -> Self {
        Self {
            number: 0,
            parent: 0,
            what: What::Entry(entry.content.clone()),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.modified,
            children: Mutex::default(),
        }
    }

    /// Length as a file.
    pub fn bytes(&self) -> u64 {
        match &self.what {
            What::Entry(Content::File { bytes, .. }) => *bytes,
            What::Entry(Content::Database(image)) => {
                u64::from(image.page_bytes) * u64::from(image.page_count)
            }
            What::Entry(Content::Link { target }) => target.len() as u64,
            _ => 0,
        }
    }
}
