//! Descriptor, key slots and key ring: made at init, opened ever after. Spec:
//! `format-spec/25-keys.md`.

mod change;
mod copies;
mod listing;

use crate::{
    backend::{Backend, ObjectName, name::Copy},
    crypto::{
        keys,
        keys::Keys,
        object::seal_ring,
        secret::{Credential, Secret32},
        slot::{self, NewSlot},
    },
    format::{
        descriptor::{Descriptor, descriptor_hash},
        envelope::Suite,
        ring::Ring,
    },
    id::{ObjectId, RepositoryId},
    repo::{
        Environment, Error,
        object::{self, OBJECT_BYTES_MAX},
    },
};

pub use change::{SlotEntry, Slots, add_slot, remove_slot, rotate};
pub use copies::{complete_copies, genuine_twin, lost_copies};
use listing::Listing;

/// The keys of a repository, and which objects they came from.
#[derive(Clone)]
pub struct Opened {
    pub keys: Keys,
    master: Secret32,
    /// The slot that the credential opened.
    slot: ObjectId,
    /// Generation and bytes of the descriptor in force, to compare its copies with.
    descriptor: (u32, Vec<u8>),
    /// Every ring that opens, the one in force first.
    rings: Vec<RingBytes>,
}

/// Generation, id and bytes of a key ring as it lies in its object.
type RingBytes = (u32, ObjectId, Vec<u8>);

/// Creates descriptor, ring and slots, in this order, each twice and read back.
pub fn create(
    env: &Environment,
    credentials: &[(Credential, String)],
    optional_features: Vec<String>,
) -> Result<Opened, Error> {
    let backend = env.backend.as_ref();
    let place = backend.place();
    assert!(!credentials.is_empty(), "a repository needs at least one key slot");
    let listing = Listing::read(backend)?;
    if listing.is_finished(backend) {
        return Err(Error::AlreadyThere { place });
    }
    // Remains of an init that was interrupted stay where they are; the new one goes beside them.
    let generation = listing.next_generation();
    let descriptor = Descriptor {
        repository: RepositoryId(env.entropy.bytes32()),
        generation,
        created: env.clock.now(),
        optional_features,
        suite: Suite::ChaCha20Poly1305,
    };
    let descriptor_bytes = descriptor.encode()?;
    put_twice(backend, |copy| ObjectName::Descriptor { generation, copy }, &descriptor_bytes)?;

    let master = Secret32::new(env.entropy.bytes32());
    let mut ring = keys::first_ring(env.entropy.as_ref(), descriptor_hash(&descriptor_bytes));
    ring.generation = generation;
    let repository = descriptor.repository;
    let ring_bytes = put_ring(env, repository, &master, &ring)?;

    let mut slots = Vec::new();
    for (credential, label) in credentials {
        slots.push(put_slot(env, repository, (credential, label), &master)?);
    }
    Ok(Opened {
        keys: Keys::from_ring(repository, &ring),
        master,
        slot: slots[0],
        descriptor: (generation, descriptor_bytes),
        rings: vec![ring_bytes],
    })
}

/// Opens the repository with one credential. Nothing is written.
pub fn open(backend: &dyn Backend, credential: &Credential) -> Result<Opened, Error> {
    let place = backend.place();
    let listing = Listing::read(backend)?;
    if listing.is_empty() {
        return Err(Error::NotFound { place });
    }
    let (generation, descriptor, descriptor_bytes) = listing.descriptor(backend)?;
    let (slot, master) = listing.master(backend, credential, descriptor.repository)?;
    let rings = listing.rings(backend, &master, descriptor.repository)?;
    let ring = merged(&rings)?;
    if ring.descriptor_hash != descriptor_hash(&descriptor_bytes) {
        let name = ObjectName::Descriptor { generation, copy: Copy::First }.to_string();
        let why = "the key ring names another descriptor: it was replaced".to_owned();
        return Err(Error::Corrupt { name, why });
    }
    Ok(Opened {
        keys: Keys::from_ring(descriptor.repository, &ring),
        master,
        slot,
        descriptor: (generation, descriptor_bytes),
        rings: rings.into_iter().map(|(_, bytes)| bytes).collect(),
    })
}

