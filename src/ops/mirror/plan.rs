//! What goes up, and in which order: what a shop would miss most goes first.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashSet},
};

use crate::{
    backend::ObjectName,
    chunk::Fetch,
    format::record::{Part, PartKind, Record},
    id::{ChunkId, PackId, SnapshotId},
    ops::{
        self,
        mirror::{Ledger, keep::Wanted},
    },
    repo::{Repository, Snapshot, catalogue::Catalogue, closure::Closure},
};

/// Snapshots that go up together: fewer waits between many small ones.
const BATCH_SNAPSHOTS: usize = 32;

/// What goes up before the next records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they are sent, with their sizes.
    pub packs: Vec<(PackId, u64)>,
    /// Their records go up when all packs are there.
    pub snapshots: Vec<SnapshotId>,
}

/// All that a mirror lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub batches: Vec<Batch>,
    /// Snapshots that are damaged here: part, and why.
    pub damaged: Vec<(SnapshotId, String)>,
    /// Chunks whose packs were removed from the mirror. A pack never comes back under its name, so
    /// they need packs of their own before the snapshots that need them can go up.
    pub removed: BTreeSet<ChunkId>,
    /// How many snapshots wait for those.
    pub held_up: usize,
}

impl Plan {
    /// Bytes of the packs that are to go up.
    pub fn bytes(&self) -> u64 {
        self.batches.iter().flat_map(|batch| &batch.packs).map(|(_, bytes)| bytes).sum()
    }

    /// Snapshots that are to go up.
    pub fn snapshots(&self) -> usize {
        self.batches.iter().map(|batch| batch.snapshots.len()).sum::<usize>() + self.held_up
    }
}

/// Which snapshots are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the mirror does not show; what it shows was complete when it was sent.
    New,
    /// Those that it shows, too: something of them may be gone.
    All,
}

/// Plans the upload of what is wanted of these snapshots to a mirror that has what the ledger says.
pub fn plan(
    repo: &Repository,
    ledger: &Ledger,
    (mut snapshots, wanted, scope): (Vec<&Snapshot>, &Wanted, Scope),
) -> Result<Plan, ops::Error> {
    let (catalogue, fetch) = (repo.catalogue()?, repo.fetcher()?);
    snapshots.retain(|snapshot| match ledger.shows(snapshot.id) {
        true => scope == Scope::All,
        false => wanted.has(snapshot.id) && !ledger.was_removed(&name_of(snapshot)),
    });
    snapshots.sort_by_key(|one| (has_files(&one.record), Reverse(one.record.created), one.id));
    let mut gatherer = Gatherer {
        catalogue: &catalogue,
        ledger,
        fetch: &*fetch,
        closure: Closure::new(&*fetch),
        gathered: HashSet::new(),
    };
    let mut plan = Plan::default();
    for snapshot in snapshots {
        match gatherer.packs(&snapshot.record) {
            Ok(packs) if ledger.shows(snapshot.id) => plan.add(None, packs),
            Ok(packs) => plan.add(Some(snapshot.id), packs),
            Err(Lack::Damage(why)) => plan.damaged.push((snapshot.id, why)),
            Err(Lack::Removed(chunks)) => {
                plan.removed.extend(chunks);
                plan.held_up += usize::from(!ledger.shows(snapshot.id));
            }
        }
    }
    Ok(plan)
}

const fn name_of(snapshot: &Snapshot) -> ObjectName {
    ObjectName::Snapshot(snapshot.id)
}

impl Plan {
    /// Puts the first snapshot in a batch of its own, so that something is safe soon.
    fn add(&mut self, snapshot: Option<SnapshotId>, packs: Vec<(PackId, u64)>) {
        let has_room = self.batches.len() > 1
            && self.batches.last().is_some_and(|batch| batch.snapshots.len() < BATCH_SNAPSHOTS);
        if !has_room {
            self.batches.push(Batch::default());
        }
        let batch = self.batches.last_mut().expect("there is one now");
        batch.packs.extend(packs);
        batch.snapshots.extend(snapshot);
    }
}

