//! The lines of a run record, as they stand in the file.

use serde::{Deserialize, Serialize};

use crate::{
    clock::UnixNanos,
    ops::{
        event::{Event, PartDone},
        words,
    },
};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Line {
    Start {
        run: String,
        time: String,
        #[serde(flatten)]
        start: Start,
    },
    Log {
        time: String,
        #[serde(flatten)]
        log: Log,
    },
    Finish {
        time: String,
        #[serde(default)]
        lines_left_out: usize,
        #[serde(flatten)]
        finish: Finish,
    },
}

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The command: `backup`, `restore`...
    pub kind: String,
    /// Where the repository is.
    pub repository: String,
    pub actor: String,
    pub station: String,
    /// What it was about: names of sets, a snapshot.
    pub items: Vec<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub level: Level,
    pub phase: String,
    pub item: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    Info,
    Warning,
    Error,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    pub result: RunResult,
    pub exit_code: u8,
    /// Id of the repository, where it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// Id of the snapshot that was made or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    #[serde(default)]
    pub bytes_added: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The verdict on a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunResult {
    #[default]
    Done,
    /// Done, but something is missing or damaged.
    Incomplete,
    Failed,
    /// By a signal.
    Stopped,
}

impl RunResult {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl Line {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers always become JSON");
        line.push(b'\n');
        line
    }

    /// Reads a line; nothing for one that was cut short or comes from a newer program.
    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl Log {
    /// What the log keeps of an event. Progress is for those who watch, not for the record.
    pub(super) fn of(event: &Event, phase: &'static str) -> Option<Self> {
        let line = |level, item: &str, message: &str, code: &str| {
            Some(Self {
                level,
                phase: phase.to_owned(),
                item: item.to_owned(),
                message: message.to_owned(),
                code: code.to_owned(),
            })
        };
        match event {
            Event::Progress(_) => None,
            Event::Phase { item, .. } => line(Level::Info, item, "begins", ""),
            Event::PartDone(done) => line(Level::Info, &done.part, &part_done(done), ""),
            Event::PartFailed { part, code, message } => line(Level::Error, part, message, code),
            Event::Problem { part, path, code, message } => {
                let item = format!("{part}/{}", String::from_utf8_lossy(path));
                line(Level::Warning, &item, message, code)
            }
            Event::Warning { item, message } => line(Level::Warning, item, message, ""),
            Event::Note { item, message } => line(Level::Info, item, message, ""),
        }
    }
}

fn part_done(done: &PartDone) -> String {
    let (bytes, new) = (words::bytes(done.bytes), words::bytes(done.bytes_new));
    let problems = words::counted(done.problem_count, "problem");
    format!("done: {bytes}, {new} new, {problems}, {}", words::duration(done.took))
}

/// Formats a time for the record.
pub(super) fn rfc3339(at: UnixNanos) -> String {
    jiff::Timestamp::from_nanosecond(at.into()).unwrap_or_default().to_string()
}

/// Formats a time for a file name: names in order are runs in order.
pub(super) fn sortable(at: UnixNanos) -> String {
    let at = jiff::Timestamp::from_nanosecond(at.into()).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%S.%9fZ").to_string()
}

/// Reads a time of the record.
pub(super) fn unix_nanos(text: &str) -> Option<UnixNanos> {
    i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}
