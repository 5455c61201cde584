//! An export that was checked from its first byte to its last.

use std::{
    io::{self, BufReader, Read},
    sync::atomic::Ordering,
};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;
use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config, ZipFile},
    result::ZipError,
};

use super::{Error, Terms, rules, source::Source};
use crate::{
    limits::{KIB, MIB},
    ops::{
        self,
        event::{Event, Meter, Phase},
        export::{
            manifest::{
                DatabaseFile, EntryFacts, EntryKind, FORMAT_VERSION, MANIFEST, Manifest, SUMS,
            },
            seal::hex,
        },
    },
};

const MANIFEST_BYTES_MAX: u64 = 128 << 20;
const READ_AHEAD_BYTES: usize = 256 * KIB;

/// Takes the next bytes of an entry.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<(), ops::Error> + 'a;

/// An open export.
pub struct Package<'a> {
    terms: &'a Terms<'a>,
    source: Source,
    zip: ZipArchive<BufReader<Source>>,
    passphrase: Option<&'a Zeroizing<Vec<u8>>>,
    pub manifest: Manifest,
}

/// Opens the directory of a ZIP file whose checksum was right.
fn open_zip(source: &Source) -> Result<ZipArchive<BufReader<Source>>, Error> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let reader = BufReader::with_capacity(READ_AHEAD_BYTES, source.clone());
    ZipArchive::with_config(config, reader).map_err(|error| source.damaged(error.to_string()))
}

/// Whether the entries of this export are encrypted.
pub fn is_encrypted(source: &Source) -> Result<bool, Error> {
    let mut zip = open_zip(source)?;
    let manifest = zip.index_for_name(MANIFEST).ok_or_else(|| not_ours(source))?;
    let entry = zip.by_index_raw(manifest).map_err(|error| source.damaged(error.to_string()))?;
    Ok(entry.encrypted())
}

fn not_ours(source: &Source) -> Error {
    source.damaged("it has no manifest at its end")
}

impl<'a> Package<'a> {
    /// Opens the export and compares everything with the manifest. Nothing is written.
    pub fn open(
        terms: &'a Terms<'a>,
        source: Source,
        passphrase: Option<&'a Zeroizing<Vec<u8>>>,
    ) -> Result<Self, ops::Error> {
        let zip = open_zip(&source)?;
        let manifest = Manifest {
            format: String::new(),
            format_version: 0,
            program_version: String::new(),
            app_version: String::new(),
            host: String::new(),
            parts: Vec::new(),
            entries: Vec::new(),
        };
        let mut package = Self { terms, source, zip, passphrase, manifest };
        let manifest_sha256 = package.read_manifest()?;
        package.check_directory(&manifest_sha256)?;
        package.check_contents()?;
        Ok(package)
    }

