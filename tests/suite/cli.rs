//! The wiring of the command line: the real program, its streams and its exit codes. What the use
//! cases do is tested elsewhere.

#[path = "cli/export.rs"]
mod export;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/prune.rs"]
mod prune;
#[path = "cli/shop.rs"]
pub(crate) mod shop;

use std::{io::Read, time::Duration};

use serde_json::Value;
use shop::{Shop, holds};

const COMMANDS: [&str; 37] = [
    "init",
    "backup",
    "snapshots",
    "ls",
    "dump",
    "stats",
    "diff",
    "sql",
    "tables",
    "schema",
    "history",
    "find",
    "growth",
    "mount",
    "restore",
    "undo",
    "forget",
    "undelete",
    "pin",
    "unpin",
    "restores",
    "guard",
    "drill",
    "status",
    "check",
    "rebuild-index",
    "export",
    "import",
    "key",
    "mirror",
    "runs",
    "doctor",
    "cat",
    "debug",
    "completions",
    "man",
    "version",
];

#[test]
fn what_was_backed_up_comes_back() {
    let shop = Shop::open();

    let backup = shop.back_up(&["--json", "--name", "closing time", "--tag", "test"]);
    shop.write("uploads/a.txt", "spoiled");
    let target = shop.path("target");
    let restore = shop.run(["restore", "latest", "--target", target.to_str().unwrap(), "--verify"]);

    assert_eq!(backup.code, Some(0), "{}", backup.err);
    assert_eq!(restore.code, Some(0), "{}", restore.err);
    assert!(holds(&target, &[("uploads/a.txt", "first"), ("uploads/sub/b.txt", "second")]));
    let sales = rusqlite::Connection::open(target.join("pos.db")).unwrap();
    let count: i64 = sales.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 100);
    let snapshot = &shop.data(&["snapshots"])[0];
    assert_eq!(snapshot["id"], backup.summary()["snapshot_id"]);
    assert_eq!(snapshot["name"], "closing time");
    assert_eq!(snapshot["tags"][0], "test");
}

#[test]
fn a_moment_takes_each_part_from_the_newest_snapshot_that_holds_it() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    shop.sell(1);

    let pos = format!("pos={}", shop.path("pos.db").display());
    let _ = shop.run(["backup", "--sqlite", &pos]);
    let parts = shop.data(&["ls", "latest"]);
    let exact = shop.run(["ls", "latest", "--exact"]);

    assert_eq!(parts.as_array().unwrap().len(), 2);
    assert_ne!(parts[0]["snapshot_id"], parts[1]["snapshot_id"]);
    assert_eq!(exact.code, Some(1));
    assert!(exact.err.contains("SP0205"), "{}", exact.err);
}

#[test]
fn ls_dump_and_diff_look_inside() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    shop.write("uploads/c.txt", "third");
    shop.sell(5);
    let _ = shop.back_up(&[]);

    let entries = shop.data(&["ls", "-R", "latest:uploads"]);
    let tables = shop.data(&["ls", "latest:pos"]);
    let dumped = shop.run(["dump", "latest:uploads/sub/b.txt"]);
    let image = shop.command(["dump", "latest:pos"]).output().unwrap().stdout;
    let differences = shop.data(&["diff", "latest~1", "latest"]);

    let paths: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a.txt", "c.txt", "sub", "sub/b.txt"]);
    assert_eq!(tables[0]["rows"], 105);
    assert_eq!(dumped.out, "second");
    assert_eq!(image, shop.read("pos.db"));
    let changes: Vec<&str> = differences
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["content", "added"]);
    assert_eq!(differences[0]["tables"][0]["rows_to"], 105);
}

