//! A scratch world for tests of folders of files: a source, a target, and chunks in memory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use stillpoint::{
    chunk::{self, Store, memory::MemoryChunks},
    clock::SystemEntropy,
    crypto::keys::{Keys, first_ring},
    disk::{Dir, Disk, RealDisk, Uninterrupted},
    format::{image::Image, node::Entry},
    id::{ChunkId, RepositoryId},
    sink::files::{
        self as sink, Destination, Options, Report, RestoreDatabase, RestoreDatabaseError, Sink,
        restore_tree,
    },
    source::files::{
        self as source, CaptureDatabase, CaptureError, CapturedDatabase, FoundDatabase, Lanes,
        Parent, RealReadDisk, Selection, Source, StoredTree, back_up_tree, read_disk::ReadDisk,
    },
};

/// A moment after all others, so that whatever did not change since the parent is not read.
pub const RESTED: i64 = i64::MAX;
/// A moment before all others, so that nothing had rested and all is read.
pub const NOT_RESTED: i64 = 0;

/// A scratch world.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub chunks: MemoryChunks,
    pub keys: Arc<Keys>,
    /// Chunks handed to the store by the last backup.
    pub puts: Arc<AtomicUsize>,
    pub events: Mutex<Vec<String>>,
}

impl Scene {
    /// Makes an empty world with the folders `source` and `target`.
    pub fn new() -> Self {
        Self::below(tempfile::tempdir().unwrap())
    }

