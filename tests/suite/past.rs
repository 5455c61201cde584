//! Looking into the past with the real program: what was is asked, compared, and shown.

use std::io::Write;

use crate::cli::shop::Shop;

#[test]
fn a_row_that_was_deleted_is_found_in_the_moment_before() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    shop.on_pos("DELETE FROM sales WHERE id IN (7, 8)");
    let _ = shop.back_up(&[]);

    let lost = shop.data(&[
        "sql",
        "latest:pos",
        "SELECT s.id, what FROM \"latest~1\".sales AS s WHERE id NOT IN (SELECT id FROM sales)",
    ]);
    let csv = shop.run(["sql", "latest~1", "SELECT id, what FROM sales WHERE id = 7", "--csv"]);
    let table = shop.run(["sql", "latest~1", "SELECT id, what, NULL AS n FROM sales LIMIT 2"]);

    assert_eq!(lost.as_array().unwrap().len(), 2);
    assert_eq!(lost[0]["id"], 7);
    assert_eq!(lost[1]["what"], "paint 7");
    assert_eq!(csv.out, "id,what\n7,paint 6\n");
    assert_eq!(table.out, "id  what     n\n 1  paint 0  NULL\n 2  paint 1  NULL\n");
}

#[test]
fn the_past_says_what_it_holds_and_refuses_to_change() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    let tables = shop.data(&["tables", "latest"]);
    let schema = shop.run(["schema", "latest:pos", "sales"]);

    assert_eq!((&tables[0]["table"], &tables[0]["rows"]), (&"sales".into(), &100.into()));
    assert_eq!(schema.out, "CREATE TABLE sales (id INTEGER PRIMARY KEY, what TEXT);\n");
    for (arguments, code, text) in [
        (vec!["sql", "latest", "DELETE FROM sales"], 2, "SP0603"),
        (vec!["sql", "latest", "ATTACH '/tmp/x.db' AS x"], 2, "SP0603"),
        (vec!["sql", "latest", "SELECT * FROM nowhere"], 2, "no such table"),
        (vec!["sql", "latest", "SELECT * FROM \"latest~9\".sales"], 1, "SP0202"),
        (vec!["sql", "latest", "SELECT 1; SELECT 2"], 2, "SP0602"),
        (vec!["sql", "latest:uploads/a.txt", "SELECT 1"], 2, "SP0606"),
        (vec!["schema", "latest", "nowhere"], 2, "no such table"),
        (vec!["sql", "latest", ENDLESS, "--timeout", "100ms"], 1, "SP0604"),
    ] {
        let ran = shop.run(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(text), "{arguments:?}: {}", ran.err);
    }
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

#[test]
fn a_conversation_goes_on_after_a_mistake() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    let mut child =
        shop.command(["sql", "latest"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let asked =
        b".tables\nSELECT nonsense;\nSELECT count(*)\n FROM sales;\n.quit\nSELECT 'after';\n";
    child.stdin.take().unwrap().write_all(asked).unwrap();
    let output = child.wait_with_output().unwrap();

    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.contains("sales\n") && out.contains("100\n") && !out.contains("after"), "{out}");
    assert!(err.contains("nonsense"), "{err}");
}

