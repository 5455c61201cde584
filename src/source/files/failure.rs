//! Why something was not saved: either only that, or the whole run.

use std::io;

use crate::{chunk, repo::tree, source::files::Error};

/// Why an entry was not saved.
#[derive(Debug)]
pub enum Failure {
    /// The run is over.
    Run(Error),
    /// The entry is left out; the rest is saved.
    Entry { code: String, message: String },
}

impl Failure {
    /// An entry that is left out.
    pub fn entry(code: &str, message: impl Into<String>) -> Self {
        Self::Entry { code: code.to_owned(), message: message.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => {
                Self::entry("vanished", "it was listed, and then it was gone")
            }
            _ => Self::entry("unreadable", error.to_string()),
        }
    }
}

impl From<chunk::Error> for Failure {
    fn from(error: chunk::Error) -> Self {
        Self::Run(error.into())
    }
}

impl From<tree::Error> for Failure {
    fn from(error: tree::Error) -> Self {
        match error {
            tree::Error::Chunk(error) => error.into(),
            // The format cannot hold it: too many entries, attributes too long.
            other => Self::entry("unstorable", other.to_string()),
        }
    }
}

impl From<chunk::Error> for Error {
    fn from(error: chunk::Error) -> Self {
        match error {
            chunk::Error::Stopped => Self::Stopped,
            other => Self::Store(other),
        }
    }
}
