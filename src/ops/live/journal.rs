//! What a live restore leaves in the state folder so that any later command can finish it or take
//! it back.
//!
//! One journal, `live.json`, from before the first change until after the last one; one list of
//! moves for each site, complete and durable before the first move. Both are replaced as a whole.
//! Hooks and paths stand in it, never content.

use std::{ffi::OsStr, io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{self, Dir, Disk},
    format::record::PartKind,
    ops::live::{moves::Move, path_text},
};

const JOURNAL: &str = "live.json";
/// What the last live restore did, for `undo`.
const LAST: &str = "live-last.json";
const JOURNAL_BYTES_MAX: u64 = 16 << 20;
/// Lists of moves name every changed file.
const MOVES_BYTES_MAX: u64 = 4 << 30;

/// How far a live restore has come. All before [`Step::Starting`] is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Files are written beside their places.
    Staging,
    /// The application is being stopped, or was.
    Stopping,
    /// Files change places.
    Swapping,
    /// All is in its place and verified; the application is being started.
    Starting,
    /// The application runs; what is left beside is being removed.
    Clearing,
}

/// A live restore under way, or the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub id: String,
    pub step: Step,
    /// Nanoseconds since 1970 UTC.
    pub started: i64,
    /// What was asked for, as it was typed.
    pub asked: String,
    pub sites: Vec<JournalSite>,
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub hook_timeout: Duration,
    /// The snapshot of what was there before; nothing if nothing was.
    pub safety: Option<String>,
    /// Parts of the safety snapshot.
    pub saved: Vec<String>,
}

/// One folder in which things change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalSite {
    pub part: String,
    pub kind: PartKind,
    #[serde(with = "path_text")]
    pub root: PathBuf,
    /// Folders that were missing, the root last.
    #[serde(with = "path_text::list")]
    pub made: Vec<PathBuf>,
    /// The folder below the root in which things wait for their place, and in which those wait that
    /// gave up theirs.
    pub staging: String,
    /// Database files that change or go, below the root.
    #[serde(with = "path_text::bytes_list")]
    pub databases: Vec<Vec<u8>>,
    /// When the root itself had changed last: the staging folder changes that.
    pub modified: Option<(i64, u32)>,
}

impl JournalSite {
    pub fn staging_path(&self) -> PathBuf {
        self.root.join(&self.staging)
    }
}

impl Journal {
    /// Reads the journal of a live restore that has not ended.
    pub fn read(disk: &dyn Disk, at: &Dir) -> io::Result<Option<Self>> {
        read_json(disk, at, JOURNAL)
    }

    /// Reads what the last live restore did.
    pub fn read_last(disk: &dyn Disk, at: &Dir) -> io::Result<Option<Self>> {
        read_json(disk, at, LAST)
    }

    /// Says how far it is; durable on return.
    pub fn write(&self, disk: &dyn Disk, at: &Dir) -> io::Result<()> {
        write_json(disk, at, JOURNAL, self)
    }

    /// Ends the journal of a restore that is to be undone later, maybe. Its lists of moves stay;
    /// durable on return.
    pub fn finish(&self, disk: &dyn Disk, at: &Dir) -> io::Result<()> {
        let former = Self::read_last(disk, at).unwrap_or_default();
        disk.rename(at, JOURNAL.as_ref(), at, LAST.as_ref(), disk::Replace::Yes)?;
        disk.sync_dir(at)?;
        if let Some(former) = former.filter(|former| former.id != self.id) {
            former.remove_moves(disk, at);
        }
        Ok(())
    }

    /// Ends the journal of a restore that was taken back; durable on return.
    pub fn remove(&self, disk: &dyn Disk, at: &Dir) -> io::Result<()> {
        match disk.remove_file(at, JOURNAL.as_ref()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => disk.sync_dir(at)?,
        }
        self.remove_moves(disk, at);
        Ok(())
    }

    /// Without their journal they mean nothing, so nobody minds if one stays.
    fn remove_moves(&self, disk: &dyn Disk, at: &Dir) {
        for number in 0..self.sites.len() {
            let _ = disk.remove_file(at, self.moves_name(number).as_ref());
        }
    }

    /// Reads the moves of a site. A list that was never written is empty: nothing was moved.
    pub fn read_moves(&self, disk: &dyn Disk, at: &Dir, site: usize) -> io::Result<Vec<Move>> {
        let name = self.moves_name(site);
        let bytes = match disk::file::read(disk, at, name.as_ref(), MOVES_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes?,
        };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(io::Error::other)).collect()
    }

    /// Writes the moves of a site; durable on return.
    pub fn write_moves(
        &self,
        disk: &dyn Disk,
        at: &Dir,
        (site, moves): (usize, &[Move]),
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for one in moves {
            bytes.extend(serde_json::to_vec(one).map_err(io::Error::other)?);
            bytes.push(b'\n');
        }
        disk::file::replace(disk, at, self.moves_name(site).as_ref(), &bytes, 0o600)
    }

    fn moves_name(&self, site: usize) -> String {
        format!("live-{}-{site}.moves", self.id)
    }
}

fn read_json(disk: &dyn Disk, at: &Dir, name: &str) -> io::Result<Option<Journal>> {
    match disk::file::read(disk, at, OsStr::new(name), JOURNAL_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => serde_json::from_slice(&bytes?).map(Some).map_err(io::Error::other),
    }
}

fn write_json(disk: &dyn Disk, at: &Dir, name: &str, journal: &Journal) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(journal).map_err(io::Error::other)?;
    disk::file::replace(disk, at, OsStr::new(name), &bytes, 0o600)
}
