//! The two phases of a deletion: our own tombstones, a second look, and only then the deed. Spec:
//! `format-spec/70-write-order.md`, "Tombstones".

use std::{collections::BTreeSet, ops::Range, sync::atomic::Ordering};

use crate::{
    backend::{self, ObjectName},
    crypto::object::seal_object,
    format::{envelope::Kind, tombstone::Tombstone},
    id::{ObjectId, PackId, SnapshotId},
    repo::{
        Error, Repository, keyring, object,
        prune::{
            PruneEvent,
            recheck::{self, Needed},
            roots::Trash,
            survey::Survey,
        },
        tombstones,
    },
};

/// How often a deleter gives way to runs that turn out to need what it condemned.
const ROUNDS_MAX: usize = 5;
/// Packs that are deleted before the next look at our tombstones and at the signals.
const DELETED_TOGETHER: usize = 32;
/// Names in one tombstone: below 4 MiB of plaintext.
const NAMES_MAX: usize = 100_000;

/// What is to go: packs by their place in the survey.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condemnation {
    pub packs: Vec<u32>,
    pub snapshots: BTreeSet<SnapshotId>,
}

/// What is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    pub snapshots: u64,
    pub packs: u64,
    pub bytes: u64,
    /// Packs that were condemned and are needed after all.
    pub rescinded: u64,
}

impl Condemnation {
    /// Size of the packs.
    pub fn bytes(&self, survey: &Survey) -> u64 {
        self.packs.iter().map(|at| survey.packs[*at as usize].entry.bytes).sum()
    }

    fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.snapshots.is_empty()
    }

    fn without(&self, needed: &Needed) -> Self {
        let packs = self.packs.iter().filter(|at| !needed.packs.contains(at)).copied().collect();
        let snapshots = self.snapshots.difference(&needed.snapshots).copied().collect();
        Self { packs, snapshots }
    }
}

/// What is still to go, what says so to others, and what went.
struct Deletion {
    wanted: Condemnation,
    ours: Vec<ObjectId>,
    deleted: Deleted,
}

/// Condemns, looks again, and deletes what nothing needs.
///
/// Where the second look finds that something is needed, or is refused, our tombstones go again and
/// nothing was deleted. They are ours alone: nobody relies on one that another prune wrote.
pub fn carry_out(
    repo: &Repository,
    survey: &mut Survey,
    wanted: Condemnation,
    trash: &Trash,
    observe: &mut dyn FnMut(PruneEvent),
) -> Result<Deleted, Error> {
    let mut deletion = Deletion { wanted, ours: Vec::new(), deleted: Deleted::default() };
    for _ in 0..ROUNDS_MAX {
        if deletion.wanted.is_empty() {
            break;
        }
        // The new tombstones stand before the old ones go. A listing may show neither all the same,
        // if it was begun before and ended after: so the second look follows every change.
        let published = publish(repo, survey, &deletion.wanted)?;
        rescind(repo, &std::mem::replace(&mut deletion.ours, published))?;
        let looked = keyring::expect_known(&repo.env, repo.id())
            .and_then(|()| repo.opened.refresh(repo.env.backend.as_ref()))
            .and_then(|()| recheck::needed(repo, survey, &deletion.wanted, trash));
        let needed = match looked {
            Ok(needed) => needed,
            Err(error) => {
                rescind(repo, &deletion.ours)?;
                return Err(error);
            }
        };
        if needed.is_empty() {
            if deletion.delete(repo, survey, observe)? {
                return Ok(deletion.deleted);
            }
            continue;
        }
        deletion.deleted.rescinded += needed.packs.len() as u64;
        deletion.wanted = deletion.wanted.without(&needed);
    }
    rescind(repo, &deletion.ours)?;
    Ok(deletion.deleted)
}

/// Condemns what a later prune takes away; durable on return.
pub fn leave_word(repo: &Repository, survey: &Survey, wanted: &Condemnation) -> Result<(), Error> {
    publish(repo, survey, wanted).map(drop)
}

