//! Secret bytes that wipe themselves and print their name only.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::Error;

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

impl Credential {
    /// Takes a passphrase as it stands in a file: one line end is not part of it.
    pub fn from_passphrase_file(mut bytes: Vec<u8>) -> Self {
        if bytes.last() == Some(&b'\n') {
            let _ = bytes.pop();
            if bytes.last() == Some(&b'\r') {
                let _ = bytes.pop();
            }
        }
        Self::Passphrase(bytes)
    }

    /// Takes a key file: 64 hexadecimal digits and a line end.
    ///
    /// # Errors
    /// [`Error::NotAKeyFile`]
    pub fn from_key_file(text: &[u8]) -> Result<Self, Error> {
        let digits = text.trim_ascii_end();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Error::NotAKeyFile);
        }
        let digit = |byte: u8| (byte as char).to_digit(16).ok_or(Error::NotAKeyFile);
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self::KeyFile(key))
    }
}

/// Returns the text of a key file.
pub fn key_file_text(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text.push('\n');
    text
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase",
            Self::KeyFile(_) => "KeyFile",
        })
    }
}
