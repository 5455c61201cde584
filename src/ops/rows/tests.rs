use super::*;
use crate::ops::past::sample::{Archive, database};

const SCHEMA: &str = "
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer (id), total INTEGER,
        double INTEGER GENERATED ALWAYS AS (total * 2)
    );
    CREATE INDEX by_customer ON orders (customer);
    CREATE TABLE line (order_id INTEGER, number INTEGER, what, PRIMARY KEY (order_id, number))
        WITHOUT ROWID;
    CREATE TABLE note (words);
    INSERT INTO customer VALUES (1, 'Ada'), (2, 'Bo'), (3, 'Cy');
    INSERT INTO orders (id, customer, total) VALUES (10, 1, 5), (11, 2, 6), (12, 3, 7);
    INSERT INTO line VALUES (10, 1, 'paint'), (10, 2, x'00ff'), (11, 1, 1.5), (12, 1, NULL);
    INSERT INTO note VALUES ('a'), ('b');";

/// A past with the schema above, and the present that this makes of it.
fn scene(change: &str) -> (PastDatabase, tempfile::TempDir, PathBuf) {
    let mut archive = Archive::new();
    let image = archive.put(&database(SCHEMA), None);
    let past = archive.open(&image);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let present = Connection::open(&path).unwrap();
    present.execute_batch(SCHEMA).unwrap();
    present.execute_batch(change).unwrap();
    (past, folder, path)
}

fn request(path: &Path, tables: &[&str]) -> Request {
    Request {
        tables: tables.iter().map(|&table| table.to_owned()).collect(),
        filter: None,
        mode: Mode::Missing,
        into: Target::Live(path.to_owned()),
        busy: Duration::from_millis(50),
    }
}

