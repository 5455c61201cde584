//! What is known of a mirror: which objects it has and what it calls them, and how the last attempt
//! ended.
//!
//! A line for each object, added when the upload was verified, so that an hourly run lists nothing.
//! A ledger that is lost, or that belongs to another place, is empty; then the next push lists.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    io,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{Capabilities, Folder, ObjectName, Receipt},
    clock::UnixNanos,
    disk::{Dir, Disk, file, write_all_at},
    id::{PackId, SnapshotId},
    repo::Repository,
};

const NOTES_BYTES_MAX: u64 = 1 << 20;
/// Some million objects.
const LINES_BYTES_MAX: u64 = 512 << 20;

/// What is remembered of a mirror besides its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Where it is; a mirror of the same name elsewhere is another one.
    pub place: String,
    /// Whether the place passed its test, and what it is capable of.
    pub proven: Option<Proven>,
    /// Whether it was ever found to hold this repository.
    pub was_used: bool,
    /// Whether all objects it has are in the ledger.
    pub is_listed: bool,
    /// Whether the objects come from a listing: what relies on what is not there is not known then.
    pub is_doubted: bool,
    /// How the last attempt ended.
    pub last: Option<Memory>,
    /// When an attempt last succeeded, or a comparison found nothing wrong.
    pub reached: Option<UnixNanos>,
    /// How its retention stands.
    pub tended: Tended,
}

/// When the mirror's policy was last applied. Decides when to look again, never what goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tended {
    pub at: Option<UnixNanos>,
    /// How many snapshots stayed.
    pub kept: u64,
    /// Something there is condemned and waits for the next prune.
    pub is_unfinished: bool,
}

/// Capabilities, as they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    conditional_create: bool,
    strong_listing: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub at: UnixNanos,
    /// Of the error, if it failed.
    pub code: Option<String>,
    pub message: String,
    pub bytes_waiting: u64,
    pub snapshots_waiting: u64,
}

/// What is known of one mirror.
pub struct Ledger {
    disk: Arc<dyn Disk>,
    dir: Dir,
    mirror: String,
    pub notes: Notes,
    objects: BTreeMap<ObjectName, Receipt>,
    /// What was removed there on purpose, by what the mirror itself says.
    removed: HashSet<ObjectName>,
    /// Where the next line goes.
    end: u64,
}

impl Ledger {
    /// Reads what is known of the mirror at this place.
    pub fn load(repo: &Repository, mirror: &str, place: &str) -> io::Result<Self> {
        let env = repo.environment();
        // A handle of our own: what is known outlives the opened repository.
        let dir = env.disk.open_root(repo.state_path())?;
        let mut ledger = Self {
            disk: Arc::clone(&env.disk),
            dir,
            mirror: mirror.to_owned(),
            notes: Notes { place: place.to_owned(), ..Notes::default() },
            objects: BTreeMap::new(),
            removed: HashSet::new(),
            end: 0,
        };
        let notes = file::read(&*ledger.disk, &ledger.dir, &ledger.notes_file(), NOTES_BYTES_MAX);
        let notes = notes.ok().and_then(|bytes| serde_json::from_slice::<Notes>(&bytes).ok());
        match notes.filter(|notes| notes.place == place) {
            Some(notes) => {
                ledger.notes = notes;
                ledger.read_lines();
            }
            None => ledger.start_anew()?,
        }
        Ok(ledger)
    }

