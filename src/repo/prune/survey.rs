//! What there is, and what of it is reached: read from the repository, not from any cache.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    backend::ObjectName,
    chunk::Fetch,
    format::{
        record::Record,
        table::{Blob, Table},
    },
    id::{PackId, SnapshotId},
    limits::OBJECT_PLAIN_BYTES_MAX,
    location::PackEntry,
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        index_object::{Contents, Head, IndexObjectReader},
        pack_table,
        prune::{
            OlderEpochs, PruneEvent, PruneStep,
            mark::{self, Marker},
            occurrences::{Gathering, Occurrence, Occurrences},
            plan::{self, Effort, PackUse, Plan, Standing},
            refused,
            roots::{self, Roots, Trash},
        },
        tombstones::{self, Condemned},
    },
};

/// How often a survey begins anew because index objects went while it read.
const SURVEYS_MAX: usize = 8;
/// A chunk takes at least this much of an index object: its id is random.
const BYTES_PER_CHUNK: u64 = 33;

/// A pack of the listing.
#[derive(Debug, Clone, Copy)]
pub struct SurveyedPack {
    pub entry: PackEntry,
    /// An index object names it.
    pub is_claimed: bool,
    pub is_damaged: bool,
    /// Sealed bytes of all its blobs.
    pub stored_bytes: u64,
}

/// What there is, and what of it is reached.
pub struct Survey {
    pub catalogue: Arc<Catalogue>,
    pub condemned: Condemned,
    pub roots: Roots,
    /// Those of one run side by side, oldest first, as far as the index says.
    pub packs: Vec<SurveyedPack>,
    pub ordinals: HashMap<PackId, u32>,
    pub occurrences: Occurrences,
    /// Roots whose every chunk is marked.
    pub walked: HashSet<SnapshotId>,
    /// Snapshots that an interrupted prune took away in part.
    pub half_gone: HashSet<SnapshotId>,
}

/// A survey in the making.
struct Reading<'a> {
    repo: &'a Repository,
    catalogue: &'a Catalogue,
    packs: Vec<SurveyedPack>,
    ordinals: HashMap<PackId, u32>,
    gathering: Gathering,
    records: HashMap<SnapshotId, Vec<u8>>,
}

impl Survey {
    /// Reads records, index and tables, and follows every root to all that it reaches.
    ///
    /// # Errors
    /// [`Error::Refused`] if anything that a root reaches cannot be read or is in no pack.
    pub fn take(
        repo: &Repository,
        trash: &Trash,
        observe: &mut dyn FnMut(PruneEvent),
    ) -> Result<Self, Error> {
        for _ in 1..SURVEYS_MAX {
            match Self::take_once(repo, trash, observe) {
                Err(error) if tombstones::is_index_object_gone(&error) => {}
                other => return other,
            }
        }
        Self::take_once(repo, trash, observe)
    }

    fn take_once(
        repo: &Repository,
        trash: &Trash,
        observe: &mut dyn FnMut(PruneEvent),
    ) -> Result<Self, Error> {
        let backend = repo.env.backend.as_ref();
        // Records first: what they reach was there before them.
        let roots = Roots::list(repo, trash)?;
        let catalogue = Arc::new(Catalogue::load(&repo.env, &repo.state, &repo.keys)?);
        let condemned =
            tombstones::look(backend, &repo.keys, catalogue.known_index())?.for_deleter()?;
        roots.expect(&roots::known(repo)?, &condemned, &HashSet::new())?;
        if roots.all().next().is_none() && !catalogue.packs().is_empty() {
            return Err(refused("there is not a single snapshot to keep".to_owned()));
        }
        let mut reading = Reading::begin(repo, &catalogue);
        reading.index_objects()?;
        reading.unnamed_tables(observe)?;
        let Reading { packs, ordinals, gathering, records, .. } = reading;
        let occurrences = gathering.finish();
        let (walked, half_gone) = (HashSet::new(), HashSet::new());
        let mut survey = Self {
            catalogue: catalogue.clone(),
            condemned,
            roots,
            packs,
            ordinals,
            occurrences,
            walked,
            half_gone,
        };
        let bytes = survey.packs.iter().map(|pack| pack.entry.bytes).sum();
        observe(PruneEvent::Step { step: PruneStep::Mark, bytes });
        survey.mark(repo, &records)?;
        Ok(survey)
    }

