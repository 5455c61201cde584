//! The second look, after our tombstones are durable: whoever publishes a record from here on sees
//! them, and whoever did before is seen here. Spec: `format-spec/70-write-order.md`, "Tombstones".

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    backend,
    format::table::Table,
    id::{ChunkId, PackId, SnapshotId},
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        pack_table,
        prune::{
            condemn::Condemnation,
            mark::{self, Marker},
            occurrences::{Gathering, Occurrences},
            refused,
            roots::{self, Roots, Trash},
            survey::{Survey, gather},
        },
        tombstones::{self, Condemned},
    },
};

/// What was condemned and is needed after all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// By their place in the survey.
    pub packs: HashSet<u32>,
    pub snapshots: BTreeSet<SnapshotId>,
}

impl Needed {
    /// Whether all may go.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.snapshots.is_empty()
    }
}

/// The repository at the second look.
struct Second {
    roots: Roots,
    catalogue: Arc<Catalogue>,
    look: Condemned,
    condemned: HashSet<PackId>,
    /// Packs that the survey did not know, with places that go on where its own end.
    newer: HashMap<PackId, u32>,
    newer_chunks: Occurrences,
}

/// Looks at everything again and returns what must stay.
///
/// # Errors
/// [`Error::Refused`] as at the first look; nothing may be deleted then.
pub fn needed(
    repo: &Repository,
    survey: &mut Survey,
    wanted: &Condemnation,
    trash: &Trash,
) -> Result<Needed, Error> {
    let mut second = Second::look(repo, survey, wanted, trash)?;
    second.mark(repo, survey)?;
    let mut needed = Needed::default();
    let is_root =
        |id: &&SnapshotId| second.roots.committed.contains(id) || second.roots.pending.contains(id);
    let taken_back = wanted.snapshots.iter().filter(is_root);
    needed.snapshots = taken_back.filter(|id| !survey.half_gone.contains(id)).copied().collect();
    needed.packs = second.packs_needed(repo, survey, wanted)?;
    Ok(needed)
}

