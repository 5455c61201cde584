//! The ZIP file in the making: entries one after the other, each with its checksum.

use std::{ffi::OsStr, io, io::Write};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;
use zip::{
    AesMode, CompressionMethod, DateTime, ZipWriter,
    result::ZipError,
    write::{FileOptions, SimpleFileOptions, StreamWriter},
};

use super::{
    manifest::{EntryFacts, EntryKind, MANIFEST, Manifest, SUMS},
    seal::{SealedFile, hex, placeholder},
};

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Deflated,
    /// For what is compressed already.
    Stored,
}

/// What an entry is called and looks like.
#[derive(Debug, Clone)]
pub struct NewEntry {
    pub path: String,
    pub kind: EntryKind,
    pub mode: u32,
    pub modified: (i64, u32),
    pub packing: Packing,
}

/// The file types of Unix, as a ZIP file has them too.
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;
/// As `gzip` and `zip` do when nobody asks for more.
const DEFLATE_LEVEL: i64 = 6;

/// An export in the making.
pub struct ZipFile<'a> {
    zip: ZipWriter<StreamWriter<SealedFile<'a>>>,
    passphrase: Option<&'a Zeroizing<Vec<u8>>>,
    entries: Vec<EntryFacts>,
    /// The entry being written.
    open: Option<(NewEntry, Sha256, u64)>,
}

impl<'a> ZipFile<'a> {
    pub fn new(file: SealedFile<'a>, passphrase: Option<&'a Zeroizing<Vec<u8>>>) -> Self {
        Self { zip: ZipWriter::new_stream(file), passphrase, entries: Vec::new(), open: None }
    }

    /// Begins an entry with content; write it, then call [`finish_entry`](Self::finish_entry).
    pub fn begin(&mut self, entry: NewEntry) -> io::Result<()> {
        let options = self.options(&entry);
        self.zip.start_file(&entry.path, options).map_err(failed)?;
        self.open = Some((entry, Sha256::new(), 0));
        Ok(())
    }

    /// Ends the entry and keeps its checksum for the manifest.
    pub fn finish_entry(&mut self) -> EntryFacts {
        let (entry, sum, size) = self.open.take().expect("an entry was begun");
        let NewEntry { path, kind, mode, modified, .. } = entry;
        let facts = EntryFacts { path, kind, size, sha256: hex(&sum.finalize()), mode, modified };
        self.entries.push(facts.clone());
        facts
    }

    /// Adds an entry of these bytes.
    pub fn add(&mut self, entry: NewEntry, content: &[u8]) -> io::Result<()> {
        self.begin(entry)?;
        self.write_all(content)?;
        let _ = self.finish_entry();
        Ok(())
    }

    /// Adds a folder, whose path ends with a slash.
    pub fn add_folder(&mut self, entry: NewEntry) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .last_modified_time(zip_time(entry.modified.0))
            .unix_permissions(entry.mode);
        self.zip.add_directory(&entry.path, options).map_err(failed)?;
        self.open = Some((entry, Sha256::new(), 0));
        let _ = self.finish_entry();
        Ok(())
    }

    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Writes the manifest, the checksums and the directory, and gives the file its name. Durable
    /// on return; returns its length.
    pub fn publish(mut self, mut manifest: Manifest, name: &OsStr) -> io::Result<u64> {
        manifest.entries = std::mem::take(&mut self.entries);
        let text = serde_json::to_vec_pretty(&manifest).expect("plain facts become JSON");
        let own = |path: &str| NewEntry {
            path: path.to_owned(),
            kind: EntryKind::Readme,
            mode: 0o600,
            modified: (0, 0),
            packing: Packing::Deflated,
        };
        self.begin(own(MANIFEST))?;
        self.write_all(&text)?;
        let sha256 = self.finish_entry().sha256;
        self.add(own(SUMS), manifest.sums(&sha256).as_bytes())?;
        self.zip.set_comment(placeholder()).map_err(failed)?;
        let file = self.zip.finish().map_err(failed)?.into_inner();
        file.publish(name)
    }

    fn options(&self, entry: &NewEntry) -> FileOptions<'a, 'static, ()> {
        let file_type = if entry.kind == EntryKind::Link { TYPE_LINK } else { TYPE_FILE };
        let (method, level) = match entry.packing {
            Packing::Deflated => (CompressionMethod::Deflated, Some(DEFLATE_LEVEL)),
            Packing::Stored => (CompressionMethod::Stored, None),
        };
        let options = FileOptions::<'a, 'static, ()>::default()
            .compression_method(method)
            .compression_level(level)
            .last_modified_time(zip_time(entry.modified.0))
            .external_attributes((file_type | entry.mode & 0o777) << 16)
            // Whoever streams cannot come back when an entry turns out to be large.
            .large_file(true);
        match self.passphrase {
            Some(passphrase) => options.with_aes_encryption_bytes(AesMode::Aes256, passphrase),
            None => options,
        }
    }
}

impl Write for ZipFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.zip.write(bytes)?;
        if let Some((_, sum, size)) = &mut self.open {
            sum.update(&bytes[..written]);
            *size += written as u64;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// ZIP files have times of two seconds, from 1980 to 2107, in no zone; the manifest has them whole.
fn zip_time(seconds: i64) -> DateTime {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let two_digits = |number: i8| number.unsigned_abs();
    let made = u16::try_from(time.year()).ok().and_then(|year| {
        DateTime::from_date_and_time(
            year,
            two_digits(time.month()),
            two_digits(time.day()),
            two_digits(time.hour()),
            two_digits(time.minute()),
            two_digits(time.second()),
        )
        .ok()
    });
    made.unwrap_or_default()
}
