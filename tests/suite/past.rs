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
