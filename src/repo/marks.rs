//! What drops a snapshot and what keeps it: forget markers and pins. Spec:
//! `format-spec/70-write-order.md`, "Forget markers", "Pins".
//!
//! A mark is one small object; durable when the call that makes it returns, gone when the call that
//! takes it away does. A marker that does not open hides nothing. What a pin that does not open
//! protects is unknown, so while there is one, everything counts as pinned.

use std::collections::HashMap;

use crate::{
    backend::{self, Folder, ObjectName},
    clock::UnixNanos,
    crypto::object::{open_object, seal_object},
    format::{envelope::Kind, pin::Pin, tombstone::ForgetMarker},
    id::{ObjectId, SnapshotId},
    repo::{
        Error, Repository, commit,
        object::{self, OBJECT_BYTES_MAX},
    },
};

/// All marks of a repository, as of one listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marks {
    forgotten: HashMap<SnapshotId, Vec<Mark<ForgetMarker>>>,
    pins: HashMap<SnapshotId, Vec<Mark<Pin>>>,
    /// Marks that do not open, with the reason.
    pub damaged: Vec<(ObjectName, String)>,
}

/// A mark, and the object that makes it.
#[derive(Debug, Clone, PartialEq)]
struct Mark<T> {
    name: ObjectName,
    says: T,
}

impl Marks {
    /// Reads every marker and pin.
    pub fn load(repo: &Repository) -> Result<Self, Error> {
        let mut marks = Self::default();
        for name in object::names(repo.env.backend.as_ref(), Folder::Forgotten)? {
            let ObjectName::Forgotten(id) = name else { continue };
            if let Some(plain) = marks.open(repo, &name, Kind::Forgotten, id)? {
                match ForgetMarker::decode(&plain) {
                    Ok(says) => {
                        marks.forgotten.entry(says.snapshot).or_default().push(Mark { name, says });
                    }
                    Err(error) => marks.damaged.push((name, error.to_string())),
                }
            }
        }
        for name in object::names(repo.env.backend.as_ref(), Folder::Pinned)? {
            let ObjectName::Pinned(id) = name else { continue };
            if let Some(plain) = marks.open(repo, &name, Kind::Pinned, id)? {
                match Pin::decode(&plain) {
                    Ok(says) => {
                        marks.pins.entry(says.snapshot).or_default().push(Mark { name, says });
                    }
                    Err(error) => marks.damaged.push((name, error.to_string())),
                }
            }
        }
        Ok(marks)
    }

    /// Opens a mark; nothing if it is gone by now, or damaged, which is noted.
    fn open(
        &mut self,
        repo: &Repository,
        name: &ObjectName,
        kind: Kind,
        id: ObjectId,
    ) -> Result<Option<Vec<u8>>, Error> {
        let bytes = match repo.env.backend.get(name, OBJECT_BYTES_MAX) {
            // Taken away between listing and reading.
            Err(backend::Error::Missing { .. }) => return Ok(None),
            Err(error @ backend::Error::OutOfRange { .. }) => {
                self.damaged.push((name.clone(), error.to_string()));
                return Ok(None);
            }
            other => other?,
        };
        match open_object(&repo.keys, kind, &id.0, bytes) {
            Ok(plain) => Ok(Some(plain)),
            Err(error) => {
                self.damaged.push((name.clone(), error.to_string()));
                Ok(None)
            }
        }
    }

    /// Whether a marker names the snapshot.
    pub fn is_forgotten(&self, id: &SnapshotId) -> bool {
        self.forgotten.contains_key(id)
    }

    /// The names of all markers, and the snapshots that they name.
    pub fn markers(&self) -> impl Iterator<Item = (&ObjectName, SnapshotId)> {
        let all = self.forgotten.values().flatten();
        all.map(|mark| (&mark.name, mark.says.snapshot))
    }

    /// The newest marker of the snapshot: its trash time is counted from there.
    pub fn marker(&self, id: &SnapshotId) -> Option<&ForgetMarker> {
        let markers = self.forgotten.get(id)?.iter().map(|mark| &mark.says);
        markers.max_by_key(|marker| marker.created)
    }

    /// The pin in force that lasts longest.
    pub fn pin(&self, id: &SnapshotId, now: UnixNanos) -> Option<&Pin> {
        let pins = self.pins.get(id)?.iter().map(|mark| &mark.says);
        let in_force = pins.filter(|pin| pin.is_in_force(now));
        in_force.max_by_key(|pin| pin.until.unwrap_or(UnixNanos::MAX))
    }

