//! The one order of publication: packs, index object, pending record, tombstones, snapshot. Spec:
//! `format-spec/70-write-order.md`.
//!
//! Nothing else in the program publishes a snapshot. Each step is durable before the next one
//! begins; the presence of `snapshots/ID` is the commit.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crate::{
    backend::{self, Folder, ObjectName},
    chunk::{self, Fetch, Store},
    crypto::object::{open_object, seal_object},
    format::{envelope::Kind, record::Record},
    id::{ChunkId, ObjectId, PackId, SnapshotId},
    index::Batch,
    repo::{
        Error, Repository, Snapshot,
        catalogue::Catalogue,
        closure::{self, Lost},
        index_publication::{self, News, Published},
        marks::Marks,
        object::{self, OBJECT_BYTES_MAX},
        reader::Reader,
        snapshots,
        stored_index::StoredIndex,
        tombstones,
        writer::Writer,
    },
};

const COMMIT_LOCK: &str = "commit.lock";
const COMMIT_LOCK_WAIT: Duration = Duration::from_secs(600);
const INDEX_LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often what was condemned meanwhile is stored again before the run gives up.
const RESCUES_MAX: usize = 3;

/// Publishes a run: all that it stored, then its record. Success means that the snapshot is
/// durable.
///
/// # Errors
/// [`Error::Condemned`] if a deleter condemned something the record needs that cannot be stored
/// again: the pending record was withdrawn, and the parts named must be captured again.
pub fn publish(repo: &Repository, writer: Writer, mut record: Record) -> Result<Snapshot, Error> {
    writer.flush()?;
    let lock = repo.state.lock(&repo.env, COMMIT_LOCK, COMMIT_LOCK_WAIT)?;
    let Some(_lock) = lock else {
        return Err(Error::Busy { what: "another run on this machine is committing".to_owned() });
    };
    (record.writer, record.counter) = repo.next_counter()?;
    record.bytes_added = writer.progress().bytes_written;
    let plain = record.encode_shortened()?;
    let snapshot = Snapshot { id: SnapshotId(repo.env.entropy.bytes32()), record };

    let catalogue = writer.catalogue();
    let news = News { packs: writer.packs(), record: Some((snapshot.id, plain.clone())) };
    let published = index_publication::publish(repo, catalogue, news)?;
    put_pending(repo, snapshot.id, &plain)?;
    settle(repo, catalogue, &snapshot)?;
    put_snapshot(repo, catalogue, &snapshot, &plain)?;

    remember(repo, &writer, published)?;
    Ok(snapshot)
}

/// Finishes or withdraws what earlier runs of this state folder left between pending and committed.
///
/// Returns the snapshots that were finished. Pending records of other writers are left alone: they
/// may be alive.
pub fn finish_pending(repo: &Repository, catalogue: &Catalogue) -> Result<Vec<SnapshotId>, Error> {
    let committed = snapshot_ids(repo, Folder::Snapshots)?;
    let mut alone = snapshot_ids(repo, Folder::Pending)?;
    alone.retain(|id| !committed.contains(id));
    if alone.is_empty() {
        return Ok(Vec::new());
    }
    // A run that is alive holds this lock from its pending record to its commit.
    let Some(_lock) = repo.state.lock(&repo.env, COMMIT_LOCK, Duration::ZERO)? else {
        return Ok(Vec::new());
    };
    // A prune that is taking a snapshot away removes its pending record first, its marker last.
    let marks = Marks::load(repo)?;
    let mut finished = Vec::new();
    for id in alone.into_iter().filter(|id| !marks.is_forgotten(id)) {
        if finish_one(repo, catalogue, id)? {
            finished.push(id);
        }
    }
    Ok(finished)
}

