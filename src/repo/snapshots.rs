//! The committed snapshots of a repository. Spec: `format-spec/60-record.md`.

use std::collections::HashMap;

use crate::{
    backend::{Folder, ObjectName},
    crypto::object::open_object,
    format::{envelope::Kind, record::Record},
    id::SnapshotId,
    repo::{
        Error, Repository,
        marks::Marks,
        object::{self, OBJECT_BYTES_MAX},
    },
};

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub record: Record,
}

/// All that could be read, and what could not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshots {
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Records that do not open in either copy, and marks that do not, with the reason.
    pub damaged: Vec<(ObjectName, String)>,
}

/// Loads every record whose presence in `snapshots/` commits it, forgotten ones left out.
pub fn load(repo: &Repository) -> Result<Snapshots, Error> {
    let marks = Marks::load(repo)?;
    let mut loaded = load_where(repo, |id| !marks.is_forgotten(id))?;
    loaded.damaged.extend(marks.damaged);
    Ok(loaded)
}

/// Loads the records of the snapshots that are wanted.
pub(super) fn load_where(
    repo: &Repository,
    is_wanted: impl Fn(&SnapshotId) -> bool,
) -> Result<Snapshots, Error> {
    let backend = repo.env.backend.as_ref();
    let catalogue = repo.catalogue()?;
    let copies: HashMap<_, _> = catalogue.record_copies().map(|(id, bytes)| (*id, bytes)).collect();
    let mut loaded = Snapshots::default();
    for name in object::names(backend, Folder::Snapshots)? {
        let ObjectName::Snapshot(id) = name else { continue };
        if !is_wanted(&id) {
            continue;
        }
        let copy = copies.get(&id).and_then(|bytes| Record::decode(bytes).ok());
        match copy.map_or_else(|| read(repo, id), Ok) {
            Ok(record) => loaded.snapshots.push(Snapshot { id, record }),
            Err(Error::Backend(error)) if error.is_of_the_place() => return Err(error.into()),
            Err(error) => loaded.damaged.push((name, error.to_string())),
        }
    }
    loaded.snapshots.sort_by_key(|snapshot| (snapshot.record.created, snapshot.id));
    Ok(loaded)
}

/// Reads a record from its object, or from its pending copy when that does not open.
pub fn read(repo: &Repository, id: SnapshotId) -> Result<Record, Error> {
    let first = read_as(repo, ObjectName::Snapshot(id), Kind::Snapshot, id);
    first.or_else(|error| {
        read_as(repo, ObjectName::Pending(id), Kind::Pending, id).map_err(|_| error)
    })
}

/// Reads one of the two copies of a record.
pub fn read_as(
    repo: &Repository,
    name: ObjectName,
    kind: Kind,
    id: SnapshotId,
) -> Result<Record, Error> {
    let backend = &repo.env.backend;
    let bytes = backend.get(&name, OBJECT_BYTES_MAX)?;
    let plain = open_object(&repo.keys, kind, &id.0, bytes).inspect_err(|_| {
        backend.distrust(&name);
    })?;
    Ok(Record::decode(&plain)?)
}
