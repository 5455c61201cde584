use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::{
    format::{
        image::{Image, Method},
        record::{DatabaseFacts, PartContent, Record, Totals},
        stream::Stream,
    },
    id::{ImageIdentity, SnapshotId},
};

fn madrid() -> TimeZone {
    TimeZone::get("Europe/Madrid").unwrap()
}

fn at(text: &str) -> UnixNanos {
    i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
}

/// Thursday evening in Madrid.
fn parse(text: &str) -> Result<Selector, Error> {
    Selector::parse(text.as_bytes(), at("2026-11-19T20:30:00+01:00"), &madrid())
}

fn end(text: &str) -> UnixNanos {
    match parse(text).unwrap().when {
        When::Before(end) => end,
        other => panic!("{text}: {other:?}"),
    }
}

fn item(text: &str) -> Option<(String, String)> {
    let item = parse(text).unwrap().item?;
    Some((item.part, String::from_utf8(item.path.join(&b'/')).unwrap()))
}

fn some(part: &str, path: &str) -> Option<(String, String)> {
    Some((part.to_owned(), path.to_owned()))
}

#[test]
fn words_and_ids_are_told_apart() {
    for (text, when) in [
        ("latest", When::Latest),
        ("latest~0", When::Back(0)),
        ("latest~12", When::Back(12)),
        ("8f21c0aa", When::Id("8f21c0aa".to_owned())),
        ("8F21C0AA", When::Id("8f21c0aa".to_owned())),
        ("2026", When::Id("2026".to_owned())),
    ] {
        assert_eq!(parse(text).unwrap().when, when, "{text}");
    }
}

#[test]
fn a_time_covers_the_unit_it_is_written_to() {
    for (text, until) in [
        ("2026-11-19", "2026-11-20T00:00:00+01:00"),
        ("2026-11-19T14", "2026-11-19T15:00:00+01:00"),
        ("2026-11-19T14:00", "2026-11-19T14:01:00+01:00"),
        ("2026-11-19 14:00", "2026-11-19T14:01:00+01:00"),
        ("2026-11-19T14:00:07", "2026-11-19T14:00:08+01:00"),
        ("2026-11-19T14:00:07.5", "2026-11-19T14:00:07.500000001+01:00"),
        ("2026-11-19T14:00Z", "2026-11-19T14:01:00Z"),
        ("2026-11-19T14:00:07+05:30", "2026-11-19T14:00:08+05:30"),
        ("2026-11-19T14:00-0300", "2026-11-19T14:01:00-03:00"),
        ("2026-11-19T14:00-03", "2026-11-19T14:01:00-03:00"),
        ("today", "2026-11-20T00:00:00+01:00"),
        ("yesterday", "2026-11-19T00:00:00+01:00"),
        ("yesterday 14:00", "2026-11-18T14:01:00+01:00"),
        ("todayT06:10", "2026-11-19T06:11:00+01:00"),
        ("3 days ago", "2026-11-16T20:30:00.000000001+01:00"),
        ("90m ago", "2026-11-19T19:00:00.000000001+01:00"),
    ] {
        assert_eq!(end(text), at(until), "{text}");
    }
}

#[test]
fn a_time_is_meant_in_the_zone_of_the_shop_in_summer_and_in_winter() {
    assert_eq!(end("2026-07-01T14:00"), at("2026-07-01T14:01:00+02:00"));
    assert_eq!(end("2026-12-01T14:00"), at("2026-12-01T14:01:00+01:00"));
    // A day of 25 hours, and one of 23.
    assert_eq!(end("2026-10-25"), at("2026-10-26T00:00:00+01:00"));
    assert_eq!(end("2026-03-29"), at("2026-03-30T00:00:00+02:00"));
}

#[test]
fn in_the_hour_that_comes_twice_the_second_one_is_meant() {
    assert_eq!(end("2026-10-25T02:30"), at("2026-10-25T02:31:00+01:00"));
    assert_eq!(end("2026-10-25T02:30+02:00"), at("2026-10-25T02:31:00+02:00"));
}

#[test]
fn a_time_that_the_clock_skips_is_the_time_after_the_gap() {
    assert_eq!(end("2026-03-29T02:30"), at("2026-03-29T03:31:00+02:00"));
}

