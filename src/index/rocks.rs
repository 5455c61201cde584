//! The index on disk, in RocksDB: the one file that names it.
//!
//! A [`RocksWriter`] lives for one change; it writes past RocksDB's log straight to sorted files,
//! since all of it can be built again. A [`RocksReader`] sees what was there when it was opened
//! and keeps every file open, so that writers may come, change and tidy up meanwhile.
//! Any error of RocksDB means that the index is damaged, as long as nobody else is writing.

mod options;

use std::{collections::HashMap, os::unix::fs::DirBuilderExt, path::Path};

use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch};

use super::{
    Batch, Error, Index, IndexMut,
    entry::{self, APPLIED, CHUNK, IdKey, PACK, Place, STATE_KEY, State},
};
use crate::{
    format::table::Table,
    id::{ChunkId, ObjectId, PackId},
    limits::MIB,
    location::{Location, PackEntry},
};

/// Ids looked up in one call; bounds the blocks that are pinned by its answer.
const LOOKUP_IDS_MAX: usize = 512;
/// Copies gathered, sorted and written together, give or take one pack.
const GROUP_COPIES: usize = 64 * 1024;
/// Bytes written together when the index is swept.
const SWEEP_BATCH_BYTES: usize = 4 * MIB;
/// A writer may be tidying up while a reader opens; it does not do so this often.
const OPEN_TRIES_MAX: usize = 8;

/// The index as it was when it was opened.
pub struct RocksReader(Contents);

/// The only writer of the index.
pub struct RocksWriter {
    contents: Contents,
    ordinals: HashMap<PackId, u32>,
}

struct Contents {
    db: DB,
    /// Sorted by ordinal.
    packs: Vec<(u32, PackEntry)>,
    state: State,
}

impl RocksReader {
    /// Opens the index in the folder, which must exist.
    ///
    /// # Errors
    /// [`Error::Damaged`] also if there is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        for _ in 0..OPEN_TRIES_MAX {
            // Files that were listed may be gone before they are opened if a writer is tidying up.
            // Only who holds the lock knows that nobody is, and that an error is damage.
            match options::open_read_only(path).and_then(Contents::load) {
                Ok(contents) => return Ok(Self(contents)),
                Err(_) => match options::open_exclusive(path) {
                    Ok(db) => drop(Contents::load(db)?),
                    Err(Error::Locked) => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Err(Error::Locked)
    }
}

impl RocksWriter {
    /// Opens the index in the folder for changes, or creates it if there is no folder.
    ///
    /// # Errors
    /// [`Error::Locked`] at once if another writer has it open.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            create(path)?;
        }
        let contents = Contents::load(options::open_exclusive(path)?)?;
        let ordinals =
            contents.packs.iter().map(|(ordinal, entry)| (entry.pack, *ordinal)).collect();
        Ok(Self { contents, ordinals })
    }

    /// Adds the packs, group by group.
    fn add(&mut self, packs: &[(PackEntry, Vec<u8>)]) -> Result<(), Error> {
        let mut group = Group::default();
        for (entry, table) in packs {
            if self.ordinals.contains_key(&entry.pack) {
                continue;
            }
            let ordinal = self.contents.state.next_ordinal;
            self.contents.state.next_ordinal =
                ordinal.checked_add(1).ok_or_else(|| entry::strange("state"))?;
            let _ = self.ordinals.insert(entry.pack, ordinal);
            group.gather(ordinal, entry, table)?;
            if group.copies.len() >= GROUP_COPIES {
                self.write_group(std::mem::take(&mut group))?;
            }
        }
        self.write_group(group)
    }

    /// Writes packs with all their chunks, and with the ordinals they use up, in one piece.
    fn write_group(&mut self, mut group: Group) -> Result<(), Error> {
        if group.packs.is_empty() {
            return Ok(());
        }
        group.copies.sort_unstable();
        let mut batch = WriteBatch::default();
        // On the way into an empty index there is nothing to merge with.
        let merges = !self.contents.packs.is_empty();
        for of_chunks in runs_of(&group.copies, LOOKUP_IDS_MAX) {
            let keys = keys_of(of_chunks);
            let mut before = Vec::new();
            if merges {
                before = self.contents.values(&keys)?;
            }
            let same_chunk = of_chunks.chunk_by(|a, b| a.0 == b.0);
            for (at, (key, copies)) in keys.iter().zip(same_chunk).enumerate() {
                let mut value = before.get_mut(at).and_then(Option::take).unwrap_or_default();
                for (_, place) in copies {
                    value.extend_from_slice(&place.encode());
                }
                batch.put(key, value);
            }
        }
        for (ordinal, entry) in &group.packs {
            batch.put(entry::pack_key(*ordinal), entry::encode_pack(entry));
        }
        self.write(batch)?;
        self.contents.packs.append(&mut group.packs);
        Ok(())
    }

    /// Forgets packs and notes applied objects, in one piece.
    fn conclude(&mut self, remove: &[PackId], applied: &[ObjectId]) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for pack in remove {
            if let Some(ordinal) = self.ordinals.remove(pack) {
                batch.delete(entry::pack_key(ordinal));
                self.contents.packs.retain(|(of, _)| *of != ordinal);
                self.contents.state.unswept = self.contents.state.unswept.saturating_add(1);
            }
        }
        for object in applied {
            batch.put(entry::id_key(APPLIED, object.as_bytes()), []);
        }
        self.write(batch)
    }

    /// Removes what points to forgotten packs, if that is a good part of all.
    fn sweep_if_due(&mut self) -> Result<(), Error> {
        let unswept = self.contents.state.unswept as usize;
        if unswept * 4 < self.contents.packs.len() + unswept {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for item in self.contents.db.iterator_opt(IteratorMode::Start, options::scan(CHUNK)) {
            let (key, value) = item.map_err(damaged)?;
            let mut live = Vec::with_capacity(value.len());
            for place in entry::places(&value)?.filter(|place| self.contents.is_live(place)) {
                live.extend_from_slice(&place.encode());
            }
            match live.len() {
                0 => batch.delete(&key),
                length if length < value.len() => batch.put(&key, live),
                _ => continue,
            }
            if batch.size_in_bytes() > SWEEP_BATCH_BYTES {
                self.write(std::mem::take(&mut batch))?;
            }
        }
        self.write(batch)?;
        self.contents.state.unswept = 0;
        self.write(WriteBatch::default())
    }

    /// Writes the batch, and the state along with it.
    fn write(&self, mut batch: WriteBatch) -> Result<(), Error> {
        batch.put(STATE_KEY, self.contents.state.encode());
        self.contents.db.write_opt(batch, &options::without_log()).map_err(damaged)
    }
}

