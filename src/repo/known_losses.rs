//! What the last check of this machine found missing, snapshot by snapshot, for lists that have no
//! time to look themselves.
//!
//! A file of the state folder, and a cache: without it, lists show no such mark until the next
//! check, and a prune asks for one where content is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use crate::{
    disk::file,
    id::SnapshotId,
    repo::{Environment, Error, check::CheckEvent, state::State},
};

const FILE: &str = "known-losses.json";
const FILE_BYTES_MAX: u64 = 16 << 20;
/// More snapshots than that are not remembered: each takes about a hundred bytes.
const SNAPSHOTS_MAX: usize = 50_000;

/// Parts that cannot be restored whole, by their snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownLosses(BTreeMap<String, BTreeSet<String>>);

impl KnownLosses {
    /// Gathers what a check told.
    pub(super) fn of(events: &[CheckEvent]) -> Self {
        let mut losses = Self::default();
        for event in events {
            let CheckEvent::Affected { snapshot, part, .. } = event else { continue };
            let snapshot = snapshot.to_string();
            if losses.0.len() < SNAPSHOTS_MAX || losses.0.contains_key(&snapshot) {
                let _ = losses.0.entry(snapshot).or_default().insert(part.clone());
            }
        }
        losses
    }

    /// Reads what the last check left; nothing if it cannot be read.
    pub(super) fn load(env: &Environment, state: &State) -> Self {
        let bytes = file::read(env.disk.as_ref(), state.dir(), OsStr::new(FILE), FILE_BYTES_MAX);
        let parsed = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self(parsed.unwrap_or_default())
    }

    /// Keeps it in the place of what was found before; durable on return.
    pub(super) fn save(&self, env: &Environment, state: &State) -> Result<(), Error> {
        if *self == Self::load(env, state) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&self.0).expect("strings always become JSON");
        file::replace(env.disk.as_ref(), state.dir(), OsStr::new(FILE), &bytes, 0o600)
            .map_err(|source| state.error("write", FILE, source))
    }

    /// The parts of this snapshot that were not whole.
    pub fn parts_of(&self, snapshot: &SnapshotId) -> Vec<&str> {
        let parts = self.0.get(&snapshot.to_string());
        parts.into_iter().flatten().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(snapshot: u8, part: &str) -> CheckEvent {
        let (part, why) = (part.to_owned(), "gone".to_owned());
        CheckEvent::Affected { snapshot: SnapshotId([snapshot; 32]), part, path: Vec::new(), why }
    }

    #[test]
    fn each_snapshot_is_known_with_all_its_parts_that_are_not_whole() {
        let losses =
            KnownLosses::of(&[affected(1, "pos"), affected(2, "pos"), affected(1, "files")]);

        assert_eq!(losses.parts_of(&SnapshotId([1; 32])), ["files", "pos"]);
        assert_eq!(losses.parts_of(&SnapshotId([2; 32])), ["pos"]);
        assert!(losses.parts_of(&SnapshotId([3; 32])).is_empty());
    }
}
