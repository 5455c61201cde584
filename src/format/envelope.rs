//! The header that every object begins with. Spec: `format-spec/20-envelope.md`, "Header".
//!
//! The header is the associated data of every seal in the object, so none can stand in for another.

use serde::Serialize;

use crate::{
    format::{Error, cursor::Cursor, show},
    id::RepositoryId,
};

/// Length of the header.
pub const HEADER_BYTES: usize = 88;

const MAGIC: [u8; 8] = *b"STILLPT\x01";
const VERSION: u16 = 1;
const OBJECT: &str = "object header";

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Descriptor = 1,
    Slot = 2,
    Ring = 3,
    Pack = 4,
    Segment = 5,
    Summary = 6,
    Pending = 7,
    Snapshot = 8,
    Tombstone = 9,
    Forgotten = 10,
    Pinned = 11,
    Parity = 12,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Descriptor,
        Self::Slot,
        Self::Ring,
        Self::Pack,
        Self::Segment,
        Self::Summary,
        Self::Pending,
        Self::Snapshot,
        Self::Tombstone,
        Self::Forgotten,
        Self::Pinned,
        Self::Parity,
    ];

    /// Whether objects of this kind grow while they are written, so that their header cannot say
    /// how long they are.
    pub const fn is_streamed(self) -> bool {
        matches!(self, Self::Pack | Self::Segment | Self::Summary | Self::Parity)
    }

    /// Whether objects of this kind are sealed under an epoch key.
    pub const fn has_epoch(self) -> bool {
        !matches!(self, Self::Descriptor | Self::Slot | Self::Ring)
    }

    /// The suite of objects of this kind.
    pub const fn suite(self) -> Suite {
        match self {
            Self::Descriptor => Suite::Clear,
            _ => Suite::ChaCha20Poly1305,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// How an object is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// Nothing is sealed.
    Clear = 0,
    ChaCha20Poly1305 = 1,
}

/// The first bytes of an object, in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    pub kind: Kind,
    pub suite: Suite,
    /// Epoch of the sealing key; 0 where no epoch key is used.
    pub epoch: u32,
    pub repository: RepositoryId,
    /// Zero in a descriptor.
    #[serde(serialize_with = "show::hex")]
    pub object: [u8; 32],
    /// Length of all that follows; 0 in packs and index objects.
    pub body_bytes: u64,
}

impl Header {
    /// The header of a pack or index object: its length is not known when it is sealed.
    pub const fn streamed(
        kind: Kind,
        epoch: u32,
        repository: RepositoryId,
        object: [u8; 32],
    ) -> Self {
        Self { kind, suite: kind.suite(), epoch, repository, object, body_bytes: 0 }
    }

