//! Packs that no index object names: the work of a run that is under way, or of one that died. How
//! long they have been seen is remembered; it delays their deletion and never decides it.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    time::Duration,
};

use crate::{
    clock::UnixNanos,
    disk,
    id::PackId,
    repo::{Error, Repository, prune::survey::Survey},
};

const FILE: &str = "unclaimed-packs.json";
const BYTES_MAX: u64 = 64 << 20;

/// Unclaimed packs, and which of them are to be left alone.
pub struct Waiting {
    first_seen: BTreeMap<String, UnixNanos>,
    pub young: HashSet<PackId>,
}

/// Finds the packs that may belong to a run under way.
pub fn waiting(repo: &Repository, survey: &Survey, grace: Duration) -> Result<Waiting, Error> {
    let now = repo.env.clock.now();
    let disk = repo.env.disk.as_ref();
    // A file that is lost makes packs young again.
    let known: BTreeMap<String, UnixNanos> =
        disk::file::read(disk, repo.state.dir(), OsStr::new(FILE), BYTES_MAX)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
    let grace = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    let mut waiting = Waiting { first_seen: BTreeMap::new(), young: HashSet::new() };
    for pack in survey.packs.iter().filter(|pack| !pack.is_claimed) {
        let name = pack.entry.pack.to_string();
        let first_seen = known.get(&name).copied().unwrap_or(now);
        if grace > 0 && now.saturating_sub(first_seen) < grace {
            let _ = waiting.young.insert(pack.entry.pack);
        }
        let _ = waiting.first_seen.insert(name, first_seen);
    }
    Ok(waiting)
}

/// Remembers when they were first seen.
pub fn remember(repo: &Repository, waiting: &Waiting) -> Result<(), Error> {
    let bytes = serde_json::to_vec(&waiting.first_seen).expect("a map of texts becomes JSON");
    let disk = repo.env.disk.as_ref();
    disk::file::replace(disk, repo.state.dir(), OsStr::new(FILE), &bytes, 0o600)
        .map_err(|source| repo.state.error("write", FILE, source))
}