    /// Drops all that is known of a mirror.
    pub fn remove(repo: &Repository, mirror: &str) -> io::Result<()> {
        let disk = &repo.environment().disk;
        let dir = disk.open_root(repo.state_path())?;
        for name in [notes_file(mirror), lines_file(mirror)] {
            match disk.remove_file(&dir, &name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether the mirror is known to have the object.
    pub fn has(&self, name: &ObjectName) -> bool {
        self.objects.contains_key(name)
    }

    /// Whether the mirror is known to show the snapshot.
    pub fn shows(&self, snapshot: SnapshotId) -> bool {
        self.has(&ObjectName::Snapshot(snapshot))
    }

    /// Whether the object was removed from the mirror on purpose, and is not to be sent again.
    pub fn was_removed(&self, name: &ObjectName) -> bool {
        self.removed.contains(name)
    }

    /// All objects that the mirror is known to have.
    pub const fn objects(&self) -> &BTreeMap<ObjectName, Receipt> {
        &self.objects
    }

    /// What the place was found capable of.
    pub fn proven(&self) -> Option<Capabilities> {
        let Proven { conditional_create, strong_listing } = self.notes.proven?;
        Some(Capabilities { conditional_create, strong_listing, is_remote: true })
    }

    /// Keeps what a test of the place found.
    pub fn set_proven(&mut self, found: Capabilities) -> io::Result<()> {
        let Capabilities { conditional_create, strong_listing, .. } = found;
        self.notes.proven = Some(Proven { conditional_create, strong_listing });
        self.save_notes()
    }

    /// Adds an object that was verified there.
    pub fn add(&mut self, name: &ObjectName, receipt: Receipt) -> io::Result<()> {
        let id: String = receipt.remote_id.chars().filter(|c| !c.is_control()).collect();
        self.append(&format!("+{name}\t{}\t{id}\n", receipt.bytes))?;
        let _ = self.objects.insert(name.clone(), receipt);
        Ok(())
    }

    /// Adds a tombstone that stands there, and what it condemns: none of it is sent again.
    pub fn add_tombstone(&mut self, name: &ObjectName, packs: &[PackId]) -> io::Result<()> {
        for pack in packs.iter().copied().map(ObjectName::Pack) {
            self.append(&format!("!{pack}\n"))?;
            let _ = self.removed.insert(pack);
        }
        // Last: who finds the tombstone here asks no more what it says.
        self.add(name, Receipt { remote_id: String::new(), bytes: 0 })
    }

    /// Drops an object that is not there any more.
    pub fn drop_object(&mut self, name: &ObjectName) -> io::Result<()> {
        if self.objects.remove(name).is_some() {
            self.append(&format!("-{name}\n"))?;
        }
        Ok(())
    }

    /// Takes these objects, from a listing, for all that is there. What is known of them stays.
    pub fn replace(
        &mut self,
        listed: Vec<(ObjectName, u64)>,
        removed: HashSet<ObjectName>,
    ) -> io::Result<()> {
        self.removed = removed;
        self.notes.was_used = true;
        let mut known = std::mem::take(&mut self.objects);
        for (name, bytes) in listed {
            let receipt = known.remove(&name).filter(|receipt| receipt.bytes == bytes);
            let receipt = receipt.unwrap_or(Receipt { remote_id: String::new(), bytes });
            let _ = self.objects.insert(name, receipt);
        }
        self.notes.is_listed = true;
        self.notes.is_doubted = !self.objects.is_empty();
        self.write_lines()?;
        self.save_notes()
    }

    /// Everything that it shows was looked into, and is complete.
    pub fn trust(&mut self) -> io::Result<()> {
        self.notes.is_doubted = false;
        self.save_notes()
    }

    /// What is known is not all that is there any more: the next push lists.
    pub fn doubt(&mut self) -> io::Result<()> {
        self.notes.is_listed = false;
        self.save_notes()
    }

    /// Forgets what is there.
    pub fn start_anew(&mut self) -> io::Result<()> {
        self.objects.clear();
        self.removed.clear();
        self.notes.is_listed = false;
        self.notes.is_doubted = false;
        self.notes.proven = None;
        self.notes.was_used = false;
        self.write_lines()?;
        self.save_notes()
    }

    /// Keeps how an attempt ended; durable on return.
    pub fn remember(&mut self, memory: Memory) -> io::Result<()> {
        if memory.code.is_none() {
            self.notes.reached = Some(memory.at);
        }
        self.notes.last = Some(memory);
        self.save_notes()
    }

    /// Keeps that the mirror was compared and is as it should be; durable on return.
    pub fn reach(&mut self, at: UnixNanos) -> io::Result<()> {
        self.notes.reached = Some(at);
        self.save_notes()
    }

    /// Keeps how the mirror's retention stands; durable on return.
    pub fn set_tended(&mut self, tended: Tended) -> io::Result<()> {
        self.notes.tended = tended;
        self.save_notes()
    }

    fn notes_file(&self) -> OsString {
        notes_file(&self.mirror)
    }

    fn save_notes(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.notes).expect("plain values become JSON");
        file::replace(&*self.disk, &self.dir, &self.notes_file(), &bytes, 0o600)
    }

    fn read_lines(&mut self) {
        let name = lines_file(&self.mirror);
        let Ok(bytes) = file::read(&*self.disk, &self.dir, &name, LINES_BYTES_MAX) else {
            self.notes.is_listed = false;
            return;
        };
        // A line that was cut by a crash is one object that is verified once more.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.end = whole as u64;
        for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
            match line.split_at_checked(1) {
                Some(("+", object)) => {
                    if let Some((name, receipt)) = parse(object) {
                        let _ = self.objects.insert(name, receipt);
                    }
                }
                Some(("-", object)) => {
                    if let Some(name) = parse_name(object) {
                        let _ = self.objects.remove(&name);
                    }
                }
                Some(("!", object)) => self.removed.extend(parse_name(object)),
                _ => {}
            }
        }
    }

    fn write_lines(&mut self) -> io::Result<()> {
        let mut text = String::new();
        for (name, Receipt { remote_id, bytes }) in &self.objects {
            text.push_str(&format!("+{name}\t{bytes}\t{remote_id}\n"));
        }
        self.removed.iter().for_each(|name| text.push_str(&format!("!{name}\n")));
        self.end = text.len() as u64;
        let name = lines_file(&self.mirror);
        file::replace(&*self.disk, &self.dir, &name, text.as_bytes(), 0o600)
    }

    /// Not synced: a line that a power cut takes is found again.
    fn append(&mut self, line: &str) -> io::Result<()> {
        let file = self.disk.open_rw(&self.dir, &lines_file(&self.mirror))?;
        write_all_at(&*self.disk, &file, line.as_bytes(), self.end)?;
        self.end += line.len() as u64;
        Ok(())
    }
}

fn notes_file(mirror: &str) -> OsString {
    format!("mirror-{mirror}.json").into()
}

fn lines_file(mirror: &str) -> OsString {
    format!("mirror-{mirror}.objects").into()
}

fn parse(text: &str) -> Option<(ObjectName, Receipt)> {
    let mut fields = text.split('\t');
    let name = parse_name(fields.next()?)?;
    let bytes = fields.next()?.parse().ok()?;
    let remote_id = fields.next()?.to_owned();
    Some((name, Receipt { remote_id, bytes }))
}

fn parse_name(text: &str) -> Option<ObjectName> {
    let (folder, name) = text.split_once('/')?;
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder)?;
    ObjectName::parse(folder, name)
}
