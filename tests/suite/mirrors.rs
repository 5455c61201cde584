//! Second places of a repository, by the real program: a folder, and an S3 store on loopback.

use std::path::PathBuf;

use serde_json::Value;
use stillpoint::clock::{Clock, SystemClock};

use crate::{
    cli::shop::{Ran, Shop, holds},
    harness::s3::{BUCKET, CREDENTIALS, Fault, S3Server},
};

const CONFIG: &str = ".config/stillpoint/stillpoint.toml";

/// A shop with a configuration, and a store that it can send to.
struct Scene {
    shop: Shop,
    server: S3Server,
}

impl Scene {
    fn open() -> Self {
        let (shop, server) = (Shop::open(), S3Server::start());
        shop.write("credentials", CREDENTIALS);
        Self { shop, server }
    }

    fn place(&self, prefix: &str) -> String {
        let credentials = self.shop.path("credentials");
        format!(
            "s3:{BUCKET}/{prefix}?endpoint={}&credentials={}",
            self.server.url(),
            credentials.display()
        )
    }

    /// Runs the program with the configuration that its commands write.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.shop.run(arguments)
    }

    fn add_s3(&self) -> Ran {
        let (url, credentials) = (self.server.url(), self.shop.path("credentials"));
        let credentials = credentials.to_str().unwrap();
        let place =
            ["mirror", "add", "away", "--kind", "s3", "--bucket", BUCKET, "--prefix", "pos"];
        let how = ["--endpoint", &url, "--credentials-file", credentials];
        self.shop.run(place.iter().chain(&how))
    }

    /// On another machine, which has nothing but the key.
    fn elsewhere(&self, place: &str, arguments: &[&str]) -> Ran {
        let mut command = self.shop.command(arguments);
        let _ = command
            .env("STILLPOINT_REPO", place)
            .env("STILLPOINT_STATE_DIR", self.shop.path("elsewhere-state"))
            .env("HOME", self.shop.path("elsewhere-home"));
        command.output().unwrap().into()
    }

    fn status(&self) -> Value {
        let ran = self.run(&["mirror", "status", "--json"]);
        let mut object: Value = serde_json::from_str(&ran.out).unwrap();
        object["data"].take()
    }
}

fn done(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn a_shop_comes_back_from_its_bucket_alone() {
    let scene = Scene::open();
    done(&scene.add_s3());
    let backup = scene.shop.back_up(&["--json"]);
    done(&backup);

    let target = scene.shop.path("target");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap(), "--verify"];
    let restored = scene.elsewhere(&scene.place("pos"), &restore);
    let listed = scene.elsewhere(&scene.place("pos"), &["ls", "-R", "latest:uploads"]);
    let checked = scene.elsewhere(&scene.place("pos"), &["check", "--read-data"]);

    let mirrors = &backup.summary()["mirrors"];
    assert_eq!(mirrors[0]["state"], "complete", "{mirrors}");
    assert_eq!((&mirrors[0]["bytes_waiting"], &mirrors[0]["code"]), (&0.into(), &Value::Null));
    done(&restored);
    done(&listed);
    done(&checked);
    assert!(holds(&target, &[("uploads/a.txt", "first"), ("uploads/sub/b.txt", "second")]));
    assert!(!scene.server.keys().iter().any(|key| key.contains("/pending/")));
}

/// As far as a store on the other side of a continent.
const FAR_AWAY: std::time::Duration = std::time::Duration::from_millis(50);

