//! Makes a backend fail on plan, so that tests see every failure at every call.

use std::{
    fmt, io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName},
    clock::Clock,
};

/// What happens at the planned call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and did nothing.
    Io,
    /// A write fails for want of space and did nothing; other calls work.
    NoSpace,
    /// The call does its work and reports failure all the same.
    LostAnswer,
    /// A listing fails; other calls work.
    ListError,
    /// The call works, later.
    Delay(Duration),
}

/// How often the fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Once,
    /// At the planned call and at every one after it.
    ForEver,
}

/// Which call fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// Number of the call, counted from 1.
    pub call: u64,
    pub fault: Fault,
    pub times: Times,
}

/// A backend that fails on plan and counts the calls it gets.
pub struct FaultyBackend<B> {
    inner: B,
    clock: Arc<dyn Clock>,
    calls: AtomicU64,
    injected: AtomicU64,
    plan: Mutex<Option<FaultPlan>>,
}

/// What a call is, for faults that concern one class only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Read,
    List,
    Write,
    Delete,
}

impl<B: Backend> FaultyBackend<B> {
    /// Wraps a backend that works until there is a plan.
    pub fn new(inner: B, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            clock,
            calls: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            plan: Mutex::new(None),
        }
    }

    /// Starts counting anew, with this plan or none.
    pub fn plan(&self, plan: Option<FaultPlan>) {
        *self.plan.lock().expect("no holder panics") = plan;
        self.calls.store(0, Ordering::SeqCst);
        self.injected.store(0, Ordering::SeqCst);
    }

    /// Returns the number of calls since the last plan.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns how often the planned fault happened.
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    /// Returns the backend itself, which never fails.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    fn fault_of(&self, class: Class) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = (*self.plan.lock().expect("no holder panics"))?;
        let is_due = match plan.times {
            Times::Once => call == plan.call,
            Times::ForEver => call >= plan.call,
        };
        let concerns = match plan.fault {
            Fault::NoSpace => class == Class::Write,
            Fault::ListError => class == Class::List,
            Fault::Io | Fault::LostAnswer | Fault::Delay(_) => true,
        };
        (is_due && concerns).then(|| {
            let _ = self.injected.fetch_add(1, Ordering::SeqCst);
            plan.fault
        })
    }

    fn run<T>(
        &self,
        class: Class,
        what: &str,
        call: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = self.inner.place();
        match self.fault_of(class) {
            None => call(),
            Some(Fault::Delay(duration)) => {
                self.clock.sleep(duration);
                call()
            }
            Some(Fault::NoSpace) => {
                Err(Error::NoSpace { place, source: io::ErrorKind::StorageFull.into() })
            }
            Some(Fault::Io | Fault::ListError) => Err(io_error(what, place)),
            Some(Fault::LostAnswer) => call().and_then(|_| Err(io_error(what, place))),
        }
    }
}

fn io_error(what: &str, place: String) -> Error {
    let source = io::Error::other("injected fault");
    Error::Io { action: "reach", what: what.to_owned(), place, source }
}

impl<B: Backend> fmt::Debug for FaultyBackend<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyBackend").field(&self.inner).finish()
    }
}

impl<B: Backend> Backend for FaultyBackend<B> {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.run(Class::Write, &name.to_string(), || self.inner.put_new(name, pieces))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.run(Class::Read, &name.to_string(), || self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.run(Class::Read, &name.to_string(), || self.inner.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.run(Class::Read, &name.to_string(), || self.inner.size(name))
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        self.run(Class::List, folder.as_str(), || self.inner.list(folder))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.run(Class::Delete, &name.to_string(), || self.inner.delete(name))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.run(Class::Read, "free space", || self.inner.free_bytes())
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{conformance, memory::MemoryBackend},
        clock::SystemClock,
        id::PackId,
    };

    fn faulty() -> FaultyBackend<MemoryBackend> {
        FaultyBackend::new(MemoryBackend::new(), Arc::new(SystemClock))
    }

    const NAME: ObjectName = ObjectName::Pack(PackId([1; 32]));

    #[test]
    fn without_a_plan_it_keeps_the_contract() {
        conformance::check(&faulty());
    }

    #[test]
    fn a_fault_comes_once_at_its_call_or_for_ever() {
        for (times, succeeded) in [(Times::Once, 3), (Times::ForEver, 1)] {
            let backend = faulty();
            backend.plan(Some(FaultPlan { call: 2, fault: Fault::Io, times }));

            let results = (0..4).map(|_| backend.list(Folder::Packs));

            assert_eq!(results.filter(Result::is_ok).count(), succeeded);
            assert_eq!((backend.calls(), backend.injected()), (4, 4 - succeeded as u64));
        }
    }

    #[test]
    fn a_lost_answer_leaves_the_work_done() {
        let backend = faulty();
        let (fault, times) = (Fault::LostAnswer, Times::Once);
        backend.plan(Some(FaultPlan { call: 1, fault, times }));

        assert!(backend.put_new(&NAME, &[b"x"]).is_err());

        assert_eq!(backend.inner().get(&NAME, 1).unwrap(), b"x");
    }
}
