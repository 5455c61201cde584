//! The index after a prune: one summary that repeats what is there, and the tombstones of what is
//! gone. Spec: `format-spec/35-index.md`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    backend::{Folder, ObjectName},
    format::tombstone::Tombstone,
    id::{ObjectId, PackId, SnapshotId},
    limits::MIB,
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        index_object::{self, Contents, Draft, Head, IndexObjectReader},
        object,
        prune::{
            Report, condemn, explain,
            ripe::Ripeness,
            roots::{Roots, Trash},
        },
        tombstones::{self, Condemned},
    },
};

/// A summary is not made larger than this, so that it fits in memory.
const SUMMARY_BYTES_MAX: usize = 32 * MIB;
/// A summary of this size is read again only if much of it is of no use.
const LARGE_BYTES_MIN: u64 = 8 * MIB as u64;
/// How often folding begins anew because index objects went meanwhile.
const FOLDS_MAX: usize = 8;
const STALE_PERMILLE_MAX: u64 = 200;
/// Beyond this, folded tombstones are dropped and one takes their place that names nothing.
const FOLDED_BYTES_MAX: usize = MIB;

/// What an index has to say, and what of it is of no use any more.
struct Fold<'a> {
    repo: &'a Repository,
    catalogue: Catalogue,
    condemned: Condemned,
    records: HashSet<SnapshotId>,
    /// Tombstones that stand and of which nothing is left.
    spent: BTreeMap<ObjectId, Tombstone>,
}

/// Folds tombstones of which nothing is left into a summary, takes away what that covers, and
/// markers of snapshots that are gone.
///
/// Writes nothing when there is nothing to fold or to take away.
pub fn fold(
    repo: &Repository,
    (trash, ripeness): (&Trash, &Ripeness),
    report: &mut Report,
) -> Result<(), Error> {
    for _ in 1..FOLDS_MAX {
        match fold_once(repo, ripeness, report) {
            // Another prune folds, too.
            Err(error) if tombstones::is_index_object_gone(&error) => {}
            other => return other.and_then(|()| remove_spent_markers(repo, trash)),
        }
    }
    fold_once(repo, ripeness, report)?;
    remove_spent_markers(repo, trash)
}

fn fold_once(repo: &Repository, ripeness: &Ripeness, report: &mut Report) -> Result<(), Error> {
    let fold = Fold::look(repo, ripeness)?;
    if fold.is_due(report) {
        fold.publish()?;
    }
    fold.remove_covered(report)
}

impl<'a> Fold<'a> {
    fn look(repo: &'a Repository, ripeness: &Ripeness) -> Result<Self, Error> {
        let backend = repo.env.backend.as_ref();
        let catalogue = Catalogue::look(&repo.env, &repo.state, &repo.keys)?;
        let condemned =
            tombstones::look(backend, &repo.keys, catalogue.known_index())?.for_deleter()?;
        let mut records = HashSet::new();
        for folder in [Folder::Pending, Folder::Snapshots] {
            for name in object::names(backend, folder)? {
                if let ObjectName::Pending(id) | ObjectName::Snapshot(id) = name {
                    let _ = records.insert(id);
                }
            }
        }
        // After the tombstones were read: what is not here now is gone for good.
        let packs: HashSet<PackId> = listed_packs(repo)?;
        let is_spent = |(_, tombstone): &(&ObjectId, &Tombstone)| {
            !tombstone.is_horizon()
                && ripeness.is_ripe(tombstone.created)
                && tombstone.index_objects.is_empty()
                && !tombstone.packs.iter().any(|pack| packs.contains(pack))
                && !tombstone.snapshots.iter().any(|id| records.contains(id))
        };
        let spent = condemned.standing.iter().filter(is_spent);
        let spent = spent.map(|(id, tombstone)| (*id, tombstone.clone())).collect();
        Ok(Self { repo, catalogue, condemned, records, spent })
    }

    fn is_due(&self, report: &Report) -> bool {
        !self.spent.is_empty() || report.packs_deleted + report.packs_rewritten > 0
    }

