//! A run makes one snapshot of all its parts: what befalls one of them does not stop the others.

use std::{fs, os::unix::fs::FileExt, path::Path, sync::Arc};

use rusqlite::Connection;
use stillpoint::{
    backend::memory::MemoryBackend,
    disk::RealDisk,
    format::record::{Outcome, PartContent, Storage},
    ops::{
        backup::{self, Report, Request},
        event::Silent,
        set::{AppVersion, FileSet, Set, SetSource},
    },
    repo::Repository,
};

use crate::shop::{self, KEY, Shop};

fn repository(state: &Path) -> Repository {
    let backend = Arc::new(MemoryBackend::new());
    let env = shop::environment(backend, Arc::new(RealDisk), state);
    Repository::create(env, &[(KEY, "key".to_owned())]).unwrap()
}

/// Backs the shop up along with another database.
fn back_up_with(database: &Path, repo: &Repository, shop: &Shop) -> Report {
    let mut request = shop.request(Storage::Incremental);
    let source = SetSource::Sqlite { path: database.to_owned() };
    request.sets.insert(0, Set { name: "other".to_owned(), source });
    backup::run(repo, &request, &Silent).unwrap()
}

#[test]
fn an_encrypted_or_missing_database_is_named_and_the_rest_is_saved() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    let encrypted = state.path().join("encrypted.db");
    fs::write(&encrypted, shop::pseudo_random(1, 8192)).unwrap();

    for (path, code) in
        [(encrypted, "not-a-database"), (state.path().join("none.db"), "unreadable")]
    {
        let report = back_up_with(&path, &repo, &shop);

        let snapshot = report.snapshot.unwrap();
        assert_eq!(report.failed.len(), 1);
        assert_eq!((&*report.failed[0].name, &*report.failed[0].code), ("other", code));
        assert!(snapshot.record.incomplete);
        let (content, is_complete) = shop::restore(&repo, &snapshot).unwrap();
        assert!(is_complete);
        assert_eq!(content, shop.content());
    }
}

#[test]
fn a_damaged_database_is_saved_as_it_is_and_marked() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    let damaged = state.path().join("damaged.db");
    let connection = Connection::open(&damaged).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (x);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO t SELECT hex(i * i * 7919) FROM n;",
        )
        .unwrap();
    connection.close().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&damaged).unwrap();
    file.write_all_at(&[0xff; 3000], 4096 * 3).unwrap();
    let mut request = shop.request(Storage::Full);
    let source = SetSource::Sqlite { path: damaged.clone() };
    request.sets = vec![Set { name: "damaged".to_owned(), source }];

    let report = backup::run(&repo, &request, &Silent).unwrap();

    let snapshot = report.snapshot.unwrap();
    assert_eq!(snapshot.record.parts[0].outcome, Outcome::Damaged);
    assert!(snapshot.record.incomplete);
    let target = tempfile::tempdir().unwrap();
    let _ = restore_database(&repo, &snapshot, target.path());
    assert!(fs::read(target.path().join("damaged.db")).unwrap() == fs::read(&damaged).unwrap());
}

fn restore_database(
    repo: &Repository,
    snapshot: &stillpoint::repo::Snapshot,
    target: &Path,
) -> stillpoint::ops::restore::Report {
    use stillpoint::{
        ops::{moment::PartAt, restore},
        sink::files::Overwrite,
    };
    let parts: Vec<_> =
        snapshot.record.parts.iter().map(|part| PartAt { snapshot, part }).collect();
    let request = restore::Request {
        target: target.to_owned(),
        overwrite: Overwrite::Changed,
        extra: restore::Extra::Keep,
        include: Vec::new(),
        exclude: Vec::new(),
        verify: restore::Verify::Identity,
        min_free_bytes: 0,
        program: shop::program(),
    };
    restore::run(repo, &parts, &request, &Silent).unwrap()
}

#[test]
fn the_application_tells_its_version_from_the_moment_of_the_image() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    let query = "SELECT 'v' || max(id) FROM sale".to_owned();
    let request = Request {
        app_version: Some(AppVersion::Sql { set: "pos".to_owned(), query }),
        ..shop.request(Storage::Incremental)
    };

    let report = backup::run(&repo, &request, &Silent).unwrap();

    assert_eq!(report.snapshot.unwrap().record.app_version, "v20");
}

#[test]
fn a_database_among_files_is_captured_as_one_and_without_its_companions() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    let path = shop.files().join("a/inner.db");
    // Kept open, so that its -wal holds what the file does not.
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (x); INSERT INTO t VALUES (42);")
        .unwrap();
    assert!(shop.files().join("a/inner.db-wal").exists());
    let mut request = shop.request(Storage::Incremental);
    let files = FileSet { paths: vec![shop.files()], ..FileSet::default() };
    request.sets = vec![Set { name: "files".to_owned(), source: SetSource::Files(files) }];

    for _ in 0..2 {
        let report = backup::run(&repo, &request, &Silent).unwrap();
        let snapshot = report.snapshot.unwrap();
        let target = tempfile::tempdir().unwrap();
        let restored = restore_database(&repo, &snapshot, target.path());

        assert!(report.failed.is_empty() && restored.is_complete());
        assert!(matches!(snapshot.record.parts[0].content, PartContent::Tree { .. }));
        let folder = target.path().join("files/a");
        assert!(!folder.join("inner.db-wal").exists());
        let restored = Connection::open(folder.join("inner.db")).unwrap();
        let x: i64 = restored.query_row("SELECT max(x) FROM t", [], |row| row.get(0)).unwrap();
        let now: i64 = connection.query_row("SELECT max(x) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(x, now);
        let _ = connection.execute("INSERT INTO t VALUES (?1)", [now + 1]).unwrap();
    }
}

#[test]
fn a_full_snapshot_restores_like_any_other() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    for round in 0..6 {
        shop.sell(round);
        let storage = if round % 2 == 0 { Storage::Incremental } else { Storage::Full };

        let report = backup::run(&repo, &shop.request(storage), &Silent).unwrap();

        let snapshot = report.snapshot.unwrap();
        let (content, is_complete) = shop::restore(&repo, &snapshot).unwrap();
        assert!(is_complete && content == shop.content());
    }
}

#[test]
fn a_second_backup_of_the_same_part_is_refused_by_name() {
    let shop = Shop::open();
    let state = tempfile::tempdir().unwrap();
    let repo = repository(state.path());
    let wait = std::time::Duration::ZERO;
    let held = repo.lock_as("part-pos.lock", "another run", wait).unwrap();

    let refused = shop.back_up(&repo);

    let error = refused.unwrap_err().to_string();
    assert!(error.contains("pos") && error.contains("another run"), "{error}");
    drop(held);
    assert!(shop.back_up(&repo).unwrap().is_complete());
}
