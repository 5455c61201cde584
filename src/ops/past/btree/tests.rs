use std::sync::Arc;

use super::{record, *};
use crate::{
    ops::past::{
        sample::{Archive, database},
        value::Value,
    },
    repo::image::ImageReader,
    source::sqlite::header::Encoding,
};

fn pages(archive: &Archive, image: &crate::format::image::Image) -> Pages {
    let reader = ImageReader::open(image, archive.fetch()).unwrap();
    Pages::open(Arc::new(CachedImage::new(reader))).unwrap()
}

/// Where a table begins.
fn root(file: &[u8], name: &str) -> u32 {
    let mut archive = Archive::new();
    let image = archive.put(file, None);
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    archive.open(&image).connection().query_row(sql, [name], |row| row.get(0)).unwrap()
}

const ROWS: &str = "PRAGMA page_size=512;
    CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT);
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)
        SELECT i * 3, i, CASE i % 50 WHEN 0 THEN hex(zeroblob(900)) ELSE 'row ' || i END FROM n;";

#[test]
fn every_row_of_a_table_is_found_in_order_with_its_content() {
    let file = database(ROWS);
    let mut archive = Archive::new();
    let image = archive.put(&file, None);
    let pages = pages(&archive, &image);
    let mut rowids = Vec::new();

    for leaf in all_pages(&pages, root(&file, "t")).unwrap() {
        let page = pages.page(leaf).unwrap();
        for cell in page.cells() {
            let cell = cell.unwrap();
            let Content::Whole(record) = cell.payload.unwrap().read(&pages).unwrap() else {
                panic!("short rows are whole")
            };
            let values = record::values(&record, 3, Encoding::Utf8).unwrap();
            let number = cell.rowid / 3;
            assert_eq!(values[..2], [Value::Null, Value::Integer(number)]);
            let is_long = number % 50 == 0;
            assert_eq!(matches!(&values[2], Value::Text(text) if text.len() == 1800), is_long);
            rowids.push(cell.rowid);
        }
    }

    assert_eq!(rowids, (1..=2000).map(|number| number * 3).collect::<Vec<i64>>());
}

#[test]
fn pages_of_a_tree_are_counted_and_large_trees_estimated() {
    let file = database(&format!("{ROWS} CREATE TABLE small (x); INSERT INTO small VALUES (1);"));
    let mut archive = Archive::new();
    let image = archive.put(&file, None);
    let pages = pages(&archive, &image);
    let leaves = all_pages(&pages, root(&file, "t")).unwrap().len() as u64;

    assert_eq!(tree_pages(&pages, root(&file, "small")).unwrap(), (1, true));
    let (count, is_exact) = tree_pages(&pages, root(&file, "t")).unwrap();
    assert!(count > leaves && count < leaves * 11 / 10, "{count} of {leaves}");
    assert!(is_exact);
}

#[test]
fn one_changed_row_is_found_in_one_leaf_of_each_side() {
    let before = database(ROWS);
    let after = database(&format!("{ROWS} UPDATE t SET a = -1 WHERE id = 3000;"));
    let mut archive = Archive::new();
    let older = archive.put(&before, None);
    let newer = archive.put(&after, Some((&older, &before)));
    let (older, newer) = (pages(&archive, &older), pages(&archive, &newer));
    let changed = newer.image().reader().may_differ(older.image().reader());
    let may_differ = Some(PageSet::of(newer.page_count(), &changed));
    let alike = Alike { may_differ, common: older.page_count() };

    let root = root(&before, "t");
    let found = differing_pages((&older, root), (&newer, root), &alike).unwrap();

    assert_eq!((found.older.len(), found.newer.len()), (1, 1));
    assert!(changed.len() <= 3, "{changed:?}");
    assert!(leaves_tell_all(&older, &newer, &changed).unwrap());
}

#[test]
fn an_overflow_page_written_in_place_is_not_explained_by_any_leaf() {
    let before = database(ROWS);
    let change = "UPDATE t SET b = substr(b, 1, 1790) || 'changed!!!' WHERE id = 3000;";
    let after = database(&format!("{ROWS} {change}"));
    let mut archive = Archive::new();
    let older = archive.put(&before, None);
    let newer = archive.put(&after, Some((&older, &before)));
    let (older, newer) = (pages(&archive, &older), pages(&archive, &newer));

    let changed = newer.image().reader().may_differ(older.image().reader());

    assert!(!leaves_tell_all(&older, &newer, &changed).unwrap(), "{changed:?}");
}

#[test]
fn a_tree_that_leads_in_a_circle_is_refused() {
    let mut file = database(ROWS);
    let root = root(&file, "t");
    // The rightmost child of the root is the root.
    let head = (root as usize - 1) * 512;
    file[head + 8..head + 12].copy_from_slice(&root.to_be_bytes());
    let mut archive = Archive::new();
    let image = archive.put(&file, None);
    let pages = pages(&archive, &image);

    let walked = all_pages(&pages, root);

    assert!(matches!(walked, Err(Error::Malformed { .. })), "{walked:?}");
}

#[test]
fn records_are_alike_only_if_no_value_can_differ() {
    // Header of 3 bytes: an integer and a text of one byte.
    let record = |integer: u8, text: u8| vec![3, 1, 15, integer, text];

    assert_eq!(compare(&record(1, b'a'), &record(1, b'b')), Compared::Different);
    // An integer may be stored for a real, and the constant 1 has a form of its own.
    assert_eq!(compare(&record(1, b'a'), &[3, 9, 15, b'a']), Compared::MayBeSame);
    assert_eq!(compare(&record(1, b'a'), &[3, 0, 15, b'a']), Compared::Different);
    assert_eq!(compare(&[9, 9], &record(1, b'a')), Compared::MayBeSame);
    assert_eq!(record::values(&[2, 6, 0xff], 1, Encoding::Utf8), None);
    let utf16 = record::values(&[2, 17, b'a', 0], 1, Encoding::Utf16Le);
    assert_eq!(utf16, Some(vec![Value::text("a")]));
}
