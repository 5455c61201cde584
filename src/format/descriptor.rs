//! The descriptor: what a repository is, before any key. Spec: `format-spec/25-keys.md`,
//! "Descriptor".

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::Cursor,
        envelope::{HEADER_BYTES, Header, Kind, Suite},
        fields::{FieldsReader, FieldsWriter},
    },
    id::RepositoryId,
    limits::OBJECT_PLAIN_BYTES_MAX,
};

const OBJECT: &str = "descriptor";
const HASH_BYTES: usize = 32;

/// What a repository is. Not sealed: that it is genuine is known once the key ring, which repeats
/// its hash, is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    pub repository: RepositoryId,
    /// As in the name.
    pub generation: u32,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    /// Features that a reader may ignore.
    pub optional_features: Vec<String>,
    /// Suite for new objects.
    pub suite: Suite,
}

impl Descriptor {
    /// Returns the whole object.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the features fit no object.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.generation);
        fields.put(2, &self.created);
        fields.put_unless_default(4, &self.optional_features);
        fields.put(5, &(self.suite as u8));
        let fields = fields.finish_object(OBJECT)?;
        let header = Header {
            kind: Kind::Descriptor,
            suite: Suite::Clear,
            epoch: 0,
            repository: self.repository,
            object: [0; 32],
            body_bytes: (fields.len() + HASH_BYTES) as u64,
        };
        let mut object = header.encode().to_vec();
        object.extend_from_slice(&fields);
        let hash = blake3::hash(&object);
        object.extend_from_slice(hash.as_bytes());
        Ok(object)
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// [`Error::Newer`] if the repository has a mandatory feature: this version knows none.
    pub fn decode(object: &[u8]) -> Result<Self, Error> {
        let header = Header::decode(object)?;
        header.expect(Kind::Descriptor, &header.repository, &[0; 32])?;
        header.expect_length(object.len() as u64)?;
        let mut cursor = Cursor::new(OBJECT, object);
        if object.len() > HEADER_BYTES + OBJECT_PLAIN_BYTES_MAX + HASH_BYTES {
            return Err(cursor.corrupt("it is too long"));
        }
        let _ = cursor.take(HEADER_BYTES)?;
        let Some(fields_bytes) = cursor.remaining().checked_sub(HASH_BYTES) else {
            return Err(cursor.corrupt("ends too early"));
        };
        let fields = cursor.nested(fields_bytes)?;
        let hashed = &object[..HEADER_BYTES + fields_bytes];
        if cursor.array()? != *blake3::hash(hashed).as_bytes() {
            return Err(cursor.corrupt("its hash differs"));
        }
        Self::read(header.repository, FieldsReader::new(fields))
    }

    fn read(repository: RepositoryId, mut fields: FieldsReader<'_>) -> Result<Self, Error> {
        let mut generation = 0;
        let mut created = 0;
        let mut optional_features = Vec::new();
        let mut suite = 0;
        while let Some(field) = fields.read()? {
            match field.tag {
                1 => generation = field.decode()?,
                2 => created = field.decode()?,
                3 => {
                    if let [feature, ..] = &field.decode::<Vec<String>>()?[..] {
                        let what = format!("feature {feature}");
                        return Err(Error::Newer { object: OBJECT, what });
                    }
                }
                4 => optional_features = field.decode()?,
                5 => suite = field.decode::<u8>()?,
                _ => field.skip_unknown()?,
            }
        }
        let suite = match suite {
            1 => Suite::ChaCha20Poly1305,
            unknown => {
                return Err(Error::Newer { object: OBJECT, what: format!("suite {unknown}") });
            }
        };
        Ok(Self { repository, generation, created, optional_features, suite })
    }
}

/// Returns the hash of a whole descriptor, which the key ring repeats.
pub fn descriptor_hash(object: &[u8]) -> [u8; 32] {
    *blake3::hash(object).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, every_truncation_fails};

    fn descriptor() -> Descriptor {
        Descriptor {
            repository: RepositoryId([0xaa; 32]),
            generation: 1,
            created: 1_763_600_000_000_000_000,
            optional_features: vec!["colour".to_owned()],
            suite: Suite::ChaCha20Poly1305,
        }
    }

    /// A descriptor with these fields, well formed otherwise.
    fn object_of(fields: &[u8]) -> Vec<u8> {
        let mut object = descriptor().encode().unwrap()[..HEADER_BYTES].to_vec();
        object[80..88].copy_from_slice(&(fields.len() as u64 + 32).to_le_bytes());
        object.extend_from_slice(fields);
        let hash = blake3::hash(&object);
        object.extend_from_slice(hash.as_bytes());
        object
    }

    #[test]
    fn a_descriptor_survives() {
        let object = descriptor().encode().unwrap();

        assert_eq!(Descriptor::decode(&object), Ok(descriptor()));
        every_truncation_fails(&object, Descriptor::decode);
        assert!(Descriptor::decode(&[&object[..], &[0]].concat()).is_err());
    }

    #[test]
    fn every_flipped_bit_shows() {
        let object = descriptor().encode().unwrap();
        for bit in 0..object.len() * 8 {
            let mut flipped = object.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Descriptor::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_mandatory_feature_is_refused_by_name() {
        let mut fields = FieldsWriter::default();
        fields.put(3, &vec!["time travel".to_owned()]);
        fields.put(5, &1u8);
        let newer = Error::Newer { object: OBJECT, what: "feature time travel".to_owned() };

        assert_eq!(Descriptor::decode(&object_of(&fields.finish())), Err(newer));
    }

    #[test]
    fn a_suite_that_is_unknown_or_absent_is_refused() {
        let mut fields = FieldsWriter::default();
        fields.put(5, &2u8);

        for fields in [fields.finish(), Vec::new()] {
            let refused = Descriptor::decode(&object_of(&fields));
            assert!(matches!(refused, Err(Error::Newer { .. })));
        }
    }

    #[test]
    fn a_body_without_room_for_its_hash_is_corrupt() {
        let mut object = object_of(&[])[..HEADER_BYTES + 31].to_vec();
        object[80..88].copy_from_slice(&31u64.to_le_bytes());

        assert!(breaks(Descriptor::decode(&object), "ends too early"));
    }
}
