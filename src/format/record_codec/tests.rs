use proptest::prelude::*;

use super::*;
use crate::format::{
    record::Problem,
    samples::{any_record, breaks, hex, record},
};

/// A record of these fields only.
fn decoded(fields: FieldsWriter) -> Result<Record, Error> {
    Record::decode(&fields.finish())
}

fn part_of(change: fn(&mut Part)) -> Result<Vec<u8>, Error> {
    let mut record = record();
    change(&mut record.parts[0]);
    record.encode()
}

#[test]
fn a_record_survives() {
    assert_eq!(Record::decode(&record().encode().unwrap()), Ok(record()));
}

#[test]
fn the_first_fields_have_the_bytes_of_the_spec() {
    let bytes = record().encode().unwrap();
    let expected = [
        "010008000000", /* created */
        "0000e125db907918",
        "020008000000", /* finished */
        "00284c14dc907918",
        "03000e000000", /* host */
        "060000000000000074696c6c2d33",
        "040020000000", /* writer */
        &"0a".repeat(32),
        "050008000000", /* counter */
        "1100000000000000",
        "060020000000", /* parent */
        &"0b".repeat(32),
        "070001000000", /* storage */
        "01",
        "080001000000", /* trigger */
        "01",
    ]
    .concat();

    assert_eq!(hex(&bytes[..expected.len() / 2]), expected);
}

#[test]
fn a_record_that_was_cut_is_refused_or_says_less() {
    let bytes = record().encode().unwrap();
    for length in 0..bytes.len() {
        assert_ne!(Record::decode(&bytes[..length]), Ok(record()), "{length}");
    }
}

#[test]
fn absent_fields_have_their_defaults_and_unknown_ones_are_skipped() {
    let mut fields = FieldsWriter::default();
    fields.put(1, &5i64);
    fields.put(999, &"from the future".to_owned());

    assert_eq!(decoded(fields), Ok(Record { created: 5, ..Record::blank() }));
}

#[test]
fn unknown_mandatory_fields_and_codes_are_refused_by_name() {
    let newer = |tag: u16, code: u8| {
        let mut fields = FieldsWriter::default();
        fields.put(tag, &code);
        matches!(decoded(fields), Err(Error::Newer { .. }))
    };

    assert!(newer(7, 2));
    assert!(newer(8, 5));
    assert!(newer(0x8001, 0));
    let mut fields = FieldsWriter::default();
    fields.put(18, &vec![("shop".to_owned(), 9u8)]);
    assert!(matches!(decoded(fields), Err(Error::Newer { .. })));
    let mut fields = FieldsWriter::default();
    fields.put(21, &2u8);
    assert!(breaks(decoded(fields), "neither 0 nor 1"));
}

#[test]
fn every_rule_of_parts_is_enforced() {
    assert!(breaks(part_of(|part| part.name = "shop".to_owned()), "one name"));
    for name in ["", "-a", ".a", "A", "a b", "a/b", "é", &"x".repeat(65)] {
        let mut record = record();
        record.parts[0].name = name.to_owned();
        assert!(breaks(record.encode(), "impossible name"), "{name}");
    }
    assert!(part_of(|part| part.name = "0a._-".to_owned()).is_ok());
    assert!(breaks(part_of(|part| part.kind = PartKind::Database), "kind and content"));
    assert!(breaks(part_of(|part| part.problem_count = 0), "more problems than it counts"));
    assert!(breaks(part_of(|part| part.gone = vec![Vec::new(); 1001]), "too many problems"));
    let problem = || Problem { path: vec![], code: String::new(), message: String::new() };
    let mut record = record();
    record.parts[1].problems = (0..1001).map(|_| problem()).collect();
    record.parts[1].problem_count = 1001;
    assert!(breaks(record.encode(), "too many problems"));
}

#[test]
fn a_part_holds_a_tree_or_a_database_and_not_both() {
    let Record { parts, .. } = record();
    let (PartContent::Tree { root, .. }, PartContent::Database { image, .. }) =
        (&parts[0].content, &parts[1].content)
    else {
        panic!("the sample has one part of each")
    };
    let decode = |contents: &[(u16, Vec<u8>)]| {
        let mut fields = FieldsWriter::default();
        fields.put(1, &"x".to_owned());
        fields.put(2, &2u8);
        contents.iter().for_each(|(tag, bytes)| fields.put(*tag, bytes));
        Part::decode(&fields.finish())
    };
    let (root, image) = (root.encode().unwrap(), image.encode().unwrap());

    assert!(decode(&[(9, root.clone())]).is_ok());
    assert!(breaks(decode(&[]), "kind and content"));
    assert!(breaks(decode(&[(10, image.clone())]), "kind and content"));
    assert!(breaks(decode(&[(9, root), (10, image)]), "kind and content"));
}

#[test]
fn a_record_longer_than_an_object_is_refused() {
    let endless = Record { note: "x".repeat(4 << 20), ..record() };

    assert!(breaks(endless.encode(), "too long"));
}

proptest! {
    #[test]
    fn every_record_survives(record in any_record()) {
        prop_assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record));
    }
}