impl Second {
    fn look(
        repo: &Repository,
        survey: &Survey,
        wanted: &Condemnation,
        trash: &Trash,
    ) -> Result<Self, Error> {
        let backend = repo.env.backend.as_ref();
        // Records first: what they reach was there before them.
        let roots = Roots::list(repo, trash)?;
        let catalogue = Arc::new(Catalogue::look(&repo.env, &repo.state, &repo.keys)?);
        let look = tombstones::look(backend, &repo.keys, catalogue.known_index())?.for_deleter()?;
        expect_ours(&look, survey, wanted)?;
        roots.expect(&survey.roots.committed, &look, survey.catalogue.known_tombstones())?;
        let mut newer = HashMap::new();
        let mut gathering = Gathering::default();
        for (pack, bytes) in catalogue.packs() {
            if survey.ordinals.contains_key(pack) {
                continue;
            }
            let ordinal =
                u32::try_from(survey.packs.len() + newer.len()).expect("fewer than 2^32 packs");
            match pack_table::read(backend, &repo.keys, *pack, *bytes) {
                Ok((_, table)) => {
                    let _ = gather(&mut gathering, ordinal, &table)?;
                    let _ = newer.insert(*pack, ordinal);
                }
                // What needs a chunk that is only in there is refused for want of it.
                Err(error) if error.is_damage() && !mark::is_newer(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let newer_chunks = gathering.finish();
        let condemned = look.packs();
        Ok(Self { roots, catalogue, look, condemned, newer, newer_chunks })
    }

    /// Follows the roots that the survey did not follow to their end.
    fn mark(&mut self, repo: &Repository, survey: &mut Survey) -> Result<(), Error> {
        let is_new =
            |id: &SnapshotId| !survey.walked.contains(id) && !survey.half_gone.contains(id);
        let roots = Roots {
            committed: self.roots.committed.iter().copied().filter(is_new).collect(),
            pending: self.roots.pending.iter().copied().filter(is_new).collect(),
            ..Roots::default()
        };
        let fetch = mark::fetch(repo, &self.catalogue);
        let (occurrences, newer) = (&mut survey.occurrences, &mut self.newer_chunks);
        let mut mark_both = |id: &ChunkId| {
            let (older, newer) = (occurrences.mark(id), newer.mark(id));
            older || newer
        };
        let mut read = |id| roots::read(repo, id, None);
        let mut marker = Marker::new(repo, &*fetch, &self.look);
        let walked = marker.walk(&roots, &mut read, &mut mark_both)?;
        survey.walked.extend(walked.whole);
        survey.half_gone.extend(walked.half_gone);
        Ok(())
    }

    /// The condemned packs that hold something alive which no other pack is sure to give back.
    fn packs_needed(
        &self,
        repo: &Repository,
        survey: &Survey,
        wanted: &Condemnation,
    ) -> Result<HashSet<u32>, Error> {
        let mut needed = HashSet::new();
        // What a home must prove to hold, and for the sake of which pack.
        let mut relied_on: BTreeMap<PackId, Vec<(ChunkId, u32)>> = BTreeMap::new();
        let names = self.pack_names(survey);
        for at in &wanted.packs {
            let entry = survey.packs[*at as usize].entry;
            let table = match pack_table::read(
                repo.env.backend.as_ref(),
                &repo.keys,
                entry.pack,
                entry.bytes,
            ) {
                Ok((_, table)) => table,
                // Another prune was faster.
                Err(Error::Backend(backend::Error::Missing { .. })) => continue,
                Err(error) if error.is_damage() => {
                    let _ = needed.insert(*at);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (id, _) in Table::parse(&table)?.locations(entry) {
                if !self.is_live(survey, &id) {
                    continue;
                }
                match self.home_of(survey, &names, &id) {
                    Some(home) => relied_on.entry(home).or_default().push((id, *at)),
                    None => drop(needed.insert(*at)),
                }
            }
        }
        for (home, chunks) in relied_on {
            let held = self.held_by(repo, home)?;
            let missing = chunks.iter().filter(|(id, _)| !held.contains(id));
            needed.extend(missing.map(|(_, at)| *at));
        }
        Ok(needed)
    }

    fn is_live(&self, survey: &Survey, id: &ChunkId) -> bool {
        survey.occurrences.is_live(&survey.occurrences.find(id))
            || self.newer_chunks.is_live(&self.newer_chunks.find(id))
    }

    /// A pack that is there, that nobody has condemned, and that is said to hold the chunk.
    fn home_of(&self, survey: &Survey, names: &[PackId], id: &ChunkId) -> Option<PackId> {
        let older = survey.occurrences.packs_of(id);
        let newer = self.newer_chunks.packs_of(id);
        newer.chain(older).map(|at| names[at as usize]).find(|pack| {
            self.catalogue.packs().contains_key(pack)
                && !self.condemned.contains(pack)
                && !self.catalogue.damaged().contains(pack)
        })
    }

    fn pack_names(&self, survey: &Survey) -> Vec<PackId> {
        let mut names: Vec<_> = survey.packs.iter().map(|pack| pack.entry.pack).collect();
        names.resize(survey.packs.len() + self.newer.len(), PackId([0; 32]));
        for (pack, at) in &self.newer {
            names[*at as usize] = *pack;
        }
        names
    }

    /// What a pack's own table says that it holds.
    fn held_by(&self, repo: &Repository, pack: PackId) -> Result<HashSet<ChunkId>, Error> {
        let bytes = self.catalogue.packs().get(&pack).copied().unwrap_or(0);
        match pack_table::read(repo.env.backend.as_ref(), &repo.keys, pack, bytes) {
            Ok((entry, table)) => {
                Ok(Table::parse(&table)?.locations(entry).map(|(id, _)| id).collect())
            }
            Err(error) if error.is_damage() => Ok(HashSet::new()),
            Err(error) => Err(error),
        }
    }
}

/// Our tombstones must stand where everybody sees them.
fn expect_ours(look: &Condemned, survey: &Survey, wanted: &Condemnation) -> Result<(), Error> {
    let condemned = look.packs();
    let stands = |at: &u32| condemned.contains(&survey.packs[*at as usize].entry.pack);
    if wanted.packs.iter().all(stands) {
        return Ok(());
    }
    Err(refused("a tombstone that was just written cannot be found".to_owned()))
}
