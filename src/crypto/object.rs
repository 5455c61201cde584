//! Objects that are one sealed frame: rings, records, tombstones, markers. Spec:
//! `format-spec/20-envelope.md`, "Frame".

use crate::{
    crypto::{
        Error,
        keys::Keys,
        seal::{ObjectKey, Role, TAG_BYTES},
        secret::Secret32,
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        frame,
        ring::Ring,
    },
    id::RepositoryId,
    limits::OBJECT_PLAIN_BYTES_MAX,
};

/// Seals a plaintext as the object of this kind and id, under the newest epoch key, and returns the
/// whole object.
pub fn seal_object(keys: &Keys, kind: Kind, id: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let (epoch, base) = keys.newest_epoch();
    seal(&base, Place { kind, epoch, repository: keys.repository, id }, plain)
}

/// Opens the object of this kind and id and returns its plaintext.
///
/// # Errors
/// [`Error::Format`] if it is another object or breaks a rule, [`Error::Unauthentic`] if its seal
/// does not verify, [`Error::UnknownEpoch`] if the ring lacks its key.
pub fn open_object(
    keys: &Keys,
    kind: Kind,
    id: &[u8; 32],
    object: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let header = expect(&object, kind, &keys.repository, id)?;
    let key = ObjectKey::for_epoch(keys, header.epoch, kind, id)?;
    open(&key, &header, object)
}

/// Seals the body of one object as another kind of the same id and epoch, byte for byte as the
/// first writer of both did: no key meets its nonce with a second content.
///
/// # Errors
/// As [`open_object`].
pub fn reseal_object(
    keys: &Keys,
    (from, to): (Kind, Kind),
    id: &[u8; 32],
    mut object: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let header = expect(&object, from, &keys.repository, id)?;
    let body = object.split_off(HEADER_BYTES);
    let key = ObjectKey::for_epoch(keys, header.epoch, from, id)?;
    let framed = key.open(0, Role::Body, &header.encode(), body)?;
    let key = ObjectKey::for_epoch(keys, header.epoch, to, id)?;
    let header = Header { kind: to, ..header }.encode();
    let sealed = key.seal(0, Role::Body, &header, framed);
    Ok([&header[..], &sealed].concat())
}

/// Seals a key ring under the master key and returns the whole object.
pub fn seal_ring(
    master: &Secret32,
    repository: RepositoryId,
    id: &[u8; 32],
    ring: &Ring,
) -> Vec<u8> {
    seal(master, Place { kind: Kind::Ring, epoch: 0, repository, id }, &ring.encode())
}

/// Opens a key ring under the master key.
///
/// # Errors
/// As [`open_object`].
pub fn open_ring(
    master: &Secret32,
    repository: &RepositoryId,
    id: &[u8; 32],
    object: Vec<u8>,
) -> Result<Ring, Error> {
    let header = expect(&object, Kind::Ring, repository, id)?;
    let key = ObjectKey::derive(master, Kind::Ring, id);
    let plain = zeroize::Zeroizing::new(open(&key, &header, object)?);
    Ok(Ring::decode(&plain)?)
}

/// All of the header that does not depend on the content.
#[derive(Clone, Copy)]
struct Place<'a> {
    kind: Kind,
    epoch: u32,
    repository: RepositoryId,
    id: &'a [u8; 32],
}

fn seal(base: &Secret32, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
    let Place { kind, epoch, repository, id } = place;
    assert!(!kind.is_streamed() && plain.len() <= OBJECT_PLAIN_BYTES_MAX);
    let mut object = vec![0; HEADER_BYTES];
    frame::put_compressed(&mut object, plain);
    let body_bytes = (object.len() - HEADER_BYTES + TAG_BYTES) as u64;
    let header =
        Header { kind, suite: kind.suite(), epoch, repository, object: *id, body_bytes }.encode();
    object[..HEADER_BYTES].copy_from_slice(&header);
    let key = ObjectKey::derive(base, kind, id);
    let tag = key.seal_in_place(0, Role::Body, &header, &mut object[HEADER_BYTES..]);
    object.extend_from_slice(&tag);
    object
}

