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
    /// Tombstones that stand and do not open: what they name is unknown.
    pub unread: Vec<(ObjectName, Error)>,
    /// Packs that a folded tombstone names and that are here: it came with an index object from
    /// another place of the repository, and speaks of that.
    elsewhere: HashSet<PackId>,
    /// Index objects that others repeat.
    pub covered: HashSet<ObjectId>,
    /// A tombstone cannot be read, or an index object, and with it the tombstones in it.
    pub is_unsure: bool,
}

impl Condemned {
    /// Every pack that a deleter of this place has condemned.
    pub fn packs(&self) -> HashSet<PackId> {
        let standing = packs_of(self.standing.values());
        let is_of_here = |pack: &PackId| !self.elsewhere.contains(pack) || standing.contains(pack);
        let folded = packs_of(self.folded.values());
        let folded: Vec<_> = folded.into_iter().filter(is_of_here).collect();
        standing.into_iter().chain(folded).collect()
    }

    /// Every snapshot whose record some deleter takes away, or took away.
    pub fn snapshots(&self) -> HashSet<SnapshotId> {
        let all = self.standing.values().chain(self.folded.values());
        all.flat_map(|tombstone| tombstone.snapshots.iter().copied()).collect()
    }

    /// Every snapshot whose record some deleter is taking away. A tombstone is folded only when its
    /// records are gone, so what is here and folded tombstones name went elsewhere.
    pub fn going(&self) -> HashSet<SnapshotId> {
        self.standing.values().flat_map(|tombstone| tombstone.snapshots.iter().copied()).collect()
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
        self.covered.extend(head.covers.iter().copied());
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

    /// Notes which of the listed packs are still here now that the folded tombstones are known. No
    /// pack comes back under its name, so a folded tombstone of this place names none of them.
    fn tell_apart(
        &mut self,
        backend: &dyn Backend,
        listed: &HashMap<PackId, u64>,
    ) -> Result<(), Error> {
        let mut named = packs_of(self.folded.values());
        named.retain(|pack| listed.contains_key(pack));
        if !named.is_empty() {
            let here = object::names(backend, Folder::Packs)?;
            let is_named = |name| match name {
                ObjectName::Pack(pack) => Some(pack).filter(|pack| named.contains(pack)),
                _ => None,
            };
            self.elsewhere = here.into_iter().filter_map(is_named).collect();
        }
        Ok(())
    }
}

fn packs_of<'a>(tombstones: impl Iterator<Item = &'a Tombstone>) -> HashSet<PackId> {
    tombstones.flat_map(|tombstone| tombstone.packs.iter().copied()).collect()
}

/// The tombstones that stand.
#[derive(Debug, Default)]
struct Standing {
    opened: HashMap<ObjectId, Tombstone>,
    unread: Vec<(ObjectName, Error)>,
}

impl Standing {
    fn read(
        backend: &dyn Backend,
        keys: &Keys,
        is_wanted: impl Fn(&ObjectName) -> bool,
    ) -> Result<Self, Error> {
        let mut standing = Self::default();
        for listed in backend.list(Folder::Tombstones)?.objects {
            let ObjectName::Tombstone(id) = listed.name else { continue };
            if !is_wanted(&listed.name) {
                continue;
            }
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

/// Reads those of the tombstones that stand that are wanted.
///
/// # Errors
/// A tombstone that cannot be read is an error, not an absent one: what it condemns is unknown.
pub fn standing(
    backend: &dyn Backend,
    keys: &Keys,
    is_wanted: impl Fn(&ObjectName) -> bool,
) -> Result<HashMap<ObjectId, Tombstone>, Error> {
    let Standing { opened, mut unread } = Standing::read(backend, keys, is_wanted)?;
    unread.pop().map_or(Ok(opened), |(_, error)| Err(error))
}

/// What a view of the repository knows of index objects, so that a later look reads only new ones.
#[derive(Clone, Copy)]
pub struct KnownIndex<'a> {
    /// The packs of its listing.
    pub packs: &'a HashMap<PackId, u64>,
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
    let Standing { opened: standing, unread } = Standing::read(backend, keys, |_| true)?;
    let is_unsure = known.is_unsure || !unread.is_empty();
    let mut condemned = Condemned { standing, unread, is_unsure, ..Condemned::default() };
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
    condemned.tell_apart(backend, known.packs)?;
    Ok(condemned)
}