impl IndexMut for RocksWriter {
    fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        self.add(&batch.add)?;
        self.conclude(&batch.remove, &batch.applied)?;
        self.sweep_if_due()?;
        options::make_durable(&self.contents.db).map_err(damaged)
    }
}

/// Packs on their way into the index.
#[derive(Default)]
struct Group {
    packs: Vec<(u32, PackEntry)>,
    copies: Vec<(ChunkId, Place)>,
}

impl Group {
    fn gather(&mut self, ordinal: u32, entry: &PackEntry, table: &[u8]) -> Result<(), Error> {
        let table =
            Table::parse(table).map_err(|error| Error::Damaged { why: error.to_string() })?;
        let copies = table.locations(*entry);
        self.copies.extend(copies.map(|(id, location)| (id, Place::new(ordinal, &location))));
        self.packs.push((ordinal, *entry));
        Ok(())
    }
}

/// Splits sorted copies so that each part has at most so many chunks, and each chunk is in one.
fn runs_of(
    copies: &[(ChunkId, Place)],
    chunks_max: usize,
) -> impl Iterator<Item = &[(ChunkId, Place)]> {
    let mut rest = copies;
    std::iter::from_fn(move || {
        let length = rest.chunk_by(|a, b| a.0 == b.0).take(chunks_max).map(<[_]>::len).sum();
        let (run, after) = rest.split_at(length);
        rest = after;
        (!run.is_empty()).then_some(run)
    })
}

fn keys_of(copies: &[(ChunkId, Place)]) -> Vec<IdKey> {
    let chunks = copies.chunk_by(|a, b| a.0 == b.0);
    chunks.map(|same| entry::id_key(CHUNK, same[0].0.as_bytes())).collect()
}

impl Contents {
    fn load(db: DB) -> Result<Self, Error> {
        let state = db.get_pinned(STATE_KEY).map_err(damaged)?;
        let state = State::decode(&state.ok_or_else(|| entry::strange("state"))?)?;
        let mut packs = Vec::new();
        for item in db.iterator_opt(IteratorMode::Start, options::scan(PACK)) {
            let (key, value) = item.map_err(damaged)?;
            packs.push((entry::ordinal_of_key(&key)?, entry::decode_pack(&value)?));
        }
        // Keys ascend, so the last ordinal is the highest.
        if packs.last().is_some_and(|(ordinal, _)| *ordinal >= state.next_ordinal) {
            return Err(entry::strange("state"));
        }
        Ok(Self { db, packs, state })
    }

