//! Random histories of databases of many shapes, against what SQL says of two copies.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use proptest::prelude::*;
use rusqlite::{Connection, types::Value as Sql};

use super::{Comparison, Detail, Event, RowChange, Side, script};
use crate::{
    format::image::Image,
    ops::past::sample::{Archive, terms},
};

const SHAPES: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer TEXT, cents INT, note TEXT);
    CREATE TABLE bag (a, b REAL, c BLOB);
    CREATE TABLE words (w TEXT COLLATE NOCASE, lang INT, n, PRIMARY KEY (w, lang)) WITHOUT ROWID;
    CREATE TABLE firm (id INTEGER PRIMARY KEY, v ANY, r REAL) STRICT;
    CREATE TABLE made (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2) STORED,
        c TEXT AS (a || 'x'));
    CREATE TABLE named (code TEXT PRIMARY KEY, rowid TEXT, v INT UNIQUE);
    CREATE TABLE log (what TEXT);
    CREATE TABLE pairs (a INT, b BLOB, v REAL, PRIMARY KEY (b DESC, a)) STRICT, WITHOUT ROWID;
    CREATE TABLE down (id INTEGER PRIMARY KEY DESC, v);
    CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent INT REFERENCES parents ON DELETE CASCADE);
    CREATE VIRTUAL TABLE bare USING fts5 (body, content='', contentless_delete=1);
    CREATE VIRTUAL TABLE texts USING fts5 (body);
    CREATE VIRTUAL TABLE places USING rtree (id, x0, x1);
    CREATE INDEX dear ON orders (cents) WHERE cents > 500;
    CREATE INDEX by_length ON orders (length(note));
    CREATE VIEW big AS SELECT * FROM orders WHERE cents > 900;
    CREATE UNIQUE INDEX parts ON bag (a, c DESC) WHERE typeof(c) = 'blob' AND a > 500000;
    CREATE TRIGGER through INSTEAD OF INSERT ON big BEGIN
        INSERT INTO orders (cents, note) VALUES (new.cents, new.note); END;
    CREATE TRIGGER logged AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (new.note); END;
";

/// Ways in which a database changes; `?` is a random number.
const CHANGES: [&str; 36] = [
    "INSERT INTO orders (customer, cents, note) VALUES ('c' || ?, ? % 1000, 'note ' || ?)",
    "INSERT INTO orders (customer, note) VALUES ('long', hex(zeroblob(? % 3000)) || ?)",
    "UPDATE orders SET cents = ? % 1000 WHERE id % 7 = ? % 7",
    "UPDATE orders SET note = substr(note, 1, length(note) - 3) || (100 + ? % 900)
        WHERE length(note) > 900",
    "DELETE FROM orders WHERE id % 11 = ? % 11",
    "INSERT INTO bag VALUES (?, ? % 100 / 4.0, zeroblob(? % 40))",
    "INSERT INTO bag VALUES ('t' || ?, ? % 9, NULL)",
    "DELETE FROM bag WHERE rowid % 5 = ? % 5",
    "UPDATE bag SET b = b + 1 WHERE rowid % 3 = ? % 3",
    "INSERT OR REPLACE INTO words VALUES ('W' || ? % 50, ? % 3, ?)",
    "INSERT OR REPLACE INTO words VALUES ('w' || ? % 50, ? % 3, hex(zeroblob(? % 400)))",
    "DELETE FROM words WHERE n % 4 = ? % 4",
    "INSERT INTO firm VALUES (NULL, ?, ? / 3.0)",
    "INSERT INTO firm VALUES (NULL, 'it''s' || char(10) || ?, -1e300)",
    "UPDATE firm SET v = x'00ff' WHERE id % 3 = ? % 3",
    "INSERT INTO made (a) VALUES (? % 77)",
    "UPDATE made SET a = a + 1 WHERE id % 4 = ? % 4",
    "INSERT OR REPLACE INTO named VALUES ('k' || ? % 60, 'r' || ?, ? % 500)",
    "UPDATE named SET v = -v WHERE v % 2 = ? % 2",
    "INSERT INTO texts VALUES ('word' || ? % 30 || ' and some more ' || ?)",
    "DELETE FROM texts WHERE rowid % 6 = ? % 6",
    "INSERT OR REPLACE INTO places VALUES (? % 90, ? % 50, 50 + ? % 50)",
    "DELETE FROM places WHERE id % 5 = ? % 5",
    "INSERT INTO orders (cents, note) SELECT cents, note || ? FROM orders
        WHERE length(note) < 99 LIMIT 60",
    "INSERT OR REPLACE INTO pairs VALUES (? % 9, CAST('b' || ? % 40 AS BLOB), ? / 7.0)",
    "DELETE FROM pairs WHERE a % 3 = ? % 3",
    "UPDATE pairs SET v = v + 1 WHERE a % 2 = ? % 2",
    "INSERT OR REPLACE INTO down VALUES (? % 80, 'd' || ?)",
    "DELETE FROM down WHERE id % 4 = ? % 4",
    "INSERT OR IGNORE INTO parents VALUES (? % 40, 'p' || ? % 60); INSERT INTO children (parent)
        SELECT id FROM parents ORDER BY id DESC LIMIT ? % 5",
    "PRAGMA foreign_keys=ON; DELETE FROM parents WHERE id % 3 = ? % 3",
    "INSERT INTO bare (body) VALUES ('word ' || ? % 30 || ' once more')",
    "DELETE FROM bare WHERE rowid % 5 = ? % 5",
    "INSERT INTO big (cents, note) VALUES (900 + ? % 99, 'through the view')",
    "INSERT INTO bag VALUES ('a' || char(0) || ?, 9e999, x''), (-9e999, -0.0, '')",
    "PRAGMA incremental_vacuum(3)",
];

