//! What files with several names hold, so that each is read once and its names agree.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{disk::Stat, format::node::Entry};

/// Files remembered at most; beyond it a file is read once for each name, which costs time and
/// nothing else.
const LINKED_FILES_MAX: usize = 65_536;

/// Files with several names that were read in this run.
#[derive(Debug, Default)]
pub struct Linked {
    read: Mutex<HashMap<(u64, u64), Entry>>,
}

impl Linked {
    /// Returns the entry of another name of the same file, if the file was not touched since.
    pub fn get(&self, stat: &Stat) -> Option<Entry> {
        if stat.links < 2 {
            return None;
        }
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = read.get(&(stat.device, stat.inode))?;
        let is_untouched = entry.changed == stat.changed && entry.modified == stat.modified;
        is_untouched.then(|| entry.clone())
    }

    /// Remembers a file that was read without a problem.
    pub fn remember(&self, entry: &Entry) {
        if entry.links < 2 || entry.problem.is_some() {
            return;
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() < LINKED_FILES_MAX {
            let _ = read.insert((entry.device, entry.inode), entry.clone());
        }
    }
}
