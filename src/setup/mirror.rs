//! The places of mirrors, opened as the configuration has them.

use std::{io, sync::Arc};

use crate::{
    backend::{
        self, Backend, Capabilities,
        local::LocalBackend,
        store::{Journal, StateJournal},
    },
    config::{Mirror, Place},
    repo::Repository,
    setup::{Machine, Means, drive::Absent},
};

/// What is known of a mirror before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was never used: its folder may be created.
    Nothing,
    /// It was used: a folder that is not there is a disk that is not mounted.
    Used(Option<Capabilities>),
}

impl Machine {
    /// Opens the place of a mirror. Uploads that are under way are remembered in the state folder
    /// of the repository.
    pub fn mirror(
        &self,
        mirror: &Mirror,
        repo: &Repository,
        known: Known,
    ) -> Result<Arc<dyn Backend>, backend::Error> {
        let disk = Arc::clone(&self.disk);
        match (&mirror.place, known) {
            (Place::Folder(path), Known::Nothing) => {
                Ok(Arc::new(LocalBackend::create(disk, path)?))
            }
            (Place::Folder(path), Known::Used(_)) => Ok(Arc::new(LocalBackend::open(disk, path)?)),
            (Place::Drive(folder), known) => {
                let keeping = self.keeping_of_mirror(repo, &mirror.name);
                let absent = match known {
                    Known::Nothing => Absent::Make,
                    Known::Used(_) => Absent::Refuse,
                };
                self.drive(folder, &keeping, (absent, mirror.limit_upload, mirror.deletion))
            }
            (place, known) => {
                let journal = self.journal(repo, mirror).map_err(|source| backend::Error::Io {
                    action: "open",
                    what: "the state folder".to_owned(),
                    place: repo.state_path().display().to_string(),
                    source,
                })?;
                let capabilities = match known {
                    Known::Used(capabilities) => capabilities,
                    Known::Nothing => None,
                };
                let limit_upload = mirror.limit_upload;
                self.remote(place, &Means { limit_upload, journal, capabilities })
            }
        }
    }

    fn journal(&self, repo: &Repository, mirror: &Mirror) -> io::Result<Arc<dyn Journal>> {
        let dir = self.disk.open_root(repo.state_path())?;
        Ok(Arc::new(StateJournal::new(Arc::clone(&self.disk), dir, mirror.name.clone())))
    }
}
