//! Secret bytes that wipe themselves and print their name only.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 32-byte key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret32(pub(crate) [u8; 32]);

impl Secret32 {
    /// Takes the bytes; the caller wipes its own copy.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Shows the bytes to a cipher.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32")
    }
}

/// What opens a key slot.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub enum Credential {
    /// UTF-8 bytes of the passphrase, without a line end.
    Passphrase(Vec<u8>),
    /// 32 random bytes.
    KeyFile([u8; 32]),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase",
            Self::KeyFile(_) => "KeyFile",
        })
    }
}