fn finish_one(repo: &Repository, catalogue: &Catalogue, id: SnapshotId) -> Result<bool, Error> {
    let bytes = match repo.env.backend.get(&ObjectName::Pending(id), OBJECT_BYTES_MAX) {
        Err(backend::Error::Missing { .. }) => return Ok(false),
        other => other?,
    };
    // A pending record that does not open is damage, for `check` to report; it hides nothing that
    // was reported.
    let Ok(plain) = open_object(&repo.keys, Kind::Pending, &id.0, bytes) else { return Ok(false) };
    let record = Record::decode(&plain)?;
    if record.writer != repo.writer_id()? {
        return Ok(false);
    }
    let snapshot = Snapshot { id, record };
    // What that run knew when it began is not known any more: every chunk is looked for.
    let settled = settle_all(repo, &snapshot, tombstones_now(repo, catalogue)?)
        .and_then(|()| put_snapshot(repo, catalogue, &snapshot, &plain));
    match settled {
        Err(Error::Condemned { .. }) => Ok(false),
        other => other.map(|()| true),
    }
}

fn snapshot_ids(repo: &Repository, folder: Folder) -> Result<Vec<SnapshotId>, Error> {
    let names = object::names(repo.env.backend.as_ref(), folder)?;
    Ok(names
        .into_iter()
        .filter_map(|name| match name {
            ObjectName::Pending(id) | ObjectName::Snapshot(id) => Some(id),
            _ => None,
        })
        .collect())
}

fn put_pending(repo: &Repository, id: SnapshotId, plain: &[u8]) -> Result<(), Error> {
    let sealed = seal_object(&repo.keys, Kind::Pending, &id.0, plain);
    object::put_proven(repo.env.backend.as_ref(), &ObjectName::Pending(id), &sealed)
}

/// Commits. A pending record that is gone by then was withdrawn by someone else, and deleters that
/// looked in between saw nothing: so this looks once more, now that the snapshot is visible.
fn put_snapshot(
    repo: &Repository,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
    plain: &[u8],
) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let sealed = seal_object(&repo.keys, Kind::Snapshot, &snapshot.id.0, plain);
    object::put_same(backend, &ObjectName::Snapshot(snapshot.id), &sealed)?;
    match backend.size(&ObjectName::Pending(snapshot.id)) {
        Err(backend::Error::Missing { .. }) => {
            settle_all(repo, snapshot, tombstones_now(repo, catalogue)?)
        }
        // The snapshot is committed, whatever else cannot be read now.
        _ => Ok(()),
    }
}

/// Looks at the tombstones now that the pending record is visible. What the record needs and a
/// deleter condemned is stored again; if that cannot be, the record is withdrawn.
fn settle(repo: &Repository, catalogue: &Catalogue, snapshot: &Snapshot) -> Result<(), Error> {
    let look = tombstones_now(repo, catalogue)?;
    if !look.concerns(catalogue.known_tombstones()) {
        return Ok(());
    }
    settle_all(repo, snapshot, look)
}

/// As [`settle`], whatever is condemned: every chunk that the record reaches is looked for.
fn settle_all(
    repo: &Repository,
    snapshot: &Snapshot,
    mut look: tombstones::Condemned,
) -> Result<(), Error> {
    for _ in 0..RESCUES_MAX {
        // A repack may have moved chunks since the run began: look with a fresh listing.
        let fresh = Arc::new(Catalogue::load(&repo.env, &repo.state, &repo.keys)?);
        let lost = lost(repo, &fresh, &look.packs(), snapshot)?;
        if lost.parts.is_empty() {
            return Ok(());
        }
        if !store_again(repo, &fresh, &lost)? {
            return withdraw(repo, &fresh, snapshot, &lost);
        }
        look = tombstones_now(repo, &fresh)?;
    }
    let fresh = Arc::new(Catalogue::load(&repo.env, &repo.state, &repo.keys)?);
    let lost = lost(repo, &fresh, &look.packs(), snapshot)?;
    if lost.parts.is_empty() { Ok(()) } else { withdraw(repo, &fresh, snapshot, &lost) }
}

fn tombstones_now(
    repo: &Repository,
    catalogue: &Catalogue,
) -> Result<tombstones::Condemned, Error> {
    tombstones::look(repo.env.backend.as_ref(), &repo.keys, catalogue.known_index())?.for_writer()
}

