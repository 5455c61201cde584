//! Keeps to the pace that a place allows: one bucket of tokens for each account, which learns from
//! refusals, and a limit on the bytes that go up.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt},
    clock::Clock,
};

/// Time between requests after the first refusal.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// A pause that has become this short is none.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// The pace of one account, shared by all who use it.
pub struct Pace {
    clock: Arc<dyn Clock>,
    /// Requests that may follow each other without a pause.
    burst: u32,
    state: Mutex<State>,
}

struct State {
    /// Time that one request takes of the bucket; zero: as fast as it goes.
    pause: Duration,
    /// When the bucket is full again.
    full_at: Duration,
}

impl Pace {
    /// Begins with a pause between requests, or none, and this much room for a burst.
    pub fn new(clock: Arc<dyn Clock>, pause: Duration, burst: u32) -> Self {
        Self { clock, burst, state: Mutex::new(State { pause, full_at: Duration::ZERO }) }
    }

    /// Takes a token, waiting for one if there is none.
    fn take(&self) {
        let wait = {
            let mut state = self.lock();
            let now = self.clock.elapsed();
            let free_at = state.full_at.max(now);
            state.full_at = free_at + state.pause;
            (free_at - now).saturating_sub(state.pause * self.burst)
        };
        if !wait.is_zero() {
            self.clock.sleep(wait);
        }
    }

    /// Slows down after a refusal, and speeds up a little after everything else.
    fn learn(&self, was_refused: Refused) {
        let mut state = self.lock();
        state.pause = match was_refused {
            Refused::Yes => (state.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX),
            Refused::No if state.pause < PAUSE_MIN => Duration::ZERO,
            Refused::No => state.pause * 15 / 16,
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Refused {
    Yes,
    No,
}

/// A limit on the bytes that go up, shared by all who send.
pub struct UploadLimit {
    clock: Arc<dyn Clock>,
    bytes_per_second: u64,
    /// When what was sent so far has had its time.
    paid_at: Mutex<Duration>,
}

impl UploadLimit {
    /// At least one byte per second.
    pub fn new(clock: Arc<dyn Clock>, bytes_per_second: u64) -> Self {
        Self { clock, bytes_per_second: bytes_per_second.max(1), paid_at: Mutex::default() }
    }

    /// Waits until what was sent before has had its time; what is sent now is owed.
    ///
    /// The rate holds on average: pieces go up as fast as the line takes them, so send small ones.
    pub fn pay(&self, bytes: u64) {
        let wait = {
            let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.elapsed();
            let start = (*paid_at).max(now);
            *paid_at = start + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            start - now
        };
        if !wait.is_zero() {
            self.clock.sleep(wait);
        }
    }
}

impl fmt::Debug for UploadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UploadLimit").field(&self.bytes_per_second).finish()
    }
}

/// A backend that is asked no faster than it allows.
pub struct Paced {
    inner: Arc<dyn Backend>,
    pace: Arc<Pace>,
}

impl Paced {
    /// Wraps a backend of the account that this is the pace of.
    pub const fn new(inner: Arc<dyn Backend>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }

    fn at_pace<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.pace.take();
        let result = call();
        let was_refused = match &result {
            Err(Error::RateLimited { .. }) => Refused::Yes,
            _ => Refused::No,
        };
        self.pace.learn(was_refused);
        result
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Paced").field(&self.inner).finish()
    }
}

impl Backend for Paced {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.at_pace(|| self.inner.put_new(name, pieces))
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.at_pace(|| self.inner.upload(name, pieces))
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.at_pace(|| self.inner.verify(name, pieces))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.at_pace(|| self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.at_pace(|| self.inner.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.at_pace(|| self.inner.size(name))
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        self.at_pace(|| self.inner.list(folder))
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        self.at_pace(|| self.inner.list_all())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.at_pace(|| self.inner.delete(name))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.at_pace(|| self.inner.free_bytes())
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        self.at_pace(|| self.inner.prove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{conformance, memory::MemoryBackend},
        clock::UnixNanos,
    };

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

    #[test]
    fn it_keeps_the_contract() {
        let clock = Arc::new(Waited::default());
        let pace = Arc::new(Pace::new(clock, Duration::ZERO, 1));
        conformance::check(&Paced::new(Arc::new(MemoryBackend::new()), pace));
    }

    #[test]
    fn a_burst_is_free_and_what_follows_keeps_the_pace() {
        let clock = Arc::new(Waited::default());
        let pace = Pace::new(clock.clone(), Duration::from_millis(100), 5);

        for _ in 0..16 {
            pace.take();
        }

        assert_eq!(clock.elapsed(), Duration::from_secs(1));
    }

    #[test]
    fn refusals_slow_down_and_success_speeds_up_until_there_is_no_pause() {
        let clock = Arc::new(Waited::default());
        let pace = Pace::new(clock, Duration::ZERO, 1);

        (0..3).for_each(|_| pace.learn(Refused::Yes));
        assert_eq!(pace.lock().pause, PAUSE_FIRST * 4);
        (0..100).for_each(|_| pace.learn(Refused::Yes));
        assert_eq!(pace.lock().pause, PAUSE_MAX);

        (0..200).for_each(|_| pace.learn(Refused::No));
        assert_eq!(pace.lock().pause, Duration::ZERO);
    }

    #[test]
    fn bytes_take_their_time_on_average() {
        let clock = Arc::new(Waited::default());
        let limit = UploadLimit::new(clock.clone(), 2_000_000);

        for _ in 0..11 {
            limit.pay(1_000_000);
        }

        assert_eq!(clock.elapsed(), Duration::from_secs(5));
    }
}
