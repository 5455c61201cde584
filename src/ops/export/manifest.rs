//! `manifest.json` and `SHA256SUMS`: what is in an export, for programs and for people.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::format::record::PartKind;

/// Names of the entries that belong to the export itself.
pub const MANIFEST: &str = "manifest.json";
pub const SUMS: &str = "SHA256SUMS";
pub const README: &str = "README.txt";
pub const CONFIGURATION: &str = "stillpoint.toml";
/// What a manifest says it is.
pub const FORMAT: &str = "stillpoint export";
pub const FORMAT_VERSION: u32 = 1;

/// All of an export but its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub format_version: u32,
    pub program_version: String,
    /// Of the application whose data this is.
    pub app_version: String,
    pub host: String,
    pub parts: Vec<PartFacts>,
    /// In the order of the file; the manifest itself and the list of checksums are not among them.
    pub entries: Vec<EntryFacts>,
}

/// One part, and the snapshot that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    pub name: String,
    pub kind: Kind,
    pub snapshot: String,
    /// RFC 3339.
    pub taken: String,
    /// Where it came from.
    pub sources: Vec<String>,
    /// The folder that a part of files is the content of.
    #[serde(default)]
    pub root: String,
    pub complete: bool,
    pub problem_count: u64,
    /// What the snapshot before still had; the first thousand.
    pub deleted: Vec<String>,
    pub deleted_count: u64,
    /// Pipes, sockets and devices, which a ZIP file cannot hold.
    pub left_out: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseFile>,
}

/// The database inside an entry that is compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFile {
    pub entry: String,
    pub size: u64,
    pub sha256: String,
    /// Without free pages, by VACUUM INTO; otherwise as it was captured.
    pub compact: bool,
    /// By table; -1: not counted.
    pub rows: Vec<(String, i64)>,
    /// What SQLite said of it when it was captured.
    pub check: String,
}

/// One entry of the ZIP file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFacts {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: EntryKind,
    pub size: u64,
    pub sha256: String,
    pub mode: u32,
    /// Seconds and nanoseconds since 1970 UTC.
    pub modified: (i64, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Database,
    Files,
    Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Database,
    File,
    Config,
    Folder,
    /// Its content is where it leads to.
    Link,
    Readme,
}

impl Kind {
    pub const fn of(kind: PartKind) -> Self {
        match kind {
            PartKind::Database => Self::Database,
            PartKind::Config => Self::Config,
            PartKind::Files | PartKind::Cache => Self::Files,
        }
    }

    /// The folder of the export that holds such parts.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Database => "databases",
            Self::Files => "files",
            Self::Config => "config",
        }
    }
}

impl PartFacts {
    /// Where the part lies in the export: a folder with its slash, or the entry of a database.
    pub fn place(&self) -> String {
        match self.kind {
            Kind::Database => format!("databases/{}.db.gz", self.name),
            kind => format!("{}/{}/", kind.folder(), self.name),
        }
    }

    /// What a restore makes of it.
    pub fn restored_name(&self) -> String {
        match self.kind {
            Kind::Database => format!("{}.db", self.name),
            Kind::Files | Kind::Config => self.name.clone(),
        }
    }
}

impl Manifest {
    /// Returns `SHA256SUMS`, as `sha256sum --check` reads it.
    pub fn sums(&self, manifest_sha256: &str) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            if !matches!(entry.kind, EntryKind::Folder | EntryKind::Link) {
                let _ = writeln!(text, "{}  {}", entry.sha256, entry.path);
            }
        }
        let _ = writeln!(text, "{manifest_sha256}  {MANIFEST}");
        text
    }
}

/// Writes a name of a repository so that every ZIP tool takes it for one name: what is not UTF-8, a
/// control character, a backslash or a percent sign stands as `%` and two hexadecimal digits.
pub fn entry_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(text, "%{byte:02X}");
        }
    };
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || matches!(character, '\\' | '%') {
                escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Reads what [`entry_name`] wrote; nothing comes back for a name that it would not have written.
pub fn original_name(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            name.push(byte);
        }
    }
    (entry_name(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_way_through_a_zip_file() {
        for (name, written) in [
            (&b"logo.png"[..], "logo.png"),
            ("stra\u{df}e".as_bytes(), "stra\u{df}e"),
            (b"100% sure", "100%25 sure"),
            (b"a\\b\nc", "a%5Cb%0Ac"),
            (b"\xff\xfe", "%FF%FE"),
        ] {
            assert_eq!(entry_name(name), written);
            assert_eq!(original_name(written).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_has_one_written_form_only() {
        for text in ["a%2", "%zz", "a\\b", "%61", "%5c", "%+1"] {
            assert_eq!(original_name(text), None, "{text}");
        }
    }
}
