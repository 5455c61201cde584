//! Paths as text in JSON: readable, and exact for any bytes. What is not plain stands as `\xNN`.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Writes bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' { text.push_str("\\x5c") } else { text.push(character) }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Reads what [`encode`] wrote; nothing if it is anything else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('\\');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.strip_prefix('x').and_then(|piece| piece.get(..2))?;
        bytes.push(u8::from_str_radix(byte, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[3..]);
    }
    Some(bytes)
}

pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    encode(path.as_os_str().as_bytes()).serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = decode(&text).ok_or_else(|| D::Error::custom("not a path"))?;
    Ok(OsString::from_vec(bytes).into())
}

/// Paths relative to a root, as bytes.
pub mod bytes {
    use super::{Deserialize, Deserializer, Error, Serialize, Serializer, decode, encode};

    pub fn serialize<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        encode(path).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| D::Error::custom("not a path"))
    }
}

/// Several paths relative to a root.
pub mod bytes_list {
    use super::{Deserialize, Deserializer, Error, Serialize, Serializer, decode, encode};

    pub fn serialize<S: Serializer>(paths: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        paths.iter().map(|path| encode(path)).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let paths = texts.iter().map(|text| decode(text));
        paths.collect::<Option<_>>().ok_or_else(|| D::Error::custom("not a path"))
    }
}

/// Several paths.
pub mod list {
    use super::{
        Deserialize, Deserializer, Error, OsStrExt, OsString, OsStringExt, PathBuf, Serialize,
        Serializer, decode, encode,
    };

    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        let texts = paths.iter().map(|path| encode(path.as_os_str().as_bytes()));
        texts.collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let paths =
            texts.iter().map(|text| decode(text).map(|bytes| OsString::from_vec(bytes).into()));
        paths.collect::<Option<_>>().ok_or_else(|| D::Error::custom("not a path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        for bytes in [&b"a/b c"[..], "größe".as_bytes(), b"\xff\x00\\x41\n", b"", b"\\"] {
            assert_eq!(decode(&encode(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(decode("a\\"), None);
        assert_eq!(decode("a\\xg0"), None);
    }
}
