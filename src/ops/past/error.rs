//! Why a past database did not answer.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::{
    ops::past::btree,
    repo::image,
    source::sqlite::{self, RebuildError},
};

/// Why a past database could not be opened or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository could not give back a page.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// SQLite says that the image is no sound database; that is how it was when it was captured.
    #[error("the database was damaged when it was backed up: {why}")]
    Damaged { why: String },
    /// SQLite did not understand the statement, or could not run it.
    #[error("{message}")]
    Statement { message: String },
    #[error("the past cannot be changed")]
    Writes,
    #[error("one statement at a time")]
    SeveralStatements,
    #[error("the statement took longer than {} s", limit.as_secs_f64())]
    TookTooLong { limit: Duration },
    #[error("the statement needs more memory than it is given")]
    TooLarge,
    #[error("stopped")]
    Stopped,
    /// This program cannot do it, whatever the database.
    #[error("past databases cannot be opened in this process (SQLite error {code})")]
    NoFileSystem { code: i32 },
    #[error("the present database cannot be read")]
    Live(#[source] sqlite::Error),
    #[error("the newest image cannot be compared with the present one")]
    Hashes(#[source] RebuildError),
    /// Nothing says which one is meant.
    #[error("{} databases are in `{text}`", known.len())]
    WhichDatabase { text: String, known: Vec<String> },
    #[error("`{what}` is no database")]
    NotADatabase { what: String },
}

impl From<btree::Error> for Error {
    fn from(error: btree::Error) -> Self {
        match error {
            btree::Error::Image(error) => Self::Image(error),
            error @ btree::Error::Malformed { .. } => Self::Damaged { why: error.to_string() },
        }
    }
}

impl Error {
    /// What SQLite's own error means here.
    pub(super) fn from_sqlite(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::MultipleStatement) {
            return Self::SeveralStatements;
        }
        let message = message(&error);
        if message.starts_with("not authorized") {
            return Self::Writes;
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { why: message }
            }
            Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => Self::Writes,
            Some(ErrorCode::OutOfMemory) => Self::TooLarge,
            _ => Self::Statement { message },
        }
    }
}

/// Whether the statement was stopped from outside.
pub(super) fn is_interrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

/// SQLite's words, without the statement, which the reader has before him.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        error => error.to_string(),
    }
}
