//! How an object is stored and deleted: the journal around an upload, the comparison after it.

use super::{
    Deletion, GDriveBackend,
    content::{Content, difference},
    journal::Entry,
    objects::Known,
    remote::{self, Remote},
    upload::{Begun, Outcome, Upload},
};
use crate::backend::{Backend, Error, ObjectName};

/// How often one call may begin anew because an id or a shelf was refused.
const ATTEMPTS_MAX: usize = 4;

impl GDriveBackend {
    pub(super) fn put(&self, name: &ObjectName, content: &Content<'_>) -> Result<(), Error> {
        self.take()?;
        self.glimpse.forget();
        let _turn = self.turn(name);
        let known = self.objects.get(name);
        if !known.is_empty() {
            return self.settle_known(name, content, &known);
        }
        for _ in 0..ATTEMPTS_MAX {
            let (mut entry, begun) = self.entry_for(name, content)?;
            let upload = Upload {
                drive: &self.drive,
                local: &self.local,
                journal: &self.journal,
                name,
                content,
                sizes: self.sizes,
                limit: self.upload_limit.as_deref(),
            };
            match upload.run(&mut entry, begun)? {
                Outcome::Stored(remote) => return self.finish(name, &entry, &remote),
                Outcome::IdRefused => self.journal.forget_ids(&self.local)?,
                Outcome::ShelfFull => self.shelves.is_full(&self.local, &entry.parent)?,
                Outcome::ShelfGone => {
                    self.shelves.is_gone(&self.local, &self.drive, &entry.parent)?;
                }
            }
            self.journal.remove(&self.local, name)?;
        }
        Err(self.drive.nonsense("refusals of every id and folder"))
    }

    /// Ends an upload that was noted and not taken out of the journal; else the name is taken.
    fn settle_known(
        &self,
        name: &ObjectName,
        content: &Content<'_>,
        known: &[Known],
    ) -> Result<(), Error> {
        match self.journal.entry(&self.local, name)? {
            Some(entry)
                if content.is_of(&entry) && known.iter().any(|known| known.id == entry.id) =>
            {
                self.journal.remove(&self.local, name)
            }
            _ => Err(self.exists(name)),
        }
    }

    /// Returns the journal's entry for the object, or a new one.
    fn entry_for(&self, name: &ObjectName, content: &Content<'_>) -> Result<(Entry, Begun), Error> {
        if let Some(entry) = self.journal.entry(&self.local, name)? {
            if content.is_of(&entry) {
                return Ok((entry, Begun::Earlier));
            }
            self.settle_other(name, &entry)?;
        }
        let parent = self.shelves.for_next(
            &self.local,
            (&self.drive, &self.journal),
            name.folder(),
            self.objects.count(name.folder()),
        )?;
        let entry = Entry {
            object: name.to_string(),
            id: self.journal.take_id(&self.local, &self.drive)?,
            parent,
            bytes: content.bytes(),
            sums: content.checksums().clone(),
            session: None,
        };
        self.journal.write(&self.local, name, &entry)?;
        Ok((entry, Begun::Now))
    }

    /// Ends an earlier upload under the name, of other content.
    ///
    /// # Errors
    /// [`Error::Exists`] if it had succeeded.
    fn settle_other(&self, name: &ObjectName, entry: &Entry) -> Result<(), Error> {
        if let Some(remote) = self.drive.file(&entry.id)?
            && self.finish(name, entry, &remote).is_ok()
        {
            return Err(self.exists(name));
        }
        self.journal.remove(&self.local, name)
    }

    /// Compares what the store has with what was sent, and notes it; durable on return.
    fn finish(&self, name: &ObjectName, entry: &Entry, remote: &Remote) -> Result<(), Error> {
        let known = match (difference(entry.bytes, &entry.sums, remote), Known::of(remote)) {
            (None, Some(known)) => known,
            (why, _) => {
                // Nothing refers to it yet. Away with it first: without its entry nobody would.
                if !remote.trashed {
                    self.drive.trash(&remote.id, remote::DELETED)?;
                }
                self.journal.remove(&self.local, name)?;
                return Err(Error::NotAsSent {
                    name: name.clone(),
                    place: self.place(),
                    why: why.unwrap_or("too little is said of it").to_owned(),
                });
            }
        };
        self.objects.add(&self.local, name, known)?;
        self.journal.remove(&self.local, name)
    }

    pub(super) fn remove(&self, name: &ObjectName) -> Result<(), Error> {
        self.take()?;
        self.glimpse.forget();
        let _turn = self.turn(name);
        let mut ids: Vec<String> = Vec::new();
        if let Some(entry) = self.journal.entry(&self.local, name)? {
            ids.push(entry.id);
        }
        // The listing finds what other machines sent under the name as well.
        let found = self.look_for(name)?;
        ids.extend(found.into_iter().map(|known| known.id));
        for id in ids {
            match self.deletion {
                Deletion::Trash => self.drive.trash(&id, remote::DELETED)?,
                Deletion::ForGood => self.drive.delete(&id)?,
            }
            let _ = self.deleted().insert(id);
        }
        self.objects.remove(&self.local, name)?;
        self.journal.remove(&self.local, name)
    }
}
