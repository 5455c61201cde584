//! Key slots: each wraps the master key for one credential. Spec: `format-spec/25-keys.md`, "Key
//! slots".

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    clock::UnixNanos,
    crypto::{
        Error,
        secret::{Credential, Secret32},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        slot::{Derivation, LABEL_BYTES, SLOT_BODY_BYTES, Slot},
    },
    id::{ObjectId, RepositoryId},
    limits::{KDF_LANES_MAX, KDF_MEMORY_KIB, KDF_MEMORY_KIB_MAX, KDF_PASSES, KDF_PASSES_MAX},
};

const SLOT_KEY_CONTEXT: &str = "stillpoint 2026 v1 key slot";
const SLOT_CHECK_CONTEXT: &str = "stillpoint 2026 v1 slot check";
const SLOT_LABEL_CONTEXT: &str = "stillpoint 2026 v1 slot label";
const RECOVERY_CONTEXT: &str = "stillpoint 2026 v1 recovery key";
/// The key of a slot seals its master key only, the key of its label the label only.
const NONCE: [u8; 12] = [0; 12];

/// What a new slot is, apart from its credential and the key that it wraps.
#[derive(Debug, Clone)]
pub struct NewSlot<'a> {
    pub repository: RepositoryId,
    pub id: ObjectId,
    /// For people; what is beyond 16 bytes of UTF-8 is cut off.
    pub label: &'a str,
    pub created: UnixNanos,
    /// Random.
    pub salt: [u8; 32],
}

/// What an opened slot holds.
#[derive(Debug, Clone)]
pub struct OpenedSlot {
    pub master: Secret32,
    /// Nothing if the slot is damaged somewhere.
    pub label: Option<String>,
    pub created: UnixNanos,
}

/// What a slot says to whoever holds the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenSlot {
    pub derivation: Derivation,
    pub label: String,
    pub created: UnixNanos,
}

impl NewSlot<'_> {
    /// Wraps the master key for the credential and returns the whole object. Takes 0.2 s and 64 MiB
    /// for a passphrase.
    pub fn wrap(&self, credential: &Credential, master: &Secret32) -> Result<Vec<u8>, Error> {
        let derivation = match credential {
            Credential::Passphrase(_) => {
                Derivation::Passphrase { memory_kib: KDF_MEMORY_KIB, passes: KDF_PASSES, lanes: 1 }
            }
            Credential::KeyFile(_) => Derivation::KeyFile,
            Credential::Recovery(_) => Derivation::Recovery,
        };
        self.wrap_at_cost(credential, derivation, master)
    }

    fn wrap_at_cost(
        &self,
        credential: &Credential,
        derivation: Derivation,
        master: &Secret32,
    ) -> Result<Vec<u8>, Error> {
        let key = slot_key(credential, derivation, &self.id, &self.salt)?;
        let mut slot = Slot {
            derivation,
            created: self.created,
            salt: self.salt,
            key_check: *key_check(&key),
            sealed_label: [0; 32],
            sealed_master: [0; 48],
        };
        let header = header(self.repository, self.id);
        slot.sealed_master = seal(&key, &master_bound(&header, &slot), master.expose());
        let label_key = label_key(master, &self.id, &self.salt);
        let bound = label_bound(&header, &slot);
        slot.sealed_label = seal(&label_key, &bound, &label_bytes(self.label));
        Ok([&header.encode()[..], &slot.encode()].concat())
    }
}

/// Opens a slot. Takes 0.2 s and 64 MiB for a passphrase, whatever it answers.
///
/// # Errors
/// [`Error::WrongCredential`] if the credential is not the slot's own, [`Error::Excessive`] if
/// trying it would cost more than a reader gives, [`Error::Unauthentic`] if the credential fits and
/// the slot was changed.
pub fn unwrap(
    object: &[u8],
    repository: &RepositoryId,
    id: &ObjectId,
    credential: &Credential,
) -> Result<OpenedSlot, Error> {
    let (header, slot) = decode(object, repository, id)?;
    let key = slot_key(credential, slot.derivation, id, &slot.salt)?;
    // The cipher alone would open under more than one key; the check commits to this one.
    if !bool::from(key_check(&key).ct_eq(&slot.key_check)) {
        return Err(Error::WrongCredential);
    }
    let master = open::<32>(&key, &master_bound(&header, &slot), &slot.sealed_master)?;
    let master = Secret32::new(*master);
    let label = open_label(&header, &slot, &master).ok();
    Ok(OpenedSlot { master, label, created: slot.created })
}