    /// Publishes the summary, then takes the folded tombstones away.
    fn publish(&self) -> Result<(), Error> {
        let mut covers: BTreeSet<ObjectId> = BTreeSet::new();
        let mut tombstones = BTreeMap::new();
        let mut contents = Contents::default();
        let mut seen = Seen::default();
        let mut sequence = self.catalogue.live().iter().map(|head| head.sequence).max();
        let mut heads: Vec<_> = self.catalogue.live().iter().collect();
        heads.sort_by_key(|head| head.sequence);
        for head in heads {
            let Some(mut useful) = self.useful(head, &mut seen)? else { continue };
            contents.packs.append(&mut useful.packs);
            contents.records.append(&mut useful.records);
            covers.insert_all(head);
            tombstones.extend(head.tombstones.iter().cloned());
            if contents.bytes() > SUMMARY_BYTES_MAX {
                let full = std::mem::take(&mut contents);
                let next = sequence.map_or(1, |last| last + 1);
                sequence = Some(next);
                let _ = self.put(next, &BTreeSet::new(), &BTreeMap::new(), &full)?;
            }
        }
        for (id, tombstone) in &self.spent {
            let _ = tombstones.insert(*id, tombstone.encode()?);
        }
        let tombstones = self.shortened(tombstones)?;
        let next = sequence.map_or(1, |last| last + 1);
        let _ = self.put(next, &covers, &tombstones, &contents)?;
        let spent: Vec<_> = self.spent.keys().copied().collect();
        condemn::rescind(self.repo, &spent)
    }

    /// What of an index object is still of use; nothing if it is large and best left as it is.
    fn useful(&self, head: &Head, seen: &mut Seen) -> Result<Option<Contents>, Error> {
        if head.is_summary && head.bytes >= LARGE_BYTES_MIN {
            let (mut kept, mut stale) = (0, 0);
            self.read(head, &mut |contents| {
                let all = contents.bytes() as u64;
                let useful = self.filtered(contents, &mut Seen::default()).bytes() as u64;
                kept += useful;
                stale += all - useful;
            })?;
            if !is_much(stale, kept) {
                return Ok(None);
            }
        }
        let mut useful = Contents::default();
        self.read(head, &mut |contents| {
            let mut some = self.filtered(contents, seen);
            useful.packs.append(&mut some.packs);
            useful.records.append(&mut some.records);
        })?;
        Ok(Some(useful))
    }

    fn read(&self, head: &Head, take: &mut dyn FnMut(Contents)) -> Result<(), Error> {
        let backend = self.repo.env.backend.as_ref();
        let name = head.name.clone();
        let mut reader = IndexObjectReader::open(backend, &self.repo.keys, name, head.bytes)?;
        take(reader.head()?.1);
        while let Some(contents) = reader.contents()? {
            take(contents);
        }
        Ok(())
    }

    fn filtered(&self, mut contents: Contents, seen: &mut Seen) -> Contents {
        let packs = self.catalogue.packs();
        contents.packs.retain(|(entry, _)| {
            packs.get(&entry.pack) == Some(&entry.bytes) && seen.packs.insert(entry.pack)
        });
        contents.records.retain(|(id, _)| self.records.contains(id) && seen.records.insert(*id));
        contents
    }

    /// Folded tombstones, or one in their place that tells that there were some.
    fn shortened(
        &self,
        tombstones: BTreeMap<ObjectId, Vec<u8>>,
    ) -> Result<BTreeMap<ObjectId, Vec<u8>>, Error> {
        let bytes: usize = tombstones.values().map(|plain| plain.len() + 40).sum();
        if bytes <= FOLDED_BYTES_MAX {
            return Ok(tombstones);
        }
        let horizon = explain::naming(self.repo, Vec::new())?;
        let id = ObjectId(self.repo.env.entropy.bytes32());
        Ok(BTreeMap::from([(id, horizon.encode()?)]))
    }

