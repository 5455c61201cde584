//! Objects that go by another way than a prune: what others must know to take it for no loss.

use crate::{
    backend::ObjectName,
    format::tombstone::Tombstone,
    id::{ObjectId, SnapshotId},
    repo::{
        Error, Repository,
        index_object::{self, Contents, Draft},
        object,
        prune::condemn,
    },
};

/// Says why an object is gone that a repair is about to set aside; durable on return.
///
/// A snapshot that is gone without a word makes every prune refuse. With an index object go the
/// tombstones that were folded into it: whoever relied on them looks at every chunk instead.
pub fn explain_removal(repo: &Repository, name: &ObjectName) -> Result<(), Error> {
    match name {
        ObjectName::Snapshot(id) => condemn::put(repo, &naming(repo, vec![*id])?).map(drop),
        ObjectName::Index { sequence, .. } => publish_horizon(repo, *sequence),
        _ => Ok(()),
    }
}

fn publish_horizon(repo: &Repository, damaged: u64) -> Result<(), Error> {
    let live = repo.catalogue()?;
    let newest = live.live().iter().map(|head| head.sequence).max().unwrap_or(0);
    let horizon = (ObjectId(repo.env.entropy.bytes32()), naming(repo, Vec::new())?.encode()?);
    let sequence = newest.max(damaged).saturating_add(1);
    let draft = Draft {
        is_summary: false,
        sequence,
        runs: 1,
        covers: Vec::new(),
        tombstones: &[horizon],
        contents: &Contents::default(),
    };
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = index_object::seal(&repo.keys, id, &draft)?;
    let name = ObjectName::Index { sequence, id };
    object::put_proven(repo.env.backend.as_ref(), &name, &sealed)
}

/// A tombstone of these snapshots; of none it is a horizon.
pub fn naming(repo: &Repository, snapshots: Vec<SnapshotId>) -> Result<Tombstone, Error> {
    Ok(Tombstone {
        deleter: repo.writer_id()?,
        created: repo.env.clock.now(),
        packs: Vec::new(),
        index_objects: Vec::new(),
        snapshots,
    })
}
