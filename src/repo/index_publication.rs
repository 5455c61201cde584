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
        let new_bytes = index_object::packed_bytes(&contents)?;
        for head in summaries_to_merge(catalogue.live(), new_bytes) {
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

/// Chooses the summaries that a new one takes in: those that are no larger than what it holds by
/// then, and as many as it takes to keep few alive.
///
/// All lengths are those of sealed objects. So a summary that is merged at least doubles, and what
/// it says is written again as often as it can double; a first backup, whose summary is as large as
/// those of hundreds of hours, is left alone as long.
fn summaries_to_merge(live: &[Head], new_bytes: u64) -> Vec<&Head> {
    let mut summaries: Vec<_> = live.iter().filter(|head| head.is_summary).collect();
    summaries.sort_by_key(|head| head.bytes);
    let mut bytes = new_bytes;
    let mut merged = Vec::new();
    for (at, head) in summaries.iter().enumerate() {
        let left = summaries.len() - at + 1;
        let pays = head.bytes <= bytes || left > INDEX_SUMMARIES_MAX;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A summary of so many sealed bytes.
    fn summary(number: u8, bytes: u64) -> Head {
        let id = ObjectId([number; 32]);
        let sequence = u64::from(number);
        Head {
            name: ObjectName::Index { sequence, id },
            id,
            bytes,
            is_summary: true,
            sequence,
            runs: 0,
            covers: Vec::new(),
            tombstones: Vec::new(),
        }
    }

    /// Publishes that many summaries of 100 bytes beside a first one; returns how many were alive
    /// at most, and how many bytes were written.
    fn publish_many(first_bytes: u64, count: u8) -> (usize, u64) {
        let mut live = vec![summary(0, first_bytes)];
        let (mut most, mut written) = (0, 0);
        for number in 1..=count {
            let merged: Vec<Head> = summaries_to_merge(&live, 100).into_iter().cloned().collect();
            live.retain(|head| !merged.contains(head));
            let bytes = 100 + merged.iter().map(|head| head.bytes).sum::<u64>();
            live.push(summary(number, bytes));
            (most, written) = (most.max(live.len()), written + bytes);
        }
        (most, written)
    }

    #[test]
    fn few_summaries_are_alive_and_none_is_written_again_often() {
        for first_bytes in [100, 1_000, 30_000] {
            let (most, written) = publish_many(first_bytes, 200);

            assert!(most <= INDEX_SUMMARIES_MAX, "{most}");
            assert!(written < 12 * 200 * 100 + first_bytes, "{written} after {first_bytes}");
        }
    }

    #[test]
    fn a_summary_larger_than_what_is_new_is_left_alone() {
        let live = [summary(1, 1000), summary(2, 150), summary(3, 90)];

        let merged = summaries_to_merge(&live, 100);

        assert_eq!(merged.iter().map(|head| head.bytes).collect::<Vec<_>>(), [90, 150]);
    }
}
