//! What has been condemned: the tombstones that stand, and those folded into index objects. Spec:
//! `format-spec/70-write-order.md`.
//!
//! Standing ones are read first, index objects after them: whoever folds a tombstone publishes the
//! index object that repeats it before the tombstone goes, so that no look misses both.

use std::collections::{HashMap, HashSet};

use crate::{
    backend::{self, Backend, Folder, ObjectName},
    crypto::{self, keys::Keys, object::open_object},
    format::{self, envelope::Kind, tombstone::Tombstone},
    id::{ObjectId, PackId, SnapshotId},
    repo::{
        Error,
        index_object::{Head, IndexObjectReader},
        object::OBJECT_BYTES_MAX,
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
    /// Tombstones that stand and do not open: what they name is unknown.
    pub unread: Vec<(ObjectName, Error)>,
    /// A tombstone cannot be read, or an index object, and with it the tombstones in it.
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

    /// The look of somebody who is about to commit, and looks for every chunk if it is unsure.
    ///
    /// # Errors
    /// If a tombstone is there that only a newer program, or newer keys, can read.
    pub fn for_writer(mut self) -> Result<Self, Error> {
        match self.unread.iter().position(|(_, error)| is_beyond_us(error)) {
            Some(at) => Err(self.unread.swap_remove(at).1),
            None => Ok(self),
        }
    }

    /// The look of somebody who deletes, or takes a deletion back.
    ///
    /// # Errors
    /// If any tombstone does not open: nobody knows what it condemned.
    pub fn for_deleter(self) -> Result<Self, Error> {
        let mut look = self.for_writer()?;
        match look.unread.pop() {
            Some((name, error)) => Err(Error::Refused {
                why: format!("{name} is damaged, and what it condemned is unknown: {error}"),
            }),
            None => Ok(look),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Tombstone> {
        self.standing.values().chain(self.folded.values())
    }
}

/// The tombstones that stand.
#[derive(Debug, Default)]
struct Standing {
    opened: HashMap<ObjectId, Tombstone>,
    unread: Vec<(ObjectName, Error)>,
}

impl Standing {
    fn read(backend: &dyn Backend, keys: &Keys) -> Result<Self, Error> {
        let mut standing = Self::default();
        for listed in backend.list(Folder::Tombstones)?.objects {
            let ObjectName::Tombstone(id) = listed.name else { continue };
            match read(backend, keys, id) {
                Ok(tombstone) => drop(standing.opened.insert(id, tombstone)),
                // Rescinded or folded between listing and reading.
                Err(Error::Backend(backend::Error::Missing { .. })) if listed.bytes > 0 => {}
                Err(Error::Backend(error)) if !matches!(error, backend::Error::Missing { .. }) => {
                    return Err(error.into());
                }
                Err(error) => standing.unread.push((listed.name, error)),
            }
        }
        Ok(standing)
    }
}

/// Reads one tombstone that stands.
pub fn read(backend: &dyn Backend, keys: &Keys, id: ObjectId) -> Result<Tombstone, Error> {
    let bytes = backend.get(&ObjectName::Tombstone(id), OBJECT_BYTES_MAX)?;
    let plain = open_object(keys, Kind::Tombstone, &id.0, bytes)?;
    Ok(Tombstone::decode(&plain)?)
}

/// Whether a newer program, or one that knows the newest keys, would read it.
const fn is_beyond_us(error: &Error) -> bool {
    matches!(
        error,
        Error::Format(format::Error::Newer { .. })
            | Error::Crypto(
                crypto::Error::UnknownEpoch(_) | crypto::Error::Format(format::Error::Newer { .. })
            )
    )
}

/// Reads every tombstone that stands.
///
/// # Errors
/// A tombstone that cannot be read is an error, not an absent one: what it condemns is unknown.
pub fn standing(backend: &dyn Backend, keys: &Keys) -> Result<HashMap<ObjectId, Tombstone>, Error> {
    let Standing { opened, mut unread } = Standing::read(backend, keys)?;
    unread.pop().map_or(Ok(opened), |(_, error)| Err(error))
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
///
/// What does not open is no error here: who only reads needs none of it. Who adds asks
/// [`Condemned::for_writer`], who deletes [`Condemned::for_deleter`].
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
    let Standing { opened: standing, unread } = Standing::read(backend, keys)?;
    let is_unsure = known.is_unsure || !unread.is_empty();
    let mut condemned = Condemned { standing, folded: HashMap::new(), unread, is_unsure };
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
