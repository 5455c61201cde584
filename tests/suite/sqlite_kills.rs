//! The real program, killed inside SQLite's own writes: at a write, a sync, a cut and a removal of
//! the files of a database, which no disk of ours sees. `strace` counts them and kills.
//!
//! Afterwards the live database opens and is wholly as it was or wholly as it was to be, nothing is
//! left beside it, the record of the run says that it was interrupted, and the same command works.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Output, Stdio},
};

use rusqlite::Connection;

use crate::{
    cli::shop::Shop,
    harness::{Tally, in_parallel, vault::copy_tree},
};

/// Calls by which SQLite changes files. What it does through shared memory needs no call, and is no
/// part of a database.
const CALLS: [&str; 5] = ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"];
/// Of one kind of calls at most so many are tried, unless a person asks for more.
const POINTS: usize = 10;
const FILES: [&str; 4] = ["pos.db", "pos.db-journal", "pos.db-wal", "pos.db-shm"];

const BEFORE: &str = "as before";
const AFTER: &str = "as asked for";
const AS_SPOILED: &str = "as the command left it";

/// Where a process dies: at the n-th of its calls of one kind.
type Point = (&'static str, usize);

/// Whose calls count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// Those to the live database and what lies beside it.
    Live,
    /// Those to any file.
    All,
}

fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let is_able = traced.is_ok_and(|output| output.status.success());
    if !is_able {
        println!("skipped: strace is missing, or may not look at processes here");
    }
    is_able
}

/// A shop that was saved and has lost half of its lines since, in a journal mode.
fn shop_after_a_mistake(journal: &str) -> Shop {
    let shop = Shop::open();
    configure(&shop);
    shop.on_pos(&format!(
        "PRAGMA journal_mode={journal};
         CREATE TABLE line (id INTEGER PRIMARY KEY, sale INTEGER, what TEXT);
         CREATE INDEX by_what ON line (what);
         CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);
         INSERT INTO line WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE \
         i < 400)
             SELECT i, i % 100, 'ware ' || i * 7919 % 401 FROM n;
         INSERT INTO audit VALUES (1, 'opened');"
    ));
    let saved = shop.run(["backup"]);
    assert_eq!(saved.code, Some(0), "{}", saved.err);
    shop.on_pos("DELETE FROM line WHERE id % 2 = 0; INSERT INTO audit VALUES (2, 'deleted');");
    shop.write("uploads/a.txt", "spoiled");
    shop
}

fn configure(shop: &Shop) {
    let path = |name: &str| shop.path(name).display().to_string();
    let text = format!(
        "version = 1\n[retention]\nauto = false\n[[database]]\nname = \"pos\"\nkind = \
         \"sqlite\"\npath = \"{}\"\n[[files]]\nname = \"uploads\"\npaths = [\"{}\"]\n",
        path("pos.db"),
        path("uploads")
    );
    shop.write(".config/stillpoint/stillpoint.toml", &text);
}

fn copied(shop: &Shop) -> Shop {
    let copy = Shop { folder: tempfile::tempdir().unwrap() };
    copy_tree(shop.folder.path(), copy.folder.path());
    configure(&copy);
    copy
}

/// All that the shop holds; panics if SQLite finds anything wrong.
fn content(shop: &Shop) -> String {
    let database = Connection::open(shop.path("pos.db")).unwrap();
    let ask = |sql: &str| -> String { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(ask("PRAGMA integrity_check"), "ok");
    let all = "SELECT (SELECT group_concat(id || what) FROM sales) || (SELECT group_concat(id || \
               sale || what) FROM line) || (SELECT group_concat(id || what) FROM audit)";
    let uploads = fs::read_to_string(shop.path("uploads/a.txt")).unwrap();
    ask(all) + &uploads
}

/// Runs the program under `strace`; returns how it ended, and what was traced.
fn traced(shop: &Shop, words: &[&str], watched: Watched, at: Option<Point>) -> (Output, String) {
    let program = shop.command(words);
    let log = shop.path("trace");
    let mut command = Command::new("/usr/bin/env");
    let _ = command.arg("strace").args(["-f", "-qq", "-y", "-s", "0", "-o"]).arg(&log);
    let _ = command.args(["-e", &format!("trace={}", CALLS.join(","))]);
    if watched == Watched::Live {
        for name in FILES {
            let _ = command.arg("-P").arg(shop.path(name));
        }
    }
    if let Some((call, number)) = at {
        let _ = command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
    }
    let _ = command.arg(program.get_program()).args(program.get_args()).env_clear();
    for (name, value) in program.get_envs() {
        let _ = command.env(name, value.unwrap_or_default());
    }
    let _ = command.env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
    let _ = command.current_dir(shop.folder.path());
    let output = command.output().unwrap();
    let seen = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    (output, seen)
}

/// The calls of the process that did most of them, of each kind: the numbers of those that were
/// made to a file of which this is a part of the path.
fn calls(log: &str, part: &str) -> BTreeMap<&'static str, Vec<usize>> {
    let mut all = BTreeMap::new();
    for call in CALLS {
        let mut of_processes: BTreeMap<&str, (usize, Vec<usize>)> = BTreeMap::new();
        for line in log.lines() {
            let Some((process, rest)) = line.split_once(' ') else { continue };
            if !rest.trim_start().starts_with(&format!("{call}(")) {
                continue;
            }
            let (count, numbers) = of_processes.entry(process).or_default();
            *count += 1;
            if rest.contains(part) {
                numbers.push(*count);
            }
        }
        let most = of_processes.into_values().max_by_key(|(_, numbers)| numbers.len());
        let _ = all.insert(call, most.map(|(_, numbers)| numbers).unwrap_or_default());
    }
    all
}

