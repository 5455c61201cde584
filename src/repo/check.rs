//! Proving that a repository is whole: every object present and authentic, every chunk that a
//! record reaches in a pack.
//!
//! Reads only. With data, every blob of every pack is opened and every chunk hashed; without,
//! objects and tables are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    backend::{Folder, ObjectName},
    crypto::object::open_object,
    format::envelope::Kind,
    id::{ChunkId, ObjectId, PackId, SnapshotId},
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        closure::Closure,
        index_object::IndexObjectReader,
        keyring,
        object::{self, OBJECT_BYTES_MAX},
        pack_check, pack_table,
        reader::Reader,
        snapshots,
    },
};

/// What a check sees.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CheckEvent {
    /// Work ahead, in packs and bytes.
    Plan { packs: u64, bytes: u64 },
    /// A pack is done.
    Progress { bytes: u64 },
    /// An object that does not open.
    Damaged { name: ObjectName, why: String },
    /// One of two copies is gone or damaged; the other one serves.
    CopyLost { name: ObjectName, why: String },
    /// A pack of which these chunks are lost.
    PackDamaged { pack: PackId, chunks: usize, why: String },
    /// Something that a snapshot cannot give back any more.
    Affected { snapshot: SnapshotId, part: String, path: Vec<u8>, why: String },
    /// A name that is none of ours.
    Foreign { name: String },
    /// Something worth knowing that harms nothing.
    Note { text: String },
}

/// How much a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Every object, and the tables of packs.
    #[default]
    Structure,
    /// Every blob and chunk as well.
    Data,
}

/// A check under way.
struct Check<'a> {
    repo: &'a Repository,
    catalogue: std::sync::Arc<Catalogue>,
    observe: &'a mut dyn FnMut(CheckEvent),
}

/// Checks the repository as it is now and tells what it sees. Damage is an event, not an error.
pub fn run(
    repo: &Repository,
    depth: Depth,
    observe: &mut dyn FnMut(CheckEvent),
) -> Result<(), Error> {
    repo.forget_catalogue();
    let catalogue = repo.catalogue()?;
    let mut check = Check { repo, catalogue, observe };
    check.foreign_names()?;
    check.keys()?;
    check.index_objects()?;
    check.single_objects(Folder::Tombstones, Kind::Tombstone)?;
    check.single_objects(Folder::Forgotten, Kind::Forgotten)?;
    let lost = check.packs(depth)?;
    let records = check.records()?;
    check.closures(&records, &lost)?;
    check.rollback()
}

