//! A disk that counts its calls and fails, or kills the process, at the planned one.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{io::Errno, process::Signal};
use stillpoint::disk::{Dir, Disk, Handle, RealDisk, Replace, Special, Stat};

/// Which calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What changes a file system or makes a change durable.
    Write,
    Read,
}

/// What happens at the planned call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The call fails and does nothing.
    Error(Errno),
    /// Only half of the bytes are written or read; other calls work.
    Short,
    /// The process dies before the call.
    Kill,
    /// The process dies when half of the bytes are written; at other calls it exits with
    /// [`NOTHING_TO_TEAR`].
    Tear,
}

/// Exit code of a process that was to tear a write, at a step that writes no bytes.
pub const NOTHING_TO_TEAR: i32 = 77;

/// How often it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Once,
    ForEver,
}

/// Which call fails, counted from 1 within its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub class: Class,
    pub call: u64,
    pub kind: Kind,
    pub times: Times,
}

/// A real disk that fails on plan.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    plan: Option<Plan>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    injected: AtomicU64,
    /// Files whose sync failed, kept open so that no other file gets their numbers.
    dead_files: Mutex<Vec<File>>,
    synced_again: AtomicU64,
}

impl FaultyDisk {
    pub fn new(plan: Plan) -> Self {
        Self { plan: Some(plan), counts: Arc::default() }
    }

    /// Works, and counts.
    pub fn counting() -> Self {
        Self::default()
    }

    pub fn calls(&self, class: Class) -> u64 {
        self.counter(class).load(Ordering::SeqCst)
    }

    /// How often the planned fault happened.
    pub fn injected(&self) -> u64 {
        self.counts.injected.load(Ordering::SeqCst)
    }

    /// How often a file was synced again although a sync of it had failed.
    pub fn synced_again(&self) -> u64 {
        self.counts.synced_again.load(Ordering::SeqCst)
    }

    fn counter(&self, class: Class) -> &AtomicU64 {
        match class {
            Class::Write => &self.counts.writes,
            Class::Read => &self.counts.reads,
        }
    }

    /// Counts a call; returns the kind of the fault that is due.
    fn due(&self, class: Class) -> Option<Kind> {
        let call = self.counter(class).fetch_add(1, Ordering::SeqCst) + 1;
        let plan = self.plan.filter(|plan| plan.class == class)?;
        let is_due = match plan.times {
            Times::Once => call == plan.call,
            Times::ForEver => call >= plan.call,
        };
        is_due.then_some(plan.kind)
    }

    fn note_injected(&self) {
        let _ = self.counts.injected.fetch_add(1, Ordering::SeqCst);
    }

    /// Runs a call that moves no bytes.
    fn run<T>(&self, class: Class, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.due(class) {
            Some(Kind::Error(errno)) => {
                self.note_injected();
                Err(errno.into())
            }
            Some(Kind::Kill) => die(),
            Some(Kind::Tear) => std::process::exit(NOTHING_TO_TEAR),
            Some(Kind::Short) | None => call(),
        }
    }

    fn write<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.run(Class::Write, call)
    }

    fn read<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.run(Class::Read, call)
    }
}

/// Dies as a power cut would have it: no destructor, no exit handler.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    unreachable!("nothing outlives SIGKILL")
}