    fn put(
        &self,
        sequence: u64,
        covers: &BTreeSet<ObjectId>,
        tombstones: &BTreeMap<ObjectId, Vec<u8>>,
        contents: &Contents,
    ) -> Result<ObjectId, Error> {
        let tombstones: Vec<_> =
            tombstones.iter().map(|(id, plain)| (*id, plain.clone())).collect();
        let covers = self.catalogue.still_listed(covers.iter().copied().collect());
        let draft = Draft {
            is_summary: true,
            sequence,
            runs: 0,
            covers,
            tombstones: &tombstones,
            contents,
        };
        let id = ObjectId(self.repo.env.entropy.bytes32());
        let sealed = index_object::seal(&self.repo.keys, id, &draft)?;
        let name = ObjectName::Index { sequence, id };
        object::put_proven(self.repo.env.backend.as_ref(), &name, &sealed)?;
        Ok(id)
    }

    /// Index objects that another covers go by the protocol, too: our tombstone names them, a
    /// second look proves that what covers them can be read, and then they go.
    fn remove_covered(&self, report: &mut Report) -> Result<(), Error> {
        let repo = self.repo;
        let before = covered(repo, &Catalogue::look(&repo.env, &repo.state, &repo.keys)?)?;
        let ours_of_old = self.condemned.standing.iter().filter(|(_, tombstone)| {
            tombstone.packs.is_empty()
                && tombstone.snapshots.is_empty()
                && !tombstone.index_objects.is_empty()
        });
        let mut tombstones: Vec<ObjectId> = ours_of_old.map(|(id, _)| *id).collect();
        if !before.is_empty() {
            let index_objects = before.keys().copied().collect();
            let tombstone = Tombstone { index_objects, ..explain::naming(repo, Vec::new())? };
            tombstones.push(condemn::put(repo, &tombstone)?);
            let now = Catalogue::load(&repo.env, &repo.state, &repo.keys)?;
            let still = covered(repo, &now)?.into_iter().filter(|(id, _)| before.contains_key(id));
            let names: Vec<_> = still.map(|(_, name)| name).collect();
            repo.env.backend.delete_all(&names)?;
            report.index_objects_removed += names.len() as u64;
        }
        // They protect nothing: a writer never relies on an index object.
        condemn::rescind(repo, &tombstones)
    }
}

/// Whether so much of an index object is of no use that it is worth while to write the rest anew.
const fn is_much(stale_bytes: u64, kept_bytes: u64) -> bool {
    stale_bytes * 1000 > (kept_bytes + stale_bytes) * STALE_PERMILLE_MAX
}

/// What was taken into a summary already.
#[derive(Default)]
struct Seen {
    packs: HashSet<PackId>,
    records: HashSet<SnapshotId>,
}

/// Listed index objects that a live one covers which can be read.
fn covered(
    repo: &Repository,
    catalogue: &Catalogue,
) -> Result<BTreeMap<ObjectId, ObjectName>, Error> {
    let live = catalogue.live();
    let covers: HashSet<ObjectId> = live.iter().flat_map(|head| head.covers.clone()).collect();
    let mut covered = BTreeMap::new();
    for name in object::names(repo.env.backend.as_ref(), Folder::Index)? {
        let ObjectName::Index { id, .. } = name else { continue };
        if covers.contains(&id) && !live.iter().any(|head| head.id == id) {
            let _ = covered.insert(id, name);
        }
    }
    Ok(covered)
}

fn listed_packs(repo: &Repository) -> Result<HashSet<PackId>, Error> {
    let names = object::names(repo.env.backend.as_ref(), Folder::Packs)?;
    let pack = |name| match name {
        ObjectName::Pack(pack) => Some(pack),
        _ => None,
    };
    Ok(names.into_iter().filter_map(pack).collect())
}

/// A marker goes after its snapshot.
fn remove_spent_markers(repo: &Repository, trash: &Trash) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let roots = Roots::list(repo, trash)?;
    Ok(backend.delete_all(&roots.spent_markers)?)
}

/// Gathers ids of index objects.
trait InsertAll {
    fn insert_all(&mut self, head: &Head);
}

impl InsertAll for BTreeSet<ObjectId> {
    fn insert_all(&mut self, head: &Head) {
        self.extend(head.covers.iter().copied());
        let _ = self.insert(head.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_summary_is_written_anew_for_more_than_a_fifth_that_is_stale() {
        assert!(!is_much(0, 100) && !is_much(20, 80) && !is_much(200_000, 800_000));
        assert!(is_much(21, 80) && is_much(20, 79) && is_much(1, 0));
    }
}
