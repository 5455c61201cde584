//! Owner, extended attributes, mode and time, in the order in which they do not undo each other.

use std::{ffi::OsStr, io};

use crate::{
    disk::{Dir, Handle, Stat},
    format::node::{Content, Entry},
    sink::files::{Overwrite, Owners, failure::Trouble, restore::Restore},
};

/// Bits that give a program the rights of its owner or group.
const SET_ID_BITS: u32 = 0o6000;

/// Attributes that only root may set.
const ROOT_NAMESPACES: [&[u8]; 2] = [b"security.", b"trusted."];

impl Restore<'_> {
    /// Whether existing entries may be changed.
    pub fn overwrites(&self) -> bool {
        self.options.overwrite != Overwrite::Never
    }

    /// Whether what exists has another mode, owner or time than the entry.
    pub fn metadata_differs(&self, stat: &Stat, entry: &Entry) -> bool {
        let owner_differs = (stat.uid, stat.gid) != self.options.owner_map.of(entry);
        stat.mode != self.mode_of(entry)
            || stat.modified != entry.modified
            || owner_differs && self.options.owners == Owners::Restored
    }

    /// Sets all metadata of what is open. What cannot be set is listed; the content stays.
    pub fn set_metadata(&self, path: &[u8], of: Handle<'_>, entry: &Entry) {
        let disk = self.sink.disk;
        // A change of owner takes away capabilities, which are an attribute, and set-user bits.
        if self.options.owners == Owners::Restored {
            let (uid, gid) = self.options.owner_map.of(entry);
            self.note_metadata(path, "owner", disk.set_owner(of, uid, gid));
        }
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| self.may_set(name)) {
            self.note_metadata(path, "extended attributes", disk.set_xattr(of, name, value));
        }
        self.note_metadata(path, "mode", disk.set_mode(of, self.mode_of(entry)));
        self.note_metadata(path, "time", disk.set_modified(of, entry.modified));
    }

    /// Sets the metadata of a name that cannot be opened.
    pub fn set_metadata_at(&self, path: &[u8], at: (&Dir, &OsStr), entry: &Entry) {
        let disk = self.sink.disk;
        if self.options.owners == Owners::Restored {
            let (uid, gid) = self.options.owner_map.of(entry);
            let owned = disk.set_owner_at(at.0, at.1, uid, gid);
            self.note_metadata(path, "owner", owned);
        }
        if !matches!(entry.content, Content::Link { .. }) {
            let mode = disk.set_mode_at(at.0, at.1, self.mode_of(entry));
            self.note_metadata(path, "mode", mode);
        }
        self.note_metadata(path, "time", disk.set_modified_at(at.0, at.1, entry.modified));
    }

    fn note_metadata(&self, path: &[u8], what: &str, result: io::Result<()>) {
        if let Err(error) = result {
            let message = format!("cannot set its {what}: {error}");
            self.tally.problem(path, Trouble::new("metadata", message));
        }
    }

    fn may_set(&self, xattr: &[u8]) -> bool {
        self.options.owners == Owners::Restored
            || !ROOT_NAMESPACES.iter().any(|space| xattr.starts_with(space))
    }

    const fn mode_of(&self, entry: &Entry) -> u32 {
        match self.options.owners {
            Owners::Restored => entry.mode,
            // With another owner they would hand out rights that nobody meant to give.
            Owners::Ours => entry.mode & !SET_ID_BITS,
        }
    }
}