fn has_files(record: &Record) -> bool {
    record.parts.iter().any(|part| matches!(part.kind, PartKind::Files | PartKind::Cache))
}

/// Databases first, then configuration, then files.
fn by_need(part: &&Part) -> u8 {
    match part.kind {
        PartKind::Database => 0,
        PartKind::Config => 1,
        _ => 2,
    }
}

/// Gathers packs, each once.
struct Gatherer<'a> {
    catalogue: &'a Catalogue,
    ledger: &'a Ledger,
    fetch: &'a dyn Fetch,
    closure: Closure<'a>,
    gathered: HashSet<PackId>,
}

/// Why a snapshot cannot go up now.
enum Lack {
    Damage(String),
    /// These chunks are nowhere but in packs that were removed there.
    Removed(BTreeSet<ChunkId>),
}

/// Where a chunk is for a mirror.
enum Home {
    /// There, or on its way.
    There,
    Pack(PackId),
    Removed,
}

impl Gatherer<'_> {
    /// The packs that the record needs, and that neither the mirror has nor an earlier record
    /// brings.
    fn packs(&mut self, record: &Record) -> Result<Vec<(PackId, u64)>, Lack> {
        let mut packs = Vec::new();
        let gathered = self.gather(record, &mut packs);
        if gathered.is_err() {
            // It does not go up, so nothing that it brings is on its way; and what it lacks is to
            // be met again by whoever shares it.
            packs.iter().for_each(|(pack, _)| {
                let _ = self.gathered.remove(pack);
            });
            self.closure = Closure::new(self.fetch);
        }
        gathered.map(|()| packs)
    }

    fn gather(&mut self, record: &Record, packs: &mut Vec<(PackId, u64)>) -> Result<(), Lack> {
        let mut removed = BTreeSet::new();
        let mut parts: Vec<_> = record.parts.iter().collect();
        parts.sort_by_key(by_need);
        for part in parts {
            let mut lost = None;
            let (catalogue, ledger) = (self.catalogue, self.ledger);
            let gathered = &mut self.gathered;
            let unreadable =
                self.closure.part(part, &mut |_, id| match home(catalogue, ledger, gathered, id) {
                    Ok(Home::There) => {}
                    Ok(Home::Pack(pack)) => {
                        let bytes = catalogue.packs().get(&pack).copied().unwrap_or_default();
                        let _ = gathered.insert(pack);
                        packs.push((pack, bytes));
                    }
                    Ok(Home::Removed) => drop(removed.insert(*id)),
                    Err(why) => drop(lost.get_or_insert(why)),
                });
            let unreadable = unreadable.into_iter().map(|unreadable| unreadable.why);
            if let Some(why) = lost.into_iter().chain(unreadable).next() {
                return Err(Lack::Damage(format!("{}: {why}", part.name)));
            }
        }
        if removed.is_empty() { Ok(()) } else { Err(Lack::Removed(removed)) }
    }
}

/// Finds a copy of the chunk that is there, or else the one that is to go there.
fn home(
    catalogue: &Catalogue,
    ledger: &Ledger,
    gathered: &HashSet<PackId>,
    id: &ChunkId,
) -> Result<Home, String> {
    let usual = catalogue.locate(id).map_err(|error| error.to_string())?;
    let was_removed = |pack: &PackId| ledger.was_removed(&ObjectName::Pack(*pack));
    let is_there = |pack: &PackId| {
        gathered.contains(pack) || ledger.has(&ObjectName::Pack(*pack)) && !was_removed(pack)
    };
    if usual.as_ref().is_some_and(|location| is_there(&location.pack)) {
        return Ok(Home::There);
    }
    let copies = catalogue.copies(id).map_err(|error| error.to_string())?;
    if copies.iter().any(|copy| is_there(&copy.pack)) {
        return Ok(Home::There);
    }
    let Some(usual) = usual else { return Err(format!("chunk {id} is missing")) };
    let mut homes = [usual.pack].into_iter().chain(copies.iter().map(|copy| copy.pack));
    Ok(homes.find(|pack| !was_removed(pack)).map_or(Home::Removed, Home::Pack))
}