#[test]
fn a_cold_question_to_a_mirror_costs_few_requests() {
    let scene = Scene::open();
    scene.shop.on_pos(
        "CREATE INDEX by_what ON sales (what);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
         INSERT INTO sales (what) SELECT 'ware ' || (i * 7919 % 40009) FROM n;",
    );
    done(&scene.add_s3());
    for _ in 0..4 {
        scene.shop.on_pos("UPDATE sales SET what = what || '.' WHERE id % 997 = 0");
        done(&scene.shop.back_up(&[]));
    }

    for sql in
        ["SELECT what FROM sales WHERE id = 20000", "SELECT id FROM sales WHERE what = 'ware 777'"]
    {
        let _ = std::fs::remove_dir_all(scene.shop.path("elsewhere-state"));
        let _ = std::fs::remove_dir_all(scene.shop.path("elsewhere-home"));
        scene.server.forget();
        scene.server.be_far_away(FAR_AWAY);
        let began = SystemClock.elapsed();
        let answer = scene.elsewhere(&scene.place("pos"), &["sql", "latest:pos", sql]);
        let took = SystemClock.elapsed() - began;

        done(&answer);
        assert_eq!(answer.out.lines().count(), 2, "{}", answer.out);
        let requests = scene.server.count();
        println!("{requests} requests, each 50 ms away, took {took:?}: {sql}");
        // That is well below two seconds; clocks are no part of a test.
        assert!(requests <= 15, "{:?}", scene.server.requests());
    }
}

#[test]
fn a_repository_can_lie_in_a_bucket_itself() {
    let scene = Scene::open();
    let place = scene.place("itself");
    let run = |arguments: &[&str]| {
        let mut command = scene.shop.command(arguments);
        command.env("STILLPOINT_REPO", &place).output().unwrap().into()
    };
    let pos = format!("pos={}", scene.shop.path("pos.db").display());

    let init: Ran = run(&["init"]);
    let first: Ran = run(&["backup", "--sqlite", &pos]);
    scene.shop.sell(3);
    let second: Ran = run(&["backup", "--sqlite", &pos]);
    let check: Ran = run(&["check", "--read-data"]);

    [init, first, second, check].iter().for_each(done);
}

#[test]
fn a_mirror_that_is_away_keeps_the_backup_and_is_caught_up_later() {
    let scene = Scene::open();
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    scene.server.die_at(1);
    scene.shop.sell(1);

    let backup = scene.shop.back_up(&["--json"]);
    let waiting = scene.status();
    let listed = scene.shop.data(&["snapshots"]);
    scene.server.forget();
    let sync = scene.run(&["mirror", "sync"]);
    let complete = scene.status();
    let table = scene.run(&["snapshots"]);

    assert_eq!(backup.code, Some(3), "{}", backup.err);
    let outcome = &backup.summary()["mirrors"][0];
    assert_eq!((&outcome["state"], &outcome["code"]), (&"waiting".into(), &"SP0014".into()));
    assert!(outcome["bytes_waiting"].as_u64().unwrap() > 0);
    assert_eq!(waiting["mirrors"][0]["snapshots_waiting"], 1);
    assert_eq!(waiting["snapshots"][1]["waiting_for"][0], "away");
    done(&sync);
    assert_eq!(complete["mirrors"][0]["snapshots_waiting"], 0);
    assert_eq!(complete["snapshots"][1]["places"][1], "away");
    // Said by what is known: the store is not asked.
    assert_eq!(listed[0]["places"], serde_json::json!(["here", "away"]));
    assert_eq!(listed[1]["places"], serde_json::json!(["here"]));
    assert_eq!(listed[1]["waiting_for"], serde_json::json!(["away"]));
    assert!(table.out.contains("here, away"), "{}", table.out);
}

#[test]
fn a_folder_is_a_mirror_too_and_one_that_is_not_mounted_stays_empty() {
    let scene = Scene::open();
    let disk = scene.shop.path("disk");
    let path = disk.to_str().unwrap();
    done(&scene.run(&["mirror", "add", "disk", "--kind", "local", "--path", path]));
    done(&scene.shop.back_up(&[]));
    let restored = scene.elsewhere(path, &["check", "--read-data"]);
    std::fs::rename(&disk, scene.shop.path("unplugged")).unwrap();
    scene.shop.sell(1);

    let backup = scene.shop.back_up(&["--json"]);

    done(&restored);
    assert_eq!(backup.code, Some(3));
    assert_eq!(backup.summary()["mirrors"][0]["code"], "SP0014");
    assert!(!disk.exists());
}

