//! `prune` from the command line, and what the command line says of data that is missing.

use std::sync::Arc;

use stillpoint::{
    backend::local::LocalBackend,
    clock::{Clock, SystemClock, UnixNanos},
    crypto::secret::Credential,
    disk::RealDisk,
    repo::{Environment, Repository},
};

use super::shop::Shop;
use crate::shop as sources;

/// A shop whose trash is emptied at once, with a forgotten snapshot of much and one of little.
fn shop() -> Shop {
    let shop = Shop::open();
    shop.write("shop.toml", "[retention]\ntrash_days = 0\nauto = false\n");
    shop.write("uploads/large", &"what is thrown away later ".repeat(20_000));
    assert_eq!(shop.back_up(&[]).code, Some(0));
    shop.write("uploads/large", "small");
    assert_eq!(shop.back_up(&[]).code, Some(0));
    let forgotten = shop.run(["forget", "latest~1"]);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.err);
    shop
}

fn prune(shop: &Shop, more: &[&str]) -> super::shop::Ran {
    let config = shop.path("shop.toml").display().to_string();
    shop.run([&["prune", "--config", &config], more].concat())
}

#[test]
fn a_prune_is_planned_in_words_and_numbers_and_then_done() {
    let shop = shop();

    let planned = prune(&shop, &["--dry-run"]);
    let numbers = prune(&shop, &["-n", "--json"]).summary();
    let again = prune(&shop, &["--dry-run"]);
    let done = prune(&shop, &["--json"]);
    let nothing = prune(&shop, &["--json"]).summary();

    assert_eq!((planned.code, done.code), (Some(0), Some(0)), "{}", done.err);
    for words in ["in no use", "forget", "delete", "rewrite", "free"] {
        assert!(planned.out.contains(words), "{words}: {}", planned.out);
    }
    assert!(planned.out.contains("Nothing was removed"), "{}", planned.out);
    assert_eq!(planned.out, again.out, "a preview changed something");
    assert_eq!((&numbers["expired"], &numbers["exit_code"]), (&1.into(), &0.into()));
    let done = done.summary();
    let count = |name: &str| done[name].as_u64().unwrap_or_else(|| panic!("{name}: {done}"));
    assert_eq!(count("snapshots_removed"), 1);
    assert!(count("packs_deleted") + count("packs_rewritten") > 0, "{done}");
    assert_eq!(count("bytes_freed"), numbers["bytes"].as_u64().unwrap() - count("bytes_after"));
    assert_eq!((&nothing["packs_deleted"], &nothing["snapshots_removed"]), (&0.into(), &0.into()));
    assert_eq!(shop.run(["check", "--read-data"]).code, Some(0));
    let runs = shop.data(&["runs"]);
    let recorded = runs.as_array().unwrap().iter().filter(|run| run["command"] == "prune");
    assert_eq!(recorded.count(), 2, "previews are no runs");
}

#[test]
fn a_prune_that_is_asked_for_nonsense_or_finds_damage_removes_nothing() {
    let shop = shop();

    for wrong in [&["--max-unused", "5"][..], &["--max-repack", "much"], &["latest"]] {
        assert_eq!(prune(&shop, wrong).code, Some(2), "{wrong:?}");
    }
    shop.write(&format!("repository/snapshots/{}", "cd".repeat(32)), "no record");
    let refused = prune(&shop, &[]);

    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("SP0308") && refused.err.contains("nothing was deleted"));
    assert!(refused.err.contains("stillpoint check"), "{}", refused.err);
}

#[test]
fn a_damaged_tombstone_stops_deletions_and_nothing_else() {
    let shop = shop();
    shop.write(&format!("repository/tombstones/{}", "ab".repeat(32)), "no tombstone at all");

    let refused = prune(&shop, &[]);
    shop.sell(3);
    let saved = shop.back_up(&[]);
    let restored = shop.run(["restore", "latest", "--target", shop.path("back").to_str().unwrap()]);
    let checked = shop.run(["check", "--read-data"]);
    let undeleted = shop.run(["undelete", "latest"]);

    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("SP0308") && refused.err.contains("tombstones/abab"));
    assert_eq!((saved.code, restored.code), (Some(0), Some(0)), "{}{}", saved.err, restored.err);
    assert_eq!(checked.code, Some(30), "{}", checked.err);
    assert!(checked.err.contains("tombstones/abab"), "{}", checked.err);
    assert_ne!(undeleted.code, Some(0), "{}", undeleted.err);
}

#[test]
fn snapshots_shows_which_of_them_lack_data_since_a_check_found_it() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    assert_eq!(shop.data(&["snapshots"])[0]["missing"], serde_json::json!([]));
    shop.flip_all("repository/packs");

    let checked = shop.run(["check", "--read-data"]);

    assert_eq!(checked.code, Some(30), "{}", checked.err);
    let listed = shop.run(["snapshots"]);
    assert!(listed.out.contains("data missing"), "{}", listed.out);
    assert!(listed.out.contains("stillpoint check"), "{}", listed.out);
    let missing = &shop.data(&["snapshots"])[0]["missing"];
    assert!(!missing.as_array().unwrap().is_empty());

    // What the sources still have comes back, and the next check says so.
    assert_eq!(shop.back_up(&[]).code, Some(0));
    let newest = shop.run(["snapshots", "--json"]);
    assert_eq!(newest.code, Some(0), "{}", newest.err);
}

/// A clock that is two days ahead.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> UnixNanos {
        SystemClock.now() + 2 * 24 * 3_600_000_000_000
    }

    fn elapsed(&self) -> std::time::Duration {
        SystemClock.elapsed()
    }

    fn sleep(&self, duration: std::time::Duration) {
        SystemClock.sleep(duration);
    }
}

#[test]
fn no_policy_is_followed_while_a_snapshot_comes_from_the_future() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    let disk = Arc::new(RealDisk);
    let backend = LocalBackend::open(disk.clone(), &shop.path("repository")).unwrap();
    let state = tempfile::tempdir().unwrap();
    let env = sources::environment(Arc::new(backend), disk, state.path());
    let key = Credential::from_key_file(&shop.read("key")).unwrap();
    let repo = Repository::open(Environment { clock: Arc::new(Ahead), ..env }, &key).unwrap();
    assert!(sources::Shop::open().back_up(&repo).unwrap().is_complete());

    let refused = shop.run(["forget", "--policy", "--keep-last", "1"]);
    let named = shop.run(["forget", "latest"]);

    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("SP0802") && refused.err.contains("is the clock"));
    assert_ne!(named.code, Some(1), "{}", named.err);
}
