//! Everything back in place, by the real program: with a preview first, a safety snapshot, hooks,
//! and an undo; and refused where that is not safe.

use std::{fs, path::PathBuf};

use rusqlite::Connection;

use crate::cli::shop::{Ran, Shop};

/// A shop that was saved, and has changed since.
fn changed_shop() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.back_up(&[]).code, Some(0));
    shop.sell(20);
    shop.write("uploads/a.txt", "spoiled");
    shop.write("uploads/new.txt", "new");
    fs::remove_file(shop.path("uploads/sub/b.txt")).unwrap();
    shop
}

/// Other users' processes may not be seen where tests run; what is seen counts all the same.
const YES: [&str; 2] = ["--yes", "--assume-stopped"];

fn in_place(shop: &Shop, more: &[&str]) -> Ran {
    let words = ["restore", "latest", "--live", "--json"];
    shop.run(words.iter().chain(&YES).chain(more).copied())
}

fn rows(shop: &Shop) -> i64 {
    let database = Connection::open(shop.path("pos.db")).unwrap();
    database.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap()
}

fn text(shop: &Shop, name: &str) -> Option<String> {
    fs::read_to_string(shop.path(name)).ok()
}

/// Writes a configuration with the sets of the shop and these further lines.
fn configure(shop: &Shop, lines: &str) {
    let path = |name: &str| shop.path(name).display().to_string();
    let text = format!(
        "version = 1\n{lines}\n[[database]]\nname = \"pos\"\nkind = \"sqlite\"\npath = \"{}\"\n\
         [[files]]\nname = \"uploads\"\npaths = [\"{}\"]\n",
        path("pos.db"),
        path("uploads")
    );
    shop.write(".config/stillpoint/stillpoint.toml", &text);
}

#[test]
fn everything_comes_back_in_place_and_can_be_undone() {
    let shop = changed_shop();

    let done = in_place(&shop, &[]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(rows(&shop), 100);
    assert_eq!(text(&shop, "uploads/a.txt").as_deref(), Some("first"));
    assert_eq!(text(&shop, "uploads/sub/b.txt").as_deref(), Some("second"));
    assert_eq!(text(&shop, "uploads/new.txt").as_deref(), Some("new"), "not asked to delete");
    let summary = done.summary();
    let snapshots = shop.data(&["snapshots"]);
    let safety = snapshots.as_array().unwrap().last().unwrap();
    assert_eq!(safety["id"], summary["safety"]);
    assert_eq!(safety["trigger"], "safety");

    let preview = shop.run(["undo", "--dry-run"]);
    let undone = shop.run(["undo"].iter().chain(&YES));

    assert_eq!(preview.code, Some(0), "{}", preview.err);
    assert!(preview.out.contains("1 database replaced"), "{}", preview.out);
    assert_eq!(undone.code, Some(0), "{}", undone.err);
    assert_eq!(rows(&shop), 120);
    assert_eq!(text(&shop, "uploads/a.txt").as_deref(), Some("spoiled"));
    assert_eq!(text(&shop, "uploads/sub/b.txt"), None, "what the restore added is gone");
    assert_eq!(text(&shop, "uploads/new.txt").as_deref(), Some("new"));
}

#[test]
fn without_a_terminal_and_without_yes_it_shows_what_it_would_do_and_ends() {
    let shop = changed_shop();

    let asked = shop.run(["restore", "latest", "--live"]);
    let planned = shop.run(["restore", "latest", "--live", "--dry-run", "--delete"]);

    assert_eq!(asked.code, Some(15), "{}", asked.err);
    assert!(asked.out.contains("1 database replaced"), "{}", asked.out);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    assert!(planned.out.contains("1 entry to delete"), "{}", planned.out);
    assert_eq!(rows(&shop), 120);
    assert_eq!(shop.data(&["snapshots"]).as_array().unwrap().len(), 1, "no safety snapshot");
}

#[test]
fn parts_are_chosen_and_what_is_in_place_is_left_alone() {
    let shop = changed_shop();

    let files = in_place(&shop, &["--part", "uploads", "--delete"]);
    let again = in_place(&shop, &["--part", "uploads", "--delete"]);

    assert_eq!(files.code, Some(0), "{}", files.err);
    assert_eq!((rows(&shop), text(&shop, "uploads/new.txt")), (120, None));
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(again.summary()["files"], 0);
    assert_eq!(again.summary()["safety"], serde_json::Value::Null);
}

#[test]
fn a_database_that_is_in_use_is_not_replaced() {
    let shop = changed_shop();
    let database = Connection::open(shop.path("pos.db")).unwrap();
    let open = |journal: &str| {
        database.pragma_update(None, "journal_mode", journal).unwrap();
        let count: i64 =
            database.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 120);
    };
    for journal in ["wal", "delete"] {
        open(journal);

        let refused = in_place(&shop, &["--part", "pos"]);

        assert_eq!(refused.code, Some(11), "{}", refused.err);
        assert!(refused.err.contains("in use by process"), "{}", refused.err);
    }
    drop(database);
    assert_eq!(in_place(&shop, &["--part", "pos"]).code, Some(0));
}