    /// Returns the header's bytes, which are also the associated data of all seals in the object.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[11] = self.suite as u8;
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.repository.0);
        bytes[48..80].copy_from_slice(&self.object);
        bytes[80..].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes
    }

    /// Reads the header at the beginning of an object.
    ///
    /// # Errors
    /// [`Error::Newer`] for a version, kind or suite that this program does not know.
    pub fn decode(object: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, object);
        if cursor.array()? != MAGIC {
            return Err(corrupt(0, "the magic number is not ours"));
        }
        let version = cursor.u16()?;
        if version != VERSION {
            return Err(match version {
                0 => corrupt(8, "format version 0"),
                _ => cursor.newer(format!("format version {version}")),
            });
        }
        let kind = cursor.u8()?;
        let kind = Kind::from_byte(kind).ok_or_else(|| cursor.newer(format!("kind {kind}")))?;
        let suite = match cursor.u8()? {
            0 => Suite::Clear,
            1 => Suite::ChaCha20Poly1305,
            unknown => return Err(cursor.newer(format!("suite {unknown}"))),
        };
        let header = Self {
            kind,
            suite,
            epoch: cursor.u32()?,
            repository: RepositoryId(cursor.array()?),
            object: cursor.array()?,
            body_bytes: cursor.u64()?,
        };
        header.check().map(|()| header)
    }

    /// Fails unless the header says that this is the object that was asked for.
    pub fn expect(
        &self,
        kind: Kind,
        repository: &RepositoryId,
        object: &[u8; 32],
    ) -> Result<(), Error> {
        if self.kind != kind {
            return Err(corrupt(10, "it is an object of another kind"));
        }
        if self.repository != *repository {
            return Err(corrupt(16, "it belongs to another repository"));
        }
        if self.object != *object {
            return Err(corrupt(48, "it is another object"));
        }
        Ok(())
    }

    /// Fails unless the object has the length that the header says.
    pub fn expect_length(&self, object_bytes: u64) -> Result<(), Error> {
        let expected = self.body_bytes.checked_add(HEADER_BYTES as u64);
        if !self.kind.is_streamed() && expected != Some(object_bytes) {
            return Err(corrupt(80, "the object has another length"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.suite != self.kind.suite() {
            return Err(corrupt(11, "objects of this kind have another suite"));
        }
        if self.kind.has_epoch() != (self.epoch > 0) {
            return Err(corrupt(12, "epoch and kind do not go together"));
        }
        if self.kind == Kind::Descriptor && self.object != [0; 32] {
            return Err(corrupt(48, "a descriptor has no id"));
        }
        if self.kind.is_streamed() != (self.body_bytes == 0) {
            return Err(corrupt(80, "length and kind do not go together"));
        }
        Ok(())
    }
}

const fn corrupt(at: u64, why: &'static str) -> Error {
    Error::Corrupt { object: OBJECT, at, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, every_truncation_fails, hex};

    fn pack_header() -> Header {
        Header {
            kind: Kind::Pack,
            suite: Suite::ChaCha20Poly1305,
            epoch: 0x0102,
            repository: RepositoryId([0xaa; 32]),
            object: [0xbb; 32],
            body_bytes: 0,
        }
    }

    #[test]
    fn the_header_has_the_bytes_of_the_spec() {
        let header = Header { kind: Kind::Snapshot, body_bytes: 0x1122, ..pack_header() };
        let expected = format!(
            "5354494c4c505401{}{}{}{}{}{}{}",
            "0100",
            "08",
            "01",
            "02010000",
            "aa".repeat(32),
            "bb".repeat(32),
            "2211000000000000"
        );

        assert_eq!(hex(&header.encode()), expected);
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        every_truncation_fails(&header.encode(), Header::decode);
    }

    #[test]
    fn unknown_versions_kinds_and_suites_are_refused_by_name() {
        let newer = |at: usize, byte: u8| {
            let mut bytes = pack_header().encode();
            bytes[at] = byte;
            match Header::decode(&bytes) {
                Err(Error::Newer { what, .. }) => what,
                other => panic!("{other:?}"),
            }
        };

        assert_eq!(newer(8, 2), "format version 2");
        assert_eq!(newer(10, 13), "kind 13");
        assert_eq!(newer(11, 2), "suite 2");
    }

    #[test]
    fn fields_that_the_kind_rules_out_are_corrupt() {
        let decoded = |header: Header| Header::decode(&header.encode());

        let suite = Suite::Clear;
        assert!(breaks(decoded(Header { suite, ..pack_header() }), "another suite"));
        assert!(breaks(decoded(Header { epoch: 0, ..pack_header() }), "epoch and kind"));
        assert!(breaks(decoded(Header { body_bytes: 1, ..pack_header() }), "length and kind"));
        let ring = Header { kind: Kind::Ring, body_bytes: 9, ..pack_header() };
        assert!(breaks(decoded(ring), "epoch and kind"));
    }

    #[test]
    fn another_object_is_not_the_one_that_was_asked_for() {
        let header = pack_header();
        let (repository, object) = (header.repository, header.object);

        assert_eq!(header.expect(Kind::Pack, &repository, &object), Ok(()));
        assert!(breaks(header.expect(Kind::Snapshot, &repository, &object), "another kind"));
        let other = RepositoryId([1; 32]);
        assert!(breaks(header.expect(Kind::Pack, &other, &object), "another repository"));
        assert!(breaks(header.expect(Kind::Pack, &repository, &[1; 32]), "another object"));
    }

    #[test]
    fn a_cut_or_grown_object_differs_from_its_length() {
        let header = Header { kind: Kind::Pending, body_bytes: 12, ..pack_header() };

        assert_eq!(header.expect_length(100), Ok(()));
        assert!(header.expect_length(99).is_err());
        assert!(header.expect_length(101).is_err());
        let endless = Header { body_bytes: u64::MAX, ..header };
        assert!(endless.expect_length(87).is_err());
    }
}
