//! A disk that works, and remembers every change in order: what a power cut may undo.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use stillpoint::disk::{Dir, Disk, Handle, RealDisk, Replace, Special, Stat};

/// A file, folder or link that was ever there, however often its inode was used again.
pub type Node = usize;

/// One change, or a promise about those before it.
#[derive(Debug, Clone)]
pub enum Step {
    Made {
        node: Node,
        what: Made,
    },
    Wrote {
        node: Node,
        offset: u64,
        bytes: Vec<u8>,
    },
    Cut {
        node: Node,
        bytes: u64,
    },
    Mode {
        node: Node,
        mode: u32,
    },
    Modified {
        node: Node,
        modified: (i64, u32),
    },
    Entry {
        dir: Node,
        name: OsString,
        node: Node,
    },
    Gone {
        dir: Node,
        name: OsString,
    },
    /// Both at once, as every file system with a journal has it.
    Renamed {
        from: (Node, OsString),
        to: (Node, OsString),
        node: Node,
    },
    Synced {
        node: Node,
    },
    SyncedAll,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Made {
    File,
    Folder,
    Link(OsString),
}

#[derive(Debug, Default)]
struct Log {
    nodes: HashMap<(u64, u64), Node>,
    count: Node,
    steps: Vec<Step>,
}

/// A real disk that remembers.
#[derive(Debug, Clone, Default)]
pub struct RecordingDisk(Arc<Mutex<Log>>);

impl RecordingDisk {
    /// All changes so far.
    pub fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().steps.clone()
    }

    /// The node of what the folder has under this name now; made known if it was there before.
    pub fn node_at(&self, at: &Dir, name: &OsStr) -> Node {
        self.node(RealDisk.stat(at, name).unwrap())
    }

    pub fn node_of(&self, dir: &Dir) -> Node {
        self.node(RealDisk.stat_dir(dir).unwrap())
    }

    fn node(&self, stat: Stat) -> Node {
        let mut log = self.0.lock().unwrap();
        let new = log.count;
        let node = *log.nodes.entry((stat.device, stat.inode)).or_insert(new);
        log.count += Node::from(node == new);
        node
    }

    fn node_of_file(&self, file: &File) -> Node {
        self.node(RealDisk.stat_file(file).unwrap())
    }

    fn node_of_handle(&self, of: Handle<'_>) -> Node {
        match of {
            Handle::File(file) => self.node_of_file(file),
            Handle::Dir(dir) => self.node_of(dir),
        }
    }

    /// Its inode may have been another node's before.
    fn made(&self, stat: Stat, what: Made) -> Node {
        let mut log = self.0.lock().unwrap();
        let node = log.count;
        log.count += 1;
        let _ = log.nodes.insert((stat.device, stat.inode), node);
        log.steps.push(Step::Made { node, what });
        log.steps.push(Step::Mode { node, mode: stat.mode });
        node
    }

    fn note(&self, step: Step) {
        self.0.lock().unwrap().steps.push(step);
    }

    fn note_entry(&self, at: &Dir, name: &OsStr, what: Made) {
        let node = self.made(RealDisk.stat(at, name).unwrap(), what);
        self.note(Step::Entry { dir: self.node_of(at), name: name.to_owned(), node });
    }
}