#[test]
fn every_failure_has_its_exit_code_and_its_number() {
    let (closed, shop) = (Shop::closed(), Shop::open());
    shop.write("wrong.pass", "not it\n");
    shop.write("typo.toml", "[[files]]\nname = \"a\"\npaths = [\"/a\"]\nexlude = []\n");
    shop.write("greedy.toml", "min_free = \"900000 TB\"\n");
    let path = |name: &str| shop.path(name).to_str().unwrap().to_owned();
    let missing = format!("gone={}", path("not-there"));
    let uploads = format!("uploads={}", path("uploads"));

    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["backup", "--wrong-flag"], 2, "unexpected argument"),
        (vec!["backup"], 2, "SP0002"),
        (vec!["backup", "unknown-set"], 2, "SP0206"),
        (vec!["ls", "no such thing"], 2, "SP0201"),
        (vec!["ls", "latest"], 1, "SP0202"),
        (vec!["init"], 1, "SP0305"),
    ];
    for (arguments, code, text) in cases {
        let ran = shop.run(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(text), "{arguments:?}: {}", ran.err);
    }
    let wrong = path("wrong.pass");
    let ran = shop.run(["snapshots", "--password-file", &wrong]);
    assert_eq!((ran.code, ran.err.contains("SP0012")), (Some(12), true), "{}", ran.err);
    let ran = closed.run(["snapshots"]);
    assert_eq!((ran.code, ran.err.contains("SP0010")), (Some(10), true), "{}", ran.err);
    let ran = shop.command(["snapshots"]).env_remove("STILLPOINT_KEY_FILE").output().unwrap();
    assert_eq!(ran.status.code(), Some(15));
    let ran = shop.run(["snapshots", "--config", &path("typo.toml")]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains(":4:1]") && ran.err.contains("did you mean `exclude`?"),
        "{}",
        ran.err
    );
    let ran = shop.run(["backup", "--files", &uploads, "--config", &path("greedy.toml")]);
    assert_eq!((ran.code, ran.err.contains("SP0013")), (Some(13), true), "{}", ran.err);
    let ran = shop.run(["backup", "--files", &missing, "--files", &uploads]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    let ran = shop.run(["backup", "--files", &missing]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
}

#[test]
fn the_last_line_of_json_is_a_summary_however_it_ends() {
    let (closed, shop) = (Shop::closed(), Shop::open());

    let good = shop.back_up(&["--json"]);
    let refused = shop.run(["backup", "--json"]);
    let failed = closed.back_up(&["--json"]);

    for (ran, code) in [(&good, 0), (&refused, 2), (&failed, 10)] {
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert_eq!(ran.summary()["exit_code"], code);
        let first: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
        assert_eq!(first["type"], "start");
    }
    assert!(good.summary()["snapshot_id"].is_string());
    assert!(good.summary()["bytes_added"].as_u64().unwrap() > 0);
    let kinds = ["start", "phase", "progress", "warning", "error", "summary"];
    for line in good.out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(kinds.contains(&event["type"].as_str().unwrap()), "{line}");
    }
}