#[test]
fn hooks_stop_migrate_and_start_the_application() {
    let shop = Shop::open();
    let log = shop.path("log").display().to_string();
    let hook = |word: &str| format!("[\"sh\", \"-c\", \"echo {word} >> {log}; echo said {word}\"]");
    configure(
        &shop,
        &format!(
            "[app]\nuser_version = 1\n[hooks]\nbefore_restore = {}\nmigrate = {}\n\
             after_restore = {}\n",
            hook("stop"),
            hook("migrate"),
            hook("start")
        ),
    );
    assert_eq!(shop.run(["backup"]).code, Some(0));
    shop.sell(1);

    let done = in_place(&shop, &[]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(text(&shop, "log").as_deref(), Some("stop\nmigrate\nstart\n"));
    let run = done.summary()["run"].as_str().unwrap().to_owned();
    assert!(shop.run(["runs", &run]).out.contains("said migrate"), "what hooks print is kept");
}

#[test]
fn a_hook_that_fails_takes_everything_back() {
    for failing in ["before_restore", "migrate", "after_restore"] {
        let shop = Shop::open();
        let log = shop.path("log").display().to_string();
        let hook = |name: &str| {
            let code = i32::from(name == failing);
            format!("{name} = [\"sh\", \"-c\", \"echo {name} >> {log}; exit {code}\"]\n")
        };
        let hooks = ["before_restore", "migrate", "after_restore"].map(hook).concat();
        configure(&shop, &format!("[app]\nuser_version = 1\n[hooks]\n{hooks}"));
        assert_eq!(shop.run(["backup"]).code, Some(0));
        shop.sell(7);
        shop.write("uploads/a.txt", "spoiled");

        let failed = in_place(&shop, &[]);

        assert_eq!(failed.code, Some(1), "{failing}: {}", failed.err);
        assert!(failed.err.contains("all is as it was before"), "{}", failed.err);
        assert_eq!(rows(&shop), 107, "{failing}");
        assert_eq!(text(&shop, "uploads/a.txt").as_deref(), Some("spoiled"), "{failing}");
        let log = text(&shop, "log").unwrap();
        assert_eq!(log.lines().last(), Some("after_restore"), "the application runs again");
        assert!(nothing_is_left(&shop), "{failing}");
    }
}

fn nothing_is_left(shop: &Shop) -> bool {
    let folders: [PathBuf; 2] = [shop.folder.path().to_owned(), shop.path("uploads")];
    folders.iter().all(|folder| {
        let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.all(|name| !name.to_string_lossy().starts_with(".stillpoint"))
    })
}

#[test]
fn a_schema_from_the_future_is_refused() {
    let shop = Shop::open();
    let database = Connection::open(shop.path("pos.db")).unwrap();
    database.pragma_update(None, "user_version", 9).unwrap();
    drop(database);
    configure(&shop, "[app]\nuser_version = 8\n");
    assert_eq!(shop.run(["backup"]).code, Some(0));
    shop.sell(1);

    let refused = in_place(&shop, &[]);

    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("its user_version is 9 in the snapshot"), "{}", refused.err);
    assert_eq!(rows(&shop), 101);
}

