//! The moves of a live restore: each is one rename or one change of metadata, can be taken back,
//! and tells from what lies where whether it was made.
//!
//! Below the staging folder, `new/N` waits for its place, and `old/M` is what move number M took
//! from its place. A thing is put in place by one rename over what was there, of which `old` got a
//! second name first, so that its place is never empty.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{Dir, Disk, FileKind, Handle, Replace, Stat},
    ops::live::path_text,
};

/// One change of one path below the root of its site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    #[serde(with = "path_text::bytes")]
    pub path: Vec<u8>,
    pub act: Act,
    /// What was there.
    pub was: Option<Was>,
}

/// What happens to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// What is there goes, with all in it.
    Remove,
    /// A new folder.
    MakeFolder,
    /// The staged file of this number, in place of anything that is no folder.
    Put(u64),
    /// The metadata of what is there changes.
    Mend,
    /// Nothing, but that its time is kept: things in it change.
    Touch,
}

/// Metadata to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    pub is_dir: bool,
    pub is_link: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: (i64, u32),
}

impl From<&Stat> for Was {
    fn from(stat: &Stat) -> Self {
        Self {
            is_dir: stat.kind == FileKind::Dir,
            is_link: stat.kind == FileKind::Link,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            modified: stat.modified,
        }
    }
}

/// The root of a site, and the folders for what comes and goes.
pub struct Ground<'a> {
    pub disk: &'a dyn Disk,
    pub root: Dir,
    pub new: Dir,
    pub old: Dir,
}

