//! Comparing a mirror with what is known of it, and mending both ways.
//!
//! The listing is the truth about what is there. Nothing that is not ours is touched; what is
//! missing there is sent again; what is missing here and whole there is fetched.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use crate::{
    backend::{self, ObjectName, Receipt},
    limits::PACK_BYTES_MAX,
    ops::{
        self,
        event::{Event, Meter, Observer, Phase},
        mirror::{
            Ledger, Target,
            copy::not_noted,
            identity::{Holds, holds},
        },
    },
    repo::{
        Repository,
        check::verify_object,
        repair::{self, Mirror},
    },
};

/// How closely it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At names and sizes.
    Listing,
    /// At the content of what is on both sides as well.
    Content,
}

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
    /// There in its size, with other bytes than here.
    OtherContent(ObjectName),
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
    /// Objects that are there again as they are here.
    pub mended: u64,
}

/// Lists the mirror and compares.
pub fn reconcile(
    repo: &Repository,
    (target, ledger): (&Target, &mut Ledger),
    (look, mend): (Look, Mend),
    observer: &dyn Observer,
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
    let here = sizes_here(repo)?;
    compare(&here, ledger, &there, &mut found);
    if look == Look::Content {
        let alike = there.iter().filter(|(name, bytes)| here.get(*name) == Some(bytes));
        compare_content(repo, target, alike, (&mut found, observer))?;
    }
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

/// Names that a mirror has of its own: its deletions, what was forgotten and what was mended there.
const fn is_its_own(name: &ObjectName) -> bool {
    use ObjectName::{Forgotten, Quarantined, Tombstone};
    matches!(name, Tombstone(_) | Forgotten(_) | Quarantined { .. })
}

fn sizes_here(repo: &Repository) -> Result<Sizes, ops::Error> {
    let all = repo.environment().backend.list_all()?;
    let objects = all.into_iter().flat_map(|(_, listing)| listing.objects);
    Ok(objects.map(|listed| (listed.name, listed.bytes)).collect())
}

fn compare(here: &Sizes, ledger: &Ledger, there: &Sizes, found: &mut Reconciled) {
    for (name, Receipt { bytes, .. }) in ledger.objects() {
        if is_its_own(name) {
            continue;
        }
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
}

/// Compares what both sides have in one size. What is damaged here is no measure: it is for a
/// repair to say so.
fn compare_content<'a>(
    repo: &Repository,
    target: &Target,
    alike: impl Iterator<Item = (&'a ObjectName, &'a u64)>,
    (found, observer): (&mut Reconciled, &dyn Observer),
) -> Result<(), ops::Error> {
    let env = repo.environment();
    let meter = Meter::new(observer, &*env.clock).with_totals(found.bytes, found.objects);
    for (name, bytes) in alike {
        if env.stop.load(Ordering::Relaxed) {
            return Err(ops::Error::Stopped);
        }
        let ours = match env.backend.get(name, PACK_BYTES_MAX) {
            // Removed since it was listed.
            Err(backend::Error::Missing { .. }) => continue,
            other => other?,
        };
        if is_unlike(target, name, &ours)? && is_whole_here(repo, name)? {
            found.findings.push(Finding::OtherContent(name.clone()));
        }
        meter.add(*bytes, 1, name.to_string().as_bytes());
    }
    Ok(())
}

/// Whether the mirror has something else under the name, or a name without content.
fn is_unlike(target: &Target, name: &ObjectName, ours: &[u8]) -> Result<bool, backend::Error> {
    match target.backend.verify(name, &[ours]) {
        Err(backend::Error::NotAsSent { .. } | backend::Error::Missing { .. }) => Ok(true),
        other => other.map(|_| false),
    }
}

fn is_whole_here(repo: &Repository, name: &ObjectName) -> Result<bool, ops::Error> {
    match verify_object(repo, name) {
        Err(error) if error.is_damage() => Ok(false),
        other => other.map(|()| true).map_err(Into::into),
    }
}

/// Mends what can be mended, and returns what is whole there.
fn heal(
    repo: &Repository,
    target: &Target,
    mut there: Sizes,
    found: &mut Reconciled,
) -> Result<Vec<(ObjectName, u64)>, ops::Error> {
    // Records and keys are not fetched: what was removed on purpose must not come back.
    let lost = repair::lost_packs(repo)?;
    let is_lost = |name: &ObjectName| matches!(name, ObjectName::Pack(pack) if lost.contains(pack));
    for finding in found.findings.clone() {
        match finding {
            Finding::OtherSize { name, .. } | Finding::OtherContent(name) => {
                match put_right(repo, target, &name)? {
                    Some(bytes) => {
                        found.mended += 1;
                        let _ = there.insert(name, bytes);
                    }
                    None => drop(there.remove(&name)),
                }
            }
            Finding::OnlyThere { name, .. } if is_lost(&name) => {
                found.fetched += u64::from(fetch(repo, target, &name)?);
            }
            _ => {}
        }
    }
    Ok(there.into_iter().filter(|(_, bytes)| *bytes > 0).collect())
}

/// Puts our bytes in the place of those that the mirror has. Returns how many there are; nothing if
/// ours are gone, or not whole themselves.
fn put_right(
    repo: &Repository,
    target: &Target,
    name: &ObjectName,
) -> Result<Option<u64>, ops::Error> {
    let ours = match repo.environment().backend.get(name, PACK_BYTES_MAX) {
        Err(backend::Error::Missing { .. }) => return Ok(None),
        other => other?,
    };
    if !is_whole_here(repo, name)? {
        return Ok(None);
    }
    if is_unlike(target, name, &ours)? {
        let _ = target.backend.replace(name, &ours)?;
        let _ = target.backend.verify(name, &[&ours])?;
    }
    Ok(Some(ours.len() as u64))
}

/// Fetches a pack that is lost here. One that is damaged there as well stays there.
fn fetch(repo: &Repository, target: &Target, name: &ObjectName) -> Result<bool, ops::Error> {
    let mirror = Mirror { name: target.name.clone(), backend: target.backend.clone() };
    match repair::fetch(repo, &mirror, name) {
        Err(error) if error.is_damage() => Ok(false),
        other => other.map(|()| true).map_err(Into::into),
    }
}
