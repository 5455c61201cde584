//! One listing of everything, in place of one for each shelf: taken when a machine that knows
//! nothing opens the folder, and whenever all shelves are asked for at once.
//!
//! Listings of Drive are late anyway, and this one tells of each shelf once, within a moment. It is
//! forgotten as soon as we write or delete anything, for whoever does that looks again in order to
//! see more; and when something in it turns out to be gone.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::remote::Remote;
use crate::clock::Clock;

/// For so long it may be used.
const AGE_MAX: Duration = Duration::from_secs(30);

/// A listing of everything.
#[derive(Debug, Default)]
pub struct Glimpse(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    at: Duration,
    by_parent: HashMap<String, Vec<Remote>>,
    told: HashSet<String>,
}

impl Seen {
    fn is_old(&self, clock: &dyn Clock) -> bool {
        clock.elapsed().saturating_sub(self.at) > AGE_MAX
    }
}

impl Glimpse {
    /// Keeps what was just listed.
    pub fn keep(&self, everything: Vec<Remote>, clock: &dyn Clock) {
        let mut by_parent: HashMap<String, Vec<Remote>> = HashMap::new();
        for remote in everything {
            for parent in remote.parents.clone() {
                by_parent.entry(parent).or_default().push(remote.clone());
            }
        }
        *self.lock() = Some(Seen { at: clock.elapsed(), by_parent, told: HashSet::new() });
    }

    /// Whether it has told of nothing yet.
    pub fn is_fresh(&self, clock: &dyn Clock) -> bool {
        self.lock().as_ref().is_some_and(|seen| !seen.is_old(clock) && seen.told.is_empty())
    }

    /// What lay on a shelf, if that was seen a moment ago and not told yet.
    pub fn of_shelf(&self, shelf: &str, clock: &dyn Clock) -> Option<Vec<Remote>> {
        let mut kept = self.lock();
        let seen = kept.as_mut()?;
        if seen.is_old(clock) || !seen.told.insert(shelf.to_owned()) {
            return None;
        }
        Some(seen.by_parent.get(shelf).cloned().unwrap_or_default())
    }

    /// Forgets everything.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
