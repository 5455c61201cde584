//! The body of a key slot. Spec: `format-spec/25-keys.md`, "Key slots".
//!
//! Layout only: what is inside the sealed parts is the business of `crypto::slot`.

use serde::Serialize;

use crate::format::{Error, cursor::Cursor, show};

/// Length of the body.
pub const SLOT_BODY_BYTES: usize = 168;
/// Length of the part of the body that is associated data of its seals.
pub const SLOT_CLEAR_BYTES: usize = 88;
/// Length of a label before it is sealed.
pub const LABEL_BYTES: usize = 16;

const OBJECT: &str = "key slot";
const PASSPHRASE: u8 = 1;
const KEY_FILE: u8 = 2;
const RECOVERY: u8 = 3;

/// A key slot as it lies in its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    pub derivation: Derivation,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    #[serde(serialize_with = "show::hex")]
    pub salt: [u8; 32],
    #[serde(serialize_with = "show::hex")]
    pub key_check: [u8; 32],
    #[serde(serialize_with = "show::hex")]
    pub sealed_label: [u8; 32],
    #[serde(serialize_with = "show::hex")]
    pub sealed_master: [u8; 48],
}

/// How the slot's secret comes from the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Derivation {
    /// Argon2id over a passphrase.
    Passphrase { memory_kib: u32, passes: u32, lanes: u32 },
    /// The 32 bytes of a key file.
    KeyFile,
    /// The 16 bytes of a recovery sheet.
    Recovery,
}

impl Slot {
    /// Returns the body.
    pub fn encode(&self) -> [u8; SLOT_BODY_BYTES] {
        let mut body = [0; SLOT_BODY_BYTES];
        body[..SLOT_CLEAR_BYTES].copy_from_slice(&self.encode_clear());
        body[88..120].copy_from_slice(&self.sealed_label);
        body[120..].copy_from_slice(&self.sealed_master);
        body
    }

    /// Returns the part of the body that is associated data of its seals.
    pub fn encode_clear(&self) -> [u8; SLOT_CLEAR_BYTES] {
        let (kind, costs) = match self.derivation {
            Derivation::Passphrase { memory_kib, passes, lanes } => {
                (PASSPHRASE, [memory_kib, passes, lanes])
            }
            Derivation::KeyFile => (KEY_FILE, [0; 3]),
            Derivation::Recovery => (RECOVERY, [0; 3]),
        };
        let mut clear = [0; SLOT_CLEAR_BYTES];
        clear[0] = kind;
        clear[4..8].copy_from_slice(&costs[0].to_le_bytes());
        clear[8..12].copy_from_slice(&costs[1].to_le_bytes());
        clear[12..16].copy_from_slice(&costs[2].to_le_bytes());
        clear[16..24].copy_from_slice(&self.created.to_le_bytes());
        clear[24..56].copy_from_slice(&self.salt);
        clear[56..].copy_from_slice(&self.key_check);
        clear
    }

    /// Reads the body. Whether its costs are to be paid is for the caller to decide.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, body);
        let kind = cursor.u8()?;
        if cursor.array()? != [0; 3] {
            return Err(cursor.corrupt("reserved bytes are not zero"));
        }
        let costs = [cursor.u32()?, cursor.u32()?, cursor.u32()?];
        let derivation = match kind {
            PASSPHRASE => {
                let [memory_kib, passes, lanes] = costs;
                Derivation::Passphrase { memory_kib, passes, lanes }
            }
            KEY_FILE if costs == [0; 3] => Derivation::KeyFile,
            RECOVERY if costs == [0; 3] => Derivation::Recovery,
            KEY_FILE | RECOVERY => {
                return Err(cursor.corrupt("a key that is no passphrase has no costs"));
            }
            unknown => return Err(cursor.newer(format!("slot kind {unknown}"))),
        };
        let slot = Self {
            derivation,
            created: cursor.i64()?,
            salt: cursor.array()?,
            key_check: cursor.array()?,
            sealed_label: cursor.array()?,
            sealed_master: cursor.array()?,
        };
        cursor.finish().map(|()| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, every_truncation_fails, hex};

    fn slot() -> Slot {
        Slot {
            derivation: Derivation::Passphrase { memory_kib: 65_536, passes: 3, lanes: 1 },
            created: 0x0102,
            salt: [0x5a; 32],
            key_check: [0xcc; 32],
            sealed_label: [0x1a; 32],
            sealed_master: [0x3a; 48],
        }
    }

    #[test]
    fn a_slot_has_the_bytes_of_the_spec() {
        let [salt, check, label] = ["5a", "cc", "1a"].map(|byte| byte.repeat(32));
        let master = "3a".repeat(48);
        let numbers = "01000000000001000300000001000000".to_owned() + "0201000000000000";

        let body = slot().encode();
        assert_eq!(hex(&body), format!("{numbers}{salt}{check}{label}{master}"));
        assert_eq!(Slot::decode(&body), Ok(slot()));
        every_truncation_fails(&body, Slot::decode);
        assert!(breaks(Slot::decode(&[&body[..], &[0]].concat()), "follow the end"));
    }

    #[test]
    fn reserved_bytes_are_zero_and_only_passphrases_have_costs() {
        let key_file = Slot { derivation: Derivation::KeyFile, ..slot() };
        let with = |at: usize, byte: u8| {
            let mut body = key_file.encode();
            body[at] = byte;
            Slot::decode(&body)
        };

        assert_eq!(with(0, 2), Ok(key_file.clone()));
        assert!(breaks(with(1, 1), "reserved"));
        assert!(breaks(with(3, 1), "reserved"));
        assert!(breaks(with(4, 1), "no costs"));
        assert!(breaks(with(15, 1), "no costs"));
        let recovery = Slot { derivation: Derivation::Recovery, ..slot() };
        assert_eq!(with(0, 3), Ok(recovery));
        assert!(matches!(with(0, 4), Err(Error::Newer { .. })));
    }
}
