//! Proof, not hope: drills, the verdict, and commands that may go wrong.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::cli::shop::Shop;

/// A shop with a configuration, and these further lines in it.
fn configured(lines: &str) -> Shop {
    let shop = Shop::open();
    let path = |name: &str| shop.path(name).display().to_string();
    let text = format!(
        "version = 1\n[[database]]\nname = \"pos\"\nkind = \"sqlite\"\npath = \"{}\"\nevery = \
         \"1h\"\n[[files]]\nname = \"uploads\"\npaths = [\"{}\"]\n{lines}\n",
        path("pos.db"),
        path("uploads")
    );
    shop.write(".config/stillpoint/stillpoint.toml", &text);
    shop
}

fn rows(shop: &Shop) -> i64 {
    let database = Connection::open(shop.path("pos.db")).unwrap();
    database.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap()
}

/// The verdict, its sentence, and the exit code.
fn status(shop: &Shop) -> (Value, String, Option<i32>) {
    let ran = shop.run(["status", "--json"]);
    let mut object: Value = serde_json::from_str(&ran.out).unwrap();
    let data = object["data"].take();
    let sentence = data["sentence"].as_str().unwrap().to_owned();
    assert!(shop.run(["status"]).out.contains(&sentence), "people read the same");
    (data["verdict"].clone(), sentence, ran.code)
}

fn scratch_left(shop: &Shop) -> bool {
    let mut folders = fs::read_dir(shop.path("state")).unwrap().map(|entry| entry.unwrap().path());
    folders.any(|folder| {
        let names = fs::read_dir(folder).into_iter().flatten();
        names.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
    })
}

#[test]
fn a_drill_proves_the_restore_and_the_verdict_says_so() {
    let away = tempfile::tempdir().unwrap();
    let shop = configured(&format!(
        "[[drill.assert]]\nsql = \"SELECT count(*) > 50 FROM sales\"\n[[mirror]]\nname = \
         \"away\"\nkind = \"local\"\npath = \"{}\"",
        away.path().display()
    ));
    let unprotected = status(&shop);
    assert_eq!(shop.run(["backup"]).code, Some(0));
    let unproven = status(&shop);

    let drill = shop.run(["drill", "--all-files", "--json"]);

    assert_eq!(drill.code, Some(0), "{}{}", drill.out, drill.err);
    let certificate = drill.summary()["certificate"].clone();
    assert_eq!(certificate["passed"], true);
    let pos = &certificate["parts"][0]["checks"];
    let names: Vec<&str> =
        pos.as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    let assertion = "assert SELECT count(*) > 50 FROM sales";
    let expected = ["restored", "integrity_check", "foreign_key_check", "row counts", assertion];
    assert_eq!(names, expected);
    assert_eq!(certificate["parts"][1]["checks"][1]["detail"], "2 of 2");
    assert!(!scratch_left(&shop), "plaintext is left");
    let proven = status(&shop);
    assert_eq!((unprotected.0, unprotected.2), ("not_protected".into(), Some(21)));
    assert_eq!((unproven.0, unproven.2), ("safe_but".into(), Some(20)));
    assert_eq!((proven.0, proven.2), ("safe".into(), Some(0)), "{}", proven.1);
    assert!(proven.1.contains("you would lose at most"), "{}", proven.1);
    let page = certificates(&shop, "txt").pop().unwrap();
    assert!(fs::read_to_string(page).unwrap().starts_with("RESTORE DRILL: PASSED"));
}

