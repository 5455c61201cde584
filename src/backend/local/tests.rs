#![expect(clippy::disallowed_methods, reason = "does harm to a repository behind its back")]

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    backend::conformance,
    disk::RealDisk,
    id::{ObjectId, PackId},
};

fn scratch() -> (tempfile::TempDir, PathBuf, LocalBackend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/repository");
    let backend = LocalBackend::create(Arc::new(RealDisk), &path).unwrap();
    (folder, path, backend)
}

fn pack(seed: u8) -> ObjectName {
    ObjectName::Pack(PackId([seed; 32]))
}

fn path_of(repository: &Path, name: &ObjectName) -> PathBuf {
    repository.join(name.to_string())
}

#[test]
fn a_local_folder_keeps_the_contract() {
    let (_folder, _path, backend) = scratch();
    conformance::check(&backend);
}

#[test]
fn folders_and_objects_are_for_their_owner_alone() {
    let (_folder, path, backend) = scratch();
    backend.put_new(&pack(1), &[b"x"]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;

    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("packs")), 0o700);
    assert_eq!(mode(&path_of(&path, &pack(1))), 0o400);
}

#[test]
fn foreign_and_destroyed_names_are_told_apart_from_objects() {
    let (_folder, path, backend) = scratch();
    backend.put_new(&pack(1), &[b"object"]).unwrap();
    backend.put_new(&pack(2), &[b"to be emptied"]).unwrap();
    let emptied = path_of(&path, &pack(2));
    fs::set_permissions(&emptied, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&emptied, b"").unwrap();
    fs::write(path.join("packs/notes.txt"), b"hello").unwrap();
    fs::write(path.join("packs/.tmp-1"), b"unfinished").unwrap();
    fs::create_dir(path_of(&path, &pack(3))).unwrap();

    let listing = backend.list(Folder::Packs).unwrap();

    let mut objects = listing.objects;
    objects.sort();
    let emptied = Listed { name: pack(2), bytes: 0 };
    assert_eq!(objects, [Listed { name: pack(1), bytes: 6 }, emptied]);
    let mut foreign = listing.foreign;
    foreign.sort();
    assert_eq!(foreign, [pack(3).file_name(), "notes.txt".to_owned()]);
    assert!(matches!(backend.get(&pack(2), 10), Err(Error::Missing { .. })));
    assert!(matches!(backend.put_new(&pack(2), &[b"x"]), Err(Error::Exists { .. })));
}

#[test]
fn a_lost_folder_is_never_an_empty_listing() {
    let (_folder, path, backend) = scratch();
    for folder in [Folder::Keys, Folder::Packs, Folder::Snapshots] {
        fs::remove_dir(path.join(folder.as_str())).unwrap();
        assert!(matches!(backend.list(folder), Err(Error::Unreachable { .. })), "{folder:?}");
    }

    fs::remove_dir_all(&path).unwrap();

    for folder in Folder::ALL {
        assert!(matches!(backend.list(folder), Err(Error::Unreachable { .. })), "{folder:?}");
    }
    assert!(matches!(backend.get(&pack(1), 1), Err(Error::Unreachable { .. })));
    let opened = LocalBackend::open(Arc::new(RealDisk), &path);
    assert!(matches!(opened, Err(Error::Unreachable { .. })));
}

#[test]
fn folders_that_a_copy_left_out_for_being_empty_come_back() {
    let (_folder, path, backend) = scratch();
    let name = ObjectName::Tombstone(ObjectId([9; 32]));
    fs::remove_dir(path.join("tombstones")).unwrap();

    assert_eq!(backend.list(Folder::Tombstones).unwrap(), Listing::default());
    backend.put_new(&name, &[b"tombstone"]).unwrap();

    assert_eq!(backend.get(&name, 9).unwrap(), b"tombstone");
}

#[test]
fn a_folder_without_repository_lists_no_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let backend = LocalBackend::open(Arc::new(RealDisk), folder.path()).unwrap();

    assert_eq!(backend.list(Folder::Descriptor).unwrap(), Listing::default());
    assert!(matches!(backend.list(Folder::Snapshots), Err(Error::Unreachable { .. })));
}

#[test]
fn a_full_device_is_no_space() {
    for number in [28, 122, 27] {
        let source = io::Error::from_raw_os_error(number);
        assert!(matches!(failed("write", "x", Path::new("/"), source), Error::NoSpace { .. }));
    }
}

#[test]
fn packs_stay_readable_beyond_the_number_kept_open() {
    let (_folder, _path, backend) = scratch();
    let count = u8::try_from(OPEN_PACKS_MAX + 10).unwrap();
    for seed in 0..count {
        backend.put_new(&pack(seed), &[&[seed; 10]]).unwrap();
    }

    for seed in (0..count).chain(0..count) {
        assert_eq!(backend.get_range(&pack(seed), 2..4).unwrap(), [seed; 2]);
    }

    assert_eq!(backend.open_packs.lock().unwrap().len(), OPEN_PACKS_MAX);
}