fn expect(
    object: &[u8],
    kind: Kind,
    repository: &RepositoryId,
    id: &[u8; 32],
) -> Result<Header, Error> {
    let header = Header::decode(object)?;
    header.expect(kind, repository, id)?;
    header.expect_length(object.len() as u64)?;
    Ok(header)
}

fn open(key: &ObjectKey, header: &Header, mut object: Vec<u8>) -> Result<Vec<u8>, Error> {
    let body = object.split_off(HEADER_BYTES);
    let framed = key.open(0, Role::Body, &header.encode(), body)?;
    Ok(frame::decode(framed, OBJECT_PLAIN_BYTES_MAX)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::tests::{keys, ring};

    const ID: [u8; 32] = [0x1d; 32];

    fn sealed() -> Vec<u8> {
        seal_object(&keys(), Kind::Snapshot, &ID, &[7; 500])
    }

    fn opened(object: Vec<u8>) -> Result<Vec<u8>, Error> {
        open_object(&keys(), Kind::Snapshot, &ID, object)
    }

    #[test]
    fn a_sealed_object_opens_under_its_own_name_only() {
        let keys = keys();
        let other_repository = Keys { repository: RepositoryId([9; 32]), ..keys.clone() };

        assert_eq!(opened(sealed()), Ok(vec![7; 500]));
        assert!(open_object(&keys, Kind::Pending, &ID, sealed()).is_err());
        assert!(open_object(&keys, Kind::Snapshot, &[0; 32], sealed()).is_err());
        assert!(open_object(&other_repository, Kind::Snapshot, &ID, sealed()).is_err());
    }

    #[test]
    fn an_object_whose_header_was_exchanged_does_not_open() {
        let pending = seal_object(&keys(), Kind::Pending, &ID, &[7; 500]);
        let forged = [&sealed()[..HEADER_BYTES], &pending[HEADER_BYTES..]].concat();

        assert_eq!(opened(forged), Err(Error::Unauthentic));
    }

    #[test]
    fn a_record_sealed_again_is_what_its_writer_wrote() {
        let pending = seal_object(&keys(), Kind::Pending, &ID, &[7; 500]);
        let kinds = (Kind::Pending, Kind::Snapshot);

        assert_eq!(reseal_object(&keys(), kinds, &ID, pending), Ok(sealed()));
        assert!(reseal_object(&keys(), kinds, &ID, sealed()).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_shows() {
        let object = sealed();
        for bit in 0..object.len() * 8 {
            let mut flipped = object.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(flipped).is_err(), "bit {bit}");
        }
        for length in 0..object.len() {
            assert!(opened(object[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert!(opened([&object[..], &[0]].concat()).is_err());
    }

    #[test]
    fn objects_of_older_epochs_open_and_those_of_unknown_ones_say_so() {
        let rotated = keys();
        rotated.add_epochs(&Ring { epochs: vec![(9, [9; 32])], ..ring() });
        let newer = seal_object(&rotated, Kind::Snapshot, &ID, b"x");

        assert_eq!(open_object(&rotated, Kind::Snapshot, &ID, sealed()), Ok(vec![7; 500]));
        assert_eq!(opened(newer), Err(Error::UnknownEpoch(9)));
    }

    #[test]
    fn a_ring_opens_under_its_master_key_only() {
        let repository = keys().repository;
        let master = Secret32::new([3; 32]);
        let object = seal_ring(&master, repository, &ID, &ring());

        assert_eq!(open_ring(&master, &repository, &ID, object.clone()), Ok(ring()));
        let other = Secret32::new([4; 32]);
        assert_eq!(open_ring(&other, &repository, &ID, object), Err(Error::Unauthentic));
    }
}
