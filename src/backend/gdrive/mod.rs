//! Objects as files in a folder of Google Drive.
//!
//! Drive has no create-if-absent, names that are not unique, and listings that may lag. So an
//! object is found by the id of its file, which is drawn and written down before the file is made
//! ([`journal`]); what lies where is remembered on this machine ([`objects`]), and a run that only
//! adds lists nothing. A listing is taken as it is for what it shows; what it fails to show and we
//! know of is asked for by id before it counts as gone.
//!
//! [`Backend::put_new`] survives everything but a loss of the journal: called again with the same
//! content, after an error or in another process, it asks the store how far it got and goes on
//! there. It never waits and never tries again by itself.
//!
//! Two machines may send an object of one name at once; then there are two files, and either is as
//! good as the other. [`Error::Exists`] is certain only for what this machine knows.

pub mod account;
mod answer;
mod content;
pub mod device;
pub mod drive;
pub mod endpoints;
mod glimpse;
pub mod http;
mod journal;
mod local;
pub mod loopback;
mod oauth;
mod objects;
mod prove;
mod read;
mod remote;
mod shelves;
pub mod sign_in;
mod tokens;
mod upload;
mod write;

use std::{
    collections::HashSet,
    fmt, io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

pub use account::{Account, OAuthClient};
pub use drive::About;
pub use endpoints::Endpoints;
pub use http::{Http, Patience};
pub use shelves::SHELF_OBJECTS_MAX;
pub use tokens::Keep;
pub use upload::{PIECE_BYTES, Sizes, WHOLE_BYTES_MAX};

use self::{
    content::Content, drive::Drive, glimpse::Glimpse, journal::Journal, local::Local,
    objects::Objects, shelves::Shelves, tokens::Tokens,
};
use super::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt};
use crate::{backend::layer::pace::UploadLimit, clock::Clock, disk::Disk};

/// What becomes of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deletion {
    /// It can be brought back for 30 days, and takes room until then.
    #[default]
    Trash,
    ForGood,
}

/// Everything that decides where and how.
pub struct Site {
    /// Name or id of the folder.
    pub folder: String,
    /// Where this machine remembers ids and uploads.
    pub state: PathBuf,
    pub account: Account,
    pub keep: Keep,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub options: Options,
}

/// What is the same for most.
#[derive(Debug, Clone)]
pub struct Options {
    pub endpoints: Endpoints,
    pub deletion: Deletion,
    pub patience: Patience,
    pub shelf_objects_max: usize,
    pub sizes: Sizes,
    /// Shared by all that send.
    pub upload_limit: Option<Arc<UploadLimit>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoints: Endpoints::google(),
            deletion: Deletion::Trash,
            patience: Patience::default(),
            shelf_objects_max: SHELF_OBJECTS_MAX,
            sizes: Sizes::default(),
            upload_limit: None,
        }
    }
}

/// A repository's folder on Drive.
pub struct GDriveBackend {
    drive: Drive,
    local: Local,
    journal: Journal,
    objects: Objects,
    shelves: Shelves,
    clock: Arc<dyn Clock>,
    deletion: Deletion,
    sizes: Sizes,
    upload_limit: Option<Arc<UploadLimit>>,
    /// Names that a thread is writing just now.
    busy: Mutex<HashSet<ObjectName>>,
    freed: Condvar,
    /// What a machine that knows nothing saw when it opened the folder.
    glimpse: Glimpse,
    /// Ids that we deleted and a lagging listing may still show.
    deleted: Mutex<HashSet<String>>,
}

impl GDriveBackend {
    /// Opens a folder that exists; without a request if this machine knows it already.
    ///
    /// # Errors
    /// [`Error::WrongPlace`] or [`Error::SetUp`] if there is none, several, or one that this client
    /// cannot see into.
    pub fn open(site: Site) -> Result<Self, Error> {
        let (account, folder) = (site.account.clone(), site.folder.clone());
        let backend = Self::new(site)?;
        if !backend.shelves.recall(&backend.local, &account, &folder)? {
            let everything = backend.drive.everything()?;
            let tools = (backend.drive.place(), &*backend.clock);
            backend.shelves.find_among(tools, (&account, &folder), &everything)?;
            backend.glimpse.keep(everything, &*backend.clock);
            backend.save_if_alone()?;
        }
        Ok(backend)
    }

    /// Opens the folder, and makes it where it does not exist.
    pub fn create(site: Site) -> Result<Self, Error> {
        let (account, folder) = (site.account.clone(), site.folder.clone());
        let backend = Self::new(site)?;
        backend.take()?;
        if !backend.shelves.recall(&backend.local, &account, &folder)? {
            match backend.shelves.find(&backend.drive, &account, &folder) {
                Err(Error::WrongPlace { .. }) => {}
                found => {
                    found?;
                    let _shelves = backend.shelves.of_folder(
                        &backend.drive,
                        &*backend.clock,
                        Folder::Descriptor,
                    )?;
                }
            }
        }
        let tools = (&backend.drive, &backend.journal);
        backend.shelves.make(&backend.local, tools, &account, &folder)?;
        Ok(backend)
    }

