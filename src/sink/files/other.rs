//! Restores what is neither file nor folder: links, fifos, devices, and databases as a whole.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

use crate::{
    disk::{Dir, Handle, Replace, Special},
    format::{
        image::Image,
        node::{Content, Entry},
    },
    sink::files::{
        Owners,
        failure::{Failure, Trouble},
        restore::{Acts, Restore},
        tally::Done,
        target::Opened,
        verdict::Verdict,
    },
};

impl Restore<'_> {
    /// Restores a link, a special file or a database.
    pub fn other(&self, at: &Opened, path: &[u8], entry: &Entry) -> Result<Done, Failure> {
        let name = OsStr::from_bytes(&entry.name);
        let is_device =
            matches!(entry.content, Content::CharDevice { .. } | Content::BlockDevice { .. });
        if is_device && self.options.owners == Owners::Ours {
            return Err(Trouble::new("needs-root", "only root can make devices").into());
        }
        let verdict = self.verdict(at, path, name, entry)?;
        let is_kept = match (verdict, &at.dir) {
            (Verdict::Keep, _) => return Ok(Done::Kept),
            (Verdict::Create | Verdict::Replace, _) | (_, None) => false,
            (Verdict::Mend, _) => true,
            (Verdict::Compare, Some(dir)) => self.leads_alike(dir, name, entry),
        };
        let Some(dir) = at.dir.as_ref().filter(|_| self.acts == Acts::Write) else {
            if !is_kept || verdict == Verdict::Mend || self.is_unlike(at, name, entry) {
                let verdict = if is_kept { verdict } else { Verdict::Replace };
                self.would(path, entry, verdict);
            }
            return Ok(match &entry.content {
                Content::Database(image) => self.planned(verdict, image.bytes()),
                _ if is_kept => Done::Kept,
                _ => Done::Other,
            });
        };
        match &entry.content {
            Content::Database(image) if !is_kept => return self.database(dir, path, entry, image),
            Content::Database(_) => self.mend_file(dir, path, entry)?,
            _ if is_kept => self.set_metadata_at(path, (dir, name), entry),
            _ => {
                let made = self.make_and_name(dir, path, entry, verdict);
                made.map_err(|error| Trouble::io("make it", &error))?;
                return Ok(Done::Other);
            }
        }
        Ok(Done::Kept)
    }

    /// Whether a link that leads where it should has another owner or time.
    fn is_unlike(&self, at: &Opened, name: &OsStr, entry: &Entry) -> bool {
        let stat = at.dir.as_ref().map(|dir| self.sink.disk.stat(dir, name));
        !matches!(stat, Some(Ok(stat)) if !self.metadata_differs(&stat, entry))
    }

    fn leads_alike(&self, dir: &Dir, name: &OsStr, entry: &Entry) -> bool {
        let Content::Link { target } = &entry.content else { return false };
        let there = self.sink.disk.read_link(dir, name);
        there.is_ok_and(|there| there.as_bytes() == target)
    }

    fn make_and_name(
        &self,
        dir: &Dir,
        path: &[u8],
        entry: &Entry,
        verdict: Verdict,
    ) -> io::Result<()> {
        let name = OsStr::from_bytes(&entry.name);
        if verdict == Verdict::Create {
            self.make(dir, name, entry)?;
            self.set_metadata_at(path, (dir, name), entry);
            return Ok(());
        }
        let temporary = self.new_temporary_name();
        self.make(dir, &temporary, entry)?;
        self.set_metadata_at(path, (dir, &temporary), entry);
        let named = self.sink.disk.rename(dir, &temporary, dir, name, Replace::Yes);
        named.inspect_err(|_| {
            let _ = self.sink.disk.remove_file(dir, &temporary);
        })
    }

    fn make(&self, dir: &Dir, name: &OsStr, entry: &Entry) -> io::Result<()> {
        let special = match &entry.content {
            Content::Link { target } => {
                return self.sink.disk.symlink(OsStr::from_bytes(target), dir, name);
            }
            Content::Fifo => Special::Fifo,
            Content::CharDevice { major, minor } => {
                Special::CharDevice { major: *major, minor: *minor }
            }
            Content::BlockDevice { major, minor } => {
                Special::BlockDevice { major: *major, minor: *minor }
            }
            Content::File { .. }
            | Content::Folder { .. }
            | Content::Socket
            | Content::Database(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        self.sink.disk.create_special(dir, name, special, 0o600)
    }

    fn database(
        &self,
        dir: &Dir,
        path: &[u8],
        entry: &Entry,
        image: &Image,
    ) -> Result<Done, Failure> {
        let restored = self.sink.databases.restore(image, dir, OsStr::from_bytes(&entry.name));
        let bytes = restored.map_err(|error| Trouble::new(&error.code, error.message))?;
        self.tally.wrote(bytes);
        self.mend_file(dir, path, entry)?;
        Ok(Done::File)
    }

    fn mend_file(&self, dir: &Dir, path: &[u8], entry: &Entry) -> Result<(), Trouble> {
        let file = self.sink.disk.open(dir, OsStr::from_bytes(&entry.name));
        let file = file.map_err(|error| Trouble::io("set its metadata", &error))?;
        self.set_metadata(path, Handle::File(&file), entry);
        Ok(())
    }
}
