//! Exporting: one ZIP file made from a moment, which anybody can open with common tools.
//!
//! Databases are made compact and compressed, files are as they were; a manifest and checksums
//! name every entry. It streams: a file is never in memory as a whole. The export gets its name
//! when it is complete and durable; before that nobody sees it. It is either whole or not made: a
//! chunk that cannot be read ends it.

mod database;
pub mod manifest;
pub mod seal;
mod tree;
mod zip_file;

use std::{io, path::PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use zeroize::Zeroizing;

use crate::{
    clock::UnixNanos,
    format::record::{Outcome, Part, PartContent},
    ops::{
        Error,
        event::{Event, Observer, PartDone, Phase},
        moment::PartAt,
    },
    repo::Repository,
};
use manifest::{
    CONFIGURATION, EntryKind, FORMAT, FORMAT_VERSION, Kind, Manifest, PartFacts, README,
};
use seal::SealedFile;
use zip_file::{NewEntry, Packing, ZipFile};

/// The directory of a ZIP file is in memory while it is written or read.
pub const ENTRIES_MAX: usize = 500_000;

const README_TEXT: &str = include_str!("export/readme.txt");

/// What is exported, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Must not exist.
    pub output: PathBuf,
    /// Encrypts the entries.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// Where databases are put while they are made compact.
    pub scratch: PathBuf,
    /// Free space that must be left there.
    pub min_free_bytes: u64,
}

/// What an export holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the ZIP file.
    pub bytes: u64,
    pub entries: usize,
    /// What a ZIP file cannot hold.
    pub left_out: Vec<String>,
    /// Parts that were incomplete in their snapshot already.
    pub incomplete: Vec<String>,
}

/// An export under way.
pub(super) struct Run<'a> {
    pub repo: &'a Repository,
    pub request: &'a Request,
    pub observer: &'a dyn Observer,
    parts: &'a [PartAt<'a>],
}

/// Makes the export. Durable on return.
pub fn run(
    repo: &Repository,
    parts: &[PartAt<'_>],
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let run = Run { repo, request, observer, parts };
    let disk = repo.environment().disk.as_ref();
    let files: u64 = parts.iter().map(|at| at.part.totals.files + at.part.totals.folders).sum();
    if files > ENTRIES_MAX as u64 {
        return Err(Error::TooManyFiles { files_max: ENTRIES_MAX as u64 });
    }
    let failed = |error| run.output_failed(error);
    let (folder, name) = match (request.output.parent(), request.output.file_name()) {
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err(failed(io::ErrorKind::InvalidInput.into())),
    };
    let folder = disk.open_root(folder).map_err(failed)?;
    if disk.stat(&folder, name).is_ok() {
        // Known before hours of work; the name is taken with care at the end all the same.
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let file = SealedFile::create(disk, &folder).map_err(failed)?;
    let mut zip = ZipFile::new(file, request.passphrase.as_ref());
    let record = &parts.first().expect("a moment has a part").snapshot.record;
    for (path, kind, content) in [
        (README, EntryKind::Readme, README_TEXT),
        (CONFIGURATION, EntryKind::Config, record.config.as_str()),
    ] {
        let modified = (record.created.div_euclid(1_000_000_000), 0);
        let packing = Packing::Deflated;
        let entry = NewEntry { path: path.to_owned(), kind, mode: 0o600, modified, packing };
        zip.add(entry, content.as_bytes()).map_err(failed)?;
    }
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        format_version: FORMAT_VERSION,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        app_version: record.app_version.clone(),
        host: record.host.clone(),
        parts: Vec::new(),
        entries: Vec::new(),
    };
    for at in parts {
        manifest.parts.push(run.part(&mut zip, at)?);
    }
    let mut report = report(&manifest.parts, zip.entry_count());
    observer.observe(&Event::Phase { phase: Phase::Sync, item: String::new() });
    report.bytes = zip.publish(manifest, name).map_err(failed)?;
    Ok(report)
}

fn report(parts: &[PartFacts], entries: usize) -> Report {
    let incomplete = parts.iter().filter(|part| !part.complete);
    Report {
        bytes: 0,
        entries,
        left_out: parts.iter().flat_map(|part| part.left_out.iter().cloned()).collect(),
        incomplete: incomplete.map(|part| part.name.clone()).collect(),
    }
}

impl Run<'_> {
    fn part(&self, zip: &mut ZipFile<'_>, at: &PartAt<'_>) -> Result<PartFacts, Error> {
        let clock = &self.repo.environment().clock;
        let (part, began) = (at.part, clock.elapsed());
        self.observer.observe(&Event::Phase { phase: Phase::Export, item: part.name.clone() });
        let mut facts = facts(at);
        match &part.content {
            PartContent::Tree { root, .. } => tree::add(self, zip, (part, &mut facts), root)?,
            PartContent::Database { image, facts: told } => {
                database::add(self, zip, (part, &mut facts), (image, told))?;
            }
        }
        self.observer.observe(&Event::PartDone(PartDone {
            part: part.name.clone(),
            kind: part.kind,
            bytes: part.totals.bytes,
            bytes_new: part.totals.bytes,
            outcome: part.outcome,
            problem_count: part.problem_count,
            took: clock.elapsed() - began,
        }));
        Ok(facts)
    }

    /// When the snapshot of a part was taken.
    fn taken_of(&self, part: &Part) -> UnixNanos {
        let found = self.parts.iter().find(|at| std::ptr::eq(at.part, part));
        found.map_or(0, |at| at.snapshot.record.created)
    }

    fn output_failed(&self, source: io::Error) -> Error {
        Error::Io { action: "write", path: self.request.output.clone(), source }
    }

    fn scratch_failed(&self, source: io::Error) -> Error {
        Error::Io { action: "use", path: self.request.scratch.clone(), source }
    }
}

fn facts(PartAt { snapshot, part }: &PartAt<'_>) -> PartFacts {
    let texts = |paths: &[Vec<u8>]| {
        paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    };
    PartFacts {
        name: part.name.clone(),
        kind: Kind::of(part.kind),
        snapshot: snapshot.id.to_string(),
        taken: Timestamp::from_nanosecond(snapshot.record.created.into())
            .unwrap_or_default()
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        sources: texts(&part.sources),
        root: match &part.content {
            PartContent::Tree { path, .. } => String::from_utf8_lossy(path).into_owned(),
            PartContent::Database { .. } => String::new(),
        },
        complete: part.outcome == Outcome::Complete,
        problem_count: part.problem_count,
        deleted: texts(&part.gone),
        deleted_count: part.gone_count,
        left_out: Vec::new(),
        database: None,
    }
}