/// Proves with the master key that a slot is whole and was made by somebody who held it. Its
/// credential is not needed.
///
/// # Errors
/// [`Error::Unauthentic`], [`Error::Format`]
pub fn prove(
    object: &[u8],
    repository: &RepositoryId,
    id: &ObjectId,
    master: &Secret32,
) -> Result<ProvenSlot, Error> {
    let (header, slot) = decode(object, repository, id)?;
    let label = open_label(&header, &slot, master)?;
    Ok(ProvenSlot { derivation: slot.derivation, label, created: slot.created })
}

/// Reads the layout of a slot and compares it with its name.
pub fn decode(
    object: &[u8],
    repository: &RepositoryId,
    id: &ObjectId,
) -> Result<(Header, Slot), Error> {
    let header = Header::decode(object)?;
    header.expect(Kind::Slot, repository, id.as_bytes())?;
    header.expect_length(object.len() as u64)?;
    Ok((header, Slot::decode(&object[HEADER_BYTES..])?))
}

fn open_label(header: &Header, slot: &Slot, master: &Secret32) -> Result<String, Error> {
    let key = label_key(master, &ObjectId(header.object), &slot.salt);
    let label = open::<LABEL_BYTES>(&key, &label_bound(header, slot), &slot.sealed_label)?;
    Ok(String::from_utf8_lossy(&label[..]).trim_end_matches('\0').to_owned())
}

fn label_key(master: &Secret32, id: &ObjectId, salt: &[u8; 32]) -> Secret32 {
    let mut hasher = blake3::Hasher::new_derive_key(SLOT_LABEL_CONTEXT);
    let _ = hasher.update(master.expose()).update(id.as_bytes()).update(salt);
    Secret32::new(*hasher.finalize().as_bytes())
}

/// What the seal of the master key is bound to.
fn master_bound(header: &Header, slot: &Slot) -> Vec<u8> {
    [&header.encode()[..], &slot.encode_clear()].concat()
}

/// What the seal of the label is bound to: all the rest of the slot.
fn label_bound(header: &Header, slot: &Slot) -> Vec<u8> {
    [&header.encode()[..], &slot.encode_clear(), &slot.sealed_master].concat()
}

fn slot_key(
    credential: &Credential,
    derivation: Derivation,
    id: &ObjectId,
    salt: &[u8; 32],
) -> Result<Secret32, Error> {
    let secret = match (credential, derivation) {
        (
            Credential::Passphrase(passphrase),
            Derivation::Passphrase { memory_kib, passes, lanes },
        ) => stretch(passphrase, salt, affordable(memory_kib, passes, lanes)?)?,
        (Credential::KeyFile(key), Derivation::KeyFile) => Zeroizing::new(*key),
        (Credential::Recovery(key), Derivation::Recovery) => {
            Zeroizing::new(blake3::derive_key(RECOVERY_CONTEXT, key))
        }
        _ => return Err(Error::WrongCredential),
    };
    let mut hasher = blake3::Hasher::new_derive_key(SLOT_KEY_CONTEXT);
    let _ = hasher.update(&secret[..]).update(id.as_bytes()).update(salt);
    Ok(Secret32::new(*hasher.finalize().as_bytes()))
}

