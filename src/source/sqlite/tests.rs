//! Captures of real databases by real child processes: this test program is the child too.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rusqlite::Connection;

use super::*;
use crate::{
    chunk::memory::MemoryChunks,
    clock::SystemClock,
    crypto::{keys::Keys, secret::Secret32},
    disk::{Dir, Disk, RealDisk},
    format::{
        image::{Image, Method},
        record::Storage,
    },
    id::{RepositoryId, SnapshotId},
    repo::image::{ChangedPages, ImageReader, build},
};

/// The child of the captures below; does nothing when the tests are run.
#[test]
#[ignore = "not a test: the captures of other tests start it"]
fn capture_child() {
    let _ = run_child();
}

fn program() -> CaptureProgram {
    let arguments = ["source::sqlite::tests::capture_child", "--exact", "--ignored", "--nocapture"];
    CaptureProgram {
        path: std::env::current_exe().unwrap(),
        arguments: arguments.map(Into::into).to_vec(),
    }
}

fn keys() -> Arc<Keys> {
    let key = |byte| Secret32::new([byte; 32]);
    Arc::new(Keys {
        repository: RepositoryId([1; 32]),
        chunk: key(2),
        cut: key(3),
        page: key(4),
        identity: key(5),
        epochs: vec![(1, key(6))],
    })
}

/// A folder with a database, a state folder and a store.
struct Shop {
    folder: tempfile::TempDir,
    state: Dir,
    keys: Arc<Keys>,
    store: MemoryChunks,
    method: Method,
    limits: Limits,
}

const NAME: ListName<'_> = ListName { repository: RepositoryId([1; 32]), part: "shop", path: b"" };

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let state = RealDisk.open_root(&folder.path().join("state")).unwrap();
        let keys = keys();
        let store = MemoryChunks::new(keys.clone());
        let limits = Limits { busy: Duration::from_millis(200), ..Limits::default() };
        Self { folder, state, keys, store, method: Method::Pages, limits }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Opens the database as its application does.
    fn open(&self, journal_mode: &str) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        let mode: String = connection
            .query_row(&format!("PRAGMA journal_mode={journal_mode}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, journal_mode);
        connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
        connection
    }

    fn setup(&self) -> CaptureSetup<'_> {
        CaptureSetup {
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            keys: self.keys.clone(),
            state_dir: &self.state,
            stop: Arc::new(AtomicBool::new(false)),
            program: program(),
            question: None,
            limits: self.limits,
            method: self.method,
        }
    }

    fn sighting(&self) -> Sighting {
        Sighting::take(&RealDisk, &SystemClock, &self.path()).unwrap()
    }

    fn capture(&self, older: Option<&PageHashes>) -> Result<Captured, Error> {
        Capture::start(&self.setup(), self.sighting(), older)?.finish()
    }

    /// Captures and stores, on top of the image of the snapshot given, if any.
    fn back_up(&mut self, parent: Option<(&Image, u8)>, as_snapshot: u8) -> (Image, Captured) {
        let older = parent.map(|(image, snapshot)| {
            let of = (SnapshotId([snapshot; 32]), image, &*self.keys);
            PageHashes::open(&RealDisk, &self.state, &NAME, of).expect("the list was saved")
        });
        let captured = self.capture(older.as_ref()).unwrap();
        let fetch = Arc::new(self.store.clone());
        let parent = parent.map(|(image, _)| ImageReader::open(image, fetch.clone()).unwrap());
        let mut store = self.store.clone();
        let image = build(&captured.new_image(), parent.as_ref(), Storage::Incremental, &mut store)
            .unwrap();
        let saved = (SnapshotId([as_snapshot; 32]), &captured.spool);
        PageHashes::save(&RealDisk, &self.state, &NAME, saved).unwrap();
        (image, captured)
    }

    /// Reads the image back, opens it, and returns what SQLite says to the question.
    fn ask(&self, image: &Image, sql: &str) -> String {
        let path = self.restore(image);
        let connection = Connection::open(&path).unwrap();
        let check: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        connection
            .query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
    }

    fn restore(&self, image: &Image) -> PathBuf {
        let path = self.folder.path().join("restored.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        let file = std::fs::File::create_new(&path).unwrap();
        let reader = ImageReader::open(image, Arc::new(self.store.clone())).unwrap();
        let identity = reader
            .read_whole::<crate::repo::image::Error>(
                &self.keys,
                &|offset, run| {
                    std::os::unix::fs::FileExt::write_all_at(&file, run, offset).unwrap();
                    Ok(())
                },
                &mut |_| Ok(()),
            )
            .unwrap();
        assert_eq!(identity, image.identity);
        path
    }

    fn companions(&self) -> Vec<&'static str> {
        let beside = |suffix| companion(self.path().as_os_str(), suffix);
        COMPANIONS.into_iter().filter(|suffix| Path::new(&beside(suffix)).exists()).collect()
    }
}

fn fill(connection: &Connection, rows: u32) {
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS sales(id INTEGER PRIMARY KEY, what TEXT, total INTEGER);
             CREATE INDEX IF NOT EXISTS sales_total ON sales(total); BEGIN;",
        )
        .unwrap();
    let mut insert = connection
        .prepare("INSERT INTO sales(what, total) VALUES(?1 || hex(randomblob(40)), ?1)")
        .unwrap();
    for row in 0..rows {
        let _ = insert.execute([row]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

#[test]
fn a_database_comes_back_with_what_is_only_in_its_wal() {
    let mut shop = Shop::new();
    let app = shop.open("wal");
    fill(&app, 1000);

    let (image, captured) = shop.back_up(None, 1);

    assert_eq!(shop.ask(&image, "SELECT count(*) FROM sales"), "Integer(1000)");
    assert_eq!(captured.facts.rows, [("sales".to_owned(), 1000)]);
    assert_eq!(captured.facts.journal_mode, "wal");
    assert_eq!(captured.facts.schema.len(), 2);
    assert_eq!(captured.damage, None);
    assert_eq!(shop.companions(), ["-wal", "-shm"]);
}

#[test]
fn only_changed_pages_are_handed_up_and_stored() {
    let mut shop = Shop::new();
    let app = shop.open("wal");
    fill(&app, 20_000);
    let (first, _) = shop.back_up(None, 1);
    let before = shop.store.totals().1;
    let _ = app.execute("UPDATE sales SET total = -1 WHERE id = 10000", []).unwrap();

    let (second, captured) = shop.back_up(Some((&first, 1)), 2);

    assert!(captured.spool.count() < 8, "{} pages", captured.spool.count());
    assert!(shop.store.totals().1 - before < 2000);
    assert_eq!(shop.ask(&second, "SELECT total FROM sales WHERE id = 10000"), "Integer(-1)");
    assert_eq!(shop.ask(&first, "SELECT total FROM sales WHERE id = 10000"), "Integer(9999)");
}