#[test]
fn a_mirror_of_another_repository_is_left_alone() {
    let (scene, other) = (Scene::open(), Scene::open());
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    let before = scene.server.keys();
    let (url, credentials) = (scene.server.url(), scene.shop.path("credentials"));
    let add = ["mirror", "add", "away", "--kind", "s3", "--bucket", BUCKET, "--prefix", "pos"];
    let how = ["--endpoint", &url, "--credentials-file", credentials.to_str().unwrap()];

    let refused = other.shop.run(add.iter().chain(&how));

    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("SP0421"), "{}", refused.err);
    assert_eq!(scene.server.keys(), before);
    assert_eq!(other.run(&["mirror", "test", "away"]).code, Some(2));
}

#[test]
fn what_is_gone_there_is_found_and_sent_again_and_strangers_are_left_alone() {
    let scene = Scene::open();
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    let keys = scene.server.keys();
    let packs: Vec<_> = keys.iter().filter(|key| key.contains("/packs/")).collect();
    std::fs::remove_file(scene.server.path_of(packs[0])).unwrap();
    scene.server.put("pos/packs/holiday.jpg", b"mine");

    let status = scene.run(&["mirror", "status", "--verify"]);
    let mended = scene.run(&["mirror", "sync", "--check"]);
    let again = scene.run(&["mirror", "status", "--verify"]);

    assert_eq!(status.code, Some(3));
    assert!(status.err.contains("is gone from there"), "{}", status.err);
    done(&mended);
    assert!(again.err.contains("none of ours"), "{}", again.err);
    let mut expected = keys.clone();
    expected.push("pos/packs/holiday.jpg".to_owned());
    expected.sort();
    assert_eq!(scene.server.keys(), expected);
}

#[test]
fn an_object_that_was_cut_there_is_sent_again() {
    let scene = Scene::open();
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    let keys = scene.server.keys();
    let pack = keys.iter().find(|key| key.contains("/packs/")).unwrap();
    scene.server.put(pack, b"half");

    let mended = scene.run(&["mirror", "sync", "--check"]);
    let check = scene.elsewhere(&scene.place("pos"), &["check", "--read-data"]);

    done(&mended);
    done(&check);
}

#[test]
fn a_snapshot_forgotten_on_a_mirror_stays_here() {
    let scene = Scene::open();
    done(&scene.add_s3());
    let backup = scene.shop.back_up(&["--json"]);
    let id = backup.summary()["snapshot_id"].as_str().unwrap().to_owned();

    done(&scene.run(&["mirror", "forget", "away", &id[..12]]));

    let there = scene.elsewhere(&scene.place("pos"), &["snapshots", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&there.out).unwrap()["data"], Value::Array(vec![]));
    assert_eq!(scene.shop.data(&["snapshots"]).as_array().unwrap().len(), 1);
    let unknown = scene.run(&["mirror", "forget", "away", "ffff"]);
    assert!(unknown.err.contains("SP0426"), "{}", unknown.err);
}

#[test]
fn a_mirror_is_added_once_listed_tested_and_taken_out_again() {
    let scene = Scene::open();
    done(&scene.add_s3());

    let again = scene.add_s3();
    let listed = scene.shop.data(&["mirror", "list"]);
    let test = scene.run(&["mirror", "test", "away", "--json"]);
    let login = scene.run(&["mirror", "login", "away"]);
    let removed = scene.run(&["mirror", "remove", "away"]);
    let unknown = scene.run(&["mirror", "test", "awya"]);

    assert!(again.err.contains("SP0424"), "{}", again.err);
    assert_eq!((&listed[0]["name"], &listed[0]["kind"]), (&"away".into(), &"s3".into()));
    assert_eq!(test.summary()["conditional_create"], true);
    assert_eq!(login.code, Some(2));
    done(&removed);
    assert!(unknown.err.contains("SP0423"), "{}", unknown.err);
    assert_eq!(scene.server.keys(), Vec::<String>::new());
}

