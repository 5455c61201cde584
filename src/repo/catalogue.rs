//! What a repository holds right now: packs, where chunks lie, which index objects are live, what
//! is condemned.
//!
//! Loaded from listings and index objects; the local index (RocksDB) spares reading what was read
//! before. Whatever is wrong with the local index, it is dropped and filled again from the
//! repository, which alone is the truth.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    backend::{Folder, ObjectName},
    chunk,
    crypto::keys::Keys,
    id::{ChunkId, ObjectId, PackId, SnapshotId},
    index::{self, Batch, Index, IndexMut, memory::MemoryIndex},
    location::{Location, PackEntry},
    repo::{
        Environment, Error, RebuildReport,
        index_object::{Contents, Head, IndexObjectReader},
        pack_table,
        state::State,
        stored_index::{self, StoredIndex},
        tombstones,
    },
};

/// How long an index that another process is changing is waited for; then this run keeps its news
/// to itself.
const INDEX_LOCK_WAIT: Duration = Duration::from_secs(5);
/// Tables gathered before they are written to the local index together.
const BATCH_BYTES: usize = 8 << 20;

/// What a repository holds, as of one listing.
pub struct Catalogue {
    keys: Arc<Keys>,
    /// All packs of the listing, with their sizes.
    packs: HashMap<PackId, u64>,
    /// Packs of the listing that have another size than some index says, with their sizes.
    resized: HashMap<PackId, u64>,
    condemned: HashSet<PackId>,
    /// Packs that were there once, are not now, and that nobody condemned.
    lost: HashSet<PackId>,
    /// Packs that were seen to be damaged. They are read when there is nothing else.
    damaged: RwLock<HashSet<PackId>>,
    index: RwLock<Layers>,
    /// All index objects of the listing.
    listed: HashSet<ObjectId>,
    /// Index objects that no other one covers.
    live: Vec<Head>,
    /// Packs and records of the live segments: what the next segment repeats.
    tail: Contents,
    report: RebuildReport,
}

/// The local index, and in memory what it does not hold.
struct Layers {
    stored: Option<Box<dyn Index>>,
    memory: MemoryIndex,
}

impl Catalogue {
    /// Lists the repository and brings the local index up to date with it.
    pub fn load(env: &Environment, state: &State, keys: &Arc<Keys>) -> Result<Self, Error> {
        match Self::load_once(env, state, keys) {
            Err(Error::Index(index::Error::Damaged { .. })) => {
                stored_index::remove(env, state)?;
                Self::load_once(env, state, keys)
            }
            other => other,
        }
    }

    fn load_once(env: &Environment, state: &State, keys: &Arc<Keys>) -> Result<Self, Error> {
        let backend = env.backend.as_ref();
        let listed = backend.list(Folder::Packs)?.objects;
        let packs = listed.into_iter().filter_map(pack_of).collect();
        let mut loader = Loader::new(env, state, keys, packs)?;
        loader.read_index_objects()?;
        loader.read_unknown_tables()?;
        loader.forget_absent_packs();
        let condemned = tombstones::condemned(env.backend.as_ref(), keys, &loader.live)?;
        let lost = loader.absent.difference(&condemned).copied().collect();
        let damaged = state.writer(env)?.damaged_packs;
        let damaged = damaged.iter().filter_map(|pack| pack.parse().ok()).collect();
        let damaged = RwLock::new(damaged);
        let index = RwLock::new(loader.finish_index()?);
        let Loader { keys, packs, resized, listed, live, tail, report, .. } = loader;
        Ok(Self {
            keys: keys.clone(),
            packs,
            resized,
            condemned,
            lost,
            damaged,
            index,
            listed,
            live,
            tail,
            report,
        })
    }

    /// The keys that everything here is sealed under.
    pub const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// All packs of the listing, with their sizes.
    pub const fn packs(&self) -> &HashMap<PackId, u64> {
        &self.packs
    }

