//! Objects that exist twice: the lost copy from the one that is left, the record from the index
//! when both are gone.

use crate::{
    backend::ObjectName,
    crypto::object::{open_object, reseal_object, seal_object},
    format::{envelope::Kind, record::Record},
    id::SnapshotId,
    repo::{
        Error, Repository,
        index_object::IndexObjectReader,
        keyring,
        object::OBJECT_BYTES_MAX,
        repair::{Outcome, put_back, set_aside},
        snapshots,
    },
};

/// Puts a lost copy again.
pub fn restore_copy(
    repo: &Repository,
    name: &ObjectName,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let bytes = match name {
        ObjectName::Snapshot(id) => sealed_again(repo, *id, (Kind::Pending, Kind::Snapshot))?,
        ObjectName::Pending(id) => sealed_again(repo, *id, (Kind::Snapshot, Kind::Pending))?,
        _ => keyring::genuine_twin(&repo.env, &repo.opened, name)?,
    };
    replace(repo, name, &bytes, outcome)?;
    outcome.copies_restored += 1;
    Ok(())
}

/// The one copy of a record as the other kind.
fn sealed_again(
    repo: &Repository,
    id: SnapshotId,
    (from, to): (Kind, Kind),
) -> Result<Vec<u8>, Error> {
    let name = record_name(id, from);
    let object = repo.env.backend.get(&name, OBJECT_BYTES_MAX)?;
    let plain = open_object(&repo.keys, from, &id.0, object.clone())?;
    let _ = Record::decode(&plain)?;
    Ok(reseal_object(&repo.keys, (from, to), &id.0, object)?)
}

const fn record_name(id: SnapshotId, kind: Kind) -> ObjectName {
    match kind {
        Kind::Pending => ObjectName::Pending(id),
        _ => ObjectName::Snapshot(id),
    }
}

/// Puts these bytes under the name, if they are not there.
fn replace(
    repo: &Repository,
    name: &ObjectName,
    bytes: &[u8],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    match repo.env.backend.get(name, bytes.len() as u64) {
        // By a run that finished it meanwhile.
        Ok(found) if found == bytes => Ok(()),
        _ => put_back(repo, name, bytes, outcome),
    }
}

/// Puts both copies of a record again, neither of which opens, from the copy in an index object.
/// If there is none, what is left of it is set aside: it is no use to anyone, and its name would
/// stand for a snapshot for ever.
pub fn restore_record(
    repo: &Repository,
    id: SnapshotId,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    for kind in [Kind::Snapshot, Kind::Pending] {
        match snapshots::read_as(repo, record_name(id, kind), kind, id) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_damage() => {}
            Err(out_of_reach) => return Err(out_of_reach),
        }
    }
    let Some(plain) = record_in_index(repo, id)? else {
        set_aside(repo, &ObjectName::Snapshot(id), outcome)?;
        return set_aside(repo, &ObjectName::Pending(id), outcome);
    };
    // Its place in `snapshots/` is the commit, and is filled first and last seen empty.
    for kind in [Kind::Snapshot, Kind::Pending] {
        let sealed = seal_object(&repo.keys, kind, &id.0, &plain);
        replace(repo, &record_name(id, kind), &sealed, outcome)?;
    }
    outcome.records_restored += 1;
    Ok(())
}

/// # Errors
/// Also if it is found nowhere, and an index object that may hold it is out of reach.
fn record_in_index(repo: &Repository, id: SnapshotId) -> Result<Option<Vec<u8>>, Error> {
    let backend = repo.env.backend.as_ref();
    let mut out_of_reach = None;
    let catalogue = repo.catalogue()?;
    for head in catalogue.live() {
        let reader = IndexObjectReader::open(backend, &repo.keys, head.name.clone(), head.bytes);
        match reader.and_then(|mut reader| record_in(&mut reader, id)) {
            Ok(None) => {}
            Err(error) if error.is_damage() => {}
            Ok(found) => return Ok(found),
            Err(error) => drop(out_of_reach.get_or_insert(error)),
        }
    }
    out_of_reach.map_or(Ok(()), Err)?;
    catalogue.expect_all_in_reach().map(|()| None)
}

fn record_in(reader: &mut IndexObjectReader<'_>, id: SnapshotId) -> Result<Option<Vec<u8>>, Error> {
    let (_, mut contents) = reader.head()?;
    loop {
        let mut records = contents.records.into_iter();
        if let Some((_, plain)) = records.find(|(of, _)| *of == id)
            && Record::decode(&plain).is_ok()
        {
            return Ok(Some(plain));
        }
        let Some(more) = reader.contents()? else { return Ok(None) };
        contents = more;
    }
}
