//! From a checked export to files.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
};

use super::{package::Package, rules};
use crate::{
    disk::{Dir, Disk, Handle, write_all_at},
    ops::{
        self,
        event::{Event, Meter, Phase},
        export::manifest::{EntryFacts, EntryKind, PartFacts},
        unpack::Terms,
    },
};

/// What was written of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub files: u64,
    pub folders: u64,
    pub links: u64,
    pub databases: u64,
    pub bytes: u64,
}

/// Writes the chosen parts into an empty folder, each under its restored name. Durable on return.
///
/// Nothing is believed twice: contents are compared with the manifest again while they are written.
pub fn write(
    terms: &Terms<'_>,
    package: &mut Package<'_>,
    into: &Dir,
    is_chosen: &dyn Fn(&PartFacts) -> bool,
) -> Result<Written, ops::Error> {
    let mut written = Written::default();
    let mut later = Vec::new();
    terms.observer.observe(&Event::Phase { phase: Phase::Restore, item: String::new() });
    let entries = package.manifest.entries.clone();
    let bytes = entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
    let meter = Meter::new(terms.observer, terms.clock).with_totals(bytes, entries.len() as u64);
    for (index, entry) in entries.iter().enumerate() {
        let part = rules::part_of(&package.manifest, &entry.path).cloned();
        let Some(part) = part.filter(|part| is_chosen(part)) else { continue };
        let names = rules::names_below(&part, &entry.path).unwrap_or_default();
        let mut path = vec![part.restored_name().into_bytes()];
        path.extend(names);
        let place = Place { disk: &*terms.disk, into, path };
        match entry.kind {
            EntryKind::Folder => {
                place.make_folder().map_err(|error| place.failed("create", error))?;
                written.folders += 1;
                later.push((place, entry.clone()));
            }
            EntryKind::Link => {
                // Links come last: until then no name leads anywhere but down.
                let mut target = Vec::new();
                package.read(index, &mut |piece| {
                    target.extend_from_slice(piece);
                    Ok(())
                })?;
                later.push((place.leading_to(target), entry.clone()));
                written.links += 1;
            }
            _ => {
                written.bytes += file(package, (index, entry), &place)?;
                match entry.kind {
                    EntryKind::Database => written.databases += 1,
                    _ => written.files += 1,
                }
            }
        }
        meter.add(entry.size, 1, entry.path.as_bytes());
    }
    finish(terms, into, later)?;
    Ok(written)
}

/// Makes the links, and gives folders their modes and times, from the deepest up.
fn finish(
    terms: &Terms<'_>,
    into: &Dir,
    later: Vec<(Place<'_>, EntryFacts)>,
) -> Result<(), ops::Error> {
    for (place, entry) in later.iter().rev().filter(|(_, entry)| entry.kind == EntryKind::Link) {
        place.make_link(entry).map_err(|error| place.failed("create", error))?;
    }
    for (place, entry) in later.iter().rev().filter(|(_, entry)| entry.kind == EntryKind::Folder) {
        place.dress_folder(entry).map_err(|error| place.failed("finish", error))?;
    }
    terms.observer.observe(&Event::Phase { phase: Phase::Sync, item: String::new() });
    terms.disk.sync_tree(into).map_err(|source| ops::Error::Io {
        action: "sync",
        path: terms.place.clone(),
        source,
    })
}

/// Writes one file; returns its length.
fn file(
    package: &mut Package<'_>,
    (index, entry): (usize, &EntryFacts),
    place: &Place<'_>,
) -> Result<u64, ops::Error> {
    let file = place.create().map_err(|error| place.failed("create", error))?;
    let mut offset = 0;
    let mut take = |piece: &[u8]| {
        write_all_at(place.disk, &file, piece, offset)
            .map_err(|error| place.failed("write", error))?;
        offset += piece.len() as u64;
        Ok(())
    };
    match package.database_of(entry) {
        Some(database) => package.read_database(index, &database, &mut take)?,
        None => package.read(index, &mut take)?,
    }
    place.dress(Handle::File(&file), entry).map_err(|error| place.failed("finish", error))?;
    Ok(offset)
}

/// Where an entry goes: names from the folder down.
struct Place<'a> {
    disk: &'a dyn Disk,
    into: &'a Dir,
    path: Vec<Vec<u8>>,
}

/// A link has its target behind its names.
impl Place<'_> {
    fn leading_to(mut self, target: Vec<u8>) -> Self {
        self.path.push(target);
        self
    }

    /// Opens the folder that holds the last of these names; no link is followed on the way.
    fn parent<'n>(&self, names: &'n [Vec<u8>]) -> io::Result<(Option<Dir>, &'n OsStr)> {
        let (name, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let mut dir: Option<Dir> = None;
        for step in above {
            dir = Some(self.disk.open_dir(dir.as_ref().unwrap_or(self.into), name_of(step))?);
        }
        Ok((dir, name_of(name)))
    }

    fn make_folder(&self) -> io::Result<()> {
        let (dir, name) = self.parent(&self.path)?;
        self.disk.create_dir(dir.as_ref().unwrap_or(self.into), name, 0o700)
    }

    fn create(&self) -> io::Result<File> {
        let (dir, name) = self.parent(&self.path)?;
        self.disk.create_new(dir.as_ref().unwrap_or(self.into), name, 0o600)
    }

    fn make_link(&self, entry: &EntryFacts) -> io::Result<()> {
        let (target, names) = self.path.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let (dir, name) = self.parent(names)?;
        let dir = dir.as_ref().unwrap_or(self.into);
        self.disk.symlink(name_of(target), dir, name)?;
        self.disk.set_modified_at(dir, name, entry.modified)
    }

    fn dress_folder(&self, entry: &EntryFacts) -> io::Result<()> {
        let (dir, name) = self.parent(&self.path)?;
        let own = self.disk.open_dir(dir.as_ref().unwrap_or(self.into), name)?;
        self.dress(Handle::Dir(&own), entry)
    }

    /// Owners stay ours, and nothing becomes set-user: an export proves nothing about who made it.
    fn dress(&self, of: Handle<'_>, entry: &EntryFacts) -> io::Result<()> {
        self.disk.set_modified(of, entry.modified)?;
        self.disk.set_mode(of, entry.mode & 0o777)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> ops::Error {
        let path = self.path.iter().map(|name| OsString::from(name_of(name))).collect();
        ops::Error::Io { action, path, source }
    }
}

fn name_of(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}
