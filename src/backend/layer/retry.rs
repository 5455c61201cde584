//! Tries again: the one place where that is decided, by one rule for all backends.
//!
//! What [`Error::is_retryable`] says may pass is tried a bounded number of times, later each time
//! and never at the same moment as others. A place that asks for patience gets it, up to a limit;
//! beyond that the run ends, and the next one goes on.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt},
    clock::{Clock, Entropy},
};

/// How often, and how late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in all, the first one included.
    pub attempts_max: u32,
    /// Longest wait after the first attempt; it doubles with each further one.
    pub delay_first: Duration,
    pub delay_max: Duration,
    /// Longest wait that a place may ask for and get.
    pub retry_after_max: Duration,
    /// After this no further attempt is begun.
    pub total_max: Duration,
}

impl Default for Patience {
    /// Bridges a minute or two.
    fn default() -> Self {
        Self {
            attempts_max: 7,
            delay_first: Duration::from_secs(1),
            delay_max: Duration::from_secs(32),
            retry_after_max: Duration::from_secs(90),
            total_max: Duration::from_secs(180),
        }
    }
}

/// A backend whose passing failures pass.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn Backend>,
    waits: Waits,
}

/// What waiting needs.
#[derive(Clone)]
pub struct Waits {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Set by a signal; then nothing is waited for.
    pub stop: Arc<AtomicBool>,
    pub patience: Patience,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.patience.fmt(f)
    }
}

impl Waits {
    /// How long to wait after this failure of the attempt, or nothing if it is the last.
    fn delay(&self, (attempt, began): (u32, Duration), error: &Error) -> Option<Duration> {
        let patience = &self.patience;
        let asked = error.retry_after().unwrap_or_default();
        let is_over = attempt >= patience.attempts_max
            || !error.is_retryable()
            || asked > patience.retry_after_max
            || self.stop.load(Ordering::Relaxed);
        if is_over {
            return None;
        }
        let doubled = patience.delay_first.saturating_mul(1 << (attempt - 1).min(20));
        let longest = doubled.min(patience.delay_max);
        // Between half of it and all of it.
        let jitter = u32::from(self.entropy.bytes32()[0]);
        let delay = (longest / 2 + longest * jitter / 510).max(asked);
        let ends = self.clock.elapsed() + delay;
        (ends - began <= patience.total_max).then_some(delay)
    }

    /// Waits in short stretches, so that a signal ends it.
    fn wait(&self, delay: Duration) {
        const STRETCH: Duration = Duration::from_millis(200);
        let end = self.clock.elapsed() + delay;
        while !self.stop.load(Ordering::Relaxed) {
            match end.checked_sub(self.clock.elapsed()) {
                Some(left) if !left.is_zero() => self.clock.sleep(left.min(STRETCH)),
                _ => return,
            }
        }
    }
}

impl Retrying {
    /// Wraps a backend.
    pub const fn new(inner: Arc<dyn Backend>, waits: Waits) -> Self {
        Self { inner, waits }
    }

    fn again<T>(&self, call: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        self.again_after(|_| call())
    }

    /// Calls until it works; the call is told whether an earlier attempt may have worked unseen.
    fn again_after<T>(&self, call: impl Fn(Attempt) -> Result<T, Error>) -> Result<T, Error> {
        let (mut attempt, began) = (1, self.waits.clock.elapsed());
        loop {
            let kind = if attempt == 1 { Attempt::First } else { Attempt::Further };
            let error = match call(kind) {
                Err(error) => error,
                done => return done,
            };
            let Some(delay) = self.waits.delay((attempt, began), &error) else { return Err(error) };
            self.waits.wait(delay);
            attempt += 1;
        }
    }

