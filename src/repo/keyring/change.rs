//! Changes of keys: slots come and go, a new epoch begins. Spec: `format-spec/25-keys.md`, "Rules".
//!
//! Every change writes and proves the new before it deletes the old, so that a crash anywhere
//! leaves what opened before, what opens after, or both.

use std::time::Duration;

use super::{Listing, Opened, copies::KEYS_LOCK, merged, put_ring, put_slot};
use crate::{
    backend::{self, Backend, ObjectName, name::Copy},
    clock::{Entropy, UnixNanos},
    crypto::{
        secret::Credential,
        slot::{self, ProvenSlot},
    },
    format::slot::Derivation,
    id::ObjectId,
    repo::{
        Environment, Error, Lock,
        object::{self, FirstCopy},
        state::State,
    },
};

/// How long another change of keys is waited for.
const CHANGE_WAIT: Duration = Duration::from_secs(10);
/// Two machines that rotate at the same moment draw different numbers up to here.
const EPOCH_STEP_MAX: u32 = 1 << 20;

/// All key slots of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Oldest first.
    pub slots: Vec<SlotEntry>,
    /// Slots of which no copy is whole, with the reason.
    pub damaged: Vec<(ObjectName, String)>,
}

/// One key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotEntry {
    pub id: ObjectId,
    pub derivation: Derivation,
    pub label: String,
    pub created: UnixNanos,
    /// The one that this process opened the repository with.
    pub is_in_use: bool,
}

impl Slots {
    /// Reads and proves every slot; none of their credentials is needed.
    pub fn read(env: &Environment, opened: &Opened) -> Result<Self, Error> {
        let backend = env.backend.as_ref();
        let mut found = Self { slots: Vec::new(), damaged: Vec::new() };
        for id in Listing::read(backend)?.slots {
            match proven(backend, opened, id) {
                Ok(Some(slot)) => found.slots.push(SlotEntry {
                    id,
                    derivation: slot.derivation,
                    label: slot.label,
                    created: slot.created,
                    is_in_use: id == opened.slot,
                }),
                Ok(None) => {}
                Err(error @ Error::Backend(backend::Error::Unreachable { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    let name = ObjectName::Slot { id, copy: Copy::First };
                    found.damaged.push((name, error.to_string()));
                }
            }
        }
        found.slots.sort_by_key(|slot| (slot.created, slot.id));
        Ok(found)
    }
}

/// Proves one slot; nothing comes back if it is of another repository, as an interrupted init
/// leaves them.
fn proven(
    backend: &dyn Backend,
    opened: &Opened,
    id: ObjectId,
) -> Result<Option<ProvenSlot>, Error> {
    let repository = &opened.keys.repository;
    let open = |bytes: &[u8]| match object::repository_of(bytes)? {
        other if other != *repository => Ok(None),
        _ => Ok(Some(slot::prove(bytes, repository, &id, &opened.master)?)),
    };
    let FirstCopy { value, .. } =
        object::first_copy(backend, |copy| ObjectName::Slot { id, copy }, open)?;
    Ok(value)
}

/// Adds a slot: written twice, read back and unwrapped before this returns.
pub fn add_slot(
    (env, state): (&Environment, &State),
    opened: &Opened,
    credential: &Credential,
    label: &str,
) -> Result<ObjectId, Error> {
    let _lock = lock(env, state)?;
    put_slot(env, opened.keys.repository, (credential, label), &opened.master)
}

/// Removes a slot, if another one is there that is proven whole. Durable on return.
pub fn remove_slot(
    (env, state): (&Environment, &State),
    opened: &Opened,
    id: ObjectId,
) -> Result<(), Error> {
    let _lock = lock(env, state)?;
    let backend = env.backend.as_ref();
    let others = Slots::read(env, opened)?.slots.into_iter().filter(|slot| slot.id != id);
    if others.count() == 0 {
        return Err(Error::LastSlot { place: backend.place() });
    }
    // Another machine that completes copies may bring one back that it had read before.
    for _ in 0..3 {
        for copy in Copy::BOTH {
            backend.delete(&ObjectName::Slot { id, copy })?;
        }
        if !Listing::read(backend)?.slots.contains(&id) {
            return Ok(());
        }
    }
    let what = "another machine keeps bringing the key back; try again when it is idle".to_owned();
    Err(Error::Busy { what })
}

/// Begins a new epoch: all that is sealed from now on is sealed under a new key. Returns its
/// number; every slot opens the new ring as well.
pub fn rotate((env, state): (&Environment, &State), opened: &Opened) -> Result<u32, Error> {
    let _lock = lock(env, state)?;
    let backend = env.backend.as_ref();
    let listing = Listing::read(backend)?;
    let rings = listing.rings(backend, &opened.master, opened.keys.repository)?;
    let mut ring = merged(&rings)?;
    ring.generation = listing.newest_ring() + 1;
    let number = next_epoch(env.entropy.as_ref(), &ring.epochs)?;
    ring.epochs.push((number, env.entropy.bytes32()));
    let _ = put_ring(env, opened.keys.repository, &opened.master, &ring)?;
    // What is there now must open as a whole, a ring of another machine included.
    opened.refresh(backend)?;
    Ok(number)
}

fn next_epoch(entropy: &dyn Entropy, epochs: &[(u32, [u8; 32])]) -> Result<u32, Error> {
    let last = epochs.last().map_or(0, |epoch| epoch.0);
    let [a, b, c, d, ..] = entropy.bytes32();
    let step = u32::from_le_bytes([a, b, c, d]) % EPOCH_STEP_MAX + 1;
    last.checked_add(step).ok_or_else(|| Error::Corrupt {
        name: "key ring".to_owned(),
        why: "its epochs are used up".to_owned(),
    })
}

fn lock(env: &Environment, state: &State) -> Result<Lock, Error> {
    let what = || "another process of this machine changes the keys".to_owned();
    state.lock(env, KEYS_LOCK, CHANGE_WAIT)?.ok_or_else(|| Error::Busy { what: what() })
}