impl Check<'_> {
    fn tell(&mut self, event: CheckEvent) {
        (self.observe)(event);
    }

    fn foreign_names(&mut self) -> Result<(), Error> {
        for folder in Folder::ALL {
            for name in self.repo.env.backend.list(folder)?.foreign {
                let name = format!("{}/{name}", folder.as_str());
                self.tell(CheckEvent::Foreign { name });
            }
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), Error> {
        for (name, why) in keyring::lost_copies(&self.repo.env, &self.repo.opened)? {
            self.tell(CheckEvent::CopyLost { name, why });
        }
        Ok(())
    }

    fn index_objects(&mut self) -> Result<(), Error> {
        for listed in self.repo.env.backend.list(Folder::Index)?.objects {
            if let Err(error) = read_index_object(self.repo, &listed.name, listed.bytes) {
                self.tell(CheckEvent::Damaged { name: listed.name, why: error.to_string() });
            }
        }
        Ok(())
    }

    fn single_objects(&mut self, folder: Folder, kind: Kind) -> Result<(), Error> {
        for name in object::names(self.repo.env.backend.as_ref(), folder)? {
            let (ObjectName::Tombstone(ObjectId(id)) | ObjectName::Forgotten(ObjectId(id))) = name
            else {
                continue;
            };
            let bytes = self.repo.env.backend.get(&name, OBJECT_BYTES_MAX);
            let opened = bytes.map_err(Error::from);
            let opened =
                opened.and_then(|bytes| Ok(open_object(&self.repo.keys, kind, &id, bytes)?));
            if let Err(error) = opened {
                self.tell(CheckEvent::Damaged { name, why: error.to_string() });
            }
        }
        Ok(())
    }

    /// Checks every pack, and returns the chunks that are nowhere else.
    fn packs(&mut self, depth: Depth) -> Result<HashSet<ChunkId>, Error> {
        let mut packs: Vec<_> =
            self.catalogue.packs().iter().map(|(pack, bytes)| (*pack, *bytes)).collect();
        packs.sort();
        let bytes = packs.iter().map(|(_, bytes)| bytes).sum();
        self.tell(CheckEvent::Plan { packs: packs.len() as u64, bytes });
        let mut bad = pack_check::BadChunks::default();
        // Without its data a pack cannot be acquitted of what an earlier check found.
        let mut damaged = match depth {
            Depth::Data => BTreeSet::new(),
            Depth::Structure => self.repo.writer_state()?.damaged_packs,
        };
        let (env, keys) = (&self.repo.env, &self.repo.keys);
        let observe = &mut *self.observe;
        pack_check::run(env, keys, &packs, depth, &mut |report| {
            observe(CheckEvent::Progress { bytes: report.bytes });
            if let Some(why) = report.why {
                let _ = damaged.insert(report.pack.to_string());
                let chunks = report.bad.len();
                observe(CheckEvent::PackDamaged { pack: report.pack, chunks, why });
            }
            bad.add(report.pack, report.bad);
        })?;
        self.remember(damaged)?;
        Ok(bad.lost(&self.catalogue)?)
    }

    /// Has the next backup store anew what it finds of these packs in the sources.
    fn remember(&self, damaged: BTreeSet<String>) -> Result<(), Error> {
        let mut state = self.repo.writer_state()?;
        if state.damaged_packs == damaged {
            return Ok(());
        }
        if !damaged.is_empty() {
            state.loss_noticed = Some(self.repo.env.clock.now());
        }
        state.damaged_packs = damaged;
        self.repo.state.set_writer(&self.repo.env, &state)
    }

    /// Checks both copies of every record, and returns the committed ones, newest first.
    fn records(&mut self) -> Result<Vec<snapshots::Snapshot>, Error> {
        let backend = self.repo.env.backend.clone();
        let mut ids: BTreeMap<SnapshotId, [bool; 2]> = BTreeMap::new();
        for (at, folder) in [Folder::Snapshots, Folder::Pending].into_iter().enumerate() {
            for name in object::names(backend.as_ref(), folder)? {
                if let ObjectName::Snapshot(id) | ObjectName::Pending(id) = name {
                    ids.entry(id).or_default()[at] = true;
                }
            }
        }
        let mut records = Vec::new();
        for (id, [committed, _]) in ids {
            if !committed {
                let text = format!("snapshot {id} is pending: its run has not committed it");
                self.tell(CheckEvent::Note { text });
                continue;
            }
            records.extend(self.record(id));
        }
        records.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.record.created));
        Ok(records)
    }

    fn record(&mut self, id: SnapshotId) -> Option<snapshots::Snapshot> {
        let copies =
            [(ObjectName::Snapshot(id), Kind::Snapshot), (ObjectName::Pending(id), Kind::Pending)];
        let read = copies.map(|(name, kind)| {
            let record = snapshots::read_as(self.repo, name.clone(), kind, id);
            (name, record.map_err(|error| error.to_string()))
        });
        match read {
            [(_, Ok(record)), (_, Ok(_))] => Some(snapshots::Snapshot { id, record }),
            [(_, Ok(record)), (name, Err(why))] | [(name, Err(why)), (_, Ok(record))] => {
                self.tell(CheckEvent::CopyLost { name, why });
                Some(snapshots::Snapshot { id, record })
            }
            [(name, Err(why)), _] => {
                self.tell(CheckEvent::Damaged { name, why });
                None
            }
        }
    }

    /// Walks all that the records reach, and tells what of it is gone.
    fn closures(
        &mut self,
        records: &[snapshots::Snapshot],
        lost: &HashSet<ChunkId>,
    ) -> Result<(), Error> {
        let backend = self.repo.env.backend.clone();
        let reader = Reader::new(backend, self.catalogue.clone(), None);
        let mut closure = Closure::new(&reader);
        for snapshot in records {
            for part in &snapshot.record.parts {
                let mut affected: BTreeMap<Vec<u8>, String> = BTreeMap::new();
                let catalogue = &self.catalogue;
                let unreadable = closure.part(part, &mut |path, id| {
                    let is_gone = lost.contains(id)
                        || !matches!(catalogue.copies(id).as_deref(), Ok([_, ..]));
                    if is_gone {
                        let why = format!("chunk {id} is in no pack");
                        let _ = affected.entry(path.to_vec()).or_insert(why);
                    }
                });
                for item in unreadable {
                    let _ = affected.entry(item.path).or_insert(item.why);
                }
                for (path, why) in affected {
                    let part = part.name.clone();
                    self.tell(CheckEvent::Affected { snapshot: snapshot.id, part, path, why });
                }
            }
        }
        Ok(())
    }

    /// Compares the highest counters of all writers with those seen before: fewer means that
    /// records are gone.
    fn rollback(&mut self) -> Result<(), Error> {
        let seen = self.repo.writer_state()?.seen;
        let loaded = self.repo.snapshots()?;
        for (writer, counter) in seen {
            let ours = loaded.snapshots.iter().map(|snapshot| &snapshot.record);
            let newest = ours.filter(|r| r.writer.to_string() == writer).map(|r| r.counter).max();
            if newest.unwrap_or(0) < counter {
                let newest = newest.unwrap_or(0);
                let text = format!(
                    "writer {} published up to record {counter}, the newest here is {newest}: a \
                     newer record was forgotten, did not commit, or was taken away",
                    &writer[..8.min(writer.len())]
                );
                self.tell(CheckEvent::Note { text });
            }
        }
        Ok(())
    }
}

