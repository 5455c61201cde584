//! Writes single entries into a folder of their own, under numbers, to be moved to their places by
//! whoever asked for them.
//!
//! What is written is complete and has its metadata, but is durable only after
//! [`Disk::sync_tree`](crate::disk::Disk::sync_tree).

use std::{ffi::OsStr, io};

use crate::{
    disk::{Dir, Handle},
    format::{
        node::{Content, Entry},
        record::Problem,
    },
    sink::files::{
        Error, Options, Sink,
        choice::Chooser,
        failure::Failure,
        restore::{Acts, Restore},
        target::Opened,
    },
};

/// Why an entry was not staged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    #[error("{message}")]
    Entry { code: String, message: String },
    #[error(transparent)]
    Run(#[from] Error),
}

/// Writes entries into one folder. Shared between threads.
pub struct Stager<'a> {
    restore: Restore<'a>,
}

impl<'a> Stager<'a> {
    /// Begins in a folder that nobody else writes to.
    pub fn new(sink: &'a Sink<'a>, dir: &Dir, options: &'a Options) -> io::Result<Self> {
        let chooser = Chooser::new(&[], &[]).expect("no pattern is always valid");
        let mut restore = Restore::new(sink, options, Acts::Write, chooser);
        restore.root = Opened { dir: Some(Dir(dir.0.try_clone()?)), ..Opened::planned() };
        Ok(Self { restore })
    }

    /// Writes an entry that is no folder, with its metadata, under this name.
    pub fn write(&self, name: &str, entry: &Entry) -> Result<(), StageError> {
        let entry = Entry { name: name.as_bytes().to_vec(), ..entry.clone() };
        let done = match &entry.content {
            // Names of one file that do not all change may no longer be one file.
            Content::File { .. } => {
                self.restore.separate_file(&self.restore.root, &entry.name, &entry)
            }
            _ => self.restore.other(&self.restore.root, &entry.name, &entry),
        };
        match done {
            Ok(_) => Ok(()),
            Err(Failure::Run(error)) => Err(error.into()),
            Err(Failure::Entry(trouble)) => {
                Err(StageError::Entry { code: trouble.code, message: trouble.message })
            }
        }
    }

    /// Sets the metadata of something that is open; what cannot be set is a problem, no error.
    pub fn set_metadata(&self, of: Handle<'_>, entry: &Entry) {
        self.restore.set_metadata(&entry.name, of, entry);
    }

    /// Sets the metadata of a name that cannot be opened.
    pub fn set_metadata_at(&self, at: (&Dir, &OsStr), entry: &Entry) {
        self.restore.set_metadata_at(&entry.name, at, entry);
    }

    /// What could not be set so far.
    pub fn problems(&self) -> Vec<Problem> {
        self.restore.tally.report().problems
    }
}
