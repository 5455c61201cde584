//! What is wrong with a configuration, and where.

use std::path::PathBuf;

use crate::config::Spot;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("unknown key `{key}`")]
    UnknownKey { key: String, suggestion: Option<String>, spot: Spot },
    /// Not TOML, or a value that means nothing.
    #[error("{message}")]
    Invalid { message: String, spot: Spot },
    /// Of a flag or a variable.
    #[error("`{text}` is no place for a repository: {why}")]
    NotAPlace { text: String, why: String },
    #[error("the systemd credential `{name}` is named, but this is not run by systemd")]
    NoCredentialDirectory { name: String },
}
