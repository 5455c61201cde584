//! The one place where errors become words for people: what happened, what it means for the
//! backups, what to do next.

mod catalogue;

use std::{error::Error as StdError, fmt, io, path::PathBuf, sync::Arc};

pub use catalogue::explain;

use crate::{
    backend, chunk,
    cli::exit_code::ExitCode,
    config::{self, Spot},
    format,
    ops::{self, past},
    repo::{self, image, tree},
};

/// Why a command ended without its result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Ops(#[from] ops::Error),
    /// The command line makes no sense with this configuration.
    #[error("{message}")]
    Usage { message: String, help: &'static str },
    #[error("no repository is named")]
    NoRepositoryNamed,
    #[error("a passphrase is needed, and there is no terminal to ask on")]
    NoCredential,
    #[error("cannot read the {what} {}", path.display())]
    Credential {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a key file", path.display())]
    NotAKeyFile { path: PathBuf },
    #[error("cannot write the key file {}", path.display())]
    KeyFileNotWritten {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("not a recovery key: {why}")]
    NotARecoveryKey { why: String },
    #[error("cannot write the recovery sheet {}", path.display())]
    SheetNotWritten {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A question was answered with no.
    #[error("not done, as you wished")]
    Declined,
    #[error("this needs a yes, and there is no terminal to ask on: {question}")]
    NoYes { question: String },
    #[error("cannot write the configuration {}", path.display())]
    ConfigNotWritten {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    #[error("the two passphrases differ")]
    PassphrasesDiffer,
    #[error("cannot use the state folder {}", path.display())]
    StateFolder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// By Ctrl-C or SIGTERM.
    #[error("stopped")]
    Stopped,
}

impl From<repo::Error> for Error {
    fn from(error: repo::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<backend::Error> for Error {
    fn from(error: backend::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<chunk::Error> for Error {
    fn from(error: chunk::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<format::Error> for Error {
    fn from(error: format::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ops::past::Error> for Error {
    fn from(error: ops::past::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ops::mirror::Error> for Error {
    fn from(error: ops::mirror::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ops::mount::Error> for Error {
    fn from(error: ops::mount::Error) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ops::moment::Error> for Error {
    fn from(error: ops::moment::Error) -> Self {
        Self::Ops(error.into())
    }
}

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// `SP` and four digits; the same fault always has the same.
    pub code: &'static str,
    pub exit_code: ExitCode,
    pub message: String,
    /// What it means for the backups.
    pub effect: Option<String>,
    /// What to do next, with the command where there is one.
    pub help: Vec<Help>,
    /// Where in the configuration.
    pub spot: Option<(Spot, String)>,
    /// The causes below, outermost first.
    pub causes: Vec<String>,
}

/// One next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    pub what: String,
    pub command: Option<String>,
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "{}:  {command}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Every error below, outermost first; texts that repeat their parent are left out.
fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut above = error.to_string();
    for cause in chain(error).skip(1).map(ToString::to_string) {
        if cause != above {
            causes.push(cause.clone());
        }
        above = cause;
    }
    causes
}

/// Finds an error of a type anywhere in the chain, the error itself included.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |above| {
        let above: &'a (dyn StdError + 'static) = *above;
        wrapped(above).or_else(|| above.source())
    })
}

/// What a transparent variant wraps, which `source` skips because it speaks with the same words, or
/// what several threads share.
fn wrapped<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return match error {
            Error::Config(error) => Some(error),
            Error::Ops(error) => Some(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ops::Error>() {
        return match error {
            ops::Error::Repository(error) => Some(error),
            ops::Error::Backend(error) => Some(error),
            ops::Error::Chunk(error) => Some(error),
            ops::Error::Format(error) => Some(error),
            ops::Error::Moment(error) => Some(error),
            ops::Error::Unpack(error) => Some(error),
            ops::Error::Key(error) => Some(error),
            ops::Error::Live(error) => Some(error),
            ops::Error::Rows(error) => Some(error),
            ops::Error::Restore(error) => Some(error),
            ops::Error::Tree(tree::Error::Chunk(error)) => Some(error),
            ops::Error::Tree(tree::Error::Format(error)) => Some(error),
            ops::Error::Image(image::Error::Chunk(error))
            | ops::Error::Past(past::Error::Image(image::Error::Chunk(error))) => Some(error),
            ops::Error::Image(image::Error::Format(error))
            | ops::Error::Past(past::Error::Image(image::Error::Format(error))) => Some(error),
            _ => None,
        };
    }
    if let Some(ops::live::Error::TakenBack(cause)) = error.downcast_ref() {
        return Some(cause.as_ref());
    }
    if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        return Some(&**shared);
    }
    match error.downcast_ref::<repo::Error>()? {
        repo::Error::Backend(error) => Some(error),
        repo::Error::Format(error) => Some(error),
        repo::Error::Crypto(error) => Some(error),
        repo::Error::Index(error) => Some(error),
        repo::Error::Chunk(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
