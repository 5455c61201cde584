//! Identifiers: one distinct type for each thing that has a name. Spec: `format-spec/10-ids.md`.

use std::{fmt, str::FromStr};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Returns the id as it stands in the format.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…")
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id! {
    /// Names a repository and all its mirrors.
    RepositoryId
}
id! {
    /// Names a chunk: the keyed hash of its plaintext.
    ChunkId
}
id! {
    /// Names a pack.
    PackId
}
id! {
    /// Names a snapshot and its record.
    SnapshotId
}
id! {
    /// Names any other object: slot, ring, index object, tombstone, marker.
    ObjectId
}
id! {
    /// Names one state folder that writes to repositories.
    WriterId
}
id! {
    /// Names the content of one database image.
    ImageIdentity
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 64 hexadecimal digits")]
pub struct NotAnId;

fn parse_hex(text: &str) -> Result<[u8; 32], NotAnId> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(NotAnId);
    }
    let mut id = [0; 32];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(id)
}

fn nibble(digit: u8) -> Result<u8, NotAnId> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotAnId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = ChunkId(std::array::from_fn(|i| i as u8 * 7));

        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn upper_case_and_short_texts_are_no_ids() {
        assert_eq!("AB".repeat(32).parse::<PackId>(), Err(NotAnId));
        assert_eq!("ab".repeat(31).parse::<PackId>(), Err(NotAnId));
    }
}