impl Opened {
    /// The optional features of the descriptor in force.
    pub fn features(&self) -> Vec<String> {
        Descriptor::decode(&self.descriptor.1)
            .map_or_else(|_| Vec::new(), |descriptor| descriptor.optional_features)
    }

    /// Takes over the epochs of rings that came since. Nothing is written.
    pub fn refresh(&self, backend: &dyn Backend) -> Result<(), Error> {
        let listing = Listing::read(backend)?;
        let rings = listing.rings(backend, &self.master, self.keys.repository)?;
        self.keys.add_epochs(&merged(&rings)?);
        Ok(())
    }
}

/// The ring in force, with the epochs that only others have: two machines may have rotated at the
/// same moment.
fn merged(rings: &[(Ring, RingBytes)]) -> Result<Ring, Error> {
    let mut ring = rings[0].0.clone();
    for (other, (generation, id, _)) in &rings[1..] {
        for (number, key) in &other.epochs {
            match ring.epochs.binary_search_by_key(number, |epoch| epoch.0) {
                Ok(at) if ring.epochs[at].1 == *key => {}
                Ok(_) => {
                    let name =
                        ObjectName::Ring { generation: *generation, id: *id, copy: Copy::First };
                    let why = format!("its key of epoch {number} is not that of the newest ring");
                    return Err(Error::Corrupt { name: name.to_string(), why });
                }
                Err(at) => ring.epochs.insert(at, (*number, *key)),
            }
        }
    }
    Ok(ring)
}

/// Writes both copies of a ring under a new id.
fn put_ring(
    env: &Environment,
    repository: RepositoryId,
    master: &Secret32,
    ring: &Ring,
) -> Result<RingBytes, Error> {
    let (generation, id) = (ring.generation, ObjectId(env.entropy.bytes32()));
    let bytes = seal_ring(master, repository, &id.0, ring);
    put_twice(env.backend.as_ref(), |copy| ObjectName::Ring { generation, id, copy }, &bytes)?;
    Ok((generation, id, bytes))
}

/// Writes both copies of a new slot and proves that the credential opens what was written.
fn put_slot(
    env: &Environment,
    repository: RepositoryId,
    (credential, label): (&Credential, &str),
    master: &Secret32,
) -> Result<ObjectId, Error> {
    let (backend, id) = (env.backend.as_ref(), ObjectId(env.entropy.bytes32()));
    let (created, salt) = (env.clock.now(), env.entropy.bytes32());
    let slot = NewSlot { repository, id, label, created, salt };
    let name = |copy| ObjectName::Slot { id, copy };
    put_twice(backend, name, &slot.wrap(credential, master)?)?;
    let written = backend.get(&name(Copy::First), OBJECT_BYTES_MAX)?;
    let opened = slot::unwrap(&written, &repository, &id, credential)?;
    if opened.master.expose() != master.expose() || opened.label.is_none() {
        let why = "it opens to another key than was put in".to_owned();
        return Err(Error::Corrupt { name: name(Copy::First).to_string(), why });
    }
    Ok(id)
}

fn put_twice(
    backend: &dyn Backend,
    name: impl Fn(Copy) -> ObjectName,
    bytes: &[u8],
) -> Result<(), Error> {
    Copy::BOTH.into_iter().try_for_each(|copy| object::put_proven(backend, &name(copy), bytes))
}

/// Reads the newest descriptor again: whoever began to use something new has said so there.
///
/// # Errors
/// [`Error::Format`] if it asks for what this program does not know.
pub fn expect_known(env: &Environment, repository: RepositoryId) -> Result<(), Error> {
    let backend = env.backend.as_ref();
    let (_, descriptor, _) = Listing::read(backend)?.descriptor(backend)?;
    if descriptor.repository != repository {
        let why = "it is another repository's".to_owned();
        return Err(Error::Corrupt { name: "descriptor".to_owned(), why });
    }
    Ok(())
}
