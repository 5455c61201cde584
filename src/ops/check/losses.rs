//! What is lost, in words: for each part and path, in which snapshots.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{clock::UnixNanos, id::SnapshotId, ops::words, repo::Snapshot};

/// Parts and paths that are told apart; what goes beyond is counted.
const LOSSES_MAX: usize = 10_000;

/// Something that some snapshots cannot give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub part: String,
    /// Inside the part; empty for a database, or a whole folder.
    pub path: Vec<u8>,
    pub why: String,
    /// In how many snapshots.
    pub snapshot_count: u64,
    pub oldest: Moment,
    pub newest: Moment,
    /// The newest snapshot that holds the part and is not affected here.
    pub whole_in: Option<Moment>,
}

/// A snapshot and when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub snapshot: SnapshotId,
    pub created: UnixNanos,
}

impl Loss {
    /// The loss as a sentence.
    pub fn message(&self) -> String {
        let short = |moment: &Moment| moment.snapshot.to_string()[..8].to_owned();
        let where_lost = match self.snapshot_count {
            1 => format!("lost in snapshot {}", short(&self.oldest)),
            count => format!(
                "lost in {}, {} to {}",
                words::counted(count, "snapshot"),
                short(&self.oldest),
                short(&self.newest)
            ),
        };
        let whole = match &self.whole_in {
            Some(moment) => format!("not affected: {}", short(moment)),
            None => "every snapshot of this part is affected".to_owned(),
        };
        format!("{where_lost}; {whole} ({})", self.why)
    }
}

type Place = (String, Vec<u8>);

/// Gathers what is lost, place by place.
#[derive(Default)]
pub(super) struct Losses {
    places: BTreeMap<Place, (String, HashSet<SnapshotId>)>,
    snapshots: HashSet<SnapshotId>,
    count: u64,
}

impl Losses {
    pub fn add(&mut self, snapshot: SnapshotId, place: Place, why: String) {
        self.count += 1;
        let _ = self.snapshots.insert(snapshot);
        if self.places.len() < LOSSES_MAX || self.places.contains_key(&place) {
            let loss = self.places.entry(place).or_insert_with(|| (why, HashSet::new()));
            let _ = loss.1.insert(snapshot);
        }
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    pub fn snapshot_count(&self) -> u64 {
        self.snapshots.len() as u64
    }

    /// Returns all losses, by part and path. Snapshots that were forgotten meanwhile do not count.
    pub fn in_words(self, snapshots: &[Snapshot]) -> Vec<Loss> {
        let created: HashMap<_, _> =
            snapshots.iter().map(|snapshot| (snapshot.id, snapshot.record.created)).collect();
        let in_words = |((part, path), (why, lost)): (Place, (String, HashSet<SnapshotId>))| {
            let moment =
                |id: &SnapshotId| Some(Moment { snapshot: *id, created: *created.get(id)? });
            let by_time = |moment: &Moment| (moment.created, moment.snapshot);
            let affected: Vec<_> = lost.iter().filter_map(moment).collect();
            let holds_part = |snapshot: &&Snapshot| {
                snapshot.record.parts.iter().any(|held| held.name == part)
                    && !lost.contains(&snapshot.id)
            };
            let whole_in = snapshots.iter().rev().find(holds_part);
            Some(Loss {
                snapshot_count: affected.len() as u64,
                oldest: *affected.iter().min_by_key(|moment| by_time(moment))?,
                newest: *affected.iter().max_by_key(|moment| by_time(moment))?,
                whole_in: whole_in.and_then(|snapshot| moment(&snapshot.id)),
                part,
                path,
                why,
            })
        };
        self.places.into_iter().filter_map(in_words).collect()
    }
}
