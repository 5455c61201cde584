//! What has been condemned: the tombstones that stand, and those folded into index objects. Spec:
//! `format-spec/70-write-order.md`.
//!
//! Standing ones are read first, index objects after them: whoever folds a tombstone publishes the
//! index object that repeats it before the tombstone goes, so that no look misses both.

use std::collections::{HashMap, HashSet};

use crate::{
    backend::{self, Backend, Folder, ObjectName},
    crypto::{keys::Keys, object::open_object},
    format::{envelope::Kind, tombstone::Tombstone},
    id::{ObjectId, PackId, SnapshotId},
    repo::{
        Error,
        index_object::{Head, IndexObjectReader},
        object::{self, OBJECT_BYTES_MAX},
    },
};

/// How often a look begins anew because an index object went while it was read.
const LOOKS_MAX: usize = 8;

/// What one look found.
#[derive(Debug, Default)]
pub struct Condemned {
    /// In `tombstones/`: what they name may still be there.
    pub standing: HashMap<ObjectId, Tombstone>,
    /// In index objects: what they name is gone.
    pub folded: HashMap<ObjectId, Tombstone>,
    /// An index object cannot be read, and with it the tombstones in it.
    pub is_unsure: bool,
}

impl Condemned {
    /// Every pack that any tombstone names.
    pub fn packs(&self) -> HashSet<PackId> {
        self.all().flat_map(|tombstone| tombstone.packs.iter().copied()).collect()
    }

    /// Every snapshot whose record some deleter takes away.
    pub fn snapshots(&self) -> HashSet<SnapshotId> {
        self.all().flat_map(|tombstone| tombstone.snapshots.iter().copied()).collect()
    }

    /// Whether the past was cut off since these folded tombstones were known: then what is not
    /// condemned may be gone all the same.
    pub fn has_forgotten_since(&self, known: &HashSet<ObjectId>) -> bool {
        self.folded.iter().any(|(id, tombstone)| tombstone.is_horizon() && !known.contains(id))
    }

    /// Whether a run that knew these folded tombstones when it began must look at every chunk that
    /// it relies on.
    ///
    /// What a known folded tombstone names was gone before the run began: no record that was whole
    /// since then can need it.
    pub fn concerns(&self, known: &HashSet<ObjectId>) -> bool {
        let is_news = |(id, tombstone): (&ObjectId, &Tombstone)| {
            !known.contains(id) && !tombstone.packs.is_empty()
        };
        self.is_unsure
            || self.has_forgotten_since(known)
            || self.standing.values().any(|tombstone| !tombstone.packs.is_empty())
            || self.folded.iter().any(is_news)
    }

    /// Takes in what a live index object repeats.
    pub fn fold_in(&mut self, head: &Head) -> Result<(), Error> {
        for (id, plain) in &head.tombstones {
            let _ = self.folded.insert(*id, Tombstone::decode(plain)?);
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Tombstone> {
        self.standing.values().chain(self.folded.values())
    }
}

/// Reads every tombstone that stands.
///
/// # Errors
/// A tombstone that cannot be read is an error, not an absent one: what it condemns is unknown.
pub fn standing(backend: &dyn Backend, keys: &Keys) -> Result<HashMap<ObjectId, Tombstone>, Error> {
    let mut standing = HashMap::new();
    for name in object::names(backend, Folder::Tombstones)? {
        let ObjectName::Tombstone(id) = name else { continue };
        let bytes = match backend.get(&name, OBJECT_BYTES_MAX) {
            // Rescinded or folded between listing and reading.
            Err(backend::Error::Missing { .. }) => continue,
            other => other?,
        };
        let plain = open_object(keys, Kind::Tombstone, &id.0, bytes)?;
        let _ = standing.insert(id, Tombstone::decode(&plain)?);
    }
    Ok(standing)
}

/// What a view of the repository knows of index objects, so that a later look reads only new ones.
#[derive(Clone, Copy)]
pub struct KnownIndex<'a> {
    pub live: &'a [Head],
    pub listed: &'a HashSet<ObjectId>,
    /// One of them could not be read.
    pub is_unsure: bool,
}

/// Looks at all tombstones as they are now.
pub fn look(backend: &dyn Backend, keys: &Keys, known: KnownIndex<'_>) -> Result<Condemned, Error> {
    for _ in 1..LOOKS_MAX {
        match look_once(backend, keys, known, Gone::BeginAnew) {
            Err(error) if is_index_object_gone(&error) => {}
            other => return other,
        }
    }
    look_once(backend, keys, known, Gone::Damage)
}

/// What an index object means that was listed and cannot be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// Another one covers it by now, and is in the next listing.
    BeginAnew,
    /// It was destroyed.
    Damage,
}

/// Whether an index object went between listing and reading.
pub const fn is_index_object_gone(error: &Error) -> bool {
    matches!(error, Error::Backend(backend::Error::Missing { name: ObjectName::Index { .. }, .. }))
}

fn look_once(
    backend: &dyn Backend,
    keys: &Keys,
    known: KnownIndex<'_>,
    gone: Gone,
) -> Result<Condemned, Error> {
    let standing = standing(backend, keys)?;
    let is_unsure = known.is_unsure;
    let mut condemned = Condemned { standing, folded: HashMap::new(), is_unsure };
    for head in known.live {
        condemned.fold_in(head)?;
    }
    for listed in backend.list(Folder::Index)?.objects {
        let ObjectName::Index { id, .. } = listed.name else { continue };
        if known.listed.contains(&id) {
            continue;
        }
        let head = IndexObjectReader::open(backend, keys, listed.name, listed.bytes)
            .and_then(|mut reader| reader.head());
        match head {
            Ok((head, _)) => condemned.fold_in(&head)?,
            Err(error) if is_index_object_gone(&error) && gone == Gone::BeginAnew => {
                return Err(error);
            }
            Err(Error::Backend(error)) if !matches!(error, backend::Error::Missing { .. }) => {
                return Err(error.into());
            }
            Err(_) => condemned.is_unsure = true,
        }
    }
    Ok(condemned)
}
