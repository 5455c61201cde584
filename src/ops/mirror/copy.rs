//! Sending objects: several at once, each verified and written into the ledger.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    backend::{Backend, Error as BackendError, Folder, ObjectName},
    limits::PACK_BYTES_MAX,
    ops::{
        self,
        event::Meter,
        mirror::{Ledger, Target},
    },
    repo::{self, Repository, check::verify_object},
};

/// Uploads at the same time. Each holds one pack, and what the connection buffers of it.
const AT_ONCE: usize = 3;

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub objects: u64,
    pub bytes: u64,
}

/// Copies objects from here to a mirror.
pub struct Copier<'a> {
    repo: &'a Repository,
    target: &'a Target,
    ledger: Mutex<&'a mut Ledger>,
    meter: &'a Meter<'a>,
    sent: Mutex<Sent>,
}

impl<'a> Copier<'a> {
    pub fn new(
        repo: &'a Repository,
        target: &'a Target,
        ledger: &'a mut Ledger,
        meter: &'a Meter<'a>,
    ) -> Self {
        let (ledger, sent) = (Mutex::new(ledger), Mutex::default());
        Self { repo, target, ledger, meter, sent }
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        *lock(&self.sent)
    }

    pub fn ledger(&self) -> MutexGuard<'_, &'a mut Ledger> {
        lock(&self.ledger)
    }

    /// Sends all of them, in this order as far as several at once can keep one. The first failure
    /// ends it; what was sent until then is in the ledger.
    pub fn send_all(&self, names: &[ObjectName]) -> Result<(), ops::Error> {
        let next = AtomicUsize::new(0);
        let at_once = AT_ONCE.min(names.len());
        self.send_each(at_once, &|| names.get(next.fetch_add(1, Ordering::Relaxed)).cloned())
    }

    /// Sends what it is given, so many at once, until nothing more comes. The first failure ends
    /// it.
    pub fn send_each(
        &self,
        at_once: usize,
        next: &(dyn Fn() -> Option<ObjectName> + Sync),
    ) -> Result<(), ops::Error> {
        let failed = Mutex::new(None);
        let has_failed = || lock(&failed).is_some();
        let work = || {
            // After a failure the others end with the object that they are at.
            while !has_failed()
                && let Some(name) = next()
            {
                if let Err(error) = self.send(&name) {
                    let _ = lock(&failed).get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..at_once {
                let _ = scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Sends one object, unless the mirror is known to have it.
    pub fn send(&self, name: &ObjectName) -> Result<(), ops::Error> {
        let env = self.repo.environment();
        if env.stop.load(Ordering::Relaxed) {
            return Err(ops::Error::Stopped);
        }
        if self.ledger().has(name) {
            return Ok(());
        }
        // What is damaged here must not take the place of what is whole there.
        if matches!(name, ObjectName::Pack(_)) {
            verify_object(self.repo, name)?;
        }
        let bytes = env.backend.get(name, PACK_BYTES_MAX)?;
        let receipt = match self.target.backend.upload(name, &[&bytes]) {
            Err(BackendError::Exists { .. }) => self.target.backend.verify(name, &[&bytes])?,
            other => other?,
        };
        self.note(|ledger| ledger.add(name, receipt))?;
        self.meter.add(bytes.len() as u64, 1, name.to_string().as_bytes());
        let mut sent = lock(&self.sent);
        sent.objects += 1;
        sent.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Changes the ledger.
    pub fn note(
        &self,
        change: impl FnOnce(&mut Ledger) -> std::io::Result<()>,
    ) -> Result<(), ops::Error> {
        change(&mut self.ledger()).map_err(|source| not_noted(self.repo, source))
    }
}

/// The ledger could not be written.
pub fn not_noted(repo: &Repository, source: std::io::Error) -> ops::Error {
    let (what, path) = ("what is known of a mirror".to_owned(), repo.state_path().to_owned());
    repo::Error::State { action: "write", what, path, source }.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything in these folders, in this order.
pub fn names_of(
    backend: &dyn Backend,
    folders: &[Folder],
) -> Result<Vec<ObjectName>, BackendError> {
    let mut names = Vec::new();
    for folder in folders {
        names.extend(backend.list(*folder)?.objects.into_iter().map(|listed| listed.name));
    }
    Ok(names)
}
