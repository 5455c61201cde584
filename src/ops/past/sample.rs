//! Images for tests: databases that SQLite made, stored in memory.

use std::{io, sync::Arc, time::Duration};

use rusqlite::Connection;

use crate::{
    chunk::{Fetch, memory::MemoryChunks},
    clock::SystemClock,
    crypto::{keys::Keys, secret::Secret32},
    format::{
        image::{Image, Method},
        record::{DatabaseFacts, Outcome, Part, PartContent, PartKind, Storage, Totals},
        samples,
    },
    id::{RepositoryId, SnapshotId},
    ops::past::{PastDatabase, Terms},
    repo::{
        Snapshot,
        image::{ChangedPages, ImageReader, NewImage, build},
    },
};

/// A store, and the images in it.
pub struct Archive {
    pub keys: Arc<Keys>,
    pub store: MemoryChunks,
}

struct Changed {
    numbers: Vec<u32>,
    pages: Vec<Vec<u8>>,
}

impl ChangedPages for Changed {
    fn count(&self) -> u32 {
        self.numbers.len() as u32
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        into.copy_from_slice(&self.numbers[first as usize..][..into.len()]);
        Ok(())
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        let bytes: Vec<u8> = self.pages[first as usize..].concat();
        into.copy_from_slice(&bytes[..into.len()]);
        Ok(())
    }
}

impl Archive {
    pub fn new() -> Self {
        let key = |byte| Secret32::new([byte; 32]);
        let keys = Arc::new(Keys {
            repository: RepositoryId([1; 32]),
            chunk: key(2),
            cut: key(3),
            page: key(4),
            identity: key(5),
            epochs: crate::crypto::keys::Epochs::new(vec![(1, key(6))]),
        });
        Self { store: MemoryChunks::new(keys.clone()), keys }
    }

    pub fn fetch(&self) -> Arc<dyn Fetch> {
        Arc::new(self.store.clone())
    }

    /// Stores a database file, as changes of an older one where there is one.
    pub fn put(&mut self, file: &[u8], parent: Option<(&Image, &[u8])>) -> Image {
        let page_bytes = match file.get(16..18) {
            Some([0, 1]) => 65_536,
            Some(bytes) => usize::from(u16::from_be_bytes([bytes[0], bytes[1]])),
            None => 0,
        };
        let page_bytes = if page_bytes < 512 { 4096 } else { page_bytes };
        let pages: Vec<&[u8]> = file.chunks_exact(page_bytes).collect();
        let mut identity = self.keys.image_identity(page_bytes as u32, pages.len() as u32);
        pages.iter().for_each(|page| identity.update(&self.keys.page_hash(page)));
        let is_changed = |at: &usize| match parent {
            Some((_, older)) => older.chunks_exact(page_bytes).nth(*at) != Some(pages[*at]),
            None => true,
        };
        let changed: Vec<usize> = (0..pages.len()).filter(is_changed).collect();
        let changed = Changed {
            numbers: changed.iter().map(|at| *at as u32 + 1).collect(),
            pages: changed.iter().map(|at| pages[*at].to_vec()).collect(),
        };
        let new = NewImage {
            page_bytes: page_bytes as u32,
            page_count: pages.len() as u32,
            identity: identity.finish(),
            method: Method::Pages,
            damaged: false,
            unchecked: true,
            begun: (0, 0),
            witnesses: Vec::new(),
            changed: &changed,
        };
        let fetch = Arc::new(self.store.frozen());
        let parent = parent.map(|(image, _)| ImageReader::open(image, fetch).unwrap());
        build(&new, parent.as_ref(), Storage::Incremental, &mut self.store).unwrap()
    }

    pub fn open(&self, image: &Image) -> PastDatabase {
        PastDatabase::open(&terms(), self.fetch(), image).unwrap()
    }
}

pub fn terms() -> Terms {
    Terms { clock: Arc::new(SystemClock), stop: Arc::default(), timeout: Duration::from_secs(600) }
}

/// The file of a database on which this was run.
#[expect(clippy::disallowed_methods, reason = "a scratch file")]
pub fn database(sql: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    std::fs::read(path).unwrap()
}

/// A snapshot with one database, whose id begins with this byte.
pub fn snapshot(number: u8, part: &str, image: &Image) -> Snapshot {
    let mut record = samples::record();
    record.created = i64::from(number);
    record.parts = vec![Part {
        name: part.to_owned(),
        kind: PartKind::Database,
        sources: Vec::new(),
        totals: Totals::default(),
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database {
            image: Box::new(image.clone()),
            facts: Box::new(DatabaseFacts::default()),
        },
        outcome: Outcome::Complete,
    }];
    Snapshot { id: SnapshotId([number; 32]), record }
}
