//! Proving that a repository is whole: every object present and authentic, every chunk that a
//! record reaches in a pack.
//!
//! Reads only. With data, every blob of every pack is opened and every chunk hashed; without,
//! objects and tables are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    backend::{self, Backend, Folder, ObjectName},
    crypto::{keys::Keys, object::open_object},
    format::envelope::Kind,
    id::{ChunkId, ObjectId, PackId, SnapshotId},
    limits::PACK_BYTES_MAX,
    repo::{
        Error, Repository, Snapshot,
        affected::Affected,
        bad_blobs::BadBlobs,
        catalogue::Catalogue,
        index_object::IndexObjectReader,
        keyring,
        known_losses::KnownLosses,
        last_read::LastRead,
        object::{self, OBJECT_BYTES_MAX},
        pack_check, pack_table,
        parity::{self, ParityObject},
        reader::Reader,
        snapshots, tombstones,
    },
};

pub use crate::repo::last_read::Share;

/// How often the walk over all records begins again because a prune moved data under it.
const WALKS_MAX: usize = 3;
/// Affected things that are told one by one, over all snapshots.
const AFFECTED_TOLD_MAX: usize = 100_000;

/// What a check sees.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CheckEvent {
    /// Work ahead: packs, their bytes, and how many of these are read in full.
    Plan { packs: u64, bytes: u64, bytes_to_read: u64 },
    /// A pack is done.
    Progress { bytes: u64 },
    /// What this machine has read of the packs, now and earlier: when the one that was read longest
    /// ago was read, and how many never were.
    ReadSoFar { oldest: Option<i64>, never: u64 },
    /// An object that does not open.
    Damaged { name: ObjectName, why: String },
    /// One of two copies is gone or damaged; the other one serves.
    CopyLost { name: ObjectName, why: String },
    /// A pack that does not give back these chunks. Another pack may have copies of them.
    PackDamaged { pack: PackId, chunks: usize, why: String },
    /// Something that a snapshot cannot give back any more.
    Affected { snapshot: SnapshotId, part: String, path: Vec<u8>, why: String },
    /// So many more, beyond those that were told.
    AffectedBesides { count: u64 },
    /// A name that is none of ours.
    Foreign { name: String },
    /// Something worth knowing that harms nothing.
    Note { text: String },
}

impl CheckEvent {
    /// Whether it tells how far the check is, and nothing of what it found.
    pub const fn is_progress(&self) -> bool {
        matches!(self, Self::Plan { .. } | Self::Progress { .. } | Self::ReadSoFar { .. })
    }
}

