//! Following roots to all that they reach.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{
    backend::{self, ObjectName},
    chunk::{self, Chunk, Fetch},
    crypto, format,
    format::record::Record,
    id::{ChunkId, SnapshotId},
    repo::{
        Error, Repository,
        catalogue::Catalogue,
        closure::Closure,
        prune::{refused, roots::Roots},
        tombstones::Condemned,
    },
};

/// Whether something was written by a newer program: what it reaches is unknown.
pub const fn is_newer(error: &Error) -> bool {
    matches!(
        error,
        Error::Newer { .. }
            | Error::Format(format::Error::Newer { .. })
            | Error::Crypto(crypto::Error::Format(format::Error::Newer { .. }))
    )
}

/// Fetches what the walk needs; finds chunks that another prune moves meanwhile.
pub fn fetch(repo: &Repository, catalogue: &Arc<Catalogue>) -> Arc<dyn Fetch> {
    repo.reader(catalogue.clone(), None)
}

/// Walks over what roots reach; what several share is walked once.
pub struct Marker<'a> {
    repo: &'a Repository,
    fetch: Noting<'a>,
    /// Snapshots that a tombstone names.
    doomed: HashSet<SnapshotId>,
}

/// What came of a walk.
#[derive(Debug, Default)]
pub struct Walked {
    /// Roots that were followed to their end: all that is there of what they reach is marked.
    pub whole: HashSet<SnapshotId>,
    /// Snapshots that a tombstone names and that are gone in part: a prune, or the taking back of a
    /// forgetting, was interrupted. They cannot be had back.
    pub half_gone: HashSet<SnapshotId>,
}

/// Notes why fetching failed.
struct Noting<'a> {
    inner: &'a dyn Fetch,
    /// Chunks that are in no pack.
    missing: AtomicUsize,
    /// Anything else went wrong.
    failed: AtomicBool,
}

impl Fetch for Noting<'_> {
    fn get(&self, id: &ChunkId) -> Result<Chunk, chunk::Error> {
        self.inner.get(id).inspect_err(|error| match error {
            chunk::Error::Missing(_) => drop(self.missing.fetch_add(1, Ordering::Relaxed)),
            _ => self.failed.store(true, Ordering::Relaxed),
        })
    }
}

impl<'a> Marker<'a> {
    /// Begins a walk that has seen nothing.
    pub fn new(repo: &'a Repository, fetch: &'a dyn Fetch, condemned: &Condemned) -> Self {
        let fetch = Noting { inner: fetch, missing: AtomicUsize::new(0), failed: false.into() };
        Self { repo, fetch, doomed: condemned.going() }
    }

    /// Calls `mark` with every chunk that the roots reach; it says whether any pack holds it.
    ///
    /// # Errors
    /// [`Error::Refused`] if a committed record misses anything. A pending one may: its run, or the
    /// next one of its writer, sees what was condemned and withdraws it. So may one of which a
    /// check of this machine told the loss, if only content is lost: nothing hangs on that, and
    /// what is left of the snapshot stays.
    pub fn walk(
        &mut self,
        roots: &Roots,
        read: &mut dyn FnMut(SnapshotId) -> Result<Record, Error>,
        mark: &mut dyn FnMut(&ChunkId) -> bool,
    ) -> Result<Walked, Error> {
        let mut closure = Closure::once(&self.fetch);
        let mut walked = Walked::default();
        let known = self.repo.known_losses();
        // Committed ones first: a pending record that is doomed must not pass for one that was
        // walked.
        for id in roots.all() {
            if self.repo.env.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let is_committed = roots.committed.contains(&id);
            let record = match read(id) {
                // Withdrawn since it was listed.
                Err(_) if !is_committed && self.is_withdrawn(id)? => continue,
                other => other?,
            };
            match self.walk_one(&mut closure, &record, mark) {
                Ok(()) => drop(walked.whole.insert(id)),
                Err(Lack::Missing | Lack::Content) if self.doomed.contains(&id) => {
                    let _ = walked.half_gone.insert(id);
                }
                Err(Lack::Missing | Lack::Content) if !is_committed => {}
                Err(Lack::Content) if !known.parts_of(&id).is_empty() => {
                    let _ = walked.whole.insert(id);
                }
                Err(lack) => return Err(refused(lack.of(id))),
            }
        }
        Ok(walked)
    }

    fn is_withdrawn(&self, id: SnapshotId) -> Result<bool, Error> {
        for name in [ObjectName::Pending(id), ObjectName::Snapshot(id)] {
            match self.repo.env.backend.size(&name) {
                Err(backend::Error::Missing { .. }) => {}
                other => return Ok(other.map(|_| false)?),
            }
        }
        Ok(true)
    }

    fn walk_one(
        &self,
        closure: &mut Closure<'_>,
        record: &Record,
        mark: &mut dyn FnMut(&ChunkId) -> bool,
    ) -> Result<(), Lack> {
        let missing_before = self.fetch.missing.load(Ordering::Relaxed);
        let mut absent = None;
        let mut unreadable = Vec::new();
        for part in &record.parts {
            unreadable.extend(closure.part(part, &mut |_, id| {
                if !mark(id) {
                    let _ = absent.get_or_insert(*id);
                }
            }));
        }
        let missing = self.fetch.missing.load(Ordering::Relaxed) - missing_before;
        match (unreadable.first(), absent) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Lack::Content),
            // Each item failed for one reason; only if all of them are chunks in no pack is it
            // certain that nothing else is wrong.
            (Some(first), _)
                if self.fetch.failed.load(Ordering::Relaxed) || unreadable.len() > missing =>
            {
                Err(Lack::Unreadable(first.why.clone()))
            }
            _ => Err(Lack::Missing),
        }
    }
}

/// What keeps a root from being whole.
enum Lack {
    /// Chunks that say where others are.
    Missing,
    /// Only chunks that say of no others.
    Content,
    Unreadable(String),
}

impl Lack {
    fn of(&self, id: SnapshotId) -> String {
        match self {
            Self::Missing | Self::Content => {
                format!("snapshot {id} needs chunks that are in no pack")
            }
            Self::Unreadable(why) => format!("snapshot {id} cannot be followed to its end: {why}"),
        }
    }
}
