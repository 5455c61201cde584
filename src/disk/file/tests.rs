use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::disk::RealDisk;

fn scratch() -> (tempfile::TempDir, Dir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = RealDisk.open_root(folder.path()).unwrap();
    (folder, dir)
}

const NAME: &str = "name";

fn name() -> &'static OsStr {
    OsStr::new(NAME)
}

#[test]
fn pieces_of_all_sizes_arrive_in_order() {
    let (_folder, at) = scratch();
    let large: Vec<u8> = (0..GATHER_BYTES + 7).map(|i| (i * 31) as u8).collect();
    let middle = &large[..GATHER_BYTES / 2 + 1];
    let pieces: [&[u8]; 7] = [b"a", &large, b"", b"bc", middle, middle, b"d"];

    write_new(&RealDisk, &at, name(), &pieces, 0o400).unwrap();

    assert_eq!(read(&RealDisk, &at, name(), u64::MAX).unwrap(), pieces.concat());
}

#[test]
fn a_taken_name_is_left_alone() {
    let (_folder, at) = scratch();
    write_new(&RealDisk, &at, name(), &[b"first"], 0o600).unwrap();

    let error = write_new(&RealDisk, &at, name(), &[b"second"], 0o600).unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(read(&RealDisk, &at, name(), 5).unwrap(), b"first");
    assert_eq!(RealDisk.list(&at).unwrap(), [NAME]);
}

#[test]
fn a_file_with_a_temporary_name_is_published_as_well() {
    let (_folder, at) = scratch();

    let write = |content: &[u8]| {
        write_temporary(&RealDisk, &at, &|file| fill(&RealDisk, file, &[content], 0o400)).unwrap()
    };
    let temporary = write(b"content");
    temporary.publish_new(&RealDisk, &at, name()).unwrap();
    let second = write(b"other");
    let error = second.publish_new(&RealDisk, &at, name()).unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(read(&RealDisk, &at, name(), 7).unwrap(), b"content");
    assert_eq!(RealDisk.list(&at).unwrap(), [NAME]);
}

#[test]
fn a_copy_is_whole_and_takes_nobodys_name() {
    let (folder, at) = scratch();
    let long = vec![7; 2 * GATHER_BYTES + 5];
    write_new(&RealDisk, &at, OsStr::new("from"), &[&long], 0o644).unwrap();
    let from = RealDisk.open(&at, OsStr::new("from")).unwrap();

    copy_new(&RealDisk, &from, &at, name(), 0o600).unwrap();
    let taken = copy_new(&RealDisk, &from, &at, name(), 0o600).unwrap_err();

    assert!(read(&RealDisk, &at, name(), long.len() as u64).unwrap() == long);
    let mode = std::fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
    assert_eq!((mode & 0o7777, taken.kind()), (0o600, io::ErrorKind::AlreadyExists));
    assert_eq!(RealDisk.list(&at).unwrap().len(), 2);
}

#[test]
fn replacing_leaves_one_file_with_the_new_content_and_mode() {
    let (folder, at) = scratch();
    write_new(&RealDisk, &at, name(), &[b"old and longer"], 0o644).unwrap();

    replace(&RealDisk, &at, name(), b"new", 0o600).unwrap();

    assert_eq!(read(&RealDisk, &at, name(), 3).unwrap(), b"new");
    assert_eq!(RealDisk.list(&at).unwrap(), [NAME]);
    let mode = std::fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_file_longer_than_the_limit_is_not_read() {
    let (_folder, at) = scratch();
    write_new(&RealDisk, &at, name(), &[b"12345"], 0o600).unwrap();

    let error = read(&RealDisk, &at, name(), 4).unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn only_abandoned_files_are_stale() {
    let (_folder, at) = scratch();
    let alive = Temporary::create(&RealDisk, &at).unwrap();
    let dead = Temporary::create(&RealDisk, &at).unwrap();
    drop(dead.file);
    write_new(&RealDisk, &at, name(), &[b"kept"], 0o600).unwrap();

    assert_eq!(remove_stale(&RealDisk, &at).unwrap(), 1);

    let mut left = RealDisk.list(&at).unwrap();
    left.sort();
    assert_eq!(left, [alive.name, name().to_owned()]);
}

#[test]
fn who_removes_stale_files_takes_none_from_those_who_are_writing() {
    let (_folder, at) = scratch();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let _sweeper = scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = remove_stale(&RealDisk, &at).unwrap();
            }
        });
        let written: io::Result<Vec<()>> =
            (0..3_000).map(|_| replace(&RealDisk, &at, name(), b"new", 0o600)).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        written
    });

    assert!(written.is_ok(), "{written:?}");
    assert_eq!(RealDisk.list(&at).unwrap(), [NAME]);
}
