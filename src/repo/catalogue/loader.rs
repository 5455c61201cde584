//! Filling a catalogue: what the local index knows already, and the rest from index objects and
//! tables.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    backend::{self, Folder, ObjectName},
    crypto::keys::Keys,
    format::table::Table,
    id::{ObjectId, PackId, SnapshotId},
    index::{Batch, IndexMut, memory::MemoryIndex},
    location::PackEntry,
    repo::{
        Environment, Error, RebuildReport,
        catalogue::{BATCH_BYTES, INDEX_LOCK_WAIT, Layers, LocalIndex, Patience, has_index_object},
        index_object::{Contents, Head, IndexObjectReader},
        pack_table,
        state::State,
        stored_index::StoredIndex,
        tombstones::{self, KnownIndex},
    },
};

/// A catalogue in the making.
pub(super) struct Loader<'a> {
    env: &'a Environment,
    state: &'a State,
    pub(super) keys: &'a Arc<Keys>,
    pub(super) packs: HashMap<PackId, u64>,
    stored: StoredIndex,
    /// Packs that the local index or this load knows.
    known: HashSet<PackId>,
    /// Packs that some index names, and that are not there in their full size.
    pub(super) absent: HashSet<PackId>,
    /// Those of another size than some index says.
    pub(super) resized: HashMap<PackId, u64>,
    applied: HashSet<ObjectId>,
    memory: MemoryIndex,
    batch: Batch,
    batch_bytes: usize,
    pub(super) listed: HashSet<ObjectId>,
    pub(super) live: Vec<Head>,
    pub(super) tail: Contents,
    /// Records of summaries, where it pays to keep them.
    pub(super) summarized: Vec<(SnapshotId, Vec<u8>)>,
    pub(super) report: RebuildReport,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
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
            stored,
            known: HashSet::new(),
            absent: HashSet::new(),
            resized: HashMap::new(),
            applied: HashSet::new(),
            memory: MemoryIndex::default(),
            batch: Batch::default(),
            batch_bytes: 0,
            listed: HashSet::new(),
            live: Vec::new(),
            tail: Contents::default(),
            summarized: Vec::new(),
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
    pub(super) fn read_index_objects(&mut self, patience: Patience) -> Result<(), Error> {
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
                Err(error)
                    if tombstones::is_index_object_gone(&error)
                        && patience == Patience::BeginAnew =>
                {
                    return Err(error);
                }
                Err(Error::Backend(error)) if error.is_of_the_place() => return Err(error.into()),
                // The tables of the packs say the same: see `read_unknown_tables`.
                Err(error @ (Error::Format(_) | Error::Crypto(_) | Error::Backend(_))) => {
                    if !error.is_damage() {
                        let _ = self.report.out_of_reach.get_or_insert(object.name.clone());
                    }
                    self.report.damaged.push((object.name, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads an index object, a second time if what came from afar does not open.
    fn read_index_object(&mut self, name: ObjectName, bytes: u64) -> Result<Head, Error> {
        let backend = self.env.backend.clone();
        match self.read_index_object_once(name.clone(), bytes) {
            Err(Error::Format(_) | Error::Crypto(_)) if backend.capabilities().is_remote => {
                backend.distrust(&name);
                self.read_index_object_once(name, bytes)
            }
            read => read,
        }
    }

    fn read_index_object_once(&mut self, name: ObjectName, bytes: u64) -> Result<Head, Error> {
        let backend = self.env.backend.clone();
        let mut reader = IndexObjectReader::open(backend.as_ref(), self.keys, name, bytes)?;
        let (head, mut contents) = reader.head()?;
        self.report.index_objects += 1;
        let is_new = !self.applied.contains(&head.id);
        loop {
            if is_new {
                self.take_packs(&contents)?;
            }
            // Records that are not at hand are read one by one, which is dear from afar.
            if head.is_summary && !is_new && !backend.capabilities().is_remote {
                break;
            }
            if !head.is_summary {
                self.keep_tail(contents);
            } else if backend.capabilities().is_remote {
                self.summarized.extend(contents.records);
            }
            let Some(next) = reader.contents()? else { break };
            contents = next;
        }
        if is_new {
            self.batch.applied.push(head.id);
        }
        Ok(head)
    }

    pub(super) fn known_index(&self) -> KnownIndex<'_> {
        let is_unsure = has_index_object(&self.report.damaged);
        KnownIndex { packs: &self.packs, live: &self.live, listed: &self.listed, is_unsure }
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
        self.report.chunks += Table::parse(&table)?.chunk_count() as u64;
        self.batch_bytes += table.len();
        self.batch.add.push((entry, table));
        if self.batch_bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Packs that no index object names were left by a run that did not come to its end, or their
    /// index object is damaged. What they hold can be used.
    pub(super) fn read_unknown_tables(&mut self) -> Result<(), Error> {
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
                // A prune was faster.
                Err(Error::Backend(backend::Error::Missing { .. })) if bytes > 0 => {
                    let _ = self.packs.remove(&pack);
                }
                Err(error @ (Error::Format(_) | Error::Crypto(_) | Error::Backend(_))) => {
                    self.report.damaged.push((ObjectName::Pack(pack), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn forget_absent_packs(&mut self) {
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

    pub(super) fn finish_index(&mut self, local: LocalIndex) -> Result<Layers, Error> {
        let batch = &self.batch;
        let is_news =
            !(batch.add.is_empty() && batch.remove.is_empty() && batch.applied.is_empty());
        match local {
            LocalIndex::IsBroughtUpToDate if is_news => self.write_batch()?,
            LocalIndex::Stays if is_news => self.memory.apply(&self.batch)?,
            _ => {}
        }
        let stored = std::mem::take(&mut self.stored).into_reader(self.state)?;
        Ok(Layers { stored, memory: std::mem::take(&mut self.memory) })
    }
}