/// Whether a forgotten snapshot can be had back; certain once its markers are gone.
///
/// Then no prune is taking it away, and all that it reaches is in packs that nobody has condemned.
pub fn is_whole(repo: &Repository, id: SnapshotId) -> Result<bool, Error> {
    let fresh = Arc::new(Catalogue::load(&repo.env, &repo.state, &repo.keys)?);
    let look = tombstones_now(repo, &fresh)?.for_deleter()?;
    if look.going().contains(&id) || !snapshot_ids(repo, Folder::Snapshots)?.contains(&id) {
        return Ok(false);
    }
    let record = snapshots::read(repo, id)?;
    let lost = lost(repo, &fresh, &look.packs(), &Snapshot { id, record })?;
    Ok(lost.parts.is_empty())
}

/// What the record needs that has no copy in an existing pack that nobody has condemned.
fn lost(
    repo: &Repository,
    fresh: &Arc<Catalogue>,
    condemned: &HashSet<PackId>,
    snapshot: &Snapshot,
) -> Result<Lost, Error> {
    let reader = Reader::new(repo.env.backend.clone(), fresh.clone(), None);
    let mut is_lost = |id: &ChunkId| -> Result<bool, chunk::Error> {
        let copies = fresh.copies(id)?;
        let is_safe = |pack| !condemned.contains(pack) && !fresh.condemned().contains(pack);
        Ok(!copies.iter().any(|copy| is_safe(&copy.pack)))
    };
    closure::lost(&snapshot.record, &reader, &mut is_lost)
}

/// Stores chunks again that can still be read from packs that are about to go. Returns whether all
/// of them are safe now, as far as this view knows.
fn store_again(repo: &Repository, fresh: &Arc<Catalogue>, lost: &Lost) -> Result<bool, Error> {
    if !lost.is_walked {
        return Ok(false);
    }
    let reader = Reader::new(repo.env.backend.clone(), fresh.clone(), None);
    let writer = Writer::start(repo.env.clone(), fresh.clone());
    let mut lane = writer.lane();
    for id in &lost.chunks {
        match reader.get(id) {
            Ok(plain) => drop(lane.put(&plain)?),
            Err(chunk::Error::Missing(_) | chunk::Error::Corrupt { .. }) => {
                drop(lane);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    lane.finish()?;
    writer.flush()?;
    let news = News { packs: writer.packs(), record: None };
    let _ = index_publication::publish(repo, fresh, news)?;
    Ok(true)
}

/// Takes a record back. Not while an index object is out of reach, which may name what seems lost:
/// the record may be the last copy of one that was committed long ago.
fn withdraw(
    repo: &Repository,
    fresh: &Catalogue,
    snapshot: &Snapshot,
    lost: &Lost,
) -> Result<(), Error> {
    fresh.expect_all_in_reach()?;
    let backend = repo.env.backend.as_ref();
    // Readers of both folders must not take what is withdrawn for a snapshot whose copy is gone.
    backend.delete(&ObjectName::Snapshot(snapshot.id))?;
    backend.delete(&ObjectName::Pending(snapshot.id))?;
    Err(Error::Condemned { parts: lost.parts.join(", ") })
}

/// Brings the local index up to date; only a convenience for the next run.
fn remember(repo: &Repository, writer: &Writer, published: Published) -> Result<(), Error> {
    let applied: Vec<ObjectId> = published.covers.into_iter().chain([published.id]).collect();
    let batch = Batch { add: writer.packs(), applied, ..Batch::default() };
    let stored = StoredIndex::default().apply(&repo.env, &repo.state, &batch, INDEX_LOCK_WAIT);
    match stored {
        Ok(_) => Ok(()),
        // The snapshot is safe; a damaged local index is dropped and filled again by the next run.
        Err(Error::Index(_)) => super::stored_index::remove(&repo.env, &repo.state),
        Err(error) => Err(error),
    }
}
