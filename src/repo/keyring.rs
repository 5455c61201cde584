//! Descriptor, key slots and key ring: made at init, opened ever after. Spec:
//! `format-spec/25-keys.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    backend::{self, Backend, Folder, ObjectName, name::Copy},
    crypto::{
        self, keys,
        keys::Keys,
        object::{open_ring, seal_ring},
        secret::{Credential, Secret32},
        slot::{self, NewSlot},
    },
    format::{
        descriptor::{Descriptor, descriptor_hash},
        envelope::{HEADER_BYTES, Header, Kind, Suite},
        ring::Ring,
        slot::{Derivation, Slot},
    },
    id::{ObjectId, RepositoryId},
    repo::{
        Environment, Error,
        object::{self, FirstCopy, OBJECT_BYTES_MAX},
    },
};

/// The keys of a repository, and which objects they came from.
pub struct Opened {
    pub keys: Keys,
    /// Bytes of the descriptor and ring in force, to compare their copies with.
    descriptor: (u32, Vec<u8>),
    ring: RingBytes,
}

/// Generation, id and bytes of a key ring as it lies in its object.
type RingBytes = (u32, ObjectId, Vec<u8>);

/// Creates descriptor, ring and slots, in this order, each twice and read back.
pub fn create(env: &Environment, credentials: &[(Credential, String)]) -> Result<Opened, Error> {
    let backend = env.backend.as_ref();
    let place = backend.place();
    assert!(!credentials.is_empty(), "a repository needs at least one key slot");
    let listing = Keyring::list(backend)?;
    if listing.is_finished(backend) {
        return Err(Error::AlreadyThere { place });
    }
    // Remains of an init that was interrupted stay where they are; the new one goes beside them.
    let generation = listing.next_generation();
    let descriptor = Descriptor {
        repository: RepositoryId(env.entropy.bytes32()),
        generation,
        created: env.clock.now(),
        optional_features: Vec::new(),
        suite: Suite::ChaCha20Poly1305,
    };
    let descriptor_bytes = descriptor.encode()?;
    put_twice(backend, |copy| ObjectName::Descriptor { generation, copy }, &descriptor_bytes)?;

    let master = Secret32::new(env.entropy.bytes32());
    let mut ring = keys::first_ring(env.entropy.as_ref(), descriptor_hash(&descriptor_bytes));
    ring.generation = generation;
    let ring_id = ObjectId(env.entropy.bytes32());
    let ring_bytes = seal_ring(&master, descriptor.repository, &ring_id.0, &ring);
    put_twice(backend, |copy| ObjectName::Ring { generation, id: ring_id, copy }, &ring_bytes)?;

    for (credential, label) in credentials {
        let slot = NewSlot {
            repository: descriptor.repository,
            id: ObjectId(env.entropy.bytes32()),
            label,
            created: env.clock.now(),
            salt: env.entropy.bytes32(),
        };
        put_slot(backend, &slot, credential, &master)?;
    }
    Ok(Opened {
        keys: Keys::from_ring(descriptor.repository, &ring),
        descriptor: (generation, descriptor_bytes),
        ring: (generation, ring_id, ring_bytes),
    })
}

/// Writes both copies of a slot and proves that the credential opens what was written.
fn put_slot(
    backend: &dyn Backend,
    slot: &NewSlot<'_>,
    credential: &Credential,
    master: &Secret32,
) -> Result<(), Error> {
    let name = |copy| ObjectName::Slot { id: slot.id, copy };
    put_twice(backend, name, &slot.wrap(credential, master)?)?;
    let written = backend.get(&name(Copy::First), OBJECT_BYTES_MAX)?;
    let opened = slot::unwrap(&written, &slot.repository, &slot.id, credential)?;
    if opened.master.expose() != master.expose() {
        let why = "it opens to another key than was put in".to_owned();
        return Err(Error::Corrupt { name: name(Copy::First).to_string(), why });
    }
    Ok(())
}

fn put_twice(
    backend: &dyn Backend,
    name: impl Fn(Copy) -> ObjectName,
    bytes: &[u8],
) -> Result<(), Error> {
    Copy::BOTH.into_iter().try_for_each(|copy| object::put_proven(backend, &name(copy), bytes))
}

