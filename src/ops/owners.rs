//! Who owns what, by name: numbers mean something on one machine only. Spec:
//! `format-spec/60-record.md`, "Facts about owners".
//!
//! A backup notes the names of the numbers that it meets, and whose the databases and their folders
//! are. A restore as root gives what it restores to those who bear these names here; whose name is
//! unknown keeps his number. Names come from `/etc/passwd` and `/etc/group`, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    disk::{Disk, Stat, file},
    format::record::{Part, PartContent, Record},
    limits::MIB,
    sink::files::OwnerMap,
};

/// Longer lists of accounts are not looked into.
const ACCOUNTS_BYTES_MAX: u64 = 4 * MIB as u64;
/// Names of more are not noted.
const NAMES_MAX: usize = 200;
const USER: &str = "user ";
const GROUP: &str = "group ";
const DATABASE: &str = "database ";
const FOLDER: &str = "folder of ";

/// A named fact of a record.
type Fact = (String, String);

/// Owners and groups that a walk has met, from all its threads.
#[derive(Debug)]
pub struct Seen {
    /// Most files have the owner of the one before.
    last: AtomicU64,
    all: Mutex<BTreeSet<(u32, u32)>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { last: AtomicU64::new(u64::MAX), all: Mutex::default() }
    }
}

impl Seen {
    /// Notes an owner and a group.
    pub fn note(&self, (uid, gid): (u32, u32)) {
        let both = u64::from(uid) << 32 | u64::from(gid);
        if self.last.swap(both, Relaxed) != both {
            let _ = self.all.lock().unwrap_or_else(PoisonError::into_inner).insert((uid, gid));
        }
    }

    /// What a record says of those that were met, and of the places of its databases.
    pub fn facts(&self, disk: &dyn Disk, parts: &[Part]) -> Vec<Fact> {
        let mut facts = Vec::new();
        for part in parts {
            facts.extend(self.facts_of_place(disk, part).into_iter().flatten());
        }
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers =
            |of: fn(&(u32, u32)) -> u32| -> BTreeSet<u32> { all.iter().map(of).collect() };
        let named = |prefix: &str, known: BTreeMap<u32, String>, numbers: BTreeSet<u32>| {
            let named =
                numbers.into_iter().filter_map(|number| Some((number, known.get(&number)?)));
            let facts = named.map(|(number, name)| (format!("{prefix}{number}"), name.clone()));
            facts.take(NAMES_MAX).collect::<Vec<Fact>>()
        };
        facts.extend(named(USER, accounts(disk, "passwd"), numbers(|owner| owner.0)));
        facts.extend(named(GROUP, accounts(disk, "group"), numbers(|owner| owner.1)));
        facts
    }

    fn facts_of_place(&self, disk: &dyn Disk, part: &Part) -> Option<[Fact; 2]> {
        let PartContent::Database { .. } = part.content else { return None };
        let path = Path::new(OsStr::from_bytes(part.sources.first()?));
        let at = disk.open_root(path.parent()?).ok()?;
        let stats = [disk.stat(&at, path.file_name()?).ok()?, disk.stat_dir(&at).ok()?];
        stats.iter().for_each(|stat| self.note((stat.uid, stat.gid)));
        let [file, folder] = stats.map(|stat| Access::from(&stat).to_text());
        let name = |prefix: &str| format!("{prefix}{}", part.name);
        Some([(name(DATABASE), file), (name(FOLDER), folder)])
    }
}

/// Whose something is, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

impl From<&Stat> for Access {
    fn from(stat: &Stat) -> Self {
        Self { uid: stat.uid, gid: stat.gid, mode: stat.mode }
    }
}

impl Access {
    fn to_text(self) -> String {
        format!("{} {} {:o}", self.uid, self.gid, self.mode)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let access = Self {
            uid: words.next()?.parse().ok()?,
            gid: words.next()?.parse().ok()?,
            mode: u32::from_str_radix(words.next()?, 8).ok()? & 0o777,
        };
        words.next().is_none().then_some(access)
    }
}

/// What a record says of the owners of one part, in numbers of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub owners: OwnerMap,
    /// Of the database file, and of the folder that it lay in.
    pub database: Option<Access>,
    pub folder: Option<Access>,
}

impl Origin {
    /// Reads the facts of the record that the part is in.
    pub fn of(record: &Record, part: &Part, disk: &dyn Disk) -> Self {
        let owners = owners_here(&record.environment, disk);
        let access = |prefix: &str| {
            let key = format!("{prefix}{}", part.name);
            let (_, text) = record.environment.iter().find(|(known, _)| *known == key)?;
            let access = Access::parse(text)?;
            let (uid, gid) = owners.here((access.uid, access.gid));
            Some(Access { uid, gid, ..access })
        };
        Self { database: access(DATABASE), folder: access(FOLDER), owners: owners.clone() }
    }
}

