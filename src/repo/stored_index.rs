//! The local index between runs: opened for reading without a lock, changed under a lock of this
//! machine.

use std::time::Duration;

use crate::{
    index::{self, Batch, Index},
    repo::{Environment, Error, state::State},
};

/// Name of the index folder in the state folder.
pub const INDEX_FOLDER: &str = "index";
const INDEX_LOCK: &str = "index.lock";

/// The stored index of one repository. Without the `rocks` feature there is none, and all is kept
/// in memory.
#[derive(Default)]
pub struct StoredIndex {
    reader: Option<Box<dyn Index>>,
    changed: bool,
}

impl StoredIndex {
    /// Opens what is there for reading.
    ///
    /// # Errors
    /// `Damaged` means: remove it and begin again.
    pub fn open(state: &State) -> Result<Self, Error> {
        Ok(Self { reader: open_reader(state)?, changed: false })
    }

    /// The index as it was when it was opened.
    pub fn reader(&self) -> Option<&dyn Index> {
        self.reader.as_deref()
    }

    /// Applies a batch. Returns whether it was: not when another process kept the lock for longer
    /// than the wait, or there is no stored index in this build.
    pub fn apply(
        &mut self,
        env: &Environment,
        state: &State,
        batch: &Batch,
        wait: Duration,
    ) -> Result<bool, Error> {
        if !cfg!(feature = "rocks") {
            return Ok(false);
        }
        let Some(_lock) = state.lock(env, INDEX_LOCK, wait)? else { return Ok(false) };
        match apply(state, batch) {
            Ok(()) => {
                self.changed = true;
                Ok(true)
            }
            Err(index::Error::Locked) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a reader that sees what was applied.
    pub fn into_reader(self, state: &State) -> Result<Option<Box<dyn Index>>, Error> {
        if self.changed { Ok(open_reader(state)?) } else { Ok(self.reader) }
    }
}

/// Removes the stored index; it is a cache.
pub fn remove(env: &Environment, state: &State) -> Result<(), Error> {
    let _lock = state.lock(env, INDEX_LOCK, Duration::from_secs(60))?;
    crate::disk::tree::remove_tree(env.disk.as_ref(), state.dir(), INDEX_FOLDER.as_ref())
        .map_err(|source| state.error("remove", INDEX_FOLDER, source))
}

#[cfg(feature = "rocks")]
fn open_reader(state: &State) -> Result<Option<Box<dyn Index>>, index::Error> {
    let path = state.path().join(INDEX_FOLDER);
    // A new state folder has no index yet; any other failure to open it is damage.
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Box::new(crate::index::rocks::RocksReader::open(&path)?)))
}

#[cfg(feature = "rocks")]
fn apply(state: &State, batch: &Batch) -> Result<(), index::Error> {
    use crate::index::IndexMut;
    crate::index::rocks::RocksWriter::open(&state.path().join(INDEX_FOLDER))?.apply(batch)
}

#[cfg(not(feature = "rocks"))]
fn open_reader(_: &State) -> Result<Option<Box<dyn Index>>, index::Error> {
    Ok(None)
}

#[cfg(not(feature = "rocks"))]
fn apply(_: &State, _: &Batch) -> Result<(), index::Error> {
    Ok(())
}
