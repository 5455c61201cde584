//! Bringing a mirror up to date. Spec: `format-spec/70-write-order.md`, "A run".
//!
//! Descriptor and keys first; then for each batch of snapshots its packs, the index objects, and
//! last the records. Every object is verified before what relies on it goes up, so whatever cuts
//! this short, what a mirror shows can be restored.

use std::{collections::HashSet, time::Duration};

use crate::{
    backend::{Folder, ObjectName},
    id::{PackId, SnapshotId},
    ops::{
        self,
        event::{Event, Meter, Observer, Phase},
        mirror::{
            Error, Ledger, Sent, Target,
            copy::{Copier, names_of, not_noted},
            identity::{Holds, holds},
            plan::{Batch, Plan, Scope, plan},
        },
    },
    repo::{Repository, Taken},
};

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    pub sent: Sent,
    /// Snapshots that became complete there.
    pub snapshots: u64,
    /// Snapshots that are damaged here and therefore stay here, with the reason.
    pub damaged: Vec<(SnapshotId, String)>,
}

/// How often a push that met another one looks again.
const ATTEMPTS_MAX: usize = 3;

impl Pushed {
    fn and(mut self, more: Self) -> Self {
        self.sent.objects += more.sent.objects;
        self.sent.bytes += more.sent.bytes;
        self.snapshots += more.snapshots;
        self.damaged = more.damaged;
        self
    }
}

/// Sends what the mirror lacks. What could be sent is kept and known, however this ends.
pub fn push(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    observer: &dyn Observer,
) -> Result<Pushed, ops::Error> {
    let file = format!("mirror-{}.lock", target.name);
    let holder = format!("process {}", std::process::id());
    let _lock = match repo.lock_as(&file, &holder, Duration::ZERO)? {
        Taken::Lock(lock) => lock,
        Taken::HeldBy(holder) => {
            return Err(Error::Busy { name: target.name.clone(), holder }.into());
        }
    };
    observer.observe(&Event::Phase { phase: Phase::Open, item: target.name.clone() });
    let mut pushed = Pushed::default();
    for _ in 0..ATTEMPTS_MAX {
        let more = attempt(repo, target, ledger, observer)?;
        pushed = pushed.and(more);
        if ledger.notes.is_listed {
            return Ok(pushed);
        }
    }
    Err(Error::BeingPruned { place: target.backend.place() }.into())
}

/// Sends what the mirror lacks, by what is known of it. Afterwards the ledger says whether that was
/// true.
fn attempt(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    observer: &dyn Observer,
) -> Result<Pushed, ops::Error> {
    let scope = prepare(repo, target, ledger)?;
    let snapshots = repo.snapshots()?.snapshots;
    let plan = plan(repo, ledger, (snapshots.iter().collect(), scope))?;
    for (snapshot, why) in &plan.damaged {
        let item = snapshot.to_string()[..8].to_owned();
        let message = format!("damaged here, so it is not sent: {why}");
        observer.observe(&Event::Warning { item, message });
    }
    observer.observe(&Event::Phase { phase: Phase::Upload, item: target.name.clone() });
    let was_sent = plan.snapshots() > 0;
    let pushed = carry_out(repo, target, ledger, (plan, observer))?;
    let noted = |result: std::io::Result<()>| result.map_err(|source| not_noted(repo, source));
    if scope == Scope::All {
        noted(ledger.trust())?;
    }
    if was_sent && others_wrote(target, ledger)? {
        noted(ledger.doubt())?;
    }
    Ok(pushed)
}

/// Makes sure whose repository is there, and that what is known of it is true. Returns what is to
/// be looked into.
fn prepare(repo: &Repository, target: &Target, ledger: &mut Ledger) -> Result<Scope, ops::Error> {
    let noted = |result: std::io::Result<()>| result.map_err(|source| not_noted(repo, source));
    match holds(repo, target)? {
        Holds::Nothing => {
            // Empty, or emptied: nothing that was known of it holds.
            noted(ledger.start_anew())?;
            let found = target.backend.prove()?;
            noted(ledger.set_proven(found))?;
            noted(ledger.replace(Vec::new()))?;
        }
        Holds::ThisRepository if !ledger.notes.is_listed => {
            noted(ledger.replace(listed(target)?))?;
        }
        Holds::ThisRepository => {}
    }
    Ok(if ledger.notes.is_doubted { Scope::All } else { Scope::New })
}