/// The numbers that the owners of a record have here.
pub fn owners_here(facts: &[Fact], disk: &dyn Disk) -> OwnerMap {
    let map = |prefix: &str, file: &str| match named(facts, prefix) {
        told if told.is_empty() => BTreeMap::new(),
        told => renumbered(told, accounts(disk, file)),
    };
    OwnerMap { users: map(USER, "passwd"), groups: map(GROUP, "group") }
}

/// The numbers that the owners of one record have in another one, which another machine may have
/// made.
pub fn owners_between(older: &[Fact], newer: &[Fact]) -> OwnerMap {
    let map = |prefix: &str| renumbered(named(older, prefix), named(newer, prefix));
    OwnerMap { users: map(USER), groups: map(GROUP) }
}

/// Names by number, as a record tells them.
fn named(facts: &[Fact], prefix: &str) -> BTreeMap<u32, String> {
    let named = facts.iter().filter_map(|(key, name)| {
        let number: u32 = key.strip_prefix(prefix)?.parse().ok()?;
        Some((number, name.clone()))
    });
    named.collect()
}

/// Those whose name has another number there. Of several numbers of a name the first one counts.
fn renumbered(then: BTreeMap<u32, String>, there: BTreeMap<u32, String>) -> BTreeMap<u32, u32> {
    let there: BTreeMap<String, u32> =
        there.into_iter().rev().map(|(number, name)| (name, number)).collect();
    let known = then.into_iter().filter_map(|(number, name)| Some((number, *there.get(&name)?)));
    known.filter(|(then, there)| then != there).collect()
}

/// Names by number; none where they cannot be read.
fn accounts(disk: &dyn Disk, name: &str) -> BTreeMap<u32, String> {
    let read = disk
        .open_root(Path::new("/etc"))
        .and_then(|etc| file::read(disk, &etc, name.as_ref(), ACCOUNTS_BYTES_MAX));
    parse(&String::from_utf8_lossy(&read.unwrap_or_default()))
}

/// Lines of `name:password:number:...`; of several names the first is that of the number.
fn parse(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next(), fields.nth(1).and_then(|field| field.parse().ok()));
        if let (Some(name), Some(number)) = (name.filter(|name| !name.is_empty()), number) {
            let _ = names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn the_first_name_of_a_number_counts_and_what_is_no_account_is_passed_over() {
        let names =
            parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::\n\n#x\nada:x:1000:\n:x:7:\n+::\n");

        let expected = [(0, "root".to_owned()), (1000, "ada".to_owned())];
        assert_eq!(names, BTreeMap::from(expected));
    }

    #[test]
    fn an_owner_gets_the_number_that_his_name_has_here() {
        let fact = |key: &str, name: &str| (key.to_owned(), name.to_owned());
        let facts = [
            fact("user 4711", "root"),
            fact("group 4712", "root"),
            fact("user 4713", "nobody-has-this-name"),
            fact("user x", "root"),
            fact("system", "root"),
        ];

        let map = owners_here(&facts, &RealDisk);

        assert_eq!(map.here((4711, 4712)), (0, 0));
        assert_eq!(map.here((4713, 4713)), (4713, 4713));
        assert_eq!((map.users.len(), map.groups.len()), (1, 1));
    }

    #[test]
    fn an_owner_of_one_machine_is_known_by_his_name_on_another() {
        let fact = |key: &str, name: &str| (key.to_owned(), name.to_owned());
        let older = [fact("user 1000", "ada"), fact("user 1001", "bo"), fact("group 50", "staff")];
        let newer = [fact("user 1001", "ada"), fact("user 7", "cy"), fact("group 50", "staff")];

        let map = owners_between(&older, &newer);

        assert_eq!(map.here((1000, 50)), (1001, 50));
        assert_eq!(map.here((1001, 51)), (1001, 51), "nobody knows better");
        assert_eq!((map.users.len(), map.groups.len()), (1, 0));
    }

    #[test]
    fn access_is_read_as_it_was_written_and_gives_no_rights_of_others() {
        let access = Access { uid: 1000, gid: 33, mode: 0o640 };

        assert_eq!(Access::parse(&access.to_text()), Some(access));
        assert_eq!(Access::parse("0 0 4755").map(|access| access.mode), Some(0o755));
        for text in ["", "1 2", "1 2 9", "1 2 600 ", "-1 0 600"] {
            assert_eq!(Access::parse(text), None, "{text}");
        }
    }
}
