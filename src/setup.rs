//! The composition root: the one place that names concrete backends, disks and clocks.

mod drive;
mod mirror;
mod remote;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

pub use drive::{Keeping, endpoints};
pub use mirror::Known;
pub use remote::Means;

use self::drive::Absent;

use crate::{
    backend::{
        self, Backend, Folder, gdrive::Deletion, layer::retry::Patience, local::LocalBackend,
    },
    clock::{Clock, Entropy, SystemClock, SystemEntropy},
    config::Place,
    disk::{Disk, RealDisk, Uninterrupted},
    repo::{self, Environment},
};

/// What everything on this machine runs on.
#[derive(Clone)]
pub struct Machine {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Set by a signal; long work stops at the next chunk.
    pub stop: Arc<AtomicBool>,
    /// This very program, to be run again for what needs a process of its own.
    pub program: PathBuf,
    /// How long places elsewhere are tried again.
    pub patience: Patience,
}

impl Machine {
    /// The real one.
    pub fn real() -> Self {
        Self {
            disk: Arc::new(Uninterrupted(RealDisk)),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            stop: Arc::default(),
            // The link of the kernel leads to the running program even if its file was replaced
            // meanwhile.
            program: PathBuf::from("/proc/self/exe"),
            patience: Patience::default(),
        }
    }

    /// What others call this machine.
    pub fn host(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// What a record says about where it was made.
    pub fn facts(&self) -> Vec<(String, String)> {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        vec![
            ("system".to_owned(), format!("{} {}", text(system.sysname()), text(system.release()))),
            ("architecture".to_owned(), text(system.machine())),
        ]
    }

    /// Makes the place ready for a new repository.
    pub fn create(&self, place: &Place, state_root: &Path) -> Result<Environment, repo::Error> {
        let backend: Arc<dyn Backend> = match place {
            Place::Folder(path) => Arc::new(LocalBackend::create(Arc::clone(&self.disk), path)?),
            Place::Drive(folder) => {
                let keeping = self.keeping_of_folder(folder, state_root)?;
                let how = (Absent::Make, None, Deletion::Trash);
                self.remembered(self.drive(folder, &keeping, how)?, state_root)?
            }
            remote => self.remembered(self.remote(remote, &Means::default())?, state_root)?,
        };
        Ok(self.environment(backend, state_root))
    }

    /// Opens the place of a repository, which must hold one: nobody is asked for the passphrase of
    /// nothing.
    pub fn open(&self, place: &Place, state_root: &Path) -> Result<Environment, repo::Error> {
        let backend: Arc<dyn Backend> = match place {
            Place::Folder(path) => Arc::new(
                LocalBackend::open(Arc::clone(&self.disk), path).map_err(absent_is_not_found)?,
            ),
            Place::Drive(folder) => {
                let keeping = self.keeping_of_folder(folder, state_root)?;
                let how = (Absent::Refuse, None, Deletion::Trash);
                self.remembered(self.drive(folder, &keeping, how)?, state_root)?
            }
            remote => self.remembered(self.remote(remote, &Means::default())?, state_root)?,
        };
        if backend.list(Folder::Descriptor)?.objects.is_empty() {
            return Err(repo::Error::NotFound { place: backend.place() });
        }
        Ok(self.environment(backend, state_root))
    }

    fn environment(&self, backend: Arc<dyn Backend>, state_root: &Path) -> Environment {
        Environment {
            backend,
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            state_root: state_root.to_owned(),
            stop: Arc::clone(&self.stop),
        }
    }
}

/// A folder that is not there holds no repository; a disk that does not answer may.
fn absent_is_not_found(error: backend::Error) -> repo::Error {
    match error {
        backend::Error::Unreachable { place, source }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            repo::Error::NotFound { place }
        }
        error => error.into(),
    }
}
