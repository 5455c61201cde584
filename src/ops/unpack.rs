//! Taking an export apart: checked as a whole first, then restored without any repository, or made
//! a snapshot again.
//!
//! An export may come from anywhere. Nothing is written before every checksum was compared and
//! every name was judged ([`rules`]); no name leads outside, sizes are bounded by what the manifest
//! says, and what it says by the space there is. Memory grows with the number of entries only.

mod package;
pub mod rules;
mod source;
mod write;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use zeroize::Zeroizing;

use crate::{
    clock::{Clock, Entropy},
    disk::{Dir, Disk, Replace, file, scratch::Scratch},
    ops::{
        self,
        backup::Origin,
        event::Observer,
        export::manifest::{Kind, Manifest, PartFacts},
        set::{AppVersion, FileContent, FileSet, Set, SetSource},
    },
};
use package::Package;
use source::Source;
pub use write::Written;

/// Why an export was refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{} is no export of Stillpoint, or its end is missing", path.display())]
    NotAnExport { path: PathBuf },
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} was made by a newer Stillpoint", path.display())]
    Newer { path: PathBuf },
    #[error("wrong passphrase for the export {}", path.display())]
    WrongPassphrase { path: PathBuf },
    #[error("the export {} has no part named {part}", path.display())]
    UnknownPart { path: PathBuf, part: String, known: Vec<String> },
    #[error("{} is there already", path.display())]
    Taken { path: PathBuf },
}

/// What the taking apart works with.
pub struct Terms<'a> {
    pub disk: Arc<dyn Disk>,
    pub clock: &'a dyn Clock,
    pub entropy: &'a dyn Entropy,
    pub stop: &'a AtomicBool,
    pub observer: &'a dyn Observer,
    /// Where files are written.
    pub place: PathBuf,
    /// Free space that must be left there.
    pub min_free_bytes: u64,
}

/// An export whose outer checksum is right.
pub struct Export {
    source: Source,
}

impl Export {
    /// Opens the file and reads it once from begin to end.
    pub fn open(terms: &Terms<'_>, path: &Path) -> Result<Self, ops::Error> {
        Ok(Self { source: Source::open(terms, path)? })
    }

    /// Whether it takes a passphrase.
    pub fn is_encrypted(&self) -> Result<bool, ops::Error> {
        Ok(package::is_encrypted(&self.source)?)
    }

    /// Checks everything, and returns what is in it. Nothing is written.
    pub fn check(
        &self,
        terms: &Terms<'_>,
        passphrase: Option<&Zeroizing<Vec<u8>>>,
    ) -> Result<Manifest, ops::Error> {
        Ok(Package::open(terms, self.source.clone(), passphrase)?.manifest)
    }

    /// Checks everything, then restores the parts of these names, or all, into the place of the
    /// terms. A part is there whole or not at all. Durable on return.
    pub fn restore(
        &self,
        terms: &Terms<'_>,
        passphrase: Option<&Zeroizing<Vec<u8>>>,
        parts: &BTreeSet<String>,
    ) -> Result<(Manifest, Written), ops::Error> {
        let mut package = Package::open(terms, self.source.clone(), passphrase)?;
        let chosen = chosen(&self.source, &package.manifest, parts)?;
        let failed = |source| ops::Error::Io { action: "use", path: terms.place.clone(), source };
        let target = terms.disk.create_root(&terms.place, 0o755).map_err(failed)?;
        for part in &chosen {
            let name = part.restored_name();
            if terms.disk.stat(&target, name.as_ref()).is_ok() {
                return Err(Error::Taken { path: terms.place.join(name) }.into());
            }
        }
        check_space(terms, &target, &package.manifest, &chosen)?;
        let scratch = Scratch::create(&*terms.disk, terms.entropy, &terms.place).map_err(failed)?;
        let names: BTreeSet<&str> = chosen.iter().map(|part| part.name.as_str()).collect();
        let is_chosen = |part: &PartFacts| names.contains(part.name.as_str());
        let written = write::write(terms, &mut package, &scratch.dir, &is_chosen)?;
        for part in &chosen {
            publish(terms, &scratch.dir, &target, &part.restored_name())?;
        }
        terms.disk.sync_dir(&target).map_err(failed)?;
        Ok((package.manifest, written))
    }

