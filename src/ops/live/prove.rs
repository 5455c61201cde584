//! Proof that nobody has a database open that is about to be replaced.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    clock::Clock,
    disk::{Disk, Stat},
    ops::{
        self,
        live::{
            Error, Occupants,
            plan::{Site, io_error, split},
        },
    },
    source::sqlite::{ExclusiveLocks, FileNumber, numbers_of, occupants},
};

/// How long an application that was told to stop may take to let go.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between its start and its first own instruction a process has all that its parent has.
const MOMENT: Duration = Duration::from_secs(1);

/// Looks for others.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    pub disk: &'a dyn Disk,
    pub clock: &'a dyn Clock,
    pub stop: &'a AtomicBool,
    pub occupants: Occupants,
}

/// The database files as they were when nobody had them open.
#[derive(Debug, Default)]
pub struct Witness {
    files: Vec<(PathBuf, Stat)>,
    numbers: Vec<FileNumber>,
}

impl Proof<'_> {
    /// Waits until nobody has one of the databases open.
    pub fn wait(&self, sites: &[Site]) -> Result<Witness, ops::Error> {
        let began = self.clock.elapsed();
        loop {
            let witness = self.witness(sites)?;
            match self.look(&witness) {
                Err(ops::Error::Live(Error::InUse { .. })) if self.is_patient(began, PATIENCE) => {
                    self.clock.sleep(LOOK_EVERY);
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    let _free_again = self.take_locks(&witness)?;
                    return Ok(witness);
                }
            }
        }
    }

    fn is_patient(&self, began: Duration, patience: Duration) -> bool {
        self.clock.elapsed() - began < patience && !self.stop.load(Ordering::Relaxed)
    }

    /// Locks the databases, which must be as the witness saw them.
    pub fn lock(&self, sites: &[Site], witness: &Witness) -> Result<ExclusiveLocks, ops::Error> {
        let now = self.witness(sites)?;
        for (path, stat) in &now.files {
            let then = witness.files.iter().find(|(known, _)| known == path);
            let is_same = then.is_some_and(|(_, then)| {
                (then.device, then.inode, then.bytes, then.modified)
                    == (stat.device, stat.inode, stat.bytes, stat.modified)
            });
            if !is_same {
                return Err(Error::Changed { path: path.clone() }.into());
            }
        }
        let locks = self.take_locks(&now)?;
        self.nobody_has(&now)?;
        Ok(locks)
    }

    /// Nobody has one of these files open. A process that is just being started may seem to, for a
    /// moment.
    pub fn nobody_has(&self, witness: &Witness) -> Result<(), ops::Error> {
        let began = self.clock.elapsed();
        loop {
            match self.look(witness) {
                Err(ops::Error::Live(Error::InUse { .. })) if self.is_patient(began, MOMENT) => {
                    self.clock.sleep(LOOK_EVERY);
                }
                looked => return looked,
            }
        }
    }

    fn look(&self, witness: &Witness) -> Result<(), ops::Error> {
        let path = || witness.files.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let found = occupants(&witness.numbers);
        let found = found.map_err(|source| io_error("look at", Path::new("/proc"), source))?;
        if let Some(first) = found.found.first() {
            let by = format!("process {} ({})", first.process, first.name);
            return Err(Error::InUse { path: path(), by }.into());
        }
        if found.unseen > 0 && self.occupants == Occupants::MustBeSeen {
            return Err(Error::CannotSee { unseen: found.unseen }.into());
        }
        Ok(())
    }

    fn witness(&self, sites: &[Site]) -> Result<Witness, ops::Error> {
        let paths = sites.iter().flat_map(|site| {
            let databases = site.databases(self.disk).into_iter();
            databases.map(|path| site.root.join(OsStr::from_bytes(&path)))
        });
        self.witness_of(paths)
    }

    /// Looks at these files; what is not there has nobody.
    pub fn witness_of(&self, paths: impl Iterator<Item = PathBuf>) -> Result<Witness, ops::Error> {
        let mut witness = Witness::default();
        for path in paths {
            let (parent, name) = split(&path)?;
            let Ok(at) = self.disk.open_root(parent) else { continue };
            let failed = |source| io_error("look at", &path, source);
            witness.numbers.extend(numbers_of(self.disk, &at, name).map_err(failed)?);
            if let Ok(stat) = self.disk.stat(&at, name) {
                witness.files.push((path.clone(), stat));
            }
        }
        Ok(witness)
    }

    fn take_locks(&self, witness: &Witness) -> Result<ExclusiveLocks, ops::Error> {
        let mut locks = ExclusiveLocks::default();
        for (path, _) in &witness.files {
            let (parent, name) = split(path)?;
            let taken = self.disk.open_root(parent).and_then(|at| locks.take(self.disk, &at, name));
            if !taken.map_err(|source| io_error("lock", path, source))? {
                let by = "a process that we cannot see".to_owned();
                return Err(Error::InUse { path: path.clone(), by }.into());
            }
        }
        Ok(locks)
    }
}
