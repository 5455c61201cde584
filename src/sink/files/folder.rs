//! Restores what is in one folder: its entries in parallel, its own metadata last.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, sync::atomic::Ordering::Relaxed};

use rayon::prelude::*;

use crate::{
    format::{
        entry::is_entry_name,
        node::{Content, Entry},
        stream::Stream,
    },
    limits::FOLDER_DEPTH_MAX,
    repo::tree::{NodeEntries, walk::join},
    sink::files::{
        Error,
        choice::Choice,
        failure::{Failure, Trouble},
        restore::Restore,
        tally::Done,
        target::Target,
    },
};

/// Entries of one folder that are in memory at a time.
const WINDOW_ENTRIES: usize = 1024;

/// A folder on the way down.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    pub target: &'a Target<'a>,
    /// Below the root; empty for the root.
    pub path: &'a [u8],
    pub choice: Choice,
    /// Whether the snapshot knows all that was in the folder.
    pub is_complete: bool,
}

impl Restore<'_> {
    /// Restores all that the node of a folder holds.
    pub fn fill(&self, level: Level<'_>, node: &Stream) -> Result<(), Error> {
        let extra = self.list_extra(level).map_err(Failure::Entry);
        let Some(mut extra) = self.note(level.path, extra)? else { return Ok(()) };
        let mut entries = NodeEntries::new(self.sink.fetch, node);
        loop {
            let (window, end) = next_window(&mut entries);
            for entry in &window {
                let _ = extra.remove(OsStr::from_bytes(&entry.name));
            }
            window.par_iter().try_for_each(|entry| self.entry(level, entry))?;
            match end {
                None => {}
                Some(Ok(())) => return self.delete_extra(level, extra),
                // The rest of the folder is unknown, so nothing in it may be deleted.
                Some(Err(error)) => {
                    return self.note(level.path, Err(error)).map(|_: Option<()>| ());
                }
            }
        }
    }

    /// Restores one entry.
    fn entry(&self, level: Level<'_>, entry: &Entry) -> Result<(), Error> {
        if self.sink.stop.load(Relaxed) {
            return Err(Error::Stopped);
        }
        let one_less = |left: u64| left.checked_sub(1);
        if self.entries_left.fetch_update(Relaxed, Relaxed, one_less).is_err() {
            let entries_max = self.options.entries_max.unwrap_or(u64::MAX);
            return Err(Error::TooManyEntries { entries_max });
        }
        let path = path_of(level.path, &entry.name);
        // The decoder refuses such names; this is the last line before the disk.
        if !is_entry_name(&entry.name) {
            self.tally.problem(&path, Trouble::new("damaged", "it has a name that none can have"));
            return Ok(());
        }
        let is_dir = matches!(entry.content, Content::Folder { .. });
        match (self.chooser.choose(level.choice, &path, is_dir), &entry.content) {
            (Choice::Leave, _) => Ok(()),
            (choice, Content::Folder { node }) => self.folder(level, &path, entry, (node, choice)),
            _ => self.leaf(level.target, &path, entry),
        }
    }

    fn folder(
        &self,
        above: Level<'_>,
        path: &[u8],
        entry: &Entry,
        (node, choice): (&Stream, Choice),
    ) -> Result<(), Error> {
        if path.iter().filter(|&&byte| byte == b'/').count() >= FOLDER_DEPTH_MAX {
            self.tally
                .problem(path, Trouble::new("too-deep", "folders lie too deep in each other"));
            return Ok(());
        }
        let target = Target::below(above.target, OsStr::from_bytes(&entry.name));
        if choice == Choice::Take {
            if let Err(trouble) = target.open(self) {
                self.tally.problem(path, trouble);
                return Ok(());
            }
            self.tally.done(path, Done::Folder, 0);
        }
        let is_complete = entry.problem.is_none();
        self.fill(Level { target: &target, path, choice, is_complete }, node)?;
        if let Some(opened) = target.opened() {
            self.finish_folder(opened, path, entry, choice);
        }
        Ok(())
    }

    /// Restores what is not a folder.
    fn leaf(&self, at: &Target<'_>, path: &[u8], entry: &Entry) -> Result<(), Error> {
        let opened = match at.open(self) {
            Ok(opened) => opened,
            Err(trouble) => {
                self.tally.problem(path, trouble);
                return Ok(());
            }
        };
        let restored = match &entry.content {
            Content::Socket => Ok(Done::SocketSkipped),
            Content::File { .. } => self.file(opened, path, entry),
            _ => self.other(opened, path, entry),
        };
        if let Some(done) = self.note(path, restored)? {
            self.tally.done(path, done, bytes_of(entry));
        }
        Ok(())
    }
}

/// Reads the next entries; at the end of the node says whether it was sound.
fn next_window(entries: &mut NodeEntries<'_>) -> (Vec<Entry>, Option<Result<(), Failure>>) {
    let mut window = Vec::new();
    while window.len() < WINDOW_ENTRIES {
        match entries.next() {
            Some(Ok(entry)) => window.push(entry),
            Some(Err(error)) => return (window, Some(Err(error.into()))),
            None => return (window, Some(Ok(()))),
        }
    }
    (window, None)
}

/// The path of a name in a folder, below the root.
pub fn path_of(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    join(&mut path, name);
    path
}

fn bytes_of(entry: &Entry) -> u64 {
    match &entry.content {
        Content::File { bytes, .. } => *bytes,
        Content::Database(image) => image.bytes(),
        _ => 0,
    }
}
