//! Keys: who can open the repository, and the sheet of paper that can.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    clock::UnixNanos,
    crypto::{recovery::RECOVERY_BYTES, secret::Credential},
    disk,
    format::slot::Derivation,
    id::ObjectId,
    ops::{self, event::Observer},
    repo::{
        self, Repository, SlotEntry,
        prune::{self, OlderEpochs, Options},
    },
};

/// Where this machine remembers which sheets were typed in again, and when.
const VERIFIED_FILE: &str = "recovery.json";
/// Where this machine remembers which keys somebody removed, for the mirrors.
const REMOVED_FILE: &str = "removed-keys.json";
const VERIFIED_BYTES_MAX: u64 = 1 << 20;
/// Packs of so many bytes are re-sealed before the old ones go: that much room is needed.
const RESEAL_BYTES: u64 = 1 << 30;
/// Label of the slot that a sheet opens.
const SHEET_LABEL: &str = "recovery sheet";

/// Why a key was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no key has the label `{text}`, nor an id that begins so")]
    Unknown { text: String },
    #[error("{} keys are meant by `{text}`", ids.len())]
    Ambiguous { text: String, ids: Vec<String> },
    #[error("this recovery key was made for another kind of slot, or its slot is gone")]
    NotASheet,
}

/// One key, and what this machine knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    pub slot: SlotEntry,
    /// When its sheet was last typed in again on this machine.
    pub verified: Option<UnixNanos>,
}

/// All keys, oldest first, and the damaged slots with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    pub keys: Vec<KnownKey>,
    pub damaged: Vec<(crate::backend::ObjectName, String)>,
}

/// Lists who can open the repository.
pub fn list(repo: &Repository) -> Result<KeyList, ops::Error> {
    let repo::Slots { slots, damaged } = repo.slots()?;
    let verified = read_verified(repo);
    let known = |slot: SlotEntry| KnownKey {
        verified: verified.0.get(&slot.id.to_string()).copied(),
        slot,
    };
    Ok(KeyList { keys: slots.into_iter().map(known).collect(), damaged })
}

/// Finds the key that a person means: by its label, or by how its id begins.
pub fn find(list: &KeyList, text: &str) -> Result<SlotEntry, Error> {
    let labelled = list.keys.iter().filter(|key| key.slot.label == text);
    let named = list.keys.iter().filter(|key| key.slot.id.to_string().starts_with(text));
    let mut found: Vec<&SlotEntry> = labelled.map(|key| &key.slot).collect();
    if found.is_empty() && !text.is_empty() {
        found = named.map(|key| &key.slot).collect();
    }
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(Error::Unknown { text: text.to_owned() }),
        _ => Err(Error::Ambiguous {
            text: text.to_owned(),
            ids: found.iter().map(|slot| slot.id.to_string()).collect(),
        }),
    }
}

/// Removes a key, here at once, and on each mirror when that is next brought up to date.
pub fn remove(repo: &Repository, slot: ObjectId) -> Result<(), ops::Error> {
    // Noted first: a slot that is noted and still here stays on the mirrors, too.
    let mut removed = read_removed(repo);
    let _ = removed.insert(slot.to_string());
    write(repo, REMOVED_FILE, &removed)?;
    Ok(repo.remove_slot(slot)?)
}

/// The keys that somebody removed on this machine.
pub fn removed(repo: &Repository) -> Vec<ObjectId> {
    read_removed(repo).iter().filter_map(|id| id.parse().ok()).collect()
}

fn read_removed(repo: &Repository) -> BTreeSet<String> {
    let (disk, name) = (repo.environment().disk.as_ref(), OsStr::new(REMOVED_FILE));
    disk::file::read(disk, repo.state_dir(), name, VERIFIED_BYTES_MAX)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Puts a new credential in the place of the one that opened the repository.
///
/// The new slot is written, read back and opened before the old one goes; a crash between leaves
/// both.
pub fn change(
    repo: &Repository,
    credential: &Credential,
    label: &str,
) -> Result<ObjectId, ops::Error> {
    let old = repo.slots()?.slots.into_iter().find(|slot| slot.is_in_use);
    let new = repo.add_slot(credential, label)?;
    if let Some(old) = old {
        remove(repo, old.id)?;
    }
    Ok(new)
}

/// What a re-sealing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    pub packs: u64,
    /// Size of the packs that took in what was moved.
    pub bytes: u64,
    /// Packs that stay as they are: damaged, or perhaps of a backup under way.
    pub left: u64,
}