/// Some of all points, the first and the last among them.
fn chosen(calls: &BTreeMap<&'static str, Vec<usize>>) -> Vec<Point> {
    let points_max = asked_for().unwrap_or(POINTS).max(2);
    let mut points = Vec::new();
    for (call, numbers) in calls {
        let count = numbers.len().min(points_max);
        let at = |point: usize| point * (numbers.len() - 1) / (count - 1).max(1);
        points.extend((0..count).map(|point| (*call, numbers[at(point)])));
    }
    points
}

#[expect(clippy::disallowed_methods, reason = "how a person asks for more")]
fn asked_for() -> Option<usize> {
    std::env::var("STILLPOINT_TEST_SQLITE_KILLS").ok()?.parse().ok()
}

/// Names in the folder of the database that tell of something unfinished.
fn left_over(shop: &Shop) -> Vec<String> {
    let folders = [shop.path(""), shop.path("uploads")];
    let names = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_left = |name: &String| {
        let is_beside = name.starts_with("pos.db-") || name.starts_with("part.db-");
        is_beside || name.starts_with(".stillpoint") || name.starts_with(".tmp-")
    };
    names.filter(is_left).collect()
}

/// Scratch of the state folder.
fn scratch_left(shop: &Shop) -> Vec<String> {
    let states = fs::read_dir(shop.path("state")).unwrap().map(|entry| entry.unwrap().path());
    let names = states.filter_map(|state| fs::read_dir(state).ok()).flatten();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".tmp-")).collect()
}

/// What the last run says of itself.
fn last_run(shop: &Shop) -> (String, String) {
    let runs = shop.data(&["runs"]);
    let last = &runs[0];
    let word = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
    (word("command"), word("state"))
}

/// Kills a command at each of the points, in a copy of the shop of its own.
fn dies_at(
    (begin, words, watched): (&(dyn Fn() -> Shop + Sync), &[&str], Watched),
    points: &[Point],
    tally: &Tally,
    look: impl Fn(&Shop, usize) -> &'static str + Sync,
) {
    in_parallel(points.len(), |piece| {
        let copy = begin();
        let (output, _) = traced(&copy, words, watched, Some(points[piece]));
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return;
        }
        // A child that reads the database may be the one that dies: then the command says so.
        let was_killed = output.status.signal() == Some(9);
        let (command, state) = last_run(&copy);
        let outcome = look(&copy, piece);
        // A record is done when all is done but for its own last sync.
        let is_true = match state.as_str() {
            _ if command != words[0] => was_killed && outcome == BEFORE,
            "interrupted" => was_killed,
            // What a guard has taken back is incomplete, and as before.
            "incomplete" => was_killed && command == "guard" && outcome == BEFORE,
            "done" => was_killed && outcome == AFTER,
            "failed" => !was_killed && outcome == BEFORE,
            _ => false,
        };
        assert!(is_true, "{:?}: {state}, {outcome}: {errors}", points[piece]);
        let (call, _) = points[piece];
        let how = if was_killed { "killed" } else { "child killed" };
        tally.add(format!("{how} at {call}, {outcome}"), 1);
    });
}