    fn default_family(&self) -> &ColumnFamily {
        self.db.cf_handle(options::FAMILY).expect("it was opened with this family")
    }

    /// Returns the values of ascending keys.
    fn values(&self, keys: &[IdKey]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let found = self.db.batched_multi_get_cf(self.default_family(), keys, true);
        found.into_iter().map(|value| Ok(value.map_err(damaged)?.map(|v| v.to_vec()))).collect()
    }

    fn pack_of(&self, place: &Place) -> Option<&PackEntry> {
        let at = self.packs.binary_search_by_key(&place.ordinal, |(ordinal, _)| *ordinal).ok()?;
        Some(&self.packs[at].1)
    }

    fn is_live(&self, place: &Place) -> bool {
        self.pack_of(place).is_some()
    }

    /// Returns where the copies in a chunk's value lie, without those in forgotten packs.
    fn locations(&self, value: &[u8]) -> Result<impl Iterator<Item = Location>, Error> {
        let located = |place: Place| self.pack_of(&place).map(|pack| place.location(pack));
        Ok(entry::places(value)?.filter_map(located))
    }

    /// Looks up ascending ids.
    fn locate_sorted(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
        let mut located = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LOOKUP_IDS_MAX) {
            let keys: Vec<IdKey> =
                ids.iter().map(|id| entry::id_key(CHUNK, id.as_bytes())).collect();
            for value in self.db.batched_multi_get_cf(self.default_family(), &keys, true) {
                located.push(match value.map_err(damaged)? {
                    Some(value) => self.locations(&value)?.next(),
                    None => None,
                });
            }
        }
        Ok(located)
    }
}

impl Index for Contents {
    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
        if ids.is_sorted() {
            return self.locate_sorted(ids);
        }
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|at| ids[*at]);
        let sorted: Vec<ChunkId> = order.iter().map(|at| ids[*at]).collect();
        let mut located = vec![None; ids.len()];
        for (at, location) in order.into_iter().zip(self.locate_sorted(&sorted)?) {
            located[at] = location;
        }
        Ok(located)
    }

    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, Error> {
        let key = entry::id_key(CHUNK, id.as_bytes());
        match self.db.get_pinned(key).map_err(damaged)? {
            Some(value) => Ok(self.locations(&value)?.collect()),
            None => Ok(Vec::new()),
        }
    }

    fn packs(&self) -> Result<Vec<PackEntry>, Error> {
        Ok(self.packs.iter().map(|(_, entry)| *entry).collect())
    }

    fn applied(&self) -> Result<Vec<ObjectId>, Error> {
        let items = self.db.iterator_opt(IteratorMode::Start, options::scan(APPLIED));
        items.map(|item| entry::object_of_key(&item.map_err(damaged)?.0)).collect()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ChunkId, &Location) -> bool) -> Result<(), Error> {
        for item in self.db.iterator_opt(IteratorMode::Start, options::scan(CHUNK)) {
            let (key, value) = item.map_err(damaged)?;
            let location = self.locations(&value)?.next();
            if let Some(location) = location
                && !visit(&entry::chunk_of_key(&key)?, &location)
            {
                break;
            }
        }
        Ok(())
    }
}

/// Both kinds answer from their contents.
macro_rules! answers_from {
    ($index:ty, $contents:tt) => {
        impl Index for $index {
            fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, Error> {
                self.$contents.locate(ids)
            }

            fn copies(&self, id: &ChunkId) -> Result<Vec<Location>, Error> {
                self.$contents.copies(id)
            }

            fn packs(&self) -> Result<Vec<PackEntry>, Error> {
                self.$contents.packs()
            }

            fn applied(&self) -> Result<Vec<ObjectId>, Error> {
                self.$contents.applied()
            }

            fn for_each(
                &self,
                visit: &mut dyn FnMut(&ChunkId, &Location) -> bool,
            ) -> Result<(), Error> {
                self.$contents.for_each(visit)
            }
        }
    };
}
answers_from!(RocksReader, 0);
answers_from!(RocksWriter, contents);

/// Creates an empty index that says so; one that says nothing is damaged.
fn create(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| Error::Damaged { why: format!("its folder cannot be made: {error}") })?;
    let db = options::create(path)?;
    let state = State::default().encode();
    db.put_opt(STATE_KEY, state, &options::without_log()).map_err(damaged)?;
    options::make_durable(&db).map_err(damaged)
}

fn damaged(error: rocksdb::Error) -> Error {
    Error::Damaged { why: error.into_string() }
}

#[cfg(test)]
mod tests;
