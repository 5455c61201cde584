//! Mirrors elsewhere get the packs of a backup while it still runs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    backend::{ObjectName, layer::tell::Tell},
    cli::{
        context::Context,
        error::Error,
        mirrors::{ledger, mirrors, target_on},
    },
    config::{Config, Mirror, Place},
    limits::PACK_BYTES_TARGET,
    ops::mirror::{Made, Sent, send_ahead},
    repo::Repository,
    setup::Machine,
};

/// Packs that are in memory to be sent, of all mirrors together: a backup has its own.
const PACKS_AT_ONCE: usize = 2;
/// A shorter pack is the last of its run, and goes with the records: the hour of a shop costs no
/// request more.
const PACK_BYTES_MIN: u64 = PACK_BYTES_TARGET / 2;

/// What was sent ahead, by the name of the mirror.
pub type SentAhead = BTreeMap<String, Sent>;

/// Whether any mirror is worth sending ahead to.
pub fn has_any(config: &Config) -> bool {
    remote(config).next().is_some()
}

/// What tells of packs that are worth a request of their own.
pub fn tell(made: &Arc<Made>) -> Tell {
    let made = Arc::clone(made);
    Arc::new(move |name, bytes| {
        if let ObjectName::Pack(pack) = name
            && bytes >= PACK_BYTES_MIN
        {
            made.add(*pack);
        }
    })
}

/// Does the work, and sends meanwhile what it makes.
///
/// When the work is done, each mirror is waited for until it has the pack that it is at.
pub fn during<T>(
    context: &Context,
    place: (&Config, &Repository),
    made: &Made,
    work: impl FnOnce() -> T,
) -> (T, SentAhead) {
    let chosen: Vec<&Mirror> = remote(place.0).take(PACKS_AT_ONCE).collect();
    let at_once = PACKS_AT_ONCE / chosen.len().max(1);
    // What is tried again is given up when the work is done: the push begins anew.
    let machine = Machine { stop: Arc::default(), ..context.machine.clone() };
    std::thread::scope(|scope| {
        let senders: Vec<_> = chosen
            .iter()
            .map(|mirror| scope.spawn(|| send(&machine, place, mirror, (made, at_once))))
            .collect();
        let end = End { made, stop: &machine.stop };
        let done = work();
        drop(end);
        let names = chosen.iter().map(|mirror| mirror.name.clone());
        // A sender that failed, even by panicking, has sent nothing that the push relies on.
        let sent = senders.into_iter().map(|sender| sender.join().ok().and_then(Result::ok));
        let sent = names.zip(sent).map(|(name, sent)| (name, sent.unwrap_or_default()));
        (done, sent.collect())
    })
}

/// Tells the senders that it is over, whatever became of the work.
struct End<'a> {
    made: &'a Made,
    stop: &'a AtomicBool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.made.end();
    }
}

fn remote(config: &Config) -> impl Iterator<Item = &Mirror> {
    mirrors(config).filter(|mirror| !matches!(mirror.place, Place::Folder(_)))
}

fn send(
    machine: &Machine,
    (config, repository): (&Config, &Repository),
    mirror: &Mirror,
    (made, at_once): (&Made, usize),
) -> Result<Sent, Error> {
    if !made.wait_for_any() {
        return Ok(Sent::default());
    }
    let mut ledger = ledger(repository, mirror)?;
    let target = target_on(machine, (config, repository), mirror, &ledger)?;
    Ok(send_ahead(repository, &target, &mut ledger, (made, at_once))?)
}
