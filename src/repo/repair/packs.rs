//! A damaged pack: what still opens is stored anew, then the pack is set aside.
//!
//! This takes a pack away, so it keeps the deletion protocol: a tombstone first, then a second look
//! whether everything that opens has a copy that nobody has condemned. A run that relied on the
//! pack meanwhile sees the tombstone before it commits, and captures again what is lost.
//!
//! A pack of which something cannot be read, as on a dying disk, stays: what does open is stored
//! anew, and tomorrow, or on another disk, the rest may open too.

use std::{collections::HashMap, sync::Arc};

use crate::{
    backend::ObjectName,
    chunk::Store,
    crypto::object::seal_object,
    format::{
        envelope::Kind,
        table::{Blob, Table},
        tombstone::Tombstone,
    },
    id::{ChunkId, ObjectId, PackId, WriterId},
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        object,
        pack_check::{Opened, open_blob},
        pack_table::PackKey,
        repair::{Outcome, index, set_aside},
        with_causes,
        writer::Lane,
    },
};

/// What opens of some packs, all of it stored elsewhere.
#[derive(Default)]
struct Saved {
    chunks: Vec<ChunkId>,
    /// Packs that hold something that cannot be read now, with the reason.
    out_of_reach: HashMap<PackId, Error>,
}

/// Stores anew what opens of the packs, condemns those that hold nothing else, and sets these
/// aside.
pub fn salvage(repo: &Repository, packs: &[PackId], outcome: &mut Outcome) -> Result<(), Error> {
    let saved = store_anew(repo, packs, outcome)?;
    outcome.packs_indexed += index::publish_unnamed_packs(repo)?;
    // From here on sources are read again rather than relied on, whatever happens to us.
    distrust_older_snapshots(repo, packs)?;
    let (stay, go): (Vec<_>, Vec<_>) =
        packs.iter().copied().partition(|pack| saved.out_of_reach.contains_key(pack));
    let left = stay
        .iter()
        .map(|pack| (ObjectName::Pack(*pack).to_string(), with_causes(&saved.out_of_reach[pack])));
    outcome.left.extend(left);
    condemn(repo, &go, &saved.chunks)?;
    for pack in &go {
        set_aside(repo, &ObjectName::Pack(*pack), outcome)?;
    }
    repo.forget_catalogue();
    Ok(())
}

/// Stores every chunk that opens and has no copy to rely on elsewhere; durable on return.
fn store_anew(repo: &Repository, packs: &[PackId], outcome: &mut Outcome) -> Result<Saved, Error> {
    let writer = repo.writer()?;
    let catalogue = writer.catalogue().clone();
    packs.iter().for_each(|pack| catalogue.distrust(*pack));
    let mut lane = writer.lane();
    let mut saved = Saved::default();
    let mut copied = Ok(());
    for pack in packs {
        copied = copied.and_then(|()| copy_blobs(repo, *pack, &mut lane, &mut saved));
    }
    lane.finish()?;
    copied?;
    writer.flush()?;
    outcome.chunks_saved += writer.progress().chunks_new;
    Ok(saved)
}

fn copy_blobs(
    repo: &Repository,
    pack: PackId,
    lane: &mut Lane,
    saved: &mut Saved,
) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let catalogue = repo.catalogue()?;
    let size = backend.size(&ObjectName::Pack(pack)).map_err(Error::from);
    let found = size.and_then(|bytes| {
        let table = index::table_of(repo, &catalogue, (pack, bytes))?;
        Ok(table.map(|(entry, table)| (bytes, entry, table)))
    });
    let (bytes, entry, table) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(error) => {
            saved.note(pack, error);
            return Ok(());
        }
    };
    let key = PackKey::new(&repo.keys, pack, entry.epoch)?;
    let opened = Opened { backend, keys: &repo.keys, pack, bytes, key };
    for blob in Table::parse(&table)?.blobs() {
        match open_blob(&opened, &blob) {
            Ok(plain) => {
                put_chunks(&blob, &plain, lane)?;
                saved.chunks.extend(blob.chunks().map(|chunk| chunk.id));
            }
            Err(error) => saved.note(pack, error),
        }
    }
    Ok(())
}

impl Saved {
    /// What is damaged is lost; what is only out of reach keeps its pack where it is.
    fn note(&mut self, pack: PackId, error: Error) {
        if !error.is_damage() {
            let _ = self.out_of_reach.entry(pack).or_insert(error);
        }
    }
}

/// Stores the chunks of a blob that have no copy to rely on.
pub fn put_chunks(blob: &Blob<'_>, plain: &[u8], lane: &mut Lane) -> Result<(), Error> {
    for chunk in blob.chunks() {
        let start = chunk.start as usize;
        let _ = lane.put(&plain[start..start + chunk.bytes as usize])?;
    }
    Ok(())
}

/// Has every later run of this machine read the sources of older snapshots again.
fn distrust_older_snapshots(repo: &Repository, packs: &[PackId]) -> Result<(), Error> {
    let mut state = repo.writer_state()?;
    state.damaged_packs.extend(packs.iter().map(ToString::to_string));
    state.loss_noticed = Some(repo.env.clock.now());
    repo.state.set_writer(&repo.env, &state)
}

/// Publishes a tombstone for those packs that have none, and proves that nothing that opens is lost
/// by it.
fn condemn(repo: &Repository, packs: &[PackId], chunks: &[ChunkId]) -> Result<(), Error> {
    let before = fresh_catalogue(repo)?;
    prove_copied(&before, chunks)?;
    let uncondemned = packs.iter().filter(|pack| !before.condemned().contains(pack));
    let uncondemned: Vec<_> = uncondemned.copied().collect();
    if uncondemned.is_empty() {
        return Ok(());
    }
    let own = put_tombstone(repo, uncondemned)?;
    let after = fresh_catalogue(repo)?;
    prove_copied(&after, chunks).inspect_err(|_| {
        // Another deleter condemned a copy: one of us gives way. If this fails the tombstone
        // stays, which harms nothing: the packs are there and readable.
        let _ = repo.env.backend.delete(&own);
    })
}

/// Packs that are distrusted are so in the state of this machine, and in every catalogue of it.
fn fresh_catalogue(repo: &Repository) -> Result<Arc<Catalogue>, Error> {
    repo.forget_catalogue();
    repo.catalogue()
}

fn prove_copied(catalogue: &Catalogue, chunks: &[ChunkId]) -> Result<(), Error> {
    for id in chunks {
        if catalogue.locate(id)?.is_none() {
            let what = "another process is taking packs away; try again later".to_owned();
            return Err(Error::Busy { what });
        }
    }
    Ok(())
}

/// The deleter is nobody: no prune may take the packs for those it condemned itself.
fn put_tombstone(repo: &Repository, packs: Vec<PackId>) -> Result<ObjectName, Error> {
    let entropy = &repo.env.entropy;
    let id = ObjectId(entropy.bytes32());
    let tombstone = Tombstone {
        deleter: WriterId(entropy.bytes32()),
        created: repo.env.clock.now(),
        packs,
        index_objects: Vec::new(),
        snapshots: Vec::new(),
    };
    let sealed = seal_object(&repo.keys, Kind::Tombstone, &id.0, &tombstone.encode()?);
    let name = ObjectName::Tombstone(id);
    object::put_proven(repo.env.backend.as_ref(), &name, &sealed)?;
    Ok(name)
}
