//! Saves one file that the walk meets.

use std::{ffi::OsStr, fs::File, os::unix::ffi::OsStrExt};

use crate::{
    chunk::Store,
    disk::{FileKind, Handle, Stat},
    format::node::{Content, Entry},
    limits::PROBLEM_BYTES_MAX,
    repo::tree::store_content,
    source::files::{
        CaptureError, FoundDatabase,
        failure::Failure,
        node::Taken,
        read_disk::uninterrupted,
        reading::Reading,
        sqlite,
        unchanged::is_database_unchanged,
        walk::{Folder, Walk, Worker, entry_of, name_of},
    },
};

impl<L: Store + Send> Walk<'_, L> {
    /// Saves a file, unread if it has not changed. Nothing if it is to be left out.
    pub fn file(
        &self,
        at: &Folder<'_>,
        path: &[u8],
        stat: &Stat,
        older: Option<Entry>,
    ) -> Result<Option<Taken>, Failure> {
        let name = name_of(path);
        let is_elsewhere = at.device.is_some_and(|device| device != stat.device);
        if is_elsewhere || self.belongs_to_database(at, name) {
            return Ok(None);
        }
        let older = match older {
            Some(older) if self.is_same_file(at, stat, &older) => {
                return Ok(Some(Taken::Same(older)));
            }
            older => older,
        };
        let entry = self.read_file(at, path, older.as_ref())?;
        Ok(Some(Taken::new(entry, older.as_ref())))
    }

    fn is_same_file(&self, at: &Folder<'_>, stat: &Stat, older: &Entry) -> bool {
        let Content::Database(image) = &older.content else { return self.is_same(stat, older) };
        // The rule for databases carries its own moment, but a run that is to read everything reads
        // these too.
        if self.parent_began.is_none() || older.problem.is_some() {
            return false;
        }
        let wal_name = [older.name.as_slice(), b"-wal"].concat();
        let disk = self.source.disk;
        match uninterrupted(|| disk.stat(&at.dir, &wal_name)) {
            Ok(wal) => is_database_unchanged(stat, Some(&wal), image),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                is_database_unchanged(stat, None, image)
            }
            Err(_) => false,
        }
    }

    fn read_file(
        &self,
        at: &Folder<'_>,
        path: &[u8],
        older: Option<&Entry>,
    ) -> Result<Entry, Failure> {
        let disk = self.source.disk;
        let name = name_of(path);
        let file = uninterrupted(|| disk.open_file(&at.dir, name))?;
        let before = uninterrupted(|| disk.stat_open(Handle::File(&file)))?;
        if before.kind != FileKind::File {
            return Err(Failure::entry("changed", "it was a file, and then it was none"));
        }
        if let Some(linked) = self.linked.get(&before) {
            return Ok(Entry { name: name.to_vec(), ..linked });
        }
        let (xattrs, xattrs_problem) = self.read_xattrs(path, Handle::File(&file));
        let (content, problem) = match self.content(&file, &before)? {
            Some(content) => (content, self.changed_since(path, &file, &before)?),
            None => {
                drop(file);
                self.database(path, older)?
            }
        };
        let problem = problem.or(xattrs_problem);
        let entry = Entry { xattrs, problem, ..entry_of(name, &before, content) };
        self.linked.remember(&entry);
        Ok(entry)
    }

    /// Says so if the file changed while it was read.
    fn changed_since(
        &self,
        path: &[u8],
        file: &File,
        before: &Stat,
    ) -> Result<Option<String>, Failure> {
        let after = uninterrupted(|| self.source.disk.stat_open(Handle::File(file)))?;
        let seen = |stat: &Stat| (stat.bytes, stat.modified, stat.changed);
        if seen(&after) == seen(before) {
            return Ok(None);
        }
        let problem = "it changed while it was read".to_owned();
        self.tally.problem(path, "changed", problem.clone());
        Ok(Some(problem))
    }

    /// Stores what is in the file. Nothing if it is a database.
    fn content(&self, file: &File, stat: &Stat) -> Result<Option<Content>, Failure> {
        let mut reading = Reading::begin(self.source.disk, file, stat)?;
        let mut worker = self.worker();
        let Worker { lane, buffer } = &mut *worker;
        let is_at_start = reading.offset() == 0;
        let filled = reading.read(buffer)?;
        if is_at_start && sqlite::is_database(&buffer[..filled]) {
            return Ok(None);
        }
        let cutter = self.cut_table.file();
        let stream = store_content::<Failure>(*lane, cutter, buffer, filled, &mut |rest| {
            Ok(reading.read(rest)?)
        })?;
        drop(worker);
        self.tally.read(reading.bytes_read);
        let extents = reading.into_extents();
        // What was read counts, should the size have changed meanwhile.
        let bytes = if extents.is_some() { stat.bytes } else { stream.bytes };
        Ok(Some(Content::File { bytes, stream, extents }))
    }

    fn database(
        &self,
        path: &[u8],
        older: Option<&Entry>,
    ) -> Result<(Content, Option<String>), Failure> {
        let older = older.and_then(|older| match &older.content {
            Content::Database(image) => Some(&**image),
            _ => None,
        });
        let absolute = self.root.join(OsStr::from_bytes(path));
        let found = FoundDatabase { path: &absolute, older };
        let captured = self.source.databases.capture(&found, &mut *self.worker().lane);
        let captured = captured.map_err(|error| match error {
            CaptureError::Store(error) => error.into(),
            CaptureError::Failed { code, message } => Failure::Entry { code, message },
        })?;
        self.tally.read(captured.bytes_read);
        let problem = captured.problem.map(|mut problem| {
            problem.truncate(problem.floor_char_boundary(PROBLEM_BYTES_MAX));
            self.tally.problem(path, "database", problem.clone());
            problem
        });
        Ok((Content::Database(Box::new(captured.image)), problem))
    }

    /// Whether the file is what SQLite keeps beside a database: it is part of the image, and
    /// useless by itself.
    fn belongs_to_database(&self, at: &Folder<'_>, name: &[u8]) -> bool {
        let Some(database) = sqlite::database_beside(name) else { return false };
        at.names.contains(database) && self.is_database(at, database).unwrap_or(false)
    }

    fn is_database(&self, at: &Folder<'_>, name: &[u8]) -> std::io::Result<bool> {
        let disk = self.source.disk;
        let file = uninterrupted(|| disk.open_file(&at.dir, name))?;
        let mut start = [0; sqlite::DATABASE_BYTES_MIN];
        let filled = uninterrupted(|| disk.read_at(&file, &mut start, 0))?;
        Ok(sqlite::is_database(&start[..filled]))
    }
}
