use std::{ops::ControlFlow, sync::atomic::Ordering, time::Duration};

use proptest::prelude::*;
use rusqlite::types::Value;

use super::{
    Answer, Error, PastDatabase,
    sample::{Archive, database, terms},
};

mod hostile;

const SHOP: &str = "
    PRAGMA page_size=1024; PRAGMA journal_mode=WAL;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER);
    CREATE INDEX by_customer ON orders (customer);
    CREATE VIEW dear AS SELECT * FROM orders WHERE cents > 5000;
    CREATE VIRTUAL TABLE notes USING fts5 (text);
    CREATE VIRTUAL TABLE places USING rtree (id, x0, x1);
    INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500)
        SELECT i, 'customer ' || i % 7, i * 100 FROM n;
    INSERT INTO notes VALUES ('a red chair'), ('a blue table');
    INSERT INTO places VALUES (1, 0, 10), (2, 20, 30);";

fn rows(database: &PastDatabase, sql: &str) -> Result<Vec<Vec<Value>>, Error> {
    let mut rows = Vec::new();
    database.query(sql, &mut |answer| {
        if let Answer::Row(values) = answer {
            rows.push(
                values.iter().map(|value| Value::try_from(*value).unwrap_or(Value::Null)).collect(),
            );
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

fn number(database: &PastDatabase, sql: &str) -> i64 {
    match rows(database, sql).unwrap()[0][0] {
        Value::Integer(number) => number,
        ref other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn a_database_in_wal_mode_answers_from_its_image() {
    let mut archive = Archive::new();
    let image = archive.put(&database(SHOP), None);
    let past = archive.open(&image);

    assert_eq!(number(&past, "SELECT sum(cents) FROM orders"), 12_525_000);
    assert_eq!(number(&past, "SELECT count(*) FROM dear"), 450);
    assert_eq!(number(&past, "SELECT count(*) FROM notes WHERE notes MATCH 'chair'"), 1);
    assert_eq!(number(&past, "SELECT id FROM places WHERE x0 > 15"), 2);
    assert_eq!(rows(&past, "PRAGMA integrity_check").unwrap()[0][0], Value::from("ok".to_owned()));
}

#[test]
fn two_moments_stand_side_by_side_in_one_statement() {
    let mut archive = Archive::new();
    let before = database(SHOP);
    let after = database(&format!("{SHOP} DELETE FROM orders WHERE id IN (3, 4);"));
    let older = archive.put(&before, None);
    let newer = archive.put(&after, Some((&older, &before)));
    let past = archive.open(&newer);

    past.attach("latest~24", &older).unwrap();

    let lost = "SELECT count(*) FROM \"latest~24\".orders WHERE id NOT IN (SELECT id FROM orders)";
    assert_eq!(number(&past, lost), 2);
    assert!(past.has("LATEST~24") && past.has("main") && !past.has("latest~1"));
}

#[test]
fn nothing_that_changes_or_leaves_the_database_is_allowed() {
    let mut archive = Archive::new();
    let image = archive.put(&database(SHOP), None);
    let past = archive.open(&image);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other.db");

    for sql in [
        "DELETE FROM orders".to_owned(),
        "UPDATE orders SET cents = 0".to_owned(),
        "INSERT INTO orders DEFAULT VALUES".to_owned(),
        "CREATE TABLE t (a)".to_owned(),
        "CREATE TEMP TABLE t (a)".to_owned(),
        "DROP TABLE orders".to_owned(),
        "PRAGMA query_only=OFF".to_owned(),
        "PRAGMA user_version=7".to_owned(),
        "PRAGMA journal_mode=DELETE".to_owned(),
        "PRAGMA hard_heap_limit=0".to_owned(),
        format!("ATTACH '{}' AS o", other.display()),
        "ATTACH ':memory:' AS o".to_owned(),
        format!("VACUUM INTO '{}'", other.display()),
        "SELECT load_extension('x')".to_owned(),
        "REINDEX".to_owned(),
        "ANALYZE".to_owned(),
    ] {
        let refused = rows(&past, &sql);
        assert!(matches!(refused, Err(Error::Writes)), "{sql}: {refused:?}");
    }
    assert!(matches!(rows(&past, "SELECT 1; SELECT 2"), Err(Error::SeveralStatements)));
    assert!(!other.exists());
    assert_eq!(number(&past, "SELECT count(*) FROM orders"), 500);
}

#[test]
fn a_statement_without_end_is_stopped_in_time_and_by_signal() {
    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let mut archive = Archive::new();
    let image = archive.put(&database(SHOP), None);
    let past = archive.open(&image);

    past.allow(Duration::ZERO);
    assert!(matches!(rows(&past, ENDLESS), Err(Error::TookTooLong { .. })));
    past.allow(Duration::from_secs(600));
    assert_eq!(number(&past, "SELECT 1"), 1);

    let terms = terms();
    let past = PastDatabase::open(&terms, archive.fetch(), &image).unwrap();
    terms.stop.store(true, Ordering::SeqCst);
    assert!(matches!(rows(&past, ENDLESS), Err(Error::Stopped)));
}

#[test]
fn memory_is_bounded_also_for_what_a_statement_gathers() {
    const GREEDY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 90)
         SELECT hex(group_concat(zeroblob(4000000))) FROM n";
    let mut archive = Archive::new();
    let image = archive.put(&database(SHOP), None);

    let greedy = rows(&archive.open(&image), GREEDY);

    assert!(matches!(greedy, Err(Error::TooLarge | Error::Statement { .. })), "{greedy:?}");
}

#[test]
fn a_page_that_is_gone_is_told_as_what_it_is() {
    let mut archive = Archive::new();
    // More groups than one, so that opening the database does not read them all.
    let rows_more =
        "INSERT INTO orders SELECT NULL, hex(randomblob(400)), 1 FROM orders a, orders b
         WHERE b.id < 4;";
    let image = archive.put(&database(&format!("{SHOP}{rows_more}")), None);
    let past = archive.open(&image);
    let mut chunks = Vec::new();
    let reader = crate::repo::image::ImageReader::open(&image, archive.fetch()).unwrap();
    reader.for_each_chunk(&mut |id| chunks.push(id)).unwrap();

    chunks.iter().for_each(|id| archive.store.lose(id));

    let lost = rows(&past, "SELECT sum(cents) FROM orders");
    assert!(matches!(lost, Err(Error::Image(_))), "{lost:?}");
}

#[test]
fn an_empty_database_has_no_tables_and_does_no_harm() {
    let mut archive = Archive::new();
    let image = archive.put(&[], None);

    let past = archive.open(&image);

    assert_eq!(number(&past, "SELECT count(*) FROM sqlite_schema"), 0);
    assert!(matches!(rows(&past, "SELECT * FROM orders"), Err(Error::Statement { .. })));
}

/// What a hostile image may be asked.
const QUESTIONS: [&str; 6] = [
    "SELECT count(*), sum(cents) FROM orders",
    "SELECT * FROM orders WHERE customer = 'customer 3' ORDER BY cents",
    "SELECT * FROM dear",
    "SELECT * FROM notes WHERE notes MATCH 'chair'",
    "SELECT * FROM places WHERE x0 > 15",
    "SELECT * FROM sqlite_schema",
];

fn ask_everything(archive: &Archive, image: &crate::format::image::Image) {
    let mut terms = terms();
    terms.timeout = Duration::from_secs(5);
    let Ok(past) = PastDatabase::open(&terms, archive.fetch(), image) else { return };
    for sql in QUESTIONS {
        let _ = rows(&past, sql);
    }
}

#[test]
fn a_cyclic_tree_and_a_broken_header_end_in_errors() {
    let sound = database(SHOP);
    let page_bytes = 1024;
    let mut archive = Archive::new();
    // Every interior page points to the root of the whole.
    let mut cyclic = sound.clone();
    for page in cyclic.chunks_exact_mut(page_bytes).skip(1).filter(|page| page[0] == 5) {
        page[8..12].copy_from_slice(&2u32.to_be_bytes());
    }
    let image = archive.put(&cyclic, None);
    let answer = rows(&archive.open(&image), "SELECT count(*) FROM orders NOT INDEXED");
    assert!(matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");

    for (at, value) in [(0, 0), (18, 9), (19, 9), (20, 255), (21, 0), (47, 99), (59, 9)] {
        let mut broken = sound.clone();
        broken[at] = value;
        let image = archive.put(&broken, None);
        ask_everything(&archive, &image);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_pages_neither_crash_nor_hang(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        at_heads in any::<bool>(),
    ) {
        let mut file = database(SHOP);
        let heads = file.len() / 1024;
        for (at, value) in damage {
            // The first bytes of a page say what the rest is.
            let at = match at_heads {
                true => at.index(heads) * 1024 + usize::from(value) % 16,
                false => at.index(file.len()),
            };
            if !(16..18).contains(&at) {
                file[at] = value;
            }
        }
        let mut archive = Archive::new();
        let image = archive.put(&file, None);

        ask_everything(&archive, &image);
    }
}
