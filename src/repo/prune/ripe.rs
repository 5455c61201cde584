//! Places whose listings lag: there a deletion takes two prunes, a day apart. Spec:
//! `format-spec/70-write-order.md`, "Listings that lag".
//!
//! No place says how late its listings may be, so half a day is assumed. A tombstone that has stood
//! for twice as long was seen by every run that looked since half of that time, and every record
//! that was published before is in the listings by now: one of both sees the other, as elsewhere.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    clock::UnixNanos,
    id::{PackId, SnapshotId},
    repo::{
        Error, Repository,
        history::Witness,
        prune::{condemn::Condemnation, survey::Survey},
        tombstones::Condemned,
    },
};

/// A listing shows everything that is so old.
const LAG_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// A jump of the clock counts as a day at most, so it alone makes nothing ripe.
const RIPE_AFTER: Duration = Duration::from_secs(25 * 60 * 60);
const _: () = assert!(RIPE_AFTER.as_secs() > 2 * LAG_MAX.as_secs());

/// Tells which tombstones everybody has seen.
pub struct Ripeness {
    /// Nothing where listings are strong: there everything is ripe.
    lagging: Option<(Witness, UnixNanos)>,
}

impl Ripeness {
    pub fn of(repo: &Repository) -> Result<Self, Error> {
        if repo.env.backend.capabilities().strong_listing {
            return Ok(Self { lagging: None });
        }
        Ok(Self { lagging: Some((repo.history()?.witness(), repo.env.clock.now())) })
    }

    /// Whether what was published then is in every listing by now.
    pub fn is_ripe(&self, created: UnixNanos) -> bool {
        self.lagging
            .as_ref()
            .is_none_or(|(witness, now)| witness.elapsed(created, *now) >= RIPE_AFTER)
    }

    /// Parts what is to go into what may go now and what has to be condemned first. What was
    /// condemned, but not long enough ago, is in neither.
    pub fn part(&self, wanted: Condemnation, survey: &Survey) -> (Condemnation, Condemnation) {
        if self.lagging.is_none() {
            return (wanted, Condemnation::default());
        }
        let ripe = Named::by(&survey.condemned, |created| self.is_ripe(created));
        let all = Named::by(&survey.condemned, |_| true);
        let pack = |at: &u32| survey.packs[*at as usize].entry.pack;
        let packs = |is_meant: &dyn Fn(&PackId) -> bool| {
            wanted.packs.iter().filter(|at| is_meant(&pack(at))).copied().collect()
        };
        let now = Condemnation {
            packs: packs(&|pack| ripe.packs.contains(pack)),
            snapshots: wanted.snapshots.intersection(&ripe.snapshots).copied().collect(),
        };
        let first = Condemnation {
            packs: packs(&|pack| !all.packs.contains(pack)),
            snapshots: wanted.snapshots.difference(&all.snapshots).copied().collect(),
        };
        (now, first)
    }
}

/// What tombstones name.
struct Named {
    packs: BTreeSet<PackId>,
    snapshots: BTreeSet<SnapshotId>,
}

impl Named {
    fn by(condemned: &Condemned, is_meant: impl Fn(UnixNanos) -> bool) -> Self {
        let meant = || condemned.standing.values().filter(|one| is_meant(one.created));
        Self {
            packs: meant().flat_map(|one| one.packs.iter().copied()).collect(),
            snapshots: meant().flat_map(|one| one.snapshots.iter().copied()).collect(),
        }
    }
}
