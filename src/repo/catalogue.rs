//! What a repository holds right now: packs, where chunks lie, which index objects are live, what
//! is condemned.
//!
//! Loaded from listings and index objects; the local index (RocksDB) spares reading what was read
//! before. Whatever is wrong with the local index, it is dropped and filled again from the
//! repository, which alone is the truth.

mod loader;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    backend::{self, Backend, Folder, ObjectName},
    chunk,
    crypto::keys::Keys,
    id::{ChunkId, ObjectId, PackId, SnapshotId},
    index::{self, Batch, Index, IndexMut, memory::MemoryIndex},
    location::{Location, PackEntry},
    repo::{
        Environment, Error, RebuildReport,
        index_object::{Contents, Head},
        state::State,
        stored_index,
        tombstones::{self, KnownIndex},
    },
};

use loader::Loader;

/// How long an index that another process is changing is waited for; then this run keeps its news
/// to itself.
const INDEX_LOCK_WAIT: Duration = Duration::from_secs(5);
/// Tables gathered before they are written to the local index together.
const BATCH_BYTES: usize = 8 << 20;

/// How often a load begins anew because others published or deleted while it read.
const LOADS_MAX: usize = 8;

/// What a load does about an index object that was listed and cannot be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Another one covers it by now, and is in the next listing.
    BeginAnew,
    /// It was destroyed; the tables of the packs say the same.
    TakeWhatIsThere,
}

/// What a load does with what is news to the local index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LocalIndex {
    IsBroughtUpToDate,
    /// It is kept in memory; beyond a few megabytes it is written all the same.
    Stays,
}

