//! Restores one file: written in place where nothing was, beside its name where something is.

use std::{ffi::OsStr, fs::File, io, os::unix::ffi::OsStrExt};

use crate::{
    disk::{Dir, Handle, Replace},
    format::node::{Content, Entry},
    sink::files::{
        Change, ChangeKind, Event, Overwrite,
        content::FileContent,
        failure::{Failure, Trouble},
        linked::Claim,
        restore::{Acts, Restore},
        tally::Done,
        target::Opened,
        verdict::Verdict,
    },
};

/// New files are ours alone until they get their own mode.
const UNFINISHED_MODE: u32 = 0o600;

impl Restore<'_> {
    /// Restores a file: under one of several names, if it has them.
    pub fn file(&self, at: &Opened, path: &[u8], entry: &Entry) -> Result<Done, Failure> {
        if entry.links < 2 || self.acts == Acts::Plan {
            return self.separate_file(at, path, entry);
        }
        match self.linked.claim(entry) {
            Claim::First => {
                let restored = self.separate_file(at, path, entry);
                let is_there = restored.is_ok();
                self.linked
                    .settle(entry, is_there.then(|| self.linkable(at, path, entry)).flatten());
                restored
            }
            Claim::Linkable(first) => self.link(at, path, entry, &first),
            Claim::Busy => {
                self.linked.defer(path, entry);
                Ok(Done::Later)
            }
        }
    }

    /// Restores a file without regard to other names it may have.
    pub fn separate_file(&self, at: &Opened, path: &[u8], entry: &Entry) -> Result<Done, Failure> {
        let name = OsStr::from_bytes(&entry.name);
        let Content::File { bytes, stream, extents } = &entry.content else {
            return Err(Trouble::new("damaged", "it is no file").into());
        };
        let content = FileContent { bytes: *bytes, stream, extents: extents.as_deref() };
        let verdict = self.verdict(at, path, name, entry)?;
        let Some(dir) = at.dir.as_ref().filter(|_| self.acts == Acts::Write) else {
            self.would(path, entry, verdict);
            return Ok(self.planned(verdict, stream.bytes));
        };
        let new = NewFile { dir, name, path, entry, content };
        match verdict {
            Verdict::Keep => Ok(Done::Kept),
            Verdict::Create if self.overwrites() => self.create(&new),
            Verdict::Create | Verdict::Replace => self.replace(&new),
            Verdict::Mend => self.mend(&new, &self.open(&new)?),
            Verdict::Compare => {
                let file = self.open(&new)?;
                match self.has_content(&file, content)? {
                    true => self.mend(&new, &file),
                    false => self.replace(&new),
                }
            }
        }
    }

    /// Counts what a restore would do.
    pub fn planned(&self, verdict: Verdict, bytes: u64) -> Done {
        match verdict {
            Verdict::Keep | Verdict::Mend => Done::Kept,
            Verdict::Create | Verdict::Replace | Verdict::Compare => {
                self.tally.wrote(bytes);
                Done::File
            }
        }
    }

    /// Tells what a restore would do.
    pub fn would(&self, path: &[u8], entry: &Entry, verdict: Verdict) {
        let kind = match verdict {
            Verdict::Keep => return,
            Verdict::Mend => ChangeKind::Mend(entry),
            Verdict::Create | Verdict::Replace | Verdict::Compare => ChangeKind::Write(entry),
        };
        self.tally.tell(Event::Would(Change { path, kind }));
    }

    fn open(&self, new: &NewFile<'_>) -> Result<File, Trouble> {
        let opened = self.sink.disk.open(new.dir, new.name);
        opened.map_err(|error| Trouble::io("open what has its name", &error))
    }

    /// Writes the file in place: nothing has the name, and the marker says that it may be
    /// incomplete.
    fn create(&self, new: &NewFile<'_>) -> Result<Done, Failure> {
        match self.sink.disk.create_new(new.dir, new.name, UNFINISHED_MODE) {
            // Somebody else made it in this moment, or the file system knows no case.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Trouble::new("in-the-way", "something appeared under its name").into())
            }
            Err(error) => Err(Trouble::io("create it", &error).into()),
            Ok(file) => {
                let written = self.write(new, &file);
                written.inspect_err(|_| {
                    let _ = self.sink.disk.remove_file(new.dir, new.name);
                })
            }
        }
    }

    /// Writes the file under another name, and gives it its own when it is complete.
    fn replace(&self, new: &NewFile<'_>) -> Result<Done, Failure> {
        let disk = self.sink.disk;
        let temporary = self.new_temporary_name();
        let file = disk.create_new(new.dir, &temporary, UNFINISHED_MODE);
        let file = file.map_err(|error| Trouble::io("create it", &error))?;
        let replace = match self.options.overwrite {
            Overwrite::Never => Replace::No,
            Overwrite::Changed | Overwrite::Always => Replace::Yes,
        };
        let named = self.write(new, &file).and_then(|done| {
            match disk.rename(new.dir, &temporary, new.dir, new.name, replace) {
                Ok(()) => Ok(done),
                Err(error) => Err(Trouble::io("give it its name", &error).into()),
            }
        });
        named.inspect_err(|_| {
            let _ = disk.remove_file(new.dir, &temporary);
        })
    }

    fn write(&self, new: &NewFile<'_>, file: &File) -> Result<Done, Failure> {
        self.write_content(new.dir, file, new.content)?;
        self.set_metadata(new.path, Handle::File(file), new.entry);
        Ok(Done::File)
    }

    /// Gives a file that holds the right content the right metadata.
    fn mend(&self, new: &NewFile<'_>, file: &File) -> Result<Done, Failure> {
        match self.sink.disk.stat_file(file) {
            // It has got another name since we looked, which may lie outside.
            Ok(stat) if stat.links != 1 => self.replace(new),
            _ => {
                self.set_metadata(new.path, Handle::File(file), new.entry);
                Ok(Done::Kept)
            }
        }
    }
}

/// A file to be written, and where.
struct NewFile<'a> {
    dir: &'a Dir,
    name: &'a OsStr,
    path: &'a [u8],
    entry: &'a Entry,
    content: FileContent<'a>,
}