/// Refuses costs beyond the limits before any is paid: a hostile slot must not eat the machine.
fn affordable(memory_kib: u32, passes: u32, lanes: u32) -> Result<Params, Error> {
    let excessive = |what: String| Err(Error::Excessive { what });
    if memory_kib > KDF_MEMORY_KIB_MAX {
        return excessive(format!(
            "{memory_kib} KiB of memory, at most {KDF_MEMORY_KIB_MAX} is given"
        ));
    }
    if passes > KDF_PASSES_MAX {
        return excessive(format!("{passes} passes, at most {KDF_PASSES_MAX} are given"));
    }
    if lanes > KDF_LANES_MAX {
        return excessive(format!("{lanes} lanes, at most {KDF_LANES_MAX} are given"));
    }
    Params::new(memory_kib, passes, lanes, Some(32))
        .or_else(|_| excessive("costs that Argon2 does not have".to_owned()))
}

fn stretch(
    passphrase: &[u8],
    salt: &[u8; 32],
    params: Params,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut secret = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut secret[..])
        .map_err(|error| Error::Excessive { what: error.to_string() })?;
    Ok(secret)
}

fn key_check(key: &Secret32) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(SLOT_CHECK_CONTEXT, key.expose()))
}

const fn header(repository: RepositoryId, id: ObjectId) -> Header {
    Header {
        kind: Kind::Slot,
        suite: Kind::Slot.suite(),
        epoch: 0,
        repository,
        object: id.0,
        body_bytes: SLOT_BODY_BYTES as u64,
    }
}

fn seal<const N: usize>(key: &Secret32, bound: &[u8], plain: &[u8]) -> [u8; N] {
    let mut sealed = plain.to_vec();
    sealed.reserve_exact(N - plain.len());
    ChaCha20Poly1305::new(key.expose().into())
        .encrypt_in_place(&NONCE.into(), bound, &mut sealed)
        .expect("the cipher takes a few bytes");
    sealed.try_into().expect("the tag makes up the difference")
}

fn open<const N: usize>(
    key: &Secret32,
    bound: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut plain = Zeroizing::new(sealed.to_vec());
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt_in_place(&NONCE.into(), bound, &mut *plain)
        .map_err(|_| Error::Unauthentic)?;
    let mut array = Zeroizing::new([0; N]);
    array.copy_from_slice(&plain);
    Ok(array)
}

