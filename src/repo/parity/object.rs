//! A parity object: its two tables, and the recovery shards between them.

use crate::{
    backend::{self, Backend, ObjectName},
    chunk::compress,
    crypto::{
        keys::Keys,
        seal::{ObjectKey, Role},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        parity::{ParityTable, Shard},
    },
    id::ObjectId,
    limits::OBJECT_PLAIN_BYTES_MAX,
    repo::{Error, Repository, check::Depth, object::OBJECT_BYTES_MAX},
};

const LENGTH_BYTES: u64 = 4;
const BEGIN: u64 = HEADER_BYTES as u64 + LENGTH_BYTES;

/// A parity object whose table was read.
pub struct ParityObject {
    pub id: ObjectId,
    pub table: ParityTable,
    /// Where the recovery shards begin.
    first_shard: u64,
}

impl ParityObject {
    /// Reads the object's table, or the second copy of it.
    pub fn read(repo: &Repository, id: ObjectId, bytes: u64) -> Result<Self, Error> {
        Self::read_copy(repo, id, bytes, 0).or_else(|_| Self::read_copy(repo, id, bytes, 1))
    }

    fn read_copy(repo: &Repository, id: ObjectId, bytes: u64, copy: u64) -> Result<Self, Error> {
        let (backend, name) = (repo.env.backend.as_ref(), ObjectName::Parity(id));
        let corrupt = |why: &str| Error::Corrupt { name: name.to_string(), why: why.to_owned() };
        let header = Header::decode(&backend.get_range(&name, 0..HEADER_BYTES as u64)?)?;
        header.expect(Kind::Parity, &repo.keys.repository, &id.0)?;
        let end = bytes.checked_sub(LENGTH_BYTES).ok_or_else(|| corrupt("is too short"))?;
        let length_at = if copy == 0 { HEADER_BYTES as u64 } else { end };
        let length = backend.get_range(&name, length_at..length_at + LENGTH_BYTES)?;
        let length = u32::from_le_bytes(length.try_into().expect("a range of 4 bytes"));
        let length = u64::from(length);
        if length > OBJECT_BYTES_MAX || BEGIN + 2 * length + LENGTH_BYTES > bytes {
            return Err(corrupt("its table is longer than the object"));
        }
        let start = if copy == 0 { BEGIN } else { end - length };
        let sealed = backend.get_range(&name, start..start + length)?;
        let key = ObjectKey::for_epoch(&repo.keys, header.epoch, Kind::Parity, &id.0)?;
        let frame = key.open(copy, Role::ParityTable, &header.encode(), sealed)?;
        let plain = compress::decode_frame(frame, OBJECT_PLAIN_BYTES_MAX)?;
        let table = ParityTable::decode(&plain)?;
        let shards = table.recovery_count() as u64 * u64::from(table.shard_bytes);
        if BEGIN + 2 * length + LENGTH_BYTES + shards != bytes {
            return Err(corrupt("has another size than its table says"));
        }
        Ok(Self { id, table, first_shard: BEGIN + length })
    }

    /// Reads one recovery shard, if it is what it must be.
    pub fn recovery_shard(&self, backend: &dyn Backend, number: usize) -> Option<Vec<u8>> {
        let shard_bytes = u64::from(self.table.shard_bytes);
        let start = self.first_shard + number as u64 * shard_bytes;
        let name = ObjectName::Parity(self.id);
        let shard = backend.get_range(&name, start..start + shard_bytes).ok()?;
        let hash = self.table.hashes.get(self.table.shard_count() as usize + number)?;
        (self.table.hash(&shard) == *hash).then_some(shard)
    }

    /// Reads one shard of a pack, if it is what it must be.
    pub fn pack_shard(&self, backend: &dyn Backend, shard: Shard) -> Option<Vec<u8>> {
        let bytes = read_shard(backend, &self.table, shard).ok()?;
        (self.table.hash(&bytes) == self.table.hashes[shard.hash]).then_some(bytes)
    }
}

/// Proves both tables of a parity object, and with data every recovery shard.
pub fn verify(repo: &Repository, id: ObjectId, bytes: u64, depth: Depth) -> Result<(), Error> {
    let name = ObjectName::Parity(id).to_string();
    let first = ParityObject::read_copy(repo, id, bytes, 0)?;
    let second = ParityObject::read_copy(repo, id, bytes, 1)?;
    if first.table != second.table {
        return Err(Error::Corrupt { name, why: "its two tables differ".to_owned() });
    }
    if depth == Depth::Data {
        let backend = repo.env.backend.as_ref();
        let is_bad = |number: &usize| first.recovery_shard(backend, *number).is_none();
        if let Some(number) = (0..first.table.recovery_count()).find(is_bad) {
            let why = format!("recovery shard {number} differs from its hash");
            return Err(Error::Corrupt { name, why });
        }
    }
    Ok(())
}

/// What stands before and after the recovery shards.
pub fn seal_ends(keys: &Keys, id: ObjectId, table: &ParityTable) -> Result<[Vec<u8>; 2], Error> {
    let epoch = keys.epoch_now();
    let header = Header::streamed(Kind::Parity, epoch, keys.repository, id.0).encode();
    let key = ObjectKey::for_epoch(keys, epoch, Kind::Parity, &id.0)?;
    let plain = table.encode();
    if plain.len() > OBJECT_PLAIN_BYTES_MAX {
        let name = ObjectName::Parity(id).to_string();
        return Err(Error::Corrupt { name, why: "its table fits no object".to_owned() });
    }
    let sealed = [0, 1]
        .map(|copy| key.seal(copy, Role::ParityTable, &header, compress::encode_frame(&plain)));
    let length = u32::try_from(sealed[0].len()).expect("a table is at most 4 MiB").to_le_bytes();
    let begin = [&header[..], &length, &sealed[0]].concat();
    Ok([begin, [&sealed[1][..], &length].concat()])
}

/// Reads a shard of a pack; what the last one lacks is zeros.
pub fn read_shard(
    backend: &dyn Backend,
    table: &ParityTable,
    shard: Shard,
) -> Result<Vec<u8>, backend::Error> {
    let (pack, bytes) = table.packs[shard.pack];
    let shard_bytes = u64::from(table.shard_bytes);
    let start = shard.number * shard_bytes;
    let end = (start + shard_bytes).min(bytes);
    let mut content = backend.get_range(&ObjectName::Pack(pack), start..end)?;
    content.resize(shard_bytes as usize, 0);
    Ok(content)
}

/// The code refuses only what a checked table does not say.
pub fn code_error(error: reed_solomon_simd::Error) -> Error {
    Error::Corrupt { name: "parity".to_owned(), why: error.to_string() }
}
