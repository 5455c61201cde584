//! A restore into a folder that holds something already: only what differs is written, and only
//! what was asked for.

use std::{fs, os::unix::fs::MetadataExt};

use crate::cli::shop::Shop;

/// A shop that is saved, with its restore in the folder `back`.
fn restored() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.back_up(&[]).code, Some(0));
    let ran = shop.run(["restore", "latest", "--target", shop.path("back").to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    shop
}

fn again(shop: &Shop, more: &[&str]) -> serde_json::Value {
    let back = shop.path("back");
    let words = ["restore", "latest", "--json", "--target", back.to_str().unwrap()];
    let ran = shop.run(words.iter().chain(more).copied());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.summary()
}

#[test]
fn a_database_that_is_as_it_was_is_not_written_again() {
    let shop = restored();
    let inode = || fs::metadata(shop.path("back/pos.db")).unwrap().ino();
    let before = inode();

    let planned = again(&shop, &["--dry-run"]);
    let kept = again(&shop, &["--verify"]);

    assert_eq!((&planned["databases"], &planned["bytes_written"]), (&0.into(), &0.into()));
    assert_eq!((&kept["databases"], &kept["bytes_written"]), (&0.into(), &0.into()));
    assert_eq!(kept["kept"], 3, "two files and the database");
    assert_eq!(inode(), before);
    assert_eq!(again(&shop, &["--overwrite", "always"])["databases"], 1);
}

#[test]
fn a_database_that_was_used_meanwhile_comes_back() {
    let shop = restored();
    let rows = |database: &str| -> i64 {
        let database = rusqlite::Connection::open(shop.path(database)).unwrap();
        database.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap()
    };
    let database = rusqlite::Connection::open(shop.path("back/pos.db")).unwrap();
    database.execute_batch("DELETE FROM sales WHERE id > 10").unwrap();
    drop(database);

    assert_eq!(again(&shop, &["--overwrite", "never"])["kept"], 3);
    assert_eq!(rows("back/pos.db"), 10);
    assert_eq!(again(&shop, &["--dry-run"])["databases"], 1);
    assert_eq!(again(&shop, &[])["databases"], 1);
    assert_eq!(rows("back/pos.db"), 100);
}

#[test]
fn patterns_leave_databases_out_by_either_of_their_names() {
    let shop = restored();
    fs::remove_dir_all(shop.path("back")).unwrap();

    for (words, databases, files) in [
        (["--exclude", "*.db"], 0, 2),
        (["--exclude", "pos"], 0, 2),
        (["--include", "sub/"], 0, 1),
        (["--include", "pos.db"], 1, 0),
    ] {
        for more in [&["--dry-run"][..], &[]] {
            let words: Vec<&str> = words.iter().chain(more).copied().collect();
            let summary = again(&shop, &words);
            assert_eq!(summary["databases"], databases, "{words:?}");
            assert_eq!(summary["files"], files, "{words:?}");
        }
        assert_eq!(shop.path("back/pos.db").exists(), databases == 1, "{words:?}");
        let _ = fs::remove_dir_all(shop.path("back"));
    }
}

#[test]
fn a_path_inside_a_database_part_is_refused() {
    let shop = restored();

    let ran = shop.run(["restore", "latest:pos/sales", "--target", "/nowhere"]);

    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("there is no sales in pos"), "{}", ran.err);
}

/// A virtual disk of a few megabytes and a size that no machine has.
#[test]
fn a_sparse_file_needs_room_for_what_is_in_it_only() {
    let shop = Shop::open();
    let sparse = fs::File::create(shop.path("uploads/disk.img")).unwrap();
    if sparse.set_len(1 << 43).is_err() {
        return;
    }
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 10_000], 1 << 30).unwrap();
    assert_eq!(shop.back_up(&[]).code, Some(0));

    let written = again(&shop, &[]);

    assert_eq!(written["files"], 3);
    assert_eq!(fs::metadata(shop.path("back/uploads/disk.img")).unwrap().len(), 1 << 43);
    let mut there = vec![0; 10_000];
    let restored = fs::File::open(shop.path("back/uploads/disk.img")).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&restored, &mut there, 1 << 30).unwrap();
    assert_eq!(there, [7; 10_000]);
}

/// A log that another process left beside a database among the files would undo its restore.
#[test]
fn a_database_among_files_comes_back_without_what_was_written_since() {
    let shop = Shop::open();
    let _ = fs::copy(shop.path("pos.db"), shop.path("uploads/till.db")).unwrap();
    assert_eq!(shop.back_up(&[]).code, Some(0));
    let _ = again(&shop, &[]);
    let wal = shop.path("back/uploads/till.db-wal");
    fs::write(&wal, "commits of another day").unwrap();

    assert_eq!(again(&shop, &["--dry-run"])["files"], 1);
    assert_eq!(again(&shop, &[])["files"], 1);
    assert!(!wal.exists());
    assert_eq!(again(&shop, &[])["files"], 0);
}