/// Moves all that is alive in packs of older epochs to new packs, which are sealed under the newest
/// key, and removes the old ones by the rules of a prune.
///
/// Every chunk can be read at any moment, and it goes on where it was interrupted.
pub fn reseal(repo: &Repository, observer: &dyn Observer) -> Result<Resealed, ops::Error> {
    let options = Options {
        // Nothing but what is asked for.
        max_repack_bytes: Some(0),
        older_epochs: OlderEpochs::Move { bytes_max: RESEAL_BYTES },
        ..Options::default()
    };
    let mut resealed = Resealed::default();
    loop {
        let report =
            ops::prune::observed(repo, observer, |observe| prune::prune(repo, &options, observe))?;
        resealed.packs += report.packs_deleted;
        resealed.bytes += report.bytes_written;
        resealed.left = report.outlook.older_packs;
        if report.outlook.older_packs == 0 || report.packs_deleted == 0 {
            return Ok(resealed);
        }
    }
}

/// A sheet of paper in the making.
#[derive(Debug)]
pub struct NewSheet {
    pub slot: ObjectId,
    pub created: UnixNanos,
    pub key: Zeroizing<[u8; RECOVERY_BYTES]>,
}

/// Adds a slot that a new recovery key opens. Whoever gets it back must see to it that the key is
/// written down, or call [`Repository::remove_slot`].
pub fn new_sheet(repo: &Repository) -> Result<NewSheet, ops::Error> {
    let mut key = Zeroizing::new([0; RECOVERY_BYTES]);
    repo.environment().entropy.fill(&mut *key);
    let slot = repo.add_slot(&Credential::Recovery(*key), SHEET_LABEL)?;
    Ok(NewSheet { slot, created: repo.environment().clock.now(), key })
}

/// Remembers that the sheet which opened this repository could be read and typed.
pub fn note_verified(repo: &Repository) -> Result<SlotEntry, ops::Error> {
    let slots = repo.slots()?.slots;
    let is_sheet = |slot: &SlotEntry| slot.is_in_use && slot.derivation == Derivation::Recovery;
    let Some(sheet) = slots.iter().find(|slot| is_sheet(slot)) else {
        return Err(Error::NotASheet.into());
    };
    let env = repo.environment();
    let mut verified = read_verified(repo);
    // Slots that are gone are nobody's business any more.
    verified.0.retain(|id, _| slots.iter().any(|slot| slot.id.to_string() == *id));
    let _ = verified.0.insert(sheet.id.to_string(), env.clock.now());
    write(repo, VERIFIED_FILE, &verified)?;
    Ok(sheet.clone())
}

fn write(repo: &Repository, file: &str, content: &impl Serialize) -> Result<(), ops::Error> {
    let bytes = serde_json::to_vec_pretty(content).expect("strings and numbers become JSON");
    let (disk, name) = (repo.environment().disk.as_ref(), OsStr::new(file));
    disk::file::replace(disk, repo.state_dir(), name, &bytes, 0o600).map_err(|source| {
        ops::Error::Io { action: "write", path: repo.state_path().join(file), source }
    })
}

/// By slot id; a file that is lost or unreadable knows nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Verified(BTreeMap<String, UnixNanos>);

fn read_verified(repo: &Repository) -> Verified {
    let (disk, name) = (repo.environment().disk.as_ref(), OsStr::new(VERIFIED_FILE));
    disk::file::read(disk, repo.state_dir(), name, VERIFIED_BYTES_MAX)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(labels: &[(u8, &str)]) -> KeyList {
        let slot = |(first, label): &(u8, &str)| KnownKey {
            slot: SlotEntry {
                id: ObjectId([*first; 32]),
                derivation: Derivation::KeyFile,
                label: (*label).to_owned(),
                created: 0,
                is_in_use: false,
            },
            verified: None,
        };
        KeyList { keys: labels.iter().map(slot).collect(), damaged: Vec::new() }
    }

    #[test]
    fn a_key_is_meant_by_its_label_or_by_how_its_id_begins() {
        let list = list_of(&[(0xab, "owner"), (0xac, "till"), (0xcd, "ab")]);
        let found = |text: &str| find(&list, text).map(|slot| slot.id.0[0]).ok();

        assert_eq!(found("owner"), Some(0xab));
        assert_eq!(found("acac"), Some(0xac));
        assert_eq!(found("ab"), Some(0xcd));
        assert_eq!(found("ee"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn a_name_for_two_keys_is_refused_with_both_ids() {
        let list = list_of(&[(0xab, "till"), (0xac, "till")]);

        assert!(matches!(find(&list, "till"), Err(Error::Ambiguous { ids, .. }) if ids.len() == 2));
        assert!(matches!(find(&list, "a"), Err(Error::Ambiguous { .. })));
    }
}
