//! One database, read inside one read transaction: its pages first, then what SQLite says of it.

use std::{ffi::OsStr, fs::File, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use rusqlite::{
    Connection,
    types::{FromSql, ValueRef},
};

use crate::{
    clock::{Clock, SystemClock},
    crypto::secret::Secret32,
    source::sqlite::{
        backup::Copy,
        facts::{Facts, answer, count_rows, schema},
        header::{Header, Journal},
        open::failure,
        protocol::{Failure, Link, Outcome, Request},
        record::{Recorder, Recording},
        spool::Layout,
    },
};

/// Whether a reading may go on.
pub struct Watch<'a> {
    pub link: &'a Link,
    /// When the read transaction began.
    pub begun: Duration,
    /// How long it may last, where it keeps others from writing.
    pub hold: Option<Duration>,
}

impl Watch<'_> {
    pub fn may_go_on(&self) -> Result<(), Failure> {
        if self.link.is_abandoned() {
            return Err(Failure::Abandoned);
        }
        match self.time_left() {
            Some(Duration::ZERO) => Err(Failure::HeldTooLong),
            _ => Ok(()),
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let elapsed = SystemClock.elapsed().saturating_sub(self.begun);
        self.hold.map(|hold| hold.saturating_sub(elapsed))
    }
}

/// Takes one page after another.
type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Failure>;

/// One reading of a database whose read transaction has begun.
pub struct Reading<'a> {
    pub request: &'a Request,
    pub spool: &'a File,
    pub connection: &'a Connection,
}

impl Reading<'_> {
    /// Reads everything. What is wrong with the database is no error, but part of the outcome.
    pub fn read(&self, mut watch: Watch<'_>, damage: Option<String>) -> Result<Outcome, Failure> {
        let (objects, schema_damage) = schema(self.connection)?;
        let journal_mode: String = self.ask("PRAGMA main.journal_mode")?;
        if journal_mode != Journal::Wal.as_str() {
            watch.hold = Some(Duration::from_millis(self.request.hold_ms));
        }
        let layout = Layout {
            older_count: self.request.older_page_count,
            page_count: self.ask("PRAGMA main.page_count")?,
            page_bytes: self.ask("PRAGMA main.page_size")?,
        };
        let has_pages: bool =
            self.ask("SELECT count(*) FROM pragma_module_list WHERE name = 'sqlite_dbpage'")?;
        let by_backup_api = self.request.use_backup_api || !has_pages;
        let (changed_count, header) = if by_backup_api {
            let scratch = Path::new(OsStr::from_bytes(&self.request.scratch));
            let copy = Copy::make(self.connection, scratch, &watch)?;
            self.record(layout, &watch, |take| copy.for_each_page(layout, take))?
        } else {
            self.record(layout, &watch, |take| self.for_each_page(layout, take))?
        };
        let count_bound = Duration::from_millis(self.request.count_ms);
        let count_bound = watch.time_left().map_or(count_bound, |left| left.min(count_bound));
        let (rows, row_damage) = count_rows(self.connection, &objects, count_bound);
        let question = self.request.question.as_deref();
        Ok(Outcome {
            answer: question.map(|question| answer(self.connection, question, count_bound)),
            page_bytes: layout.page_bytes,
            page_count: layout.page_count,
            changed_count,
            by_backup_api,
            facts: Facts { schema: objects, rows, ..Facts::from_header(header) },
            damage: damage.or(schema_damage).or(row_damage),
        })
    }

    fn ask<T: FromSql>(&self, sql: &str) -> Result<T, Failure> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(failure)
    }

    /// Brings all pages into the spool; returns how many changed, and what page 1 says.
    fn record(
        &self,
        layout: Layout,
        watch: &Watch<'_>,
        feed: impl FnOnce(Take<'_>) -> Result<(), Failure>,
    ) -> Result<(u32, Option<Header>), Failure> {
        let key = Secret32::new(self.request.page_key);
        let older_page_bytes = self.request.older_page_bytes;
        let recording = Recording { spool: self.spool, layout, key: &key, older_page_bytes };
        let mut header = None;
        let recorded = std::thread::scope(|scope| {
            let mut recorder = Recorder::start(scope, recording);
            let fed = feed(&mut |page| {
                if recorder.is_between_batches() {
                    watch.may_go_on()?;
                }
                header = header.or_else(|| Header::parse(page));
                // Why the recorder cannot go on is for its `finish` to say.
                if recorder.push(page) { Ok(()) } else { Err(Failure::Abandoned) }
            });
            let recorded = recorder.finish()?;
            fed.map(|()| recorded)
        })?;
        if recorded.page_count == layout.page_count {
            Ok((recorded.changed_count, header))
        } else {
            let (came, due) = (recorded.page_count, layout.page_count);
            Err(Failure::Sqlite(format!("{came} pages came where {due} are")))
        }
    }

    /// Hands over all pages in order, as SQLite itself sees them.
    fn for_each_page(&self, layout: Layout, take: Take<'_>) -> Result<(), Failure> {
        let mut statement = self
            .connection
            .prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno")
            .map_err(failure)?;
        let mut rows = statement.query([]).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            match row.get_ref(0) {
                Ok(ValueRef::Blob(page)) if page.len() == layout.page_bytes as usize => take(page)?,
                _ => return Err(Failure::Sqlite("a page of another size came".to_owned())),
            }
        }
        Ok(())
    }
}
