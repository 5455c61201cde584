//! The table of a parity object: which packs it covers, and what every shard must be. Spec:
//! `format-spec/75-parity.md`.

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint},
        show,
    },
    id::PackId,
    limits::{OBJECT_PLAIN_BYTES_MAX, PACK_BYTES_MAX, PARITY_PACKS_MAX, PARITY_SHARD_BYTES_MAX},
};

const OBJECT: &str = "parity table";
const VERSION: u8 = 1;
/// Length of the hash of a shard.
pub const HASH_BYTES: usize = 16;
/// The code works on 64 bytes at a time.
const SHARD_BYTES_MIN: u64 = 64;
/// Shards of one stripe, with those that recover.
const STRIPE_SHARDS_MAX: u64 = 32_768;

/// What a parity object says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParityTable {
    pub shard_bytes: u32,
    /// Keys the hashes of shards.
    #[serde(serialize_with = "show::hex")]
    pub hash_key: [u8; 32],
    /// The packs it covers, with their sizes.
    pub packs: Vec<(PackId, u64)>,
    /// Recovery shards of each stripe.
    pub recovery: Vec<u32>,
    /// Hashes of the shards of all packs, then of all recovery shards.
    #[serde(skip)]
    pub hashes: Vec<[u8; HASH_BYTES]>,
}

/// One shard of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Place of the pack in the table.
    pub pack: usize,
    /// Number of the shard in its pack.
    pub number: u64,
    /// Place of its hash in the table.
    pub hash: usize,
}

impl ParityTable {
    /// How many shards a pack of this size has; the last one is filled with zeros.
    pub const fn shards_of(&self, pack_bytes: u64) -> u64 {
        pack_bytes.div_ceil(self.shard_bytes as u64)
    }

    /// Shards of all packs.
    pub fn shard_count(&self) -> u64 {
        self.packs.iter().map(|(_, bytes)| self.shards_of(*bytes)).sum()
    }

    /// The shards of packs that form a stripe, in the order of the code.
    pub fn stripe(&self, stripe: usize) -> Vec<Shard> {
        let mut shards = Vec::new();
        let mut before = 0;
        for (pack, (_, bytes)) in self.packs.iter().enumerate() {
            let count = self.shards_of(*bytes);
            for number in (stripe as u64..count).step_by(self.recovery.len()) {
                shards.push(Shard { pack, number, hash: (before + number) as usize });
            }
            before += count;
        }
        shards
    }

    /// Place of the first recovery shard of a stripe among all recovery shards.
    pub fn first_recovery(&self, stripe: usize) -> usize {
        self.recovery[..stripe].iter().map(|count| *count as usize).sum()
    }

    /// All recovery shards.
    pub fn recovery_count(&self) -> usize {
        self.first_recovery(self.recovery.len())
    }

    /// Hash of a shard.
    pub fn hash(&self, shard: &[u8]) -> [u8; HASH_BYTES] {
        let hash = blake3::keyed_hash(&self.hash_key, shard);
        let (first, _) = hash.as_bytes().split_at(HASH_BYTES);
        first.try_into().expect("half of a hash of 32 bytes")
    }

    /// Returns the table's plaintext.
    pub fn encode(&self) -> Vec<u8> {
        let mut table = vec![VERSION];
        put_uvarint(&mut table, u64::from(self.shard_bytes));
        table.extend(self.hash_key);
        put_uvarint(&mut table, self.packs.len() as u64);
        for (pack, bytes) in &self.packs {
            table.extend(pack.0);
            put_uvarint(&mut table, *bytes);
        }
        put_uvarint(&mut table, self.recovery.len() as u64);
        self.recovery.iter().for_each(|count| put_uvarint(&mut table, u64::from(*count)));
        table.extend(self.hashes.iter().flatten());
        table
    }

