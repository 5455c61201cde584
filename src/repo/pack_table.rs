//! Reading the table of contents of a pack from its end. Spec: `format-spec/30-pack.md`, "How to
//! read".

use crate::{
    backend::{Backend, ObjectName},
    crypto::{
        keys::Keys,
        seal::{ObjectKey, Role},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        table::{TRAILER_SEALED_BYTES, Table, Trailer},
    },
    id::PackId,
    location::PackEntry,
    repo::Error,
};

/// A pack whose header was checked, ready to open its parts.
pub struct PackKey {
    pub epoch: u32,
    pub header: [u8; HEADER_BYTES],
    key: ObjectKey,
}

impl PackKey {
    /// Checks the header of a pack.
    pub fn from_header(keys: &Keys, pack: PackId, header: &[u8]) -> Result<Self, Error> {
        let header = Header::decode(header)?;
        header.expect(Kind::Pack, &keys.repository, &pack.0)?;
        Self::new(keys, pack, header.epoch)
    }

    /// The key of a pack whose epoch is known from the index: its header follows from that.
    pub fn new(keys: &Keys, pack: PackId, epoch: u32) -> Result<Self, Error> {
        let header = Header::streamed(Kind::Pack, epoch, keys.repository, pack.0).encode();
        let key = ObjectKey::for_epoch(keys, epoch, Kind::Pack, &pack.0)?;
        Ok(Self { epoch, header, key })
    }

    /// Opens one sealed part.
    pub fn open(&self, number: u64, role: Role, sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(self.key.open(number, role, &self.header, sealed)?)
    }

    /// Opens one sealed part where it is.
    pub fn open_in_place<'a>(
        &self,
        number: u64,
        role: Role,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        Ok(self.key.open_in_place(number, role, &self.header, sealed)?)
    }
}

/// Reads header, trailer and table of a pack of this size, and checks them.
pub fn read(
    backend: &dyn Backend,
    keys: &Keys,
    pack: PackId,
    bytes: u64,
) -> Result<(PackEntry, Vec<u8>), Error> {
    let name = ObjectName::Pack(pack);
    let header = backend.get_range(&name, 0..HEADER_BYTES as u64)?;
    let key = PackKey::from_header(keys, pack, &header)?;
    let trailer_start = bytes.saturating_sub(TRAILER_SEALED_BYTES);
    let trailer = backend.get_range(&name, trailer_start..bytes)?;
    let trailer = Trailer::decode(&key.open(0, Role::Trailer, trailer)?, bytes)?;
    let table_end = trailer.table_offset + trailer.table_bytes;
    let sealed = backend.get_range(&name, trailer.table_offset..table_end)?;
    let table = key.open(0, Role::Table, sealed)?;
    if Table::parse(&table)?.blobs_end() != trailer.table_offset {
        let why = "its table does not begin where its last blob ends".to_owned();
        return Err(Error::Corrupt { name: name.to_string(), why });
    }
    Ok((PackEntry { pack, bytes, epoch: key.epoch }, table))
}