impl Ground<'_> {
    /// Makes a move. Metadata is not its business.
    pub fn make(&self, number: usize, one: &Move) -> io::Result<()> {
        let (at, name) = self.place(&one.path)?;
        let old = old_name(number);
        let old: &OsStr = old.as_ref();
        match one.act {
            Act::Mend | Act::Touch => Ok(()),
            Act::Remove => match self.disk.rename(&at, name, &self.old, old, Replace::Yes) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                renamed => renamed,
            },
            Act::MakeFolder => {
                if one.was.is_some() {
                    self.disk.rename(&at, name, &self.old, old, Replace::Yes)?;
                }
                self.disk.create_dir(&at, name, 0o700)
            }
            Act::Put(staged) => {
                let staged = new_name(staged);
                let replace = if one.was.is_some() { Replace::Yes } else { Replace::No };
                if one.was.is_some() {
                    self.keep_old((&at, name), old)?;
                }
                self.put(staged.as_ref(), (&at, name), replace)
            }
        }
    }

    /// Takes a move back, whether it was made, half made, or taken back before.
    pub fn unmake(&self, number: usize, one: &Move) -> io::Result<()> {
        let (at, name) = match self.place(&one.path) {
            // Its folder is one that was to be made, and was not.
            Err(error) if is_absent(&error) || is_kept(&error) => return Ok(()),
            place => place?,
        };
        let old = old_name(number);
        let old: &OsStr = old.as_ref();
        match (one.act, one.was) {
            (Act::Mend | Act::Touch, _) => Ok(()),
            (Act::Remove, _) => self.put_back(old, (&at, name)),
            (Act::MakeFolder, was) => {
                match self.disk.remove_dir(&at, name) {
                    // Somebody put something into it meanwhile, or it is what was there before.
                    Err(error) if is_absent(&error) || is_kept(&error) => {}
                    removed => removed?,
                }
                if was.is_some() { self.put_back(old, (&at, name)) } else { Ok(()) }
            }
            (Act::Put(_), Some(_)) => self.put_back(old, (&at, name)),
            (Act::Put(staged), None) => {
                let staged = new_name(staged);
                match self.disk.stat(&self.new, staged.as_ref()) {
                    // It waits as before.
                    Ok(_) => Ok(()),
                    Err(error) if is_absent(&error) => absent_is_success(self.disk.rename(
                        &at,
                        name,
                        &self.new,
                        staged.as_ref(),
                        Replace::Yes,
                    )),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Puts back the metadata that a move changed, directly or by what it did inside a folder.
    pub fn put_back_metadata(&self, one: &Move) -> io::Result<()> {
        let Some(was) = one.was.filter(|_| matches!(one.act, Act::Mend | Act::Touch)) else {
            return Ok(());
        };
        let (at, name) = self.place(&one.path)?;
        if was.is_link {
            absent_is_success(self.disk.set_owner_at(&at, name, was.uid, was.gid))?;
            return self.disk.set_modified_at(&at, name, was.modified);
        }
        self.with_handle(one, |handle| {
            if one.act == Act::Mend {
                match self.disk.set_owner(handle, was.uid, was.gid) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    set => set?,
                }
                self.disk.set_mode(handle, was.mode)?;
            }
            self.disk.set_modified(handle, was.modified)
        })
    }

    /// Opens what is at the path, a file or a folder.
    pub fn with_handle<T>(
        &self,
        one: &Move,
        work: impl FnOnce(Handle<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if one.path.is_empty() {
            return work(Handle::Dir(&self.root));
        }
        let (at, name) = self.place(&one.path)?;
        match self.disk.stat(&at, name)?.kind {
            FileKind::Dir => work(Handle::Dir(&self.disk.open_dir(&at, name)?)),
            FileKind::File => work(Handle::File(&self.disk.open(&at, name)?)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Makes what waits durable.
    pub fn sync_new(&self, numbers: &[u64]) -> io::Result<()> {
        if numbers.len() > SYNCED_ONE_BY_ONE_MAX {
            return self.disk.sync_tree(&self.new);
        }
        for number in numbers {
            let name = new_name(*number);
            if self.disk.stat(&self.new, name.as_ref())?.kind == FileKind::File {
                self.disk.sync(&self.disk.open(&self.new, name.as_ref())?)?;
            }
        }
        self.disk.sync_dir(&self.new)
    }

    /// Makes the moves durable, or that they were taken back.
    pub fn sync(&self, moves: &[Move]) -> io::Result<()> {
        let mut folders: Vec<&[u8]> = moves.iter().map(|one| parent(&one.path)).collect();
        folders.extend(moves.iter().filter(|one| one.act == Act::MakeFolder).map(|one| &*one.path));
        folders.sort_unstable();
        folders.dedup();
        if folders.len() > SYNCED_ONE_BY_ONE_MAX {
            return self.disk.sync_tree(&self.root);
        }
        for folder in folders {
            match self.open_folder(folder) {
                // It was to be made, and is not there any more.
                Err(error) if is_absent(&error) || is_kept(&error) => {}
                opened => self.disk.sync_dir(&opened?)?,
            }
        }
        self.disk.sync_dir(&self.new)?;
        self.disk.sync_dir(&self.old)
    }

    fn open_folder(&self, path: &[u8]) -> io::Result<Dir> {
        let mut at = Dir(self.root.0.try_clone()?);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = self.disk.open_dir(&at, OsStr::from_bytes(name))?;
        }
        Ok(at)
    }

    /// What is at the path, if anything.
    pub fn stat(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        let stat = match path {
            b"" => self.disk.stat_dir(&self.root),
            path => self.place(path).and_then(|(at, name)| self.disk.stat(&at, name)),
        };
        match stat {
            Err(error) if is_absent(&error) => Ok(None),
            stat => stat.map(Some),
        }
    }

    /// The open folder of a path, and its name there. Follows no link.
    pub fn place<'p>(&self, path: &'p [u8]) -> io::Result<(Dir, &'p OsStr)> {
        let mut names = path.split(|byte| *byte == b'/').map(OsStr::from_bytes);
        let name = names.next_back().filter(|name| !name.is_empty());
        let name = name.unwrap_or(OsStr::new("."));
        let mut at = Dir(self.root.0.try_clone()?);
        for folder in names {
            at = self.disk.open_dir(&at, folder)?;
        }
        Ok((at, name))
    }

    /// Gives what is there a second name, or where that cannot be, only that one.
    fn keep_old(&self, (at, name): (&Dir, &OsStr), old: &OsStr) -> io::Result<()> {
        match self.disk.hard_link(at, name, &self.old, old) {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Err(error),
            Err(_) => self.disk.rename(at, name, &self.old, old, Replace::Yes),
        }
    }

    fn put(&self, new: &OsStr, (at, name): (&Dir, &OsStr), replace: Replace) -> io::Result<()> {
        match self.disk.rename(&self.new, new, at, name, replace) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                match self.disk.stat(at, name) {
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => self.disk.rename(&self.new, new, at, name, Replace::Yes),
                }
            }
            renamed => renamed,
        }
    }

    /// Gives what was taken its place again, if it was taken.
    fn put_back(&self, old: &OsStr, (at, name): (&Dir, &OsStr)) -> io::Result<()> {
        match self.disk.stat(&self.old, old) {
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.disk.rename(&self.old, old, at, name, Replace::Yes)?;
        // Two names of one file: the rename did nothing.
        absent_is_success(self.disk.remove_file(&self.old, old))
    }
}

/// Up to so many, each is made durable by itself; beyond, the whole file system is.
const SYNCED_ONE_BY_ONE_MAX: usize = 256;

/// The folder that a path lies in; empty for the root.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

pub fn new_name(number: u64) -> String {
    number.to_string()
}

fn old_name(number: usize) -> String {
    number.to_string()
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_kept(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory)
}

fn absent_is_success(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        result => result,
    }
}