#[test]
fn a_list_command_prints_one_object_even_when_it_fails() {
    let (closed, shop) = (Shop::closed(), Shop::open());

    let good = shop.run(["snapshots", "--json"]);
    let failed = closed.run(["snapshots", "--json"]);

    let good: Value = serde_json::from_str(&good.out).unwrap();
    assert_eq!(good["schema"], "stillpoint.snapshots/1");
    let failed: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!((&failed["code"], &failed["exit_code"]), (&"SP0010".into(), &10.into()));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    for arguments in [vec!["snapshots"], vec!["ls", "latest"], vec!["dump", "latest:pos"]] {
        let mut child = shop.command(&arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        let _ = child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_pipe_gets_no_colours_unless_it_asks() {
    let shop = Shop::open();

    let plain = shop.back_up(&[]);
    let painted = shop.back_up(&["--color", "always"]);

    assert!(!plain.out.contains('\x1b') && !plain.err.contains('\x1b'), "{}", plain.out);
    assert!(painted.out.contains("\x1b[32m"), "{}", painted.out);
}

#[test]
fn marks_are_ascii_where_utf8_is_not_spoken() {
    let shop = Shop::open();

    let ran = shop.command(["doctor"]).env("LANG", "C").output().unwrap();

    assert!(ran.stdout.is_ascii(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn quiet_prints_nothing_on_success() {
    let shop = Shop::open();

    let ran = shop.back_up(&["-q"]);

    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

#[test]
fn no_line_is_wider_than_a_terminal_of_sixty_columns() {
    let shop = Shop::open();
    let _ = shop.back_up(&["--name", "a name that is rather long for a snapshot, is it not"]);

    for arguments in [vec!["snapshots"], vec!["stats"], vec!["runs"], vec!["ls", "latest"]] {
        let ran: shop::Ran = shop.command(&arguments).env("COLUMNS", "60").output().unwrap().into();
        let widest = ran.out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(60), "{arguments:?}\n{}", ran.out);
    }
}

#[test]
fn every_command_explains_itself_and_has_a_manual_page() {
    let shop = Shop::closed();

    let all = shop.run(["--help"]).out;
    for command in COMMANDS {
        let help = shop.run([command, "--help"]);
        let page = shop.run(["man", command]);

        assert_eq!((help.code, page.code), (Some(0), Some(0)), "{command}");
        let about = help.out.lines().next().unwrap();
        assert!(all.contains(about), "{command}: {about}");
        assert!(page.out.starts_with(".ie \\n(.g .ds"), "{command}: {}", page.out);
        assert!(page.out.contains(".SH DESCRIPTION"), "{command}");
    }
    assert!(!all.contains("capture-child") && !all.contains("check-child"), "{all}");
    assert_eq!(shop.run(["man", "capture-child"]).code, Some(2));
}

#[test]
fn completions_exist_for_every_shell() {
    let shop = Shop::closed();

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = shop.run(["completions", shell]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains("rebuild-index"), "{shell}");
        assert!(!ran.out.contains("capture-child"), "{shell}");
    }
}

#[test]
fn the_whole_sample_configuration_is_read_and_says_what_does_nothing_yet() {
    let shop = Shop::closed();
    shop.write("sample.toml", include_str!("../../src/config/sample.toml"));

    let sample = shop.path("sample.toml");
    let ran = shop.run(["snapshots", "-v", "--config", sample.to_str().unwrap()]);

    assert_eq!(ran.code, Some(10), "{}", ran.err);
    assert!(ran.err.contains("database.every") && ran.err.contains("alerts"), "{}", ran.err);
}

#[test]
fn a_configured_shop_needs_no_flags() {
    let shop = Shop::closed();
    let path = |name: &str| shop.path(name).display().to_string();
    shop.write(
        "shop.toml",
        &format!(
            "[repository]\npath = \"repository\"\nkey_file = \"shop.key\"\n\
             [[database]]\nname = \"pos\"\nkind = \"sqlite\"\npath = \"pos.db\"\n\
             [[files]]\nname = \"uploads\"\npaths = [\"{}\"]\nexclude = [\"sub/\"]\n",
            path("uploads")
        ),
    );
    let run = |arguments: &[&str]| -> shop::Ran {
        let mut command = shop.command(arguments);
        for variable in ["STILLPOINT_REPO", "STILLPOINT_KEY_FILE"] {
            let _ = command.env_remove(variable);
        }
        command.env("STILLPOINT_CONFIG", path("shop.toml")).output().unwrap().into()
    };

    let codes = [run(&["init"]), run(&["doctor"]), run(&["backup"]), run(&["backup", "pos"])];
    let listed = run(&["ls", "-R", "latest:uploads"]);

    assert_eq!(codes.map(|ran| ran.code), [Some(0); 4]);
    assert!(listed.out.contains("a.txt") && !listed.out.contains("b.txt"), "{}", listed.out);
}

#[test]
fn a_preview_changes_nothing() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    let target = shop.path("target");

    let backup = shop.back_up(&["--dry-run"]);
    let restore =
        shop.run(["restore", "latest", "--dry-run", "--target", target.to_str().unwrap()]);

    assert_eq!((backup.code, restore.code), (Some(0), Some(0)), "{}", restore.err);
    assert!(backup.out.contains("Nothing is saved"), "{}", backup.out);
    assert!(restore.out.contains("Nothing is changed"), "{}", restore.out);
    assert!(!target.exists());
    assert_eq!(shop.data(&["snapshots"]).as_array().unwrap().len(), 1);
}

#[test]
fn check_finds_what_was_put_there_and_what_was_taken_away() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    let clean = shop.run(["check", "--read-data"]);
    shop.write("repository/packs/letter.txt", "hello");
    let foreign = shop.run(["check"]);

    assert_eq!(clean.code, Some(0), "{}{}", clean.out, clean.err);
    assert_eq!(foreign.code, Some(30));
    assert!(foreign.err.contains("packs/letter.txt"), "{}", foreign.err);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "harm is done with plain files")]
fn a_repair_says_what_it_will_do_and_asks() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    for entry in std::fs::read_dir(shop.path("repository/packs")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(shop.run(["check", "--read-data"]).code, Some(30));

    let planned = shop.run(["repair", "--dry-run"]);
    let unasked = shop.run(["repair", "--no-input"]);
    let repaired = shop.run(["repair", "--yes", "--json"]);
    let healed = shop.back_up(&[]);
    let again = shop.run(["repair", "--no-input"]);

    assert!(planned.code == Some(0) && planned.out.contains("set it aside"), "{}", planned.out);
    assert_eq!(unasked.code, Some(15), "{}", unasked.err);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let summary: Value = serde_json::from_str(repaired.out.lines().last().unwrap()).unwrap();
    assert_eq!(repaired.code, Some(3), "{summary}");
    assert_eq!((&summary["set_aside"], &summary["executed"]), (&1.into(), &true.into()));
    assert_eq!(summary["plan"][0]["action"], "salvage");
    assert_eq!(healed.code, Some(0), "{}", healed.err);
    assert!(again.out.contains("Nothing to repair"), "{}{}", again.out, again.err);
}

#[test]
fn every_object_can_be_looked_at() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    for folder in ["descriptor", "keys", "packs", "index", "pending", "snapshots"] {
        for entry in std::fs::read_dir(shop.path("repository").join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().display());
            let shown = shop.data(&["debug", &name]);
            assert!(shown.is_object() || shown.is_array(), "{name}: {shown}");
        }
    }
    let cat = shop.command(["cat", "descriptor/00000001"]).output().unwrap();
    assert_eq!(cat.stdout, shop.read("repository/descriptor/00000001.1"));
}

