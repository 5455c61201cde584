//! What is stored, and what was saved by storing everything once.

use crate::{
    backend::Folder,
    clock::UnixNanos,
    id::SnapshotId,
    ops::Error,
    repo::{Repository, Snapshot},
};

/// Sizes of a repository, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Oldest first.
    pub snapshots: Vec<SnapshotStats>,
    pub folders: Vec<FolderStats>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotStats {
    pub id: SnapshotId,
    pub created: UnixNanos,
    /// Plain size of all its parts: what a restore brings back.
    pub bytes: u64,
    /// Plain size of the chunks that were not in the repository before.
    pub bytes_new: u64,
    /// What it added to the repository, compressed and sealed.
    pub bytes_added: u64,
}

/// One folder of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderStats {
    pub folder: Folder,
    pub objects: u64,
    pub bytes: u64,
}

impl Stats {
    /// What the repository takes on its disk.
    pub fn bytes_stored(&self) -> u64 {
        self.folders.iter().map(|folder| folder.bytes).sum()
    }

    /// What all snapshots would take if each were kept as plain copies.
    pub fn bytes_protected(&self) -> u64 {
        self.snapshots.iter().map(|snapshot| snapshot.bytes).sum()
    }
}

/// Adds everything up. Costs one listing of every folder.
pub fn stats(repository: &Repository) -> Result<Stats, Error> {
    let snapshots = repository.snapshots()?.snapshots;
    let mut folders = Vec::new();
    for folder in Folder::ALL {
        let listing = repository.environment().backend.list(folder)?;
        folders.push(FolderStats {
            folder,
            objects: listing.objects.len() as u64,
            bytes: listing.objects.iter().map(|object| object.bytes).sum(),
        });
    }
    Ok(Stats { snapshots: snapshots.iter().map(of_snapshot).collect(), folders })
}

fn of_snapshot(snapshot: &Snapshot) -> SnapshotStats {
    let parts = snapshot.record.parts.iter();
    SnapshotStats {
        id: snapshot.id,
        created: snapshot.record.created,
        bytes: parts.clone().map(|part| part.totals.bytes).sum(),
        bytes_new: parts.map(|part| part.totals.bytes_new).sum(),
        bytes_added: snapshot.record.bytes_added,
    }
}