impl Disk for FaultyDisk {
    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        self.read(|| RealDisk.open_root(path))
    }

    fn open_dir(&self, at: &Dir, name: &OsStr) -> io::Result<Dir> {
        self.read(|| RealDisk.open_dir(at, name))
    }

    fn create_dir(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        self.write(|| RealDisk.create_dir(at, name, mode))
    }

    fn list(&self, at: &Dir) -> io::Result<Vec<OsString>> {
        self.read(|| RealDisk.list(at))
    }

    fn stat(&self, at: &Dir, name: &OsStr) -> io::Result<Stat> {
        self.read(|| RealDisk.stat(at, name))
    }

    fn stat_file(&self, file: &File) -> io::Result<Stat> {
        self.read(|| RealDisk.stat_file(file))
    }

    fn stat_dir(&self, dir: &Dir) -> io::Result<Stat> {
        self.read(|| RealDisk.stat_dir(dir))
    }

    fn free_bytes(&self, dir: &Dir) -> io::Result<u64> {
        self.read(|| RealDisk.free_bytes(dir))
    }

    fn open(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        self.read(|| RealDisk.open(at, name))
    }

    fn open_rw(&self, at: &Dir, name: &OsStr) -> io::Result<File> {
        self.read(|| RealDisk.open_rw(at, name))
    }

    fn create_new(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<File> {
        self.write(|| RealDisk.create_new(at, name, mode))
    }

    fn create_unnamed(&self, at: &Dir, mode: u32) -> io::Result<File> {
        self.write(|| RealDisk.create_unnamed(at, mode))
    }

    fn link_unnamed(&self, file: &File, at: &Dir, name: &OsStr) -> io::Result<()> {
        self.write(|| RealDisk.link_unnamed(file, at, name))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.due(Class::Read) {
            Some(Kind::Error(errno)) => {
                self.note_injected();
                Err(errno.into())
            }
            Some(Kind::Kill) => die(),
            Some(Kind::Short) => {
                self.note_injected();
                let half = buffer.len().div_ceil(2);
                RealDisk.read_at(file, &mut buffer[..half], offset)
            }
            Some(Kind::Tear) | None => RealDisk.read_at(file, buffer, offset),
        }
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let half = &bytes[..bytes.len().div_ceil(2)];
        match self.due(Class::Write) {
            Some(Kind::Error(errno)) => {
                self.note_injected();
                Err(errno.into())
            }
            Some(Kind::Kill) => die(),
            Some(Kind::Tear) => {
                let _ = RealDisk.write_at(file, half, offset);
                die()
            }
            Some(Kind::Short) => {
                self.note_injected();
                RealDisk.write_at(file, half, offset)
            }
            None => RealDisk.write_at(file, bytes, offset),
        }
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.write(|| RealDisk.set_len(file, bytes))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let number = |file: &File| file.metadata().map(|stat| (stat.dev(), stat.ino())).ok();
        let mut dead_files = self.counts.dead_files.lock().unwrap();
        if dead_files.iter().any(|dead| number(dead) == number(file)) {
            let _ = self.counts.synced_again.fetch_add(1, Ordering::SeqCst);
        }
        let synced = self.write(|| RealDisk.sync(file));
        if synced.is_err() {
            dead_files.push(file.try_clone()?);
        }
        synced
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        self.write(|| RealDisk.sync_dir(dir))
    }

    fn sync_tree(&self, dir: &Dir) -> io::Result<()> {
        self.write(|| RealDisk.sync_tree(dir))
    }

    fn rename(
        &self,
        from: &Dir,
        old: &OsStr,
        to: &Dir,
        new: &OsStr,
        replace: Replace,
    ) -> io::Result<()> {
        self.write(|| RealDisk.rename(from, old, to, new, replace))
    }

    fn remove_file(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        self.write(|| RealDisk.remove_file(at, name))
    }

    fn remove_dir(&self, at: &Dir, name: &OsStr) -> io::Result<()> {
        self.write(|| RealDisk.remove_dir(at, name))
    }

    fn read_link(&self, at: &Dir, name: &OsStr) -> io::Result<OsString> {
        self.read(|| RealDisk.read_link(at, name))
    }

    fn symlink(&self, target: &OsStr, at: &Dir, name: &OsStr) -> io::Result<()> {
        self.write(|| RealDisk.symlink(target, at, name))
    }

    fn hard_link(&self, from: &Dir, old: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
        self.write(|| RealDisk.hard_link(from, old, to, new))
    }

    fn create_special(
        &self,
        at: &Dir,
        name: &OsStr,
        special: Special,
        mode: u32,
    ) -> io::Result<()> {
        self.write(|| RealDisk.create_special(at, name, special, mode))
    }

    fn set_mode(&self, of: Handle<'_>, mode: u32) -> io::Result<()> {
        self.write(|| RealDisk.set_mode(of, mode))
    }

    fn set_owner(&self, of: Handle<'_>, uid: u32, gid: u32) -> io::Result<()> {
        self.write(|| RealDisk.set_owner(of, uid, gid))
    }

    fn set_modified(&self, of: Handle<'_>, modified: (i64, u32)) -> io::Result<()> {
        self.write(|| RealDisk.set_modified(of, modified))
    }

    fn set_mode_at(&self, at: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        self.write(|| RealDisk.set_mode_at(at, name, mode))
    }

    fn set_owner_at(&self, at: &Dir, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        self.write(|| RealDisk.set_owner_at(at, name, uid, gid))
    }

    fn set_modified_at(&self, at: &Dir, name: &OsStr, modified: (i64, u32)) -> io::Result<()> {
        self.write(|| RealDisk.set_modified_at(at, name, modified))
    }

    fn set_xattr(&self, of: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.write(|| RealDisk.set_xattr(of, name, value))
    }
}
