//! Keys and values of the index on disk: one key for each chunk, pack and applied object.
//!
//! Packs go by ordinals inside the index, so that a copy of a chunk takes 24 bytes. An ordinal is
//! never used twice: what still points to the ordinal of a forgotten pack points nowhere.

use super::Error;
use crate::{
    id::{ChunkId, ObjectId, PackId},
    limits::PACK_BYTES_MAX,
    location::{Location, PackEntry},
};

/// Layout of what follows. Another number means: drop the index.
const LAYOUT: u32 = 1;

/// First byte of a key, for what it names.
pub(super) const APPLIED: u8 = b'a';
pub(super) const CHUNK: u8 = b'c';
pub(super) const PACK: u8 = b'p';
pub(super) const STATE_KEY: [u8; 1] = *b"s";

pub(super) type IdKey = [u8; 33];
pub(super) type PackKey = [u8; 5];

/// The key of a chunk, an object or anything else with an id.
pub(super) fn id_key(first: u8, id: &[u8; 32]) -> IdKey {
    let mut key = [first; 33];
    key[1..].copy_from_slice(id);
    key
}

pub(super) fn pack_key(ordinal: u32) -> PackKey {
    let mut key = [PACK; 5];
    key[1..].copy_from_slice(&ordinal.to_be_bytes());
    key
}

pub(super) fn chunk_of_key(key: &[u8]) -> Result<ChunkId, Error> {
    id_of_key(key).map(ChunkId)
}

pub(super) fn object_of_key(key: &[u8]) -> Result<ObjectId, Error> {
    id_of_key(key).map(ObjectId)
}

pub(super) fn ordinal_of_key(key: &[u8]) -> Result<u32, Error> {
    match key {
        [_, ordinal @ ..] => ordinal.try_into().map(u32::from_be_bytes).map_err(|_| strange("key")),
        [] => Err(strange("key")),
    }
}

fn id_of_key(key: &[u8]) -> Result<[u8; 32], Error> {
    key.get(1..).and_then(|id| id.try_into().ok()).ok_or_else(|| strange("key"))
}

pub(super) fn strange(what: &str) -> Error {
    Error::Damaged { why: format!("a {what} has an impossible form") }
}

/// One copy of a chunk, its pack by ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub ordinal: u32,
    blob: u32,
    blob_offset: u32,
    blob_bytes: u32,
    start: u32,
    chunk_bytes: u32,
}

pub(super) const PLACE_BYTES: usize = 24;
const _: () = assert!(PACK_BYTES_MAX <= u32::MAX as u64);

impl Place {
    pub fn new(ordinal: u32, location: &Location) -> Self {
        let blob_offset = u32::try_from(location.blob_offset);
        Self {
            ordinal,
            blob: location.blob,
            blob_offset: blob_offset.expect("a valid table describes a pack within the limit"),
            blob_bytes: location.blob_bytes,
            start: location.start,
            chunk_bytes: location.chunk_bytes,
        }
    }

    pub fn location(&self, pack: &PackEntry) -> Location {
        Location {
            pack: pack.pack,
            epoch: pack.epoch,
            blob: self.blob,
            blob_offset: u64::from(self.blob_offset),
            blob_bytes: self.blob_bytes,
            start: self.start,
            chunk_bytes: self.chunk_bytes,
        }
    }

    pub fn encode(&self) -> [u8; PLACE_BYTES] {
        let fields = [
            self.ordinal,
            self.blob,
            self.blob_offset,
            self.blob_bytes,
            self.start,
            self.chunk_bytes,
        ];
        let mut bytes = [0; PLACE_BYTES];
        for (into, field) in bytes.as_chunks_mut().0.iter_mut().zip(fields) {
            *into = field.to_le_bytes();
        }
        bytes
    }

    fn decode(bytes: &[u8; PLACE_BYTES]) -> Self {
        let field = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            ordinal: field(0),
            blob: field(4),
            blob_offset: field(8),
            blob_bytes: field(12),
            start: field(16),
            chunk_bytes: field(20),
        }
    }
}

/// Walks the copies in a chunk's value.
pub(super) fn places(value: &[u8]) -> Result<impl Iterator<Item = Place>, Error> {
    match value.as_chunks::<PLACE_BYTES>() {
        (places, []) => Ok(places.iter().map(Place::decode)),
        _ => Err(strange("chunk's value")),
    }
}

const PACK_ENTRY_BYTES: usize = 44;

pub(super) fn encode_pack(entry: &PackEntry) -> [u8; PACK_ENTRY_BYTES] {
    let mut bytes = [0; PACK_ENTRY_BYTES];
    bytes[..32].copy_from_slice(entry.pack.as_bytes());
    bytes[32..40].copy_from_slice(&entry.bytes.to_le_bytes());
    bytes[40..].copy_from_slice(&entry.epoch.to_le_bytes());
    bytes
}

pub(super) fn decode_pack(value: &[u8]) -> Result<PackEntry, Error> {
    let value: &[u8; PACK_ENTRY_BYTES] = value.try_into().map_err(|_| strange("pack's value"))?;
    let (id, rest) = value.split_first_chunk().expect("44 bytes hold 32");
    let (bytes, rest) = rest.split_first_chunk().expect("12 bytes hold 8");
    let (epoch, _) = rest.split_first_chunk().expect("4 bytes hold 4");
    Ok(PackEntry {
        pack: PackId(*id),
        bytes: u64::from_le_bytes(*bytes),
        epoch: u32::from_le_bytes(*epoch),
    })
}

/// What the index says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    /// The ordinal that the next pack gets.
    pub next_ordinal: u32,
    /// Packs forgotten while copies of chunks still point to their ordinals.
    pub unswept: u32,
}

impl State {
    pub fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&LAYOUT.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.next_ordinal.to_le_bytes());
        bytes[8..].copy_from_slice(&self.unswept.to_le_bytes());
        bytes
    }

    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let (fields, []) = value.as_chunks::<4>() else { return Err(strange("state")) };
        match fields.iter().map(|field| u32::from_le_bytes(*field)).collect::<Vec<_>>()[..] {
            [LAYOUT, next_ordinal, unswept] => Ok(Self { next_ordinal, unswept }),
            _ => Err(Error::Damaged { why: "it has another layout".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_packs_and_state_survive_their_bytes() {
        let pack = PackEntry { pack: PackId([7; 32]), bytes: PACK_BYTES_MAX, epoch: 3 };
        let location = Location {
            pack: pack.pack,
            epoch: 3,
            blob: 1,
            blob_offset: PACK_BYTES_MAX,
            blob_bytes: 2,
            start: 4,
            chunk_bytes: 5,
        };
        let place = Place::new(9, &location);
        let state = State { next_ordinal: 10, unswept: 11 };

        assert_eq!(places(&place.encode()).unwrap().collect::<Vec<_>>(), [place]);
        assert_eq!(place.location(&pack), location);
        assert_eq!(decode_pack(&encode_pack(&pack)).unwrap(), pack);
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        assert_eq!(ordinal_of_key(&pack_key(0x0102_0304)).unwrap(), 0x0102_0304);
    }

    #[test]
    fn bytes_of_another_form_are_damage() {
        assert!(places(&[0; PLACE_BYTES + 1]).is_err());
        assert!(decode_pack(&[0; 43]).is_err());
        assert!(chunk_of_key(b"c").is_err());
        assert!(ordinal_of_key(&[]).is_err());
        for state in [&[][..], &[0; 11], &[0; 12], &[1; 16]] {
            assert!(State::decode(state).is_err());
        }
    }
}
