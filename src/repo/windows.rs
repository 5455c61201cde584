//! Reading from afar in large pieces: what a restore will need is known before it begins, so blobs
//! that lie side by side come in one request, and a few requests are under way ahead of who reads.

mod plan;

use std::{
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use plan::{Key, Plan, Slot};

use crate::{
    backend::{self, Backend, ObjectName},
    id::PackId,
};

/// Requests under way ahead of who reads. More of them would each be slower, and take memory.
const FETCHERS: usize = 4;

/// The pieces of packs that will be needed, and those at hand.
#[derive(Default)]
pub struct Windows {
    shared: Arc<Shared>,
    fetchers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    /// There is more to fetch, or more room, or it is over.
    changed: Condvar,
}

impl Windows {
    /// Plans pieces for these blobs, in the order in which they will be read, and begins to fetch
    /// them; those of earlier calls stay.
    pub fn expect(
        &self,
        backend: &Arc<dyn Backend>,
        blobs: impl Iterator<Item = (PackId, Range<u64>)>,
    ) {
        self.shared.lock().add(&blobs.collect::<Vec<_>>());
        self.shared.changed.notify_all();
        let mut fetchers = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner);
        while fetchers.len() < FETCHERS {
            let (shared, backend) = (Arc::clone(&self.shared), Arc::clone(backend));
            fetchers.push(std::thread::spawn(move || shared.fetch_ahead(&*backend)));
        }
    }

    /// Lets go of what was fetched of a pack.
    pub fn forget(&self, pack: PackId) {
        self.shared.lock().forget(pack);
    }

    /// Reads a range, in place of what is in the buffer, with its neighbours if that is planned.
    pub fn read(
        &self,
        backend: &dyn Backend,
        (pack, range): (PackId, Range<u64>),
        into: &mut Vec<u8>,
    ) -> Result<(), backend::Error> {
        let Some((key, slot)) = self.shared.lock().slot_of(pack, &range) else {
            return backend.read_range(&ObjectName::Pack(pack), range, into);
        };
        let bytes = fetched(backend, &key, &slot)?;
        self.shared.lock().note_read(&key, range.end - range.start);
        self.shared.changed.notify_all();
        let at = |offset: u64| (offset - key.start) as usize;
        into.clear();
        into.extend_from_slice(&bytes[at(range.start)..at(range.end)]);
        Ok(())
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.shared.lock().end();
        self.shared.changed.notify_all();
        let fetchers = self.fetchers.get_mut().unwrap_or_else(PoisonError::into_inner);
        for fetcher in fetchers.drain(..) {
            let _ = fetcher.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches what will be read next, until it is over.
    fn fetch_ahead(&self, backend: &dyn Backend) {
        while let Some((key, slot)) = self.wait_for_next() {
            // A failure leaves the piece to whoever reads it, and who meets and tells it.
            let _ = fetched(backend, &key, &slot);
        }
    }

    fn wait_for_next(&self) -> Option<(Key, Arc<Slot>)> {
        let mut plan = self.lock();
        while !plan.is_over() {
            if let Some(next) = plan.next_ahead() {
                return Some(next);
            }
            plan = self.changed.wait(plan).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// The bytes of a piece; one thread fetches them while others wait for it.
fn fetched(backend: &dyn Backend, key: &Key, slot: &Slot) -> Result<Arc<Vec<u8>>, backend::Error> {
    let mut held = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = held.as_ref() {
        return Ok(Arc::clone(bytes));
    }
    let name = ObjectName::Pack(key.pack);
    let bytes = Arc::new(backend.get_range(&name, key.start..key.end)?);
    *held = Some(Arc::clone(&bytes));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{layer::record::Recorded, memory::MemoryBackend},
        limits::MIB,
    };

    const PACK: PackId = PackId([1; 32]);

    fn place(bytes: usize) -> (Arc<Recorded>, Vec<u8>) {
        let place = Arc::new(Recorded::new(Arc::new(MemoryBackend::new())));
        let content: Vec<u8> = (0..=255).cycle().take(bytes).collect();
        place.put_new(&ObjectName::Pack(PACK), &[&content]).unwrap();
        let _ = place.take();
        (place, content)
    }

    fn read(
        windows: &Windows,
        backend: &dyn Backend,
        pack: PackId,
        range: Range<u64>,
    ) -> Result<Vec<u8>, backend::Error> {
        let mut bytes = Vec::new();
        windows.read(backend, (pack, range), &mut bytes).map(|()| bytes)
    }

    #[test]
    fn planned_neighbours_come_in_one_request_and_the_rest_as_it_is_asked_for() {
        let (place, content) = place(5000);
        let backend: Arc<dyn Backend> = place.clone();
        let windows = Windows::default();
        windows.expect(&backend, [(PACK, 100..200), (PACK, 200..400)].into_iter());

        for range in [100..200, 200..400, 100..200, 1000..1010] {
            let read = read(&windows, &*backend, PACK, range.clone()).unwrap();
            assert_eq!(read, content[range.start as usize..range.end as usize]);
        }

        drop(windows);
        assert_eq!(place.take().len(), 2);
    }

    #[test]
    fn whatever_is_read_in_whatever_order_each_piece_is_fetched_once() {
        const BLOB: u64 = 512 * 1024;
        let blobs: Vec<_> = (0..96).map(|at| (PACK, at * BLOB..(at + 1) * BLOB)).collect();
        let (place, content) = place(48 * MIB);
        let backend: Arc<dyn Backend> = place.clone();
        let windows = Windows::default();
        windows.expect(&backend, blobs.iter().cloned());

        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (windows, backend, blobs, content) = (&windows, &backend, &blobs, &content);
                let _ = scope.spawn(move || {
                    for (pack, range) in blobs.iter().skip(thread).step_by(3) {
                        let read = read(windows, &**backend, *pack, range.clone()).unwrap();
                        assert!(read == content[range.start as usize..range.end as usize]);
                    }
                });
            }
        });

        drop(windows);
        assert_eq!(place.take().len(), 48 / 4);
    }

    #[test]
    fn what_nobody_reads_is_fetched_up_to_a_bound_only() {
        let (place, _) = place(96 * MIB);
        let backend: Arc<dyn Backend> = place.clone();
        let windows = Windows::default();
        let blob = |at: u64| (PACK, at * MIB as u64..(at + 1) * MIB as u64);
        windows.expect(&backend, (0..96).map(blob));

        // The last piece is not among those that come first.
        let _ = read(&windows, &*backend, PACK, blob(95).1).unwrap();

        drop(windows);
        assert!(place.take().iter().map(|call| call.bytes).sum::<u64>() <= 40 * MIB as u64);
    }

    #[test]
    fn a_plan_that_grows_keeps_what_was_fetched_apart_from_what_is_larger_now() {
        let (place, content) = place(5000);
        let backend: Arc<dyn Backend> = place.clone();
        let windows = Windows::default();
        windows.expect(&backend, [(PACK, 100..200)].into_iter());
        assert_eq!(read(&windows, &*backend, PACK, 100..200).unwrap(), content[100..200]);

        windows.expect(&backend, [(PACK, 200..900)].into_iter());

        assert_eq!(read(&windows, &*backend, PACK, 200..900).unwrap(), content[200..900]);
        assert_eq!(read(&windows, &*backend, PACK, 100..200).unwrap(), content[100..200]);
    }
}