fn rows(path: &Path, sql: &str) -> Vec<String> {
    let present = Connection::open(path).unwrap();
    let mut statement = present.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

const ORDERS: &str = "SELECT id || ':' || customer || ':' || total || ':' || double FROM orders";

#[test]
fn missing_rows_come_back_with_the_parents_they_need() {
    let (past, _folder, path) = scene(
        "DELETE FROM orders WHERE id IN (10, 12); DELETE FROM customer WHERE id = 3;
         UPDATE orders SET total = 60 WHERE id = 11;
         INSERT INTO orders (id, customer, total) VALUES (99, 1, 1);",
    );
    let request = request(&path, &["orders"]);

    let planned = plan(&past, &request).unwrap();
    assert_eq!(rows(&path, ORDERS), ["11:2:60:120", "99:1:1:2"], "a preview writes nothing");
    let written = run(&past, &request).unwrap();

    assert_eq!(planned, written);
    let [orders, customer] = &written[..] else { panic!("{written:?}") };
    assert_eq!((orders.past_rows, orders.same, orders.differing, orders.added), (3, 0, 1, 2));
    assert_eq!(orders.generated, ["double"]);
    assert_eq!(customer.reason, Reason::ParentOf("orders".to_owned()));
    assert_eq!(customer.added, 1);
    assert_eq!(rows(&path, ORDERS), ["10:1:5:10", "11:2:60:120", "12:3:7:14", "99:1:1:2"]);
    assert_eq!(rows(&path, "SELECT name FROM customer"), ["Ada", "Bo", "Cy"]);
}

#[test]
fn a_condition_chooses_in_the_past_and_cannot_do_more() {
    let (past, _folder, path) = scene("DELETE FROM orders");
    let with = |filter: &str| {
        let filter = Some(filter.to_owned());
        run(&past, &Request { filter, ..request(&path, &["orders"]) })
    };

    assert_eq!(with("total > 5 AND total < 7").unwrap()[0].added, 1);
    assert_eq!(rows(&path, "SELECT id FROM (SELECT CAST(id AS TEXT) AS id FROM orders)"), ["11"]);
    assert!(matches!(with("1); DELETE FROM note; --"), Err(Error::NotAnExpression { .. })));
    for other in ["load_extension('x')", "no_such_column = 1", "1, 2"] {
        let refused = with(other);
        assert!(matches!(refused, Err(Error::Past(_) | Error::Condition { .. })), "{other}");
    }
}

#[test]
fn rows_are_replaced_as_a_whole_or_where_the_condition_says() {
    let change = "UPDATE line SET what = 'wrong'; INSERT INTO line VALUES (50, 1, 'later');";
    let lines = "SELECT order_id || '.' || number || '=' || coalesce(hex(what), '-') FROM line";
    let (past, _folder, path) = scene(change);
    let replace = Request { mode: Mode::Replace, ..request(&path, &["line"]) };

    let some = Request { filter: Some("order_id = 10".to_owned()), ..replace.clone() };
    let some = run(&past, &some).unwrap();
    assert_eq!((some[0].removed, some[0].added), (2, 2));
    let kept = ["10.1=7061696E74", "10.2=00FF", "11.1=77726F6E67", "12.1=77726F6E67"];
    assert_eq!(rows(&path, lines)[..4], kept);
    assert_eq!(rows(&path, lines).len(), 5);

    let all = run(&past, &replace).unwrap();
    assert_eq!((all[0].removed, all[0].added), (5, 4));
    assert_eq!(rows(&path, lines).len(), 4);
}

#[test]
fn rows_are_put_beside_where_the_table_has_changed_too_much() {
    let (past, _folder, path) = scene(
        "ALTER TABLE customer DROP COLUMN name; ALTER TABLE note ADD COLUMN who NOT NULL DEFAULT \
         'us'",
    );

    let gone = run(&past, &request(&path, &["customer"]));
    let defaulted = plan(&past, &request(&path, &["note"])).unwrap();
    let beside = Request { mode: Mode::Beside, ..request(&path, &["customer"]) };
    let done = run(&past, &beside).unwrap();

    assert!(matches!(gone, Err(Error::ColumnGone { ref column, .. }) if column == "name"));
    assert_eq!(defaulted[0].defaulted, ["who"]);
    assert_eq!(done[0].into, "customer_restored");
    assert_eq!(rows(&path, "SELECT name FROM customer_restored"), ["Ada", "Bo", "Cy"]);
    assert!(matches!(run(&past, &beside), Err(Error::Taken { .. })));
}

#[test]
fn triggers_do_not_fire_and_a_table_that_is_gone_is_made_again() {
    let (past, _folder, path) = scene(
        "CREATE TRIGGER audit AFTER INSERT ON note BEGIN INSERT INTO customer (name) VALUES \
         ('fired'); END; DELETE FROM note; DROP TABLE orders;",
    );

    let done = run(&past, &request(&path, &["note", "orders"])).unwrap();

    assert_eq!(done[0].triggers, ["audit"]);
    assert!(done[1].is_new);
    assert_eq!(rows(&path, "SELECT name FROM customer").len(), 3);
    assert_eq!(rows(&path, ORDERS).len(), 3);
    let index = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'orders'";
    assert_eq!(rows(&path, index), ["by_customer"]);
}

#[test]
fn rows_whose_parents_are_nowhere_are_refused_and_nothing_is_written() {
    let (past, _folder, path) = scene(
        "DELETE FROM orders WHERE id = 10; DELETE FROM customer WHERE id = 1; ALTER TABLE customer \
         RENAME TO people",
    );

    let refused = run(&past, &request(&path, &["orders"]));

    let is_meant = |table: &str| table == "people";
    assert!(
        matches!(refused, Err(Error::Orphans { ref table, rows: 1 }) if is_meant(table)),
        "{refused:?}"
    );
    assert_eq!(rows(&path, ORDERS).len(), 2);
}

#[test]
fn a_present_that_is_locked_or_not_there_is_left_alone() {
    let (past, folder, path) = scene("DELETE FROM note");
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let locked = run(&past, &request(&path, &["note"]));
    let absent = run(&past, &request(&folder.path().join("none.db"), &["note"]));

    assert!(matches!(locked, Err(Error::Locked)), "{locked:?}");
    assert!(matches!(absent, Err(Error::Present { .. })), "{absent:?}");
    assert!(!folder.path().join("none.db").exists());
}

#[test]
fn rows_go_into_a_new_file_with_their_schema() {
    let (past, folder, _) = scene("");
    let path = folder.path().join("part.db");
    let into = Request { into: Target::NewFile(path.clone()), ..request(&path, &["orders"]) };

    let done = run(&past, &into).unwrap();

    assert_eq!(done.len(), 2, "the customers come along");
    assert_eq!(rows(&path, ORDERS).len(), 3);
    assert!(matches!(run(&past, &into), Err(Error::FileTaken { .. })));
}

#[test]
fn a_condition_that_one_of_the_tables_does_not_understand_names_it() {
    let (past, _folder, path) = scene("DELETE FROM orders");
    let filter = Some("customer = 1".to_owned());

    let refused = plan(&past, &Request { filter, ..request(&path, &["orders", "line"]) });

    let Err(Error::Condition { table, why }) = refused else { panic!("{refused:?}") };
    assert_eq!((table.as_str(), why.as_str()), ("line", "no such column: customer"));
}

#[test]
fn rows_that_others_refer_to_are_not_replaced_away() {
    // Order 13 came later, and has a line.
    let (past, _folder, path) = scene(
        "PRAGMA foreign_keys=ON; CREATE TABLE gift (id INTEGER PRIMARY KEY, name TEXT \
         REFERENCES customer (id), orders INT REFERENCES orders);
         INSERT INTO orders (id, customer, total) VALUES (13, 1, 5);
         INSERT INTO gift (id, orders) VALUES (1, 13), (2, NULL);",
    );
    let replace = Request { mode: Mode::Replace, ..request(&path, &["orders"]) };

    let refused = run(&past, &replace);
    let filter = Some("id < 12".to_owned());
    let some = run(&past, &Request { filter, ..replace.clone() }).unwrap();
    Connection::open(&path).unwrap().execute_batch("DELETE FROM gift WHERE id = 1").unwrap();
    let all = run(&past, &replace).unwrap();

    let is_meant = |table: &str| table == "orders";
    assert!(
        matches!(refused, Err(Error::Orphans { ref table, rows: 1 }) if is_meant(table)),
        "{refused:?}"
    );
    assert_eq!((some[0].removed, all[0].removed, all[0].added), (2, 4, 3));
    assert_eq!(rows(&path, ORDERS).len(), 3);
}

#[test]
fn rows_that_refer_to_nothing_already_are_nobodys_fault() {
    let (past, _folder, path) = scene(
        "PRAGMA foreign_keys=OFF; DELETE FROM customer WHERE id = 2;
         DELETE FROM orders WHERE id = 10;
         CREATE TABLE odd (a REFERENCES nowhere, b, FOREIGN KEY (a, b) REFERENCES note);
         INSERT INTO odd VALUES (1, 2);",
    );

    let done = run(&past, &request(&path, &["orders", "customer"])).unwrap();

    assert_eq!((done[0].added, done[1].added), (1, 1));
    assert_eq!(rows(&path, "SELECT name FROM customer").len(), 3);
}

#[test]
fn a_disk_without_room_is_told_as_one() {
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);

    let error = Error::from(rusqlite::Error::SqliteFailure(full, None));

    assert!(matches!(error, Error::Full), "{error:?}");
}
