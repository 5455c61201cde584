//! Comparing a mirror with what is known of it, and mending both ways.
//!
//! The listing is the truth about what is there. Nothing that is not ours is touched; what is
//! missing there is sent again; what is missing here and whole there is fetched.

use std::collections::BTreeMap;

use crate::{
    backend::{self, ObjectName, Receipt},
    limits::PACK_BYTES_MAX,
    ops::{
        self,
        event::{Event, Observer, Phase},
        mirror::{
            Ledger, Target,
            copy::not_noted,
            identity::{Holds, holds},
        },
    },
    repo::{Repository, check::verify_object},
};

/// Whether differences are only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    Report,
    Differences,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Known to be there, and is not.
    GoneThere(ObjectName),
    /// There in another size.
    OtherSize { name: ObjectName, bytes: u64, expected: u64 },
    /// There, and not here.
    OnlyThere { name: ObjectName, bytes: u64 },
    /// Bears no name of ours. Never touched.
    Foreign(String),
}

/// What a comparison found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub objects: u64,
    pub bytes: u64,
    pub findings: Vec<Finding>,
    /// Objects that were fetched back to here.
    pub fetched: u64,
    /// Objects that were removed there because they are not what is here, to be sent again.
    pub removed: u64,
}

/// Lists the mirror and compares.
pub fn reconcile(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    (mend, observer): (Mend, &dyn Observer),
) -> Result<Reconciled, ops::Error> {
    observer.observe(&Event::Phase { phase: Phase::Verify, item: target.name.clone() });
    let mut found = Reconciled::default();
    if holds(repo, target)? == Holds::Nothing {
        let gone = ledger.objects().keys().cloned().map(Finding::GoneThere);
        found.findings.extend(gone);
        if mend == Mend::Differences {
            ledger.start_anew().map_err(|source| not_noted(repo, source))?;
        }
        return Ok(found);
    }
    let (there, foreign) = list(target)?;
    found.objects = there.len() as u64;
    found.bytes = there.values().sum();
    found.findings.extend(foreign.into_iter().map(Finding::Foreign));
    compare(repo, ledger, &there, &mut found)?;
    if mend == Mend::Differences {
        let whole = heal(repo, target, there, &mut found)?;
        let removed = repo.removed_in(&*target.backend)?;
        ledger.replace(whole, removed).map_err(|source| not_noted(repo, source))?;
    }
    if found.findings.is_empty() {
        let now = repo.environment().clock.now();
        ledger.reach(now).map_err(|source| not_noted(repo, source))?;
    }
    Ok(found)
}

type Sizes = BTreeMap<ObjectName, u64>;

fn list(target: &Target) -> Result<(Sizes, Vec<String>), ops::Error> {
    let (mut objects, mut foreign) = (Sizes::new(), Vec::new());
    for (folder, listing) in target.backend.list_all()? {
        objects.extend(listing.objects.into_iter().map(|listed| (listed.name, listed.bytes)));
        let names = listing.foreign.into_iter();
        foreign.extend(names.map(|name| format!("{}/{name}", folder.as_str())));
    }
    Ok((objects, foreign))
}

/// Names that a mirror has of its own: its deletions and what was forgotten there.
const fn is_its_own(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Tombstone(_) | ObjectName::Forgotten(_))
}

fn compare(
    repo: &Repository,
    ledger: &Ledger,
    there: &Sizes,
    found: &mut Reconciled,
) -> Result<(), ops::Error> {
    let here: Sizes = repo
        .environment()
        .backend
        .list_all()?
        .into_iter()
        .flat_map(|(_, listing)| listing.objects)
        .map(|listed| (listed.name, listed.bytes))
        .collect();
    for (name, Receipt { bytes, .. }) in ledger.objects() {
        match there.get(name) {
            None => found.findings.push(Finding::GoneThere(name.clone())),
            Some(listed) if listed != bytes && !here.contains_key(name) => {
                let (bytes, expected) = (*listed, *bytes);
                found.findings.push(Finding::OtherSize { name: name.clone(), bytes, expected });
            }
            Some(_) => {}
        }
    }
    for (name, bytes) in there {
        match here.get(name) {
            Some(expected) if expected != bytes => {
                let (name, bytes, expected) = (name.clone(), *bytes, *expected);
                found.findings.push(Finding::OtherSize { name, bytes, expected });
            }
            None if !is_its_own(name) => {
                found.findings.push(Finding::OnlyThere { name: name.clone(), bytes: *bytes });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Mends what can be mended, and returns what is whole there.
fn heal(
    repo: &Repository,
    target: &Target,
    mut there: Sizes,
    found: &mut Reconciled,
) -> Result<Vec<(ObjectName, u64)>, ops::Error> {
    for finding in found.findings.clone() {
        match finding {
            Finding::OtherSize { name, .. } => {
                found.removed += u64::from(remove_unlike(repo, target, &name)?);
                let _ = there.remove(&name);
            }
            Finding::OnlyThere { name, .. } if is_fetched(&name) => {
                found.fetched += u64::from(fetch(repo, target, &name)?);
            }
            _ => {}
        }
    }
    Ok(there.into_iter().filter(|(_, bytes)| *bytes > 0).collect())
}

/// What is worth having back: a pack that is lost here. Records and keys are not fetched, since
/// what was removed on purpose must not come back.
const fn is_fetched(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Pack(_))
}

/// Removes an object there that is not what we have. Ours was read and proven in this very run.
fn remove_unlike(
    repo: &Repository,
    target: &Target,
    name: &ObjectName,
) -> Result<bool, ops::Error> {
    let here = &repo.environment().backend;
    let bytes = match here.get(name, PACK_BYTES_MAX) {
        Err(backend::Error::Missing { .. }) => return Ok(false),
        other => other?,
    };
    verify_object(repo, name)?;
    match target.backend.verify(name, &[&bytes]) {
        Err(backend::Error::NotAsSent { .. }) => {
            target.backend.delete(name)?;
            Ok(true)
        }
        // Nothing but an empty name, which no reader counts.
        Err(backend::Error::Missing { .. }) => {
            target.backend.delete(name)?;
            Ok(true)
        }
        other => other.map(|_| false).map_err(Into::into),
    }
}

/// Fetches a pack that an index here names and that is lost here.
fn fetch(repo: &Repository, target: &Target, name: &ObjectName) -> Result<bool, ops::Error> {
    let ObjectName::Pack(pack) = name else { return Ok(false) };
    if !repo.catalogue()?.lost().contains(pack) {
        return Ok(false);
    }
    let bytes = target.backend.get(name, PACK_BYTES_MAX)?;
    let here = &repo.environment().backend;
    match here.put_new(name, &[&bytes]) {
        Ok(()) => {}
        Err(backend::Error::Exists { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    if let Err(error) = verify_object(repo, name) {
        // Damaged there as well: better missing than wrong.
        here.delete(name)?;
        return Err(error.into());
    }
    Ok(true)
}
