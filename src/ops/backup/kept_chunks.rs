//! The chunks that a store was given, readable at once: those of a run lie in no pack yet.
//!
//! They wait in an unnamed file of the state folder, so that memory stays bounded.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    chunk::{self, Chunk, Fetch, Store},
    disk::{Disk, read_exact_at, write_all_at},
    id::ChunkId,
    ops::Error,
    repo::Repository,
};

/// A store that remembers what it was given.
pub struct KeptChunks<'a> {
    store: Mutex<&'a mut dyn Store>,
    kept: Arc<Kept>,
}

struct Kept {
    disk: Arc<dyn Disk>,
    file: File,
    places: Mutex<Places>,
    fetch: Arc<dyn Fetch>,
}

/// Where each chunk lies in the file, and where the next one goes.
#[derive(Default)]
struct Places {
    of: HashMap<ChunkId, (u64, usize)>,
    end: u64,
}

impl<'a> KeptChunks<'a> {
    /// Begins with nothing; what is not here is fetched from the repository.
    pub fn create(
        repo: &Repository,
        store: &'a mut dyn Store,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, Error> {
        let disk = repo.environment().disk.clone();
        let file = disk.create_unnamed(repo.state_dir(), 0o600).map_err(|source| Error::Io {
            action: "create a temporary file in",
            path: repo.state_path().to_owned(),
            source,
        })?;
        let kept = Kept { disk, file, places: Mutex::default(), fetch };
        Ok(Self { store: Mutex::new(store), kept: Arc::new(kept) })
    }

    /// Fetches what was stored through this, and all else from the repository.
    pub fn fetch(&self) -> Arc<dyn Fetch> {
        self.kept.clone()
    }

    /// The way in.
    pub fn store(&self) -> KeptStore<'_, 'a> {
        KeptStore(self)
    }
}

/// The way into [`KeptChunks`].
pub struct KeptStore<'k, 'a>(&'k KeptChunks<'a>);

impl Store for KeptStore<'_, '_> {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> {
        let id = self.0.store.lock().unwrap_or_else(PoisonError::into_inner).put(plain)?;
        self.0.kept.add(id, plain).map_err(|error| chunk::Error::Repository(Arc::new(error)))?;
        Ok(id)
    }
}

impl Kept {
    fn add(&self, id: ChunkId, plain: &[u8]) -> std::io::Result<()> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.of.contains_key(&id) {
            return Ok(());
        }
        let offset = places.end;
        write_all_at(&*self.disk, &self.file, plain, offset)?;
        places.end += plain.len() as u64;
        let _ = places.of.insert(id, (offset, plain.len()));
        Ok(())
    }
}

impl Fetch for Kept {
    fn get(&self, id: &ChunkId) -> Result<Chunk, chunk::Error> {
        let place = self.places.lock().unwrap_or_else(PoisonError::into_inner).of.get(id).copied();
        let Some((offset, bytes)) = place else { return self.fetch.get(id) };
        let mut plain = vec![0; bytes];
        read_exact_at(&*self.disk, &self.file, &mut plain, offset)
            .map_err(|error| chunk::Error::Repository(Arc::new(error)))?;
        Ok(Chunk::new(Arc::new(plain), 0..bytes))
    }
}
