//! The use cases, one file each: what a person can ask of Stillpoint, without a word on how it is
//! asked or shown.
//!
//! Two faces call them, the command line and later the server. They report through
//! [`event::Observer`], return plain values, and never print, prompt or read the environment.

pub mod backup;
pub mod check;
pub mod diff;
pub mod doctor;
pub mod drill;
pub mod dump;
pub mod event;
pub mod export;
pub mod find;
pub mod forget;
pub mod growth;
pub mod keys;
pub mod list;
pub mod live;
pub mod mirror;
pub mod moment;
pub mod mount;
pub mod object;
pub mod owners;
pub mod past;
pub mod plan;
pub mod proof;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod retention;
pub mod rows;
pub mod run_record;
pub mod set;
pub mod stats;
pub mod status;
pub mod unpack;
pub mod upkeep;
pub mod words;

use std::path::PathBuf;

pub use crate::repo::with_causes;
use crate::{
    backend, chunk, format,
    repo::{self, image, stream, tree},
    sink::files,
};

/// Why a use case ended without its result.
///
/// What befell single items (one unreadable file) is no error: it goes to the observer and into the
/// report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Repository(#[from] repo::Error),
    #[error(transparent)]
    Backend(#[from] backend::Error),
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error(transparent)]
    Tree(#[from] tree::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Restore(#[from] files::Error),
    #[error(transparent)]
    Moment(#[from] moment::Error),
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
    #[error(transparent)]
    Past(#[from] past::Error),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Unpack(#[from] unpack::Error),
    #[error(transparent)]
    Key(#[from] keys::Error),
    #[error(transparent)]
    Live(#[from] live::Error),
    #[error(transparent)]
    Rows(#[from] rows::Error),
    /// Refused before anything was written.
    #[error("{place} has {free_bytes} bytes free, {needed_bytes} are needed")]
    NoSpace { place: String, needed_bytes: u64, free_bytes: u64 },
    /// Another process works on the same part.
    #[error("a backup of {part} is already running ({holder})")]
    Busy { part: String, holder: String },
    /// A pin protects an unknown snapshot, which might be any.
    #[error("the pin {name} cannot be read")]
    UnreadablePin { name: String },
    /// Snapshots lie ahead of the clock, so that the clock is rather behind.
    #[error("the clock is behind the newest snapshot")]
    ClockBehind(#[from] retention::ClockBehind),
    #[error("{going} of {of} snapshots would go, more than half")]
    TooMany { going: usize, of: usize },
    #[error("there is no set named {name}")]
    UnknownSet { name: String, known: Vec<String> },
    #[error("the pattern cannot be understood: {why}")]
    Pattern { why: String },
    #[error("there is no object named {text}")]
    UnknownObject { text: String },
    #[error("{} objects have a name that begins with {text}", names.len())]
    AmbiguousObject { text: String, names: Vec<String> },
    #[error("there is no {} in {part}", String::from_utf8_lossy(path))]
    UnknownPath { part: String, path: Vec<u8> },
    #[error("{} is {what}", String::from_utf8_lossy(path))]
    NotAFile { path: Vec<u8>, what: &'static str },
    /// One part stops the whole, because half of it would be useless.
    #[error("cannot {action} {part}")]
    Part {
        part: String,
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("an export holds at most {files_max} files")]
    TooManyFiles { files_max: u64 },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("stopped")]
    Stopped,
}

impl From<stream::Error> for Error {
    fn from(error: stream::Error) -> Self {
        match error {
            stream::Error::Chunk(error) => Self::Chunk(error),
            stream::Error::Format(error) => Self::Format(error),
        }
    }
}