    /// Whether any pin names the snapshot, those that have ended included.
    pub fn has_pins(&self, id: &SnapshotId) -> bool {
        self.pins.contains_key(id)
    }

    /// A pin that does not open: nobody knows what it protects.
    pub fn unreadable_pin(&self) -> Option<&ObjectName> {
        let mut names = self.damaged.iter().map(|(name, _)| name);
        names.find(|name| matches!(name, ObjectName::Pinned(_)))
    }

    /// All snapshots that a marker names.
    pub fn forgotten(&self) -> impl Iterator<Item = &SnapshotId> {
        self.forgotten.keys()
    }
}

/// Forgets a snapshot; durable on return. Returns the marker's name, to take it back.
pub fn forget(repo: &Repository, snapshot: SnapshotId, reason: &str) -> Result<ObjectName, Error> {
    let created = repo.env.clock.now();
    let marker = ForgetMarker { snapshot, created, reason: reason.to_owned() };
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = seal_object(&repo.keys, Kind::Forgotten, &id.0, &marker.encode()?);
    let name = ObjectName::Forgotten(id);
    object::put_proven(repo.env.backend.as_ref(), &name, &sealed)?;
    Ok(name)
}

/// Takes back one marker; durable on return.
pub fn rescind(repo: &Repository, marker: &ObjectName) -> Result<(), Error> {
    assert!(matches!(marker, ObjectName::Forgotten(_)), "only markers are taken back");
    Ok(repo.env.backend.delete(marker)?)
}

/// Takes every marker of the snapshot away; durable on return. Returns how many there were.
///
/// # Errors
/// [`Error::TooLate`] if a prune is taking away what the snapshot needs: it is forgotten as before.
/// [`Error::Undeleted`] if that could not be seen any more; after other errors, too, it is
/// forgotten as before.
pub fn undelete(repo: &Repository, snapshot: SnapshotId) -> Result<usize, Error> {
    let marks = Marks::load(repo)?;
    let markers = marks.forgotten.get(&snapshot).map(Vec::as_slice).unwrap_or_default();
    if markers.is_empty() {
        return Ok(0);
    }
    if !commit::is_whole(repo, snapshot)? {
        return Err(Error::TooLate { snapshot });
    }
    let undeleted = |source| Error::Undeleted { snapshot, source: Box::new(source) };
    let count = remove(repo, markers).map_err(|error| match Marks::load(repo) {
        Ok(marks) if marks.is_forgotten(&snapshot) => error,
        _ => undeleted(error),
    })?;
    // As a writer: it is a root from here on, so a prune sees it, or its tombstones are seen here.
    if commit::is_whole(repo, snapshot).map_err(undeleted)? {
        return Ok(count);
    }
    let _ = forget(repo, snapshot, &markers[0].says.reason).map_err(undeleted)?;
    Err(Error::TooLate { snapshot })
}

/// Pins a snapshot; durable on return.
pub fn pin(
    repo: &Repository,
    snapshot: SnapshotId,
    reason: &str,
    until: Option<UnixNanos>,
) -> Result<(), Error> {
    let created = repo.env.clock.now();
    let pin = Pin { snapshot, created, reason: reason.to_owned(), until };
    let id = ObjectId(repo.env.entropy.bytes32());
    let sealed = seal_object(&repo.keys, Kind::Pinned, &id.0, &pin.encode()?);
    object::put_proven(repo.env.backend.as_ref(), &ObjectName::Pinned(id), &sealed)
}

/// Takes every pin of the snapshot away; durable on return. Returns how many there were.
pub fn unpin(repo: &Repository, snapshot: SnapshotId) -> Result<usize, Error> {
    let marks = Marks::load(repo)?;
    remove(repo, marks.pins.get(&snapshot).map(Vec::as_slice).unwrap_or_default())
}