/// How much a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Every object, and the tables of packs.
    #[default]
    Structure,
    /// Every blob and chunk as well.
    Data,
    /// Every object, and every blob and chunk of a share of the packs: those that were read longest
    /// ago. Runs add up to everything.
    Share(Share),
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
    check.single_objects(Folder::Pinned, Kind::Pinned)?;
    check.parity(depth)?;
    let bad = check.packs(depth)?;
    check.closures(&bad)?;
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
            let place = (self.repo.env.backend.as_ref(), &*self.repo.keys);
            if let Err(error) = read_index_object(place, &listed.name, listed.bytes) {
                self.tell(CheckEvent::Damaged { name: listed.name, why: error.to_string() });
            }
        }
        Ok(())
    }

    fn parity(&mut self, depth: Depth) -> Result<(), Error> {
        for listed in self.repo.env.backend.list(Folder::Parity)?.objects {
            let ObjectName::Parity(id) = listed.name else { continue };
            if let Err(error) = parity::verify(self.repo, id, listed.bytes, depth) {
                self.tell(CheckEvent::Damaged { name: listed.name, why: error.to_string() });
            }
        }
        Ok(())
    }

    fn single_objects(&mut self, folder: Folder, kind: Kind) -> Result<(), Error> {
        for name in object::names(self.repo.env.backend.as_ref(), folder)? {
            let (ObjectName::Tombstone(ObjectId(id))
            | ObjectName::Forgotten(ObjectId(id))
            | ObjectName::Pinned(ObjectId(id))) = name
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

    /// Checks every pack, and returns the blobs that do not give back what they should.
    fn packs(&mut self, depth: Depth) -> Result<BadBlobs, Error> {
        let (env, state) = (&self.repo.env, &self.repo.state);
        let catalogue = self.catalogue.clone();
        let listed = catalogue.packs().iter().chain(catalogue.resized());
        let mut packs: Vec<_> = listed.map(|(pack, bytes)| (*pack, *bytes)).collect();
        packs.sort();
        let mut last_read = LastRead::load(env, state);
        let mut chosen = chosen(depth, &last_read, &packs);
        // What an earlier check found damaged is read again, and told again.
        let damaged_before = self.repo.writer_state()?.damaged_packs;
        let is_suspect = |pack: &&PackId| damaged_before.contains(&pack.to_string());
        chosen.extend(packs.iter().map(|(pack, _)| pack).filter(is_suspect));
        let bytes = packs.iter().map(|(_, bytes)| bytes).sum();
        let to_read = packs.iter().filter(|(pack, _)| chosen.contains(pack));
        let bytes_to_read = to_read.map(|(_, bytes)| bytes).sum();
        self.tell(CheckEvent::Plan { packs: packs.len() as u64, bytes, bytes_to_read });

        let now = last_read.later_than_all(env.clock.now());
        let mut bad = BadBlobs::default();
        let mut reports = Vec::new();
        let is_read = |pack: &PackId| chosen.contains(pack);
        let done = pack_check::run((env, &catalogue), &packs, &is_read, &mut |mut report| {
            (self.observe)(CheckEvent::Progress { bytes: report.bytes });
            bad.add(report.pack, std::mem::take(&mut report.bad));
            if report.was_read {
                last_read.note(report.pack, now);
            }
            if report.why.is_some() {
                reports.push(report);
            }
        });
        // What was read counts, also when there was no time for the rest.
        last_read.save(env, state, &packs)?;
        done?;
        if depth != Depth::Structure {
            let (oldest, never) = (last_read.oldest(&packs), last_read.never_read(&packs));
            self.tell(CheckEvent::ReadSoFar { oldest, never });
        }
        let mut damaged = BTreeSet::new();
        for report in self.without_pruned(reports)? {
            let _ = damaged.insert(report.pack.to_string());
            let (pack, chunks) = (report.pack, report.chunks_bad);
            let why = report.why.unwrap_or_default();
            self.tell(CheckEvent::PackDamaged { pack, chunks, why });
        }
        self.remember(damaged)?;
        Ok(bad)
    }

    /// Leaves out packs that a prune took away while they were read.
    fn without_pruned(
        &self,
        mut reports: Vec<pack_check::PackReport>,
    ) -> Result<Vec<pack_check::PackReport>, Error> {
        let backend = self.repo.env.backend.as_ref();
        let is_gone = |pack| {
            let size = backend.size(&ObjectName::Pack(pack));
            matches!(size, Err(backend::Error::Missing { .. }))
        };
        if reports.iter().any(|report| is_gone(report.pack)) {
            let known = self.catalogue.known_index();
            let condemned = tombstones::look(backend, &self.repo.keys, known)?.packs();
            reports.retain(|report| !condemned.contains(&report.pack) || !is_gone(report.pack));
        }
        Ok(reports)
    }

    /// Has the next backup store anew what it finds of these packs in the sources.
    fn remember(&self, damaged: BTreeSet<String>) -> Result<(), Error> {
        let mut state = self.repo.writer_state()?;
        if state.damaged_packs == damaged {
            return Ok(());
        }
        if !damaged.is_subset(&state.damaged_packs) {
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
        // A mirror has no pending records at all: there the second copy is the one here.
        let is_mirror = ids.values().all(|[_, pending]| !pending);
        let mut records = Vec::new();
        for (id, [committed, _]) in ids {
            if !committed {
                let text = format!("snapshot {id} is pending: its run has not committed it");
                self.tell(CheckEvent::Note { text });
                continue;
            }
            records.extend(if is_mirror { self.only_copy(id) } else { self.record(id) });
        }
        records.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.record.created));
        Ok(records)
    }

    fn only_copy(&mut self, id: SnapshotId) -> Option<snapshots::Snapshot> {
        let name = ObjectName::Snapshot(id);
        match snapshots::read_as(self.repo, name.clone(), Kind::Snapshot, id) {
            Ok(record) => Some(snapshots::Snapshot { id, record }),
            Err(error) => {
                self.tell(CheckEvent::Damaged { name, why: error.to_string() });
                None
            }
        }
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
    fn closures(&mut self, bad: &BadBlobs) -> Result<(), Error> {
        let records = self.records()?;
        for attempt in 1.. {
            let (mut events, mut more) = (Vec::new(), 0);
            self.walk(&records, bad, &mut |event| match events.len() {
                AFFECTED_TOLD_MAX.. => more += 1,
                _ => events.push(event),
            })?;
            if events.is_empty() || attempt == WALKS_MAX || !self.reload_if_pruned()? {
                KnownLosses::of(&events).save(&self.repo.env, &self.repo.state)?;
                events.into_iter().for_each(|event| self.tell(event));
                if more > 0 {
                    self.tell(CheckEvent::AffectedBesides { count: more });
                }
                break;
            }
        }
        Ok(())
    }

    fn walk(
        &self,
        records: &[snapshots::Snapshot],
        bad: &BadBlobs,
        tell: &mut dyn FnMut(CheckEvent),
    ) -> Result<(), Error> {
        let catalogue = &self.catalogue;
        let reader = Reader::new(self.repo.env.backend.clone(), catalogue.clone(), None);
        let is_lost = |id: &ChunkId| bad.is_lost(catalogue, id);
        let mut affected = Affected::new(&reader, &is_lost);
        for Snapshot { id, record } in records {
            for part in &record.parts {
                affected.part(part, &mut |path, why| {
                    let (part, path, why) = (part.name.clone(), path.to_vec(), why.to_owned());
                    tell(CheckEvent::Affected { snapshot: *id, part, path, why });
                });
            }
        }
        Ok(())
    }

    /// Looks at the repository anew if packs that were there are gone.
    fn reload_if_pruned(&mut self) -> Result<bool, Error> {
        let listed = object::names(self.repo.env.backend.as_ref(), Folder::Packs)?;
        let listed: HashSet<_> = listed.into_iter().collect();
        let is_whole =
            self.catalogue.packs().keys().all(|pack| listed.contains(&ObjectName::Pack(*pack)));
        if !is_whole {
            self.repo.forget_catalogue();
            self.catalogue = self.repo.catalogue()?;
        }
        Ok(!is_whole)
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

/// The packs that are read in full.
fn chosen(depth: Depth, last_read: &LastRead, packs: &[(PackId, u64)]) -> HashSet<PackId> {
    match depth {
        Depth::Structure => HashSet::new(),
        Depth::Data => packs.iter().map(|(pack, _)| *pack).collect(),
        Depth::Share(share) => last_read.choose(packs, share).into_iter().collect(),
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
        ObjectName::Index { .. } => {
            read_index_object((backend, &repo.keys), name, backend.size(name)?)
        }
        ObjectName::Parity(id) => parity::verify(repo, *id, backend.size(name)?, Depth::Data),
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

/// Reads an index object of this place to its end.
pub(super) fn read_index_object(
    (backend, keys): (&dyn Backend, &Keys),
    name: &ObjectName,
    bytes: u64,
) -> Result<(), Error> {
    let mut reader = IndexObjectReader::open(backend, keys, name.clone(), bytes)?;
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
        ObjectName::Pinned(id) => single(Kind::Pinned, &id.0),
        ObjectName::Parity(id) => {
            Ok(ParityObject::read(repo, *id, backend.size(name)?)?.table.encode())
        }
        // In the clear, or secret: the object as it is stored shows what may be shown.
        ObjectName::Descriptor { .. } | ObjectName::Slot { .. } | ObjectName::Ring { .. } => {
            Ok(backend.get(name, OBJECT_BYTES_MAX)?)
        }
        ObjectName::Quarantined { .. } => Ok(backend.get(name, PACK_BYTES_MAX)?),
    }
}
