//! Fetching chunks: locate, read the blob, open it, compare the chunk with its id. Spec:
//! `format-spec/30-pack.md`.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    backend::{Backend, ObjectName},
    chunk::{self, Chunk, Fetch},
    crypto::{keys::Keys, seal::Role},
    format::frame::Frame,
    id::{ChunkId, PackId},
    limits::{BLOB_PLAIN_BYTES_MAX, BLOB_SEALED_BYTES_MAX, BLOB_SHARED_BYTES, MIB},
    location::Location,
    repo::{
        Environment, Error,
        blob_cache::{BlobCache, Stay},
        catalogue::Catalogue,
        pack_table::PackKey,
        state::State,
        windows::Windows,
        writer::RunIndex,
    },
};

thread_local! {
    /// Where a thread reads and opens one blob after another: memory that is touched for the first
    /// time costs more than what is done with it.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Decoded blobs that are kept, in plain bytes: those that are wanted once.
const BRIEF_BYTES_MAX: usize = 8 * MIB;
/// Decoded blobs that are kept, in plain bytes: those that are wanted again.
const LONG_BYTES_MAX: usize = 40 * MIB;
/// A blob in which a chunk is as long as this holds few.
const LONG_CHUNK_BYTES_MIN: u32 = BLOB_SHARED_BYTES as u32 / 4;

/// How often one reader looks at the repository again.
const RELOADS_MAX: usize = 16;

/// Reads chunks from packs; shared between threads.
pub struct Reader {
    backend: Arc<dyn Backend>,
    keys_of_all: Arc<Keys>,
    catalogue: RwLock<Arc<Catalogue>>,
    /// How to look at the repository again when a chunk is not where it was: a prune may have
    /// moved it.
    reload: Option<Reload>,
    /// The packs of a run that is not committed yet, when this reader belongs to one.
    run: Option<RunIndex>,
    cache: BlobCache,
    windows: Windows,
    keys: Mutex<HashMap<PackId, Arc<PackKey>>>,
}

impl Reader {
    /// Creates a reader; with the index of a run it also finds what that run made durable.
    pub fn new(
        backend: Arc<dyn Backend>,
        catalogue: Arc<Catalogue>,
        run: Option<RunIndex>,
    ) -> Self {
        let cache = BlobCache::new(BRIEF_BYTES_MAX, LONG_BYTES_MAX);
        let keys_of_all = catalogue.keys().clone();
        let catalogue = RwLock::new(catalogue);
        let (reload, windows, keys) = (None, Windows::default(), Mutex::default());
        Self { backend, keys_of_all, catalogue, reload, run, cache, windows, keys }
    }

    /// Has the reader look again when a chunk is not where it was.
    #[must_use]
    pub fn reloading(mut self, env: Environment) -> Self {
        self.reload = Some(Reload { env, left: AtomicUsize::new(RELOADS_MAX) });
        self
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A view that is newer than this one, if there is a way to get one.
    fn newer_than(&self, seen: &Arc<Catalogue>) -> Result<Option<Arc<Catalogue>>, Error> {
        let Some(reload) = &self.reload else { return Ok(None) };
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&catalogue, seen) {
            return Ok(Some(catalogue.clone()));
        }
        let spend = |left: usize| left.checked_sub(1);
        if reload.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            return Ok(None);
        }
        let state = State::open(&reload.env, self.keys_of_all.repository)?;
        *catalogue = Arc::new(Catalogue::load(&reload.env, &state, &self.keys_of_all)?);
        Ok(Some(catalogue.clone()))
    }

    /// Reads the chunk from this copy.
    fn read_copy(&self, id: &ChunkId, location: &Location) -> Result<Chunk, Error> {
        let corrupt = |why: &str| Error::Corrupt {
            name: format!("blob {} of pack {}", location.blob, location.pack),
            why: why.to_owned(),
        };
        let blob = self.blob(location)?;
        let (start, bytes) = (location.start as usize, location.chunk_bytes as usize);
        let end = start + bytes;
        if end > blob.len() {
            return Err(corrupt("shorter than the table of contents says"));
        }
        let chunk = Chunk::new(blob, start..end);
        if self.keys_of_all.chunk_id(&chunk) != *id {
            return Err(corrupt("a chunk differs from its id"));
        }
        Ok(chunk)
    }

    fn blob(&self, location: &Location) -> Result<Arc<Vec<u8>>, Error> {
        let name = (location.pack, location.blob);
        if let Some(blob) = self.cache.get(&name) {
            return Ok(blob);
        }
        let blob = Arc::new(self.read_blob(location)?);
        let is_brief = location.chunk_bytes >= LONG_CHUNK_BYTES_MIN;
        let stay = if is_brief { Stay::Brief } else { Stay::Long };
        self.cache.insert(name, blob.clone(), stay);
        Ok(blob)
    }

    /// Reads a blob, a second time if what came does not open: it may have been spoiled on its way.
    fn read_blob(&self, location: &Location) -> Result<Vec<u8>, Error> {
        let read = self.read_blob_once(location);
        if !matches!(read, Err(Error::Crypto(_) | Error::Format(_)))
            || !self.backend.capabilities().is_remote
        {
            return read;
        }
        self.backend.distrust(&ObjectName::Pack(location.pack));
        self.windows.forget(location.pack);
        self.read_blob_once(location)
    }

    fn read_blob_once(&self, location: &Location) -> Result<Vec<u8>, Error> {
        let bytes = u64::from(location.blob_bytes);
        if bytes > BLOB_SEALED_BYTES_MAX as u64 {
            let name = format!("blob {} of pack {}", location.blob, location.pack);
            return Err(Error::Corrupt { name, why: "longer than any blob may be".to_owned() });
        }
        let range = location.blob_offset..location.blob_offset + bytes;
        let key = self.pack_key(location)?;
        SEALED.with_borrow_mut(|sealed| {
            self.windows.read(self.backend.as_ref(), (location.pack, range), sealed)?;
            let frame = key.open_in_place(u64::from(location.blob), Role::Blob, sealed)?;
            let frame = Frame::parse(frame, BLOB_PLAIN_BYTES_MAX)?;
            let mut plain = self.cache.memory(frame.plain_bytes());
            frame.decode_into(&mut plain)?;
            Ok(plain)
        })
    }

    fn pack_key(&self, location: &Location) -> Result<Arc<PackKey>, Error> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&location.pack) {
            return Ok(key.clone());
        }
        let key = Arc::new(PackKey::new(&self.keys_of_all, location.pack, location.epoch)?);
        let _ = keys.insert(location.pack, key.clone());
        Ok(key)
    }

    fn copies(&self, catalogue: &Catalogue, id: &ChunkId) -> Result<Vec<Location>, chunk::Error> {
        let mut copies = catalogue.copies(id)?;
        copies.extend(self.run.as_ref().and_then(|run| run.locate(id)));
        Ok(copies)
    }

    fn get_from(&self, catalogue: &Catalogue, id: &ChunkId) -> Result<Chunk, Unread> {
        let first = match self.run.as_ref().and_then(|run| run.locate(id)) {
            Some(location) => Some(location),
            None => catalogue.locate(id)?,
        };
        if let Some(Ok(chunk)) = first.map(|location| self.read_copy(id, &location)) {
            return Ok(chunk);
        }
        // The usual copy is not there or damaged: any other authentic one serves.
        let copies = self.copies(catalogue, id)?;
        let mut unread = Unread { error: chunk::Error::Missing(*id), damaged: Vec::new() };
        let mut why = Vec::new();
        for location in &copies {
            match self.read_copy(id, location) {
                Ok(chunk) => return Ok(chunk),
                // Nobody knows what is there; saying that it is damaged would be a lie.
                Err(Error::Backend(error)) if error.is_of_the_place() => {
                    let error = Arc::new(Error::Backend(error));
                    return Err(chunk::Error::Repository(error).into());
                }
                Err(error) => {
                    if error.is_damage() {
                        unread.damaged.push(location.pack);
                    }
                    why.push(error.to_string());
                }
            }
        }
        if !copies.is_empty() {
            unread.error = chunk::Error::Corrupt { id: *id, why: why.join("; ") };
        }
        Err(unread)
    }
}

