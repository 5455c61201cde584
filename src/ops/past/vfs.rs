//! The file system of past databases, as SQLite sees it: files that are images, and nothing else.
//!
//! SQLite knows file systems by name and files by name, once per process; so opened images lie on
//! a shelf under a number until SQLite asks for them. There are no other files: journals and
//! temporary files cannot be made, and nothing can be written.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::CString,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use sqlite_plugin::{
    flags::{AccessFlags, LockLevel, OpenKind, OpenOpts},
    vars,
    vfs::{self, RegisterOpts, Vfs, VfsHandle, VfsResult},
};

use crate::{
    ops::past::Error,
    repo::image::{self, CachedImage},
};

/// By which SQLite knows it.
pub const NAME: &str = "stillpoint-past";
/// Where the header says by which versions of the format it is written and read. 2 is a database in
/// WAL mode, for which SQLite wants a `-wal` and shared memory; an image needs neither.
const VERSION_BYTES: [u64; 2] = [18, 19];
const WAL_VERSION: u8 = 2;
const ROLLBACK_VERSION: u8 = 1;
/// A statement that reads more pages than this was no lookup.
const SEEN_MAX: usize = 10_000;

static SHELF: OnceLock<Result<Shelf, i32>> = OnceLock::new();

#[derive(Clone, Default)]
struct Shelf {
    images: Arc<Mutex<HashMap<String, Arc<PastImage>>>>,
    next: Arc<AtomicU64>,
}

/// An image that SQLite can open, for as long as this lives.
pub struct Shelved {
    name: String,
    shelf: Shelf,
    image: Arc<PastImage>,
}

/// An image as a file.
struct PastImage {
    pages: Arc<CachedImage>,
    /// Why a page could not be read, the first time; SQLite has no words for it.
    failure: Mutex<Option<image::Error>>,
    /// The pages that SQLite has read; nothing once they are too many to be kept.
    seen: Mutex<Option<BTreeSet<u32>>>,
}

/// Makes a piece of an image that of a database in rollback mode.
pub fn in_rollback_mode(offset: u64, piece: &mut [u8]) {
    for place in VERSION_BYTES {
        let byte = place.checked_sub(offset).and_then(|at| piece.get_mut(at as usize));
        if let Some(byte) = byte.filter(|byte| **byte == WAL_VERSION) {
            *byte = ROLLBACK_VERSION;
        }
    }
}

/// Puts an image where SQLite finds it.
pub fn shelve(pages: Arc<CachedImage>) -> Result<Shelved, Error> {
    let shelf = SHELF.get_or_init(register).clone();
    let shelf = shelf.map_err(|code| Error::NoFileSystem { code })?;
    let name = format!("/{}", shelf.next.fetch_add(1, Relaxed));
    let seen = Mutex::new(Some(BTreeSet::new()));
    let image = Arc::new(PastImage { pages, failure: Mutex::default(), seen });
    let _ = shelf.images().insert(name.clone(), Arc::clone(&image));
    Ok(Shelved { name, shelf, image })
}

fn register() -> Result<Shelf, i32> {
    let shelf = Shelf::default();
    let name = CString::new(NAME).expect("the name has no zero byte");
    let options = RegisterOpts { make_default: false };
    let _logger = vfs::register_static(name, ImageFiles(shelf.clone()), options)?;
    Ok(shelf)
}

impl Shelf {
    fn images(&self) -> MutexGuard<'_, HashMap<String, Arc<PastImage>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelved {
    /// What SQLite opens. Nobody changes the file, so that it needs no locks either.
    pub fn uri(&self) -> String {
        format!("file:{}?vfs={NAME}&immutable=1", self.name)
    }

    /// Why a page could not be read, if one could not.
    pub fn take_failure(&self) -> Option<image::Error> {
        self.image.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Shelved {
    /// The pages that SQLite has read so far; nothing if they were too many to be kept.
    pub fn seen(&self) -> Option<BTreeSet<u32>> {
        self.image.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        let _ = self.shelf.images().remove(&self.name);
    }
}

impl PastImage {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize, image::Error> {
        let read = self.pages.read_at(offset, into)?;
        self.note(offset);
        in_rollback_mode(offset, &mut into[..read]);
        Ok(read)
    }
}

impl PastImage {
    fn note(&self, offset: u64) {
        let page_bytes = u64::from(self.pages.reader().image().page_bytes).max(1);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = seen.as_mut() {
            let _ = pages.insert((offset / page_bytes) as u32 + 1);
            if pages.len() > SEEN_MAX {
                *seen = None;
            }
        }
    }
}

/// The file system.
struct ImageFiles(Shelf);

/// An opened file.
struct OpenImage(Arc<PastImage>);

impl VfsHandle for OpenImage {
    fn readonly(&self) -> bool {
        true
    }

    fn in_memory(&self) -> bool {
        false
    }
}

impl Vfs for ImageFiles {
    type Handle = OpenImage;

    fn open(&self, path: Option<&str>, opts: OpenOpts) -> VfsResult<OpenImage> {
        let found = path.and_then(|path| self.0.images().get(path).cloned());
        match found {
            Some(image) if opts.kind() == OpenKind::MainDb => Ok(OpenImage(image)),
            _ => Err(vars::SQLITE_CANTOPEN),
        }
    }

    fn delete(&self, _: &str) -> VfsResult<()> {
        Err(vars::SQLITE_READONLY)
    }

    fn access(&self, path: &str, flags: AccessFlags) -> VfsResult<bool> {
        Ok(flags != AccessFlags::ReadWrite && self.0.images().contains_key(path))
    }

    fn file_size(&self, handle: &mut OpenImage) -> VfsResult<usize> {
        usize::try_from(handle.0.pages.file_bytes()).map_err(|_| vars::SQLITE_IOERR_FSTAT)
    }

    fn truncate(&self, _: &mut OpenImage, _: usize) -> VfsResult<()> {
        Err(vars::SQLITE_READONLY)
    }

    fn write(&self, _: &mut OpenImage, _: usize, _: &[u8]) -> VfsResult<usize> {
        Err(vars::SQLITE_READONLY)
    }

    fn read(&self, handle: &mut OpenImage, offset: usize, into: &mut [u8]) -> VfsResult<usize> {
        handle.0.read(offset as u64, into).map_err(|error| {
            let mut failure = handle.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = failure.get_or_insert(error);
            vars::SQLITE_IOERR_READ
        })
    }

    fn lock(&self, _: &mut OpenImage, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn unlock(&self, _: &mut OpenImage, _: LockLevel) -> VfsResult<()> {
        Ok(())
    }

    fn check_reserved_lock(&self, _: &mut OpenImage) -> VfsResult<bool> {
        Ok(false)
    }

    fn close(&self, _: OpenImage) -> VfsResult<()> {
        Ok(())
    }
}
