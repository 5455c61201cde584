//! Key slots: each wraps the master key for one credential. Spec: `format-spec/25-keys.md`, "Key slots".

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
const MASTER_NONCE: [u8; 12] = [0; 12];
const LABEL_NONCE: [u8; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

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
    pub label: String,
    pub created: UnixNanos,
}

impl NewSlot<'_> {
    /// Wraps the master key for the credential and returns the whole object. Takes 0.2 s and 64 MiB for a passphrase.
    pub fn wrap(&self, credential: &Credential, master: &Secret32) -> Result<Vec<u8>, Error> {
        let derivation = match credential {
            Credential::Passphrase(_) => {
                Derivation::Passphrase { memory_kib: KDF_MEMORY_KIB, passes: KDF_PASSES, lanes: 1 }
            }
            Credential::KeyFile(_) => Derivation::KeyFile,
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
        let header = header(self.repository, self.id).encode();
        let bound = [&header[..], &slot.encode_clear()].concat();
        slot.sealed_label = seal(&key, LABEL_NONCE, &bound, &label_bytes(self.label));
        slot.sealed_master = seal(&key, MASTER_NONCE, &bound, master.expose());
        Ok([&header[..], &slot.encode()].concat())
    }
}

/// Opens a slot. Takes 0.2 s and 64 MiB for a passphrase, whatever it answers.
///
/// # Errors
/// [`Error::WrongCredential`] if the credential is not the slot's own, [`Error::Excessive`] if trying it would cost
/// more than a reader gives, [`Error::Unauthentic`] if the credential fits and the slot was changed.
pub fn unwrap(
    object: &[u8],
    repository: &RepositoryId,
    id: &ObjectId,
    credential: &Credential,
) -> Result<OpenedSlot, Error> {
    let found = Header::decode(object)?;
    found.expect(Kind::Slot, repository, id.as_bytes())?;
    found.expect_length(object.len() as u64)?;
    let slot = Slot::decode(&object[HEADER_BYTES..])?;
    let key = slot_key(credential, slot.derivation, id, &slot.salt)?;
    // The cipher alone would open under more than one key; the check commits to this one.
    if !bool::from(key_check(&key).ct_eq(&slot.key_check)) {
        return Err(Error::WrongCredential);
    }
    let bound = [&found.encode()[..], &slot.encode_clear()].concat();
    let master = open::<32>(&key, MASTER_NONCE, &bound, &slot.sealed_master)?;
    let label = open::<LABEL_BYTES>(&key, LABEL_NONCE, &bound, &slot.sealed_label)?;
    Ok(OpenedSlot {
        master: Secret32::new(*master),
        label: String::from_utf8_lossy(&label[..]).trim_end_matches('\0').to_owned(),
        created: slot.created,
    })
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

fn seal<const N: usize>(key: &Secret32, nonce: [u8; 12], bound: &[u8], plain: &[u8]) -> [u8; N] {
    let mut sealed = plain.to_vec();
    sealed.reserve_exact(N - plain.len());
    ChaCha20Poly1305::new(key.expose().into())
        .encrypt_in_place(&nonce.into(), bound, &mut sealed)
        .expect("the cipher takes a few bytes");
    sealed.try_into().expect("the tag makes up the difference")
}

fn open<const N: usize>(
    key: &Secret32,
    nonce: [u8; 12],
    bound: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut plain = Zeroizing::new(sealed.to_vec());
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt_in_place(&nonce.into(), bound, &mut *plain)
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
