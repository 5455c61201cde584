//! What is damaged or lost here, taken from a mirror that has it whole.
//!
//! A mirror holds the same bytes under the same names, so what comes from there takes the place of
//! what is damaged. Nothing is believed: it is opened from the first byte to the last before it
//! gets its name. A pack that was condemned never comes back under its name; what it alone held is
//! stored anew.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use crate::{
    backend::{self, Backend, Folder, ObjectName, memory::MemoryBackend},
    crypto::object::open_object,
    format::{envelope::Kind, record::Record, table::Table},
    id::{PackId, SnapshotId},
    limits::PACK_BYTES_MAX,
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        check, known_tables,
        pack_check::{self, Opened},
        pack_table::{self, PackKey},
        repair::{Outcome, Step, copies, index, packs, put_back, rebuild},
        tombstones,
    },
};

/// Another place of the same repository.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub name: String,
    pub backend: Arc<dyn Backend>,
}

/// Has everything fetched that a mirror has, these lost packs too; what was planned without it is
/// done if it turns out not to be whole there. Asks the mirrors for sizes only; one that does not
/// answer has nothing.
pub fn plan(mirrors: &[Mirror], lost: &[PackId], steps: &mut Vec<Step>) {
    let first_with = |name: &ObjectName| {
        let mut have_it = mirrors.iter().filter(|mirror| mirror.backend.size(name).is_ok());
        have_it.next().map(|mirror| mirror.name.clone())
    };
    for step in std::mem::take(steps) {
        let found = wanted(&step).and_then(|(name, why)| Some((first_with(&name)?, name, why)));
        let fetched = found.map(|(from, name, why)| {
            let (why, otherwise) = (why.to_owned(), Some(Box::new(step.clone())));
            Step::Fetch { name, from, why, otherwise }
        });
        steps.push(fetched.unwrap_or(step));
    }
    for name in lost.iter().copied().map(ObjectName::Pack) {
        if let Some(from) = first_with(&name) {
            steps.push(Step::Fetch { name, from, why: "is missing".to_owned(), otherwise: None });
        }
    }
    steps.sort_by_key(Step::turn);
}

/// The object that would make the step needless, and what is wrong with it. Packs with parity are
/// computed first, for that costs no traffic; keys have a second copy at hand.
pub fn wanted(step: &Step) -> Option<(ObjectName, &str)> {
    match step {
        Step::Salvage { pack, why, .. } => Some((ObjectName::Pack(*pack), why)),
        Step::RestoreRecord { snapshot, why } => Some((ObjectName::Snapshot(*snapshot), why)),
        Step::SetAside { name, why } => match name {
            ObjectName::Index { .. } | ObjectName::Pinned(_) => Some((name.clone(), why)),
            _ => None,
        },
        _ => None,
    }
}

/// Packs that an index object names, that are not here, and that hold a chunk which is nowhere
/// else. What a prune took away is not lost; what was set aside because it was damaged is.
///
/// Read from the index objects: the local index forgets a pack when it has seen that it is gone.
pub fn lost_packs(repo: &Repository) -> Result<Vec<PackId>, Error> {
    let backend = repo.env.backend.as_ref();
    let catalogue = repo.catalogue()?;
    let set_aside: HashSet<ObjectName> = backend
        .list(Folder::Quarantine)?
        .objects
        .into_iter()
        .filter_map(|listed| match listed.name {
            ObjectName::Quarantined { former, .. } => Some(*former),
            _ => None,
        })
        .collect();
    let is_absent = |pack: &PackId| {
        let is_here =
            catalogue.packs().contains_key(pack) || catalogue.resized().contains_key(pack);
        let was_set_aside = || set_aside.contains(&ObjectName::Pack(*pack));
        !is_here && (!catalogue.condemned().contains(pack) || was_set_aside())
    };
    let mut lost = BTreeSet::new();
    // An index object that is out of reach names nothing now.
    let _ = known_tables::for_each(backend, &catalogue, &mut |entry, table| {
        if is_absent(&entry.pack) && !lost.contains(&entry.pack) && is_needed(&catalogue, table)? {
            let _ = lost.insert(entry.pack);
        }
        Ok(())
    })?;
    Ok(lost.into_iter().collect())
}