#[test]
fn diff_tells_the_rows_that_differ_and_nothing_else() {
    let shop = Shop::open();
    shop.on_pos("CREATE TABLE prices (item TEXT PRIMARY KEY, cents INT) WITHOUT ROWID");
    shop.on_pos("INSERT INTO prices VALUES ('chair', 900), ('table', 1900)");
    let _ = shop.back_up(&[]);
    shop.on_pos("DELETE FROM sales WHERE id = 7; UPDATE sales SET what = 'blue' WHERE id = 9");
    shop.on_pos(
        "INSERT INTO sales VALUES (500, 'new'); UPDATE prices SET cents = 950 WHERE cents = 900",
    );
    let _ = shop.back_up(&[]);

    let data = shop.data(&["diff", "latest~1", "latest"]);
    let text = shop.run(["diff", "latest~1", "latest", "--rows"]);
    let csv = shop.run(["diff", "latest~1", "latest:pos", "--format", "csv", "--table", "prices"]);

    let tables = &data[0]["tables"];
    assert_eq!((&tables[0]["table"], &tables[0]["changed"]), (&"prices".into(), &1.into()));
    let sales = &tables[1];
    let counts = ["added", "removed", "changed"].map(|name| sales[name].as_u64().unwrap());
    assert_eq!((counts, sales["table"].as_str()), ([1, 1, 1], Some("sales")));
    for line in [
        "       ~ item=chair  cents: 900 to 950",
        "       - id=7  what=paint 6",
        "       ~ id=9  what: paint 8 to blue",
        "       + id=500  what=new",
    ] {
        assert!(text.out.contains(line), "{}", text.out);
    }
    assert_eq!(
        csv.out,
        "part,table,change,key,column,before,after\npos,prices,changed,item=chair,cents,900,950\n"
    );
}

#[test]
fn a_row_that_was_replaced_is_one_that_changed() {
    let shop = Shop::open();
    shop.on_pos("CREATE TABLE settings (name TEXT PRIMARY KEY, value)");
    shop.on_pos("INSERT INTO settings VALUES ('theme', 'dark'), ('till', 3), ('gone', 1)");
    let _ = shop.back_up(&[]);
    shop.on_pos(
        "INSERT OR REPLACE INTO settings VALUES ('theme', 'light'), ('new', 1), ('till', 3)",
    );
    shop.on_pos("DELETE FROM settings WHERE name = 'gone'");
    let _ = shop.back_up(&[]);

    let text = shop.run(["diff", "latest~1", "latest", "--rows"]);

    assert!(text.out.contains("~ name=theme  value: dark to light\n"), "{}", text.out);
    assert!(text.out.contains("- name=gone  value=1\n"), "{}", text.out);
    assert!(text.out.contains("+ name=new  value=1\n"), "{}", text.out);
    assert!(!text.out.contains("till"), "{}", text.out);
}

#[test]
fn a_script_brings_an_older_copy_to_the_newer_moment() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    let _ = shop.run(["restore", "latest:pos", "--target", shop.path("old").to_str().unwrap()]);
    shop.on_pos("DELETE FROM sales WHERE id % 3 = 0; CREATE INDEX by_what ON sales (what)");
    let _ = shop.back_up(&[]);

    let script = shop.run(["diff", "latest~1:pos", "latest:pos", "--format", "sql"]);
    let copy = rusqlite::Connection::open(shop.path("old/pos.db")).unwrap();
    copy.execute_batch(&script.out).unwrap();

    let count = |sql: &str| -> i64 { copy.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM sales"), 67);
    assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name = 'by_what'"), 1);
}

#[test]
fn the_present_is_compared_without_being_backed_up() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);
    let unchanged = shop.run(["diff", "latest", "live"]);
    shop.on_pos("UPDATE sales SET what = 'wrong' WHERE id <= 5");

    let data = shop.data(&["diff", "latest", "live", "--table", "sales"]);
    let before = shop.data(&["snapshots"]);

    assert_eq!(unchanged.out, "No differences.\n", "{}", unchanged.err);
    assert_eq!(data[0]["tables"][0]["changed"], 5);
    assert_eq!(before.as_array().unwrap().len(), 1);
}

