//! Which packs were read in full, and when: so that checks of a share each add up to everything.
//!
//! A file of the state folder, and a cache: without it, reading begins anew.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
};

use crate::{
    clock::UnixNanos,
    disk::file,
    id::PackId,
    repo::{Environment, Error, state::State},
};

const FILE: &str = "packs-read";
/// More than two million packs.
const FILE_BYTES_MAX: u64 = 80 << 20;
const ENTRY_BYTES: usize = 40;
const HASH_BYTES: usize = 32;

/// A share of all bytes of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many of so many equal parts.
    Fraction {
        parts: u64,
        of: u64,
    },
    Bytes(u64),
}

impl Share {
    const fn of(self, bytes_total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Fraction { parts, of } => {
                let bytes = (bytes_total as u128 * parts as u128).div_ceil(of as u128);
                bytes as u64
            }
        }
    }
}

/// When each pack was read in full by this machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LastRead(HashMap<PackId, UnixNanos>);

impl LastRead {
    /// Reads what earlier checks left; nothing if it cannot be read.
    pub fn load(env: &Environment, state: &State) -> Self {
        let bytes = file::read(env.disk.as_ref(), state.dir(), OsStr::new(FILE), FILE_BYTES_MAX);
        bytes.ok().and_then(|bytes| Self::decode(&bytes)).unwrap_or_default()
    }

    /// Keeps what is known of these packs; durable on return.
    pub fn save(
        &self,
        env: &Environment,
        state: &State,
        packs: &[(PackId, u64)],
    ) -> Result<(), Error> {
        let kept = packs.iter().filter_map(|(pack, _)| Some((*pack, *self.0.get(pack)?)));
        let kept = Self(kept.collect());
        file::replace(env.disk.as_ref(), state.dir(), OsStr::new(FILE), &kept.encode(), 0o600)
            .map_err(|source| state.error("write", FILE, source))
    }

    /// Chooses whole packs that together hold the share, those first that were read longest ago or
    /// never. At least one, if there is any.
    pub fn choose(&self, packs: &[(PackId, u64)], share: Share) -> Vec<PackId> {
        let mut packs = packs.to_vec();
        packs.sort_by_key(|(pack, _)| (self.0.get(pack).copied(), *pack));
        let wanted = share.of(packs.iter().map(|(_, bytes)| bytes).sum()).max(1);
        let mut chosen_bytes = 0;
        let chosen = packs.into_iter().take_while(|(_, bytes)| {
            let is_due = chosen_bytes < wanted;
            chosen_bytes += bytes;
            is_due
        });
        chosen.map(|(pack, _)| pack).collect()
    }

    /// Notes that a pack was read. Later notes count as later, whatever the clock says.
    pub fn note(&mut self, pack: PackId, now: UnixNanos) {
        let _ = self.0.insert(pack, now);
    }

    /// The moment that is later than all notes.
    pub fn later_than_all(&self, now: UnixNanos) -> UnixNanos {
        self.0.values().max().map_or(now, |newest| now.max(newest.saturating_add(1)))
    }

    /// When the pack that was read longest ago was read; nothing while one was never read.
    pub fn oldest(&self, packs: &[(PackId, u64)]) -> Option<UnixNanos> {
        packs.iter().map(|(pack, _)| self.0.get(pack).copied()).min().flatten()
    }

    /// How many of the packs were never read.
    pub fn never_read(&self, packs: &[(PackId, u64)]) -> u64 {
        packs.iter().filter(|(pack, _)| !self.0.contains_key(pack)).count() as u64
    }

    fn encode(&self) -> Vec<u8> {
        let sorted: BTreeMap<_, _> = self.0.iter().collect();
        let mut bytes: Vec<u8> = sorted
            .into_iter()
            .flat_map(|(pack, when)| pack.0.into_iter().chain(when.to_le_bytes()))
            .collect();
        let hash = *blake3::hash(&bytes).as_bytes();
        bytes.extend(hash);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
        if blake3::hash(entries).as_bytes() != hash || entries.len() % ENTRY_BYTES != 0 {
            return None;
        }
        let entries = entries.chunks_exact(ENTRY_BYTES).map(|entry| {
            let (pack, when) = entry.split_at(HASH_BYTES);
            let when = i64::from_le_bytes(when.try_into().expect("40 less 32 bytes"));
            (PackId(pack.try_into().expect("32 bytes")), when)
        });
        Some(Self(entries.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(sizes: &[u64]) -> Vec<(PackId, u64)> {
        sizes.iter().enumerate().map(|(at, bytes)| (PackId([at as u8; 32]), *bytes)).collect()
    }

    #[test]
    fn shares_add_up_to_everything() {
        let packs = packs(&[5, 40, 1, 1, 32, 32, 32, 7, 32, 2]);
        for share in [
            Share::Fraction { parts: 1, of: 7 },
            Share::Fraction { parts: 10, of: 100 },
            Share::Bytes(31),
        ] {
            let mut last = LastRead::default();
            let mut runs = 0;
            while last.oldest(&packs).is_none() {
                runs += 1;
                // A clock that stands still, or goes back, changes nothing.
                let now = last.later_than_all(1000 - runs);
                last.choose(&packs, share).into_iter().for_each(|pack| last.note(pack, now));
            }
            let runs_max = match share {
                Share::Fraction { parts, of } => of.div_ceil(parts) as i64,
                Share::Bytes(bytes) => 184_u64.div_ceil(bytes) as i64,
            };
            assert!(runs <= runs_max, "{share:?} took {runs} runs");
        }
    }

    #[test]
    fn what_was_read_longest_ago_comes_first() {
        let packs = packs(&[10, 10, 10]);
        let mut last = LastRead::default();
        last.note(packs[0].0, 5);
        last.note(packs[2].0, 3);

        let chosen = |bytes| last.choose(&packs, Share::Bytes(bytes));

        assert_eq!(chosen(0), [packs[1].0]);
        assert_eq!(chosen(15), [packs[1].0, packs[2].0]);
        assert_eq!(last.never_read(&packs), 1);
    }

    #[test]
    fn a_file_that_was_changed_is_as_good_as_none() {
        let mut last = LastRead::default();
        last.note(PackId([7; 32]), -3);
        let bytes = last.encode();

        assert_eq!(LastRead::decode(&bytes), Some(last));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(LastRead::decode(&changed), None);
            assert_eq!(LastRead::decode(&bytes[..at]), None);
        }
    }
}
