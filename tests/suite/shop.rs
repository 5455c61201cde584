//! A tiny shop that can be backed up, changed and compared: one live database, a few files.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rusqlite::Connection;
use stillpoint::{
    backend::Backend,
    clock::{SystemClock, SystemEntropy},
    crypto::secret::Credential,
    disk::{Disk, RealDisk},
    format::record::{Storage, Trigger},
    ops::{
        self,
        backup::{self, Report, Request},
        event::Silent,
        moment::PartAt,
        restore::{self, Extra, Verify},
        set::{FileSet, Set, SetSource},
    },
    repo::{self, Environment, Repository, Snapshot},
    sink::files::Overwrite,
};

/// What a folder or a database holds: comparable, and small enough to print.
pub type Content = BTreeMap<String, String>;

pub const KEY: Credential = Credential::KeyFile([7; 32]);

/// The sources of a shop, below a folder that is gone after the test.
pub struct Shop {
    path: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl Shop {
    /// Opens a shop with a database, and some files of a few KB.
    pub fn open() -> Self {
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let shop = Self { path: folder.path().to_owned(), _scratch: Some(folder) };
        fs::create_dir_all(shop.files().join("a/b")).unwrap();
        for number in 0..6 {
            shop.write(&format!("a/file-{number}"), &pseudo_random(number, 700));
        }
        shop.write("a/b/text", "the same line over and over\n".repeat(30).as_bytes());
        std::os::unix::fs::symlink("file-1", shop.files().join("a/link")).unwrap();
        let database = shop.connect();
        database
            .execute_batch(
                "PRAGMA page_size=512; PRAGMA journal_mode=WAL;
                 CREATE TABLE sale (id INTEGER PRIMARY KEY, item TEXT, paid INTEGER);",
            )
            .unwrap();
        shop.sell(20);
        shop
    }

    /// The shop that another process opened in this folder.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _scratch: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sells something: changes pages of the database, and one file.
    pub fn sell(&self, count: usize) {
        let mut database = self.connect();
        let transaction = database.transaction().unwrap();
        for number in 0..count {
            let item = format!("item {number} {}", "x".repeat(number % 40));
            let _ = transaction
                .execute("INSERT INTO sale (item, paid) VALUES (?1, ?2)", (item, number as i64))
                .unwrap();
        }
        transaction.commit().unwrap();
        self.write("a/log", format!("{count} more").as_bytes());
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.files().join(name), bytes).unwrap();
    }

    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("pos.db")
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// What a restore must bring back.
    pub fn content(&self) -> Content {
        let mut content = tree(&self.files());
        content.extend(rows(&self.database()));
        content
    }

    pub fn sets(&self) -> Vec<Set> {
        let files = FileSet { paths: vec![self.files()], ..FileSet::default() };
        vec![
            Set { name: "pos".to_owned(), source: SetSource::Sqlite { path: self.database() } },
            Set { name: "files".to_owned(), source: SetSource::Files(files) },
        ]
    }

    pub fn request(&self, storage: Storage) -> Request {
        let sets = self.sets();
        Request {
            configured: sets.iter().map(|set| (set.name.clone(), set.kind())).collect(),
            sets,
            storage,
            trigger: Trigger::Manual,
            actor: String::new(),
            station: String::new(),
            name: String::new(),
            note: String::new(),
            tags: Vec::new(),
            environment: Vec::new(),
            app_version: None,
            config: String::new(),
            host: "test".to_owned(),
            // A child that another test starts holds our locks too, until it is the other program.
            wait: Duration::from_secs(30),
            min_free_bytes: 0,
            program: program(),
            own: Vec::new(),
            origins: Vec::new(),
        }
    }

    pub fn back_up(&self, repo: &Repository) -> Result<Report, ops::Error> {
        backup::run(repo, &self.request(Storage::Incremental), &Silent)
    }
}

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_stillpoint"))
}

/// Where tests work: in memory where there is such a place.
pub fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// An environment on this backend, with its state in this folder.
pub fn environment(backend: Arc<dyn Backend>, disk: Arc<dyn Disk>, state: &Path) -> Environment {
    Environment {
        backend,
        disk,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        state_root: state.to_owned(),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

pub fn open(backend: Arc<dyn Backend>, state: &Path) -> Result<Repository, repo::Error> {
    Repository::open(environment(backend, Arc::new(RealDisk), state), &KEY)
}

/// Restores one snapshot. Returns what came back, and whether that was all.
pub fn restore(repo: &Repository, snapshot: &Snapshot) -> Result<(Content, bool), ops::Error> {
    let target = tempfile::tempdir_in(scratch()).unwrap();
    let report = restore_into(repo, snapshot, target.path())?;
    Ok((restored(target.path()), report.is_complete()))
}

/// Restores one snapshot into this folder.
pub fn restore_into(
    repo: &Repository,
    snapshot: &Snapshot,
    target: &Path,
) -> Result<restore::Report, ops::Error> {
    let parts: Vec<_> =
        snapshot.record.parts.iter().map(|part| PartAt { snapshot, part }).collect();
    let request = restore::Request {
        target: target.to_owned(),
        overwrite: Overwrite::Changed,
        extra: Extra::Keep,
        include: Vec::new(),
        exclude: Vec::new(),
        verify: Verify::Identity,
        min_free_bytes: 0,
        program: program(),
    };
    restore::run(repo, &parts, &request, &Silent)
}

/// What a restore left in this folder.
pub fn restored(target: &Path) -> Content {
    let mut content = tree(&target.join("files"));
    let database = target.join("pos.db");
    if database.exists() {
        content.extend(rows(&database));
    }
    content
}

/// Every entry below a folder: kind, mode, time, and content or target.
pub fn tree(root: &Path) -> Content {
    let mut content = Content::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(folder) = ahead.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            let stat = entry.metadata().unwrap();
            let what = if stat.is_dir() {
                ahead.push(path.clone());
                "folder".to_owned()
            } else if stat.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                blake3::hash(&fs::read(&path).unwrap()).to_string()
            };
            let time = if stat.is_symlink() { 0 } else { stat.mtime_nsec() };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let _ = content.insert(name, format!("{:o} {time} {what}", stat.mode()));
        }
    }
    content
}

/// All rows of the shop's database, which must be sound.
pub fn rows(database: &Path) -> Content {
    let connection = Connection::open(database).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = connection.prepare("SELECT id, item, paid FROM sale").unwrap();
    let rows = statement.query_map([], |row| {
        let (id, item, paid): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((format!("sale {id}"), format!("{item} {paid}")))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Bytes that do not compress, the same ones for the same number.
pub fn pseudo_random(number: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}