#[test]
fn rows_come_back_wholly_or_not_at_all_wherever_sqlite_is_killed() {
    if !can_trace() {
        return;
    }
    let tally = Tally::default();
    for journal in ["delete", "wal"] {
        let shop = shop_after_a_mistake(journal);
        let snapshots = shop.data(&["snapshots"]);
        let moment = format!("{}:pos", snapshots[0]["id"].as_str().unwrap());
        let words = ["restore", &moment, "--table", "line", "--yes"];
        let finished = copied(&shop);
        let before = content(&finished);
        let (output, log) = traced(&finished, &words, Watched::Live, None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let after = content(&finished);
        assert_ne!(before, after);

        let points = chosen(&calls(&log, "pos.db"));
        dies_at((&|| copied(&shop), &words, Watched::Live), &points, &tally, |copy, piece| {
            // The application is next, or a backup.
            if piece % 2 == 0 {
                let saved = copy.run(["backup"]);
                assert_eq!(saved.code, Some(0), "{}", saved.err);
            }
            let now = content(copy);
            assert!(now == before || now == after, "half of the rows");
            let again = copy.run(words);
            assert_eq!(again.code, Some(0), "{}", again.err);
            assert!(content(copy) == after, "the same command brings the rows back");
            // Until somebody writes, SQLite leaves a journal beside in which nothing stands yet.
            if now == before {
                assert_eq!(left_over(copy), [""; 0]);
            }
            if now == before { BEFORE } else { AFTER }
        });
    }
    tally.print("rows brought back:");
}

#[test]
fn a_file_of_rows_is_whole_or_not_there_wherever_sqlite_is_killed() {
    if !can_trace() {
        return;
    }
    let tally = Tally::default();
    let shop = shop_after_a_mistake("delete");
    let finished = copied(&shop);
    // The same path in every copy.
    let words = ["restore", "latest:pos", "--table", "line", "--yes", "--into", "part.db"];
    let at = |shop: &Shop| {
        let part = shop.path("part.db").display().to_string();
        [&words[..6], &[part.as_str()]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let own = at(&finished);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let (output, log) = traced(&finished, &own, Watched::All, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scratch_left(&finished).is_empty());

    let points = chosen(&calls(&log, "/.tmp-room-"));
    in_parallel(points.len(), |piece| {
        let copy = copied(&shop);
        let own = at(&copy);
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let (output, _) = traced(&copy, &own, Watched::All, Some(points[piece]));
        if output.status.success() {
            return;
        }
        let part = copy.path("part.db");
        let is_there = part.exists();
        let listed = copy.run(["snapshots"]);
        assert_eq!(listed.code, Some(0), "{}", listed.err);
        assert_eq!((left_over(&copy), scratch_left(&copy)), (Vec::new(), Vec::new()));
        if !is_there {
            let again = copy.run(&own);
            assert_eq!(again.code, Some(0), "{}", again.err);
        }
        let rows = Connection::open(part).unwrap();
        let sql = "SELECT count(*) FROM line";
        assert_eq!(rows.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 400);
        let outcome = if is_there { "whole" } else { "not there" };
        tally.add(format!("killed at {}, {outcome}", points[piece].0), 1);
    });
    tally.print("rows in a file:");
}

/// What a restore in place may leave: the shop as it was, or as it was to be.
fn whole(copy: &Shop, (before, after): (&str, &str)) -> &'static str {
    let listed = copy.run(["snapshots"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let now = content(copy);
    assert!(now == *before || now == *after, "a mixture");
    let left = (left_over(copy), scratch_left(copy));
    assert_eq!(left, (Vec::new(), Vec::new()), "{}", listed.err);
    if now == *before { BEFORE } else { AFTER }
}

#[test]
fn a_restore_in_place_that_keeps_a_table_dies_in_sqlite_without_a_mixture() {
    if !can_trace() {
        return;
    }
    let tally = Tally::default();
    let shop = shop_after_a_mistake("delete");
    let words =
        ["restore", "latest", "--live", "--yes", "--assume-stopped", "--exclude-table", "audit"];
    let finished = copied(&shop);
    let before = content(&finished);
    let (output, log) = traced(&finished, &words, Watched::All, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = content(&finished);

    // What SQLite does to the staged database.
    let points = chosen(&calls(&log, "/new/0"));
    assert!(points.len() > 5, "{log}");
    dies_at((&|| copied(&shop), &words, Watched::All), &points, &tally, |copy, _| {
        whole(copy, (&before, &after))
    });
    tally.print("a kept table:");
}

#[test]
fn an_undo_and_a_guard_die_at_calls_of_all_kinds_without_a_mixture() {
    if !can_trace() {
        return;
    }
    let tally = Tally::default();
    let shop = shop_after_a_mistake("wal");
    // A command that does harm, and is over at once.
    shop.write("spoil", "rm -f pos.db-wal pos.db-shm pos.db; echo x > uploads/a.txt; false");
    // The journal of a restore names places: each copy has its own.
    let restored = || {
        let copy = copied(&shop);
        let done = copy.run(["restore", "latest", "--live", "--yes", "--assume-stopped"]);
        assert_eq!(done.code, Some(0), "{}", done.err);
        copy
    };
    let begin: [(&(dyn Fn() -> Shop + Sync), &[&str]); 2] = [
        (&restored, &["undo", "--yes", "--assume-stopped"]),
        (&|| copied(&shop), &["guard", "--yes", "--assume-stopped", "--", "sh", "spoil"]),
    ];
    for (begin, words) in begin {
        let is_guard = words[0] == "guard";
        let finished = begin();
        let before = content(&finished);
        let (output, log) = traced(&finished, words, Watched::All, None);
        assert_eq!(output.status.code(), Some(i32::from(is_guard)));
        let after = content(&finished);

        let points = chosen(&calls(&log, ""));
        dies_at((begin, words, Watched::All), &points, &tally, |copy, _| {
            let listed = copy.run(["snapshots"]);
            assert_eq!(listed.code, Some(0), "{}", listed.err);
            let spoiled = !copy.path("pos.db").exists();
            if is_guard && spoiled {
                let uploads = fs::read_to_string(copy.path("uploads/a.txt")).unwrap();
                assert_eq!((uploads.as_str(), left_over(copy)), ("x\n", Vec::new()));
                return AS_SPOILED;
            }
            whole(copy, (&before, &after))
        });
    }
    tally.print("undo and guard:");
}