/// A backup that hangs: the database is held by somebody who does not let go.
fn hanging_backup(shop: &Shop) -> (std::process::Child, rusqlite::Connection) {
    let holder = rusqlite::Connection::open(shop.path("pos.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let pos = format!("pos={}", shop.path("pos.db").display());
    let child = shop.command(["backup", "--sqlite", &pos]).spawn().unwrap();
    // Its record appears before it opens the repository.
    while shop.data(&["runs"]).as_array().unwrap().iter().all(|run| run["state"] != "running") {
        std::thread::sleep(Duration::from_millis(5));
    }
    (child, holder)
}

fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_signal_stops_a_run_and_its_record_says_so() {
    use rustix::process::Signal;
    let shop = Shop::open();

    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (child, _holder) = hanging_backup(&shop);
        signal(&child, sent);
        let ran: shop::Ran = child.wait_with_output().unwrap().into();

        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(ran.err.contains("Stopping, finished parts are kept."), "{}", ran.err);
        let run = &shop.data(&["runs"])[0];
        assert_eq!((&run["state"], &run["exit_code"]), (&"stopped".into(), &code.into()));
    }
}

#[test]
fn a_run_that_was_killed_is_shown_as_interrupted() {
    let shop = Shop::open();

    let (mut child, _holder) = hanging_backup(&shop);
    child.kill().unwrap();
    let _ = child.wait().unwrap();

    assert_eq!(shop.data(&["runs"])[0]["state"], "interrupted");
}

#[test]
fn no_secret_is_ever_printed_or_recorded() {
    let shop = Shop::closed();
    shop.write("pass", "canary-passphrase\n");
    let pass = shop.path("pass");
    let pass = pass.to_str().unwrap();

    let mut texts = String::new();
    for arguments in [
        vec!["init"],
        vec!["snapshots", "-v"],
        vec!["backup", "-v"],
        vec!["doctor", "-v"],
        vec!["check", "-v", "--json"],
        vec!["runs", "--json"],
    ] {
        let mut command = shop.command(arguments.iter().copied().chain(["--password-file", pass]));
        let ran: shop::Ran = command.env_remove("STILLPOINT_KEY_FILE").output().unwrap().into();
        texts.push_str(&ran.out);
        texts.push_str(&ran.err);
    }
    for entry in std::fs::read_dir(shop.path("state/runs")).unwrap() {
        texts.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }

    assert!(!texts.contains("canary"), "{texts}");
}

#[test]
fn a_second_backup_of_a_part_is_told_who_is_in_the_way() {
    let shop = Shop::open();

    let (mut child, _holder) = hanging_backup(&shop);
    let pos = format!("pos={}", shop.path("pos.db").display());
    let second = shop.until_in_use(&["backup", "--sqlite", &pos]);
    child.kill().unwrap();
    let _ = child.wait().unwrap();

    assert_eq!(second.code, Some(11), "{}", second.err);
    assert!(second.err.contains("SP0011") && second.err.contains("--wait"), "{}", second.err);
}

#[test]
fn a_passphrase_comes_by_standard_input_too() {
    use std::io::Write;
    let shop = Shop::closed();

    for (arguments, pass, code) in [
        (["init", "--password-file", "-"], "opensesame\n", 0),
        (["snapshots", "--password-file", "-"], "opensesame", 0),
        (["snapshots", "--password-file", "-"], "opensesam", 12),
        (["snapshots", "--password-file", "-"], "\n", 2),
    ] {
        let mut command = shop.command(arguments);
        let command = command.env_remove("STILLPOINT_KEY_FILE").stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(pass.as_bytes()).unwrap();
        let ran: shop::Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(code), "{arguments:?} {pass:?}: {}", ran.err);
    }
}

