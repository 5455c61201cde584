use std::{os::unix::fs::MetadataExt, os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::{
    chunk::memory::MemoryChunks,
    crypto::secret::Secret32,
    disk::RealDisk,
    format::{image::Method, record::Storage},
    id::{ImageIdentity, RepositoryId},
    repo::image::{ChangedPages, NewImage, build},
    sink::files::Overwrite,
};

fn keys() -> Arc<Keys> {
    let key = |byte| Secret32::new([byte; 32]);
    Arc::new(Keys {
        repository: RepositoryId([1; 32]),
        chunk: key(2),
        cut: key(3),
        page: key(4),
        identity: key(5),
        epochs: crate::crypto::keys::Epochs::new(vec![(1, key(6))]),
    })
}

/// Pages that are all alike but for their first bytes; those of number 0 modulo 3 are zero.
struct Pages(u32);

impl Pages {
    fn page(number: u32) -> Vec<u8> {
        let mut page = vec![0; 4096];
        if !number.is_multiple_of(3) {
            page[..4].copy_from_slice(&number.to_le_bytes());
        }
        page
    }
}

impl ChangedPages for Pages {
    fn count(&self) -> u32 {
        self.0
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        into.iter_mut().zip(first + 1..).for_each(|(into, number)| *into = number);
        Ok(())
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        let pages = into.chunks_exact_mut(4096).zip(first + 1..);
        pages.for_each(|(into, number)| into.copy_from_slice(&Self::page(number)));
        Ok(())
    }
}

fn stored(keys: &Keys, store: &mut MemoryChunks, page_count: u32) -> (Image, Vec<u8>) {
    let mut identity = keys.image_identity(4096, page_count);
    let content: Vec<u8> = (1..=page_count).flat_map(Pages::page).collect();
    content.chunks(4096).for_each(|page| identity.update(&keys.page_hash(page)));
    let new = NewImage {
        page_bytes: 4096,
        page_count,
        identity: identity.finish(),
        method: Method::Pages,
        damaged: false,
        unchecked: true,
        begun: (0, 0),
        witnesses: Vec::new(),
        changed: &Pages(page_count),
    };
    (build(&new, None, Storage::Incremental, store).unwrap(), content)
}

fn restore(keys: &Keys, store: &MemoryChunks, image: &Image, folder: &Path) -> Result<u64, Error> {
    let written = restore_as(Overwrite::Always, (keys, store), image, folder);
    written.map(|written| written.expect("nothing is kept"))
}

fn restore_as(
    overwrite: Overwrite,
    (keys, store): (&Keys, &MemoryChunks),
    image: &Image,
    folder: &Path,
) -> Result<Option<u64>, Error> {
    let fetch: Arc<dyn Fetch> = Arc::new(store.clone());
    let sink = DatabaseSink {
        disk: &RealDisk,
        fetch: &fetch,
        keys,
        stop: &AtomicBool::new(false),
        observe: &|_| (),
    };
    let at = RealDisk.open_root(folder).unwrap();
    sink.restore_unless_kept(image, (&at, "shop.db".as_ref()), overwrite)
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_image_becomes_a_file_for_us_alone_and_its_holes_stay_holes() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, content) = stored(&keys, &mut store, 1000);

    let bytes = restore(&keys, &store, &image, folder.path()).unwrap();

    assert_eq!(bytes, content.len() as u64);
    let path = folder.path().join("shop.db");
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["shop.db"]);
}

#[test]
fn a_database_that_was_there_goes_with_its_wal_and_hands_on_its_mode() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, content) = stored(&keys, &mut store, 10);
    for name in ["shop.db", "shop.db-wal", "shop.db-shm", "shop.db-journal", "shop.db-other"] {
        std::fs::write(folder.path().join(name), vec![7; 100_000]).unwrap();
    }
    let path = folder.path().join("shop.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();

    let _ = restore(&keys, &store, &image, folder.path()).unwrap();

    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
    let mut names = names(folder.path());
    names.sort();
    assert_eq!(names, ["shop.db", "shop.db-other"]);
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (mut image, _) = stored(&keys, &mut store, 1000);
    for name in ["shop.db", "shop.db-wal"] {
        std::fs::write(folder.path().join(name), "old").unwrap();
    }

    let identity = std::mem::replace(&mut image.identity, ImageIdentity([9; 32]));
    let other = restore(&keys, &store, &image, folder.path());
    image.identity = identity;
    store.lose(&image.base.ids[0]);
    let missing = restore(&keys, &store, &image, folder.path());

    assert!(matches!(other, Err(Error::Image(image::Error::OtherIdentity))));
    assert!(matches!(missing, Err(Error::Image(image::Error::Chunk(_)))));
    let mut names = names(folder.path());
    names.sort();
    assert_eq!(names, ["shop.db", "shop.db-wal"]);
    assert_eq!(std::fs::read(folder.path().join("shop.db-wal")).unwrap(), b"old");
}

#[test]
fn a_folder_of_the_name_is_not_replaced() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, _) = stored(&keys, &mut store, 10);
    std::fs::create_dir(folder.path().join("shop.db")).unwrap();

    let refused = restore(&keys, &store, &image, folder.path());

    assert!(matches!(refused, Err(Error::Io { action: "replace", .. })));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, _) = stored(&keys, &mut store, 1000);
    let again = |overwrite| restore_as(overwrite, (&keys, &store), &image, folder.path()).unwrap();
    let path = folder.path().join("shop.db");

    let written = again(Overwrite::Changed);
    let inode = path.metadata().unwrap().ino();
    std::fs::write(folder.path().join("shop.db-shm"), "a view").unwrap();
    std::fs::write(folder.path().join("shop.db-wal"), "").unwrap();
    let kept = again(Overwrite::Changed);

    assert_eq!((written, kept), (Some(image.bytes()), None));
    assert_eq!(path.metadata().unwrap().ino(), inode);
    assert!(again(Overwrite::Always).is_some());
}

#[test]
fn a_page_that_differs_and_a_log_that_would_be_played_back_are_both_restored() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, content) = stored(&keys, &mut store, 1000);
    let again = || restore_as(Overwrite::Changed, (&keys, &store), &image, folder.path()).unwrap();
    let path = folder.path().join("shop.db");
    let _ = again();

    let mut other = content.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&path, other).unwrap();
    assert!(again().is_some());
    assert_eq!(std::fs::read(&path).unwrap(), content);
    for beside in ["shop.db-wal", "shop.db-journal"] {
        std::fs::write(folder.path().join(beside), "commits of another day").unwrap();
        assert!(again().is_some());
        assert_eq!(names(folder.path()), ["shop.db"]);
    }
}

#[test]
fn a_database_that_is_to_stay_stays_whatever_it_is() {
    let (keys, folder) = (keys(), tempfile::tempdir().unwrap());
    let mut store = MemoryChunks::new(keys.clone());
    let (image, _) = stored(&keys, &mut store, 10);
    let again = || restore_as(Overwrite::Never, (&keys, &store), &image, folder.path()).unwrap();

    assert!(again().is_some());
    std::fs::write(folder.path().join("shop.db"), "mine").unwrap();

    assert_eq!(again(), None);
    assert_eq!(std::fs::read(folder.path().join("shop.db")).unwrap(), b"mine");
}
