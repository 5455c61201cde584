//! Saves one folder that the walk meets.

use std::io;

use crate::{
    chunk::Store,
    disk::{Dir, Handle, Stat},
    format::node::{Content, Entry},
    limits::FOLDER_DEPTH_MAX,
    repo::tree::NodeWriter,
    source::files::{
        Mounts,
        failure::Failure,
        names::Names,
        node::Taken,
        read_disk::{Xattrs, uninterrupted},
        roots::Chosen,
        walk::{Folder, Walk, entry_of, name_of, node_of},
    },
};

impl<L: Store + Send> Walk<'_, L> {
    /// Saves a folder and all that is in it. Nothing if it is to be left out.
    pub fn folder(
        &self,
        at: &Folder<'_>,
        path: &[u8],
        stat: &Stat,
        older: Option<Entry>,
    ) -> Result<Option<Taken>, Failure> {
        if self.filter.is_own(stat) {
            return Ok(None);
        }
        if at.depth >= FOLDER_DEPTH_MAX {
            return Err(Failure::entry("too-deep", "folders lie too deep in each other"));
        }
        let name = name_of(path);
        let chosen = match at.chosen {
            Chosen::Whole => &Chosen::Whole,
            Chosen::Only(names) => names.get(name).unwrap_or(&Chosen::Whole),
        };
        let device = self.device_to_stay_on(at, chosen, stat);
        if device.is_some_and(|device| device != stat.device) {
            let entry = self.empty_folder(name, stat, None)?;
            return Ok(Some(Taken::new(entry, older.as_ref())));
        }
        let (dir, stat, names) = match self.enter(at, name, chosen) {
            Ok(entered) => entered,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error.into()),
            Err(error) => {
                // The folder is there, but not what it holds. Nothing in it counts as gone.
                let problem = format!("its entries cannot be listed: {error}");
                self.tally.problem(path, "unlisted", problem.clone());
                let entry = self.empty_folder(name, stat, Some(problem))?;
                return Ok(Some(Taken::new(entry, older.as_ref())));
            }
        };
        if matches!(at.chosen, Chosen::Whole) && self.filter.is_marked(&names) {
            return Ok(None);
        }
        let depth = at.depth + 1;
        let older_node = older.as_ref().and_then(node_of);
        let folder = Folder { dir, path, depth, device, chosen, names, older: older_node };
        let node = self.node(&folder)?;
        let (xattrs, problem) = match older.as_ref().filter(|older| self.is_same(&stat, older)) {
            Some(older) => (older.xattrs.clone(), None),
            None => self.read_xattrs(path, Handle::Dir(&folder.dir)),
        };
        let entry = Entry { xattrs, problem, ..entry_of(name, &stat, Content::Folder { node }) };
        Ok(Some(Taken::new(entry, older.as_ref())))
    }

    /// Reads the extended attributes; that they cannot be read is a problem of theirs alone.
    pub fn read_xattrs(&self, path: &[u8], of: Handle<'_>) -> (Xattrs, Option<String>) {
        match uninterrupted(|| self.source.disk.xattrs(of)) {
            Ok(xattrs) => (xattrs, None),
            Err(error) => {
                let problem = format!("its extended attributes cannot be read: {error}");
                self.tally.problem(path, "xattrs", problem.clone());
                (Xattrs::new(), Some(problem))
            }
        }
    }

    fn device_to_stay_on(&self, at: &Folder<'_>, chosen: &Chosen, stat: &Stat) -> Option<u64> {
        match (self.mounts, at.chosen, chosen) {
            (Mounts::Enter, ..) | (_, _, Chosen::Only(_)) => None,
            // This is one of the paths that a person named.
            (Mounts::Skip, Chosen::Only(_), Chosen::Whole) => Some(stat.device),
            (Mounts::Skip, Chosen::Whole, Chosen::Whole) => at.device,
        }
    }

    fn enter(
        &self,
        at: &Folder<'_>,
        name: &[u8],
        chosen: &Chosen,
    ) -> io::Result<(Dir, Stat, Names)> {
        let disk = self.source.disk;
        let dir = uninterrupted(|| disk.open_dir(&at.dir, name))?;
        let stat = uninterrupted(|| disk.stat_open(Handle::Dir(&dir)))?;
        let names = Names::of(disk, &dir, chosen)?;
        Ok((dir, stat, names))
    }

    /// Saves a folder without what is in it.
    fn empty_folder(
        &self,
        name: &[u8],
        stat: &Stat,
        problem: Option<String>,
    ) -> Result<Entry, Failure> {
        let node = NodeWriter::new(self.source.keys).finish(&mut self.node_lane())?;
        Ok(Entry { problem, ..entry_of(name, stat, Content::Folder { node }) })
    }
}
