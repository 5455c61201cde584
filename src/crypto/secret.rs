//! Secret bytes that wipe themselves and print their name only.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::{Error, recovery::RECOVERY_BYTES};

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
    /// The 16 random bytes of a recovery sheet.
    Recovery([u8; RECOVERY_BYTES]),
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
            Self::Recovery(_) => "Recovery",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_survives_its_text() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8 * 8);

        let text = key_file_text(&key);
        assert_eq!(text.len(), 65);
        assert!(text.starts_with("000810") && text.ends_with("f8\n"));
        let read = Credential::from_key_file(text.as_bytes()).unwrap();
        assert!(matches!(read, Credential::KeyFile(read) if read == key));
        assert!(Credential::from_key_file(text.trim_end().as_bytes()).is_ok());
    }

    #[test]
    fn other_texts_are_no_key_files() {
        let digits = "0f".repeat(32);
        for text in [&digits[1..], &format!("{digits}0"), &format!("g{}", &digits[1..]), ""] {
            let outcome = Credential::from_key_file(text.as_bytes()).map(|_| ());
            assert_eq!(outcome, Err(Error::NotAKeyFile), "{text}");
        }
    }

    #[test]
    fn one_line_end_is_not_part_of_a_passphrase() {
        for (file, passphrase) in [
            ("a b", "a b"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a\r", "a\r"),
            (" a \n", " a "),
            ("\n", ""),
        ] {
            match &Credential::from_passphrase_file(file.into()) {
                Credential::Passphrase(read) => assert_eq!(read, passphrase.as_bytes()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn secrets_print_their_names_only() {
        assert_eq!(format!("{:?}", Secret32::new([7; 32])), "Secret32");
        assert_eq!(format!("{:?}", Credential::Passphrase(b"x".to_vec())), "Passphrase");
    }
}
