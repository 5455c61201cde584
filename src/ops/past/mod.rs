//! A database as it was: read in place, as SQLite reads a file, without restoring it.
//!
//! SQLite sees the image through a [`vfs`] of our own, which fetches the pages that a statement
//! needs and nothing else. What is in an image was written by others, and may be damaged or made
//! to harm: nothing can be written, statements are judged by an authorizer before they run
//! ([`terms`]), and what takes too long or too much memory is stopped. The first error of the
//! repository is kept, so that a missing chunk is not told as a "disk I/O error".

pub mod btree;
mod choose;
mod error;
pub mod history;
pub mod live;
pub mod names;
mod query;
#[cfg(test)]
pub(in crate::ops) mod sample;
pub mod tables;
mod terms;
pub mod value;
mod vfs;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

pub use choose::{ChosenImage, Moments, choose};
pub use error::Error;
pub use query::Answer;
pub use terms::{TIMEOUT_DEFAULT, Terms};
pub use vfs::in_rollback_mode;

use crate::{
    chunk::Fetch,
    format::image::Image,
    repo::image::{CachedImage, ImageReader},
};
use terms::Watch;
use vfs::Shelved;

/// A past database, opened for reading; further ones may stand beside it under names of their own.
pub struct PastDatabase {
    /// Closed before the images go: SQLite reads them until then.
    connection: Connection,
    fetch: Arc<dyn Fetch>,
    watch: Arc<Watch>,
    images: Mutex<Vec<(String, Shelved)>>,
    pages: Arc<CachedImage>,
}

impl PastDatabase {
    /// Opens an image as the main database.
    pub fn open(terms: &Terms, fetch: Arc<dyn Fetch>, image: &Image) -> Result<Self, Error> {
        let pages = cached(&fetch, image)?;
        let shelved = vfs::shelve(Arc::clone(&pages))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let opened = Connection::open_with_flags_and_vfs(shelved.uri(), flags, vfs::NAME);
        let watch = Arc::new(Watch::new(terms));
        let mut connection = opened.map_err(|error| explain(&[&shelved], &watch, error))?;
        terms::lower(&connection)
            .and_then(|()| terms::guard(&mut connection, &watch))
            .map_err(|error| explain(&[&shelved], &watch, error))?;
        let images = Mutex::new(vec![("main".to_owned(), shelved)]);
        Ok(Self { connection, fetch, watch, images, pages })
    }

    /// Opens another image beside it, as a schema of this name.
    pub fn attach(&self, name: &str, image: &Image) -> Result<(), Error> {
        let shelved = vfs::shelve(cached(&self.fetch, image)?)?;
        let uri = shelved.uri();
        // Before SQLite reads from it, so that its failure is found.
        self.images().push((name.to_owned(), shelved));
        let attached = self
            .watch
            .attaching(|| self.connection.execute("ATTACH ?1 AS ?2", [uri.as_str(), name]));
        match attached {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = self.explain(error);
                let _ = self.images().pop();
                Err(error)
            }
        }
    }

    /// Whether there is a schema of this name.
    pub fn has(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("temp")
            || self.images().iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The connection itself. Every statement on it is under the same guard; the time that
    /// [`Self::allow`] gave passes for all of them together.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The pages of the main database.
    pub const fn pages(&self) -> &Arc<CachedImage> {
        &self.pages
    }

    /// The pages of the main database that were read so far, one by one; nothing if they were too
    /// many to be kept. Whoever reads nothing but these finds the same answers.
    pub fn pages_seen(&self) -> Option<BTreeSet<u32>> {
        self.images().first().and_then(|(_, shelved)| shelved.seen())
    }

    /// Gives what runs next this much time.
    pub fn allow(&self, time: Duration) {
        self.watch.allow(time);
    }

    /// Counts the time that was given last anew, for the next of many statements.
    pub fn restart(&self) {
        self.watch.restart();
    }

    /// Why a statement on the connection failed: what SQLite says, or what lies behind it.
    pub fn explain(&self, error: rusqlite::Error) -> Error {
        let images = self.images();
        let shelved: Vec<&Shelved> = images.iter().map(|(_, shelved)| shelved).collect();
        explain(&shelved, &self.watch, error)
    }

    fn images(&self) -> MutexGuard<'_, Vec<(String, Shelved)>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cached(fetch: &Arc<dyn Fetch>, image: &Image) -> Result<Arc<CachedImage>, Error> {
    Ok(Arc::new(CachedImage::new(ImageReader::open(image, Arc::clone(fetch))?)))
}

fn explain(images: &[&Shelved], watch: &Watch, error: rusqlite::Error) -> Error {
    if let Some(failure) = images.iter().find_map(|shelved| shelved.take_failure()) {
        return Error::Image(failure);
    }
    match watch.why_stopped() {
        Some(stopped) if error::is_interrupt(&error) => stopped,
        _ => Error::from_sqlite(error),
    }
}

#[cfg(test)]
mod tests;
