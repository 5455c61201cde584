//! How an object is found and read: by the ids that are remembered, else by a listing; and how a
//! listing is told.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    time::Duration,
};

use super::{
    GDriveBackend,
    answer::{Class, No},
    content::{Content, difference, md5_of},
    http::Answer,
    objects::Known,
    remote::Remote,
};
use crate::backend::{Error, Folder, Listed, Listing, ObjectName, Receipt};

/// A name that no listing shows is looked for again after so long: listings lag.
const MISS_PAUSE: Duration = Duration::from_secs(2);
const MISS_LISTINGS: usize = 2;
/// A file that is gone is looked for once more under another id.
const READS_MAX: usize = 2;

impl GDriveBackend {
    /// Returns the files that hold the object, from memory if it knows any.
    pub(super) fn look_for(&self, name: &ObjectName) -> Result<Vec<Known>, Error> {
        let known = self.objects.get(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let _listing = self.list_folder(name.folder())?;
        Ok(self.objects.get(name))
    }

    /// Like [`look_for`](Self::look_for), but believes in an absence only when it lasts.
    pub(super) fn require(&self, name: &ObjectName) -> Result<Vec<Known>, Error> {
        for attempt in 0..MISS_LISTINGS {
            if attempt > 0 {
                self.clock.sleep(MISS_PAUSE);
            }
            let known = self.look_for(name)?;
            if !known.is_empty() {
                return Ok(known);
            }
        }
        Err(self.missing(name))
    }

    /// Reads from the first file that gives what was asked for; of two, either is as good.
    pub(super) fn read<T>(
        &self,
        name: &ObjectName,
        read: impl Fn(&Known) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..READS_MAX {
            let mut outcome = Err(self.missing(name));
            for known in self.require(name)? {
                outcome = read(&known);
                match &outcome {
                    Err(Error::Missing { .. } | Error::BadAnswer { .. }) => {}
                    _ => return outcome,
                }
            }
            match outcome {
                // Deleted behind our back, or so it seems: a listing decides.
                Err(Error::Missing { .. }) => {
                    self.glimpse.forget();
                    self.objects.forget(name);
                }
                outcome => return outcome,
            }
        }
        Err(self.missing(name))
    }

    /// Compares what the store says of an object with content.
    pub(super) fn compare(&self, name: &ObjectName, content: &Content<'_>) -> Result<(), Error> {
        let why = self.read(name, |known| match self.drive.file(&known.id)? {
            Some(remote) if !remote.trashed => {
                Ok(difference(content.bytes(), content.checksums(), &remote))
            }
            _ => Err(self.missing(name)),
        })?;
        match why {
            None => Ok(()),
            Some(why) => {
                let (name, place) = (name.clone(), self.drive.place().to_owned());
                Err(Error::NotAsSent { name, place, why: why.to_owned() })
            }
        }
    }

    /// What the store calls an object.
    pub(super) fn receipt(&self, name: &ObjectName) -> Result<Receipt, Error> {
        let known = self.require(name)?.swap_remove(0);
        Ok(Receipt { remote_id: known.id, bytes: known.bytes })
    }

    pub(super) fn read_whole(&self, name: &ObjectName, known: &Known) -> Result<Vec<u8>, Error> {
        let answer = self.answered(name, self.drive.content(&known.id, None, known.bytes)?)?;
        if answer.body.len() as u64 != known.bytes {
            return Err(self.damaged(name, "its size is another one"));
        }
        match md5_of(&answer.body) == known.md5 {
            true => Ok(answer.body),
            false => Err(self.damaged(name, "its MD5 is another one")),
        }
    }

    pub(super) fn read_range(
        &self,
        name: &ObjectName,
        known: &Known,
        range: &Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let bytes_max = known.bytes;
        let answer = self.answered(name, self.drive.content(&known.id, Some(range), bytes_max)?)?;
        let wanted = format!("bytes {}-{}/{}", range.start, range.end - 1, known.bytes);
        let is_range = answer.status == 206 && answer.header("content-range") == Some(&wanted);
        if is_range && answer.body.len() as u64 == range.end - range.start {
            return Ok(answer.body);
        }
        // A server that does not know ranges sends all of it.
        let is_whole = answer.status == 200 && answer.body.len() as u64 == known.bytes;
        if is_whole && md5_of(&answer.body) == known.md5 {
            return Ok(answer.body[range.start as usize..range.end as usize].to_vec());
        }
        Err(self.damaged(name, "another range came than was asked for"))
    }

    fn answered(&self, name: &ObjectName, answer: Result<Answer, No>) -> Result<Answer, Error> {
        answer.map_err(|no| match no.class {
            Class::Absent => self.missing(name),
            Class::Range => self.damaged(name, "it is shorter than it was"),
            _ => no.into_error("read", &name.to_string(), self.drive.place()),
        })
    }

    pub(super) fn list_folder(&self, folder: Folder) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        let mut found: HashMap<ObjectName, Vec<Known>> = HashMap::new();
        let mut seen = HashSet::new();
        for shelf in self.shelves.of_folder(&self.drive, &*self.clock, folder)? {
            let children = match self.glimpse.of_shelf(&shelf, &*self.clock) {
                Some(children) => children,
                None => self.drive.children(&shelf)?,
            };
            for remote in children {
                let _ = seen.insert(remote.id.clone());
                self.sort_in(folder, &remote, &mut listing, &mut found);
            }
        }
        self.add_unseen(folder, &seen, &mut found)?;
        for (name, known) in &found {
            listing.objects.push(Listed { name: name.clone(), bytes: known[0].bytes });
            if known.len() > 1 {
                listing.duplicates.push(name.clone());
            }
        }
        self.objects.replace(folder, &found);
        self.save_if_alone()?;
        Ok(listing)
    }

    fn sort_in(
        &self,
        folder: Folder,
        remote: &Remote,
        listing: &mut Listing,
        found: &mut HashMap<ObjectName, Vec<Known>>,
    ) {
        match (remote.object(folder), Known::of(remote)) {
            (Some(_), _) if remote.is_deleted_by_us() || self.deleted().contains(&remote.id) => {}
            (Some(name), _) if remote.trashed => listing.trashed.push(name),
            (Some(name), Some(known)) => found.entry(name).or_default().push(known),
            _ if remote.trashed => {}
            _ => listing.foreign.push(remote.name.clone()),
        }
    }

    /// Adds what we know of and the listing lacks, if the store has it when asked by its id.
    fn add_unseen(
        &self,
        folder: Folder,
        seen: &HashSet<String>,
        found: &mut HashMap<ObjectName, Vec<Known>>,
    ) -> Result<(), Error> {
        for (name, files) in self.objects.of_folder(folder) {
            for known in files.into_iter().filter(|known| !seen.contains(&known.id)) {
                let is_there = self.drive.file(&known.id)?.is_some_and(|remote| !remote.trashed);
                if is_there {
                    found.entry(name.clone()).or_default().push(known);
                }
            }
        }
        Ok(())
    }
}
