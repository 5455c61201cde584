//! `export`, `import` and `restore FILE.zip` from the command line.

use super::shop::{Ran, Shop, holds};

fn run(shop: &Shop, words: &[&str]) -> Ran {
    shop.command(words).current_dir(shop.folder.path()).output().unwrap().into()
}

fn shop() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.back_up(&[]).code, Some(0));
    shop
}

fn sales(shop: &Shop, database: &str) -> i64 {
    let database = rusqlite::Connection::open(shop.path(database)).unwrap();
    database.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap()
}

#[test]
fn an_export_is_restored_where_there_is_no_repository() {
    let shop = shop();

    let exported = run(&shop, &["export", "latest", "--output", "shop.zip", "--json"]);
    let tried =
        run(&shop, &["restore", "shop.zip", "--target", "back", "--repo", "none", "--dry-run"]);
    assert!(!shop.path("back").exists());
    let restored = run(&shop, &["restore", "shop.zip", "--target", "back", "--repo", "none"]);

    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert!(exported.summary()["bytes"].as_u64() > Some(1000));
    assert_eq!(tried.code, Some(0), "{}", tried.err);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    assert!(holds(&shop.path("back/uploads"), &[("a.txt", "first"), ("sub/b.txt", "second")]));
    assert_eq!(sales(&shop, "back/pos.db"), 100);
    let again = run(&shop, &["restore", "shop.zip", "--target", "back"]);
    assert_eq!(again.code, Some(1), "{}", again.err);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let twice = run(&shop, &["export", "latest", "--output", "shop.zip"]);
    assert_eq!(twice.code, Some(1), "an export is not overwritten");
}

#[test]
fn an_encrypted_export_takes_its_own_passphrase() {
    let shop = shop();
    shop.write("secret", "horse\n");
    shop.write("wrong", "cow\n");
    let secret = ["--export-password-file", "secret"];

    let words = ["export", "latest:uploads", "--output", "shop.zip", "--encrypt"];
    let exported = run(&shop, &[&words[..], &secret].concat());
    let unasked = run(&shop, &["restore", "shop.zip", "--target", "back"]);
    let words = ["restore", "shop.zip", "--target", "back", "--export-password-file"];
    let wrong = run(&shop, &[&words[..], &["wrong"]].concat());
    assert!(!shop.path("back").exists());
    let restored = run(&shop, &[&words[..], &["secret"]].concat());

    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert_eq!(unasked.code, Some(15), "{}", unasked.err);
    assert_eq!(wrong.code, Some(12), "{}", wrong.err);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    assert!(holds(&shop.path("back/uploads"), &[("a.txt", "first")]));
    assert!(!shop.path("back/pos.db").exists());
}

#[test]
fn an_import_makes_a_snapshot_that_says_where_it_came_from() {
    let shop = shop();
    assert_eq!(run(&shop, &["export", "latest", "--output", "shop.zip"]).code, Some(0));
    shop.sell(1);
    assert_eq!(shop.back_up(&[]).code, Some(0));

    let imported = run(&shop, &["import", "shop.zip", "--name", "the old shop", "--json"]);

    assert_eq!(imported.code, Some(0), "{}", imported.err);
    let snapshots = shop.data(&["snapshots"]);
    let newest = snapshots.as_array().unwrap().last().unwrap();
    assert_eq!(newest["id"], imported.summary()["snapshot_id"]);
    assert_eq!((&newest["trigger"], &newest["name"]), (&"import".into(), &"the old shop".into()));
    let words = ["restore", "latest", "--target", "back"];
    assert_eq!(run(&shop, &words).code, Some(0));
    assert_eq!(sales(&shop, "back/pos.db"), 100);
    assert_eq!(shop.back_up(&[]).code, Some(0));
    assert_eq!(run(&shop, &["check", "--read-data"]).code, Some(0));
}

#[test]
fn what_is_no_export_is_refused_in_words() {
    let shop = shop();
    assert_eq!(run(&shop, &["export", "latest", "--output", "shop.zip"]).code, Some(0));
    shop.write("other.zip", "PK and so on");
    let mut bytes = shop.read("shop.zip");
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    std::fs::write(shop.path("flipped.zip"), bytes).unwrap();

    for (file, code, word) in [
        ("other.zip", 1, "SP0711"),
        ("flipped.zip", 30, "SP0712"),
        ("absent.zip", 1, "cannot read"),
    ] {
        for words in [&["import", file][..], &["restore", file, "--target", "back"]] {
            let ran = run(&shop, words);
            assert_eq!(ran.code, Some(code), "{words:?}: {}", ran.err);
            assert!(ran.err.contains(word), "{}", ran.err);
        }
    }
    assert!(!shop.path("back").exists());
    let more = run(&shop, &["restore", "shop.zip", "--target", "back", "--delete"]);
    assert_eq!(more.code, Some(2));
    let unknown = run(&shop, &["restore", "shop.zip", "--target", "back", "--part", "no"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
}
