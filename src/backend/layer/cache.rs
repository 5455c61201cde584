//! Remembers what never changes: objects of a place elsewhere, on this machine's disk.
//!
//! Objects are immutable and their names random, so what was read once under a name stays right.
//! What is there is decided by listings alone: one listing of everything answers for each folder,
//! until it is half a minute old or this process writes or deletes anything. Keys are not kept: a
//! key that was shut out must be out. Parts of packs are kept while there is room, so that a
//! restore that was cut goes on with what it fetched.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt},
    clock::Clock,
    disk::{Dir, Disk, file, write_all_at},
    limits::MIB,
};

/// How long a listing answers.
const LISTING_LASTS: Duration = Duration::from_secs(30);
/// Parts of packs that are kept.
const PARTS_BYTES_MAX: u64 = 2 << 30;
/// Longest object that is kept whole.
const WHOLE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Before the content: its hash, since nobody syncs what is only a cache.
const HASH_BYTES: usize = 32;

/// A backend whose objects are read once.
pub struct Cached {
    inner: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    dir: Dir,
    listings: Mutex<Option<Listings>>,
    parts_bytes: AtomicU64,
}

struct Listings {
    at: Duration,
    folders: HashMap<Folder, Listing>,
}

impl Cached {
    /// Wraps a backend; the folder is for nothing else.
    pub fn new(
        inner: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        (disk, dir): (Arc<dyn Disk>, Dir),
    ) -> Self {
        let parts_bytes = AtomicU64::new(make_room(&*disk, &dir));
        Self { inner, clock, disk, dir, listings: Mutex::default(), parts_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Listings>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was listed before holds no more.
    fn changed<T>(&self, result: T) -> T {
        *self.lock() = None;
        result
    }

    /// What was listed and is not there any more: the next look has to be a new one.
    fn present<T>(&self, read: Result<T, Error>) -> Result<T, Error> {
        if matches!(read, Err(Error::Missing { .. })) {
            *self.lock() = None;
        }
        read
    }

    fn recall(&self, name: &OsStr) -> Option<Vec<u8>> {
        let bytes = file::read(&*self.disk, &self.dir, name, WHOLE_BYTES_MAX * 2).ok()?;
        let (hash, content) = bytes.split_at_checked(HASH_BYTES)?;
        (blake3::hash(content).as_bytes() == hash).then(|| content.to_vec())
    }

    /// Keeps bytes if that is possible; it is only a cache.
    fn keep(&self, name: &OsStr, content: &[u8]) {
        let hash = blake3::hash(content);
        let keep = || {
            let file = self.disk.create_new(&self.dir, name, 0o600)?;
            write_all_at(&*self.disk, &file, hash.as_bytes(), 0)?;
            write_all_at(&*self.disk, &file, content, HASH_BYTES as u64)
        };
        if keep().is_err() {
            // Half of a file is not taken for a whole one; its name may be free the next time.
            let _ = self.disk.remove_file(&self.dir, name);
        }
    }

    fn whole(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let file = whole_file(name);
        if let Some(content) = self.recall(&file) {
            return match content.len() as u64 {
                bytes if bytes > bytes_max => {
                    Err(Error::OutOfRange { name: name.clone(), bytes, wanted: bytes_max })
                }
                _ => Ok(content),
            };
        }
        let content = self.inner.get(name, bytes_max)?;
        self.keep(&file, &content);
        Ok(content)
    }

    fn part(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let file = part_file(name, &range);
        if let Some(content) = self.recall(&file) {
            return Ok(content);
        }
        let content = self.inner.get_range(name, range)?;
        let bytes = content.len() as u64;
        if self.parts_bytes.load(Ordering::Relaxed) + bytes <= PARTS_BYTES_MAX {
            let _ = self.parts_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.keep(&file, &content);
        }
        Ok(content)
    }
}

/// Objects that are read whole, again and again.
const fn is_kept_whole(name: &ObjectName) -> bool {
    matches!(
        name,
        ObjectName::Index { .. }
            | ObjectName::Snapshot(_)
            | ObjectName::Forgotten(_)
            | ObjectName::Pinned(_)
    )
}

fn whole_file(name: &ObjectName) -> OsString {
    format!("{}-{}", name.folder().as_str(), name.file_name()).into()
}

fn part_file(name: &ObjectName, range: &Range<u64>) -> OsString {
    format!("part-{}-{}-{}", name.file_name(), range.start, range.end).into()
}

/// Lets go of the oldest parts until half of the room is free. Returns what is left, in bytes.
fn make_room(disk: &dyn Disk, dir: &Dir) -> u64 {
    let names = disk.list(dir).unwrap_or_default();
    let parts = names.into_iter().filter(|name| name.as_encoded_bytes().starts_with(b"part-"));
    let mut parts: Vec<_> = parts
        .filter_map(|name| disk.stat(dir, &name).ok().map(|stat| (stat.modified, stat.bytes, name)))
        .collect();
    parts.sort_unstable();
    let mut left: u64 = parts.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, name) in parts {
        if left <= PARTS_BYTES_MAX / 2 {
            break;
        }
        if disk.remove_file(dir, &name).is_ok() {
            left -= bytes;
        }
    }
    left
}

impl Backend for Cached {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.changed(self.inner.put_new(name, pieces))
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.changed(self.inner.upload(name, pieces))
    }

