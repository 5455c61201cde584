//! Computing a pack again from its parity and the other packs of its group.

use reed_solomon_simd::ReedSolomonDecoder;

use crate::{
    backend::{Backend, ObjectName, memory::MemoryBackend},
    format::parity::Shard,
    id::PackId,
    repo::{
        Error, Repository, pack_check,
        parity::object::{ParityObject, code_error},
    },
};

/// Returns the whole pack, proven from its bytes; nothing if more is lost than can be computed.
pub fn rebuild(
    repo: &Repository,
    object: &ParityObject,
    pack: PackId,
) -> Result<Option<Vec<u8>>, Error> {
    let place = object.table.packs.iter().position(|(member, _)| *member == pack);
    let Some(place) = place else { return Ok(None) };
    let bytes = object.table.packs[place].1;
    let shard_bytes = object.table.shard_bytes as usize;
    let mut rebuilt = vec![0; object.table.shards_of(bytes) as usize * shard_bytes];
    for stripe in 0..object.table.recovery.len() {
        let Some(shards) = stripe_of_pack(repo, object, stripe, place)? else { return Ok(None) };
        for (shard, content) in shards {
            let start = shard.number as usize * shard_bytes;
            rebuilt[start..start + shard_bytes].copy_from_slice(&content);
        }
    }
    rebuilt.truncate(bytes as usize);
    // The parity may be that of a pack that was damaged already.
    let scratch = MemoryBackend::new();
    scratch.put_new(&ObjectName::Pack(pack), &[&rebuilt])?;
    let proven = pack_check::verify(&scratch, &repo.keys, pack, bytes);
    Ok(proven.is_ok().then_some(rebuilt))
}

type Shards = Vec<(Shard, Vec<u8>)>;

/// The shards of one pack in a stripe, those that are lost computed from the others.
fn stripe_of_pack(
    repo: &Repository,
    object: &ParityObject,
    stripe: usize,
    place: usize,
) -> Result<Option<Shards>, Error> {
    let backend = repo.env.backend.as_ref();
    let shards = object.table.stripe(stripe);
    let wanted = || shards.iter().enumerate().filter(|(_, shard)| shard.pack == place);
    let mut whole = Vec::new();
    for (_, shard) in wanted() {
        let Some(content) = object.pack_shard(backend, *shard) else { break };
        whole.push((*shard, content));
    }
    if whole.len() == wanted().count() {
        return Ok(Some(whole));
    }
    drop(whole);
    let count = object.table.recovery[stripe] as usize;
    let shard_bytes = object.table.shard_bytes as usize;
    let mut decoder =
        ReedSolomonDecoder::new(shards.len(), count, shard_bytes).map_err(code_error)?;
    let mut known = vec![None; shards.len()];
    let mut missing = 0;
    for (at, shard) in shards.iter().enumerate() {
        let Some(content) = object.pack_shard(backend, *shard) else {
            missing += 1;
            continue;
        };
        decoder.add_original_shard(at, &content).map_err(code_error)?;
        known[at] = (shard.pack == place).then_some(content);
    }
    let first = object.table.first_recovery(stripe);
    let mut left = missing;
    for number in (0..count).take_while(|_| missing > 0) {
        let Some(content) = object.recovery_shard(backend, first + number) else { continue };
        decoder.add_recovery_shard(number, &content).map_err(code_error)?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    if left > 0 {
        return Ok(None);
    }
    let restored = decoder.decode().map_err(code_error)?;
    let mut found = Vec::new();
    for (at, shard) in wanted() {
        let content =
            known[at].take().or_else(|| restored.restored_original(at).map(<[u8]>::to_vec));
        let hash = object.table.hashes[shard.hash];
        let Some(content) = content.filter(|content| object.table.hash(content) == hash) else {
            return Ok(None);
        };
        found.push((*shard, content));
    }
    Ok(Some(found))
}