#[test]
fn the_first_colon_outside_a_time_begins_the_part() {
    for (text, expected) in [
        ("latest", None),
        ("latest:", None),
        ("latest:pos", some("pos", "")),
        ("latest~2:pos", some("pos", "")),
        ("8f21:uploads/2026/10/a b.pdf", some("uploads", "2026/10/a b.pdf")),
        ("latest:uploads/", some("uploads", "")),
        ("latest:uploads//a/./b/", some("uploads", "a/b")),
        ("latest:uploads/a:b", some("uploads", "a:b")),
        ("2026-11-19:pos", some("pos", "")),
        ("2026-11-19T14:pos", some("pos", "")),
        ("2026-11-19T14:00:pos", some("pos", "")),
        ("2026-11-19T14:00:07:pos/x", some("pos", "x")),
        ("2026-11-19T14:00+01:00:pos", some("pos", "")),
        ("2026-11-19T14:00Z:pos", some("pos", "")),
        ("yesterday:pos", some("pos", "")),
        ("yesterday 14:00:pos", some("pos", "")),
        ("3 days ago:pos", some("pos", "")),
        // Two digits are seconds; a longer name that begins with digits is a part.
        ("2026-11-19T14:00:07", None),
        ("2026-11-19T14:00:07up", some("07up", "")),
        ("2026-11-19T14:00:2026.archive", some("2026.archive", "")),
        ("2026-11-19T14:00:00:07", some("07", "")),
    ] {
        assert_eq!(item(text), expected, "{text}");
    }
}

#[test]
fn names_in_paths_are_bytes() {
    let selector = Selector::parse(b"latest:up/\xff\xfe", 0, &TimeZone::UTC).unwrap();

    assert_eq!(selector.item.unwrap().path, [b"\xff\xfe".to_vec()]);
}

#[test]
fn what_names_no_snapshot_is_refused_with_a_reason() {
    for text in [
        "",
        "newest",
        "latest~",
        "latest~-1",
        "latest~x",
        "2026-13-01",
        "2026-11-19T25:00",
        "2026-11-19T14:61",
        "yesterdayish",
        "2026-11-19x",
        "many days ago",
        "latest:POS",
        "latest:/etc",
        "latest:pos/../x",
        &"a".repeat(65),
    ] {
        assert!(
            matches!(parse(text), Err(Error::NotASelector { .. })),
            "{text}: {:?}",
            parse(text)
        );
    }
}

fn part(name: &str) -> Part {
    let image = Image {
        page_bytes: 0,
        page_count: 0,
        identity: ImageIdentity([0; 32]),
        group_pages: 1,
        base_pages: 0,
        base: Stream::default(),
        folded: Stream::default(),
        recent: Stream::default(),
        recent_bytes_written: 0,
        method: Method::Pages,
        damaged: false,
        unchecked: false,
        begun: (0, 0),
        witnesses: Vec::new(),
    };
    Part {
        name: name.to_owned(),
        kind: PartKind::Database,
        sources: Vec::new(),
        totals: Totals::default(),
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database {
            image: Box::new(image),
            facts: Box::new(DatabaseFacts::default()),
        },
        outcome: Default::default(),
    }
}

/// A snapshot with an id that begins with the byte.
fn snapshot(first: u8, created: &str, configured: &[&str], parts: &[&str]) -> Snapshot {
    let mut id = [7; 32];
    id[0] = first;
    let configured = configured.iter().map(|name| ((*name).to_owned(), PartKind::Database));
    let record = Record {
        created: at(created),
        finished: at(created),
        counter: 1,
        configured: configured.collect(),
        parts: parts.iter().map(|name| part(name)).collect(),
        ..Record::default()
    };
    Snapshot { id: SnapshotId(id), record }
}

/// Uploads weekly, the database hourly, and a till that came later and was never saved.
fn history() -> Vec<Snapshot> {
    let both: &[&str] = &["pos", "uploads"];
    vec![
        snapshot(0xa1, "2026-11-15T03:00:07+01:00", both, both),
        snapshot(0xa2, "2026-11-19T13:00:07+01:00", both, &["pos"]),
        snapshot(0xb3, "2026-11-19T14:00:07+01:00", &["pos", "uploads", "till"], &["pos"]),
    ]
}

/// Which snapshot each part comes from, by the first byte of its id.
fn sources(text: &str, snapshots: &[Snapshot]) -> Vec<(String, u8)> {
    let moment = parse(text).unwrap().choose(snapshots, Compose::Allow).unwrap();
    moment.parts.iter().map(|at| (at.part.name.clone(), at.snapshot.id.0[0])).collect()
}

fn pairs(expected: &[(&str, u8)]) -> Vec<(String, u8)> {
    expected.iter().map(|(name, first)| ((*name).to_owned(), *first)).collect()
}

