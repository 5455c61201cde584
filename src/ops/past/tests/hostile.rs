//! Images that were made to harm: damaged at every place that leads somewhere, and sound ones whose
//! schema wants more than to be read. Whatever is asked of them ends, in an answer or in an error,
//! and nothing but the question's own answer comes of it.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, config::DbConfig};

use super::{Archive, Error, PastDatabase, database, rows, terms};
use crate::{
    format::image::Image,
    ops::{
        diff::rows::{Comparison, Detail, Side, script},
        past::{
            Terms,
            history::{Wanted, history},
            sample::snapshot,
            tables::tables,
        },
        rows::{self as transfer, Mode, Request, Target},
    },
};

/// Small, and with something of everything.
const SHOP: &str = "
    PRAGMA page_size=1024; PRAGMA auto_vacuum=INCREMENTAL;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER,
        double INTEGER AS (cents * 2), note TEXT DEFAULT 'none');
    CREATE INDEX by_customer ON orders (customer);
    CREATE INDEX dear ON orders (cents) WHERE cents > 30000;
    CREATE TABLE words (w TEXT COLLATE NOCASE, n INT, PRIMARY KEY (w)) WITHOUT ROWID;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value);
    CREATE VIEW big AS SELECT * FROM orders WHERE cents > 5000;
    CREATE TRIGGER logged AFTER INSERT ON orders BEGIN INSERT INTO words VALUES (new.id, 1); END;
    CREATE VIRTUAL TABLE notes USING fts5 (text);
    CREATE VIRTUAL TABLE places USING rtree (id, x0, x1);
    INSERT INTO orders (id, customer, cents, note)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        SELECT i, 'customer ' || i % 7, i * 100,
            CASE i % 20 WHEN 0 THEN hex(zeroblob(2500)) ELSE 'note ' || i END FROM n;
    DELETE FROM words;
    INSERT INTO words SELECT 'word ' || id, id FROM orders;
    INSERT INTO settings VALUES ('theme', 'dark'), ('till', 3);
    INSERT INTO notes SELECT 'a red chair ' || id FROM orders WHERE id < 60;
    INSERT INTO places SELECT id, id, id + 10 FROM orders WHERE id < 200;
    DELETE FROM orders WHERE id BETWEEN 100 AND 140;";

const QUESTIONS: [&str; 9] = [
    "SELECT count(*), sum(cents), sum(length(note)) FROM orders",
    "SELECT * FROM orders WHERE customer = 'customer 3' ORDER BY cents",
    "SELECT * FROM big",
    "SELECT * FROM words WHERE w > 'WORD 2'",
    "SELECT * FROM notes WHERE notes MATCH 'chair'",
    "SELECT * FROM places WHERE x0 > 15 AND x1 < 90",
    "SELECT * FROM sqlite_schema",
    "PRAGMA quick_check",
    "SELECT group_concat(hex(note)) FROM orders a, orders b",
];

/// Time for one statement: long for an honest one on such images.
const TIME: Duration = Duration::from_millis(1500);

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn page(&mut self, file: &[u8]) -> u32 {
        match self.next(8) {
            0 => 0,
            1 => u32::MAX,
            2 => (file.len() / PAGE) as u32 + 1,
            _ => self.next(file.len() / PAGE) as u32 + 1,
        }
    }
}

const PAGE: usize = 1024;

