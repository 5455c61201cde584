//! What keeps data alive: every record that is committed or pending, but for those that were
//! forgotten and whose time in the trash is over. The one place that says so.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    io,
    time::Duration,
};

use crate::{
    backend::{Backend, Folder, ObjectName},
    clock::UnixNanos,
    disk,
    format::record::Record,
    id::{ObjectId, SnapshotId},
    repo::{
        Error, Repository, marks::Marks, object, prune::refused, snapshots, tombstones::Condemned,
    },
};

const KNOWN_FILE: &str = "known-snapshots.json";
const KNOWN_BYTES_MAX: u64 = 64 << 20;

/// How long forgotten snapshots stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trash {
    pub keep: Duration,
    pub now: UnixNanos,
}

/// The names of all records, and what becomes of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Committed, and not to go.
    pub committed: BTreeSet<SnapshotId>,
    /// Pending, and not committed.
    pub pending: BTreeSet<SnapshotId>,
    /// Forgotten, and out of the trash: their records go.
    pub expired: BTreeSet<SnapshotId>,
    /// Forgotten, and still kept; they are among the committed.
    pub in_trash: usize,
    /// Markers that name no record any more.
    pub spent_markers: Vec<ObjectName>,
}

impl Roots {
    /// Lists everything. Nothing is left out because it cannot be read.
    pub fn list(repo: &Repository, trash: &Trash) -> Result<Self, Error> {
        let backend = repo.env.backend.as_ref();
        let marks = Marks::load(repo)?;
        let pending = ids(backend, Folder::Pending)?;
        let snapshots = ids(backend, Folder::Snapshots)?;
        let dropped = match marks.forgotten().next() {
            Some(_) => repo.history()?.dropped(trash.keep, trash.now),
            None => HashSet::new(),
        };
        // Forgotten by both looks: what was taken back in between stays.
        let expired = |id: &SnapshotId| dropped.contains(id) && marks.is_forgotten(id);
        let committed: BTreeSet<_> = snapshots.iter().filter(|id| !expired(id)).copied().collect();
        let is_gone = |id: &SnapshotId| !snapshots.contains(id) && !pending.contains(id);
        Ok(Self {
            in_trash: committed.iter().filter(|id| marks.is_forgotten(id)).count(),
            pending: pending.difference(&snapshots).filter(|id| !expired(id)).copied().collect(),
            expired: snapshots.union(&pending).filter(|id| expired(id)).copied().collect(),
            spent_markers: marks
                .markers()
                .filter(|(_, snapshot)| is_gone(snapshot))
                .map(|(name, _)| name.clone())
                .collect(),
            committed,
        })
    }

    /// Every snapshot whose record keeps data alive.
    pub fn all(&self) -> impl Iterator<Item = SnapshotId> {
        self.committed.iter().chain(&self.pending).copied()
    }

    /// Refuses when a snapshot that was there is not, and no tombstone says that a prune took it
    /// away: then the listing, or the repository, is not what it was.
    pub fn expect(
        &self,
        known: &BTreeSet<SnapshotId>,
        condemned: &Condemned,
        known_tombstones: &HashSet<ObjectId>,
    ) -> Result<(), Error> {
        let is_here = |id: &SnapshotId| self.committed.contains(id) || self.expired.contains(id);
        let taken = condemned.snapshots();
        let gone: Vec<_> = known.iter().filter(|id| !is_here(id) && !taken.contains(id)).collect();
        // The tombstones that would tell may be among those that were dropped.
        let Some(first) = gone.first() else { return Ok(()) };
        if condemned.has_forgotten_since(known_tombstones) {
            return Ok(());
        }
        Err(refused(format!(
            "{} snapshots that were there before are gone, {first} among them, and no prune \
             removed them",
            gone.len()
        )))
    }
}

/// The snapshots that this machine saw at its last prune. They can only cause a refusal.
pub fn known(repo: &Repository) -> Result<BTreeSet<SnapshotId>, Error> {
    let name = OsStr::new(KNOWN_FILE);
    let disk = repo.env.disk.as_ref();
    let bytes = match disk::file::read(disk, repo.state.dir(), name, KNOWN_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other.map_err(|source| repo.state.error("read", KNOWN_FILE, source))?,
    };
    let texts: Vec<String> = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Remembers which snapshots there are.
pub fn remember(repo: &Repository, committed: &BTreeSet<SnapshotId>) -> Result<(), Error> {
    let texts: Vec<String> = committed.iter().map(ToString::to_string).collect();
    let bytes = serde_json::to_vec(&texts).expect("strings always become JSON");
    let disk = repo.env.disk.as_ref();
    disk::file::replace(disk, repo.state.dir(), OsStr::new(KNOWN_FILE), &bytes, 0o600)
        .map_err(|source| repo.state.error("write", KNOWN_FILE, source))
}

/// Reads the record of a root, in whichever copy opens.
///
/// # Errors
/// What cannot be read may reach anything: the prune must end.
pub fn read(repo: &Repository, id: SnapshotId, copy: Option<&Vec<u8>>) -> Result<Record, Error> {
    if let Some(record) = copy.and_then(|copy| Record::decode(copy).ok()) {
        return Ok(record);
    }
    snapshots::read(repo, id)
        .map_err(|error| refused(format!("the record of snapshot {id} cannot be read ({error})")))
}

fn ids(backend: &dyn Backend, folder: Folder) -> Result<BTreeSet<SnapshotId>, Error> {
    let names = object::names(backend, folder)?;
    let id = |name| match name {
        ObjectName::Snapshot(id) | ObjectName::Pending(id) => Some(id),
        _ => None,
    };
    Ok(names.into_iter().filter_map(id).collect())
}
