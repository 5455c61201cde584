//! The one order of publication: packs, index object, pending record, tombstones, snapshot. Spec:
//! `format-spec/70-write-order.md`.
//!
//! Nothing else in the program publishes a snapshot. Each step is durable before the next one
//! begins; the presence of
//! `snapshots/ID` is the commit.

use std::time::Duration;

use crate::{
    backend::{self, Folder, ObjectName},
    chunk,
    crypto::object::{open_object, seal_object},
    format::{envelope::Kind, record::Record},
    id::{ChunkId, ObjectId, SnapshotId},
    index::Batch,
    limits::{INDEX_SUMMARIES_MAX, INDEX_TAIL_BYTES_MAX, INDEX_TAIL_RUNS_MAX, MIB},
    repo::{
        Error, Repository, Snapshot,
        catalogue::Catalogue,
        closure,
        index_object::{self, Contents, Draft, Head, IndexObjectReader},
        object::{self, OBJECT_BYTES_MAX},
        reader::Reader,
        stored_index::StoredIndex,
        tombstones,
        writer::{RunIndex, Writer},
    },
};

const COMMIT_LOCK: &str = "commit.lock";
const COMMIT_LOCK_WAIT: Duration = Duration::from_secs(600);
const INDEX_LOCK_WAIT: Duration = Duration::from_secs(5);
/// Summaries are not merged beyond this size, so that merging fits in memory.
const SUMMARY_BYTES_MAX: u64 = 48 * MIB as u64;

