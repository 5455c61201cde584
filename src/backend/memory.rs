//! Objects in memory, for tests: clones share them, and tests may do harm to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{Backend, Error, Folder, Listed, Listing, ObjectName};

/// Objects in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    stored: Arc<Mutex<Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    objects: BTreeMap<ObjectName, Arc<Vec<u8>>>,
    foreign: BTreeSet<(Folder, String)>,
}

impl MemoryBackend {
    /// Begins with no object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the names of all objects.
    pub fn names(&self) -> Vec<ObjectName> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Puts these bytes in the object's place as no backend may, to see what notices.
    pub fn tamper(&self, name: &ObjectName, bytes: Vec<u8>) {
        let _ = self.lock().objects.insert(name.clone(), Arc::new(bytes));
    }

    /// Adds a name that is none of ours.
    pub fn add_foreign(&self, folder: Folder, name: &str) {
        let _ = self.lock().foreign.insert((folder, name.to_owned()));
    }

    /// Returns another backend with the same objects, to do harm to.
    pub fn copied(&self) -> Self {
        let stored = self.lock();
        let copy = Stored { objects: stored.objects.clone(), foreign: stored.foreign.clone() };
        Self { stored: Arc::new(Mutex::new(copy)) }
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().expect("no holder panics")
    }

    fn object(&self, name: &ObjectName) -> Result<Arc<Vec<u8>>, Error> {
        match self.lock().objects.get(name) {
            Some(bytes) if !bytes.is_empty() => Ok(Arc::clone(bytes)),
            _ => Err(Error::Missing { name: name.clone(), place: self.place() }),
        }
    }
}

impl Backend for MemoryBackend {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        let bytes = pieces.concat();
        if bytes.is_empty() {
            let source = std::io::ErrorKind::InvalidInput.into();
            let (what, place) = (name.to_string(), self.place());
            return Err(Error::Io { action: "write", what, place, source });
        }
        let mut stored = self.lock();
        if stored.objects.contains_key(name) {
            return Err(Error::Exists { name: name.clone(), place: self.place() });
        }
        let _ = stored.objects.insert(name.clone(), Arc::new(bytes));
        Ok(())
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let object = self.object(name)?;
        let bytes = object.len() as u64;
        if bytes > bytes_max {
            return Err(Error::OutOfRange { name: name.clone(), bytes, wanted: bytes_max });
        }
        Ok(object.to_vec())
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let object = self.object(name)?;
        let within = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| object.get(start..end.max(start)));
        within.map(<[u8]>::to_vec).ok_or_else(|| Error::OutOfRange {
            name: name.clone(),
            bytes: object.len() as u64,
            wanted: range.end,
        })
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.object(name).map(|object| object.len() as u64)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        let stored = self.lock();
        let mut listing = Listing::default();
        for (name, bytes) in stored.objects.iter().filter(|(name, _)| name.folder() == folder) {
            listing.objects.push(Listed { name: name.clone(), bytes: bytes.len() as u64 });
        }
        let foreign = stored.foreign.iter().filter(|(at, _)| *at == folder);
        listing.foreign.extend(foreign.map(|(_, name)| name.clone()));
        Ok(listing)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let _ = self.lock().objects.remove(name);
        Ok(())
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<Option<ObjectName>, Error> {
        let mut stored = self.lock();
        let damaged = stored.objects.insert(name.clone(), Arc::new(bytes.to_vec()));
        let Some(damaged) = damaged.filter(|damaged| !damaged.is_empty()) else { return Ok(None) };
        let is_free = |aside: &ObjectName| !stored.objects.contains_key(aside);
        let aside = super::quarantine_names(name).find(is_free);
        let aside = aside.expect("no test damages one object a thousand times");
        let _ = stored.objects.insert(aside.clone(), damaged);
        Ok(Some(aside))
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conformance;

    #[test]
    fn memory_keeps_the_contract() {
        conformance::check(&MemoryBackend::new());
    }
}