    fn mark(
        &mut self,
        repo: &Repository,
        records: &HashMap<SnapshotId, Vec<u8>>,
    ) -> Result<(), Error> {
        let fetch: Arc<dyn Fetch> = mark::fetch(repo, &self.catalogue);
        let mut marker = Marker::new(repo, &*fetch, &self.condemned);
        let occurrences = &mut self.occurrences;
        let mut read = |id| -> Result<Record, Error> { roots::read(repo, id, records.get(&id)) };
        let walked = marker.walk(&self.roots, &mut read, &mut |id| occurrences.mark(id))?;
        self.walked = walked.whole;
        self.half_gone = walked.half_gone;
        for id in &self.half_gone {
            let _ = self.roots.committed.remove(id);
            let _ = self.roots.pending.remove(id);
            let _ = self.roots.expired.insert(*id);
        }
        Ok(())
    }

    /// Chooses the copy of each chunk that stays, weighs every pack and decides.
    pub fn weigh(&mut self, young: &HashSet<PackId>, effort: &Effort) -> Plan {
        let standings = self.standings(young, effort.older_epochs);
        let is_home = |copy: &Occurrence| standings[copy.pack as usize].rank() == 0;
        // Of packs that share a chunk, the one that must stay anyway keeps it.
        let mut alone = vec![0u64; self.packs.len()];
        self.occurrences.choose(|copies| {
            let mut homes = copies.iter().filter(|copy| is_home(copy));
            if let (Some(only), None) = (homes.next(), homes.next()) {
                alone[only.pack as usize] += u64::from(only.stored_bytes);
            }
            None
        });
        let mut live = vec![0u64; self.packs.len()];
        self.occurrences.choose(|copies| {
            let rank = |copy: &Occurrence| {
                let at = copy.pack as usize;
                (standings[at].rank(), u64::MAX - alone[at], copy.pack)
            };
            let (at, kept) = copies.iter().enumerate().min_by_key(|(_, copy)| rank(copy))?;
            live[kept.pack as usize] += u64::from(kept.stored_bytes);
            Some(at)
        });
        let uses: Vec<_> = self.packs.iter().zip(standings).zip(live).map(weighed).collect();
        plan::plan(&uses, effort)
    }

    /// Whether a pack was sealed before the newest epoch began.
    pub fn is_older(&self, pack: &SurveyedPack) -> bool {
        pack.entry.epoch < self.catalogue.keys().epoch_now()
    }

    fn standings(&self, young: &HashSet<PackId>, older_epochs: OlderEpochs) -> Vec<Standing> {
        let condemned = self.condemned.packs();
        let mut budget = match older_epochs {
            OlderEpochs::Stay => None,
            OlderEpochs::Move { bytes_max } => Some(bytes_max),
        };
        let mut moves = |pack: &SurveyedPack| match budget {
            Some(left) if left > 0 && self.is_older(pack) => {
                budget = Some(left.saturating_sub(pack.entry.bytes));
                true
            }
            _ => false,
        };
        let mut standing = |pack: &SurveyedPack| match pack.entry.pack {
            _ if pack.is_damaged => Standing::Damaged,
            id if condemned.contains(&id) => Standing::Condemned,
            id if young.contains(&id) => Standing::Unclaimed,
            _ if moves(pack) => Standing::Condemned,
            _ => Standing::Home,
        };
        self.packs.iter().map(&mut standing).collect()
    }
}

/// Table, padding and trailer belong to what is alive in proportion.
fn weighed(((pack, standing), live): ((&SurveyedPack, Standing), u64)) -> PackUse {
    let bytes = pack.entry.bytes;
    let share = u128::from(bytes) * u128::from(live) / u128::from(pack.stored_bytes.max(1));
    let floor = u64::from(live > 0);
    let live_bytes = u64::try_from(share).unwrap_or(bytes).clamp(floor, bytes.max(floor));
    PackUse { standing, bytes, live_bytes }
}

impl<'a> Reading<'a> {
    fn begin(repo: &'a Repository, catalogue: &'a Catalogue) -> Self {
        let index_bytes: u64 = catalogue.live().iter().map(|head| head.bytes).sum();
        let count = usize::try_from(index_bytes / BYTES_PER_CHUNK).unwrap_or(0);
        Self {
            repo,
            catalogue,
            packs: Vec::new(),
            ordinals: HashMap::new(),
            gathering: Gathering::with_capacity(count),
            records: HashMap::new(),
        }
    }

