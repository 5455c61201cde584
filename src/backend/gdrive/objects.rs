//! Which file holds which object: a map in memory with a log on disk, so that no listing is needed
//! to find anything, nor to know what is there.
//!
//! The log has a line for every object that was stored or seen, `+ NAME ID BYTES MD5`, and one for
//! each that went, `- NAME`. It is a cache: a line that cannot be read is passed over, and a
//! listing writes it anew.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{drive::is_id, local::Local, remote::Remote};
use crate::backend::{Error, Folder, ObjectName};

const FILE: &str = "objects";
/// About a million objects.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A file that holds an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub bytes: u64,
    /// In hexadecimal digits, as the store says it.
    pub md5: String,
}

impl Known {
    /// Takes what the store says; nothing if it says too little.
    pub fn of(remote: &Remote) -> Option<Self> {
        let md5 = remote.md5_checksum.clone()?;
        Some(Self { id: remote.id.clone(), bytes: remote.size?, md5 })
    }
}

/// What is where. Usually one file for an object; more if two machines sent it at once.
type Map = HashMap<ObjectName, Vec<Known>>;

/// The map.
#[derive(Debug, Default)]
pub struct Objects {
    map: Mutex<Map>,
}

impl Objects {
    /// Reads the log again, which another process may have written to.
    pub fn load(&self, local: &Local) -> Result<(), Error> {
        let bytes = local.read(&local.dir, FILE, FILE_BYTES_MAX)?.unwrap_or_default();
        let mut map = Map::new();
        for line in String::from_utf8_lossy(&bytes).lines() {
            let _ = apply(line, &mut map);
        }
        *self.lock() = map;
        Ok(())
    }

    /// Returns the files that hold the object, the one to prefer first.
    pub fn get(&self, name: &ObjectName) -> Vec<Known> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Returns all objects of a folder.
    pub fn of_folder(&self, folder: Folder) -> Vec<(ObjectName, Vec<Known>)> {
        let map = self.lock();
        let of_folder = map.iter().filter(|(name, _)| name.folder() == folder);
        of_folder.map(|(name, known)| (name.clone(), known.clone())).collect()
    }

    /// Returns how many objects a folder has, as far as is known.
    pub fn count(&self, folder: Folder) -> usize {
        self.lock().keys().filter(|name| name.folder() == folder).count()
    }

    /// Notes an object that was stored; durable on return.
    pub fn add(&self, local: &Local, name: &ObjectName, known: Known) -> Result<(), Error> {
        let line = line(name, &known);
        // The line before may have been cut off by a crash.
        local.append(FILE, format!("\n{line}").as_bytes())?;
        let _ = self.lock().insert(name.clone(), vec![known]);
        Ok(())
    }

    /// Notes that an object is gone; durable on return.
    pub fn remove(&self, local: &Local, name: &ObjectName) -> Result<(), Error> {
        local.append(FILE, format!("\n- {name}\n").as_bytes())?;
        self.forget(name);
        Ok(())
    }

    /// Forgets where an object is, in memory only.
    pub fn forget(&self, name: &ObjectName) {
        let _ = self.lock().remove(name);
    }

    /// Puts what a listing found in place of what was known of the folder, in memory.
    pub fn replace(&self, folder: Folder, found: &HashMap<ObjectName, Vec<Known>>) {
        let mut map = self.lock();
        map.retain(|name, _| name.folder() != folder);
        map.extend(found.iter().map(|(name, known)| (name.clone(), known.clone())));
    }

    /// Writes the whole log anew.
    pub fn save(&self, local: &Local) -> Result<(), Error> {
        let mut text = String::new();
        for (name, known) in self.lock().iter() {
            known.iter().for_each(|known| text.push_str(&line(name, known)));
        }
        local.write(&local.dir, FILE, text.as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(name: &ObjectName, known: &Known) -> String {
    let mut line = String::new();
    let _ = writeln!(line, "+ {name} {} {} {}", known.id, known.bytes, known.md5);
    line
}

/// Reads one line into the map; nothing comes back if it is none.
fn apply(line: &str, map: &mut Map) -> Option<()> {
    let mut words = line.split(' ');
    let sign = words.next()?;
    let name = parse_name(words.next()?)?;
    match sign {
        "+" => {
            let id = words.next().filter(|id| is_id(id))?.to_owned();
            let bytes = words.next()?.parse().ok()?;
            let md5 = words.next().filter(|md5| md5.len() == 32)?.to_owned();
            let known = map.entry(name).or_default();
            known.retain(|known| known.id != id);
            known.push(Known { id, bytes, md5 });
        }
        "-" => drop(map.remove(&name)),
        _ => return None,
    }
    Some(())
}

fn parse_name(text: &str) -> Option<ObjectName> {
    let (folder, file_name) = text.split_once('/')?;
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder)?;
    ObjectName::parse(folder, file_name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{disk::RealDisk, id::PackId};

    fn pack(seed: u8) -> ObjectName {
        ObjectName::Pack(PackId([seed; 32]))
    }

    fn known(id: &str) -> Known {
        Known { id: id.to_owned(), bytes: 7, md5: "0".repeat(32) }
    }

    #[test]
    fn what_was_noted_is_there_after_a_restart_and_a_torn_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(Arc::new(RealDisk), folder.path(), "drive").unwrap();
        let objects = Objects::default();
        objects.add(&local, &pack(1), known("a")).unwrap();
        objects.add(&local, &pack(2), known("b")).unwrap();
        objects.remove(&local, &pack(1)).unwrap();
        local.append(FILE, b"+ packs/0404").unwrap();
        objects.add(&local, &pack(3), known("c")).unwrap();

        let again = Objects::default();
        again.load(&local).unwrap();

        assert!(again.get(&pack(1)).is_empty());
        assert_eq!(again.get(&pack(2)), [known("b")]);
        assert_eq!(again.get(&pack(3)), [known("c")]);
        again.save(&local).unwrap();
        let third = Objects::default();
        third.load(&local).unwrap();
        assert_eq!(third.count(Folder::Packs), 2);
    }

    #[test]
    fn one_process_at_a_time_writes() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Local::open(Arc::new(RealDisk), folder.path(), "drive").unwrap();
        let (first, second) = (open(), open());

        assert!(first.take().unwrap() && !first.take().unwrap());
        assert!(matches!(second.take(), Err(Error::InUse { .. })));
        drop(first);
        assert!(second.take().unwrap());
    }
}