fn is_needed(catalogue: &Catalogue, table: &[u8]) -> Result<bool, Error> {
    for blob in Table::parse(table)?.blobs() {
        for chunk in blob.chunks() {
            if catalogue.locate(&chunk.id)?.is_none() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Takes an object from the first mirror where it is whole; durable on return.
///
/// # Errors
/// If it is whole nowhere, or must not come back.
pub fn fetch(
    repo: &Repository,
    mirrors: &[Mirror],
    name: &ObjectName,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let mut refused = None;
    for mirror in mirrors {
        match fetch_from(repo, mirror, name, outcome) {
            Ok(()) => return Ok(()),
            Err(Error::Backend(backend::Error::Missing { .. })) => {}
            Err(error) => drop(refused.get_or_insert(error)),
        }
    }
    let place = "every mirror".to_owned();
    let nowhere = || backend::Error::Missing { name: name.clone(), place }.into();
    Err(refused.unwrap_or_else(nowhere))
}

/// Takes an object from this mirror; durable on return.
pub fn fetch_from(
    repo: &Repository,
    mirror: &Mirror,
    name: &ObjectName,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let bytes = mirror.backend.get(name, PACK_BYTES_MAX)?;
    prove(repo, name, &bytes)?;
    match name {
        ObjectName::Pack(pack) => put_pack(repo, *pack, &bytes, outcome)?,
        ObjectName::Snapshot(id) => put_record(repo, *id, &bytes, outcome)?,
        _ => put_back(repo, name, &bytes, outcome)?,
    }
    outcome.fetched.push((name.clone(), mirror.name.clone()));
    repo.forget_catalogue();
    Ok(())
}

/// Opens all of it.
fn prove(repo: &Repository, name: &ObjectName, bytes: &[u8]) -> Result<(), Error> {
    let single = |kind, id: &[u8; 32]| open_object(&repo.keys, kind, id, bytes.to_vec());
    let size = bytes.len() as u64;
    match name {
        ObjectName::Pack(pack) => {
            pack_check::verify(&holding(name, bytes)?, &repo.keys, *pack, size)
        }
        ObjectName::Index { .. } => {
            check::read_index_object((&holding(name, bytes)?, &repo.keys), name, size)
        }
        ObjectName::Snapshot(id) => {
            let record = Record::decode(&single(Kind::Snapshot, &id.0)?);
            record.map(drop).map_err(Error::from)
        }
        ObjectName::Pinned(id) => single(Kind::Pinned, &id.0).map(drop).map_err(Error::from),
        _ => Err(Error::Refused { why: format!("{name} is never taken from a mirror") }),
    }
}

/// A place that holds nothing but this.
fn holding(name: &ObjectName, bytes: &[u8]) -> Result<MemoryBackend, Error> {
    let place = MemoryBackend::new();
    place.put_new(name, &[bytes])?;
    Ok(place)
}

fn put_pack(
    repo: &Repository,
    pack: PackId,
    bytes: &[u8],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let name = ObjectName::Pack(pack);
    if is_condemned(repo, pack)? {
        store_anew(repo, (pack, bytes), outcome)?;
        return match repo.env.backend.size(&name) {
            Err(backend::Error::Missing { .. }) => Ok(()),
            _ => packs::salvage(repo, &[pack], outcome),
        };
    }
    put_back(repo, &name, bytes, outcome)?;
    // As a writer does: whoever condemned it meanwhile may not have seen that it is needed.
    if is_condemned(repo, pack)? {
        let what = "another process is taking packs away; try again later".to_owned();
        return Err(Error::Busy { what });
    }
    rebuild::acquit(repo, pack)
}

fn is_condemned(repo: &Repository, pack: PackId) -> Result<bool, Error> {
    repo.forget_catalogue();
    Ok(repo.catalogue()?.condemned().contains(&pack))
}

/// Stores what has no copy to rely on in new packs; durable and indexed on return.
fn store_anew(
    repo: &Repository,
    (pack, bytes): (PackId, &[u8]),
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let place = holding(&ObjectName::Pack(pack), bytes)?;
    let size = bytes.len() as u64;
    let (entry, table) = pack_table::read(&place, &repo.keys, pack, size)?;
    let key = PackKey::new(&repo.keys, pack, entry.epoch)?;
    let opened = Opened { backend: &place, keys: &repo.keys, pack, bytes: size, key };
    let writer = repo.writer()?;
    let mut lane = writer.lane();
    for blob in Table::parse(&table)?.blobs() {
        let plain = pack_check::open_blob(&opened, &blob)?;
        packs::put_chunks(&blob, &plain, &mut lane)?;
    }
    lane.finish()?;
    writer.flush()?;
    outcome.chunks_saved += writer.progress().chunks_new;
    outcome.packs_indexed += index::publish_unnamed_packs(repo)?;
    Ok(())
}

/// Puts both copies of a record again, unless a prune is taking it away.
fn put_record(
    repo: &Repository,
    id: SnapshotId,
    bytes: &[u8],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let known = repo.catalogue()?;
    let look = tombstones::look(backend, &repo.keys, known.known_index())?.for_deleter()?;
    if look.snapshots().contains(&id) {
        let what = format!("snapshot {id} is being removed");
        return Err(Error::Busy { what });
    }
    put_back(repo, &ObjectName::Snapshot(id), bytes, outcome)?;
    // A repository without any is a mirror: there a record has one copy.
    let has_second_copies = !backend.list(Folder::Pending)?.objects.is_empty();
    match has_second_copies {
        true => copies::restore_copy(repo, &ObjectName::Pending(id), outcome),
        false => Ok(()),
    }
}
