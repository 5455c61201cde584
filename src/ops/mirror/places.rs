//! Where each snapshot is complete: here, on which mirrors, and what still waits.

use crate::{
    id::SnapshotId,
    ops::{
        self,
        mirror::{
            Ledger,
            plan::{Scope, plan},
        },
    },
    repo::{Repository, Snapshot},
};

/// Where one snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlaces {
    pub id: SnapshotId,
    /// For each mirror in turn: whether it shows the snapshot.
    pub on: Vec<bool>,
}

/// What a mirror still lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub snapshots: u64,
    pub bytes: u64,
}

/// Says for each snapshot which of the mirrors show it.
pub fn places(snapshots: &[Snapshot], ledgers: &[&Ledger]) -> Vec<SnapshotPlaces> {
    let of = |snapshot: &Snapshot| SnapshotPlaces {
        id: snapshot.id,
        on: ledgers.iter().map(|ledger| ledger.shows(snapshot.id)).collect(),
    };
    snapshots.iter().map(of).collect()
}

impl Waiting {
    /// Finds out what a mirror lacks, by what is known of it; nothing is asked of it.
    pub fn of(
        repo: &Repository,
        ledger: &Ledger,
        snapshots: &[Snapshot],
    ) -> Result<Self, ops::Error> {
        let plan = plan(repo, ledger, (snapshots.iter().collect(), Scope::New))?;
        let snapshots = plan.snapshots() + plan.damaged.len();
        Ok(Self { snapshots: snapshots as u64, bytes: plan.bytes() })
    }
}