    /// Makes a world on a file system in memory, where there is one: for tests that make durable
    /// what nobody needs, hundreds of times.
    pub fn in_memory() -> Self {
        let in_memory = tempfile::tempdir_in("/dev/shm");
        Self::below(in_memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn below(folder: tempfile::TempDir) -> Self {
        let ring = first_ring(&SystemEntropy, [0; 32]);
        let keys = Arc::new(Keys::from_ring(RepositoryId([1; 32]), &ring));
        let scene = Self {
            folder,
            chunks: MemoryChunks::new(keys.clone()),
            keys,
            puts: Arc::default(),
            events: Mutex::default(),
        };
        fs::create_dir(scene.source()).unwrap();
        fs::create_dir(scene.target()).unwrap();
        scene
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("source")
    }

    pub fn target(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("target")
    }

    /// Where a restore puts the tree.
    pub fn restored(&self) -> PathBuf {
        self.target().join("tree")
    }

    pub fn selection(&self) -> Selection {
        Selection { paths: vec![self.source()], ..Selection::default() }
    }

    /// Backs up the source folder.
    pub fn back_up(&self) -> StoredTree {
        self.back_up_as(&RealReadDisk, &self.selection(), None).unwrap()
    }

    /// Backs up again, trusting what looks as it did.
    pub fn back_up_again(&self, parent: &StoredTree) -> StoredTree {
        self.back_up_as(&RealReadDisk, &self.selection(), Some((parent, RESTED))).unwrap()
    }

    pub fn back_up_as(
        &self,
        disk: &dyn ReadDisk,
        selection: &Selection,
        parent: Option<(&StoredTree, i64)>,
    ) -> Result<StoredTree, source::Error> {
        self.puts.store(0, Ordering::Relaxed);
        let observe = |event: source::Event<'_>| match event {
            source::Event::Entry { .. } | source::Event::Folder { .. } => {}
            event => self.events.lock().unwrap().push(format!("{event:?}")),
        };
        let source = Source {
            disk,
            keys: &self.keys,
            fetch: &self.chunks,
            databases: &FakeDatabases,
            stop: &AtomicBool::new(false),
            observe: &observe,
        };
        let parent = parent.map(|(tree, began)| Parent {
            root: &tree.root,
            began,
            files: tree.totals.files,
        });
        let mut files = vec![self.lane(), self.lane(), self.lane()];
        let lanes = Lanes { files: &mut files, nodes: &mut self.lane() };
        back_up_tree(&source, selection, parent.as_ref(), lanes)
    }

    fn lane(&self) -> CountingLane {
        CountingLane { chunks: self.chunks.clone(), puts: self.puts.clone() }
    }

    /// Restores to `target/tree`.
    pub fn restore(&self, root: &Entry, options: &Options) -> Result<Report, sink::Error> {
        self.restore_with(root, options, restore_tree)
    }

    pub fn restore_with(
        &self,
        root: &Entry,
        options: &Options,
        restore: RestoreFn,
    ) -> Result<Report, sink::Error> {
        let disk = Uninterrupted(RealDisk);
        let parent = disk.open_root(&self.target()).unwrap();
        let sink = Sink {
            disk: &disk,
            fetch: &self.chunks,
            databases: &FakeDatabases,
            stop: &AtomicBool::new(false),
            observe: &|_| {},
        };
        let destination = Destination { parent: &parent, name: OsStr::new("tree") };
        restore(&sink, root, &destination, options)
    }
}

type RestoreFn = fn(&Sink<'_>, &Entry, &Destination<'_>, &Options) -> Result<Report, sink::Error>;

/// Counts what is handed to the store.
pub struct CountingLane {
    chunks: MemoryChunks,
    puts: Arc<AtomicUsize>,
}

impl Store for CountingLane {
    fn put(&mut self, plain: &[u8]) -> Result<ChunkId, chunk::Error> {
        let _ = self.puts.fetch_add(1, Ordering::Relaxed);
        self.chunks.put(plain)
    }
}

/// Takes databases without SQLite: what matters here is who is asked for what.
pub struct FakeDatabases;

impl CaptureDatabase for FakeDatabases {
    fn capture(
        &self,
        found: &FoundDatabase<'_>,
        store: &mut dyn Store,
    ) -> Result<CapturedDatabase, CaptureError> {
        let plain = fs::read(found.path).map_err(|error| CaptureError::Failed {
            code: "capture".to_owned(),
            message: error.to_string(),
        })?;
        if plain[500] == b'!' {
            let message = "it is locked".to_owned();
            return Err(CaptureError::Failed { code: "locked".to_owned(), message });
        }
        let image = crate::files_round_trip::image_of(found.path, &plain, store)?;
        Ok(CapturedDatabase { image, problem: None, bytes_read: plain.len() as u64 })
    }
}

impl RestoreDatabase for FakeDatabases {
    fn restore(&self, image: &Image, at: &Dir, name: &OsStr) -> Result<u64, RestoreDatabaseError> {
        let file = RealDisk.create_new(at, name, 0o600).map_err(|error| RestoreDatabaseError {
            code: "database".to_owned(),
            message: error.to_string(),
        })?;
        let bytes = u64::from(image.page_bytes) * u64::from(image.page_count);
        RealDisk.set_len(&file, bytes).unwrap();
        Ok(bytes)
    }
}

/// What a folder holds, each entry by its path in one line of text.
pub type Listing = BTreeMap<String, String>;

/// Lists a folder with all that a restore promises to bring back.
pub fn listing(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut names_of_inode = BTreeMap::new();
    list_into(root, &mut |path, meta| {
        let shown = shown_path(root, path);
        let first = names_of_inode.entry((meta.dev(), meta.ino())).or_insert(shown.clone());
        let name = if meta.nlink() > 1 && !meta.is_dir() { first.as_str() } else { "" };
        let text = format!("{} one file with {name:?}", description(path, meta));
        let _ = listing.insert(shown, text);
    });
    listing
}

/// Lists a folder with all that anyone could have changed, change times and link counts included.
pub fn witness(root: &Path) -> Listing {
    let mut listing = Listing::new();
    list_into(root, &mut |path, meta| {
        let inode = (meta.ino(), meta.nlink(), meta.ctime(), meta.ctime_nsec());
        let text = format!("{} {inode:?}", description(path, meta));
        let _ = listing.insert(shown_path(root, path), text);
    });
    listing
}

fn list_into(at: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let meta = fs::symlink_metadata(at).unwrap();
    visit(at, &meta);
    if meta.is_dir() {
        let mut children: Vec<_> =
            fs::read_dir(at).unwrap().map(|child| child.unwrap().path()).collect();
        children.sort();
        children.iter().for_each(|child| list_into(child, visit));
    }
}

fn description(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let content = if kind.is_file() {
        let hash = blake3::hash(&fs::read(path).unwrap());
        format!("file of {} in about {} KiB: {hash}", meta.len(), meta.blocks() / 2 / 64 * 64)
    } else if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap())
    } else if kind.is_dir() {
        "folder".to_owned()
    } else {
        format!("fifo {} socket {} device {}", kind.is_fifo(), kind.is_socket(), meta.rdev())
    };
    let owner = (meta.uid(), meta.gid());
    let modified = (meta.mtime(), meta.mtime_nsec());
    let xattrs = if kind.is_file() || kind.is_dir() { xattrs(path) } else { Vec::new() };
    format!("{content} {:o} {owner:?} {modified:?} {xattrs:?}", meta.mode())
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = [0; 4096];
    let length = rustix::fs::listxattr(path, &mut names).unwrap_or(0);
    let mut xattrs = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
        xattrs.push((name.to_vec(), value[..length].to_vec()));
    }
    xattrs.sort();
    xattrs
}

fn shown_path(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
    String::from_utf8_lossy(below).into_owned()
}

/// Writes a file with its parents.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Makes a link.
pub fn link(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    symlink(target, path).unwrap();
}

/// Sets a mode.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Sets the modification time of a name.
pub fn set_modified(path: impl AsRef<Path>, seconds: i64, nanos: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
    };
    utimensat(CWD, path.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that do not compress, the same each time.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    let _ = hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut noise);
    noise
}

/// Whether the tests run with the rights of root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