    /// A name that is taken after a failure was taken by ourselves if it holds our bytes.
    fn settle(
        &self,
        attempt: Attempt,
        stored: Result<Receipt, Error>,
        (name, pieces): (&ObjectName, &[&[u8]]),
    ) -> Result<Receipt, Error> {
        match stored {
            Err(exists @ Error::Exists { .. }) if attempt == Attempt::Further => {
                match self.inner.verify(name, pieces) {
                    Err(Error::NotAsSent { .. } | Error::Missing { .. }) => Err(exists),
                    verified => verified,
                }
            }
            other => other,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Further,
}

impl Backend for Retrying {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.upload(name, pieces).map(drop)
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.again_after(|attempt| {
            self.settle(attempt, self.inner.upload(name, pieces), (name, pieces))
        })
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        // That it differs is the answer, not a failure to get one.
        let verified = self.again(|| match self.inner.verify(name, pieces) {
            Err(differs @ Error::NotAsSent { .. }) => Ok(Err(differs)),
            other => other.map(Ok),
        });
        verified?
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.again(|| self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.again(|| self.inner.get_range(name, range.clone()))
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.again(|| self.inner.size(name))
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        self.again(|| self.inner.list(folder))
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        self.again(|| self.inner.list_all())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.again(|| self.inner.delete(name))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.again(|| self.inner.free_bytes())
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        self.again(|| self.inner.prove())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        backend::{
            conformance,
            layer::fault::{Fault, FaultPlan, FaultyBackend, Times},
            memory::MemoryBackend,
        },
        clock::{SystemEntropy, UnixNanos},
        id::PackId,
    };

    /// Time that passes only where somebody waits.
    #[derive(Default)]
    struct Waited(Mutex<Duration>);

    impl Clock for Waited {
        fn now(&self) -> UnixNanos {
            0
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, duration: Duration) {
            *self.0.lock().unwrap() += duration;
        }
    }

    type Faulty = FaultyBackend<MemoryBackend>;

    fn retrying() -> (Retrying, Arc<Faulty>, Arc<Waited>) {
        let clock = Arc::new(Waited::default());
        let faulty = Arc::new(Faulty::new(MemoryBackend::new(), clock.clone()));
        let waits = Waits {
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            stop: Arc::default(),
            patience: Patience::default(),
        };
        (Retrying::new(faulty.clone(), waits), faulty, clock)
    }

    const NAME: ObjectName = ObjectName::Pack(PackId([1; 32]));

    #[test]
    fn it_keeps_the_contract() {
        conformance::check(&retrying().0);
    }

    #[test]
    fn a_passing_failure_passes_and_one_that_stays_is_told_after_a_bounded_time() {
        for (times, works) in [(Times::Once, true), (Times::ForEver, false)] {
            let (backend, faulty, clock) = retrying();
            faulty.plan(Some(FaultPlan { call: 1, fault: Fault::Io, times }));

            assert_eq!(backend.list(Folder::Packs).is_ok(), works);

            let attempts = if works { 2 } else { u64::from(Patience::default().attempts_max) };
            assert_eq!(faulty.calls(), attempts);
            assert!(clock.elapsed() <= Duration::from_secs(64), "{:?}", clock.elapsed());
        }
    }

    #[test]
    fn what_was_written_unseen_is_found_again_and_not_written_twice() {
        let (backend, faulty, _) = retrying();
        let (fault, times) = (Fault::LostAnswer, Times::Once);
        faulty.plan(Some(FaultPlan { call: 1, fault, times }));

        backend.put_new(&NAME, &[b"ours"]).unwrap();

        assert_eq!(faulty.inner().names().len(), 1);
    }

    #[test]
    fn a_name_that_another_has_taken_stays_his() {
        let (backend, faulty, _) = retrying();
        faulty.inner().put_new(&NAME, &[b"his"]).unwrap();
        faulty.plan(Some(FaultPlan { call: 1, fault: Fault::Io, times: Times::Once }));

        let refused = backend.put_new(&NAME, &[b"ours"]);

        assert!(matches!(refused, Err(Error::Exists { .. })));
        assert_eq!(faulty.inner().get(&NAME, 9).unwrap(), b"his");
    }

    #[test]
    fn a_place_that_asks_for_patience_gets_it_up_to_a_limit() {
        let (backend, _, _) = retrying();
        let asks = |seconds| Error::RateLimited {
            place: String::new(),
            retry_after: Some(Duration::from_secs(seconds)),
        };

        assert!(
            backend.waits.delay((1, Duration::ZERO), &asks(60)).unwrap() >= Duration::from_secs(60)
        );
        assert_eq!(backend.waits.delay((1, Duration::ZERO), &asks(3600)), None);
    }

    #[test]
    fn a_signal_ends_the_waiting() {
        let (backend, faulty, clock) = retrying();
        backend.waits.stop.store(true, Ordering::Relaxed);
        faulty.plan(Some(FaultPlan { call: 1, fault: Fault::Io, times: Times::Once }));

        assert!(backend.list(Folder::Packs).is_err());

        assert_eq!(clock.elapsed(), Duration::ZERO);
    }
}