    /// Asks the account for its name and quota: one request.
    pub fn about(&self) -> Result<About, Error> {
        self.drive.about()
    }

    fn new(site: Site) -> Result<Self, Error> {
        let place = format!("gdrive:{}", site.folder);
        let endpoints = site.options.endpoints;
        if reqwest::Url::parse(&endpoints.api).is_err() {
            return Err(oauth::bad_address(&place));
        }
        let http = Arc::new(Http::new(&place, site.options.patience)?);
        let clock = Arc::clone(&site.clock);
        let tokens = Tokens::new(site.account, endpoints.clone(), clock, site.keep);
        let local = Local::open(site.disk, &site.state, &place)?;
        let objects = Objects::default();
        objects.load(&local)?;
        Ok(Self {
            drive: Drive::new(http, tokens, endpoints),
            local,
            journal: Journal::default(),
            objects,
            shelves: Shelves::new(site.options.shelf_objects_max),
            clock: site.clock,
            deletion: site.options.deletion,
            sizes: site.options.sizes,
            upload_limit: site.options.upload_limit,
            busy: Mutex::default(),
            freed: Condvar::new(),
            glimpse: Glimpse::default(),
            deleted: Mutex::default(),
        })
    }

    /// Becomes the process that writes to the state folder, and catches up with the one before.
    fn take(&self) -> Result<(), Error> {
        match self.local.take()? {
            true => self.objects.load(&self.local),
            false => Ok(()),
        }
    }

    /// Keeps what was found, unless another process is writing: it knows better.
    fn save_if_alone(&self) -> Result<(), Error> {
        match self.local.take() {
            Err(Error::InUse { .. }) => return Ok(()),
            taken => drop(taken?),
        }
        self.shelves.save(&self.local)?;
        self.objects.save(&self.local)
    }

    fn turn(&self, name: &ObjectName) -> Turn<'_> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while !busy.insert(name.clone()) {
            busy = self.freed.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { backend: self, name: name.clone() }
    }

    fn deleted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, name: &ObjectName) -> Error {
        Error::Missing { name: name.clone(), place: self.place() }
    }

    fn exists(&self, name: &ObjectName) -> Error {
        Error::Exists { name: name.clone(), place: self.place() }
    }

    /// What came is not what is stored; the next attempt may bring it.
    fn damaged(&self, name: &ObjectName, why: &str) -> Error {
        Error::BadAnswer { place: self.place(), why: format!("{name}: {why}") }
    }
}

/// The right to write an object, for one thread at a time.
struct Turn<'a> {
    backend: &'a GDriveBackend,
    name: ObjectName,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut busy = self.backend.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = busy.remove(&self.name);
        self.backend.freed.notify_all();
    }
}

impl Backend for GDriveBackend {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        let content = Content::new(pieces);
        if content.bytes() == 0 {
            let why = "an object has at least one byte";
            let source = io::Error::new(io::ErrorKind::InvalidInput, why);
            let (what, place) = (name.to_string(), self.place());
            return Err(Error::Io { action: "write", what, place, source });
        }
        self.put(name, &content)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.read(name, |known| match known.bytes {
            0 => Err(self.missing(name)),
            bytes if bytes > bytes_max => {
                Err(Error::OutOfRange { name: name.clone(), bytes, wanted: bytes_max })
            }
            _ => self.read_whole(name, known),
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.read(name, |known| match known.bytes {
            0 => Err(self.missing(name)),
            bytes if range.end > bytes || range.start > range.end => {
                Err(Error::OutOfRange { name: name.clone(), bytes, wanted: range.end })
            }
            _ if range.is_empty() => Ok(Vec::new()),
            _ => self.read_range(name, known, &range),
        })
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        let known = self.require(name)?;
        match known[0].bytes {
            0 => Err(self.missing(name)),
            bytes => Ok(bytes),
        }
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        self.list_folder(folder)
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        if !self.glimpse.is_fresh(&*self.clock) {
            self.glimpse.keep(self.drive.everything()?, &*self.clock);
        }
        Folder::ALL.into_iter().map(|folder| Ok((folder, self.list_folder(folder)?))).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { conditional_create: false, strong_listing: false, is_remote: true }
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.put_new(name, pieces)?;
        // Known since the upload, which compared it: this asks nobody.
        self.receipt(name)
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.compare(name, &Content::new(pieces))?;
        self.receipt(name)
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        prove::prove(self)?;
        Ok(self.capabilities())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.remove(name)
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.drive.about().map(|about| about.free_bytes())
    }

    fn place(&self) -> String {
        self.drive.place().to_owned()
    }
}

impl fmt::Debug for GDriveBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GDriveBackend").field(&self.drive.place()).finish()
    }
}