    /// The manifest and the checksums are the last two entries.
    fn read_manifest(&mut self) -> Result<String, ops::Error> {
        let count = self.zip.len();
        let is_last = |index: usize, name: &str| self.zip.index_for_name(name) == Some(index);
        if count < 2 || !is_last(count - 2, MANIFEST) || !is_last(count - 1, SUMS) {
            return Err(not_ours(&self.source).into());
        }
        let text = self.small(count - 2)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| self.source.damaged(format!("its manifest: {error}")))?;
        if manifest.format_version > FORMAT_VERSION {
            return Err(Error::Newer { path: self.source.path().to_owned() }.into());
        }
        self.manifest = manifest;
        Ok(hex(&Sha256::digest(&text)))
    }

    /// The directory names exactly what the manifest does, in its order.
    fn check_directory(&mut self, manifest_sha256: &str) -> Result<(), ops::Error> {
        if let Some(why) = rules::broken(&self.manifest) {
            return Err(self.source.damaged(why).into());
        }
        if self.zip.len() != self.manifest.entries.len() + 2 {
            return Err(self.source.damaged("its manifest does not name all entries").into());
        }
        let sums = self.small(self.zip.len() - 1)?;
        if *sums != *self.manifest.sums(manifest_sha256).as_bytes() {
            return Err(self.source.damaged("SHA256SUMS is not that of its manifest").into());
        }
        Ok(())
    }

    fn check_contents(&mut self) -> Result<(), ops::Error> {
        let terms = self.terms;
        terms.observer.observe(&Event::Phase { phase: Phase::Verify, item: String::new() });
        let bytes =
            self.manifest.entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
        let meter = Meter::new(terms.observer, terms.clock)
            .with_totals(bytes, self.manifest.entries.len() as u64);
        for index in 0..self.manifest.entries.len() {
            let facts = self.manifest.entries[index].clone();
            match self.database_of(&facts) {
                Some(database) => self.read_database(index, &database, &mut |_| Ok(()))?,
                None => self.read(index, &mut |_| Ok(()))?,
            }
            meter.add(facts.size, 1, facts.path.as_bytes());
        }
        Ok(())
    }

    /// The database in an entry, if it holds one.
    pub fn database_of(&self, entry: &EntryFacts) -> Option<DatabaseFile> {
        let mut databases = self.manifest.parts.iter().filter_map(|part| part.database.as_ref());
        databases.find(|database| database.entry == entry.path).cloned()
    }

    /// Hands over the content of an entry. Success means that it was what the manifest says.
    pub fn read(&mut self, index: usize, take: &mut Take<'_>) -> Result<(), ops::Error> {
        let facts = self.manifest.entries[index].clone();
        let (source, stop) = (self.source.clone(), self.terms.stop);
        let wrong = |why: &str| ops::Error::from(source.damaged(format!("{}: {why}", facts.path)));
        let mut entry = self.entry(index)?;
        if entry.name().ok().as_deref() != Some(facts.path.as_str()) {
            return Err(wrong("another entry is in its place"));
        }
        let mut content =
            Content { entry: &mut entry, sum: Sha256::new(), bytes: 0, bytes_max: facts.size };
        let mut piece = vec![0; MIB.min(usize::try_from(facts.size).unwrap_or(MIB).max(1))];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ops::Error::Stopped);
            }
            match content.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => take(&piece[..read])?,
                Err(error) => return Err(wrong(&error.to_string())),
            }
        }
        match content.is(&facts) {
            true => Ok(()),
            false => Err(wrong("its content is not what the manifest says")),
        }
    }

    /// Hands over the database inside an entry, which is compressed. Success means that both are
    /// what the manifest says.
    pub fn read_database(
        &mut self,
        index: usize,
        database: &DatabaseFile,
        take: &mut Take<'_>,
    ) -> Result<(), ops::Error> {
        let facts = self.manifest.entries[index].clone();
        let (source, stop) = (self.source.clone(), self.terms.stop);
        let wrong = |why: &str| ops::Error::from(source.damaged(format!("{}: {why}", facts.path)));
        let mut entry = self.entry(index)?;
        if entry.name().ok().as_deref() != Some(facts.path.as_str()) {
            return Err(wrong("another entry is in its place"));
        }
        let content =
            Content { entry: &mut entry, sum: Sha256::new(), bytes: 0, bytes_max: facts.size };
        let mut plain = GzDecoder::new(content);
        let (mut sum, mut bytes, mut piece) = (Sha256::new(), 0_u64, vec![0; MIB]);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ops::Error::Stopped);
            }
            let read = plain.read(&mut piece).map_err(|error| wrong(&error.to_string()))?;
            if read == 0 {
                break;
            }
            bytes = bytes.saturating_add(read as u64);
            if bytes > database.size {
                return Err(wrong("the database in it is longer than the manifest says"));
            }
            sum.update(&piece[..read]);
            take(&piece[..read])?;
        }
        // Nothing may follow the compressed database.
        let mut content = plain.into_inner();
        let rest = content.read(&mut [0; 1]).map_err(|error| wrong(&error.to_string()))?;
        let is_right = bytes == database.size && hex(&sum.finalize()) == database.sha256;
        match is_right && rest == 0 && content.is(&facts) {
            true => Ok(()),
            false => Err(wrong("its content is not what the manifest says")),
        }
    }

    /// Reads one of our own entries whole.
    fn small(&mut self, index: usize) -> Result<Zeroizing<Vec<u8>>, ops::Error> {
        let source = self.source.clone();
        let entry = self.entry(index)?;
        let mut text = Zeroizing::new(Vec::new());
        let read = entry.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut text);
        match read {
            Ok(read) if read as u64 <= MANIFEST_BYTES_MAX => Ok(text),
            Ok(_) => Err(source.damaged("its manifest is longer than any").into()),
            Err(error) => Err(source.damaged(error.to_string()).into()),
        }
    }

    fn entry(&mut self, index: usize) -> Result<ZipFile<'_, BufReader<Source>>, ops::Error> {
        let facts = self.manifest.entries.get(index);
        let is_folder = facts.is_some_and(|facts| facts.kind == EntryKind::Folder);
        let source = &self.source;
        let opened = match self.passphrase {
            Some(passphrase) if !is_folder => self.zip.by_index_decrypt(index, passphrase),
            _ => self.zip.by_index(index),
        };
        let entry = opened.map_err(|error| match error {
            ZipError::InvalidPassword => Error::WrongPassphrase { path: source.path().to_owned() },
            other => source.damaged(other.to_string()),
        })?;
        let is_ours =
            matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
        if !is_ours || entry.encrypted() != (self.passphrase.is_some() && !is_folder) {
            return Err(source.damaged("an entry is not packed as ours are").into());
        }
        Ok(entry)
    }
}

/// The content of an entry, summed while it is read, and never longer than it may be.
struct Content<'e, R> {
    entry: &'e mut R,
    sum: Sha256,
    bytes: u64,
    bytes_max: u64,
}

impl<R> Content<'_, R> {
    fn is(&self, facts: &EntryFacts) -> bool {
        self.bytes == facts.size && hex(&self.sum.clone().finalize()) == facts.sha256
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.entry.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.bytes_max {
            return Err(io::Error::other("it is longer than the manifest says"));
        }
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