/// Publishes a run: all that it stored, then its record. Success means that the snapshot is
/// durable.
///
/// # Errors
/// [`Error::Condemned`] if a deleter condemned something the record needs: the pending record was
/// withdrawn, and the parts named must be captured again.
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

    let (object, covered) = put_index_object(repo, &writer, (snapshot.id, plain.clone()))?;
    put_pending(repo, snapshot.id, &plain)?;
    refuse_condemned(repo, writer.catalogue(), Some(writer.run_index()), &snapshot)?;
    put_snapshot(repo, snapshot.id, &plain)?;

    remember(repo, &writer, object, covered)?;
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
    let mut finished = Vec::new();
    for id in alone {
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
    match refuse_condemned(repo, catalogue, None, &Snapshot { id, record }) {
        Err(Error::Condemned { .. }) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => put_snapshot(repo, id, &plain).map(|()| true),
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

fn put_snapshot(repo: &Repository, id: SnapshotId, plain: &[u8]) -> Result<(), Error> {
    let sealed = seal_object(&repo.keys, Kind::Snapshot, &id.0, plain);
    object::put_same(repo.env.backend.as_ref(), &ObjectName::Snapshot(id), &sealed)
}

/// Reads the tombstones now that the pending record is visible, and withdraws it if it needs what
/// is condemned.
fn refuse_condemned(
    repo: &Repository,
    catalogue: &Catalogue,
    run: Option<RunIndex>,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let backend = &repo.env.backend;
    let condemned = tombstones::condemned(backend.as_ref(), &repo.keys, catalogue.live())?;
    if condemned.is_empty() {
        return Ok(());
    }
    // A repack may have moved chunks since this run began: look again with a fresh listing.
    let fresh = std::sync::Arc::new(Catalogue::load(&repo.env, &repo.state, &repo.keys)?);
    let reader = Reader::new(backend.clone(), fresh.clone(), run);
    let mut is_lost = |id: &ChunkId| -> Result<bool, chunk::Error> {
        let copies = fresh.copies(id)?;
        Ok(!copies.iter().any(|copy| !condemned.contains(&copy.pack)))
    };
    let parts = closure::condemned_parts(&snapshot.record, &reader, &mut is_lost)?;
    if parts.is_empty() {
        return Ok(());
    }
    backend.delete(&ObjectName::Pending(snapshot.id))?;
    Err(Error::Condemned { parts: parts.join(", ") })
}

/// Writes the index object of a run. Returns its id and those it covers.
fn put_index_object(
    repo: &Repository,
    writer: &Writer,
    record: (SnapshotId, Vec<u8>),
) -> Result<(ObjectId, Vec<ObjectId>), Error> {
    let catalogue = writer.catalogue();
    let segments = || catalogue.live().iter().filter(|head| !head.is_summary);
    let with_covers =
        |head: &Head| head.covers.iter().copied().chain([head.id]).collect::<Vec<_>>();
    let mut covers: Vec<_> = segments().flat_map(with_covers).collect();
    let mut contents = catalogue.tail().clone();
    contents.packs.extend(writer.packs());
    contents.records.push(record);
    let runs = segments().map(|head| head.runs).max().unwrap_or(0) + 1;
    let is_summary = runs > INDEX_TAIL_RUNS_MAX || contents.bytes() > INDEX_TAIL_BYTES_MAX;
    let mut tombstones: Vec<_> = segments().flat_map(|head| head.tombstones.clone()).collect();
    if is_summary {
        for head in summaries_to_merge(catalogue.live(), contents.bytes() as u64) {
            merge(repo, head, &mut contents)?;
            covers.extend(with_covers(head));
            tombstones.extend(head.tombstones.clone());
        }
    }
    tombstones.sort();
    tombstones.dedup();
    let sequence = catalogue.live().iter().map(|head| head.sequence).max().unwrap_or(0) + 1;
    let draft = Draft {
        is_summary,
        sequence,
        runs: if is_summary { 0 } else { runs },
        covers: catalogue.still_listed(covers),
        tombstones: &tombstones,
        contents: &contents,
    };
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = index_object::seal(&repo.keys, id, &draft)?;
    object::put_proven(repo.env.backend.as_ref(), &ObjectName::Index { sequence, id }, &sealed)?;
    Ok((id, draft.covers))
}

/// Chooses the summaries that a new one takes in: small ones, and as many as it takes to keep few
/// alive.
fn summaries_to_merge(live: &[Head], new_bytes: u64) -> Vec<&Head> {
    let mut summaries: Vec<_> = live.iter().filter(|head| head.is_summary).collect();
    summaries.sort_by_key(|head| head.bytes);
    let mut bytes = new_bytes;
    let mut merged = Vec::new();
    for (at, head) in summaries.iter().enumerate() {
        let left = summaries.len() - at + 1;
        let pays = head.bytes <= 2 * bytes || left > INDEX_SUMMARIES_MAX;
        if !pays || bytes + head.bytes > SUMMARY_BYTES_MAX {
            break;
        }
        bytes += head.bytes;
        merged.push(*head);
    }
    merged
}

fn merge(repo: &Repository, head: &Head, contents: &mut Contents) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let mut reader = IndexObjectReader::open(backend, &repo.keys, head.name.clone(), head.bytes)?;
    let (_, first) = reader.head()?;
    let mut next = Some(first);
    while let Some(more) = next {
        contents.packs.extend(more.packs);
        contents.records.extend(more.records);
        next = reader.contents()?;
    }
    Ok(())
}

/// Brings the local index up to date; only a convenience for the next run.
fn remember(
    repo: &Repository,
    writer: &Writer,
    object: ObjectId,
    covered: Vec<ObjectId>,
) -> Result<(), Error> {
    let applied = covered.into_iter().chain([object]).collect();
    let batch = Batch { add: writer.packs(), applied, ..Batch::default() };
    let stored = StoredIndex::default().apply(&repo.env, &repo.state, &batch, INDEX_LOCK_WAIT);
    match stored {
        Ok(_) => Ok(()),
        // The snapshot is safe; a damaged local index is dropped and filled again by the next run.
        Err(Error::Index(_)) => super::stored_index::remove(&repo.env, &repo.state),
        Err(error) => Err(error),
    }
}