    /// Reads every live index object, the oldest first. Those that are damaged say nothing that the
    /// tables of the packs do not say; one of a newer program might.
    fn index_objects(&mut self) -> Result<(), Error> {
        for (name, why) in &self.catalogue.report().damaged {
            if matches!(name, ObjectName::Index { .. }) {
                return Err(refused(format!("{name} cannot be read: {why}")));
            }
        }
        let mut heads: Vec<_> = self.catalogue.live().iter().collect();
        heads.sort_by_key(|head| head.sequence);
        heads.into_iter().try_for_each(|head| self.index_object(head))
    }

    fn index_object(&mut self, head: &Head) -> Result<(), Error> {
        let backend = self.repo.env.backend.as_ref();
        let name = head.name.clone();
        let mut reader = IndexObjectReader::open(backend, &self.repo.keys, name, head.bytes)?;
        let mut next = Some(reader.head()?.1);
        while let Some(contents) = next {
            self.take(contents)?;
            next = reader.contents()?;
        }
        Ok(())
    }

    fn take(&mut self, contents: Contents) -> Result<(), Error> {
        for (entry, table) in contents.packs {
            // One of another size is cut short: it is neither a home nor deleted.
            if self.catalogue.packs().get(&entry.pack) == Some(&entry.bytes) {
                self.add(entry, &table, true)?;
            }
        }
        for (id, record) in contents.records {
            debug_assert!(record.len() <= OBJECT_PLAIN_BYTES_MAX);
            let _ = self.records.insert(id, record);
        }
        Ok(())
    }

    /// Reads the tables of packs that no index object names.
    fn unnamed_tables(&mut self, observe: &mut dyn FnMut(PruneEvent)) -> Result<(), Error> {
        let mut unnamed: Vec<_> = self.catalogue.packs().iter().collect();
        unnamed.retain(|(pack, _)| !self.ordinals.contains_key(*pack));
        unnamed.sort_unstable();
        for (pack, bytes) in unnamed {
            let backend = self.repo.env.backend.as_ref();
            match pack_table::read(backend, &self.repo.keys, *pack, *bytes) {
                Ok((entry, table)) => self.add(entry, &table, false)?,
                Err(error) if mark::is_newer(&error) => return Err(error),
                // Nothing is known of what is in it, so it stays; `repair` knows what to do.
                Err(error) => observe(PruneEvent::Left {
                    what: ObjectName::Pack(*pack).to_string(),
                    why: error.to_string(),
                }),
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: PackEntry, table: &[u8], is_claimed: bool) -> Result<(), Error> {
        let ordinal = u32::try_from(self.packs.len()).expect("fewer than 2^32 packs");
        if self.ordinals.contains_key(&entry.pack) {
            return Ok(());
        }
        let stored_bytes = gather(&mut self.gathering, ordinal, table)?;
        let is_damaged = self.catalogue.damaged().contains(&entry.pack);
        let _ = self.ordinals.insert(entry.pack, ordinal);
        self.packs.push(SurveyedPack { entry, is_claimed, is_damaged, stored_bytes });
        Ok(())
    }
}

/// Takes in all chunks of a table. Returns the sealed bytes of all blobs.
pub fn gather(gathering: &mut Gathering, ordinal: u32, table: &[u8]) -> Result<u64, Error> {
    let mut stored_bytes = 0;
    for blob in Table::parse(table)?.blobs() {
        stored_bytes += u64::from(blob.stored_bytes);
        for chunk in blob.chunks() {
            gathering.push(&chunk.id, ordinal, share(&blob, chunk.bytes));
        }
    }
    Ok(stored_bytes)
}

/// A chunk's share of its sealed blob; never nothing, so that no pack with life in it looks empty.
fn share(blob: &Blob<'_>, chunk_bytes: u32) -> u32 {
    let plain_bytes = u64::from(blob.plain_bytes().max(1));
    let share = u64::from(blob.stored_bytes) * u64::from(chunk_bytes) / plain_bytes;
    u32::try_from(share).expect("a share is at most the blob").max(1)
}
