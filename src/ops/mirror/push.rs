//! Bringing a mirror up to date. Spec: `format-spec/70-write-order.md`, "A run".
//!
//! Descriptor and keys first; then for each batch of snapshots its packs, the index objects, and
//! last the records. Every object is verified before what relies on it goes up, so whatever cuts
//! this short, what a mirror shows can be restored.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use crate::{
    backend::{Folder, ObjectName, name::Copy},
    id::{PackId, SnapshotId},
    ops::{
        self,
        event::{Event, Meter, Observer, Phase},
        keys,
        mirror::{
            Error, Ledger, Sent, Target,
            copy::{Copier, names_of, not_noted},
            identity::{Holds, holds},
            keep::Wanted,
            plan::{Batch, Plan, Scope, plan},
        },
    },
    repo::{Lock, Repository, Taken},
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
    let _lock = lock(repo, target)?;
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

/// Keeps other processes of this machine from working on the mirror until it is dropped.
pub fn lock(repo: &Repository, target: &Target) -> Result<Lock, ops::Error> {
    let file = format!("mirror-{}.lock", target.name);
    let holder = format!("process {}", std::process::id());
    match repo.lock_as(&file, &holder, Duration::ZERO)? {
        Taken::Lock(lock) => Ok(lock),
        Taken::HeldBy(holder) => Err(Error::Busy { name: target.name.clone(), holder }.into()),
    }
}

/// Where the state of a mirror lies that is opened as a repository.
pub fn state_root(repo: &Repository, target: &Target) -> PathBuf {
    repo.environment().state_root.join(format!("mirror-{}", target.name))
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
    let plan = planned(repo, target, ledger, scope)?;
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

/// Plans what goes up; what lies only in packs that were removed there gets packs of its own first.
fn planned(
    repo: &Repository,
    target: &Target,
    ledger: &Ledger,
    scope: Scope,
) -> Result<Plan, ops::Error> {
    let history = repo.history()?;
    let now = repo.environment().clock.now();
    let wanted = Wanted::by(target.keep.as_ref(), &history, now);
    let look = || plan(repo, ledger, (history.shown().collect(), &wanted, scope));
    let first = look()?;
    if first.removed.is_empty() {
        return Ok(first);
    }
    repo.store_again(&first.removed.into_iter().collect::<Vec<_>>())?;
    look()
}

/// Makes sure whose repository is there, and that what is known of it is true. Returns what is to
/// be looked into.
pub fn prepare(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
) -> Result<Scope, ops::Error> {
    let noted = |result: std::io::Result<()>| result.map_err(|source| not_noted(repo, source));
    match holds(repo, target)? {
        Holds::Nothing => {
            // Empty, or emptied: nothing that was known of it holds.
            noted(ledger.start_anew())?;
            let found = target.backend.prove()?;
            noted(ledger.set_proven(found))?;
            noted(ledger.replace(Vec::new(), HashSet::new()))?;
        }
        Holds::ThisRepository if !ledger.notes.is_listed => {
            let listed = listed(target)?;
            let removed = repo.removed_in(&*target.backend)?;
            noted(ledger.replace(listed, removed))?;
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
    let keys = send_keys(repo, &copier)?;
    shut_out(repo, target, &copier, &keys)?;
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

/// Sends what a repository is recognised by and opened with: before anything else. Returns all of
/// it that is here.
pub fn send_keys(repo: &Repository, copier: &Copier<'_>) -> Result<Vec<ObjectName>, ops::Error> {
    let here = &*repo.environment().backend;
    let keys = names_of(here, &[Folder::Descriptor, Folder::Keys])?;
    copier.send_all(&keys)?;
    Ok(keys)
}

/// Removes keys there that somebody removed here, now that the others are there.
fn shut_out(
    repo: &Repository,
    target: &Target,
    copier: &Copier<'_>,
    keys: &[ObjectName],
) -> Result<(), ops::Error> {
    for id in keys::removed(repo) {
        for name in Copy::BOTH.map(|copy| ObjectName::Slot { id, copy }) {
            if copier.ledger().has(&name) && !keys.contains(&name) {
                target.backend.delete(&name)?;
                copier.note(|ledger| ledger.drop_object(&name))?;
            }
        }
    }
    Ok(())
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
    let mut index: Vec<_> = catalogue.live().iter().map(|head| head.name.clone()).collect();
    index.retain(|name| !copier.ledger().was_removed(name));
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
    // What was known to be condemned when this was planned, nothing that was sent relies on.
    let is_known = |name: &ObjectName| copier.ledger().has(name);
    let news = repo.condemned_in(&*target.backend, is_known)?;
    let relied_on = |pack: &&PackId| {
        let (name, ledger) = (ObjectName::Pack(**pack), copier.ledger());
        ledger.has(&name) && !ledger.was_removed(&name)
    };
    let condemned: HashSet<_> = news.values().flatten().filter(relied_on).copied().collect();
    // From now on nothing that is sent relies on any of it, and nobody asks for it again.
    let note = || {
        copier.note(|ledger| {
            news.iter().try_for_each(|(tombstone, packs)| ledger.add_tombstone(tombstone, packs))
        })
    };
    if condemned.is_empty() {
        return note();
    }
    for snapshot in batches.iter().flat_map(|batch| &batch.snapshots) {
        let name = ObjectName::Snapshot(*snapshot);
        target.backend.delete(&name)?;
        copier.note(|ledger| ledger.drop_object(&name))?;
    }
    for pack in condemned {
        // As good as gone: whoever needs what is in it next sends another copy.
        let name = ObjectName::Pack(pack);
        copier.note(|ledger| ledger.drop_object(&name))?;
    }
    note()?;
    Err(Error::BeingPruned { place: target.backend.place() }.into())
}
