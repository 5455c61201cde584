//! Objects as files below one folder. Spec: `format-spec/10-ids.md`, "Where objects lie".
//!
//! Folders are 0700 and objects 0400, whatever the umask. An object gets its name only when it is
//! complete and synced. Sub-folders are opened for each call, so that a folder that was replaced
//! under us is seen; only packs, which restores read in thousands of pieces, stay open.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsStr,
    fmt,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{Backend, Error, Folder, Listed, Listing, ObjectName};
use crate::disk::{Dir, Disk, FileKind, Replace, file, read_exact_at, tree};

const DIR_MODE: u32 = 0o700;
const OBJECT_MODE: u32 = 0o400;
const OPEN_PACKS_MAX: usize = 64;

/// A repository folder of this machine.
pub struct LocalBackend {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    root: Dir,
    /// Packs read last, the latest at the end.
    open_packs: Mutex<Vec<(ObjectName, Arc<File>)>>,
    /// Bit n: `Folder::ALL[n]` was searched for unfinished files by this process.
    searched: AtomicU32,
}

impl LocalBackend {
    /// Opens the folder of a repository; it may turn out to hold none.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, Error> {
        let root = disk.open_root(path).map_err(|source| unreachable(path, source))?;
        Ok(Self::new(disk, path, root))
    }

    /// Creates the folder, its missing parents and its sub-folders; what exists stays as it is.
    pub fn create(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, Error> {
        let create = || {
            let root = disk.create_root(path, DIR_MODE)?;
            for folder in Folder::ALL {
                let _dir = tree::create_dir(&*disk, &root, folder.as_str().as_ref(), DIR_MODE)?;
            }
            // Names left by an earlier attempt that died before its sync.
            disk.sync_dir(&root)?;
            Ok(root)
        };
        let root = create().map_err(|source| failed("create", "the folder", path, source))?;
        Ok(Self::new(disk, path, root))
    }

    fn new(disk: Arc<dyn Disk>, path: &Path, root: Dir) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            root,
            open_packs: Mutex::new(Vec::new()),
            searched: AtomicU32::new(0),
        }
    }

    fn open_folder(&self, folder: Folder) -> io::Result<Dir> {
        self.disk.open_dir(&self.root, folder.as_str().as_ref())
    }

    /// Opens the folder, which is created again if a copying tool left it out for being empty.
    fn folder_for_writing(&self, folder: Folder) -> io::Result<Dir> {
        match self.open_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tree::create_dir(&*self.disk, &self.root, folder.as_str().as_ref(), DIR_MODE)
            }
            opened => opened,
        }
    }

    /// Opens an object and returns its size. One without a byte was destroyed and counts as absent.
    fn open_object(&self, name: &ObjectName) -> Result<(File, u64), Error> {
        let open = || {
            let file =
                self.disk.open(&self.open_folder(name.folder())?, name.file_name().as_ref())?;
            let bytes = self.disk.stat_file(&file)?.bytes;
            Ok((file, bytes))
        };
        match open() {
            Ok((_, 0)) => Err(self.missing(name)),
            Ok(object) => Ok(object),
            Err(source) => Err(self.read_error("open", name, source)),
        }
    }

    /// Opens a pack, or takes it from those already open.
    fn open_pack(&self, name: &ObjectName) -> Result<Arc<File>, Error> {
        if let Some(file) = self.take_open_pack(name) {
            return Ok(self.keep_open_pack(name, file));
        }
        let (file, _) = self.open_object(name)?;
        Ok(self.keep_open_pack(name, Arc::new(file)))
    }

    fn take_open_pack(&self, name: &ObjectName) -> Option<Arc<File>> {
        let mut packs = self.open_packs.lock().expect("no holder panics");
        let at = packs.iter().position(|(open, _)| open == name)?;
        Some(packs.remove(at).1)
    }

    fn keep_open_pack(&self, name: &ObjectName, file: Arc<File>) -> Arc<File> {
        let mut packs = self.open_packs.lock().expect("no holder panics");
        if packs.len() == OPEN_PACKS_MAX {
            let _oldest = packs.remove(0);
        }
        packs.push((name.clone(), Arc::clone(&file)));
        file
    }

    /// Removes what dead processes left unfinished in the folder, where that can exist at all.
    fn search_for_stale(&self, folder: Folder, dir: &Dir) {
        let bit = 1 << (folder as u32);
        if self.searched.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        // Unfinished files have a name only on file systems that know no unnamed ones.
        let unnamed = self.disk.create_unnamed(dir, OBJECT_MODE);
        if unnamed.is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
            // They do no harm but take space; failing to remove them is no reason to fail a write.
            let _ = file::remove_stale(&*self.disk, dir);
        }
    }

    fn write(&self, name: &ObjectName, pieces: &[&[u8]]) -> io::Result<()> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            let why = "an object has at least one byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let dir = self.folder_for_writing(name.folder())?;
        let file_name = name.file_name();
        // The link below decides; this only spares writing a large object in vain.
        if self.disk.stat(&dir, file_name.as_ref()).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.search_for_stale(name.folder(), &dir);
        file::write_new(&*self.disk, &dir, file_name.as_ref(), pieces, OBJECT_MODE)
    }

    /// Lists a sub-folder that is not there.
    ///
    /// Tools that copy a repository may leave out empty folders, but a repository without keys,
    /// packs or snapshots is rather a disk that is not mounted: no listing, and never an empty one.
    fn list_absent(&self, folder: Folder, source: io::Error) -> Result<Listing, Error> {
        let may_be_absent = match folder {
            Folder::Descriptor => self.disk.stat_dir(&self.root).is_ok_and(|root| root.links > 0),
            Folder::Keys | Folder::Packs | Folder::Snapshots => false,
            Folder::Index
            | Folder::Pending
            | Folder::Tombstones
            | Folder::Forgotten
            | Folder::Pinned
            | Folder::Parity
            | Folder::Quarantine => self.open_folder(Folder::Descriptor).is_ok(),
        };
        if may_be_absent {
            return Ok(Listing::default());
        }
        Err(unreachable(&self.path.join(folder.as_str()), source))
    }

    fn list_present(&self, folder: Folder, dir: &Dir) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for name in self.disk.list(dir)? {
            if !file::is_temporary(&name) {
                self.add_to(&mut listing, folder, dir, &name)?;
            }
        }
        // Someone who removes the folder while it is read leaves us with half a listing.
        if self.disk.stat_dir(dir)?.links == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(listing)
    }

    fn add_to(
        &self,
        listing: &mut Listing,
        folder: Folder,
        dir: &Dir,
        name: &OsStr,
    ) -> io::Result<()> {
        let parsed = name.to_str().and_then(|name| ObjectName::parse(folder, name));
        if let Some(parsed) = parsed {
            match self.disk.stat(dir, name) {
                Ok(stat) if stat.kind == FileKind::File => {
                    listing.objects.push(Listed { name: parsed, bytes: stat.bytes });
                    return Ok(());
                }
                // Not a file, or destroyed: it bears an object's name but is none.
                Ok(_) => {}
                // Deleted since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        listing.foreign.push(name.to_string_lossy().into_owned());
        Ok(())
    }

    fn remove(&self, name: &ObjectName) -> io::Result<()> {
        let dir = self.open_folder(name.folder())?;
        self.disk.remove_file(&dir, name.file_name().as_ref())?;
        self.disk.sync_dir(&dir)
    }

    /// Syncs each folder once: that is what takes the time.
    fn remove_all(&self, names: &[ObjectName]) -> io::Result<()> {
        let mut folders: BTreeMap<Folder, Dir> = BTreeMap::new();
        for name in names {
            let dir = match folders.entry(name.folder()) {
                Entry::Occupied(opened) => opened.into_mut(),
                Entry::Vacant(vacant) => match self.open_folder(name.folder()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => vacant.insert(opened?),
                },
            };
            tree::absent_is_success(self.disk.remove_file(dir, name.file_name().as_ref()))?;
        }
        folders.values().try_for_each(|dir| self.disk.sync_dir(dir))
    }

    /// Renames, so that also a file that cannot be read, or a disk that is full, is no obstacle.
    fn rename_aside(&self, name: &ObjectName) -> io::Result<Option<ObjectName>> {
        let from = self.open_folder(name.folder())?;
        let to = self.folder_for_writing(Folder::Quarantine)?;
        let old = name.file_name();
        for aside in super::quarantine_names(name) {
            let new = aside.file_name();
            match self.disk.rename(&from, old.as_ref(), &to, new.as_ref(), Replace::No) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            }
            // The new name first: between the two it has both rather than none.
            self.disk.sync_dir(&to)?;
            self.disk.sync_dir(&from)?;
            return Ok(Some(aside));
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Gives the object a second name in `quarantine/`. Nothing if it is absent.
    fn link_aside(&self, name: &ObjectName) -> io::Result<Option<ObjectName>> {
        let from = self.open_folder(name.folder())?;
        let to = self.folder_for_writing(Folder::Quarantine)?;
        let old = name.file_name();
        let inode = match self.disk.stat(&from, old.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            stat => stat?.inode,
        };
        for aside in super::quarantine_names(name) {
            let new = aside.file_name();
            let linked = self.disk.hard_link(&from, old.as_ref(), &to, new.as_ref());
            match linked {
                // Another damage, unless it is from an attempt that was cut off here.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if self.disk.stat(&to, new.as_ref())?.inode != inode {
                        continue;
                    }
                }
                other => other?,
            }
            self.disk.sync_dir(&to)?;
            return Ok(Some(aside));
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Renames over the object, which has a second name by then.
    fn rename_over(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<Option<ObjectName>> {
        let dir = self.folder_for_writing(name.folder())?;
        // Of an attempt that was cut off; failing to remove it is no reason to repair nothing.
        let _ = file::remove_stale(&*self.disk, &dir);
        let aside = self.link_aside(name)?;
        file::replace(&*self.disk, &dir, name.file_name().as_ref(), bytes, OBJECT_MODE)?;
        Ok(aside)
    }

    fn missing(&self, name: &ObjectName) -> Error {
        Error::Missing { name: name.clone(), place: self.place() }
    }

    /// Missing only if the repository itself is there.
    fn read_error(&self, action: &'static str, name: &ObjectName, source: io::Error) -> Error {
        if source.kind() != io::ErrorKind::NotFound {
            return failed(action, &name.to_string(), &self.path, source);
        }
        match self.open_folder(Folder::Descriptor) {
            Ok(_) => self.missing(name),
            Err(source) => unreachable(&self.path, source),
        }
    }
}

impl Backend for LocalBackend {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.write(name, pieces).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::Exists { name: name.clone(), place: self.place() }
            }
            _ => failed("write", &name.to_string(), &self.path, source),
        })
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let (file, bytes) = self.open_object(name)?;
        let length = usize::try_from(bytes).ok().filter(|_| bytes <= bytes_max);
        let Some(length) = length else {
            return Err(Error::OutOfRange { name: name.clone(), bytes, wanted: bytes_max });
        };
        let mut content = vec![0; length];
        read_exact_at(&*self.disk, &file, &mut content, 0)
            .map_err(|source| self.read_error("read", name, source))?;
        Ok(content)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.read_range(name, range, &mut content)?;
        Ok(content)
    }

    fn read_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let file = match name {
            ObjectName::Pack(_) => self.open_pack(name)?,
            _ => Arc::new(self.open_object(name)?.0),
        };
        let out_of_range =
            |bytes| Error::OutOfRange { name: name.clone(), bytes, wanted: range.end };
        let length = range.end.saturating_sub(range.start);
        let length = usize::try_from(length).map_err(|_| out_of_range(0))?;
        into.resize(length, 0);
        match read_exact_at(&*self.disk, &file, into, range.start) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let bytes = self.disk.stat_file(&file).map_or(0, |stat| stat.bytes);
                Err(out_of_range(bytes))
            }
            Err(source) => Err(self.read_error("read", name, source)),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.open_object(name).map(|(_, bytes)| bytes)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        let what = folder.as_str();
        match self.open_folder(folder) {
            Ok(dir) => self
                .list_present(folder, &dir)
                .map_err(|source| failed("list", what, &self.path, source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.list_absent(folder, error)
            }
            Err(source) => Err(failed("list", what, &self.path, source)),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        drop(self.take_open_pack(name));
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|source| failed("delete", &name.to_string(), &self.path, source))
            }
        }
    }

    fn delete_all(&self, names: &[ObjectName]) -> Result<(), Error> {
        names.iter().for_each(|name| drop(self.take_open_pack(name)));
        self.remove_all(names).map_err(|source| failed("delete", "objects", &self.path, source))
    }

    fn set_aside(&self, name: &ObjectName) -> Result<Option<ObjectName>, Error> {
        drop(self.take_open_pack(name));
        match self.rename_aside(name) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                super::set_aside_by_copying(self, name)
            }
            moved => {
                moved.map_err(|source| failed("set aside", &name.to_string(), &self.path, source))
            }
        }
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<Option<ObjectName>, Error> {
        let replaced = self.rename_over(name, bytes);
        drop(self.take_open_pack(name));
        match replaced {
            Err(error) if knows_no_second_names(&error) => {
                let aside = self.set_aside(name)?;
                self.put_new(name, &[bytes])?;
                Ok(aside)
            }
            done => done.map_err(|source| failed("replace", &name.to_string(), &self.path, source)),
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        match self.disk.free_bytes(&self.root) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) => Err(failed("measure", "free space", &self.path, source)),
        }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalBackend").field(&self.path).finish()
    }
}

fn failed(action: &'static str, what: &str, path: &Path, source: io::Error) -> Error {
    let place = path.display().to_string();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::NoSpace { place, source }
        }
        _ => Error::Io { action, what: what.to_owned(), place, source },
    }
}

/// What a file system without hard links says.
fn knows_no_second_names(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn unreachable(path: &Path, source: io::Error) -> Error {
    Error::Unreachable { place: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
