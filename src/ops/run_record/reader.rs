//! Reads the records of runs back.

use std::{
    fs::{File, TryLockError},
    io,
};

use crate::{
    clock::UnixNanos,
    disk::{Disk, read_exact_at},
    limits::RUN_RECORD_BYTES_MAX,
    ops::run_record::{
        Finish, Log, RunFolder, Start,
        line::{Line, unix_nanos},
    },
};

/// One run of the past, or one that goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    pub run: String,
    pub started: UnixNanos,
    pub start: Start,
    pub state: RunState,
    /// When and what, in order.
    pub log: Vec<(UnixNanos, Log)>,
    /// Lines that were not kept.
    pub lines_left_out: usize,
}

/// Whether and how a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RunState {
    Running,
    /// Its process is gone and left no result: it was killed, or the machine stopped.
    Interrupted,
    Finished {
        at: UnixNanos,
        finish: Finish,
    },
}

impl RunFolder {
    /// Reads all records, newest first. A file that holds no record is left out.
    pub fn list(&self) -> io::Result<Vec<RunRecord>> {
        let mut records = Vec::new();
        for name in self.names()?.iter().rev() {
            match self.disk.open(&self.dir, name) {
                Ok(file) => records.extend(read(&*self.disk, &file)?),
                // Another run may have dropped it between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}

fn read(disk: &dyn Disk, file: &File) -> io::Result<Option<RunRecord>> {
    // The lock is looked at first: a run that ends after this has its last line in what is read
    // now, or is shown as running, which it was.
    let alive = is_locked(file)?;
    let bytes = disk.stat_file(file)?.bytes.min(RUN_RECORD_BYTES_MAX);
    let mut text = vec![0; usize::try_from(bytes).expect("the limit fits")];
    read_exact_at(disk, file, &mut text, 0)?;

    Ok(parse(&text, if alive { RunState::Running } else { RunState::Interrupted }))
}

fn parse(text: &[u8], unfinished: RunState) -> Option<RunRecord> {
    let mut lines = text.split(|&byte| byte == b'\n').filter_map(Line::decode);
    let Some(Line::Start { run, time, start }) = lines.next() else { return None };
    let started = unix_nanos(&time)?;
    let mut record =
        RunRecord { run, started, start, state: unfinished, log: Vec::new(), lines_left_out: 0 };
    for line in lines {
        match line {
            Line::Start { .. } => {}
            Line::Log { time, log } => record.log.push((unix_nanos(&time)?, log)),
            Line::Finish { time, lines_left_out, finish } => {
                record.lines_left_out = lines_left_out;
                record.state = RunState::Finished { at: unix_nanos(&time)?, finish };
            }
        }
    }
    Some(record)
}

fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
