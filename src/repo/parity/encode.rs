//! Making parity of packs that are durable.

use reed_solomon_simd::ReedSolomonEncoder;

use crate::{
    backend::ObjectName,
    format::parity::ParityTable,
    id::{ObjectId, PackId},
    limits::{MIB, PARITY_SHARD_BYTES_MAX},
    repo::{
        Error, Repository,
        parity::object::{code_error, read_shard, seal_ends},
    },
};

/// Bytes of packs in one stripe, nearly.
const STRIPE_BYTES: u64 = 32 * MIB as u64;
const SHARD_BYTES_MIN: u64 = 512;
/// Shards that a group has at least, if it is not tiny.
const SHARDS_WANTED: u64 = 256;

/// Writes parity of so many percent for these packs; durable on return.
pub fn protect(repo: &Repository, percent: u8, packs: &[(PackId, u64)]) -> Result<(), Error> {
    if packs.is_empty() {
        return Ok(());
    }
    let whole_group = usize::from(100_u8.div_ceil(percent));
    let groups = (packs.len() / whole_group).max(1);
    for group in packs.chunks(packs.len().div_ceil(groups)) {
        protect_group(repo, percent, group)?;
    }
    Ok(())
}

fn protect_group(repo: &Repository, percent: u8, packs: &[(PackId, u64)]) -> Result<(), Error> {
    let mut table = layout(percent, packs, repo.env.entropy.bytes32());
    table.hashes = vec![[0; 16]; table.shard_count() as usize];
    let mut recovery = Vec::new();
    let mut recovery_hashes = Vec::new();
    for stripe in 0..table.recovery.len() {
        let start = recovery.len();
        encode_stripe(repo, &mut table, stripe, &mut recovery)?;
        let shards = recovery[start..].chunks(table.shard_bytes as usize);
        recovery_hashes.extend(shards.map(|shard| table.hash(shard)));
    }
    table.hashes.extend(recovery_hashes);
    let id = ObjectId(repo.env.entropy.bytes32());
    let [begin, end] = seal_ends(&repo.keys, id, &table)?;
    let name = ObjectName::Parity(id);
    Ok(repo.env.backend.put_new(&name, &[&begin, &recovery, &end])?)
}

/// How a group is cut into shards and stripes, and how many shards each stripe recovers.
fn layout(percent: u8, packs: &[(PackId, u64)], hash_key: [u8; 32]) -> ParityTable {
    let bytes: u64 = packs.iter().map(|(_, bytes)| bytes).sum();
    let wanted = (bytes / SHARDS_WANTED).max(1).next_power_of_two();
    let shard_bytes = wanted.clamp(SHARD_BYTES_MIN, PARITY_SHARD_BYTES_MAX as u64) as u32;
    let mut table = ParityTable {
        shard_bytes,
        hash_key,
        packs: packs.to_vec(),
        recovery: Vec::new(),
        hashes: Vec::new(),
    };
    let stripes = (table.shard_count() * u64::from(shard_bytes)).div_ceil(STRIPE_BYTES);
    table.recovery = vec![0; stripes as usize];
    let covers_a_pack = packs.len() * usize::from(percent) >= 100;
    for stripe in 0..stripes as usize {
        let shards = table.stripe(stripe);
        let budget = (shards.len() * usize::from(percent)).div_ceil(100);
        let of_pack = |pack| shards.iter().filter(|shard| shard.pack == pack).count();
        let largest = (0..packs.len()).map(of_pack).max().unwrap_or(0);
        let count = if covers_a_pack { budget.max(largest) } else { budget };
        table.recovery[stripe] = u32::try_from(count).expect("fewer than a stripe has shards");
    }
    table
}

fn encode_stripe(
    repo: &Repository,
    table: &mut ParityTable,
    stripe: usize,
    recovery: &mut Vec<u8>,
) -> Result<(), Error> {
    let shards = table.stripe(stripe);
    let (count, shard_bytes) = (table.recovery[stripe] as usize, table.shard_bytes as usize);
    let mut encoder =
        ReedSolomonEncoder::new(shards.len(), count, shard_bytes).map_err(code_error)?;
    for shard in shards {
        if repo.env.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let bytes = read_shard(repo.env.backend.as_ref(), table, shard)?;
        table.hashes[shard.hash] = table.hash(&bytes);
        encoder.add_original_shard(&bytes).map_err(code_error)?;
    }
    let encoded = encoder.encode().map_err(code_error)?;
    encoded.recovery_iter().for_each(|shard| recovery.extend_from_slice(shard));
    Ok(())
}
