//! The names of a repository's descriptors, rings and slots, and the search for those that open.

use std::collections::BTreeSet;

use super::RingBytes;
use crate::{
    backend::{self, Backend, Folder, ObjectName, name::Copy},
    crypto::{
        self,
        object::open_ring,
        secret::{Credential, Secret32},
        slot,
    },
    format::{
        descriptor::Descriptor,
        ring::Ring,
        slot::{Derivation, Slot},
    },
    id::{ObjectId, RepositoryId},
    repo::{
        Error,
        object::{self, FirstCopy, OBJECT_BYTES_MAX},
    },
};

pub(super) struct Listing {
    /// Ascending by generation.
    descriptors: BTreeSet<u32>,
    rings: BTreeSet<(u32, ObjectId)>,
    pub slots: BTreeSet<ObjectId>,
}

impl Listing {
    pub fn read(backend: &dyn Backend) -> Result<Self, Error> {
        let mut listing =
            Self { descriptors: BTreeSet::new(), rings: BTreeSet::new(), slots: BTreeSet::new() };
        let mut names = object::names(backend, Folder::Descriptor)?;
        names.extend(object::names(backend, Folder::Keys)?);
        for name in names {
            let _ = match name {
                ObjectName::Descriptor { generation, .. } => listing.descriptors.insert(generation),
                ObjectName::Ring { generation, id, .. } => listing.rings.insert((generation, id)),
                ObjectName::Slot { id, .. } => listing.slots.insert(id),
                _ => false,
            };
        }
        Ok(listing)
    }

    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.slots.is_empty()
    }

    /// A repository is finished once its newest descriptor has a slot.
    pub fn is_finished(&self, backend: &dyn Backend) -> bool {
        let Ok((_, descriptor, _)) = self.descriptor(backend) else {
            // Damaged, not unfinished: init must not build over it.
            return !self.slots.is_empty();
        };
        self.slots.iter().any(|id| {
            Copy::BOTH.into_iter().any(|copy| {
                let bytes = backend.get(&ObjectName::Slot { id: *id, copy }, OBJECT_BYTES_MAX);
                let repository = bytes.map_err(Error::from).and_then(|b| object::repository_of(&b));
                // A slot that cannot be read may well be a good one.
                repository.map_or(true, |repository| repository == descriptor.repository)
            })
        })
    }

    pub fn next_generation(&self) -> u32 {
        let descriptor = self.descriptors.last().copied().unwrap_or(0);
        descriptor.max(self.newest_ring()) + 1
    }

    pub fn newest_ring(&self) -> u32 {
        self.rings.last().map_or(0, |ring| ring.0)
    }

    pub fn descriptor(&self, backend: &dyn Backend) -> Result<(u32, Descriptor, Vec<u8>), Error> {
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

    /// The slot that the credential opens, and the master key in it.
    pub fn master(
        &self,
        backend: &dyn Backend,
        credential: &Credential,
        repository: RepositoryId,
    ) -> Result<(ObjectId, Secret32), Error> {
        let mut damaged = None;
        for id in &self.slots {
            match unwrap(backend, credential, repository, id) {
                Ok(Some(master)) => return Ok((*id, master)),
                Ok(None) => {}
                Err(error) => drop(damaged.get_or_insert(error)),
            }
        }
        match damaged {
            // That it did not open says something only if it was read, and was no damaged one.
            Some(
                error @ (Error::Backend(
                    backend::Error::Io { .. } | backend::Error::Unreachable { .. },
                )
                | Error::Crypto(
                    crypto::Error::Unauthentic | crypto::Error::Excessive { .. },
                )),
            ) => Err(error),
            _ => Err(Error::WrongCredential { place: backend.place() }),
        }
    }

    /// Every ring that opens, the one in force first; at least one.
    pub fn rings(
        &self,
        backend: &dyn Backend,
        master: &Secret32,
        repository: RepositoryId,
    ) -> Result<Vec<(Ring, RingBytes)>, Error> {
        let (mut rings, mut first_error) = (Vec::new(), None);
        for (generation, id) in self.rings.iter().rev().copied() {
            let name = |copy| ObjectName::Ring { generation, id, copy };
            let open = |bytes: &[u8]| Ok(open_ring(master, &repository, &id.0, bytes.to_vec())?);
            match object::first_copy(backend, name, open) {
                Ok(FirstCopy { value, bytes, .. }) => rings.push((value, (generation, id, bytes))),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        let missing =
            || Error::Corrupt { name: "key ring".to_owned(), why: "there is none".to_owned() };
        match rings.is_empty() {
            true => Err(first_error.unwrap_or_else(missing)),
            false => Ok(rings),
        }
    }
}

/// Tries a credential on a slot, and on its second copy if that is another: damage must not pass
/// for a wrong credential.
fn unwrap(
    backend: &dyn Backend,
    credential: &Credential,
    repository: RepositoryId,
    id: &ObjectId,
) -> Result<Option<Secret32>, Error> {
    let (mut first_error, mut tried) = (None, None);
    for copy in Copy::BOTH {
        let read = backend.get(&ObjectName::Slot { id: *id, copy }, OBJECT_BYTES_MAX);
        if read.is_ok() && read.as_ref().ok() == tried.as_ref() {
            continue;
        }
        let opened = read.map_err(Error::from).and_then(|bytes| {
            let opened = unwrap_copy(&bytes, credential, repository, id);
            tried = Some(bytes);
            opened
        });
        match opened {
            Ok(Some(master)) => return Ok(Some(master)),
            Ok(None) => {}
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    first_error.map_or(Ok(None), Err)
}

fn unwrap_copy(
    bytes: &[u8],
    credential: &Credential,
    repository: RepositoryId,
    id: &ObjectId,
) -> Result<Option<Secret32>, Error> {
    // The remains of an init that was interrupted.
    if object::repository_of(bytes)? != repository {
        return Ok(None);
    }
    let (_, slot) = slot::decode(bytes, &repository, id)?;
    if !fits(credential, &slot) {
        return Ok(None);
    }
    match slot::unwrap(bytes, &repository, id, credential) {
        Err(crypto::Error::WrongCredential) => Ok(None),
        other => Ok(Some(other?.master)),
    }
}

const fn fits(credential: &Credential, slot: &Slot) -> bool {
    matches!(
        (credential, slot.derivation),
        (Credential::Passphrase(_), Derivation::Passphrase { .. })
            | (Credential::KeyFile(_), Derivation::KeyFile)
            | (Credential::Recovery(_), Derivation::Recovery)
    )
}
