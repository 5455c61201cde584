//! How much of the packs only some snapshots reach.

use std::collections::HashSet;

use crate::{
    format::{record::Record, table::Table},
    id::{ChunkId, PackId},
    repo::{Error, Repository, catalogue::Catalogue, closure::Closure, pack_table},
};

/// Returns the stored bytes that the snapshots reach that go, and none that stays.
///
/// For people to decide by: chunks that share a blob count by their share of it, and what cannot be
/// read is not counted. Costs a walk over the page maps and folders of all these records, where
/// what they share is walked once.
pub fn freed_bytes<'a>(
    repo: &Repository,
    stay: impl Iterator<Item = &'a Record>,
    go: impl Iterator<Item = &'a Record>,
) -> Result<u64, Error> {
    let (catalogue, fetch) = (repo.catalogue()?, repo.fetcher()?);
    let mut closure = Closure::once(&*fetch);
    // A part of the id tells enough: it only counts, and takes a third of the room.
    let mut alive: HashSet<u64> = HashSet::new();
    for part in stay.flat_map(|record| &record.parts) {
        let _ = closure.part(part, &mut |_, id| {
            let _ = alive.insert(beginning(id));
        });
    }
    let mut dead: HashSet<ChunkId> = HashSet::new();
    for part in go.flat_map(|record| &record.parts) {
        let _ = closure.part(part, &mut |_, id| {
            if !alive.contains(&beginning(id)) {
                let _ = dead.insert(*id);
            }
        });
    }
    let mut packs: HashSet<PackId> = HashSet::new();
    for id in &dead {
        packs.extend(catalogue.locate(id)?.map(|location| location.pack));
    }
    packs.into_iter().map(|pack| dead_bytes(repo, &catalogue, pack, &dead)).sum()
}

/// Stored bytes of these chunks in one pack.
fn dead_bytes(
    repo: &Repository,
    catalogue: &Catalogue,
    pack: PackId,
    dead: &HashSet<ChunkId>,
) -> Result<u64, Error> {
    let Some(bytes) = catalogue.packs().get(&pack) else { return Ok(0) };
    let read = pack_table::read(repo.env.backend.as_ref(), &repo.keys, pack, *bytes);
    let Ok((_, table)) = read else { return Ok(0) };
    let of_blobs = Table::parse(&table)?.blobs().map(|blob| {
        let (mut all_bytes, mut dead_bytes) = (0_u64, 0_u64);
        for chunk in blob.chunks() {
            all_bytes += u64::from(chunk.bytes);
            if dead.contains(&chunk.id) {
                dead_bytes += u64::from(chunk.bytes);
            }
        }
        // Lengths of a blob are at most 4 MiB each: the product fits.
        u64::from(blob.stored_bytes) * dead_bytes / all_bytes.max(1)
    });
    Ok(of_blobs.sum())
}

fn beginning(id: &ChunkId) -> u64 {
    let [first, ..] = id.as_bytes().as_chunks().0 else { unreachable!("an id has 32 bytes") };
    u64::from_le_bytes(*first)
}