/// How to look at the repository again.
struct Reload {
    env: Environment,
    left: AtomicUsize,
}

/// A chunk that no copy gave back.
struct Unread {
    error: chunk::Error,
    /// Packs that should have.
    damaged: Vec<PackId>,
}

impl From<chunk::Error> for Unread {
    fn from(error: chunk::Error) -> Self {
        Self { error, damaged: Vec::new() }
    }
}

impl Fetch for Reader {
    fn expect(&self, ids: &[ChunkId]) {
        if !self.backend.capabilities().is_remote {
            return;
        }
        let catalogue = self.catalogue();
        // What cannot be located now is an error when it is fetched.
        let located = ids.iter().filter_map(|id| catalogue.locate(id).ok().flatten());
        let blobs = located.map(|location| {
            let end = location.blob_offset + u64::from(location.blob_bytes);
            (location.pack, location.blob_offset..end)
        });
        self.windows.expect(&self.backend, blobs);
    }

    fn get(&self, id: &ChunkId) -> Result<Chunk, chunk::Error> {
        let mut catalogue = self.catalogue();
        let mut unread = match self.get_from(&catalogue, id) {
            Ok(chunk) => return Ok(chunk),
            Err(unread) => unread,
        };
        let newer = self.newer_than(&catalogue);
        if let Some(newer) = newer.map_err(|error| chunk::Error::Repository(Arc::new(error)))? {
            catalogue = newer;
            unread = match self.get_from(&catalogue, id) {
                Ok(chunk) => return Ok(chunk),
                Err(unread) => unread,
            };
        }
        unread.damaged.into_iter().for_each(|pack| catalogue.distrust(pack));
        Err(unread.error)
    }
}
