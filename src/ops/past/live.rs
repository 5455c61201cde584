//! The present database, seen as if it had been backed up this instant.
//!
//! It is captured the way a backup captures it, by a process of its own, and compared with the
//! newest image by page hashes; what changed waits in an unnamed file of the state folder. So the
//! present is one more image, which everything that looks into the past can look at. Nothing is
//! stored in the repository.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    chunk::{self, Fetch, Store},
    crypto::keys::Keys,
    format::{
        image::{Image, Method},
        record::{DatabaseFacts, PartContent, Storage},
    },
    id::{ChunkId, SnapshotId},
    ops::{Error, backup::kept_chunks::KeptChunks, moment::PartAt, past},
    repo::{
        Repository,
        image::{ImageReader, build},
    },
    source::sqlite::{
        Capture, CaptureProgram, CaptureSetup, Limits, ListName, PageHashes, Sighting,
    },
};

/// The present of a database.
pub struct Live {
    /// Where it lies.
    pub path: PathBuf,
    pub image: Image,
    pub facts: DatabaseFacts,
    /// Fetches the image's chunks, and those of the repository.
    pub fetch: Arc<dyn Fetch>,
}

/// An image that the present is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub snapshot: SnapshotId,
    pub part: &'a str,
    /// Inside the part; empty if that is the database itself.
    pub path: &'a [u8],
    pub image: &'a Image,
}

impl<'a> Known<'a> {
    /// The image of a part that is a database.
    pub fn of(at: &PartAt<'a>) -> Result<Self, Error> {
        let (snapshot, part) = (at.snapshot.id, at.part.name.as_str());
        match &at.part.content {
            PartContent::Database { image, .. } => Ok(Self { snapshot, part, path: b"", image }),
            PartContent::Tree { .. } => {
                Err(past::Error::NotADatabase { what: at.part.name.clone() }.into())
            }
        }
    }
}

/// Captures the database that a part was made from. `program` is this very program.
pub fn capture(repo: &Repository, program: &Path, at: PartAt<'_>) -> Result<Live, Error> {
    let source = at.part.sources.first().map(Vec::as_slice).unwrap_or_default();
    capture_at(repo, program, (&Known::of(&at)?, Path::new(OsStr::from_bytes(source))))
}

/// Captures the database at this place, and tells how it differs from the one that is known.
pub fn capture_at(
    repo: &Repository,
    program: &Path,
    (known, path): (&Known<'_>, &Path),
) -> Result<Live, Error> {
    let env = repo.environment();
    let setup = CaptureSetup {
        disk: env.disk.clone(),
        clock: env.clock.clone(),
        keys: repo.keys().clone(),
        state_dir: repo.state_dir(),
        stop: env.stop.clone(),
        program: CaptureProgram {
            path: program.to_owned(),
            arguments: vec!["capture-child".into()],
        },
        limits: Limits::default(),
        question: None,
        method: Method::Pages,
    };
    let fetch = repo.fetcher()?;
    let older = ImageReader::open(known.image, fetch.clone())?;
    let hashes = page_hashes(repo, known, &older)?;
    let captured = Sighting::take(env.disk.as_ref(), env.clock.as_ref(), path)
        .and_then(|sighting| Capture::start(&setup, sighting, Some(&hashes)))
        .and_then(Capture::finish)
        .map_err(past::Error::Live)?;
    let mut nowhere = Nowhere(repo.keys());
    let kept = KeptChunks::create(repo, &mut nowhere, fetch)?;
    let storage = Storage::Incremental;
    let image = build(&captured.new_image(), Some(&older), storage, &mut kept.store())?;
    Ok(Live { path: path.to_owned(), image, facts: captured.facts, fetch: kept.fetch() })
}

fn page_hashes(
    repo: &Repository,
    known: &Known<'_>,
    older: &ImageReader,
) -> Result<PageHashes, Error> {
    let (disk, dir, keys) = (repo.environment().disk.as_ref(), repo.state_dir(), repo.keys());
    let name = ListName { repository: repo.id(), part: known.part, path: known.path };
    let list = (known.snapshot, older.image(), &**keys);
    match PageHashes::open(disk, dir, &name, list) {
        Some(hashes) => Ok(hashes),
        None => Ok(PageHashes::rebuild(disk, dir, older, keys).map_err(past::Error::Hashes)?),
    }
}

/// A store that keeps nothing, and knows what each chunk would be called.
struct Nowhere<'a>(&'a Keys);

impl Store for Nowhere<'_> {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> {
        Ok(self.0.chunk_id(plain))
    }
}
