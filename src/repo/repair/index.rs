//! Index objects for packs that none names: new ones, and those whose index object was damaged.

use std::collections::HashSet;

use crate::{
    backend::ObjectName,
    id::{ObjectId, PackId},
    limits::MIB,
    location::PackEntry,
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        index_object::{self, Contents, Draft},
        known_tables, object, pack_table,
    },
};

/// Tables that one index object holds, so that making it fits in memory.
const CONTENTS_BYTES_MAX: usize = 16 * MIB;

/// The packs that can be used and that no index object names.
pub fn unnamed_packs(repo: &Repository) -> Result<Vec<PackId>, Error> {
    let catalogue = repo.catalogue()?;
    Ok(unnamed(repo, &catalogue)?.into_iter().map(|(pack, _)| pack).collect())
}

fn unnamed(repo: &Repository, catalogue: &Catalogue) -> Result<Vec<(PackId, u64)>, Error> {
    let mut named = HashSet::new();
    // Of what is out of reach it names the packs a second time, which harms nothing.
    let _ = known_tables::for_each(repo.env.backend.as_ref(), catalogue, &mut |entry, _| {
        let _ = named.insert(entry.pack);
        Ok(())
    })?;
    let damaged = catalogue.damaged();
    let is_usable = |pack: &PackId| {
        !named.contains(pack) && !damaged.contains(pack) && !catalogue.condemned().contains(pack)
    };
    let packs = catalogue.packs().iter().filter(|(pack, _)| is_usable(pack));
    let mut packs: Vec<_> = packs.map(|(pack, bytes)| (*pack, *bytes)).collect();
    packs.sort();
    Ok(packs)
}

/// Publishes the tables of those packs; durable on return. Returns how many there were.
///
/// # Errors
/// Also if the table of one of them is out of reach; then those of the others are published.
pub fn publish_unnamed_packs(repo: &Repository) -> Result<u64, Error> {
    repo.forget_catalogue();
    let catalogue = repo.catalogue()?;
    let mut sequence = catalogue.live().iter().map(|head| head.sequence).max().unwrap_or(0);
    let mut contents = Contents::default();
    let mut published = 0;
    let mut out_of_reach = None;
    for (pack, bytes) in unnamed(repo, &catalogue)? {
        let table = pack_table::read(repo.env.backend.as_ref(), &repo.keys, pack, bytes);
        match table {
            Ok(table) => contents.packs.push(table),
            // Damaged since, or gone: the next check says so.
            Err(error) if error.is_damage() => continue,
            Err(error) => {
                let _ = out_of_reach.get_or_insert(error);
                continue;
            }
        }
        published += 1;
        if contents.bytes() > CONTENTS_BYTES_MAX {
            sequence += 1;
            publish(repo, sequence, &std::mem::take(&mut contents))?;
        }
    }
    if !contents.packs.is_empty() {
        publish(repo, sequence + 1, &contents)?;
    }
    repo.forget_catalogue();
    out_of_reach.map_or(Ok(published), Err)
}

/// A summary that covers nothing: it stands beside all others until one of them takes it in.
fn publish(repo: &Repository, sequence: u64, contents: &Contents) -> Result<(), Error> {
    let draft = Draft {
        is_summary: true,
        sequence,
        runs: 0,
        covers: Vec::new(),
        tombstones: &[],
        contents,
    };
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = index_object::seal(&repo.keys, id, &draft)?;
    let name = ObjectName::Index { sequence, id };
    object::put_proven(repo.env.backend.as_ref(), &name, &sealed)
}

/// The table of a pack: its own, or the one that an index object repeats. `None` only if neither
/// exists any more.
pub fn table_of(
    repo: &Repository,
    catalogue: &Catalogue,
    (pack, bytes): (PackId, u64),
) -> Result<Option<(PackEntry, Vec<u8>)>, Error> {
    let backend = repo.env.backend.as_ref();
    let unread = match pack_table::read(backend, &repo.keys, pack, bytes) {
        Ok(table) => return Ok(Some(table)),
        Err(unread) => Some(unread).filter(|unread| !unread.is_damage()),
    };
    let mut found = None;
    let out_of_reach = known_tables::for_each(backend, catalogue, &mut |entry, table| {
        if entry.pack == pack && found.is_none() {
            found = Some((*entry, table.to_vec()));
        }
        Ok(())
    })?;
    if found.is_none() {
        unread.or(out_of_reach).map_or(Ok(()), Err)?;
        catalogue.expect_all_in_reach()?;
    }
    Ok(found)
}
