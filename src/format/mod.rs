//! Bytes to structs and back: pure, no I/O, no keys. One file per chapter of `format-spec/`.
//!
//! Decoders return values that are valid by construction, or an error that names the object, the
//! offset and the broken rule. Input is distrusted: lengths are compared with `limits.rs` first,
//! nothing recurses. Encoders keep the same rules: what could not be read back is refused before it
//! is written.

pub mod cursor;
pub mod descriptor;
pub mod entry;
pub mod envelope;
pub mod fields;
pub mod frame;
pub mod image;
pub mod node;
pub mod page_chunk;
pub mod page_map;
pub mod parity;
pub mod patch;
pub mod pin;
pub mod record;
mod record_codec;
mod record_shorten;
pub mod ring;
#[cfg(test)]
pub(crate) mod samples;
pub mod segment;
pub mod show;
pub mod slot;
pub mod stream;
pub mod structs;
pub mod table;
pub mod tombstone;

/// Bytes that disagree with the spec, were written by someone newer, or must not be written at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{object} is corrupt at byte {at}: {why}")]
    Corrupt { object: &'static str, at: u64, why: &'static str },
    #[error("{object} was written by a newer Stillpoint: {what}")]
    Newer { object: &'static str, what: String },
    /// The value breaks a rule that every reader enforces; writing it would lose it.
    #[error("{object} cannot be stored: {why}")]
    Unstorable { object: &'static str, why: &'static str },
}
