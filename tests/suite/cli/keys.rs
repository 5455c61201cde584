//! `key` from the command line: who opens the repository, and who does not any more.

use super::shop::{Ran, Shop};

/// A shop with a snapshot, opened by its key file and by the passphrase `old`.
fn shop() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.back_up(&[]).code, Some(0));
    shop.write("old", "old\n");
    let added = run(&shop, &["key", "add", "--new-password-file", "old", "--label", "till"]);
    assert_eq!(added.code, Some(0), "{}", added.err);
    shop
}

/// Runs the program with relative paths taken from the shop's folder.
fn run(shop: &Shop, words: &[&str]) -> Ran {
    shop.command(words).current_dir(shop.folder.path()).output().unwrap().into()
}

fn opened_by(shop: &Shop, flag: &str, file: &str) -> Ran {
    run(shop, &["snapshots", flag, file])
}

#[test]
fn a_passphrase_comes_is_changed_and_goes() {
    let shop = shop();
    shop.write("new", "new");

    let by_old = ["key", "change", "--password-file", "old", "--new-password-file", "new"];
    let changed = run(&shop, &[&by_old[..], &["--label", "till 2"]].concat());

    assert_eq!(changed.code, Some(0), "{}", changed.err);
    assert_eq!(opened_by(&shop, "--password-file", "old").code, Some(12));
    assert_eq!(opened_by(&shop, "--password-file", "new").code, Some(0));
    let listed = shop.data(&["key", "list"]);
    let labels: Vec<_> = listed.as_array().unwrap().iter().map(|key| &key["label"]).collect();
    assert_eq!(labels, ["key file", "till 2"]);
    assert_eq!((&listed[0]["in_use"], &listed[0]["kind"]), (&true.into(), &"key_file".into()));

    let removed = run(&shop, &["key", "remove", "till 2"]);
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    assert_eq!(opened_by(&shop, "--password-file", "new").code, Some(12));
    assert_eq!(opened_by(&shop, "--key-file", "key").code, Some(0));
}

#[test]
fn the_key_in_use_goes_only_with_a_yes_and_the_last_one_never() {
    let shop = shop();

    let unasked = run(&shop, &["key", "remove", "key file"]);
    let agreed = run(&shop, &["key", "remove", "key file", "--yes"]);
    let last = run(&shop, &["key", "remove", "till", "--yes", "--password-file", "old"]);

    assert_eq!(unasked.code, Some(15), "{}", unasked.err);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    assert_eq!(agreed.code, Some(0), "{}", agreed.err);
    assert_eq!(last.code, Some(1), "{}", last.err);
    assert!(last.err.contains("last key") && last.err.contains("SP0706"), "{}", last.err);
    assert_eq!(opened_by(&shop, "--password-file", "old").code, Some(0));
    for unknown in ["nobody", ""] {
        let ran = run(&shop, &["key", "remove", unknown, "--password-file", "old"]);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
    }
}

#[test]
fn a_wrong_passphrase_changes_nothing_anywhere() {
    let shop = shop();
    shop.write("wrong", "wrong");
    let before = tree(&shop);
    for words in [
        &["key", "list"][..],
        &["key", "add", "--new-password-file", "old"],
        &["key", "change", "--new-password-file", "old"],
        &["key", "remove", "till", "--yes"],
        &["key", "rotate"],
        &["key", "recovery", "--output", "sheet"],
    ] {
        let ran = run(&shop, &[words, &["--password-file", "wrong"]].concat());
        assert_eq!(ran.code, Some(12), "{words:?}: {}", ran.err);
    }
    assert_eq!(tree(&shop), before);
}

/// Every file below the shop's folder, with its length.
fn tree(shop: &Shop) -> Vec<(std::path::PathBuf, u64)> {
    let (mut files, mut folders) = (Vec::new(), vec![shop.folder.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_recovery_sheet_opens_the_repository_by_its_text_and_by_its_key() {
    let shop = shop();

    let made = run(&shop, &["key", "recovery", "--output", "sheet"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let sheet = String::from_utf8(shop.read("sheet")).unwrap();
    assert_eq!(opened_by(&shop, "--recovery-file", "sheet").code, Some(0));
    let key: Vec<&str> = sheet
        .lines()
        .skip_while(|line| *line != "Recovery key")
        .skip(2)
        .take(2)
        .flat_map(str::split_whitespace)
        .collect();
    assert_eq!(key.len(), 8, "{sheet}");
    shop.write("typed", &key.join("").to_lowercase().replace('0', "o"));
    assert_eq!(opened_by(&shop, "--recovery-file", "typed").code, Some(0));

    let mut mistyped: Vec<String> = key.iter().map(|&group| group.to_owned()).collect();
    let wrong = if mistyped[4].starts_with('2') { "3" } else { "2" };
    mistyped[4].replace_range(..1, wrong);
    shop.write("typed", &mistyped.join("-"));
    let refused = opened_by(&shop, "--recovery-file", "typed");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("group 5 is mistyped"), "{}", refused.err);

    let again = run(&shop, &["key", "recovery", "--output", "sheet"]);
    assert_eq!(again.code, Some(2), "a sheet that is there is not overwritten");
    assert_eq!(shop.data(&["key", "list"]).as_array().unwrap().len(), 3);
}

#[test]
fn a_sheet_that_was_typed_in_again_is_remembered_as_such() {
    let shop = shop();
    let _ = run(&shop, &["key", "recovery", "--output", "sheet"]);
    assert!(shop.data(&["key", "list"])[2]["verified"].is_null());

    let by_key_file = run(&shop, &["key", "recovery", "--verify"]);
    let verified = run(&shop, &["key", "recovery", "--verify", "--recovery-file", "sheet"]);

    assert_eq!(by_key_file.code, Some(15), "{}", by_key_file.err);
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    assert!(shop.data(&["key", "list"])[2]["verified"].is_string());
}

#[test]
fn a_sheet_that_cannot_be_written_leaves_no_key_behind() {
    let shop = shop();

    let ran = run(&shop, &["key", "recovery", "--output", "no such folder/sheet"]);

    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert_eq!(shop.data(&["key", "list"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_re_sealing_leaves_no_pack_under_the_old_key() {
    let shop = shop();
    let packs = || -> Vec<_> {
        let folder = shop.path("repository/packs").read_dir().unwrap();
        folder.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = packs();

    let resealed = run(&shop, &["key", "rotate", "--reseal", "--json"]);

    assert_eq!(resealed.code, Some(0), "{}", resealed.err);
    assert_eq!(resealed.summary()["packs_left"], 0);
    assert!(!packs().is_empty() && packs().iter().all(|pack| !before.contains(pack)));
    let again = run(&shop, &["key", "rotate", "--resume", "--json"]);
    assert_eq!((again.code, &again.summary()["packs_resealed"]), (Some(0), &0.into()));
    assert_eq!(run(&shop, &["check", "--read-data"]).code, Some(0));
}

#[test]
fn after_a_rotation_every_key_opens_old_and_new_snapshots() {
    let shop = shop();

    let rotated = run(&shop, &["key", "rotate", "--json"]);
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    assert!(rotated.summary()["epoch"].as_u64() > Some(1));
    shop.sell(5);
    assert_eq!(shop.back_up(&[]).code, Some(0));

    let target = shop.path("back");
    let words = ["restore", "latest~1", "--target", target.to_str().unwrap()];
    let restored = run(&shop, &[&words[..], &["--password-file", "old"]].concat());
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    assert_eq!(run(&shop, &["check", "--read-data", "--password-file", "old"]).code, Some(0));
}