/// Backs up with a mirror that is in trouble: the backup is kept, and all is said of the mirror.
fn in_trouble(scene: &Scene, code: &str, help: &str) {
    scene.shop.sell(1);

    let backup = scene.shop.back_up(&["--json"]);

    assert_eq!(backup.code, Some(3), "{code}: {}", backup.err);
    let outcome = &backup.summary()["mirrors"][0];
    assert_eq!((&outcome["name"], &outcome["state"]), (&"away".into(), &"waiting".into()));
    assert_eq!(outcome["code"], code, "{}", backup.err);
    assert!(outcome["bytes_waiting"].as_u64().unwrap() > 0, "{outcome}");
    let told = backup.out.clone() + &backup.err;
    for words in [code, help, "what is here is safe"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(backup.summary()["snapshot_id"].is_string());
}

#[test]
fn each_trouble_of_a_store_is_told_by_a_code_and_a_next_step_of_its_own() {
    let scene = Scene::open();
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    let config = String::from_utf8(scene.shop.read(CONFIG)).unwrap();
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{config}");
        scene.shop.write(CONFIG, &config.replace(from, to));
    };
    for (fault, code, help) in [
        (Fault::Status(403, "RequestTimeTooSkewed"), "SP0407", "clock of this machine"),
        (Fault::Status(403, "InvalidAccessKeyId"), "SP0402", "sign in again"),
        (Fault::Status(403, "AccessDenied"), "SP0405", "may this account"),
    ] {
        scene.server.fail_at(1, fault);
        in_trouble(&scene, code, help);
    }
    scene.server.forget();

    with(&format!("\"{BUCKET}\""), "\"shoq\"");
    in_trouble(&scene, "SP0406", "spelled right");
    with(&scene.server.url(), "http://shop.invalid");
    in_trouble(&scene, "SP0014", "on the network");

    scene.shop.write(CONFIG, &config);
    done(&scene.run(&["mirror", "sync"]));
    done(&scene.elsewhere(&scene.place("pos"), &["check"]));
}

#[test]
fn a_mirror_that_is_newer_than_we_are_is_left_alone() {
    let scene = Scene::open();
    let disk = scene.shop.path("disk");
    let path = disk.to_str().unwrap();
    done(&scene.run(&["mirror", "add", "away", "--kind", "local", "--path", path]));
    done(&scene.shop.back_up(&[]));
    let packs = || std::fs::read_dir(disk.join("packs")).unwrap().count();
    for entry in std::fs::read_dir(disk.join("descriptor")).unwrap() {
        let file = entry.unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        // Behind the magic: the version.
        bytes[8] = 9;
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
    }
    let before = packs();

    in_trouble(&scene, "SP0302", "install the newest");

    assert_eq!(packs(), before);
    let prune = scene.run(&["mirror", "prune", "away"]);
    assert!(prune.err.contains("SP0302"), "{}", prune.err);
}

