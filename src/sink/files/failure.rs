//! Why something was not restored: either only that, or the whole restore.

use std::io;

use crate::{
    chunk,
    repo::{stream, tree},
    sink::files::Error,
};

/// Why an entry was not restored, or not wholly.
#[derive(Debug)]
pub enum Failure {
    /// The restore is over.
    Run(Error),
    /// The entry is listed; the rest is restored.
    Entry(Trouble),
}

/// What befell one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub code: String,
    pub message: String,
}

impl Trouble {
    /// Names what went wrong.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// Tells what could not be done.
    pub fn io(action: &str, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => "no-space",
            _ => "unwritable",
        };
        Self::new(code, format!("cannot {action}: {error}"))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Entry(trouble)
    }
}

impl From<tree::Error> for Failure {
    fn from(error: tree::Error) -> Self {
        match error {
            tree::Error::Chunk(chunk::Error::Stopped) => Self::Run(Error::Stopped),
            // Whatever is wrong with one chunk, others may be sound.
            other => Self::Entry(Trouble::new("damaged", other.to_string())),
        }
    }
}

impl From<chunk::Error> for Failure {
    fn from(error: chunk::Error) -> Self {
        tree::Error::from(error).into()
    }
}

impl From<stream::Error> for Failure {
    fn from(error: stream::Error) -> Self {
        tree::Error::from(error).into()
    }
}
