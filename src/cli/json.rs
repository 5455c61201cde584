//! What programs read: our own wire types, so that the inside may change and the outside does not.
//!
//! Additive only. Times are RFC 3339 with offset, sizes integers in bytes, ids whole; a path that
//! is not UTF-8 comes readable in `path` and exact in `path_b64`.

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::{
    cli::{error::Explanation, text},
    clock::UnixNanos,
    format::record::{Outcome, PartKind, Record, Storage, Trigger},
    ops::event,
    repo,
};

/// What a list command answers with.
#[derive(Debug, Serialize)]
pub struct Object<T> {
    pub schema: &'static str,
    pub data: T,
}

/// A path as text, and as bytes where the text is not exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PathText {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
}

impl PathText {
    pub fn new(path: &[u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self { path: text.to_owned(), path_b64: None },
            Err(_) => Self {
                path: String::from_utf8_lossy(path).into_owned(),
                path_b64: Some(base64(path)),
            },
        }
    }
}

/// One line of a long command.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event {
    Start {
        command: &'static str,
        version: &'static str,
        time: String,
    },
    Phase {
        phase: &'static str,
        item: String,
    },
    /// A part is done.
    #[serde(rename = "phase")]
    Part {
        phase: &'static str,
        item: String,
        #[serde(flatten)]
        part: PartDone,
    },
    Progress(Progress),
    Warning {
        #[serde(skip_serializing_if = "String::is_empty")]
        code: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        item: String,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        path: Option<PathText>,
        message: String,
    },
    Error {
        code: String,
        message: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        item: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        effect: Option<String>,
        help: Vec<String>,
        causes: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<u8>,
    },
    Summary(Summary),
}

#[derive(Debug, Serialize)]
pub struct Progress {
    pub phase: &'static str,
    pub item: String,
    pub bytes: u64,
    pub bytes_total: Option<u64>,
    pub items: u64,
    pub items_total: Option<u64>,
    pub current: PathText,
}

#[derive(Debug, Serialize)]
pub struct PartDone {
    pub kind: &'static str,
    pub bytes: u64,
    pub bytes_new: u64,
    pub outcome: &'static str,
    pub problem_count: u64,
    pub seconds: f64,
}

/// The last line of every long command, however it ended.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    pub command: &'static str,
    pub exit_code: u8,
    /// Name of the run record; none if the command ended before it began one.
    pub run: Option<String>,
    pub repository_id: Option<String>,
    pub snapshot_id: Option<String>,
    pub seconds: f64,
    /// Figures of the command itself.
    #[serde(flatten)]
    pub figures: serde_json::Map<String, serde_json::Value>,
}

impl Event {
    pub fn warning(message: &str) -> Self {
        let message = message.to_owned();
        Self::Warning { code: String::new(), item: String::new(), path: None, message }
    }

    pub fn error(error: &Explanation) -> Self {
        Self::Error {
            code: error.code.to_owned(),
            message: error.message.clone(),
            item: String::new(),
            effect: error.effect.clone(),
            help: error.help.iter().map(ToString::to_string).collect(),
            causes: error.causes.clone(),
            exit_code: Some(error.exit_code.number()),
        }
    }

    pub fn part(done: &event::PartDone) -> Self {
        Self::Part {
            phase: "done",
            item: done.part.clone(),
            part: PartDone {
                kind: kind(done.kind),
                bytes: done.bytes,
                bytes_new: done.bytes_new,
                outcome: outcome(done.outcome),
                problem_count: done.problem_count,
                seconds: done.took.as_secs_f64(),
            },
        }
    }
}

/// A snapshot with all that its record says about itself.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    pub id: String,
    pub time: String,
    pub finished: String,
    pub host: String,
    pub parent: Option<String>,
    pub storage: &'static str,
    pub trigger: &'static str,
    pub actor: String,
    pub station: String,
    pub name: String,
    pub note: String,
    pub tags: Vec<String>,
    pub app_version: String,
    pub program_version: String,
    pub state: &'static str,
    pub bytes: u64,
    pub bytes_new: u64,
    pub bytes_added: u64,
    pub parts: Vec<Part>,
    pub failed: Vec<Failed>,
    pub configured: Vec<Configured>,
}