    /// Packs of the listing that have another size than some index says, with their sizes. Nothing
    /// is read from them.
    pub const fn resized(&self) -> &HashMap<PackId, u64> {
        &self.resized
    }

    /// Packs that some deleter had condemned when this was loaded.
    pub const fn condemned(&self) -> &HashSet<PackId> {
        &self.condemned
    }

    /// Packs that an index names, that are not there in their full size, and that nobody condemned:
    /// what older snapshots reached through them may be gone.
    pub const fn lost(&self) -> &HashSet<PackId> {
        &self.lost
    }

    /// Notes that a pack did not give back what it should: nothing new is to rely on it.
    pub fn distrust(&self, pack: PackId) {
        let _ = self.damaged.write().unwrap_or_else(PoisonError::into_inner).insert(pack);
    }

    /// Packs that were seen to be damaged.
    pub fn damaged(&self) -> HashSet<PackId> {
        self.damaged.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Index objects that no other one covers.
    pub fn live(&self) -> &[Head] {
        &self.live
    }

    /// What of these index objects is still listed, each once.
    pub fn still_listed(&self, mut ids: Vec<ObjectId>) -> Vec<ObjectId> {
        ids.retain(|id| self.listed.contains(id));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What the next segment repeats.
    pub const fn tail(&self) -> &Contents {
        &self.tail
    }

    /// What loading had to read.
    pub const fn report(&self) -> &RebuildReport {
        &self.report
    }

    /// Copies of records that came with the index objects just read.
    pub fn record_copies(&self) -> impl Iterator<Item = &(SnapshotId, Vec<u8>)> {
        self.tail.records.iter()
    }

    /// Returns a copy of the chunk that may be relied on: in an existing pack that nobody has
    /// condemned.
    pub fn locate(&self, id: &ChunkId) -> Result<Option<Location>, chunk::Error> {
        let first = self.layers(|index| index.locate(&[*id]))?;
        let reliable = |location: &Location| self.is_reliable(&location.pack);
        if first.iter().flatten().all(reliable) {
            return Ok(first.into_iter().flatten().next());
        }
        Ok(self.copies(id)?.into_iter().find(reliable))
    }

    /// Returns every copy in an existing pack, those to rely on first.
    pub fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, chunk::Error> {
        let mut copies = self.layers(|index| index.copies(id))?;
        copies.retain(|location| self.packs.contains_key(&location.pack));
        copies.sort_by_key(|location| !self.is_reliable(&location.pack));
        Ok(copies)
    }

    /// Calls back with every chunk the index knows, until told to stop; a chunk may come twice.
    pub fn for_each_chunk(
        &self,
        visit: &mut dyn FnMut(&ChunkId, &Location) -> bool,
    ) -> Result<(), index::Error> {
        let layers = self.index.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = &layers.stored {
            stored.for_each(visit)?;
        }
        layers.memory.for_each(visit)
    }

    /// Keeps packs that this run wrote, for lookups of this process.
    pub fn add_packs(&self, packs: &[(PackEntry, Vec<u8>)]) -> Result<(), index::Error> {
        let mut layers = self.index.write().unwrap_or_else(PoisonError::into_inner);
        layers.memory.apply(&Batch { add: packs.to_vec(), ..Batch::default() })
    }

    fn is_reliable(&self, pack: &PackId) -> bool {
        let is_damaged =
            || self.damaged.read().unwrap_or_else(PoisonError::into_inner).contains(pack);
        self.packs.contains_key(pack) && !self.condemned.contains(pack) && !is_damaged()
    }

    /// Asks the stored index, then memory. Both answers are joined.
    fn layers<T: IntoIterator<Item = L> + FromIterator<L>, L: Answer>(
        &self,
        ask: impl Fn(&dyn Index) -> Result<T, index::Error>,
    ) -> Result<T, chunk::Error> {
        let layers = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let memory = ask(&layers.memory).map_err(repository_error)?;
        let Some(stored) = &layers.stored else { return Ok(memory) };
        let stored = ask(stored.as_ref()).map_err(repository_error)?;
        Ok(L::join(stored, memory))
    }
}

/// Answers of two layers become one.
trait Answer: Sized {
    fn join<T: IntoIterator<Item = Self> + FromIterator<Self>>(stored: T, memory: T) -> T;
}

impl Answer for Option<Location> {
    fn join<T: IntoIterator<Item = Self> + FromIterator<Self>>(stored: T, memory: T) -> T {
        stored.into_iter().zip(memory).map(|(stored, memory)| stored.or(memory)).collect()
    }
}

impl Answer for Location {
    fn join<T: IntoIterator<Item = Self> + FromIterator<Self>>(stored: T, memory: T) -> T {
        stored.into_iter().chain(memory).collect()
    }
}

fn repository_error(error: index::Error) -> chunk::Error {
    chunk::Error::Repository(Arc::new(error))
}

fn pack_of(listed: crate::backend::Listed) -> Option<(PackId, u64)> {
    match listed.name {
        ObjectName::Pack(pack) => Some((pack, listed.bytes)),
        _ => None,
    }
}

/// A catalogue in the making.
struct Loader<'a> {
    env: &'a Environment,
    state: &'a State,
    keys: &'a Arc<Keys>,
    packs: HashMap<PackId, u64>,
    /// Those of another size than some index says.
    resized: HashMap<PackId, u64>,
    stored: StoredIndex,
    /// Packs that the local index or this load knows.
    known: HashSet<PackId>,
    /// Packs that some index names, and that are not there in their full size.
    absent: HashSet<PackId>,
    applied: HashSet<ObjectId>,
    memory: MemoryIndex,
    batch: Batch,
    batch_bytes: usize,
    listed: HashSet<ObjectId>,
    live: Vec<Head>,
    tail: Contents,
    report: RebuildReport,
}

impl<'a> Loader<'a> {
    fn new(
        env: &'a Environment,
        state: &'a State,
        keys: &'a Arc<Keys>,
        packs: HashMap<PackId, u64>,
    ) -> Result<Self, Error> {
        let stored = StoredIndex::open(state)?;
        let mut loader = Self {
            env,
            state,
            keys,
            packs,
            resized: HashMap::new(),
            stored,
            known: HashSet::new(),
            absent: HashSet::new(),
            applied: HashSet::new(),
            memory: MemoryIndex::default(),
            batch: Batch::default(),
            batch_bytes: 0,
            listed: HashSet::new(),
            live: Vec::new(),
            tail: Contents::default(),
            report: RebuildReport::default(),
        };
        if let Some(index) = loader.stored.reader() {
            let (entries, applied) = (index.packs()?, index.applied()?);
            loader.applied = applied.into_iter().collect();
            for entry in entries {
                let _ = loader.known.insert(entry.pack);
                let _ = loader.is_whole(&entry);
            }
        }
        Ok(loader)
    }

