//! What has to be put right, by a person, before a place can be used.

use std::fmt;

/// What is not as it must be with sign-in, client or account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetUp {
    /// Objects made through one OAuth client are invisible through another.
    OtherClient { remembered: String, given: String },
    /// Several folders have this name; one must be named by its id.
    SeveralFolders { ids: Vec<String> },
    /// The client id or its secret is unknown, or of the wrong kind.
    Client { why: String },
    /// The box beside the permission was not ticked.
    Permission { missing: String },
    /// The person at the browser said no, or took too long.
    Declined { why: String },
    /// The interface is not switched on in the project of the client.
    Disabled { why: String },
}

impl fmt::Display for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherClient { remembered, given } => write!(
                f,
                "what lies there was made through the client project {remembered}, and {given} is \
                 another one"
            ),
            Self::SeveralFolders { ids } => {
                write!(f, "several folders have this name: {}", ids.join(", "))
            }
            Self::Client { why } => write!(f, "the client is not accepted ({why})"),
            Self::Permission { missing } => write!(f, "the permission {missing} was not given"),
            Self::Declined { why } => write!(f, "the sign-in was not completed ({why})"),
            Self::Disabled { why } => write!(f, "its interface is not switched on ({why})"),
        }
    }
}