/// Ways to damage a file, each with its name.
type Damage = (&'static str, fn(&mut Vec<u8>, &mut Random));

const DAMAGES: [Damage; 9] = [
    ("header", |file, random| {
        for _ in 0..=random.next(3) {
            file[random.next(100)] = random.next(256) as u8;
        }
    }),
    ("counts of the header", |file, random| {
        // Pages, first free page, free pages, schema cookie, largest root.
        let at = [28, 32, 36, 40, 52][random.next(5)];
        let page = random.page(file);
        file[at..at + 4].copy_from_slice(&page.to_be_bytes());
    }),
    ("heads of pages", |file, random| {
        for _ in 0..8 {
            let at = random.next(file.len() / PAGE) * PAGE + random.next(12);
            file[at] = random.next(256) as u8;
        }
    }),
    ("kinds of pages", |file, random| {
        for _ in 0..4 {
            let at = random.next(file.len() / PAGE - 1) + 1;
            file[at * PAGE] = [2, 5, 10, 13][random.next(4)];
        }
    }),
    ("children", |file, random| {
        // Where interior pages lead: to themselves, to each other, to nowhere.
        for at in (PAGE..file.len()).step_by(PAGE) {
            if !matches!(file[at], 2 | 5) {
                continue;
            }
            let page = random.page(file);
            file[at + 8..at + 12].copy_from_slice(&page.to_be_bytes());
            let cell = u16::from_be_bytes([file[at + 12], file[at + 13]]) as usize;
            let page = random.page(file);
            if random.next(2) == 0 && (12..PAGE - 4).contains(&cell) {
                file[at + cell..at + cell + 4].copy_from_slice(&page.to_be_bytes());
            }
        }
    }),
    ("places of cells", |file, random| {
        for _ in 0..10 {
            let at = random.next(file.len() / PAGE - 1) * PAGE + PAGE + 8 + random.next(60);
            file[at] = random.next(256) as u8;
        }
    }),
    ("chains of long values", |file, random| {
        // What begins with the number of a page and holds a text is an overflow page.
        for at in (PAGE..file.len()).step_by(PAGE) {
            if file[at] == 0 && file[at + 5..at + 60].iter().all(|byte| *byte == b'0') {
                let page = random.page(file);
                file[at..at + 4].copy_from_slice(&page.to_be_bytes());
            }
        }
    }),
    ("lengths of cells", |file, random| {
        for at in (PAGE..file.len()).step_by(PAGE) {
            let head = if matches!(file[at], 2 | 5) { 12 } else { 8 };
            let cell = u16::from_be_bytes([file[at + head], file[at + head + 1]]) as usize;
            if matches!(file[at], 2 | 10 | 13) && cell < PAGE - 12 && random.next(3) == 0 {
                for byte in &mut file[at + cell..at + cell + 9] {
                    *byte |= 0x80;
                }
            }
        }
    }),
    ("anything", |file, random| {
        for _ in 0..60 {
            let at = random.next(file.len());
            file[at] = random.next(256) as u8;
        }
    }),
];
const SEEDS: u64 = 20;

/// Schemas that want more than to be read; what is in them runs with the schema writable.
const SCHEMAS: [(&str, &str); 24] = [
    (
        "views of each other",
        "CREATE VIEW v1 AS SELECT 1 AS a; CREATE VIEW v2 AS SELECT * FROM v1;
        UPDATE sqlite_schema SET sql = 'CREATE VIEW v1 AS SELECT * FROM v2' WHERE name = 'v1'",
    ),
    (
        "a view of itself",
        "UPDATE sqlite_schema SET sql = 'CREATE VIEW big AS SELECT * FROM big'
        WHERE name = 'big'",
    ),
    (
        "a view without end",
        "DROP VIEW big; CREATE VIEW big AS WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
    ),
    (
        "a view that takes all memory",
        "DROP VIEW big; CREATE VIEW big AS WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000)
        SELECT group_concat(hex(randomblob(900000))) FROM n",
    ),
    ("a view that loads", "DROP VIEW big; CREATE VIEW big AS SELECT load_extension('/tmp/x.so')"),
    (
        "a view of files",
        "DROP VIEW big; CREATE VIEW big AS SELECT * FROM pragma_database_list,
        pragma_integrity_check",
    ),
    (
        "a wide view",
        "DROP VIEW big; CREATE VIEW big AS SELECT * FROM orders a, orders b, orders c,
        orders d, orders e, orders f",
    ),
    (
        "values of a gigabyte",
        "UPDATE sqlite_schema SET sql = replace(sql, 'cents * 2',
        'length(zeroblob(1000000000))') WHERE name = 'orders'",
    ),
    (
        "values that load",
        "UPDATE sqlite_schema SET sql = replace(sql, 'cents * 2',
        'load_extension(cents)') WHERE name = 'orders'",
    ),
    (
        "a default that loads",
        "UPDATE sqlite_schema SET sql = replace(sql, '''none''',
        '(load_extension(1))') WHERE name = 'orders'",
    ),
    (
        "an index that computes for ever",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX dear ON
        orders (abs(randomblob(99999999)))' WHERE name = 'dear'",
    ),
    (
        "a trigger that is called an index",
        "UPDATE sqlite_schema SET sql = 'CREATE TRIGGER dear
        AFTER DELETE ON orders BEGIN DELETE FROM words; END' WHERE name = 'dear'",
    ),
    (
        "a table that is called an index",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE dear (a)'
        WHERE name = 'dear'",
    ),
    (
        "two tables in one tree",
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM
        sqlite_schema WHERE name = 'orders') WHERE name IN ('words', 'settings')",
    ),
    ("a table that is the schema", "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'orders'"),
    (
        "a table beyond the end",
        "UPDATE sqlite_schema SET rootpage = 2000000000
        WHERE name = 'orders'",
    ),
    ("a table at a negative page", "UPDATE sqlite_schema SET rootpage = -7 WHERE name = 'orders'"),
    (
        "an index for a table",
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM
        sqlite_schema WHERE name = 'by_customer') WHERE name = 'orders'",
    ),
    (
        "a table with other columns",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE orders (customer
        PRIMARY KEY, id, cents) WITHOUT ROWID' WHERE name = 'orders'",
    ),
    (
        "statistics that mislead",
        "ANALYZE; UPDATE sqlite_stat1 SET stat =
        '9223372036854775807 0 -1 x'",
    ),
    ("words without their index", "DROP TABLE notes_data; DELETE FROM notes_config"),
    ("a module that writes", "CREATE VIRTUAL TABLE raw USING sqlite_dbpage"),
    (
        "a module that nobody has",
        "INSERT INTO sqlite_schema VALUES ('table', 'ghost', 'ghost', 0,
        'CREATE VIRTUAL TABLE ghost USING nothing (a)')",
    ),
    ("a long value", "INSERT INTO orders (id, note) VALUES (4000, zeroblob(30000000))"),
];

