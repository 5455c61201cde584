//! The snapshot record. Spec: `format-spec/60-record.md`.
//!
//! The structs; `record_codec.rs` turns them into fields and back.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    format::{image::Image, node::Entry, show},
    id::{SnapshotId, WriterId},
};

/// One restorable moment. Its id is the id of the object that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    pub finished: i64,
    pub host: String,
    pub writer: WriterId,
    pub counter: u64,
    pub parent: Option<SnapshotId>,
    pub storage: Storage,
    pub trigger: Trigger,
    pub actor: String,
    pub station: String,
    pub name: String,
    pub note: String,
    pub tags: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub app_version: String,
    pub program_version: String,
    /// TOML, without secrets.
    pub config: String,
    /// Parts that were configured then, also those this snapshot does not hold.
    pub configured: Vec<(String, PartKind)>,
    pub parts: Vec<Part>,
    pub bytes_added: u64,
    pub incomplete: bool,
    pub failed: Vec<FailedPart>,
}

/// Of no run and without parts: what is told of a record is put on top of it.
impl Default for Record {
    fn default() -> Self {
        Self {
            created: 0,
            finished: 0,
            host: String::new(),
            writer: WriterId([0; 32]),
            counter: 0,
            parent: None,
            storage: Storage::default(),
            trigger: Trigger::default(),
            actor: String::new(),
            station: String::new(),
            name: String::new(),
            note: String::new(),
            tags: Vec::new(),
            environment: Vec::new(),
            app_version: String::new(),
            program_version: String::new(),
            config: String::new(),
            configured: Vec::new(),
            parts: Vec::new(),
            bytes_added: 0,
            incomplete: false,
            failed: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    #[default]
    Incremental,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    #[default]
    Manual,
    Schedule,
    Safety,
    Guard,
    Import,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    Database,
    Files,
    Config,
    Cache,
}

/// One data set inside a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: String,
    pub kind: PartKind,
    /// Absolute source paths.
    #[serde(serialize_with = "show::texts")]
    pub sources: Vec<Vec<u8>>,
    pub totals: Totals,
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    #[serde(serialize_with = "show::texts")]
    pub gone: Vec<Vec<u8>>,
    pub gone_count: u64,
    pub content: PartContent,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartContent {
    /// The root entry, and the absolute path of the folder that it stands for.
    Tree {
        root: Box<Entry>,
        #[serde(serialize_with = "show::text")]
        path: Vec<u8>,
    },
    Database {
        image: Box<Image>,
        facts: Box<DatabaseFacts>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Complete,
    Incomplete,
    /// Captured, but its own check failed.
    Damaged,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize)]
pub struct Totals {
    pub files: u64,
    pub folders: u64,
    pub others: u64,
    pub bytes: u64,
    pub chunks: u64,
    pub bytes_read: u64,
    pub bytes_new: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Problem {
    #[serde(serialize_with = "show::text")]
    pub path: Vec<u8>,
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct FailedPart {
    pub name: String,
    pub code: String,
    pub message: String,
}

/// What SQLite said of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize)]
pub struct DatabaseFacts {
    pub engine: String,
    pub engine_version: String,
    pub encoding: String,
    pub journal_mode: String,
    pub user_version: i64,
    pub application_id: i64,
    pub schema: Vec<SchemaObject>,
    /// -1: not counted.
    pub rows: Vec<(String, i64)>,
    /// `ok`, `not checked`, or the first line of what the check said.
    pub check: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct SchemaObject {
    pub kind: String,
    pub name: String,
    pub table: String,
    pub sql: String,
}
