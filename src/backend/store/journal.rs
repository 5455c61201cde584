//! Remembers uploads that are under way, so that the next process goes on with them.
//!
//! A cache like all local state: without it an upload begins again, and what was sent of it is
//! left to the store's own cleaning.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::ObjectName,
    disk::{Dir, Disk, file},
};

const SESSION_BYTES_MAX: u64 = 64 << 10;

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the store calls the upload.
    pub upload: String,
    /// Size of all parts but the last.
    pub part_bytes: u64,
    /// What the store called the parts that it has, in order.
    pub parts: Vec<String>,
}

/// Keeps sessions, one for each object.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Returns the session of an object, if there is one that can be read.
    fn load(&self, name: &ObjectName) -> Option<Session>;

    /// Keeps a session; durable on return, or not at all.
    fn keep(&self, name: &ObjectName, session: &Session);

    /// Drops a session that has come to its end.
    fn forget(&self, name: &ObjectName);
}

/// Sessions as files of a state folder.
pub struct StateJournal {
    disk: Arc<dyn Disk>,
    dir: Dir,
    of: String,
}

impl StateJournal {
    /// Keeps the sessions of one place in this folder, which others may use too.
    pub const fn new(disk: Arc<dyn Disk>, dir: Dir, of: String) -> Self {
        Self { disk, dir, of }
    }

    /// The same object may be on its way to several places.
    fn file_name(&self, name: &ObjectName) -> OsString {
        format!("mirror-{}-upload-{}", self.of, name.file_name()).into()
    }
}

impl Journal for StateJournal {
    fn load(&self, name: &ObjectName) -> Option<Session> {
        let bytes =
            file::read(&*self.disk, &self.dir, &self.file_name(name), SESSION_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn keep(&self, name: &ObjectName, session: &Session) {
        let bytes = serde_json::to_vec(session).expect("strings and numbers become JSON");
        // Without it a later process sends the parts again: dearer, not wrong.
        let _ = file::replace(&*self.disk, &self.dir, &self.file_name(name), &bytes, 0o600);
    }

    fn forget(&self, name: &ObjectName) {
        let _ = self.disk.remove_file(&self.dir, &self.file_name(name));
    }
}

impl fmt::Debug for StateJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateJournal")
    }
}

/// Sessions of this process only.
#[derive(Debug, Default)]
pub struct ProcessJournal(Mutex<HashMap<ObjectName, Session>>);

impl ProcessJournal {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectName, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for ProcessJournal {
    fn load(&self, name: &ObjectName) -> Option<Session> {
        self.lock().get(name).cloned()
    }

    fn keep(&self, name: &ObjectName, session: &Session) {
        let _ = self.lock().insert(name.clone(), session.clone());
    }

    fn forget(&self, name: &ObjectName) {
        let _ = self.lock().remove(name);
    }
}