/// A file with such a schema, or as much of it as SQLite let itself be made to write.
#[expect(clippy::disallowed_methods, reason = "a scratch file")]
fn with_schema(sound: &[u8], sql: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.db");
    std::fs::write(&path, sound).unwrap();
    let connection = Connection::open(&path).unwrap();
    for (switch, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true),
    ] {
        let _ = connection.set_db_config(switch, on).unwrap();
    }
    connection.execute_batch("PRAGMA writable_schema=ON").unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    std::fs::read(&path).unwrap()
}

/// What is asked, and beside which sound image.
struct Scene {
    archive: Archive,
    terms: Terms,
    sound: Vec<u8>,
    image: Image,
}

impl Scene {
    fn new() -> Self {
        let mut archive = Archive::new();
        let sound = database(SHOP);
        let image = archive.put(&sound, None);
        Self { archive, terms: Terms { timeout: TIME, ..terms() }, sound, image }
    }

    /// Asks everything; returns what came of the questions.
    fn ask(&mut self, file: &[u8]) -> &'static str {
        let is_comparable = file.get(16..18) == self.sound.get(16..18);
        let parent = is_comparable.then_some((&self.image, self.sound.as_slice()));
        let hostile = self.archive.put(file, parent);
        self.compare(&hostile);
        self.follow(&hostile);
        let Ok(past) = PastDatabase::open(&self.terms, self.archive.fetch(), &hostile) else {
            return "not opened";
        };
        let answered = QUESTIONS.map(|sql| rows(&past, sql).is_ok());
        let _ = tables(&past, None);
        past.restart();
        self.bring_back(&past);
        match answered.iter().filter(|is_answered| **is_answered).count() {
            0 => "nothing answered",
            all if all + 1 >= QUESTIONS.len() => "answered",
            _ => "answered in part",
        }
    }

    fn compare(&self, hostile: &Image) {
        let side = |image| Side::open(&self.terms, self.archive.fetch(), image);
        for (from, to) in [(&self.image, hostile), (hostile, &self.image)] {
            let (Ok(older), Ok(newer)) = (side(from), side(to)) else { continue };
            let Ok(comparison) = Comparison::new(&older, &newer) else { continue };
            for detail in [Detail::Counts, Detail::Rows] {
                let _ = comparison.run(None, detail, &mut |_| ControlFlow::Continue(()));
            }
            let _ = script(&comparison, None, &mut |_| ControlFlow::Continue(()));
        }
    }

    fn follow(&self, hostile: &Image) {
        let fetch = Arc::clone(&self.archive.fetch());
        let snapshots = [snapshot(1, "pos", &self.image), snapshot(2, "pos", hostile)];
        for (table, key) in [("orders", "7"), ("words", "word 9"), ("big", "7")] {
            let wanted = Wanted { part: "pos", table, key: &[key.to_owned()] };
            let _ = history(&snapshots, &fetch, &self.terms, &wanted);
        }
    }

    /// Brings rows into a database that is not like the sound one any more.
    #[expect(clippy::disallowed_methods, reason = "a scratch file")]
    fn bring_back(&self, past: &PastDatabase) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("present.db");
        for (mode, change) in [
            (Mode::Missing, "DELETE FROM orders WHERE id % 3 = 0"),
            (Mode::Replace, "UPDATE words SET n = 0"),
            (Mode::Beside, "DELETE FROM settings"),
            (Mode::Missing, "DROP VIEW big; DROP TABLE orders"),
        ] {
            std::fs::write(&path, &self.sound).unwrap();
            Connection::open(&path).unwrap().execute_batch(change).unwrap();
            let before = objects(&path);
            let request = Request {
                tables: ["orders", "words", "settings"].map(str::to_owned).to_vec(),
                filter: Some("(SELECT count(*) FROM orders) > 0".to_owned()),
                mode,
                into: Target::Live(path.clone()),
                busy: Duration::from_secs(1),
            };
            past.restart();
            let planned = transfer::plan(past, &request);
            assert_eq!(objects(&path), before, "a preview writes nothing");
            let ran = transfer::run(past, &request);
            let after = objects(&path);
            if planned.is_err() || ran.is_err() {
                assert_eq!(after, before, "all or nothing");
            }
            for (name, kind) in &after {
                let is_allowed = matches!(kind.as_str(), "table" | "index");
                assert!(is_allowed || before.contains_key(name), "a {kind} {name} came along");
            }
        }
    }
}

