//! Folders of an export: every file, folder and link of a part.

use std::{io::Write, ops::ControlFlow, sync::Arc};

use super::{
    Run,
    manifest::{EntryKind, Kind, PartFacts, entry_name},
    zip_file::{NewEntry, Packing, ZipFile},
};
use crate::{
    chunk::Fetch,
    format::{
        node::{Content, Entry},
        record::Part,
    },
    limits::KIB,
    ops::{Error, dump, event::Meter},
    repo::tree::{Met, Step, walk},
};

/// So much of a file tells whether it is worth compressing.
const PROBE_BYTES: usize = 64 * KIB;
/// A ZIP file has two bytes for the length of a name and what goes with it.
const PATH_BYTES_MAX: usize = 60_000;

/// Adds a part of files.
pub fn add(
    run: &Run<'_>,
    zip: &mut ZipFile<'_>,
    (part, facts): (&Part, &mut PartFacts),
    root: &Entry,
) -> Result<(), Error> {
    let Content::Folder { node } = &root.content else {
        return Err(Error::NotAFile { path: part.name.clone().into_bytes(), what: "no folder" });
    };
    let env = run.repo.environment();
    let entries = part.totals.files + part.totals.folders + part.totals.others;
    let meter =
        Meter::new(run.observer, env.clock.as_ref()).with_totals(part.totals.bytes, entries);
    let fetch = run.repo.fetcher()?;
    let mut folder = Folder { run, zip, facts, fetch: Arc::clone(&fetch), meter: &meter };
    folder.add_folder(root, folder.facts.place())?;
    walk(fetch.as_ref(), node, &mut |path, met| match met {
        Met::Entry(entry) => {
            if env.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            folder.add(entry, path).map(|()| Step::Into)
        }
        Met::Unreadable(error) => Err(error.into()),
    })
}

struct Folder<'a, 'z> {
    run: &'a Run<'a>,
    zip: &'a mut ZipFile<'z>,
    facts: &'a mut PartFacts,
    fetch: Arc<dyn Fetch>,
    meter: &'a Meter<'a>,
}

impl Folder<'_, '_> {
    fn add(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Error> {
        let names: Vec<String> = path.split(|byte| *byte == b'/').map(entry_name).collect();
        let place = self.facts.place() + &names.join("/");
        if self.zip.entry_count() >= super::ENTRIES_MAX {
            return Err(Error::TooManyFiles { files_max: super::ENTRIES_MAX as u64 });
        }
        if place.len() > PATH_BYTES_MAX {
            return self.leave_out(&place, "its path is too long");
        }
        match &entry.content {
            Content::Folder { .. } => self.add_folder(entry, place + "/"),
            Content::File { .. } | Content::Database(_) => self.add_file(entry, path, place),
            Content::Link { target } => self.add_link(entry, target, place),
            Content::Fifo => self.leave_out(&place, "a pipe"),
            Content::Socket => self.leave_out(&place, "a socket"),
            Content::CharDevice { .. } | Content::BlockDevice { .. } => {
                self.leave_out(&place, "a device")
            }
        }
    }

    fn add_folder(&mut self, entry: &Entry, place: String) -> Result<(), Error> {
        let new = new_entry(entry, EntryKind::Folder, place, Packing::Stored);
        self.meter.add(0, 1, new.path.as_bytes());
        self.zip.add_folder(new).map_err(|error| self.run.output_failed(error))
    }

    fn add_link(&mut self, entry: &Entry, target: &[u8], place: String) -> Result<(), Error> {
        let new = new_entry(entry, EntryKind::Link, place, Packing::Stored);
        self.meter.add(0, 1, new.path.as_bytes());
        self.zip.add(new, target).map_err(|error| self.run.output_failed(error))
    }

    /// The beginning is held back until it has told how to pack the rest.
    fn add_file(&mut self, entry: &Entry, path: &[u8], place: String) -> Result<(), Error> {
        let kind = match self.facts.kind {
            Kind::Config => EntryKind::Config,
            _ => EntryKind::File,
        };
        let mut probe: Option<Vec<u8>> = Some(Vec::new());
        let mut failure = None;
        let mut bytes = 0;
        let taken = dump::dump_entry(Arc::clone(&self.fetch), entry, path.to_vec(), &mut |piece| {
            bytes += piece.len() as u64;
            let done = match &mut probe {
                Some(held) if held.len() + piece.len() < PROBE_BYTES => {
                    held.extend_from_slice(piece);
                    Ok(())
                }
                Some(held) => {
                    held.extend_from_slice(piece);
                    let held = probe.take().unwrap_or_default();
                    let packing = packing_of(&held);
                    self.zip
                        .begin(new_entry(entry, kind, place.clone(), packing))
                        .and_then(|()| self.zip.write_all(&held))
                }
                None => self.zip.write_all(piece),
            };
            match done {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failure {
            return Err(self.run.output_failed(error));
        }
        taken?;
        self.meter.add(bytes, 1, path);
        match probe {
            Some(held) => {
                let new = new_entry(entry, kind, place, packing_of(&held));
                self.zip.add(new, &held).map_err(|error| self.run.output_failed(error))
            }
            None => {
                let _ = self.zip.finish_entry();
                Ok(())
            }
        }
    }

    fn leave_out(&mut self, place: &str, what: &str) -> Result<(), Error> {
        self.meter.add(0, 1, place.as_bytes());
        self.facts.left_out.push(format!("{place}: {what}"));
        Ok(())
    }
}

const fn new_entry(entry: &Entry, kind: EntryKind, path: String, packing: Packing) -> NewEntry {
    NewEntry { path, kind, mode: entry.mode & 0o777, modified: entry.modified, packing }
}

/// Pictures and the like are not compressed a second time.
fn packing_of(beginning: &[u8]) -> Packing {
    let packed = zstd::bulk::compress(beginning, 1).map_or(usize::MAX, |packed| packed.len());
    if packed > beginning.len() / 20 * 19 { Packing::Stored } else { Packing::Deflated }
}