    /// Reads a table's plaintext and checks every rule.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, plain);
        if plain.len() > OBJECT_PLAIN_BYTES_MAX {
            return Err(cursor.corrupt("it is too long"));
        }
        if cursor.u8()? != VERSION {
            return Err(cursor.newer("another version of parity"));
        }
        let shard_bytes = cursor.uvarint()?;
        let sizes = SHARD_BYTES_MIN..=PARITY_SHARD_BYTES_MAX as u64;
        if !sizes.contains(&shard_bytes) || !shard_bytes.is_power_of_two() {
            return Err(cursor.corrupt("shards have an impossible length"));
        }
        let mut table = Self {
            shard_bytes: shard_bytes as u32,
            hash_key: cursor.array()?,
            packs: Vec::new(),
            recovery: Vec::new(),
            hashes: Vec::new(),
        };
        for _ in 0..cursor.uvarint_to(PARITY_PACKS_MAX as u64, "it covers too many packs")? {
            let pack = PackId(cursor.array()?);
            table.packs.push((pack, cursor.uvarint_to(PACK_BYTES_MAX, "a pack is too long")?));
        }
        let stripes = cursor.uvarint()?;
        for _ in 0..cursor.claim(stripes, 1)? {
            let count = cursor.uvarint_to(STRIPE_SHARDS_MAX, "a stripe recovers too much")?;
            table.recovery.push(count as u32);
        }
        table.check_stripes(&cursor)?;
        let count = table.shard_count() + table.recovery_count() as u64;
        let count = cursor.claim(count, HASH_BYTES)?;
        let (hashes, _) = cursor.take(count * HASH_BYTES)?.as_chunks();
        table.hashes = hashes.to_vec();
        cursor.finish()?;
        Ok(table)
    }

    fn check_stripes(&self, cursor: &Cursor<'_>) -> Result<(), Error> {
        let stripes = self.recovery.len() as u64;
        let is_empty = self.packs.is_empty() || self.packs.iter().any(|(_, bytes)| *bytes == 0);
        if is_empty || stripes == 0 || stripes > self.shard_count() {
            return Err(cursor.corrupt("it covers nothing, or in too many stripes"));
        }
        // A stripe has at most one shard of each pack more than its share.
        let longest = self.shard_count() / stripes + self.packs.len() as u64;
        if longest > STRIPE_SHARDS_MAX {
            return Err(cursor.corrupt("a stripe is too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ParityTable {
        ParityTable {
            shard_bytes: 64,
            hash_key: [7; 32],
            packs: vec![(PackId([1; 32]), 129), (PackId([2; 32]), 64)],
            recovery: vec![1, 2],
            hashes: (0..7).map(|at| [at; HASH_BYTES]).collect(),
        }
    }

    #[test]
    fn a_table_comes_back_and_every_cut_is_refused() {
        let bytes = table().encode();

        assert_eq!(ParityTable::decode(&bytes), Ok(table()));
        for length in 0..bytes.len() {
            assert!(ParityTable::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(ParityTable::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    /// One pack of so many shards, in stripes that each recover one.
    fn striped(shards: u64, stripes: usize) -> ParityTable {
        let hashes = vec![[9; HASH_BYTES]; shards as usize + stripes];
        let packs = vec![(PackId([1; 32]), shards * 64)];
        ParityTable { packs, recovery: vec![1; stripes], hashes, ..table() }
    }

    #[test]
    fn stripes_are_neither_too_long_nor_more_than_there_are_shards() {
        let accepted = |table: ParityTable| ParityTable::decode(&table.encode()) == Ok(table);

        assert!(accepted(striped(300, 200)) && accepted(striped(300, 300)));
        assert!(!accepted(striped(300, 301)) && !accepted(striped(300, 0)));
        assert!(accepted(striped(STRIPE_SHARDS_MAX - 1, 1)));
        assert!(!accepted(striped(STRIPE_SHARDS_MAX, 1)));
        assert!(accepted(striped(STRIPE_SHARDS_MAX, 2)));
        let mut with_nothing_in_a_pack = striped(300, 2);
        with_nothing_in_a_pack.packs.push((PackId([2; 32]), 0));
        assert!(!accepted(with_nothing_in_a_pack));
    }

    #[test]
    fn every_shard_is_in_one_stripe() {
        let stripes = [0, 1].map(|stripe| table().stripe(stripe));

        let found = stripes.map(|shards| shards.iter().map(|shard| shard.hash).collect::<Vec<_>>());
        assert_eq!(found, [vec![0, 2, 3], vec![1]]);
    }
}
