//! Uploads under way, written down before the first byte leaves, and the ids kept for the next
//! ones.
//!
//! An entry names the id that the file will have. Whatever becomes of the process or of an answer,
//! asking for that id tells how the upload ended, and repeating it makes no second file. A session
//! address opens the session to whoever knows it, so entries are readable by us alone.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    content::Checksums,
    drive::{Drive, is_id},
    local::Local,
};
use crate::backend::{Error, ObjectName};

const IDS: &str = "ids";
const IDS_BYTES_MAX: u64 = 1 << 20;
const ENTRY_BYTES_MAX: u64 = 64 * 1024;
/// Ids are asked for in such batches, so that most runs ask for none.
const IDS_ASKED: u32 = 250;
/// A process takes so many from the file at once; what it does not use is lost and costs nothing.
const IDS_TAKEN: usize = 10;

/// An upload under way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub object: String,
    pub id: String,
    pub parent: String,
    pub bytes: u64,
    pub sums: Checksums,
    /// Where the pieces go, once the store has said so.
    pub session: Option<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.object).field(&self.id).finish()
    }
}

/// Reads and writes entries.
#[derive(Debug, Default)]
pub struct Journal {
    /// Ids taken from the file by this process.
    ids: Mutex<Vec<String>>,
}

impl Journal {
    /// Returns the entry of the object, if its upload was begun and not ended.
    pub fn entry(&self, local: &Local, name: &ObjectName) -> Result<Option<Entry>, Error> {
        let bytes = local.read(&local.uploads, &file_name(name), ENTRY_BYTES_MAX)?;
        // One that cannot be read was never used: it is written whole before anything is sent.
        let entry = bytes.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
        Ok(entry.filter(|entry| is_id(&entry.id) && is_id(&entry.parent)))
    }

    /// Writes the entry; durable on return.
    pub fn write(&self, local: &Local, name: &ObjectName, entry: &Entry) -> Result<(), Error> {
        let bytes = serde_json::to_vec(entry).expect("strings and numbers always become JSON");
        local.write(&local.uploads, &file_name(name), &bytes)
    }

    /// Ends an upload; what became of it must be written down elsewhere before.
    pub fn remove(&self, local: &Local, name: &ObjectName) -> Result<(), Error> {
        local.remove(&local.uploads, &file_name(name))
    }

    /// Takes an id that no file has yet.
    pub fn take_id(&self, local: &Local, drive: &Drive) -> Result<String, Error> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = ids.pop() {
            return Ok(id);
        }
        let mut kept = self.kept_ids(local)?;
        if kept.is_empty() {
            kept = drive.generate_ids(IDS_ASKED)?;
        }
        let taken = kept.split_off(kept.len().saturating_sub(IDS_TAKEN));
        // Before the first of them is used: no two processes may use one id for two things.
        local.write(&local.dir, IDS, kept.join("\n").as_bytes())?;
        *ids = taken;
        ids.pop().ok_or_else(|| drive.nonsense("no ids"))
    }

    /// Drops all kept ids, after the store refused one.
    pub fn forget_ids(&self, local: &Local) -> Result<(), Error> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clear();
        local.remove(&local.dir, IDS)
    }

    fn kept_ids(&self, local: &Local) -> Result<Vec<String>, Error> {
        let bytes = local.read(&local.dir, IDS, IDS_BYTES_MAX)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().filter(|line| is_id(line)).map(str::to_owned).collect())
    }
}

fn file_name(name: &ObjectName) -> String {
    format!("{}-{}", name.folder().as_str(), name.file_name())
}