#[test]
fn an_error_says_what_happened_the_effect_and_the_next_step() {
    let shop = Shop::closed();
    shop.write("shop.toml", "version = 1\n[repository]\npth = \"/srv\"\n");
    let config = shop.path("shop.toml").display().to_string();

    let ran = shop.run(["snapshots"]);
    let place = shop.path("repository").display().to_string();
    assert_eq!(
        ran.err,
        format!(
            "error: there is no repository in {place}  [SP0010]\n  \
             effect  nothing was changed\n  \
             help    create it:  stillpoint init --repo {place}\n          \
             or is the disk not mounted?\n"
        )
    );

    let ran = shop.run(["snapshots", "--config", &config]);
    assert_eq!(
        ran.err,
        format!(
            "error: unknown key `pth`  [SP0103]\n   \
             ╭─[{config}:3:1]\n 3 │ pth = \"/srv\"\n   · ───\n   \
             · ╰── did you mean `path`?\n   ╰────\n  effect  nothing was changed\n"
        )
    );
}

#[test]
fn an_index_that_is_gone_is_built_again() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    std::fs::remove_dir_all(shop.path("state")).unwrap();

    let listed = shop.data(&["ls", "-R", "latest:uploads"]);
    let rebuilt = shop.run(["rebuild-index", "--json"]);

    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.err);
    assert!(rebuilt.summary()["chunks"].as_u64().unwrap() > 0, "{}", rebuilt.out);
}

#[test]
fn the_same_key_file_is_not_made_twice() {
    let shop = Shop::open();

    // The file is named twice, as a flag and in the environment: one slot, two copies of it.
    let slots = std::fs::read_dir(shop.path("repository/keys")).unwrap();
    let slots = slots
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("slot-"));

    assert_eq!(slots.count(), 2);
}
