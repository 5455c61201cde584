//! Restores one tree: marks it unfinished, fills it on all threads, makes it durable, removes the
//! mark.

use std::{
    ffi::OsString,
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    disk::{Dir, Handle, Spread},
    format::node::{Content, Entry},
    limits::MIB,
    sink::{
        early_sync::{self, EarlySync},
        files::{
            Change, ChangeKind, Destination, Error, Event, Options, Overwrite, Report, Sink,
            choice::{Choice, Chooser},
            failure::{Failure, Trouble},
            folder::Level,
            linked::Linked,
            tally::Tally,
            target::{Opened, Target, marker_name, temporary_name},
        },
    },
};

/// Stack of one thread. Folders lie in each other up to a thousand deep, and a thread that waits
/// for a sub-folder may take up another one meanwhile. Only what is used takes memory.
const STACK_BYTES: usize = 256 * MIB;

/// A sync of the whole file system is for much at a time.
const SYNC_EVERY_BYTES: u64 = 192 * MIB as u64;

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    Write,
    Plan,
}

/// What all threads of one restore share.
pub struct Restore<'a> {
    pub sink: &'a Sink<'a>,
    pub options: &'a Options,
    pub acts: Acts,
    /// An earlier restore did not finish: its unfinished files go, and files that look as they
    /// should are compared.
    pub cleans: bool,
    pub chooser: Chooser,
    pub tally: Tally<'a>,
    pub linked: Linked,
    /// The folder that stands for the root of the tree.
    pub root: Opened,
    pub entries_left: AtomicU64,
    pub temporaries: AtomicU64,
}

/// Restores a tree below the destination, durable on return.
///
/// Costs one request for each chunk, in the order in which they were stored. Memory is bounded: a
/// window of entries for each level of folders, a few chunks for each thread.
///
/// # Errors
/// What befell single entries is in the report, and no error. After an error the marker stays, and
/// the next restore to the same destination begins where this one ended.
pub fn restore_tree(
    sink: &Sink<'_>,
    root: &Entry,
    destination: &Destination<'_>,
    options: &Options,
) -> Result<Report, Error> {
    let chooser = Chooser::new(&options.include, &options.exclude)?;
    let marker = Marker::put(sink, destination)?;
    if marker.was_there && options.overwrite == Overwrite::Never {
        let what = destination.name.to_string_lossy().into_owned();
        return Err(Error::Unfinished { what });
    }
    let mut restore = Restore::new(sink, options, Acts::Write, chooser);
    restore.cleans = marker.was_there;
    restore.open_root(destination)?;
    let (ran, synced) = match &restore.root.dir {
        Some(dir) => {
            let early = EarlySync {
                every_bytes: SYNC_EVERY_BYTES,
                bytes_written: &|| restore.tally.bytes_written(),
                sync: &|| sink.disk.sync_tree(dir),
            };
            early_sync::beside(&early, || restore.run(root))
        }
        None => (restore.run(root), Ok(())),
    };
    ran?;
    synced.map_err(|error| io_error("make durable", destination, error))?;
    restore.tally.tell(Event::Sync);
    if let Some(dir) = &restore.root.dir {
        sink.disk.sync_tree(dir).map_err(|error| io_error("make durable", destination, error))?;
    }
    marker.remove()?;
    Ok(restore.tally.report())
}

/// Says what [`restore_tree`] would do, without writing anything.
///
/// A file that differs in its time but not in its size counts as written: whether its content
/// differs is only found out by a restore.
pub fn plan_tree(
    sink: &Sink<'_>,
    root: &Entry,
    destination: &Destination<'_>,
    options: &Options,
) -> Result<Report, Error> {
    let chooser = Chooser::new(&options.include, &options.exclude)?;
    let mut restore = Restore::new(sink, options, Acts::Plan, chooser);
    restore.open_root(destination)?;
    restore.run(root)?;
    Ok(restore.tally.report())
}

impl<'a> Restore<'a> {
    pub fn new(sink: &'a Sink<'a>, options: &'a Options, acts: Acts, chooser: Chooser) -> Self {
        Self {
            sink,
            options,
            acts,
            cleans: false,
            chooser,
            tally: Tally::new(sink.observe),
            linked: Linked::default(),
            root: Opened::planned(),
            entries_left: AtomicU64::new(options.entries_max.unwrap_or(u64::MAX)),
            temporaries: AtomicU64::new(0),
        }
    }

    fn open_root(&mut self, destination: &Destination<'_>) -> Result<(), Error> {
        let parent = self.sink.disk.stat_dir(destination.parent);
        let parent = parent.map_err(|error| io_error("read", destination, error))?;
        let borrowed = destination.parent.0.try_clone();
        let above = Opened {
            dir: Some(Dir(borrowed.map_err(|error| io_error("open", destination, error))?)),
            is_new: false,
            device: Some(parent.device),
            locked_mode: None,
        };
        self.root = self.open_folder(&above, destination.name).map_err(|trouble| {
            io_error("restore to", destination, io::Error::other(trouble.message))
        })?;
        Ok(())
    }

