//! Packs that go up while the backup that makes them still runs, so that the line does not wait
//! until the last file was read. Spec: `format-spec/70-write-order.md`, "A run".
//!
//! Without a record a pack is nothing to whoever reads a mirror, so it may be there before the
//! backup has come to its end, and though it may never come to one: the ledger knows it, and the
//! next push that needs it finds it there. That push also says what is wrong with a mirror; to send
//! ahead only saves it time, and keeps quiet.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    backend::ObjectName,
    id::PackId,
    ops::{
        self,
        event::{Meter, Silent},
        mirror::{
            Ledger, Sent, Target,
            copy::Copier,
            push::{lock, prepare, send_keys},
        },
    },
    repo::Repository,
};

/// The packs that a run has made durable so far. Any number of mirrors follow it.
#[derive(Debug, Default)]
pub struct Made {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    packs: Vec<PackId>,
    is_over: bool,
}

impl Made {
    /// Adds a pack that is durable.
    pub fn add(&self, pack: PackId) {
        self.lock().packs.push(pack);
        self.changed.notify_all();
    }

    /// The run is over: nobody waits any more, and nothing further goes ahead.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to send; says no once the run is over.
    pub fn wait_for_any(&self) -> bool {
        self.wait_for(0).is_some()
    }

    fn wait_for(&self, number: usize) -> Option<PackId> {
        let mut state = self.lock();
        while !state.is_over {
            if let Some(pack) = state.packs.get(number) {
                return Some(*pack);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends packs as they are made, so many at once, until the run is over or anything fails. Returns
/// what was sent; all of it is in the ledger.
pub fn send_ahead(
    repo: &Repository,
    target: &Target,
    ledger: &mut Ledger,
    (made, at_once): (&Made, usize),
) -> Result<Sent, ops::Error> {
    let _lock = lock(repo, target)?;
    let _scope = prepare(repo, target, ledger)?;
    let clock = repo.environment().clock.clone();
    let meter = Meter::new(&Silent, &*clock);
    let copier = Copier::new(repo, target, ledger, &meter);
    let _keys = send_keys(repo, &copier)?;
    let number = AtomicUsize::new(0);
    let next = || made.wait_for(number.fetch_add(1, Ordering::Relaxed)).map(ObjectName::Pack);
    // What failed is left to the push, which meets it again and tells it.
    let _failed = copier.send_each(at_once, &next);
    Ok(copier.sent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_pack_gets_it_when_it_is_made_and_nothing_after_the_end() {
        let made = Made::default();
        let pack = PackId([1; 32]);

        let waited = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (made.wait_for(0), made.wait_for(1)));
            made.add(pack);
            // The first may be taken before or after the end, but not lost without it.
            while !waiting.is_finished() {
                made.end();
            }
            waiting.join().unwrap()
        });

        assert!(waited.0.is_none_or(|first| first == pack) && waited.1.is_none());
        assert!(!made.wait_for_any());
    }
}
