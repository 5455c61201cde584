//! Where each snapshot is, by what is known of the mirrors; nothing is asked of them.

use crate::{
    id::SnapshotId,
    ops::{
        self,
        mirror::{
            Keep, Ledger,
            keep::Wanted,
            plan::{Scope, plan},
        },
    },
    repo::{Repository, history::History},
};

/// How a snapshot stands with one mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    There,
    /// It is to go there.
    Waiting,
    /// The mirror keeps others.
    NotKept,
}

/// What is known of one mirror, and what it is to have.
pub struct Outlook<'a> {
    ledger: &'a Ledger,
    wanted: Wanted,
}

/// What a mirror still lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub snapshots: u64,
    pub bytes: u64,
}

impl<'a> Outlook<'a> {
    pub fn new(
        repo: &Repository,
        ledger: &'a Ledger,
        (keep, history): (Option<&Keep>, &History),
    ) -> Self {
        Self { ledger, wanted: Wanted::by(keep, history, repo.environment().clock.now()) }
    }

    /// How it stands with this snapshot.
    pub fn of(&self, snapshot: SnapshotId) -> Presence {
        let name = crate::backend::ObjectName::Snapshot(snapshot);
        match self.ledger.shows(snapshot) {
            true => Presence::There,
            false if self.wanted.has(snapshot) && !self.ledger.was_removed(&name) => {
                Presence::Waiting
            }
            false => Presence::NotKept,
        }
    }

    /// What the mirror lacks. Costs a walk over what the snapshots reach that it has not.
    pub fn waiting(&self, repo: &Repository, history: &History) -> Result<Waiting, ops::Error> {
        let snapshots = history.shown().collect();
        let plan = plan(repo, self.ledger, (snapshots, &self.wanted, Scope::New))?;
        let snapshots = plan.snapshots() + plan.damaged.len();
        Ok(Waiting { snapshots: snapshots as u64, bytes: plan.bytes() })
    }
}