    fn run(&self, root: &Entry) -> Result<(), Error> {
        let Content::Folder { node } = &root.content else { return Err(Error::NotAFolder) };
        let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES);
        let pool = pool.num_threads(self.options.threads).build();
        let pool = pool.map_err(|error| Error::Threads { why: error.to_string() })?;
        let choice = self.chooser.root();
        pool.install(|| {
            let target = Target::Root(&self.root);
            self.fill(Level { target: &target, path: b"", choice, is_complete: true }, node)?;
            self.restore_deferred()
        })?;
        self.finish_folder(&self.root, b"", root, choice);
        Ok(())
    }

    /// Draws the name for a file that does not have its own yet.
    pub fn new_temporary_name(&self) -> OsString {
        temporary_name(self.temporaries.fetch_add(1, Relaxed))
    }

    /// Lists what befell an entry; only what ends the restore goes on as an error.
    pub fn note<T>(&self, path: &[u8], result: Result<T, Failure>) -> Result<Option<T>, Error> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(Failure::Run(error)) => Err(error),
            Err(Failure::Entry(trouble)) => {
                self.tally.problem(path, trouble);
                Ok(None)
            }
        }
    }

    /// Gives a folder its metadata, after all that is in it.
    pub fn finish_folder(&self, opened: &Opened, path: &[u8], entry: &Entry, choice: Choice) {
        if self.acts == Acts::Plan {
            return self.would_finish(opened, path, entry, choice);
        }
        let Some(dir) = opened.dir.as_ref() else { return };
        if opened.is_new {
            let _ = self.sink.disk.spread(dir, Spread::Together);
        }
        let is_ours = opened.is_new || choice == Choice::Take && self.overwrites();
        let differs = || match self.sink.disk.stat_dir(dir) {
            Ok(stat) => self.metadata_differs(&stat, entry),
            Err(_) => true,
        };
        if is_ours && (opened.is_new || differs()) {
            self.set_metadata(path, Handle::Dir(dir), entry);
        } else if let Some(mode) = opened.locked_mode {
            let _ = self.sink.disk.set_mode(Handle::Dir(dir), mode);
        }
        if opened.device.is_some() && opened.device != self.root.device {
            // Another file system is mounted here: the one call for the root does not reach it.
            if let Err(error) = self.sink.disk.sync_tree(dir) {
                self.tally.problem(path, Trouble::io("make durable what is in it", &error));
            }
        }
    }
}

impl Restore<'_> {
    /// Tells what a restore would do to a folder itself.
    fn would_finish(&self, opened: &Opened, path: &[u8], entry: &Entry, choice: Choice) {
        let kind = match &opened.dir {
            None => ChangeKind::MakeFolder(entry),
            Some(_) if choice != Choice::Take || !self.overwrites() => return,
            Some(dir) => match self.sink.disk.stat_dir(dir) {
                Ok(stat) if !self.metadata_differs(&stat, entry) => return,
                _ => ChangeKind::Mend(entry),
            },
        };
        self.tally.tell(Event::Would(Change { path, kind }));
    }
}

/// Says that a restore has not finished: what lies under the names of new files may be incomplete.
struct Marker<'a> {
    sink: &'a Sink<'a>,
    at: &'a Dir,
    name: OsString,
    /// An earlier restore did not finish.
    was_there: bool,
}

impl<'a> Marker<'a> {
    /// Puts the marker beside the destination, durable before anything else is written.
    fn put(sink: &'a Sink<'a>, destination: &Destination<'a>) -> Result<Self, Error> {
        let name = marker_name(destination.name);
        let put = || {
            let was_there = match sink.disk.create_new(destination.parent, &name, 0o600) {
                Ok(_) => false,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
                Err(error) => return Err(error),
            };
            sink.disk.sync_dir(destination.parent).map(|()| was_there)
        };
        let was_there =
            put().map_err(|error| io_error("mark as unfinished", destination, error))?;
        Ok(Self { sink, at: destination.parent, name, was_there })
    }

    fn remove(self) -> Result<(), Error> {
        let removed = self.sink.disk.remove_file(self.at, &self.name);
        removed.and_then(|()| self.sink.disk.sync_dir(self.at)).map_err(|source| Error::Io {
            action: "remove",
            what: self.name.to_string_lossy().into_owned(),
            source,
        })
    }
}

fn io_error(action: &'static str, destination: &Destination<'_>, source: io::Error) -> Error {
    Error::Io { action, what: destination.name.to_string_lossy().into_owned(), source }
}