/// Cuts a label to 16 bytes between characters and fills it with zeros.
fn label_bytes(label: &str) -> [u8; LABEL_BYTES] {
    let mut bytes = [0; LABEL_BYTES];
    let kept = &label.as_bytes()[..label.floor_char_boundary(LABEL_BYTES)];
    bytes[..kept.len()].copy_from_slice(kept);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Derivation = Derivation::Passphrase { memory_kib: 64, passes: 1, lanes: 1 };

    fn new_slot() -> NewSlot<'static> {
        NewSlot {
            repository: RepositoryId([0xaa; 32]),
            id: ObjectId([0xbb; 32]),
            label: "owner's laptop ü",
            created: 77,
            salt: [0x5a; 32],
        }
    }

    fn master() -> Secret32 {
        Secret32::new([0x3a; 32])
    }

    fn passphrase(text: &str) -> Credential {
        Credential::Passphrase(text.into())
    }

    fn opened(object: &[u8], credential: &Credential) -> Result<OpenedSlot, Error> {
        unwrap(object, &RepositoryId([0xaa; 32]), &ObjectId([0xbb; 32]), credential)
    }

    fn proven(object: &[u8]) -> Result<ProvenSlot, Error> {
        prove(object, &RepositoryId([0xaa; 32]), &ObjectId([0xbb; 32]), &master())
    }

    fn key_file_slot() -> Vec<u8> {
        new_slot().wrap(&Credential::KeyFile([9; 32]), &master()).unwrap()
    }

    #[test]
    fn each_credential_opens_its_own_slot_at_the_costs_of_the_spec() {
        let right = passphrase("correct horse");
        let object = new_slot().wrap(&right, &master()).unwrap();

        let slot = opened(&object, &right).unwrap();
        assert_eq!(slot.master.expose(), master().expose());
        assert_eq!((slot.label.as_deref(), slot.created), (Some("owner's laptop "), 77));
        assert_eq!(object[HEADER_BYTES + 4..][..12], [0, 0, 1, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
        for right in [Credential::KeyFile([9; 32]), Credential::Recovery([9; 16])] {
            let slot = opened(&new_slot().wrap(&right, &master()).unwrap(), &right).unwrap();
            assert_eq!(slot.master.expose(), master().expose());
        }
    }

    #[test]
    fn wrong_credentials_are_told_from_damage() {
        let object = new_slot().wrap_at_cost(&passphrase("right"), CHEAP, &master()).unwrap();
        let refused = |credential| opened(&object, &credential).map(|_| ());

        assert_eq!(refused(passphrase("right")), Ok(()));
        assert_eq!(refused(passphrase("wrong")), Err(Error::WrongCredential));
        assert_eq!(refused(passphrase("right\n")), Err(Error::WrongCredential));
        assert_eq!(refused(Credential::KeyFile([9; 32])), Err(Error::WrongCredential));
        let mut damaged = object.clone();
        damaged[HEADER_BYTES + 167] ^= 1;
        let outcome = opened(&damaged, &passphrase("right")).map(|_| ());
        assert_eq!(outcome, Err(Error::Unauthentic));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_shows() {
        let object = key_file_slot();
        let right = Credential::KeyFile([9; 32]);
        for bit in 0..object.len() * 8 {
            let mut flipped = object.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(proven(&flipped).is_err(), "bit {bit}");
            match opened(&flipped, &right) {
                // The label alone is damaged: that is no reason to shut anybody out.
                Ok(slot) => {
                    assert!((88..120).contains(&(bit / 8 - HEADER_BYTES)) && slot.label.is_none())
                }
                Err(_) => assert!(!(88..120).contains(&(bit / 8).wrapping_sub(HEADER_BYTES))),
            }
        }
        for length in 0..object.len() {
            assert!(opened(&object[..length], &right).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_master_key_proves_a_slot_and_reads_its_label() {
        let object = key_file_slot();

        let slot = proven(&object).unwrap();
        assert_eq!(
            (slot.derivation, slot.label.as_str()),
            (Derivation::KeyFile, "owner's laptop ")
        );
        let other = Secret32::new([0x3b; 32]);
        let refused = prove(&object, &RepositoryId([0xaa; 32]), &ObjectId([0xbb; 32]), &other);
        assert_eq!(refused, Err(Error::Unauthentic));
    }

    #[test]
    fn a_slot_is_bound_to_its_repository_and_its_id() {
        let right = Credential::KeyFile([9; 32]);
        let object = key_file_slot();
        let other = [1; 32];

        assert!(unwrap(&object, &RepositoryId(other), &ObjectId([0xbb; 32]), &right).is_err());
        assert!(unwrap(&object, &RepositoryId([0xaa; 32]), &ObjectId(other), &right).is_err());
        let mut renamed = object;
        renamed[48..80].copy_from_slice(&other);
        let outcome = unwrap(&renamed, &RepositoryId([0xaa; 32]), &ObjectId(other), &right);
        assert_eq!(outcome.map(|_| ()), Err(Error::WrongCredential));
    }

    #[test]
    fn costs_beyond_the_limits_are_refused_before_they_are_paid() {
        let at_cost = |memory_kib: u32, passes: u32, lanes: u32| {
            let mut object = new_slot().wrap_at_cost(&passphrase("x"), CHEAP, &master()).unwrap();
            for (at, cost) in [(4, memory_kib), (8, passes), (12, lanes)] {
                object[HEADER_BYTES + at..][..4].copy_from_slice(&cost.to_le_bytes());
            }
            opened(&object, &passphrase("x")).map(|_| ())
        };

        assert_eq!(at_cost(64, 16, 4), Err(Error::WrongCredential));
        for (memory_kib, passes, lanes) in [
            (131_073, 1, 1),
            (u32::MAX, 1, 1),
            (64, 17, 1),
            (64, 1, 5),
            (64, 0, 1),
            (0, 1, 1),
            (8, 1, 4),
        ] {
            let outcome = at_cost(memory_kib, passes, lanes);
            assert!(matches!(outcome, Err(Error::Excessive { .. })), "{outcome:?}");
        }
    }
}