impl Disk for RecordingDisk {
    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        RealDisk.open_root(path)
    }

    fn open_dir(&self, at: &Dir, name: &OsStr) -> io::Result<Dir> {
        RealDisk.open_dir(at, name)
    }

    fn create_dir(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        RealDisk.create_dir(at, name, mode)?;
        self.note_entry(at, name, Made::Folder);
        Ok(())
    }

    fn list(&self, at: &Dir) -> io::Result<Vec<OsString>> {
        RealDisk.list(at)
    }

    fn stat(&self, at: &Dir, name: &OsStr) -> io::Result<Stat> {
        RealDisk.stat(at, name)
    }

    fn stat_file(&self, file: &File) -> io::Result<Stat> {
        RealDisk.stat_file(file)
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        RealDisk.stat_dir(dir)
    }

    fn free_bytes(&self, dir: &Dir) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }

    fn open(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        RealDisk.open(at, name)
    }

    fn open_rw(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        RealDisk.open_rw(at, name)
    }

    fn create_new(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<File> {
        let file = RealDisk.create_new(at, name, mode)?;
        self.note_entry(at, name, Made::File);
        Ok(file)
    }

    fn create_unnamed(&self, at: &Dir, mode: u32) -> io::Result<File> {
        let file = RealDisk.create_unnamed(at, mode)?;
        let _ = self.made(RealDisk.stat_file(&file)?, Made::File);
        Ok(file)
    }

    fn link_unnamed(&self, file: &File, at: &Dir, name: &OsStr) -> io::Result<()> {
        RealDisk.link_unnamed(file, at, name)?;
        let node = self.node_of_file(file);
        self.note(Step::Entry { dir: self.node_of(at), name: name.to_owned(), node });
        Ok(())
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        RealDisk.read_at(file, buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let written = RealDisk.write_at(file, bytes, offset)?;
        let node = self.node_of_file(file);
        self.note(Step::Wrote { node, offset, bytes: bytes[..written].to_vec() });
        Ok(written)
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.set_len(file, bytes)?;
        self.note(Step::Cut { node: self.node_of_file(file), bytes });
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.note(Step::Synced { node: self.node_of_file(file) });
        Ok(())
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        self.note(Step::Synced { node: self.node_of(dir) });
        Ok(())
    }

    fn sync_tree(&self, _dir: &Dir) -> io::Result<()> {
        self.note(Step::SyncedAll);
        Ok(())
    }

    fn rename(
        &self,
        from: &Dir,
        old: &OsStr,
        to: &Dir,
        new: &OsStr,
        replace: Replace,
    ) -> io::Result<()> {
        RealDisk.rename(from, old, to, new, replace)?;
        let node = self.node_at(to, new);
        let from = (self.node_of(from), old.to_owned());
        self.note(Step::Renamed { from, to: (self.node_of(to), new.to_owned()), node });
        Ok(())
    }

    fn remove_file(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        RealDisk.remove_file(at, name)?;
        self.note(Step::Gone { dir: self.node_of(at), name: name.to_owned() });
        Ok(())
    }

    fn remove_dir(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        RealDisk.remove_dir(at, name)?;
        self.note(Step::Gone { dir: self.node_of(at), name: name.to_owned() });
        Ok(())
    }

    fn read_link(&self, at: &Dir, name: &OsStr) -> io::Result<OsString> {
        RealDisk.read_link(at, name)
    }

    fn symlink(&self, target: &OsStr, at: &Dir, name: &OsStr) -> io::Result<()> {
        RealDisk.symlink(target, at, name)?;
        self.note_entry(at, name, Made::Link(target.to_owned()));
        Ok(())
    }

    fn hard_link(&self, from: &Dir, old: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
        RealDisk.hard_link(from, old, to, new)?;
        let node = self.node_at(to, new);
        self.note(Step::Entry { dir: self.node_of(to), name: new.to_owned(), node });
        Ok(())
    }

    fn create_special(&self, _: &Dir, _: &OsStr, _: Special, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_mode(&self, of: Handle<'_>, mode: u32) -> io::Result<()> {
        RealDisk.set_mode(of, mode)?;
        self.note(Step::Mode { node: self.node_of_handle(of), mode });
        Ok(())
    }

    fn set_owner(&self, of: Handle<'_>, uid: u32, gid: u32) -> io::Result<()> {
        RealDisk.set_owner(of, uid, gid)
    }

    fn set_modified(&self, of: Handle<'_>, modified: (i64, u32)) -> io::Result<()> {
        RealDisk.set_modified(of, modified)?;
        self.note(Step::Modified { node: self.node_of_handle(of), modified });
        Ok(())
    }

    fn set_mode_at(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        RealDisk.set_mode_at(at, name, mode)
    }

    fn set_owner_at(&self, at: &Dir, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        RealDisk.set_owner_at(at, name, uid, gid)
    }

    fn set_modified_at(&self, at: &Dir, name: &OsStr, modified: (i64, u32)) -> io::Result<()> {
        RealDisk.set_modified_at(at, name, modified)
    }

    fn set_xattr(&self, of: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
        RealDisk.set_xattr(of, name, value)
    }
}