/// Rarer ones, which change the schema or everything.
const UPHEAVALS: [&str; 13] = [
    "ALTER TABLE orders ADD COLUMN paid INT DEFAULT 7",
    "ALTER TABLE orders DROP COLUMN customer",
    "CREATE TABLE IF NOT EXISTS extra (x PRIMARY KEY, y);
        INSERT OR REPLACE INTO extra VALUES (1, 2)",
    "DROP TABLE IF EXISTS extra",
    "DROP INDEX IF EXISTS dear",
    "DROP TRIGGER IF EXISTS logged",
    "DROP VIEW IF EXISTS big; CREATE VIEW big AS SELECT 1",
    "VACUUM",
    "DROP TABLE IF EXISTS texts; CREATE VIRTUAL TABLE texts USING fts5 (body, tokenize = porter)",
    "ALTER TABLE pairs RENAME COLUMN v TO weight",
    "CREATE INDEX IF NOT EXISTS late ON down (v) WHERE v > 'd5'; REINDEX; PRAGMA user_version=7",
    "DROP TABLE IF EXISTS bare",
    "PRAGMA application_id=99",
];

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// The moments of one history, as files and as images.
struct History {
    archive: Archive,
    moments: Vec<(Vec<u8>, Image)>,
}

#[expect(clippy::disallowed_methods, reason = "scratch files")]
fn history(seed: u64) -> History {
    let mut random = Random(seed | 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.db");
    let connection = Connection::open(&path).unwrap();
    let page_bytes = 512 << random.next(8);
    let encoding = ["UTF-8", "UTF-16le", "UTF-16be"][random.next(3) as usize];
    let vacuum = random.next(3);
    let settings = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA encoding='{encoding}'; PRAGMA auto_vacuum={vacuum};"
    );
    connection.execute_batch(&format!("{settings} {SHAPES}")).unwrap();
    let mut history = History { archive: Archive::new(), moments: Vec::new() };
    for _ in 0..4 {
        connection.execute_batch("BEGIN").unwrap();
        for _ in 0..random.next(40) {
            let change = CHANGES[random.next(CHANGES.len() as u64) as usize];
            let numbers = change.matches('?').map(|_| random.next(1_000_000));
            let sql =
                numbers.fold(change.to_owned(), |sql, n| sql.replacen('?', &n.to_string(), 1));
            // Some are refused by what others did to the schema.
            let _ = connection.execute_batch(&sql);
        }
        connection.execute_batch("COMMIT").unwrap();
        if random.next(3) == 0 {
            let upheaval = UPHEAVALS[random.next(UPHEAVALS.len() as u64) as usize];
            let _ = connection.execute_batch(upheaval);
        }
        let file = std::fs::read(&path).unwrap();
        let parent = history.moments.last().map(|(file, image)| (image, &file[..]));
        let image = history.archive.put(&file, parent);
        history.moments.push((file, image));
    }
    history
}