    /// Asks the place: what it has now is the question.
    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.inner.verify(name, pieces)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.present(match is_kept_whole(name) {
            true => self.whole(name, bytes_max),
            false => self.inner.get(name, bytes_max),
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        match name {
            ObjectName::Pack(_) if range.start < range.end => self.present(self.part(name, range)),
            ObjectName::Index { .. } => {
                let content = self.present(self.whole(name, WHOLE_BYTES_MAX))?;
                let within = usize::try_from(range.start)
                    .ok()
                    .zip(usize::try_from(range.end).ok())
                    .and_then(|(start, end)| content.get(start..end.max(start)));
                within.map(<[u8]>::to_vec).ok_or_else(|| Error::OutOfRange {
                    name: name.clone(),
                    bytes: content.len() as u64,
                    wanted: range.end,
                })
            }
            _ => self.inner.get_range(name, range),
        }
    }

    fn distrust(&self, name: &ObjectName) {
        let parts = format!("part-{}-", name.file_name());
        for kept in self.disk.list(&self.dir).unwrap_or_default() {
            let is_of_it = kept.as_encoded_bytes().starts_with(parts.as_bytes());
            if is_of_it || kept == whole_file(name) {
                let _ = self.disk.remove_file(&self.dir, &kept);
            }
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.inner.size(name)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        let now = self.clock.elapsed();
        if let Some(listings) = &*self.lock()
            && now.saturating_sub(listings.at) <= LISTING_LASTS
        {
            return Ok(listings.folders.get(&folder).cloned().unwrap_or_default());
        }
        let folders: HashMap<_, _> = self.inner.list_all()?.into_iter().collect();
        let listing = folders.get(&folder).cloned().unwrap_or_default();
        *self.lock() = Some(Listings { at: now, folders });
        Ok(listing)
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        self.inner.list_all()
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.distrust(name);
        self.changed(self.inner.delete(name))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.inner.free_bytes()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        self.inner.prove()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.inner).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{conformance, layer::record::Recorded, memory::MemoryBackend},
        clock::SystemClock,
        disk::RealDisk,
        id::{ObjectId, PackId},
    };

    const PACK: ObjectName = ObjectName::Pack(PackId([1; 32]));
    const INDEX: ObjectName = ObjectName::Index { sequence: 1, id: ObjectId([2; 32]) };

    /// A cache before a place that counts, and where the cache lies.
    struct Fixture {
        place: Arc<Recorded>,
        folder: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let place = Arc::new(Recorded::new(Arc::new(MemoryBackend::new())));
            Self { place, folder: tempfile::tempdir().unwrap() }
        }

        fn open(&self) -> Cached {
            let disk: Arc<dyn Disk> = Arc::new(RealDisk);
            let dir = disk.open_root(self.folder.path()).unwrap();
            Cached::new(self.place.clone(), Arc::new(SystemClock), (disk, dir))
        }

        fn calls(&self) -> usize {
            self.place.take().len()
        }
    }

    #[test]
    fn it_keeps_the_contract() {
        conformance::check(&Fixture::new().open());
    }

    #[test]
    fn what_was_read_once_is_not_asked_for_again_not_even_by_the_next_process() {
        let fixture = Fixture::new();
        fixture.place.put_new(&INDEX, &[b"0123456789"]).unwrap();
        fixture.place.put_new(&PACK, &[b"0123456789"]).unwrap();
        let read = |cached: &Cached| {
            assert_eq!(cached.get_range(&INDEX, 2..4).unwrap(), b"23");
            assert_eq!(cached.get(&INDEX, 10).unwrap(), b"0123456789");
            assert_eq!(cached.get_range(&PACK, 3..6).unwrap(), b"345");
        };
        let _ = fixture.calls();

        read(&fixture.open());
        assert_eq!(fixture.calls(), 2);
        read(&fixture.open());

        assert_eq!(fixture.calls(), 0);
    }

    #[test]
    fn one_listing_answers_for_all_folders_until_something_is_written() {
        let fixture = Fixture::new();
        let cached = fixture.open();

        Folder::ALL.iter().for_each(|folder| drop(cached.list(*folder).unwrap()));
        assert_eq!(fixture.calls(), 1);
        cached.put_new(&PACK, &[b"x"]).unwrap();

        assert_eq!(cached.list(Folder::Packs).unwrap().objects.len(), 1);
    }

    #[test]
    fn what_did_not_open_is_asked_for_again() {
        let fixture = Fixture::new();
        fixture.place.put_new(&PACK, &[b"0123456789"]).unwrap();
        let cached = fixture.open();
        let _ = cached.get_range(&PACK, 3..6).unwrap();
        let _ = fixture.calls();

        cached.distrust(&PACK);

        let _ = cached.get_range(&PACK, 3..6).unwrap();
        assert_eq!(fixture.calls(), 1);
    }

    #[test]
    fn a_cache_that_was_spoiled_is_not_believed() {
        let fixture = Fixture::new();
        fixture.place.put_new(&INDEX, &[b"right"]).unwrap();
        assert_eq!(fixture.open().get(&INDEX, 10).unwrap(), b"right");
        let disk = RealDisk;
        let dir = disk.open_root(fixture.folder.path()).unwrap();
        let open = disk.open_rw(&dir, &whole_file(&INDEX)).unwrap();
        write_all_at(&disk, &open, b"w", HASH_BYTES as u64).unwrap();

        assert_eq!(fixture.open().get(&INDEX, 10).unwrap(), b"right");
    }
}