#[test]
fn files_are_compared_with_what_is_there_now() {
    let shop = Shop::open();
    shop.write("uploads/price.txt", "chair 900\ntable 1900\n");
    shop.write("uploads/same.txt", "same");
    shop.write("uploads/mode.txt", "mode");
    let _ = shop.back_up(&[]);
    let before = shop.data(&["diff", "latest:uploads", "live"]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(shop.path("uploads/mode.txt"), mode).unwrap();
    // Other bytes of the same length, and the same bytes at another time.
    shop.write("uploads/price.txt", "chair 950\ntable 1900\n");
    std::fs::remove_file(shop.path("uploads/same.txt")).unwrap();
    shop.write("uploads/same.txt", "same");
    std::fs::rename(shop.path("uploads/a.txt"), shop.path("uploads/z.txt")).unwrap();
    std::fs::remove_dir_all(shop.path("uploads/sub")).unwrap();
    shop.write("uploads/new/c.txt", "new");

    let data = shop.data(&["diff", "latest", "live"]);
    let text = shop.run(["diff", "latest:uploads", "live", "--text"]);
    let part = shop.data(&["diff", "latest:uploads/sub", "live"]);

    let told = |data: &serde_json::Value| -> Vec<String> {
        let all = data.as_array().unwrap().iter();
        let word = |found: &serde_json::Value, name: &str| found[name].as_str().unwrap().to_owned();
        all.map(|found| format!("{} {}", word(found, "change"), word(found, "path"))).collect()
    };
    assert_eq!(before.as_array().unwrap().len(), 0);
    let expected = [
        "metadata mode.txt",
        "added new",
        "added new/c.txt",
        "content price.txt",
        "metadata same.txt",
        "removed sub",
        "removed sub/b.txt",
        "renamed z.txt",
    ];
    assert_eq!(told(&data), expected);
    assert!(text.out.contains("-chair 900\n+chair 950\n table 1900\n"), "{}", text.out);
    assert!(text.out.contains(">  uploads/a.txt -> z.txt\n"), "{}", text.out);
    assert_eq!(told(&part), ["removed sub", "removed sub/b.txt"]);
}

#[test]
fn files_that_moved_are_renamed_and_texts_show_their_lines() {
    let shop = Shop::open();
    shop.write("uploads/price.txt", "chair 900\ntable 1900\n");
    let _ = shop.back_up(&[]);
    shop.write("uploads/price.txt", "chair 950\ntable 1900\n");
    std::fs::rename(shop.path("uploads/a.txt"), shop.path("uploads/sub/z.txt")).unwrap();
    let _ = shop.back_up(&[]);

    let data = shop.data(&["diff", "latest~1:uploads", "latest:uploads"]);
    let text = shop.run(["diff", "latest~1:uploads", "latest:uploads", "--text"]);

    let changes: Vec<_> = data.as_array().unwrap().iter().map(|found| &found["change"]).collect();
    assert_eq!(changes, ["content", "renamed"]);
    assert_eq!((&data[1]["path_from"], &data[1]["path"]), (&"a.txt".into(), &"sub/z.txt".into()));
    assert!(text.out.contains("-chair 900\n+chair 950\n table 1900\n"), "{}", text.out);
    assert!(text.out.contains(">  uploads/a.txt -> sub/z.txt\n"), "{}", text.out);
}

#[test]
fn a_row_and_a_file_tell_their_whole_history() {
    let shop = Shop::open();
    shop.write("uploads/2026/price.txt", "chair 900\n");
    let _ = shop.back_up(&[]);
    shop.on_pos("UPDATE sales SET what = 'red paint' WHERE id = 7");
    let _ = shop.back_up(&[]);
    shop.write("uploads/2026/price.txt", "chair 950, and more\n");
    let _ = shop.back_up(&[]);
    shop.on_pos("DELETE FROM sales WHERE id = 7");
    std::fs::remove_file(shop.path("uploads/2026/price.txt")).unwrap();
    let _ = shop.back_up(&[]);

    let row = shop.data(&["history", "--table", "sales", "--key", "7"]);
    let text = shop.run(["history", "--table", "sales", "--key", "7"]);
    let file = shop.data(&["find", "price.txt"]);
    let none = shop.run(["find", "/price.txt"]);
    let growth = shop.data(&["growth", "--since", "latest~3"]);

    let what: Vec<_> =
        row.as_array().unwrap().iter().map(|version| version["row"]["what"].as_str()).collect();
    assert_eq!(what, [Some("paint 6"), Some("red paint"), None]);
    assert_ne!(row[1]["first_snapshot_id"], row[1]["last_snapshot_id"]);
    assert!(text.out.contains("~ what: paint 6 to red paint"), "{}", text.out);
    assert!(text.out.contains("- gone"), "{}", text.out);
    let bytes: Vec<_> = file.as_array().unwrap().iter().map(|found| &found["bytes"]).collect();
    assert_eq!(bytes, [10, 20]);
    assert_eq!(
        (&file[1]["path"], &file[1]["is_present"]),
        (&"2026/price.txt".into(), &false.into())
    );
    assert_eq!(none.out, "Nothing has such a name.\n");
    assert_eq!(growth["snapshots"], 3);
    assert!(growth["places"].as_array().unwrap().iter().any(|place| place["name"] == "sales"));
    let missing = shop.run(["history", "--table", "nowhere", "--key", "7"]);
    assert_eq!((missing.code, missing.err.contains("SP0602")), (Some(2), true), "{}", missing.err);
    let twofold = shop.run(["history", "--table", "sales", "--key", "7", "--key", "8"]);
    assert!(twofold.err.contains("has 1 columns"), "{}", twofold.err);
    assert_eq!(shop.run(["find", "a{b"]).code, Some(2));
}

/// Whether this machine can mount, which a container often cannot.
fn can_mount() -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok()
}