#[test]
fn an_empty_machine_gets_its_shop_back() {
    let shop = changed_shop();
    fs::remove_file(shop.path("pos.db")).unwrap();
    fs::remove_dir_all(shop.path("uploads")).unwrap();

    let done = in_place(&shop, &[]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(rows(&shop), 100);
    assert_eq!(text(&shop, "uploads/sub/b.txt").as_deref(), Some("second"));
    assert_eq!(done.summary()["safety"], serde_json::Value::Null, "there was nothing to save");

    // Without a configuration; and the shop has sold since.
    shop.sell(3);
    let undone = shop.run(["undo", "--json"].iter().chain(&YES));

    assert_eq!(undone.code, Some(0), "{}", undone.err);
    assert!(!shop.path("pos.db").exists());
    assert_eq!(text(&shop, "uploads/sub/b.txt"), None);
    assert_ne!(undone.summary()["safety"], serde_json::Value::Null, "what was sold is saved");
    let redone = shop.run(["undo"].iter().chain(&YES));
    assert_eq!(redone.code, Some(0), "{}", redone.err);
    assert_eq!(rows(&shop), 103);
    assert_eq!(text(&shop, "uploads/sub/b.txt").as_deref(), Some("second"));
}

#[test]
fn an_empty_machine_gives_things_back_to_those_they_belong_to() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root gives things away");
        return;
    }
    let shop = Shop::open();
    fs::create_dir(shop.path("till")).unwrap();
    fs::rename(shop.path("pos.db"), shop.path("till/pos.db")).unwrap();
    let owned = [("till", 0o750), ("till/pos.db", 0o640), ("uploads/a.txt", 0o600)];
    for (name, mode) in owned {
        std::os::unix::fs::chown(shop.path(name), Some(4711), Some(4712)).unwrap();
        fs::set_permissions(shop.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let sources = [
        format!("pos={}", shop.path("till/pos.db").display()),
        format!("uploads={}", shop.path("uploads").display()),
    ];
    let saved = shop.run(["backup", "--sqlite", &sources[0], "--files", &sources[1]]);
    assert_eq!(saved.code, Some(0), "{}", saved.err);
    fs::remove_dir_all(shop.path("till")).unwrap();
    fs::remove_dir_all(shop.path("uploads")).unwrap();

    let done = in_place(&shop, &[]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    for (name, mode) in owned {
        let stat = fs::metadata(shop.path(name)).unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (4711, 4712, mode), "{name}");
    }
}

#[test]
fn what_the_backup_leaves_out_is_not_deleted() {
    let shop = Shop::open();
    configure(&shop, "");
    let config = text(&shop, ".config/stillpoint/stillpoint.toml").unwrap();
    shop.write(
        ".config/stillpoint/stillpoint.toml",
        &format!("{config}exclude = [\"*.tmp\", \"cache/\"]\n"),
    );
    assert_eq!(shop.run(["backup"]).code, Some(0));
    shop.write("uploads/x.tmp", "kept");
    shop.write("uploads/deep/cache/y", "kept");
    shop.write("uploads/extra/z", "goes");

    let done = in_place(&shop, &["--delete"]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(text(&shop, "uploads/x.tmp").as_deref(), Some("kept"));
    assert_eq!(text(&shop, "uploads/deep/cache/y").as_deref(), Some("kept"));
    assert_eq!(text(&shop, "uploads/extra/z"), None);
}

/// A shop whose audit log refers to clerks, and that was saved before a bad day.
fn audited_shop() -> Shop {
    let shop = Shop::open();
    shop.on_pos(
        "CREATE TABLE clerk (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE audit (at INTEGER PRIMARY KEY, clerk INTEGER REFERENCES clerk, what TEXT);
         CREATE TABLE note (id INTEGER PRIMARY KEY, about INTEGER REFERENCES audit);
         CREATE TRIGGER audited AFTER INSERT ON sales BEGIN
             INSERT INTO audit (clerk, what) VALUES (1, 'sale ' || new.id);
         END;
         INSERT INTO clerk VALUES (1, 'Ada');
         INSERT INTO audit VALUES (1, 1, 'opened'), (2, 1, 'sold');
         INSERT INTO note VALUES (1, 2);",
    );
    assert_eq!(shop.back_up(&[]).code, Some(0));
    shop.on_pos(
        "INSERT INTO clerk VALUES (2, 'Bob'), (3, 'Eve');
         DELETE FROM sales WHERE id <= 50;
         DELETE FROM audit WHERE at = 1;
         INSERT INTO audit VALUES (10, 2, 'deleted sales');",
    );
    shop
}

/// The first column of all rows.
fn column(shop: &Shop, sql: &str) -> Vec<String> {
    let database = Connection::open(shop.path("pos.db")).unwrap();
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn an_excluded_table_keeps_its_rows_and_those_they_need() {
    let shop = audited_shop();

    let preview = shop.run(["restore", "latest", "--live", "-n", "--exclude-table", "audit"]);
    let done = in_place(&shop, &["--exclude-table", "AUDIT"]);

    assert_eq!(preview.code, Some(0), "{}", preview.err);
    let kept = "keeps    audit of pos: 2 rows as now; the snapshot has 2\n           rows of clerk";
    assert!(preview.out.contains(kept), "{}", preview.out);
    assert!(preview.out.contains("note refers to it"), "{}", preview.out);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(rows(&shop), 100);
    assert_eq!(column(&shop, "SELECT what FROM audit ORDER BY at"), ["sold", "deleted sales"]);
    assert_eq!(column(&shop, "SELECT name FROM clerk"), ["Ada", "Bob"], "who is needed, no more");
    assert_eq!(column(&shop, "SELECT integrity_check FROM pragma_integrity_check"), ["ok"]);
    assert!(nothing_is_left(&shop));

    let undone = shop.run(["undo"].iter().chain(&YES));

    assert_eq!(undone.code, Some(0), "{}", undone.err);
    assert_eq!(rows(&shop), 50);
    assert_eq!(column(&shop, "SELECT name FROM clerk"), ["Ada", "Bob", "Eve"]);
}

#[test]
fn a_table_of_a_database_among_the_files_keeps_its_rows() {
    let shop = Shop::open();
    fs::create_dir_all(shop.path("uploads/till")).unwrap();
    let till = shop.path("uploads/till/stock.db");
    let on_till = |sql: &str| Connection::open(&till).unwrap().execute_batch(sql).unwrap();
    let ask = |sql: &str| -> String {
        Connection::open(&till).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let audit = || ask("SELECT group_concat(what) FROM audit");
    let stock = || ask("SELECT group_concat(n) FROM stock");
    on_till(
        "PRAGMA journal_mode=WAL; CREATE TABLE stock (id INTEGER PRIMARY KEY, n INT);
         CREATE TABLE audit (at INTEGER PRIMARY KEY, what TEXT);
         INSERT INTO stock VALUES (1, 10); INSERT INTO audit VALUES (1, 'opened');",
    );
    assert_eq!(shop.back_up(&[]).code, Some(0));
    let idle = in_place(&shop, &["--exclude-table", "audit"]);
    on_till("UPDATE stock SET n = 0; INSERT INTO audit VALUES (2, 'emptied')");
    shop.write("uploads/a.txt", "spoiled");

    let preview = shop.run(["restore", "latest", "--live", "-n", "--exclude-table", "audit"]);
    let done = in_place(&shop, &["--exclude-table", "audit"]);
    let back = (audit(), stock(), text(&shop, "uploads/a.txt"));
    let undone = shop.run(["undo"].iter().chain(&YES));

    assert_eq!(idle.code, Some(0), "it is in place, and keeps its rows by itself: {}", idle.err);
    assert_eq!(preview.code, Some(0), "{}", preview.err);
    let kept = "keeps    audit of uploads/till/stock.db: 2 rows as now; the snapshot has 1";
    assert!(preview.out.contains(kept), "{}", preview.out);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let expected = ("opened,emptied".to_owned(), "10".to_owned(), Some("first".to_owned()));
    assert_eq!(back, expected);
    assert_eq!(fs::read_dir(shop.path("uploads/till")).unwrap().count(), 1);
    assert!(nothing_is_left(&shop));
    assert_eq!(undone.code, Some(0), "{}", undone.err);
    assert_eq!((audit(), stock()), ("opened,emptied".to_owned(), "0".to_owned()));
}

#[test]
fn rows_come_back_into_a_database_among_the_files() {
    let shop = Shop::open();
    let till = shop.path("uploads/stock.db");
    let on_till = |sql: &str| Connection::open(&till).unwrap().execute_batch(sql).unwrap();
    on_till("CREATE TABLE stock (id INTEGER PRIMARY KEY, n INT); INSERT INTO stock VALUES (1, 10)");
    assert_eq!(shop.back_up(&[]).code, Some(0));
    on_till("DELETE FROM stock; INSERT INTO stock VALUES (2, 5)");

    let done = shop.run(["restore", "latest:uploads/stock.db", "--table", "stock", "--yes"]);
    let none = shop.run(["restore", "latest:uploads/a.txt", "--table", "stock", "--yes"]);

    assert_eq!(done.code, Some(0), "{}", done.err);
    let count = "SELECT count(*) FROM stock";
    let stock = Connection::open(&till).unwrap();
    assert_eq!(stock.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    assert_eq!(none.code, Some(2), "{}", none.err);
}

#[test]
fn rows_that_cannot_be_kept_take_all_of_it_back() {
    let shop = audited_shop();
    // The note of then is about a row that is gone now.
    shop.on_pos("DELETE FROM note; DELETE FROM audit WHERE at = 2");
    shop.write("uploads/a.txt", "spoiled");

    let refused = in_place(&shop, &["--exclude-table", "audit"]);
    let unknown = in_place(&shop, &["--exclude-table", "nowhere"]);
    shop.on_pos("ALTER TABLE audit ADD COLUMN till TEXT");
    let newer = in_place(&shop, &["--exclude-table", "audit"]);

    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("audit cannot keep its rows: 1 rows"), "{}", refused.err);
    assert!(refused.err.contains("all is as it was before"), "{}", refused.err);
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    assert!(unknown.err.contains("no database"), "{}", unknown.err);
    assert_eq!(newer.code, Some(2), "{}", newer.err);
    assert!(newer.err.contains("does not know its column till"), "{}", newer.err);
    assert_eq!(rows(&shop), 50);
    assert_eq!(text(&shop, "uploads/a.txt").as_deref(), Some("spoiled"));
    assert!(nothing_is_left(&shop));
}

#[test]
fn there_is_nothing_to_undo_where_nothing_was_done() {
    let shop = changed_shop();

    let refused = shop.run(["undo", "--yes"]);

    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("there is no restore in place to undo"), "{}", refused.err);
}

#[test]
fn deleted_rows_come_back_while_the_shop_is_open() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    let till = Connection::open(shop.path("pos.db")).unwrap();
    till.execute_batch("DELETE FROM sales WHERE id BETWEEN 11 AND 30").unwrap();
    let rows_back = |more: &[&str]| {
        let words = ["restore", "latest:pos", "--table", "sales", "--where", "id <= 20"];
        shop.run(words.iter().chain(more).copied())
    };

    let asked = rows_back(&[]);
    let done = rows_back(&["--yes", "--json"]);

    assert_eq!(asked.code, Some(15), "{}", asked.err);
    assert!(asked.out.contains("+10 rows, 10 alike"), "{}", asked.out);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.summary()["rows_added"], 10);
    assert_eq!(rows(&shop), 90);
    let snapshots = shop.data(&["snapshots"]);
    let safety = snapshots.as_array().unwrap().last().unwrap();
    assert_eq!((&safety["id"], &safety["trigger"]), (&done.summary()["safety"], &"safety".into()));

    let part = shop.path("part.db");
    let into = rows_back(&["--yes", "--into", part.to_str().unwrap()]);
    assert_eq!(into.code, Some(0), "{}", into.err);
    let part = Connection::open(part).unwrap();
    let count: i64 = part.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 20);
}