fn publish(
    repo: &Repository,
    survey: &Survey,
    wanted: &Condemnation,
) -> Result<Vec<ObjectId>, Error> {
    let packs: Vec<PackId> =
        wanted.packs.iter().map(|at| survey.packs[*at as usize].entry.pack).collect();
    let snapshots: Vec<SnapshotId> = wanted.snapshots.iter().copied().collect();
    let count = portions(packs.len().max(snapshots.len()));
    // Each twice: whoever looks while one of them has decayed reads the other, whatever we are at.
    (0..count)
        .chain(0..count)
        .map(|at| {
            let tombstone = Tombstone {
                deleter: repo.writer_id()?,
                created: repo.env.clock.now(),
                packs: packs[portion(at, packs.len())].to_vec(),
                index_objects: Vec::new(),
                snapshots: snapshots[portion(at, snapshots.len())].to_vec(),
            };
            put(repo, &tombstone)
        })
        .collect()
}

/// Over how many tombstones so many names of a kind are spread.
const fn portions(names: usize) -> usize {
    names.div_ceil(NAMES_MAX / 2)
}

/// Those of so many names that one of the tombstones tells.
fn portion(at: usize, names: usize) -> Range<usize> {
    let start = (at * (NAMES_MAX / 2)).min(names);
    start..(start + NAMES_MAX / 2).min(names)
}

/// Publishes one tombstone; durable on return.
pub fn put(repo: &Repository, tombstone: &Tombstone) -> Result<ObjectId, Error> {
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = seal_object(&repo.keys, Kind::Tombstone, &id.0, &tombstone.encode()?);
    object::put_proven(repo.env.backend.as_ref(), &ObjectName::Tombstone(id), &sealed)?;
    Ok(id)
}

/// Takes our own tombstones back, or away when nothing that they name is left.
pub fn rescind(repo: &Repository, tombstones: &[ObjectId]) -> Result<(), Error> {
    let names: Vec<_> = tombstones.iter().map(|id| ObjectName::Tombstone(*id)).collect();
    Ok(repo.env.backend.delete_all(&names)?)
}

impl Deletion {
    /// Deletes while our tombstones stand. Returns whether all is gone; if not, one of them is not
    /// there any more, or no longer opens, and writers cannot tell what was condemned.
    fn delete(
        &mut self,
        repo: &Repository,
        survey: &Survey,
        observe: &mut dyn FnMut(PruneEvent),
    ) -> Result<bool, Error> {
        let backend = repo.env.backend.as_ref();
        if !self.stands(repo)? {
            return Ok(false);
        }
        // A pending record without its snapshot could be finished by its writer; so it goes first,
        // and the marker that says it is forgotten goes last.
        for name in [ObjectName::Pending, ObjectName::Snapshot] {
            let names: Vec<_> = self.wanted.snapshots.iter().copied().map(name).collect();
            backend.delete_all(&names)?;
        }
        self.deleted.snapshots += std::mem::take(&mut self.wanted.snapshots).len() as u64;
        while !self.wanted.packs.is_empty() {
            if !self.stands(repo)? {
                return Ok(false);
            }
            let some = self.wanted.packs.len().min(DELETED_TOGETHER);
            let some: Vec<u32> = self.wanted.packs.drain(..some).collect();
            let entries = some.iter().map(|at| survey.packs[*at as usize].entry);
            let names: Vec<_> = entries.clone().map(|entry| ObjectName::Pack(entry.pack)).collect();
            backend.delete_all(&names)?;
            let bytes = entries.map(|entry| entry.bytes).sum();
            self.deleted.packs += some.len() as u64;
            self.deleted.bytes += bytes;
            observe(PruneEvent::Progress { bytes });
            if repo.env.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
        }
        Ok(true)
    }

    /// Whether whoever looks now can read all of our tombstones.
    fn stands(&self, repo: &Repository) -> Result<bool, Error> {
        for id in &self.ours {
            match tombstones::read(repo.env.backend.as_ref(), &repo.keys, *id) {
                Ok(_) => {}
                Err(Error::Backend(error)) if !matches!(error, backend::Error::Missing { .. }) => {
                    return Err(error.into());
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_one_tombstone_and_none_is_too_long() {
        for names in [0, 1, 49_999, 50_000, 50_001, 100_000, 123_456] {
            let portions: Vec<_> = (0..portions(names)).map(|at| portion(at, names)).collect();

            assert!(portions.iter().all(|portion| (1..=50_000).contains(&portion.len())));
            assert_eq!(
                portions.into_iter().flatten().collect::<Vec<_>>(),
                Vec::from_iter(0..names)
            );
        }
        // The other kind of names may end earlier.
        assert!(portion(1, 50_000).is_empty() && portion(2, 7).is_empty());
    }
}