#[test]
fn a_mounted_moment_is_read_like_any_folder() {
    if !can_mount() {
        println!("skipped: this machine has no FUSE");
        return;
    }
    let shop = Shop::open();
    let long: String = (0..300_000).map(|number| format!("{number}\n")).collect();
    shop.write("uploads/long.txt", &long);
    let _ = shop.back_up(&[]);
    shop.on_pos("DELETE FROM sales");
    let _ = shop.back_up(&[]);
    std::fs::create_dir(shop.path("past")).unwrap();
    let dir = shop.path("past");

    let mut child = shop.command(["mount", "all", dir.to_str().unwrap()]).spawn().unwrap();
    let moments = until_mounted(&mut child, &dir);
    let Some(moments) = moments else {
        println!("skipped: nothing may be mounted here");
        return;
    };

    let ids = shop.data(&["snapshots"]);
    let first = ids.as_array().unwrap().iter().find(|made| made["parent"].is_null()).unwrap();
    let first = &first["id"].as_str().unwrap()[..8];
    let oldest = dir.join(moments.iter().find(|name| name.ends_with(first)).unwrap());
    assert_eq!(std::fs::read_to_string(oldest.join("uploads/long.txt")).unwrap(), long);
    assert_eq!(std::fs::read_to_string(oldest.join("uploads/sub/b.txt")).unwrap(), "second");
    assert!(std::fs::write(oldest.join("uploads/a.txt"), "x").is_err());
    let uri = format!("file:{}?immutable=1", oldest.join("pos.db").display());
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let past = rusqlite::Connection::open_with_flags(uri, flags).unwrap();
    let count: i64 = past.query_row("SELECT count(*) FROM sales", [], |row| row.get(0)).unwrap();
    assert_eq!((moments.len(), count), (2, 100));
    drop(past);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(std::fs::read_dir(&dir).unwrap().next().is_none());
}

/// The folders of the mounted moments; nothing if the machine refuses.
fn until_mounted(child: &mut std::process::Child, dir: &std::path::Path) -> Option<Vec<String>> {
    loop {
        let names = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        if !names.is_empty() {
            return Some(names);
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_folder_that_cannot_be_mounted_on_is_said_so() {
    let shop = Shop::open();
    let _ = shop.back_up(&[]);

    let ran = shop.run(["mount", "latest", shop.path("not there").to_str().unwrap()]);

    assert_eq!((ran.code, ran.err.contains("SP0609")), (Some(1), true), "{}", ran.err);
}