fn certificates(shop: &Shop, extension: &str) -> Vec<std::path::PathBuf> {
    let states = fs::read_dir(shop.path("state")).unwrap().map(|entry| entry.unwrap().path());
    let drills = states.filter_map(|state| fs::read_dir(state.join("drills")).ok());
    let paths = drills.flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn settings_that_do_nothing_yet_are_named_where_somebody_looks_and_nowhere_else() {
    let shop = configured("");
    let words = "does not act on these";

    let backup = shop.run(["backup"]);
    let doctor = shop.run(["doctor"]);
    let asked = shop.run(["snapshots", "-v"]);
    let again = shop.command(["init"]).env("STILLPOINT_REPO", shop.path("other")).output().unwrap();

    assert_eq!((backup.code, backup.err.contains(words)), (Some(0), false), "{}", backup.err);
    assert!(doctor.out.contains(words) && doctor.out.contains("database.every"), "{}", doctor.out);
    assert!(doctor.out.contains("cron or a systemd timer"), "{}", doctor.out);
    assert!(asked.err.contains(words), "{}", asked.err);
    assert!(String::from_utf8_lossy(&again.stderr).contains(words), "{again:?}");
}

#[test]
fn a_mirror_counts_for_what_was_seen_of_it() {
    let away = tempfile::tempdir().unwrap();
    let place = away.path().join("copy");
    let shop = configured(&format!(
        "[[mirror]]\nname = \"away\"\nkind = \"local\"\npath = \"{}\"",
        place.display()
    ));
    fs::write(&place, "no folder").unwrap();
    let _ = shop.run(["backup"]);
    let promised = shop.data_of(&["status"]);
    fs::remove_file(&place).unwrap();
    assert_eq!(shop.run(["mirror", "sync", "away"]).code, Some(0));
    assert_eq!(shop.run(["drill", "--from", "away"]).code, Some(0));
    let proven = shop.data_of(&["status"]);
    fs::rename(&place, away.path().join("gone")).unwrap();
    fs::write(&place, "no folder").unwrap();
    shop.sell(1);
    let _ = shop.run(["backup"]);
    let broken = shop.data_of(&["status"]);

    let sentence = |status: &Value| status["sentence"].as_str().unwrap().to_owned();
    assert!(sentence(&promised).contains("you would lose everything"), "{}", sentence(&promised));
    assert!(promised["mirrors"][0]["reached"].is_null());
    assert_eq!(proven["verdict"], "safe", "{}", sentence(&proven));
    let from = proven["drill"]["from"].as_str().unwrap();
    assert!(from.starts_with("mirror away"), "{from}");
    assert_eq!(broken["verdict"], "safe_but", "{}", sentence(&broken));
    let said = sentence(&broken);
    assert!(said.contains("away was not brought up to date"), "{said}");
    assert_eq!(broken["mirrors"][0]["reached"], proven["mirrors"][0]["reached"]);
}

#[test]
fn a_drill_that_fails_puts_the_shop_at_risk() {
    let shop = configured("[[drill.assert]]\nsql = \"SELECT count(*) > 500 FROM sales\"");
    assert_eq!(shop.run(["backup"]).code, Some(0));

    let drill = shop.run(["drill"]);

    assert_eq!(drill.code, Some(30), "{}", drill.err);
    assert!(drill.out.contains("assert SELECT count(*) > 500 FROM sales"), "{}", drill.out);
    let (verdict, sentence, code) = status(&shop);
    assert_eq!((verdict, code), ("at_risk".into(), Some(21)));
    assert!(sentence.contains("the last restore drill failed"), "{sentence}");
}

#[test]
fn an_assertion_can_only_read() {
    let shop = configured("[[drill.assert]]\nsql = \"DELETE FROM sales\"");
    assert_eq!(shop.run(["backup"]).code, Some(0));

    assert_eq!(shop.run(["drill"]).code, Some(30));
    assert_eq!(rows(&shop), 100);
}

#[test]
fn a_certificate_that_somebody_wrote_himself_proves_nothing() {
    let shop = configured("[[drill.assert]]\nsql = \"SELECT 0\"");
    assert_eq!(shop.run(["backup"]).code, Some(0));
    assert_eq!(shop.run(["drill"]).code, Some(30));
    let path = certificates(&shop, "json").pop().unwrap();
    let text = fs::read_to_string(&path).unwrap();

    fs::write(&path, text.replace("\"passed\": false", "\"passed\": true")).unwrap();

    let (verdict, sentence, _) = status(&shop);
    assert_eq!(verdict, "safe_but");
    assert!(sentence.contains("A restore was never proven"), "{sentence}");
}

#[test]
fn a_command_that_fails_is_taken_back() {
    let shop = configured("");
    let spoil = |code: i32| {
        let database = shop.path("pos.db");
        let uploads = shop.path("uploads");
        format!(
            "cp '{}' '{}.away' && rm '{}'; echo new > '{}/new'; exit {code}",
            database.display(),
            database.display(),
            database.display(),
            uploads.display()
        )
    };
    let guard = |more: &[&str], code: i32| {
        let script = spoil(code);
        let words = ["guard", "--assume-stopped"].into_iter().chain(more.iter().copied());
        shop.run(words.chain(["--", "sh", "-c", &script]))
    };

    let asked = guard(&[], 3);
    assert_eq!(asked.code, Some(15), "{}", asked.err);
    assert!(asked.err.contains("ended with"), "{}", asked.err);
    assert!(!shop.path("pos.db").exists(), "nobody agreed");
    fs::rename(shop.path("pos.db.away"), shop.path("pos.db")).unwrap();
    fs::remove_file(shop.path("uploads/new")).unwrap();

    let taken_back = guard(&["--yes"], 3);
    assert_eq!(taken_back.code, Some(1), "{}", taken_back.err);
    assert_eq!(rows(&shop), 100);
    assert!(!shop.path("uploads/new").exists());

    assert_eq!(guard(&["--yes"], 0).code, Some(0));
    assert!(shop.path("uploads/new").exists(), "what succeeds stays");
}

#[test]
fn a_database_that_is_none_any_more_is_replaced_and_kept_as_a_file() {
    let whole = |shop: &Shop| {
        assert_eq!(rows(shop), 100);
        let undone = shop.run(["undo", "--yes", "--assume-stopped"]);
        assert_eq!(undone.code, Some(0), "{}", undone.err);
    };
    let broken: [fn(&mut Vec<u8>); 3] = [
        |file| *file = b"not what it was".repeat(900),
        |file| file[16] = 77,
        |file| file[44..48].fill(9),
    ];
    for harm in broken {
        let shop = configured("");
        assert_eq!(shop.run(["backup"]).code, Some(0));
        let mut file = shop.read("pos.db");
        harm(&mut file);
        fs::write(shop.path("pos.db"), &file).unwrap();

        let restored = shop.run(["restore", "latest", "--live", "--yes", "--assume-stopped"]);

        assert_eq!(restored.code, Some(0), "{}", restored.err);
        assert!(restored.err.contains("it is no database any more"), "{}", restored.err);
        whole(&shop);
        assert!(shop.read("pos.db") == file, "an undo brings back what it was");
    }
}

#[test]
fn every_restore_is_listed_with_where_from_and_where_to() {
    let shop = configured("");
    assert_eq!(shop.run(["backup"]).code, Some(0));
    let back = shop.path("back").display().to_string();
    assert_eq!(shop.run(["restore", "latest", "--target", &back]).code, Some(0));
    assert_eq!(shop.run(["drill"]).code, Some(0));
    let dumped = shop.run(["dump", "latest:uploads/a.txt"]);
    assert_eq!((dumped.code, dumped.out.as_str(), dumped.err.as_str()), (Some(0), "first", ""));

    let restores = shop.data(&["restores"]);

    let seen: Vec<_> = restores
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["command"].clone(), one["from"].clone(), one["to"].clone()))
        .collect();
    let dump = ("dump".into(), "latest:uploads/a.txt".into(), "standard output".into());
    assert_eq!(seen[0], dump);
    assert_eq!(seen[1], ("drill".into(), "latest".into(), "a scratch folder".into()));
    assert_eq!(seen[2], ("restore".into(), "latest".into(), back.into()));
    assert_eq!(seen.len(), 3);
}
