//! The two copies of descriptor, rings and slots: which are lost, and how they come back.

use std::{collections::BTreeSet, time::Duration};

use super::{Listing, Opened};
use crate::{
    backend::{Backend, Folder, ObjectName, name::Copy},
    crypto::slot,
    id::ObjectId,
    repo::{
        Environment, Error,
        object::{self, OBJECT_BYTES_MAX},
        state::State,
    },
};

/// Guards the folder of keys on this machine: a copy that is being removed must not be completed.
pub(super) const KEYS_LOCK: &str = "keys.lock";

/// Writes the second copies that are not there: an init that was interrupted leaves such.
///
/// Nothing that exists is touched, however damaged it is. While another process changes keys there
/// is nothing to do: the next run comes by again.
pub fn complete_copies(env: &Environment, state: &State, opened: &Opened) -> Result<(), Error> {
    if absent_copies(env.backend.as_ref())?.is_empty() {
        return Ok(());
    }
    let Some(_lock) = state.lock(env, KEYS_LOCK, Duration::ZERO)? else { return Ok(()) };
    let backend = env.backend.as_ref();
    for (name, twin) in absent_copies(backend)? {
        let bytes = backend.get(&name, OBJECT_BYTES_MAX)?;
        if opened.vouches_for(&name, &bytes) {
            object::put_same(backend, &twin, &bytes)?;
        }
    }
    Ok(())
}

/// Objects whose other copy is not there, with the name of that.
fn absent_copies(backend: &dyn Backend) -> Result<Vec<(ObjectName, ObjectName)>, Error> {
    let mut names: BTreeSet<ObjectName> = BTreeSet::new();
    for folder in [Folder::Descriptor, Folder::Keys] {
        names.extend(object::names(backend, folder)?);
    }
    let absent = |name: &ObjectName| {
        let twin = name.twin().filter(|twin| !names.contains(twin))?;
        Some((name.clone(), twin))
    };
    Ok(names.iter().filter_map(absent).collect())
}

impl Opened {
    /// Whether this is a genuine object that may be in use.
    fn vouches_for(&self, name: &ObjectName, bytes: &[u8]) -> bool {
        match name {
            ObjectName::Descriptor { generation, .. } => {
                *generation == self.descriptor.0 && bytes == self.descriptor.1
            }
            ObjectName::Ring { id, .. } => {
                self.rings.iter().any(|(_, ring, opened)| ring == id && opened == bytes)
            }
            ObjectName::Slot { id, .. } => {
                slot::prove(bytes, &self.keys.repository, id, &self.master).is_ok()
            }
            _ => false,
        }
    }
}

/// Returns the bytes of an object whose copy of this name is lost, from its other copy.
pub fn genuine_twin(
    env: &Environment,
    opened: &Opened,
    name: &ObjectName,
) -> Result<Vec<u8>, Error> {
    let corrupt = |why: &str| Error::Corrupt { name: name.to_string(), why: why.to_owned() };
    let twin = name.twin().ok_or_else(|| corrupt("there is one copy only"))?;
    let bytes = env.backend.get(&twin, OBJECT_BYTES_MAX)?;
    match opened.vouches_for(&twin, &bytes) {
        true => Ok(bytes),
        false => Err(corrupt("its other copy does not open either")),
    }
}

/// Returns the copies of descriptor, rings and slots that are gone or damaged, with the reason.
pub fn lost_copies(env: &Environment, opened: &Opened) -> Result<Vec<(ObjectName, String)>, Error> {
    let backend = env.backend.as_ref();
    let mut lost = Vec::new();
    for copy in Copy::BOTH {
        let name = ObjectName::Descriptor { generation: opened.descriptor.0, copy };
        lost.extend(differs(backend, name, &opened.descriptor.1));
        for (generation, id, bytes) in &opened.rings {
            let name = ObjectName::Ring { generation: *generation, id: *id, copy };
            lost.extend(differs(backend, name, bytes));
        }
    }
    for id in Listing::read(backend)?.slots {
        lost.extend(lost_slot_copies(backend, opened, id));
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

/// The seal of its label proves a slot, whoever's it is.
fn lost_slot_copies(
    backend: &dyn Backend,
    opened: &Opened,
    id: ObjectId,
) -> Vec<(ObjectName, String)> {
    let repository = &opened.keys.repository;
    let mut lost = Vec::new();
    let (mut ours, mut others) = (0, Vec::new());
    for copy in Copy::BOTH {
        let name = ObjectName::Slot { id, copy };
        let proven = backend.get(&name, OBJECT_BYTES_MAX).map_err(Error::from).and_then(|bytes| {
            match object::repository_of(&bytes)? {
                // The remains of an init that was interrupted.
                other if other != *repository => {
                    others.push(name.clone());
                    Ok(())
                }
                _ => {
                    ours += 1;
                    Ok(slot::prove(&bytes, repository, &id, &opened.master).map(drop)?)
                }
            }
        });
        if let Err(error) = proven {
            lost.push((name, error.to_string()));
        }
    }
    if ours > 0 {
        // Two copies are of one repository; this one is damaged where it says of which.
        let why = "it names another repository than its other copy";
        lost.extend(others.into_iter().map(|name| (name, why.to_owned())));
    }
    lost
}