/// Every row of a table under its key, and the names of the columns.
type Rows = BTreeMap<String, BTreeMap<String, Sql>>;

fn tables(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0
               AND name NOT LIKE 'sqlite_stat%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn rows(connection: &Connection, table: &str) -> Rows {
    let is_words = table == "words";
    // Shadow tables of FTS5 without rowid, by what they are known to be.
    let key = match table {
        "words" => "lower(w) || '/' || lang",
        "pairs" => "hex(b) || '/' || a",
        "down" => "id",
        "texts_idx" | "bare_idx" => "segid || '/' || hex(term)",
        "texts_config" | "bare_config" => "k",
        "named" => "code",
        "extra" => "x",
        _ => "rowid",
    };
    let sql = format!("SELECT {key}, * FROM \"{table}\"");
    let Ok(mut statement) = connection.prepare(&sql) else { return Rows::new() };
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([]).unwrap();
    let mut all = Rows::new();
    while let Some(row) = rows.next().unwrap() {
        let values = (1..names.len()).map(|at| (names[at].clone(), row.get(at).unwrap()));
        let key: Sql = row.get(0).unwrap();
        let key = format!("{key:?}");
        assert!(all.insert(key, values.collect()).is_none() || is_words);
    }
    all
}

/// What SQL says: added, removed, changed.
fn expected(older: &Rows, newer: &Rows) -> (u64, u64, u64) {
    let added = newer.keys().filter(|key| !older.contains_key(*key)).count();
    let removed = older.keys().filter(|key| !newer.contains_key(*key)).count();
    let differs = |key: &&String| {
        newer.get(*key).is_some_and(|now| {
            let before = &older[*key];
            before.iter().any(|(name, value)| now.get(name).is_some_and(|now| now != value))
        })
    };
    (added as u64, removed as u64, older.keys().filter(differs).count() as u64)
}

/// What of two bags is not in the other one.
fn expected_of_bags(older: &Rows, newer: &Rows) -> (u64, u64, u64) {
    let mut count: BTreeMap<String, i64> = BTreeMap::new();
    older.values().for_each(|row| *count.entry(format!("{row:?}")).or_default() -= 1);
    newer.values().for_each(|row| *count.entry(format!("{row:?}")).or_default() += 1);
    let added = count.values().map(|count| (*count).max(0).unsigned_abs()).sum();
    let removed = count.values().map(|count| (*count).min(0).unsigned_abs()).sum();
    (added, removed, 0)
}

#[expect(clippy::disallowed_methods, reason = "scratch files")]
fn opened(folder: &Path, name: &str, file: &[u8]) -> Connection {
    let path = folder.join(name);
    std::fs::write(&path, file).unwrap();
    Connection::open(path).unwrap()
}

