//! Publishing index objects: what a run stored, with what its predecessors said, so that few are to
//! be read. Spec: `format-spec/35-index.md`, "Rules for writers".

use crate::{
    backend::{self, ObjectName},
    id::{ObjectId, SnapshotId},
    limits::{INDEX_SUMMARIES_MAX, INDEX_TAIL_BYTES_MAX, INDEX_TAIL_RUNS_MAX, MIB},
    location::PackEntry,
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        index_object::{self, Contents, Draft, Head, IndexObjectReader},
        object, parity,
    },
};

/// Summaries are not merged beyond this size, so that merging fits in memory.
const SUMMARY_BYTES_MAX: u64 = 48 * MIB as u64;

/// What an index object says that no other one does.
#[derive(Default)]
pub struct News {
    /// Durable packs with the plaintext of their tables.
    pub packs: Vec<(PackEntry, Vec<u8>)>,
    /// The record that the run is about to publish.
    pub record: Option<(SnapshotId, Vec<u8>)>,
}

/// An index object that was published.
pub struct Published {
    pub id: ObjectId,
    pub covers: Vec<ObjectId>,
}

/// Publishes the index object of a run that saw this catalogue; durable on return.
pub fn publish(repo: &Repository, catalogue: &Catalogue, news: News) -> Result<Published, Error> {
    if let Some(percent) = repo.parity_percent() {
        let packs = news.packs.iter().map(|(entry, _)| (entry.pack, entry.bytes));
        parity::protect(repo, percent, &packs.collect::<Vec<_>>())?;
    }
    let segments = || catalogue.live().iter().filter(|head| !head.is_summary);
    let with_covers =
        |head: &Head| head.covers.iter().copied().chain([head.id]).collect::<Vec<_>>();
    let mut covers: Vec<_> = segments().flat_map(with_covers).collect();
    let mut contents = catalogue.tail().clone();
    contents.packs.extend(news.packs);
    contents.records.extend(news.record);
    let runs = segments().map(|head| head.runs).max().unwrap_or(0) + 1;
    let is_summary = runs > INDEX_TAIL_RUNS_MAX || contents.bytes() > INDEX_TAIL_BYTES_MAX;
    let mut tombstones: Vec<_> = segments().flat_map(|head| head.tombstones.clone()).collect();
    if is_summary {
        for head in summaries_to_merge(catalogue.live(), contents.bytes() as u64) {
            let Some(merged) = read(repo, head)? else { continue };
            contents.packs.extend(merged.packs);
            contents.records.extend(merged.records);
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
    Ok(Published { id, covers: draft.covers })
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

/// Reads all of an index object, or nothing if it is gone: then another one covers it already.
fn read(repo: &Repository, head: &Head) -> Result<Option<Contents>, Error> {
    match try_read(repo, head) {
        Err(Error::Backend(backend::Error::Missing { .. })) => Ok(None),
        other => other.map(Some),
    }
}

fn try_read(repo: &Repository, head: &Head) -> Result<Contents, Error> {
    let backend = repo.env.backend.as_ref();
    let mut reader = IndexObjectReader::open(backend, &repo.keys, head.name.clone(), head.bytes)?;
    let (_, mut contents) = reader.head()?;
    while let Some(more) = reader.contents()? {
        contents.packs.extend(more.packs);
        contents.records.extend(more.records);
    }
    Ok(contents)
}