#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub kind: &'static str,
    pub sources: Vec<PathText>,
    pub outcome: &'static str,
    pub bytes: u64,
    pub bytes_read: u64,
    pub bytes_new: u64,
    pub files: u64,
    pub folders: u64,
    pub others: u64,
    pub problem_count: u64,
    pub gone_count: u64,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    pub name: String,
    pub code: String,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct Configured {
    pub name: String,
    pub kind: &'static str,
}

impl Snapshot {
    pub fn new(snapshot: &repo::Snapshot, zone: &TimeZone) -> Self {
        let record = &snapshot.record;
        let total = |of: fn(&Part) -> u64, parts: &[Part]| parts.iter().map(of).sum();
        let parts: Vec<Part> = record.parts.iter().map(Part::new).collect();
        Self {
            id: snapshot.id.to_string(),
            time: time(record.created, zone),
            finished: time(record.finished, zone),
            host: record.host.clone(),
            parent: record.parent.map(|parent| parent.to_string()),
            storage: storage(record.storage),
            trigger: trigger(record.trigger),
            actor: record.actor.clone(),
            station: record.station.clone(),
            name: record.name.clone(),
            note: record.note.clone(),
            tags: record.tags.clone(),
            app_version: record.app_version.clone(),
            program_version: record.program_version.clone(),
            state: state(record),
            bytes: total(|part| part.bytes, &parts),
            bytes_new: total(|part| part.bytes_new, &parts),
            bytes_added: record.bytes_added,
            parts,
            failed: record.failed.iter().map(Failed::new).collect(),
            configured: record.configured.iter().map(Configured::new).collect(),
        }
    }
}

impl Part {
    fn new(part: &crate::format::record::Part) -> Self {
        Self {
            name: part.name.clone(),
            kind: kind(part.kind),
            sources: part.sources.iter().map(|path| PathText::new(path)).collect(),
            outcome: outcome(part.outcome),
            bytes: part.totals.bytes,
            bytes_read: part.totals.bytes_read,
            bytes_new: part.totals.bytes_new,
            files: part.totals.files,
            folders: part.totals.folders,
            others: part.totals.others,
            problem_count: part.problem_count,
            gone_count: part.gone_count,
        }
    }
}

impl Failed {
    fn new(failed: &crate::format::record::FailedPart) -> Self {
        Self {
            name: failed.name.clone(),
            code: failed.code.clone(),
            message: failed.message.clone(),
        }
    }
}

impl Configured {
    fn new((name, kind_of): &(String, PartKind)) -> Self {
        Self { name: name.clone(), kind: kind(*kind_of) }
    }
}

pub const fn kind(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Database => "database",
        PartKind::Files => "files",
        PartKind::Config => "config",
        PartKind::Cache => "cache",
    }
}

pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Incomplete => "incomplete",
        Outcome::Damaged => "damaged",
    }
}

pub const fn storage(storage: Storage) -> &'static str {
    match storage {
        Storage::Incremental => "incremental",
        Storage::Full => "full",
    }
}

pub const fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Manual => "manual",
        Trigger::Schedule => "schedule",
        Trigger::Safety => "safety",
        Trigger::Guard => "guard",
        Trigger::Import => "import",
    }
}

/// The worst thing to say of a snapshot.
pub fn state(record: &Record) -> &'static str {
    let has = |outcome| record.parts.iter().any(|part| part.outcome == outcome);
    if has(Outcome::Damaged) {
        "damaged"
    } else if record.incomplete || !record.failed.is_empty() || has(Outcome::Incomplete) {
        "incomplete"
    } else {
        "complete"
    }
}

pub fn time(at: UnixNanos, zone: &TimeZone) -> String {
    text::rfc3339(at, zone)
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_vectors_of_its_standard() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn only_a_path_that_is_not_text_comes_twice() {
        assert_eq!(PathText::new("a/ö".as_bytes()).path_b64, None);
        assert_eq!(PathText::new(b"a\xff").path_b64.as_deref(), Some("Yf8="));
        assert_eq!(PathText::new(b"a\xff").path, "a\u{fffd}");
    }

    #[test]
    fn the_summary_says_its_type_and_its_exit_code() {
        let summary =
            Event::Summary(Summary { command: "backup", exit_code: 3, ..Summary::default() });

        let line = serde_json::to_value(&summary).unwrap();

        assert_eq!(line["type"], "summary");
        assert_eq!(line["exit_code"], 3);
        assert!(line["snapshot_id"].is_null());
    }
}