fn remove<T>(repo: &Repository, marks: &[Mark<T>]) -> Result<usize, Error> {
    for mark in marks {
        repo.env.backend.delete(&mark.name)?;
    }
    Ok(marks.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        backend::{
            layer::fault::{Fault, FaultPlan, FaultyBackend, Times},
            memory::MemoryBackend,
        },
        clock::SystemClock,
        repo::tests::{Fixture, commit_chunks},
    };

    #[test]
    fn a_forgotten_snapshot_is_not_shown_until_it_is_undeleted() {
        let fixture = Fixture::new();
        let repo = fixture.open();
        let [first, second] = [1, 2].map(|byte| commit_chunks(&repo, &[vec![byte; 9]]).unwrap());

        let _ = forget(&repo, first.id, "old").unwrap();
        let _ = forget(&repo, first.id, "twice").unwrap();

        assert_eq!(repo.snapshots().unwrap().snapshots, std::slice::from_ref(&second));
        let history = repo.history().unwrap();
        assert_eq!(history.snapshots.len(), 2);
        assert_eq!(history.shown().collect::<Vec<_>>(), [&second]);
        assert_eq!(history.forgotten().collect::<Vec<_>>(), [&first]);
        assert_eq!(undelete(&repo, first.id).unwrap(), 2);
        assert_eq!(repo.snapshots().unwrap().snapshots.len(), 2);
        assert_eq!(undelete(&repo, first.id).unwrap(), 0);
    }

    /// The snapshot was shown after such an error, and nobody said so.
    #[test]
    fn an_undelete_that_fails_leaves_it_forgotten_or_says_that_it_is_not() {
        let faults = [Fault::Io, Fault::LostAnswer]
            .into_iter()
            .flat_map(|fault| [(fault, Times::Once), (fault, Times::ForEver)]);
        for (fault, times) in faults {
            let mut said = 0;
            for call in 1.. {
                let place = FaultyBackend::new(MemoryBackend::new(), Arc::new(SystemClock));
                let place = Arc::new(place);
                let fixture = Fixture::over(place.clone());
                let repo = fixture.open();
                let id = commit_chunks(&repo, &[vec![1; 9]]).unwrap().id;
                let _ = forget(&repo, id, "old").unwrap();
                place.plan(Some(FaultPlan { call, fault, times }));

                let undeleted = undelete(&repo, id);

                let is_harmed = place.injected() > 0;
                place.plan(None);
                let is_forgotten = Marks::load(&repo).unwrap().is_forgotten(&id);
                match undeleted {
                    Ok(_) => assert!(!is_forgotten, "{fault:?} at call {call}"),
                    Err(Error::Undeleted { .. }) => said += 1,
                    Err(error) => assert!(is_forgotten, "{fault:?} at call {call}: {error}"),
                }
                if !is_harmed {
                    break;
                }
            }
            assert!(said > 0, "{fault:?}");
        }
    }

    #[test]
    fn a_pin_outlasts_the_trash_until_it_ends_or_is_taken_away() {
        let fixture = Fixture::new();
        let repo = fixture.open();
        let snapshot = commit_chunks(&repo, &[vec![1; 9]]).unwrap();
        let _ = forget(&repo, snapshot.id, "").unwrap();
        let dropped = || repo.history().unwrap().dropped(std::time::Duration::ZERO, i64::MAX).len();

        pin(&repo, snapshot.id, "ended", Some(5)).unwrap();
        assert_eq!(dropped(), 1);
        pin(&repo, snapshot.id, "tax", None).unwrap();
        assert_eq!(dropped(), 0);
        let marks = Marks::load(&repo).unwrap();
        assert_eq!(marks.pin(&snapshot.id, 9).unwrap().reason, "tax");
        assert_eq!(unpin(&repo, snapshot.id).unwrap(), 2);
        assert_eq!(dropped(), 1);
    }

    #[test]
    fn a_damaged_marker_hides_nothing_and_a_damaged_pin_keeps_everything() {
        let fixture = Fixture::new();
        let repo = fixture.open();
        let [first, second] = [1, 2].map(|byte| commit_chunks(&repo, &[vec![byte; 9]]).unwrap());
        let _ = forget(&repo, first.id, "").unwrap();
        let backend = repo.environment().backend.as_ref();

        backend.put_new(&ObjectName::Forgotten(ObjectId([9; 32])), &[b"no marker"]).unwrap();
        assert_eq!(repo.snapshots().unwrap().snapshots, [second]);
        assert_eq!(repo.snapshots().unwrap().damaged.len(), 1);
        backend.put_new(&ObjectName::Pinned(ObjectId([9; 32])), &[b"no pin"]).unwrap();

        let history = repo.history().unwrap();
        assert!(history.marks.unreadable_pin().is_some());
        assert!(history.dropped(std::time::Duration::ZERO, i64::MAX).is_empty());
    }
}