/// The schema of a database that must be sound, by name.
fn objects(path: &Path) -> BTreeMap<String, String> {
    let connection = Connection::open(path).unwrap();
    let sound: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut statement = connection.prepare("SELECT name, type FROM sqlite_schema").unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.map(Result::unwrap).collect()
}

#[test]
fn damaged_images_end_in_answers_or_errors() {
    let mut scene = Scene::new();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for (number, (name, damage)) in DAMAGES.iter().enumerate() {
        for seed in 0..SEEDS {
            let mut file = scene.sound.clone();
            damage(&mut file, &mut Random(0x9e37_79b9 + seed * 131 + number as u64));
            let outcome = scene.ask(&file);
            *outcomes.entry(outcome).or_default() += 1;
            assert!(!outcome.is_empty(), "{name}");
        }
    }
    let count: u64 = outcomes.values().sum();
    println!("{count} damaged database images asked: {outcomes:?}");
}

#[test]
fn schemas_that_want_more_than_to_be_read_get_nothing() {
    let mut scene = Scene::new();
    for (name, sql) in SCHEMAS {
        let file = with_schema(&scene.sound, sql);
        let outcome = scene.ask(&file);
        println!("{name}: {outcome}");
    }
    println!("{} hostile schemas asked", SCHEMAS.len());
}

#[test]
fn cells_that_share_a_long_chain_are_refused_and_not_followed_for_years() {
    // Many rows, each of which claims a value three times as long as it is, and finds it on a page
    // that leads to itself: the file has fewer pages than they say.
    let mut file = database(
        "PRAGMA page_size=1024; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             SELECT i, hex(zeroblob(2500)) FROM n;",
    );
    let is_chain = |page: &[u8]| page[0] == 0 && page[4..200].iter().all(|byte| *byte == b'0');
    let chain = 1 + file.chunks(PAGE).position(is_chain).unwrap() as u32;
    let length = |bytes: u16| [0x80 | (bytes >> 7) as u8, (bytes & 0x7f) as u8];
    // As much of it lies on the page itself as before.
    let (true_length, claimed) = (length(5004), length(5004 + 10 * (PAGE as u16 - 4)));
    for page in file.chunks_mut(PAGE).skip(1) {
        if is_chain(page) {
            page[..4].copy_from_slice(&chain.to_be_bytes());
        }
        let cells = if page[0] == 13 { usize::from(page[4]) } else { 0 };
        for at in (0..cells).map(|cell| 8 + 2 * cell) {
            let cell = usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
            if page[cell..cell + 2] == true_length {
                page[cell..cell + 2].copy_from_slice(&claimed);
            }
        }
    }
    let mut archive = Archive::new();
    let sound = archive.put(
        &database("PRAGMA page_size=1024; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"),
        None,
    );
    let hostile = archive.put(&file, None);
    let side = |image| Side::open(&terms(), archive.fetch(), image).unwrap();
    let (older, newer) = (side(&sound), side(&hostile));

    let comparison = Comparison::new(&older, &newer).unwrap();
    let told = comparison.run(None, Detail::Counts, &mut |_| ControlFlow::Continue(()));

    assert!(matches!(told, Err(Error::Damaged { .. })), "{told:?}");
}
