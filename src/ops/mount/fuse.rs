//! The kernel's questions, answered from the view.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, Request, spawn_mount,
};

use crate::{
    format::node::Content,
    ops::mount::{
        Error, View,
        content::Opened,
        view::{Node, What},
    },
};

/// Nothing ever changes, so the kernel may remember it.
const FOREVER: Duration = Duration::from_secs(3600);
/// Programs read a database in pages, and files in the kernel's own pieces.
const BLOCK_BYTES: u32 = 4096;
const THREADS: usize = 2;

/// A mounted view; it is taken away when this goes.
#[must_use = "what is mounted goes when this goes"]
pub struct Mounted(BackgroundSession);

/// Shows the view in a folder. Returns once it is there.
pub fn mount(view: View, path: &Path) -> Result<Mounted, Error> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::FSName("stillpoint".to_owned()),
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
    ];
    config.n_threads = Some(THREADS);
    let files = Files { view, opened: Mutex::default(), next: AtomicU64::new(1) };
    let session = spawn_mount(files, path, &config);
    let path = path.to_owned();
    session.map(Mounted).map_err(|source| Error::NotMounted { path, source })
}

impl Mounted {
    /// Whether somebody else took it away.
    pub fn is_over(&self) -> bool {
        self.0.guard.is_finished()
    }

    /// Takes it away.
    pub fn unmount(self) -> Result<(), Error> {
        self.0.umount_and_join().map_err(Error::Ended)
    }
}

struct Files {
    view: View,
    opened: Mutex<HashMap<u64, Arc<Opened>>>,
    next: AtomicU64,
}

impl Files {
    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<Arc<Node>, Error> {
        let parent = self.view.node(parent.0)?;
        let children = self.view.children(&parent)?.ok_or(Error::Unknown)?;
        self.view.node(*children.get(name.as_bytes()).ok_or(Error::Unknown)?)
    }

    fn list(&self, number: INodeNo, offset: u64, reply: &mut ReplyDirectory) -> Result<(), Error> {
        let folder = self.view.node(number.0)?;
        let children = self.view.children(&folder)?.ok_or(Error::Unknown)?;
        let own = [(&b"."[..], folder.number), (&b".."[..], folder.parent.max(1))];
        let named = children.iter().map(|(name, number)| (&name[..], *number));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, (name, number)) in own.into_iter().chain(named).enumerate().skip(skipped) {
            let kind = kind(&self.view.node(number)?.what);
            if reply.add(INodeNo(number), at as u64 + 1, kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        Ok(())
    }

    fn open_file(&self, number: INodeNo) -> Result<u64, Error> {
        let opened = self.view.open(&*self.view.node(number.0)?)?;
        let handle = self.next.fetch_add(1, Relaxed);
        let mut files = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = files.insert(handle, Arc::new(opened));
        Ok(handle)
    }

    fn read_file(&self, handle: FileHandle, offset: u64, bytes: u32) -> Result<Vec<u8>, Error> {
        let files = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = files.get(&handle.0).cloned().ok_or(Error::Unknown)?;
        drop(files);
        opened.read(offset, bytes as usize)
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name) {
            Ok(node) => reply.entry(&FOREVER, &attributes(&node), Generation(0)),
            Err(error) => reply.error(number_of(&error)),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.view.node(number.0) {
            Ok(node) => reply.attr(&FOREVER, &attributes(&node)),
            Err(error) => reply.error(number_of(&error)),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.view.node(number.0).as_deref() {
            Ok(Node { what: What::Entry(Content::Link { target }), .. }) => reply.data(target),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.open_file(number) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(number_of(&error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_file(handle, offset, bytes) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(number_of(&error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut files = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        drop(files.remove(&handle.0));
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.list(number, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(number_of(&error)),
        }
    }
}

/// What the kernel is told: what is not there is not there, the rest is an error of reading.
const fn number_of(error: &Error) -> Errno {
    match error {
        Error::Unknown => Errno::ENOENT,
        _ => Errno::EIO,
    }
}

fn attributes(node: &Node) -> FileAttr {
    let (seconds, nanos) = node.modified;
    let since = Duration::new(seconds.unsigned_abs(), 0);
    let whole = match seconds {
        0.. => UNIX_EPOCH.checked_add(since),
        _ => UNIX_EPOCH.checked_sub(since),
    };
    let nanos = Duration::from_nanos(nanos.into());
    let time: SystemTime = whole.and_then(|at| at.checked_add(nanos)).unwrap_or(UNIX_EPOCH);
    let bytes = node.bytes();
    FileAttr {
        ino: INodeNo(node.number),
        size: bytes,
        blocks: bytes.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(&node.what),
        perm: (node.mode & 0o7777) as u16,
        nlink: 1,
        uid: node.uid,
        gid: node.gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

const fn kind(what: &What) -> FileType {
    match what {
        What::Made | What::Entry(Content::Folder { .. }) => FileType::Directory,
        What::Entry(Content::File { .. } | Content::Database(_)) => FileType::RegularFile,
        What::Entry(Content::Link { .. }) => FileType::Symlink,
        What::Entry(Content::Fifo) => FileType::NamedPipe,
        What::Entry(Content::Socket) => FileType::Socket,
        What::Entry(Content::CharDevice { .. }) => FileType::CharDevice,
        What::Entry(Content::BlockDevice { .. }) => FileType::BlockDevice,
    }
}