/// Proves one object: everything in it is read, opened and compared.
///
/// Keys that need another credential than the one at hand are compared with their second copy.
pub fn verify_object(repo: &Repository, name: &ObjectName) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    match name {
        ObjectName::Pack(pack) => {
            pack_check::verify(backend, &repo.keys, *pack, backend.size(name)?)
        }
        ObjectName::Index { .. } => read_index_object(repo, name, backend.size(name)?),
        ObjectName::Descriptor { .. } | ObjectName::Ring { .. } | ObjectName::Slot { .. } => {
            let lost = keyring::lost_copies(&repo.env, &repo.opened)?;
            match lost.into_iter().next() {
                Some((name, why)) => Err(Error::Corrupt { name: name.to_string(), why }),
                None => Ok(()),
            }
        }
        _ => open_any(repo, name).map(drop),
    }
}

fn read_index_object(repo: &Repository, name: &ObjectName, bytes: u64) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let mut reader = IndexObjectReader::open(backend, &repo.keys, name.clone(), bytes)?;
    let _ = reader.head()?;
    while reader.contents()?.is_some() {}
    Ok(())
}

/// Opens any object and returns its authenticated plaintext, for `cat` and `debug`.
///
/// Of a pack it is the table of contents; of an index object the plaintext of all frames; of keys
/// only what is no secret.
pub fn open_any(repo: &Repository, name: &ObjectName) -> Result<Vec<u8>, Error> {
    let backend = repo.env.backend.as_ref();
    let single = |kind, id: &[u8; 32]| {
        let bytes = backend.get(name, OBJECT_BYTES_MAX)?;
        Ok(open_object(&repo.keys, kind, id, bytes)?)
    };
    match name {
        ObjectName::Pack(pack) => {
            Ok(pack_table::read(backend, &repo.keys, *pack, backend.size(name)?)?.1)
        }
        ObjectName::Index { .. } => {
            let mut reader =
                IndexObjectReader::open(backend, &repo.keys, name.clone(), backend.size(name)?)?;
            let mut plain = Vec::new();
            while let Some(frame) = reader.next_frame()? {
                plain.extend(frame);
            }
            Ok(plain)
        }
        ObjectName::Pending(id) => single(Kind::Pending, &id.0),
        ObjectName::Snapshot(id) => single(Kind::Snapshot, &id.0),
        ObjectName::Tombstone(id) => single(Kind::Tombstone, &id.0),
        ObjectName::Forgotten(id) => single(Kind::Forgotten, &id.0),
        // In the clear, or secret: the object as it is stored shows what may be shown.
        ObjectName::Descriptor { .. } | ObjectName::Slot { .. } | ObjectName::Ring { .. } => {
            Ok(backend.get(name, OBJECT_BYTES_MAX)?)
        }
    }
}
