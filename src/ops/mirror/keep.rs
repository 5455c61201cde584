//! Which snapshots a mirror is to have, by its own policy: what it would not keep is not sent.

use std::{collections::HashSet, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    clock::UnixNanos,
    id::SnapshotId,
    ops::retention::{self, Candidate, Choice, Group, Policies},
    repo::history::History,
};

/// How long snapshots stay on a mirror.
#[derive(Debug, Clone)]
pub struct Keep {
    pub policies: Policies,
    pub zone: TimeZone,
    /// How long what was forgotten there can be had back.
    pub trash: Duration,
}

/// The snapshots of here that a mirror is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Option<HashSet<SnapshotId>>);

impl Wanted {
    /// Every one of them.
    pub const ALL: Self = Self(None);

    /// What the policy keeps; all, where nobody can tell, since sending too much costs only time.
    pub fn by(keep: Option<&Keep>, history: &History, now: UnixNanos) -> Self {
        let Some(keep) = keep.filter(|_| history.marks.unreadable_pin().is_none()) else {
            return Self::ALL;
        };
        let candidates = Candidate::all(history, now);
        let choice = Choice::Policy(&keep.policies, &Group::ALL);
        let Ok(decisions) = retention::decide(&candidates, choice, now, &keep.zone) else {
            return Self::ALL;
        };
        let stays = decisions.into_iter().filter(|decision| !decision.reasons.is_empty());
        Self(Some(stays.map(|decision| decision.id).collect()))
    }

    pub fn has(&self, id: SnapshotId) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.contains(&id))
    }
}
