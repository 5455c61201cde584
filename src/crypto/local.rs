//! Secrets that stay on this machine, such as the permission to use an account, sealed at rest.
//!
//! A sealed secret is a magic, 32 random bytes, ciphertext and tag. The key is derived from the
//! caller's key, the purpose and the random bytes, and seals this once; so its nonce is zero. This
//! is local state: no reader of a repository meets it.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};

use crate::crypto::{Error, seal::TAG_BYTES, secret::Secret32};

const MAGIC: &[u8; 8] = b"stillsec";
const SALT_BYTES: usize = 32;
const CONTEXT: &str = "stillpoint 2026 v1 local secret";

/// Seals a secret under fresh random bytes.
pub fn seal(key: &Secret32, purpose: &str, salt: [u8; SALT_BYTES], mut plain: Vec<u8>) -> Vec<u8> {
    let tag = cipher(key, purpose, &salt)
        .encrypt_inout_detached(&[0; 12].into(), MAGIC, plain.as_mut_slice().into())
        .expect("no secret comes near the cipher's limit of 256 GiB");
    [MAGIC, &salt[..], &plain, &tag].concat()
}

/// Opens a sealed secret.
///
/// # Errors
/// [`Error::Unauthentic`]
pub fn open(key: &Secret32, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let sealed = sealed.strip_prefix(MAGIC).ok_or(Error::Unauthentic)?;
    let (salt, sealed) = sealed.split_first_chunk::<SALT_BYTES>().ok_or(Error::Unauthentic)?;
    let (secret, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(Error::Unauthentic)?;
    let mut plain = secret.to_vec();
    cipher(key, purpose, salt)
        .decrypt_inout_detached(
            &[0; 12].into(),
            MAGIC,
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .map_err(|_| Error::Unauthentic)?;
    Ok(plain)
}

fn cipher(key: &Secret32, purpose: &str, salt: &[u8; SALT_BYTES]) -> ChaCha20Poly1305 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    let _ = hasher.update(key.expose()).update(salt).update(purpose.as_bytes());
    let key = Secret32::new(*hasher.finalize().as_bytes());
    ChaCha20Poly1305::new(key.expose().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_key_and_purpose_only() {
        let (key, other) = (Secret32::new([1; 32]), Secret32::new([2; 32]));

        let sealed = seal(&key, "a", [9; 32], b"token".to_vec());

        assert_eq!(open(&key, "a", &sealed).unwrap(), b"token");
        assert!(open(&other, "a", &sealed).is_err());
        assert!(open(&key, "b", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&key, "a", &damaged).is_err(), "byte {at}");
            assert!(open(&key, "a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