/// What a repository holds, as of one listing.
pub struct Catalogue {
    keys: Arc<Keys>,
    /// All packs of the listing, with their sizes.
    packs: HashMap<PackId, u64>,
    /// Packs of the listing that have another size than some index says, with their sizes.
    resized: HashMap<PackId, u64>,
    condemned: HashSet<PackId>,
    /// Folded tombstones that were known when this was loaded.
    known_tombstones: HashSet<ObjectId>,
    /// Packs that were there once, are not now, and that nobody condemned.
    lost: HashSet<PackId>,
    /// The listing of packs is older than the index: what is there may look lost.
    is_torn: bool,
    /// Packs that were seen to be damaged. They are read when there is nothing else.
    damaged: RwLock<HashSet<PackId>>,
    index: RwLock<Layers>,
    /// All index objects of the listing.
    listed: HashSet<ObjectId>,
    /// Index objects that no other one covers.
    live: Vec<Head>,
    /// Packs and records of the live segments: what the next segment repeats.
    tail: Contents,
    /// Records of summaries, where it pays to keep them.
    summarized: Vec<(SnapshotId, Vec<u8>)>,
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
        Self::load_with(env, state, keys, LocalIndex::IsBroughtUpToDate)
    }

    /// Lists the repository and leaves the local index as it is: for a look that others follow
    /// soon, since every change of that index costs several syncs.
    pub fn look(env: &Environment, state: &State, keys: &Arc<Keys>) -> Result<Self, Error> {
        Self::load_with(env, state, keys, LocalIndex::Stays)
    }

    fn load_with(
        env: &Environment,
        state: &State,
        keys: &Arc<Keys>,
        local: LocalIndex,
    ) -> Result<Self, Error> {
        for _ in 1..LOADS_MAX {
            match Self::load_once(env, state, keys, (local, Patience::BeginAnew)) {
                Err(Error::Index(index::Error::Damaged { .. })) => {
                    stored_index::remove(env, state)?;
                }
                // Others publish and delete meanwhile: a later listing shows what this one missed.
                Err(error) if tombstones::is_index_object_gone(&error) => {}
                Ok(loaded) if loaded.is_torn => {}
                other => return other,
            }
        }
        Self::load_once(env, state, keys, (local, Patience::TakeWhatIsThere))
    }

    fn load_once(
        env: &Environment,
        state: &State,
        keys: &Arc<Keys>,
        (local, patience): (LocalIndex, Patience),
    ) -> Result<Self, Error> {
        let backend = env.backend.as_ref();
        let packs = list_packs(backend)?;
        let mut loader = Loader::new(env, state, keys, packs)?;
        loader.read_index_objects(patience)?;
        loader.read_unknown_tables()?;
        loader.forget_absent_packs();
        let look = tombstones::look(backend, keys, loader.known_index())?;
        let unread = look.unread.iter().map(|(name, error)| (name.clone(), error.to_string()));
        loader.report.damaged.extend(unread);
        let condemned = look.packs();
        let lost = lost(backend, &loader.absent, &condemned)?;
        // An index object that is newer than the listing names packs that are newer, too.
        let is_torn = !lost.is_empty() && {
            let now = list_packs(backend)?;
            lost.iter().any(|pack| !loader.resized.contains_key(pack) && now.contains_key(pack))
        };
        let known_tombstones = look.folded.into_keys().collect();
        let damaged = state.writer(env)?.damaged_packs;
        let damaged = damaged.iter().filter_map(|pack| pack.parse().ok()).collect();
        let damaged = RwLock::new(damaged);
        let index = RwLock::new(loader.finish_index(local)?);
        let Loader { keys, packs, resized, listed, live, tail, summarized, report, .. } = loader;
        Ok(Self {
            keys: keys.clone(),
            packs,
            resized,
            condemned,
            known_tombstones,
            lost,
            is_torn,
            damaged,
            index,
            listed,
            live,
            tail,
            summarized,
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

    /// Folded tombstones that were known when this was loaded.
    pub const fn known_tombstones(&self) -> &HashSet<ObjectId> {
        &self.known_tombstones
    }

    /// What this knows of index objects.
    pub fn known_index(&self) -> KnownIndex<'_> {
        let is_unsure = has_index_object(&self.report.damaged);
        KnownIndex { packs: &self.packs, live: &self.live, listed: &self.listed, is_unsure }
    }

    /// Refuses where it matters that every index object that may be whole was read.
    ///
    /// # Errors
    /// [`Error::Refused`], if one was out of reach when this was loaded.
    pub fn expect_all_in_reach(&self) -> Result<(), Error> {
        match &self.report.out_of_reach {
            None => Ok(()),
            Some(name) => Err(Error::Refused { why: format!("{name} cannot be read just now") }),
        }
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
        self.tail.records.iter().chain(&self.summarized)
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

fn list_packs(backend: &dyn Backend) -> Result<HashMap<PackId, u64>, backend::Error> {
    Ok(backend.list(Folder::Packs)?.objects.into_iter().filter_map(pack_of).collect())
}

fn has_index_object(damaged: &[(ObjectName, String)]) -> bool {
    damaged.iter().any(|(name, _)| matches!(name, ObjectName::Index { .. }))
}

fn pack_of(listed: backend::Listed) -> Option<(PackId, u64)> {
    match listed.name {
        ObjectName::Pack(pack) => Some((pack, listed.bytes)),
        _ => None,
    }
}

/// The absent packs that no prune took away: nobody condemned them, or a repair set them aside
/// because they were damaged.
fn lost(
    backend: &dyn Backend,
    absent: &HashSet<PackId>,
    condemned: &HashSet<PackId>,
) -> Result<HashSet<PackId>, Error> {
    let mut lost: HashSet<_> = absent.difference(condemned).copied().collect();
    if lost.len() < absent.len() {
        for listed in backend.list(Folder::Quarantine)?.objects {
            let ObjectName::Quarantined { former, .. } = listed.name else { continue };
            if let ObjectName::Pack(pack) = *former
                && absent.contains(&pack)
            {
                let _ = lost.insert(pack);
            }
        }
    }
    Ok(lost)
}
