//! The record that every run leaves in the state folder: what was asked, what happened, how it
//! ended.
//!
//! One file of JSON lines per run below `STATE/runs/`: a `start` line, `log` lines, a `finish`
//! line. The file is locked while its run lives, so a record without a `finish` line whose lock is
//! free is that of a run that was killed: nobody has to clean up after it, and no clock or process
//! number is trusted. Records name paths and counts, never content.

mod line;
mod reader;

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use line::Line;
pub use line::{Finish, Level, Log, RunResult, Start};
pub use reader::{RunRecord, RunState};

use crate::{
    clock::{Clock, Entropy},
    disk::{Dir, Disk, write_all_at},
    limits::{RUN_LOG_LINES_MAX, RUNS_KEPT_MAX},
    ops::event::{Event, Observer, Phase},
};

const FOLDER: &str = "runs";

/// The folder that holds the records of all runs of this state folder.
pub struct RunFolder {
    disk: Arc<dyn Disk>,
    dir: Arc<Dir>,
}

impl RunFolder {
    /// Opens the folder below the state folder, creating what is missing.
    pub fn open(disk: Arc<dyn Disk>, state_root: &Path) -> io::Result<Self> {
        let dir = Arc::new(disk.create_root(&state_root.join(FOLDER), 0o700)?);
        Ok(Self { disk, dir })
    }

    /// Opens the folder, if any run has left a record yet.
    pub fn open_existing(disk: Arc<dyn Disk>, state_root: &Path) -> io::Result<Option<Self>> {
        match disk.open_root(&state_root.join(FOLDER)) {
            Ok(dir) => Ok(Some(Self { disk, dir: Arc::new(dir) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a record, durable on return. Must be ended with [`RunLog::finish`].
    ///
    /// Of the records of former runs the newest thousand are kept.
    pub fn begin(
        &self,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        start: Start,
    ) -> io::Result<RunLog> {
        self.drop_oldest()?;
        let random = entropy.bytes32();
        let run = format!("{:02x}{:02x}{:02x}{:02x}", random[0], random[1], random[2], random[3]);
        let started = clock.now();
        let name = OsString::from(format!("{}-{run}.jsonl", line::sortable(started)));
        let first = Line::Start { run: run.clone(), time: line::rfc3339(started), start }.encode();
        let file = self.create(&name, &first)?;
        let written = Written { offset: first.len() as u64, ..Written::default() };
        Ok(RunLog { disk: Arc::clone(&self.disk), clock, file, run, written: Mutex::new(written) })
    }

    /// The record appears complete with its first line and locked, so that a reader never takes it
    /// for a dead one.
    fn create(&self, name: &OsString, first: &[u8]) -> io::Result<File> {
        let (file, named) = match self.disk.create_unnamed(&self.dir, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                (self.disk.create_new(&self.dir, name, 0o600)?, true)
            }
            unnamed => (unnamed?, false),
        };
        file.lock()?;
        write_all_at(&*self.disk, &file, first, 0)?;
        self.disk.sync(&file)?;
        if !named {
            self.disk.link_unnamed(&file, &self.dir, name)?;
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }

    fn drop_oldest(&self) -> io::Result<()> {
        let mut names = self.names()?;
        let surplus = names.len().saturating_sub(RUNS_KEPT_MAX - 1);
        for name in names.drain(..surplus) {
            self.disk.remove_file(&self.dir, &name)?;
        }
        Ok(())
    }

    /// Names of all records, oldest first.
    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = self.disk.list(&self.dir)?;
        names.retain(|name| name.as_encoded_bytes().ends_with(b".jsonl"));
        names.sort();
        Ok(names)
    }
}

/// The record of the run that goes on.
///
/// A record that cannot be written must not cost a backup: after the first failure the log is
/// silent, and [`finish`](RunLog::finish) returns what happened.
pub struct RunLog {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    file: File,
    run: String,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    offset: u64,
    lines: usize,
    phase: Option<Phase>,
    failed: Option<io::Error>,
}

impl RunLog {
    /// The name of this run, for messages.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Adds a line. Beyond ten thousand lines nothing is kept but the count.
    pub fn log(&self, log: Log) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.lines += 1;
        if written.lines <= RUN_LOG_LINES_MAX {
            self.append(&mut written, &Line::Log { time: line::rfc3339(self.clock.now()), log });
        }
    }

    /// Ends the record, durable on return.
    ///
    /// # Errors
    /// What first kept a line from being written.
    pub fn finish(self, finish: Finish) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let lines_left_out = written.lines.saturating_sub(RUN_LOG_LINES_MAX);
        let time = line::rfc3339(self.clock.now());
        self.append(&mut written, &Line::Finish { time, lines_left_out, finish });
        match written.failed.take() {
            Some(error) => Err(error),
            None => self.disk.sync(&self.file),
        }
    }

    fn append(&self, written: &mut Written, line: &Line) {
        if written.failed.is_some() {
            return;
        }
        let bytes = line.encode();
        match write_all_at(&*self.disk, &self.file, &bytes, written.offset) {
            Ok(()) => written.offset += bytes.len() as u64,
            Err(error) => written.failed = Some(error),
        }
    }

    fn enter(&self, phase: Phase) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).phase = Some(phase);
    }

    fn phase(&self) -> &'static str {
        let phase = self.written.lock().unwrap_or_else(PoisonError::into_inner).phase;
        phase.map_or("", Phase::as_str)
    }
}

impl Observer for RunLog {
    fn observe(&self, event: &Event) {
        if let Event::Phase { phase, .. } = event {
            self.enter(*phase);
        }
        if let Some(log) = Log::of(event, self.phase()) {
            self.log(log);
        }
    }
}

#[cfg(test)]
mod tests;
