//! Removing what no snapshot needs, beside backups and restores that go on meanwhile.
//!
//! Data goes in [`prune`] alone; [`plan`] changes nothing and answers how much of the repository is
//! dead.

use crate::{
    backend::Folder,
    ops::{
        Error,
        event::{Event, Meter, Observer, Phase},
    },
    repo::{
        Repository,
        prune::{self, Options, Outlook, PruneEvent, PruneStep, Report},
    },
};

/// How a prune goes about it.
pub type PruneOptions = Options;

/// What a prune would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    pub snapshots: u64,
    /// Forgotten snapshots that can still be had back.
    pub in_trash: u64,
    /// Forgotten snapshots that go.
    pub expired: u64,
    pub packs: u64,
    pub bytes: u64,
    /// Bytes that nothing reaches.
    pub bytes_dead: u64,
    pub packs_delete: u64,
    pub packs_rewrite: u64,
    /// Bytes to move out of packs that are mostly dead.
    pub bytes_move: u64,
    pub bytes_free: u64,
    /// Dead bytes that stay, because moving what is alive beside them does not pay.
    pub bytes_unused: u64,
    /// Packs that a run under way may have written, and that wait.
    pub packs_waiting: u64,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// As it was planned; what others did meanwhile may have changed it.
    pub plan: PrunePlan,
    pub snapshots_removed: u64,
    /// Packs that go with a later prune, because the place's listings lag.
    pub packs_condemned: u64,
    pub packs_deleted: u64,
    pub packs_rewritten: u64,
    pub bytes_freed: u64,
    /// Packs that a run turned out to need after all.
    pub rescinded: u64,
    /// Size of all packs afterwards.
    pub bytes_after: u64,
}

impl PrunePlan {
    /// How much of the packs is dead, in thousandths.
    pub fn dead_permille(&self) -> u64 {
        let permille = u128::from(self.bytes_dead) * 1000 / u128::from(self.bytes.max(1));
        u64::try_from(permille).expect("no more is dead than there is")
    }

    fn of(outlook: &Outlook) -> Self {
        let plan = &outlook.plan;
        Self {
            snapshots: outlook.snapshots,
            in_trash: outlook.in_trash,
            expired: outlook.expired,
            packs: outlook.packs,
            bytes: plan.bytes,
            bytes_dead: plan.dead_bytes,
            packs_delete: plan.delete.len() as u64,
            packs_rewrite: plan.rewrite.len() as u64,
            bytes_move: plan.moved_bytes,
            bytes_free: plan.freed_bytes(),
            bytes_unused: plan.unused_bytes,
            packs_waiting: plan.waiting_packs,
        }
    }
}

/// Says what a prune would do. Costs a walk over all that the snapshots reach; changes nothing.
pub fn plan(
    repo: &Repository,
    options: &PruneOptions,
    observer: &dyn Observer,
) -> Result<PrunePlan, Error> {
    let outlook = observed(repo, observer, |observe| prune::outlook(repo, options, observe))?;
    Ok(PrunePlan::of(&outlook))
}

/// Removes what nothing reaches. Interrupted at any moment, the next prune goes on.
pub fn prune(
    repo: &Repository,
    options: &PruneOptions,
    observer: &dyn Observer,
) -> Result<PruneReport, Error> {
    let report = observed(repo, observer, |observe| prune::prune(repo, options, observe))?;
    let Report { outlook, snapshots_removed, packs_condemned, .. } = &report;
    let Report { packs_deleted, packs_rewritten, rescinded, .. } = &report;
    repo.note_pruned(repo.environment().clock.now())?;
    let packs = repo.environment().backend.list(Folder::Packs)?.objects;
    Ok(PruneReport {
        plan: PrunePlan::of(outlook),
        snapshots_removed: *snapshots_removed,
        packs_condemned: *packs_condemned,
        packs_deleted: *packs_deleted,
        packs_rewritten: *packs_rewritten,
        bytes_freed: report.bytes_freed(),
        rescinded: *rescinded,
        bytes_after: packs.iter().map(|pack| pack.bytes).sum(),
    })
}

/// Tells the observer what the repository tells.
pub(super) fn observed<T>(
    repo: &Repository,
    observer: &dyn Observer,
    work: impl FnOnce(&mut dyn FnMut(PruneEvent)) -> Result<T, crate::repo::Error>,
) -> Result<T, Error> {
    let clock = &*repo.environment().clock;
    let mut meter = Meter::new(observer, clock);
    let done = work(&mut |event| match event {
        PruneEvent::Step { step, bytes } => {
            let phase = phase(step);
            observer.observe(&Event::Phase { phase, item: String::new() });
            meter = Meter::new(observer, clock);
            if step != PruneStep::Mark {
                meter = Meter::new(observer, clock).with_totals(bytes, 0);
            }
        }
        PruneEvent::Progress { bytes } => meter.add(bytes, 1, b""),
        PruneEvent::Left { what, why } => {
            let message = format!("{what} is left as it is: {why}");
            observer.observe(&Event::Warning { item: what, message });
        }
    })?;
    Ok(done)
}

const fn phase(step: PruneStep) -> Phase {
    match step {
        PruneStep::Mark => Phase::Mark,
        PruneStep::Move => Phase::Move,
        PruneStep::Delete => Phase::Delete,
    }
}