/// Opens the repository with one credential. Nothing is written.
pub fn open(backend: &dyn Backend, credential: &Credential) -> Result<Opened, Error> {
    let place = backend.place();
    let listing = Keyring::list(backend)?;
    if listing.descriptors.is_empty() && listing.slots.is_empty() {
        return Err(Error::NotFound { place });
    }
    let (generation, descriptor, descriptor_bytes) = listing.descriptor(backend)?;
    let master = listing.master(backend, credential, descriptor.repository)?;
    let (ring, ring_from) = listing.ring(backend, &master, descriptor.repository)?;
    if ring.descriptor_hash != descriptor_hash(&descriptor_bytes) {
        let name = ObjectName::Descriptor { generation, copy: Copy::First }.to_string();
        let why = "the key ring names another descriptor: it was replaced".to_owned();
        return Err(Error::Corrupt { name, why });
    }
    let keys = Keys::from_ring(descriptor.repository, &ring);
    Ok(Opened { keys, descriptor: (generation, descriptor_bytes), ring: ring_from })
}

/// Writes the second copies that are not there: an init that was interrupted leaves such.
///
/// Nothing that exists is touched, however damaged it is.
pub fn complete_copies(env: &Environment, opened: &Opened) -> Result<(), Error> {
    let backend = env.backend.as_ref();
    let mut names: BTreeSet<ObjectName> = BTreeSet::new();
    for folder in [Folder::Descriptor, Folder::Keys] {
        names.extend(object::names(backend, folder)?);
    }
    for name in &names {
        let Some(twin) = name.twin().filter(|twin| !names.contains(twin)) else { continue };
        let bytes = backend.get(name, OBJECT_BYTES_MAX)?;
        if opened.vouches_for(name, &bytes) {
            object::put_same(backend, &twin, &bytes)?;
        }
    }
    Ok(())
}

impl Opened {
    /// Whether this is an object in force, as far as can be known without a slot's credential.
    fn vouches_for(&self, name: &ObjectName, bytes: &[u8]) -> bool {
        match name {
            ObjectName::Descriptor { generation, .. } => {
                *generation == self.descriptor.0 && bytes == self.descriptor.1
            }
            ObjectName::Ring { id, .. } => *id == self.ring.1 && bytes == self.ring.2,
            ObjectName::Slot { id, .. } => decode_slot(bytes, *id)
                .is_ok_and(|(header, _)| header.repository == self.keys.repository),
            _ => false,
        }
    }
}

/// Returns the copies of descriptor, ring and slots that are gone or damaged, with the reason.
pub fn lost_copies(env: &Environment, opened: &Opened) -> Result<Vec<(ObjectName, String)>, Error> {
    let backend = env.backend.as_ref();
    let mut lost = Vec::new();
    for copy in Copy::BOTH {
        let name = ObjectName::Descriptor { generation: opened.descriptor.0, copy };
        lost.extend(differs(backend, name, &opened.descriptor.1));
        let (generation, id, bytes) = &opened.ring;
        lost.extend(differs(
            backend,
            ObjectName::Ring { generation: *generation, id: *id, copy },
            bytes,
        ));
    }
    for id in Keyring::list(backend)?.slots.into_keys() {
        lost.extend(lost_slot_copies(backend, id));
    }
    Ok(lost)
}

fn differs(backend: &dyn Backend, name: ObjectName, bytes: &[u8]) -> Option<(ObjectName, String)> {
    match backend.get(&name, OBJECT_BYTES_MAX) {
        Ok(read) if read == bytes => None,
        Ok(_) => Some((name, "differs from the copy that opened".to_owned())),
        Err(error) => Some((name, error.to_string())),
    }
}

/// Without its credential a slot cannot be opened; its copies are compared with each other and with
/// the rules.
fn lost_slot_copies(backend: &dyn Backend, id: ObjectId) -> Vec<(ObjectName, String)> {
    let read = Copy::BOTH.map(|copy| {
        let name = ObjectName::Slot { id, copy };
        let bytes = backend.get(&name, OBJECT_BYTES_MAX).map_err(|error| error.to_string());
        let valid = bytes.and_then(|bytes| {
            decode_slot(&bytes, id).map(|_| bytes).map_err(|error| error.to_string())
        });
        (name, valid)
    });
    match read {
        [(_, Ok(first)), (_, Ok(second))] if first == second => Vec::new(),
        [(_, Ok(_)), (name, Ok(_))] => vec![(name, "its two copies differ".to_owned())],
        copies => copies.into_iter().filter_map(|(name, read)| Some((name, read.err()?))).collect(),
    }
}

fn decode_slot(bytes: &[u8], id: ObjectId) -> Result<(Header, Slot), Error> {
    let header = Header::decode(bytes)?;
    header.expect(Kind::Slot, &header.repository, &id.0)?;
    header.expect_length(bytes.len() as u64)?;
    Ok((header, Slot::decode(&bytes[HEADER_BYTES..])?))
}

/// The names of a repository's descriptors, rings and slots.
struct Keyring {
    /// Ascending by generation.
    descriptors: Vec<u32>,
    rings: Vec<(u32, ObjectId)>,
    slots: BTreeMap<ObjectId, ()>,
}

