//! Sealing: one key for each object, one nonce for each place in it. Spec:
//! `format-spec/20-envelope.md`.
//!
//! Everything happens in place. A nonce cannot repeat as long as an object id is drawn for exactly
//! one content and every place of the object is sealed once; [`Role`] keeps places of different use
//! apart.

use std::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};

use crate::{
    crypto::{Error, keys::Keys, secret::Secret32},
    format::envelope::{HEADER_BYTES, Kind},
};

/// What sealing adds to a plaintext.
pub const TAG_BYTES: usize = 16;

const OBJECT_KEY_CONTEXT: &str = "stillpoint 2026 v1 object key";

/// What a sealed part of an object is used for; half of its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Role {
    /// Body of a single object.
    Body = 0,
    /// Blob of a pack, by its number.
    Blob = 1,
    /// Table of contents of a pack.
    Table = 2,
    /// Padding of a pack.
    Padding = 3,
    /// Trailer of a pack.
    Trailer = 4,
    /// Frame of an index object, by its number.
    Frame = 5,
    /// Last frame of an index object, by its number.
    LastFrame = 6,
    /// Table of a parity object, by the number of its copy.
    ParityTable = 7,
}

/// The key of one object.
#[derive(Clone)]
pub struct ObjectKey(ChaCha20Poly1305);

impl ObjectKey {
    /// Derives the key of an object from an epoch key, or of a key ring from the master key.
    pub fn derive(base: &Secret32, kind: Kind, object: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(OBJECT_KEY_CONTEXT);
        let _ = hasher.update(base.expose()).update(&[kind as u8]).update(object);
        let key = Secret32::new(*hasher.finalize().as_bytes());
        Self(ChaCha20Poly1305::new(key.expose().into()))
    }

    /// Derives the key of an object from the key of an epoch.
    ///
    /// # Errors
    /// [`Error::UnknownEpoch`]
    pub fn for_epoch(
        keys: &Keys,
        epoch: u32,
        kind: Kind,
        object: &[u8; 32],
    ) -> Result<Self, Error> {
        keys.epoch_key(epoch).map(|base| Self::derive(&base, kind, object))
    }

    /// Seals a plaintext; with 16 spare bytes of capacity nothing is copied.
    pub fn seal(
        &self,
        number: u64,
        role: Role,
        header: &[u8; HEADER_BYTES],
        mut plain: Vec<u8>,
    ) -> Vec<u8> {
        let tag = self.seal_in_place(number, role, header, &mut plain);
        plain.extend_from_slice(&tag);
        plain
    }

    /// Seals the bytes where they are and returns the tag that must follow them.
    pub fn seal_in_place(
        &self,
        number: u64,
        role: Role,
        header: &[u8; HEADER_BYTES],
        plain: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        self.0
            .encrypt_inout_detached(&nonce(number, role).into(), header, plain.into())
            .expect("no plaintext of ours comes near the cipher's limit of 256 GiB")
            .into()
    }

    /// Opens a seal and returns the plaintext, in the same allocation.
    ///
    /// # Errors
    /// [`Error::Unauthentic`]
    pub fn open(
        &self,
        number: u64,
        role: Role,
        header: &[u8; HEADER_BYTES],
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let plain_bytes = self.open_in_place(number, role, header, &mut sealed)?.len();
        sealed.truncate(plain_bytes);
        Ok(sealed)
    }

    /// Opens a seal where it is and returns the plaintext. After an error the bytes are as they
    /// were.
    ///
    /// # Errors
    /// [`Error::Unauthentic`]
    pub fn open_in_place<'a>(
        &self,
        number: u64,
        role: Role,
        header: &[u8; HEADER_BYTES],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Error> {
        let (plain, tag) = sealed.split_last_chunk_mut().ok_or(Error::Unauthentic)?;
        let tag: Tag = (*tag).into();
        self.0
            .decrypt_inout_detached(&nonce(number, role).into(), header, (&mut *plain).into(), &tag)
            .map_err(|_| Error::Unauthentic)?;
        Ok(plain)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey")
    }
}

fn nonce(number: u64, role: Role) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[8..].copy_from_slice(&(role as u32).to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const HEADER: [u8; HEADER_BYTES] = [0x88; HEADER_BYTES];

    fn key() -> ObjectKey {
        ObjectKey::derive(&Secret32::new([1; 32]), Kind::Pack, &[2; 32])
    }

    #[test]
    fn what_was_sealed_opens_in_the_same_allocation() {
        let mut plain = Vec::with_capacity(5 + TAG_BYTES);
        plain.extend_from_slice(b"hello");
        let allocation = plain.as_ptr();

        let sealed = key().seal(3, Role::Blob, &HEADER, plain);
        assert_eq!((sealed.len(), sealed.as_ptr()), (21, allocation));
        let opened = key().open(3, Role::Blob, &HEADER, sealed).unwrap();
        assert_eq!((&opened[..], opened.as_ptr()), (&b"hello"[..], allocation));
    }

    #[test]
    fn the_nonce_is_number_then_role() {
        assert_eq!(nonce(0x0102, Role::LastFrame), [2, 1, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]);
    }

    #[test]
    fn nothing_opens_in_another_place() {
        let sealed = key().seal(3, Role::Blob, &HEADER, b"hello".to_vec());
        let opened =
            |key: ObjectKey, number, role, header| key.open(number, role, header, sealed.clone());
        let mut other_header = HEADER;
        other_header[87] ^= 1;
        let other_kind = ObjectKey::derive(&Secret32::new([1; 32]), Kind::Segment, &[2; 32]);
        let other_id = ObjectKey::derive(&Secret32::new([1; 32]), Kind::Pack, &[3; 32]);
        let other_base = ObjectKey::derive(&Secret32::new([2; 32]), Kind::Pack, &[2; 32]);

        assert!(opened(key(), 3, Role::Blob, &HEADER).is_ok());
        assert_eq!(opened(key(), 4, Role::Blob, &HEADER), Err(Error::Unauthentic));
        assert_eq!(opened(key(), 3, Role::Table, &HEADER), Err(Error::Unauthentic));
        assert_eq!(opened(key(), 3, Role::Blob, &other_header), Err(Error::Unauthentic));
        for key in [other_kind, other_id, other_base] {
            assert_eq!(opened(key, 3, Role::Blob, &HEADER), Err(Error::Unauthentic));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_shows() {
        let sealed = key().seal(0, Role::Table, &HEADER, b"hello".to_vec());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key().open(0, Role::Table, &HEADER, flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            let cut = sealed[..length].to_vec();
            assert!(key().open(0, Role::Table, &HEADER, cut).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_seal_that_does_not_open_is_left_as_it_was() {
        let sealed = key().seal(0, Role::Table, &HEADER, b"hello".to_vec());
        let mut tried = sealed.clone();

        assert!(key().open_in_place(1, Role::Table, &HEADER, &mut tried).is_err());
        assert_eq!(tried, sealed);
    }

    #[test]
    fn a_key_prints_its_name_only() {
        assert_eq!(format!("{:?}", key()), "ObjectKey");
    }

    proptest! {
        #[test]
        fn every_plaintext_survives(plain in vec(any::<u8>(), 0..300), number: u64) {
            let sealed = key().seal(number, Role::Frame, &HEADER, plain.clone());
            prop_assert_eq!(key().open(number, Role::Frame, &HEADER, sealed), Ok(plain));
        }
    }
}