#[test]
fn a_mirror_lets_go_what_its_policy_does_not_keep_and_shows_it_first() {
    let scene = Scene::open();
    let disk = scene.shop.path("disk");
    let path = disk.to_str().unwrap();
    done(&scene.run(&["mirror", "add", "away", "--kind", "local", "--path", path]));
    let config = String::from_utf8(scene.shop.read(CONFIG)).unwrap();
    let keep = "retention = { trash_days = 0, last = 1 }\n";
    scene.shop.write(CONFIG, &config.replacen("kind =", &format!("{keep}kind ="), 1));
    done(&scene.shop.back_up(&[]));
    scene.shop.sell(1);
    done(&scene.shop.back_up(&[]));

    let shown = scene.run(&["mirror", "prune", "away", "--dry-run"]);
    let before = scene.elsewhere(path, &["snapshots", "--json"]);
    let pruned = scene.run(&["mirror", "prune", "--json"]);
    let again = scene.run(&["mirror", "sync", "--json"]);

    done(&shown);
    assert!(shown.out.contains("(goes)") && shown.out.contains("last 1"), "{}", shown.out);
    let count = |ran: &Ran| {
        let object: Value = serde_json::from_str(&ran.out).unwrap();
        object["data"].as_array().unwrap().len()
    };
    assert_eq!(count(&before), 2);
    assert_eq!(pruned.summary()["mirrors"][0]["snapshots_removed"], 1, "{}", pruned.err);
    assert_eq!(again.summary()["mirrors"][0]["snapshots_sent"], 0);
    assert_eq!(count(&scene.elsewhere(path, &["snapshots", "--json"])), 1);
    done(&scene.elsewhere(path, &["check", "--read-data"]));
    let here = scene.shop.data(&["snapshots"]);
    assert_eq!(here.as_array().unwrap().len(), 2);
    assert_eq!(here[0]["places"], serde_json::json!(["here"]));
    assert_eq!(here[0]["waiting_for"], serde_json::json!([]));
}

#[test]
fn a_key_that_is_removed_opens_no_mirror_either() {
    let scene = Scene::open();
    let disk = scene.shop.path("disk");
    let path = disk.to_str().unwrap();
    done(&scene.run(&["mirror", "add", "away", "--kind", "local", "--path", path]));
    let second = scene.shop.path("second-key");
    let second = second.to_str().unwrap();
    done(&scene.run(&["key", "add", "--new-key-file", second, "--label", "till"]));
    done(&scene.shop.back_up(&[]));
    let by_second = ["snapshots", "--key-file", second];
    done(&scene.elsewhere(path, &by_second));
    std::fs::rename(&disk, scene.shop.path("unplugged")).unwrap();

    let removed = scene.run(&["key", "remove", "till"]);
    std::fs::rename(scene.shop.path("unplugged"), &disk).unwrap();
    let still = scene.elsewhere(path, &by_second);
    done(&scene.run(&["mirror", "sync"]));

    assert_eq!(removed.code, Some(3), "{}", removed.err);
    assert!(removed.err.contains("opens what a mirror has until"), "{}", removed.err);
    done(&still);
    assert_eq!(scene.elsewhere(path, &by_second).code, Some(12));
    done(&scene.elsewhere(path, &["snapshots"]));
}

#[test]
fn two_machines_may_send_to_one_mirror() {
    let scene = Scene::open();
    done(&scene.add_s3());
    done(&scene.shop.back_up(&[]));
    // A second machine works on a copy of the repository, and on its own state.
    let copy = scene.shop.path("repository-2");
    copy_tree(&scene.shop.path("repository"), &copy);
    scene.shop.sell(5);
    let pos = format!("pos={}", scene.shop.path("pos.db").display());
    let second = |arguments: &[&str]| -> Ran {
        let mut command = scene.shop.command(arguments);
        let _ = command
            .env("STILLPOINT_REPO", &copy)
            .env("STILLPOINT_STATE_DIR", scene.shop.path("state-2"));
        command.output().unwrap().into()
    };

    let (first, other) =
        (scene.shop.back_up(&[]), second(&["backup", "--sqlite", &pos, "--name", "other"]));

    done(&first);
    done(&other);
    let there = scene.elsewhere(&scene.place("pos"), &["snapshots", "--json"]);
    let there: Value = serde_json::from_str(&there.out).unwrap();
    assert_eq!(there["data"].as_array().unwrap().len(), 3);
    done(&scene.elsewhere(&scene.place("pos"), &["check", "--read-data"]));
}

fn copy_tree(from: &PathBuf, to: &PathBuf) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}