/// All objects of the mirror with their sizes; one without a byte is none.
pub fn listed(target: &Target) -> Result<Vec<(ObjectName, u64)>, ops::Error> {
    let all = target.backend.list_all()?;
    let objects = all.into_iter().flat_map(|(_, listing)| listing.objects);
    let whole = objects.filter(|listed| listed.bytes > 0);
    Ok(whole.map(|listed| (listed.name, listed.bytes)).collect())
}

fn carry_out(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    (plan, observer): (Plan, &dyn Observer),
) -> Result<Pushed, ops::Error> {
    let clock = repo.environment().clock.clone();
    let meter = Meter::new(observer, &*clock).with_totals(plan.bytes(), 0);
    let copier = Copier::new(repo, target, ledger, &meter);
    let here = &*repo.environment().backend;
    copier.send_all(&names_of(here, &[Folder::Descriptor, Folder::Keys])?)?;
    copier.send_all(&names_of(here, &[Folder::Pinned])?)?;
    let mut pushed = Pushed { damaged: plan.damaged, ..Pushed::default() };
    for batch in &plan.batches {
        send(repo, &copier, batch)?;
        pushed.snapshots += batch.snapshots.len() as u64;
    }
    if !plan.batches.is_empty() {
        withdraw_condemned(repo, target, &copier, &plan.batches)?;
    }
    pushed.sent = copier.sent();
    Ok(pushed)
}

/// Whether the index objects there are others than those that we know of: another machine sent
/// something, or pruned, and what we took to be there may be gone.
fn others_wrote(target: &Target, ledger: &Ledger) -> Result<bool, ops::Error> {
    let is_index = |name: &&ObjectName| matches!(name, ObjectName::Index { .. });
    let known: HashSet<_> = ledger.objects().keys().filter(is_index).cloned().collect();
    let listed = target.backend.list(Folder::Index)?.objects;
    let listed: HashSet<_> = listed.into_iter().map(|listed| listed.name).collect();
    Ok(known != listed)
}

/// Packs, index, records, in this order.
fn send(repo: &Repository, copier: &Copier<'_>, batch: &Batch) -> Result<(), ops::Error> {
    let packs: Vec<_> = batch.packs.iter().map(|(pack, _)| ObjectName::Pack(*pack)).collect();
    copier.send_all(&packs)?;
    let catalogue = repo.catalogue()?;
    let index: Vec<_> = catalogue.live().iter().map(|head| head.name.clone()).collect();
    copier.send_all(&index)?;
    let records: Vec<_> = batch.snapshots.iter().copied().map(ObjectName::Snapshot).collect();
    copier.send_all(&records)
}

/// Looks, now that the records are visible, whether somebody is removing what they need; then they
/// are taken back, and the next push sends them again.
fn withdraw_condemned(
    repo: &Repository,
    target: &Target,
    copier: &Copier<'_>,
    batches: &[Batch],
) -> Result<(), ops::Error> {
    let condemned = repo.condemned_in(&*target.backend)?;
    let relied_on = |pack: &PackId| copier.ledger().has(&ObjectName::Pack(*pack));
    let condemned: HashSet<_> = condemned.into_iter().filter(relied_on).collect();
    if condemned.is_empty() {
        return Ok(());
    }
    for snapshot in batches.iter().flat_map(|batch| &batch.snapshots) {
        let name = ObjectName::Snapshot(*snapshot);
        target.backend.delete(&name)?;
        copier.note(|ledger| ledger.drop_object(&name))?;
    }
    for pack in condemned {
        // As good as gone: whoever needs it next sends it, or another copy, again.
        let name = ObjectName::Pack(pack);
        copier.note(|ledger| ledger.drop_object(&name))?;
    }
    Err(Error::BeingPruned { place: target.backend.place() }.into())
}