#[test]
fn latest_takes_every_part_from_the_newest_snapshot_that_holds_it() {
    assert_eq!(sources("latest", &history()), pairs(&[("pos", 0xb3), ("uploads", 0xa1)]));
}

#[test]
fn latest_passes_over_what_was_saved_because_it_was_about_to_be_replaced() {
    let mut snapshots = history();
    let newest = snapshots.last().unwrap().clone();
    let before = sources("latest", &snapshots);
    let mut safety = newest;
    safety.id = SnapshotId([0xee; 32]);
    safety.record.trigger = Trigger::Safety;
    snapshots.push(safety.clone());

    assert_eq!(sources("latest", &snapshots), before);
    assert!(!sources("latest", &[safety.clone()]).is_empty(), "where there is nothing else");
    let back = |text: &str| sources(text, &snapshots);
    assert_eq!(back("latest~0"), sources("latest~0", &history()), "they are not counted either");
    assert_eq!(back("latest~1"), sources("latest~1", &history()));
    assert!(!sources("latest~0", &[safety]).is_empty());
}

#[test]
fn a_time_takes_every_part_from_the_newest_snapshot_at_or_before_it() {
    let history = history();

    for text in ["2026-11-19T13:00", "2026-11-19T13:59:59", "2026-11-19T14:00:06"] {
        assert_eq!(sources(text, &history), pairs(&[("pos", 0xa2), ("uploads", 0xa1)]), "{text}");
    }
    for text in ["2026-11-19T14:00", "2026-11-19T14:00:07", "today"] {
        assert_eq!(sources(text, &history)[0].1, 0xb3, "{text}");
    }
    assert_eq!(sources("yesterday", &history), pairs(&[("pos", 0xa1), ("uploads", 0xa1)]));
}

#[test]
fn an_id_prefix_and_latest_with_a_number_are_exactly_that_snapshot() {
    let history = history();

    assert_eq!(sources("b3", &history), pairs(&[("pos", 0xb3)]));
    assert_eq!(sources("latest~0", &history), pairs(&[("pos", 0xb3)]));
    assert_eq!(sources("latest~2", &history), pairs(&[("pos", 0xa1), ("uploads", 0xa1)]));
}

#[test]
fn a_part_that_no_snapshot_holds_is_named_as_absent() {
    let history = history();

    let moment = parse("latest").unwrap().choose(&history, Compose::Allow).unwrap();

    assert_eq!(moment.absent, [("till", PartKind::Database)]);
    assert!(!moment.is_one_snapshot());
}

#[test]
fn exact_refuses_to_compose_and_names_what_lies_elsewhere() {
    let history = history();

    let composed = parse("latest").unwrap().choose(&history, Compose::Refuse).unwrap_err();
    let whole = parse("2026-11-15").unwrap().choose(&history, Compose::Refuse).unwrap();

    let Error::NotWhole { elsewhere, .. } = composed else { panic!("{composed:?}") };
    assert_eq!(elsewhere, ["uploads", "till"]);
    assert_eq!(whole.snapshot.id.0[0], 0xa1);
}

#[test]
fn a_part_that_is_held_but_not_configured_belongs_to_the_moment() {
    let history = [snapshot(1, "2026-11-19T13:00:00Z", &[], &["pos"])];

    assert_eq!(sources("latest", &history), pairs(&[("pos", 1)]));
}

#[test]
fn what_cannot_be_found_says_what_there_is() {
    let history = history();
    let choose = |text: &str| parse(text).unwrap().choose(&history, Compose::Allow).unwrap_err();

    assert_eq!(choose("c"), Error::UnknownId { prefix: "c".to_owned() });
    assert!(matches!(choose("a"), Error::AmbiguousId { ids, .. } if ids.len() == 2));
    assert_eq!(choose("latest~3"), Error::TooFarBack { back: 3, count: 3 });
    assert!(matches!(choose("2026-11-14"), Error::NothingBefore { oldest, .. }
        if oldest == history[0].record.created));
    assert_eq!(parse("latest").unwrap().choose(&[], Compose::Allow), Err(Error::NoSnapshots));
}

#[test]
fn an_unknown_part_is_refused_with_the_known_ones() {
    let history = history();
    let moment = parse("latest").unwrap().choose(&history, Compose::Allow).unwrap();

    let error = moment.part("poss", "latest").unwrap_err();

    assert!(matches!(error, Error::UnknownPart { known, .. } if known == ["pos", "uploads"]));
    assert_eq!(moment.part("pos", "latest").unwrap().snapshot.id.0[0], 0xb3);
}
