//! Proving a database image: rebuilt from the repository, compared with its identity, checked by
//! SQLite. Each distinct image once; what came out is remembered in the state folder.

use std::{collections::BTreeMap, ffi::OsStr, fs::File, sync::Arc};

use crate::{
    chunk::Fetch,
    disk::{self, file::TEMPORARY_PREFIX, write_all_at},
    format::image::Image,
    id::WriterId,
    limits::MIB,
    ops::{Error, with_causes},
    repo::{
        Repository,
        image::{self, ImageReader},
    },
    source::sqlite_check::{CheckProgram, Depth, Verdict},
};

const MEMORY_FILE: &str = "proved.json";
/// Images whose verdict is remembered; more are forgotten, and checked again.
const REMEMBERED_MAX: usize = 10_000;

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    Verdict(Verdict),
    /// The repository does not give the image back.
    Lost(String),
}

/// Rebuilds an image in the state folder and has it checked.
pub fn prove(
    repo: &Repository,
    image: &Image,
    fetch: Arc<dyn Fetch>,
    program: &CheckProgram,
) -> Result<Proof, Error> {
    let mut memory = Memory::read(repo);
    if let Some(verdict) = memory.verdict(image) {
        return Ok(Proof::Verdict(verdict));
    }
    let env = repo.environment();
    let scratch = Scratch::create(repo)?;
    match rebuild(repo, image, fetch, &scratch.file) {
        Ok(()) => {}
        Err(RebuildError::Image(error)) => return Ok(Proof::Lost(with_causes(&error))),
        Err(RebuildError::Scratch(source)) => {
            let path = repo.state_path().to_owned();
            return Err(Error::Io { action: "write a temporary file in", path, source });
        }
    }
    let path = repo.state_path().join(&scratch.name);
    let checked = program.check(&path, Depth::Integrity, (&*env.clock, &env.stop));
    let verdict = match checked {
        Ok(verdict) => verdict,
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            return Err(Error::Stopped);
        }
        Err(source) => {
            return Err(Error::Io { action: "run", path: program.path.clone(), source });
        }
    };
    memory.remember(repo, image, &verdict);
    Ok(Proof::Verdict(verdict))
}

/// A file of the state folder that SQLite can open by name. It is gone when it is dropped; if this
/// process dies before, the next one removes it, since its lock is free then.
struct Scratch<'a> {
    repo: &'a Repository,
    file: File,
    name: String,
}

impl<'a> Scratch<'a> {
    fn create(repo: &'a Repository) -> Result<Self, Error> {
        let env = repo.environment();
        let random = WriterId(env.entropy.bytes32()).to_string();
        let name = format!("{TEMPORARY_PREFIX}{}", &random[..16]);
        let file = env.disk.create_new(repo.state_dir(), OsStr::new(&name), 0o600);
        let locked = file.and_then(|file| file.lock().map(|()| file));
        let file = locked.map_err(|source| Error::Io {
            action: "create a temporary file in",
            path: repo.state_path().to_owned(),
            source,
        })?;
        Ok(Self { repo, file, name })
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let disk = self.repo.environment().disk.as_ref();
        let _ = disk.remove_file(self.repo.state_dir(), OsStr::new(&self.name));
    }
}

/// Why an image was not rebuilt.
enum RebuildError {
    Image(image::Error),
    Scratch(std::io::Error),
}

impl From<image::Error> for RebuildError {
    fn from(error: image::Error) -> Self {
        Self::Image(error)
    }
}

fn rebuild(
    repo: &Repository,
    image: &Image,
    fetch: Arc<dyn Fetch>,
    scratch: &File,
) -> Result<(), RebuildError> {
    let disk = repo.environment().disk.as_ref();
    let reader = ImageReader::open(image, fetch)?;
    let write = |offset, run: &[u8]| {
        write_all_at(disk, scratch, run, offset).map_err(RebuildError::Scratch)
    };
    let identity = reader.read_whole(repo.keys(), &write, &mut |_| Ok(()))?;
    if identity == image.identity { Ok(()) } else { Err(image::Error::OtherIdentity.into()) }
}

/// Verdicts by image identity: `ok`, `! ` and the damage, or `? ` and why it was not checked.
struct Memory(BTreeMap<String, String>);

impl Memory {
    /// A memory that cannot be read is empty: then images are checked again.
    fn read(repo: &Repository) -> Self {
        let disk = repo.environment().disk.as_ref();
        let bytes =
            disk::file::read(disk, repo.state_dir(), OsStr::new(MEMORY_FILE), 4 * MIB as u64);
        let verdicts = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self(verdicts.unwrap_or_default())
    }

    fn verdict(&self, image: &Image) -> Option<Verdict> {
        let text = self.0.get(&image.identity.to_string())?;
        if text == "ok" {
            return Some(Verdict::Sound);
        }
        let (mark, said) = text.split_once(' ')?;
        match mark {
            "!" => Some(Verdict::Damaged(said.to_owned())),
            "?" => Some(Verdict::NotChecked(said.to_owned())),
            _ => None,
        }
    }

    fn remember(&mut self, repo: &Repository, image: &Image, verdict: &Verdict) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        let text = match verdict {
            Verdict::Sound => "ok".to_owned(),
            Verdict::Damaged(said) => format!("! {said}"),
            Verdict::NotChecked(said) => format!("? {said}"),
        };
        let _ = self.0.insert(image.identity.to_string(), text);
        let bytes = serde_json::to_vec(&self.0).expect("strings always become JSON");
        let disk = repo.environment().disk.as_ref();
        // Forgetting a verdict costs a check, nothing else.
        let _ = disk::file::replace(disk, repo.state_dir(), OsStr::new(MEMORY_FILE), &bytes, 0o600);
    }
}