fn check_pair(history: &History, from: usize, to: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (&history.moments[from], &history.moments[to]);
    let older = opened(folder.path(), "older.db", &before.0);
    let newer = opened(folder.path(), "newer.db", &after.0);
    let side = |image| Side::open(&terms(), history.archive.fetch(), image).unwrap();
    let (older_side, newer_side) = (side(&before.1), side(&after.1));
    let comparison = Comparison::new(&older_side, &newer_side).unwrap();

    for detail in [Detail::Counts, Detail::Rows] {
        let mut found = BTreeMap::new();
        comparison
            .run(None, detail, &mut |event| {
                match event {
                    Event::Table(counts) => {
                        let numbers = (counts.added, counts.removed, counts.changed);
                        let _ = found.insert(counts.table.clone(), numbers);
                    }
                    Event::Row(row) => {
                        assert_eq!(row.older.is_some(), row.change != RowChange::Added);
                        assert_eq!(row.newer.is_some(), row.change != RowChange::Removed);
                    }
                    Event::Schema { .. } => {}
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut names = tables(&older);
        names.extend(tables(&newer));
        names.sort();
        names.dedup();
        for name in names {
            let (before, now) = (rows(&older, &name), rows(&newer, &name));
            let is_bag =
                matches!(&name[..], "bag" | "log") && comparison.alike.may_differ.is_none();
            let said =
                if is_bag { expected_of_bags(&before, &now) } else { expected(&before, &now) };
            let found = found.remove(&name).unwrap_or_default();
            assert_eq!(found, said, "{name} from {from} to {to} ({detail:?})");
        }
        assert!(found.is_empty(), "{found:?}");
    }
    check_script(&comparison, &older, &newer);
}

/// The script, run on the older copy, makes it the newer one.
fn check_script(comparison: &Comparison<'_>, older: &Connection, newer: &Connection) {
    let mut sql = String::new();
    script(comparison, None, &mut |line| {
        sql.push_str(line);
        sql.push('\n');
        ControlFlow::Continue(())
    })
    .unwrap();

    older.execute_batch(&sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));

    let schema = |connection: &Connection| -> Vec<String> {
        let sql = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(schema(older), schema(newer), "{sql}");
    for name in tables(newer) {
        if name == "sqlite_sequence" {
            let numbers =
                "SELECT group_concat(name || seq) FROM (SELECT * FROM sqlite_sequence ORDER BY 1)";
            let of = |connection: &Connection| -> Option<String> {
                connection.query_row(numbers, [], |row| row.get(0)).unwrap()
            };
            assert_eq!(of(older), of(newer), "{sql}");
            continue;
        }
        assert_eq!(rows(older, &name), rows(newer, &name), "{name}\n{sql}");
    }
    let sound: String = older.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{sql}");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::with_cases(10) })]

    #[test]
    fn every_difference_is_what_sql_says_and_its_script_makes_it(seed in any::<u64>()) {
        let history = history(seed);
        let mut random = Random(seed.rotate_left(32) | 1);
        for _ in 0..4 {
            let from = random.next(4);
            let to = (from + 1 + random.next(3)) % 4;
            check_pair(&history, from as usize, to as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn damaged_moments_are_compared_or_refused_but_do_no_harm(
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60),
    ) {
        let mut history = history(seed);
        let page_bytes = history.moments[2].1.page_bytes as usize;
        let mut file = history.moments[2].0.clone();
        let heads = file.len() / page_bytes;
        for (at, value) in damage {
            // Heads of pages and places of cells: what leads from one page to another.
            let at = at.index(heads) * page_bytes + usize::from(value) % 24;
            if !(16..18).contains(&at) {
                file[at] = value;
            }
        }
        let (sound, image) = &history.moments[1];
        let broken = history.archive.put(&file, Some((image, sound)));
        let mut terms = terms();
        terms.timeout = std::time::Duration::from_secs(5);

        let side = |image| Side::open(&terms, history.archive.fetch(), image);
        for (from, to) in [(image, &broken), (&broken, image)] {
            let (Ok(older), Ok(newer)) = (side(from), side(to)) else { continue };
            let Ok(comparison) = Comparison::new(&older, &newer) else { continue };
            let _ = comparison.run(None, Detail::Rows, &mut |_| ControlFlow::Continue(()));
            let _ = script(&comparison, None, &mut |_| ControlFlow::Continue(()));
        }
    }
}

#[test]
fn nothing_is_read_of_what_two_moments_share() {
    let rows = "PRAGMA page_size=512; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
        INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30000)
            SELECT i, 'value ' || i FROM n;";
    let before = crate::ops::past::sample::database(rows);
    let after =
        crate::ops::past::sample::database(&format!("{rows} UPDATE t SET v = 'x' WHERE id = 9;"));
    let mut archive = Archive::new();
    let older = archive.put(&before, None);
    let newer = archive.put(&after, Some((&older, &before)));
    let side = |image| Side::open(&terms(), archive.fetch(), image).unwrap();
    let (older, newer) = (side(&older), side(&newer));
    let comparison = Comparison::new(&older, &newer).unwrap();
    let table = (older.schema.table("t"), newer.schema.table("t"));

    let candidates =
        super::candidates::Candidates::of((&older, table.0), (&newer, table.1), &comparison.alike)
            .unwrap();

    assert_eq!(candidates.page_count(), 2);
}
