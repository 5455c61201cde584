//! The key hierarchy, sealing, and keyed hashes. Spec: `format-spec/20-envelope.md`, `25-keys.md`.
//!
//! Secrets wipe themselves, print their name only, and never appear in errors.

pub mod keys;
pub mod local;
pub mod object;
pub mod page_hash;
pub mod recovery;
pub mod seal;
pub mod secret;
pub mod slot;

use crate::format;

/// Why something could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The seal does not verify: other bytes, other key, or another object's bytes.
    #[error("the seal does not verify")]
    Unauthentic,
    /// The credential opens no slot it was tried on.
    #[error("wrong passphrase, key file or recovery key")]
    WrongCredential,
    /// A key file that is not 64 hexadecimal digits.
    #[error("not a key file")]
    NotAKeyFile,
    /// A recovery key that was mistyped.
    #[error("not a recovery key: {why}")]
    NotARecoveryKey { why: String },
    /// The object names an epoch that the key ring does not hold.
    #[error("no key for epoch {0}")]
    UnknownEpoch(u32),
    /// A slot asks for more than a reader gives.
    #[error("key slot asks for {what}")]
    Excessive { what: String },
    /// The bytes are not the object that was asked for, or break a rule of the format.
    #[error(transparent)]
    Format(#[from] format::Error),
}