    /// Checks everything, then unpacks all parts into a scratch folder below the place of the
    /// terms.
    pub fn unpack<'s>(
        &self,
        terms: &'s Terms<'_>,
        passphrase: Option<&Zeroizing<Vec<u8>>>,
    ) -> Result<(Manifest, Scratch<'s>), ops::Error> {
        let mut package = Package::open(terms, self.source.clone(), passphrase)?;
        let failed = |source| ops::Error::Io { action: "use", path: terms.place.clone(), source };
        let chosen = chosen(&self.source, &package.manifest, &BTreeSet::new())?;
        let place = terms.disk.open_root(&terms.place).map_err(failed)?;
        check_space(terms, &place, &package.manifest, &chosen)?;
        let scratch = Scratch::create(&*terms.disk, terms.entropy, &terms.place).map_err(failed)?;
        let _ = write::write(terms, &mut package, &scratch.dir, &|_| true)?;
        Ok((package.manifest, scratch))
    }
}

/// An unpacked export, as a backup takes it.
#[derive(Debug)]
pub struct Imported {
    pub sets: Vec<Set>,
    pub origins: Vec<Origin>,
    /// That the export names.
    pub app_version: Option<AppVersion>,
}

/// The parts of an unpacked export as sets that a backup takes.
pub fn imported(
    terms: &Terms<'_>,
    manifest: &Manifest,
    scratch: &Scratch<'_>,
) -> Result<Imported, ops::Error> {
    let set = |part: &PartFacts| {
        let path = scratch.path.join(part.restored_name());
        let content = match part.kind {
            Kind::Config => FileContent::Config,
            _ => FileContent::Files,
        };
        let source = match part.kind {
            Kind::Database => SetSource::Sqlite { path },
            _ => SetSource::Files(FileSet { paths: vec![path], content, ..FileSet::default() }),
        };
        Set { name: part.name.clone(), source }
    };
    let sets = manifest.parts.iter().map(set).collect();
    let origins = manifest.parts.iter().map(origin).collect();
    if manifest.app_version.is_empty() {
        return Ok(Imported { sets, origins, app_version: None });
    }
    // A part cannot have this name.
    let name = ".app-version";
    let text = manifest.app_version.as_bytes();
    file::write_new(&*terms.disk, &scratch.dir, name.as_ref(), &[text], 0o600).map_err(
        |source| ops::Error::Io { action: "write", path: scratch.path.join(name), source },
    )?;
    let app_version = Some(AppVersion::File(scratch.path.join(name)));
    Ok(Imported { sets, origins, app_version })
}

fn origin(part: &PartFacts) -> Origin {
    Origin {
        part: part.name.clone(),
        sources: part.sources.iter().map(|path| path.clone().into_bytes()).collect(),
        root: part.root.clone().into_bytes(),
    }
}

fn chosen(
    source: &Source,
    manifest: &Manifest,
    names: &BTreeSet<String>,
) -> Result<Vec<PartFacts>, Error> {
    let known: Vec<String> = manifest.parts.iter().map(|part| part.name.clone()).collect();
    if let Some(part) = names.iter().find(|name| !known.contains(name)) {
        let (path, part) = (source.path().to_owned(), part.clone());
        return Err(Error::UnknownPart { path, part, known });
    }
    let is_chosen = |part: &&PartFacts| names.is_empty() || names.contains(&part.name);
    Ok(manifest.parts.iter().filter(is_chosen).cloned().collect())
}

fn check_space(
    terms: &Terms<'_>,
    at: &Dir,
    manifest: &Manifest,
    parts: &[PartFacts],
) -> Result<(), ops::Error> {
    let of_part = |path: &str| parts.iter().any(|part| path.starts_with(&part.place()));
    let files = manifest.entries.iter().filter(|entry| of_part(&entry.path));
    let databases = parts.iter().filter_map(|part| part.database.as_ref());
    let needed_bytes = files
        .map(|entry| entry.size)
        .chain(databases.map(|database| database.size))
        .fold(terms.min_free_bytes, u64::saturating_add);
    let free_bytes = terms.disk.free_bytes(at).map_err(|source| ops::Error::Io {
        action: "use",
        path: terms.place.clone(),
        source,
    })?;
    match free_bytes < needed_bytes {
        true => {
            let place = terms.place.display().to_string();
            Err(ops::Error::NoSpace { place, needed_bytes, free_bytes })
        }
        false => Ok(()),
    }
}

/// Gives a part its name, which must be free.
fn publish(terms: &Terms<'_>, from: &Dir, to: &Dir, name: &str) -> Result<(), ops::Error> {
    let rename = |replace| terms.disk.rename(from, name.as_ref(), to, name.as_ref(), replace);
    let renamed = match rename(Replace::No) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => rename(Replace::Yes),
        other => other,
    };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Taken { path: terms.place.join(name) }.into(),
        _ => ops::Error::Io { action: "name", path: terms.place.join(name), source },
    })
}