    /// Whether the pack is there in its full size. One of another size is not used.
    fn is_whole(&mut self, entry: &PackEntry) -> bool {
        let is_whole = self.packs.get(&entry.pack) == Some(&entry.bytes);
        if !is_whole {
            let listed = self.packs.remove(&entry.pack);
            self.resized.extend(listed.map(|bytes| (entry.pack, bytes)));
            let _ = self.absent.insert(entry.pack);
        }
        is_whole
    }

    /// Reads the index objects that no other covers; from those that are applied already only what
    /// is needed to write the next one.
    fn read_index_objects(&mut self) -> Result<(), Error> {
        let mut listed = self.env.backend.list(Folder::Index)?.objects;
        // Names begin with the sequence number: the newest comes first, and says what it covers.
        listed.sort_by(|a, b| b.name.cmp(&a.name));
        let mut covered = HashSet::new();
        for object in listed {
            let ObjectName::Index { id, .. } = object.name else { continue };
            let _ = self.listed.insert(id);
            if covered.contains(&id) {
                continue;
            }
            match self.read_index_object(object.name.clone(), object.bytes) {
                Ok(head) => {
                    covered.extend(head.covers.iter().copied());
                    self.live.push(head);
                }
                Err(Error::Backend(error)) if error.is_of_the_place() => return Err(error.into()),
                // The tables of the packs say the same: see `read_unknown_tables`.
                Err(error @ (Error::Format(_) | Error::Crypto(_) | Error::Backend(_))) => {
                    self.report.damaged.push((object.name, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_index_object(&mut self, name: ObjectName, bytes: u64) -> Result<Head, Error> {
        let backend = self.env.backend.clone();
        let mut reader = IndexObjectReader::open(backend.as_ref(), self.keys, name, bytes)?;
        let (head, mut contents) = reader.head()?;
        self.report.index_objects += 1;
        let is_new = !self.applied.contains(&head.id);
        loop {
            if is_new {
                self.take_packs(&contents)?;
            }
            if head.is_summary && !is_new {
                break;
            }
            if !head.is_summary {
                self.keep_tail(contents);
            }
            let Some(next) = reader.contents()? else { break };
            contents = next;
        }
        if is_new {
            self.batch.applied.push(head.id);
        }
        Ok(head)
    }

    fn keep_tail(&mut self, contents: Contents) {
        for pack in contents.packs {
            let is_present = self.packs.contains_key(&pack.0.pack);
            if is_present && !self.tail.packs.iter().any(|known| known.0.pack == pack.0.pack) {
                self.tail.packs.push(pack);
            }
        }
        for record in contents.records {
            if !self.tail.records.iter().any(|known| known.0 == record.0) {
                self.tail.records.push(record);
            }
        }
    }

    fn take_packs(&mut self, contents: &Contents) -> Result<(), Error> {
        for (entry, table) in &contents.packs {
            if self.is_whole(entry) && self.known.insert(entry.pack) {
                self.take_pack(*entry, table.clone())?;
            }
        }
        Ok(())
    }

    fn take_pack(&mut self, entry: PackEntry, table: Vec<u8>) -> Result<(), Error> {
        self.report.packs += 1;
        self.report.chunks += crate::format::table::Table::parse(&table)?.chunk_count() as u64;
        self.batch_bytes += table.len();
        self.batch.add.push((entry, table));
        if self.batch_bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Packs that no index object names were left by a run that did not come to its end, or their
    /// index object is damaged. What they hold can be used.
    fn read_unknown_tables(&mut self) -> Result<(), Error> {
        let unknown: Vec<_> = self
            .packs
            .iter()
            .filter(|(pack, _)| !self.known.contains(pack))
            .map(|(p, b)| (*p, *b))
            .collect();
        for (pack, bytes) in unknown {
            match pack_table::read(self.env.backend.as_ref(), self.keys, pack, bytes) {
                Ok((entry, table)) => {
                    self.report.tables_read += 1;
                    let _ = self.known.insert(pack);
                    self.take_pack(entry, table)?;
                }
                Err(Error::Backend(error)) if error.is_of_the_place() => return Err(error.into()),
                Err(error @ (Error::Format(_) | Error::Crypto(_) | Error::Backend(_))) => {
                    self.report.damaged.push((ObjectName::Pack(pack), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn forget_absent_packs(&mut self) {
        let packs = &self.packs;
        self.batch.remove =
            self.known.iter().filter(|pack| !packs.contains_key(pack)).copied().collect();
    }

    /// Writes what was gathered to the local index, or keeps it in memory when another process
    /// holds that.
    fn write_batch(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if !self.stored.apply(self.env, self.state, &batch, INDEX_LOCK_WAIT)? {
            self.memory.apply(&batch)?;
        }
        Ok(())
    }

    fn finish_index(&mut self) -> Result<Layers, Error> {
        let batch = &self.batch;
        if !(batch.add.is_empty() && batch.remove.is_empty() && batch.applied.is_empty()) {
            self.write_batch()?;
        }
        let stored = std::mem::take(&mut self.stored).into_reader(self.state)?;
        Ok(Layers { stored, memory: std::mem::take(&mut self.memory) })
    }
}