impl Keyring {
    fn list(backend: &dyn Backend) -> Result<Self, Error> {
        let mut listing =
            Self { descriptors: Vec::new(), rings: Vec::new(), slots: BTreeMap::new() };
        let mut names = object::names(backend, Folder::Descriptor)?;
        names.extend(object::names(backend, Folder::Keys)?);
        for name in names {
            match name {
                ObjectName::Descriptor { generation, .. } => listing.descriptors.push(generation),
                ObjectName::Ring { generation, id, .. } => listing.rings.push((generation, id)),
                ObjectName::Slot { id, .. } => drop(listing.slots.insert(id, ())),
                _ => {}
            }
        }
        listing.descriptors.sort_unstable();
        listing.descriptors.dedup();
        listing.rings.sort_unstable();
        listing.rings.dedup();
        Ok(listing)
    }

    /// A repository is finished once its newest descriptor has a slot.
    fn is_finished(&self, backend: &dyn Backend) -> bool {
        let Ok((_, descriptor, _)) = self.descriptor(backend) else {
            // Damaged, not unfinished: init must not build over it.
            return !self.slots.is_empty();
        };
        self.slots.keys().any(|id| {
            Copy::BOTH.into_iter().any(|copy| {
                let bytes = backend.get(&ObjectName::Slot { id: *id, copy }, OBJECT_BYTES_MAX);
                let repository = bytes.map_err(Error::from).and_then(|b| object::repository_of(&b));
                // A slot that cannot be read may well be a good one.
                repository.map_or(true, |repository| repository == descriptor.repository)
            })
        })
    }

    fn next_generation(&self) -> u32 {
        let descriptor = self.descriptors.last().copied().unwrap_or(0);
        let ring = self.rings.last().map_or(0, |ring| ring.0);
        descriptor.max(ring) + 1
    }

    fn descriptor(&self, backend: &dyn Backend) -> Result<(u32, Descriptor, Vec<u8>), Error> {
        let mut first_error = None;
        for generation in self.descriptors.iter().rev().copied() {
            let name = |copy| ObjectName::Descriptor { generation, copy };
            match object::first_copy(backend, name, |bytes| Ok(Descriptor::decode(bytes)?)) {
                Ok(FirstCopy { value, bytes, .. }) => return Ok((generation, value, bytes)),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        let missing = || Error::Corrupt {
            name: "descriptor".to_owned(),
            why: "there are key slots, but no descriptor".to_owned(),
        };
        Err(first_error.unwrap_or_else(missing))
    }

    fn master(
        &self,
        backend: &dyn Backend,
        credential: &Credential,
        repository: RepositoryId,
    ) -> Result<Secret32, Error> {
        let mut damaged = None;
        for id in self.slots.keys() {
            let name = |copy| ObjectName::Slot { id: *id, copy };
            let slot = object::first_copy(backend, name, |bytes| decode_slot(bytes, *id));
            match slot {
                Ok(found) if found.value.0.repository != repository => {}
                Ok(found) if !fits(credential, &found.value.1) => {}
                Ok(found) => match slot::unwrap(&found.bytes, &repository, id, credential) {
                    Err(crypto::Error::WrongCredential) => {}
                    other => return Ok(other?.master),
                },
                Err(error) => drop(damaged.get_or_insert(error)),
            }
        }
        match damaged {
            Some(
                error @ Error::Backend(
                    backend::Error::Io { .. } | backend::Error::Unreachable { .. },
                ),
            ) => Err(error),
            _ => Err(Error::WrongCredential { place: backend.place() }),
        }
    }

    fn ring(
        &self,
        backend: &dyn Backend,
        master: &Secret32,
        repository: RepositoryId,
    ) -> Result<(Ring, RingBytes), Error> {
        let mut first_error = None;
        for (generation, id) in self.rings.iter().rev().copied() {
            let name = |copy| ObjectName::Ring { generation, id, copy };
            let open = |bytes: &[u8]| Ok(open_ring(master, &repository, &id.0, bytes.to_vec())?);
            match object::first_copy(backend, name, open) {
                Ok(FirstCopy { value, bytes, .. }) => return Ok((value, (generation, id, bytes))),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        let missing =
            || Error::Corrupt { name: "key ring".to_owned(), why: "there is none".to_owned() };
        Err(first_error.unwrap_or_else(missing))
    }
}

fn fits(credential: &Credential, slot: &Slot) -> bool {
    matches!(
        (credential, slot.derivation),
        (Credential::Passphrase(_), Derivation::Passphrase { .. })
            | (Credential::KeyFile(_), Derivation::KeyFile)
    )
}
