//! Captures of real databases by real child processes: this test program is the child too.
#![expect(clippy::disallowed_methods, reason = "files of a test are not durable")]

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
        epochs: crate::crypto::keys::Epochs::new(vec![(1, key(6))]),
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
        Self::in_folder(&std::env::temp_dir())
    }

    fn in_folder(folder: &Path) -> Self {
        let folder = tempfile::tempdir_in(folder).unwrap();
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

#[test]
fn every_page_size_encoding_and_vacuum_mode_comes_back() {
    for (page_bytes, vacuum, encoding) in [
        (512, "NONE", "UTF-8"),
        (1024, "FULL", "UTF-16le"),
        (4096, "INCREMENTAL", "UTF-16be"),
        (65_536, "FULL", "UTF-8"),
    ] {
        let mut shop = Shop::new();
        let app = Connection::open(shop.path()).unwrap();
        app.execute_batch(&format!(
            "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={vacuum};
             PRAGMA encoding='{encoding}';
             PRAGMA user_version=12; PRAGMA application_id=-7;"
        ))
        .unwrap();
        fill(&app, 3000);

        let (first, captured) = shop.back_up(None, 1);
        let _ = app.execute("DELETE FROM sales WHERE id % 3 = 0", []).unwrap();
        let (second, _) = shop.back_up(Some((&first, 1)), 2);

        assert_eq!(first.page_bytes, page_bytes);
        let facts = &captured.facts;
        assert_eq!((facts.user_version, facts.application_id), (12, -7));
        assert_eq!((facts.encoding.as_str(), facts.journal_mode.as_str()), (encoding, "delete"));
        assert_eq!(shop.ask(&first, "SELECT count(*) FROM sales"), "Integer(3000)");
        assert_eq!(shop.ask(&second, "SELECT count(*) FROM sales"), "Integer(2000)");
    }
}

#[test]
fn the_backup_api_gives_the_same_but_for_two_counters() {
    let mut shop = Shop::new();
    let app = shop.open("wal");
    fill(&app, 5000);
    shop.method = Method::BackupApi;

    let (image, captured) = shop.back_up(None, 1);

    assert_eq!(captured.method, Method::BackupApi);
    assert_eq!(shop.ask(&image, "SELECT count(*) FROM sales"), "Integer(5000)");
    let copy = ImageReader::open(&image, Arc::new(shop.store.clone())).unwrap();
    shop.method = Method::Pages;
    let (image, _) = shop.back_up(None, 2);
    let pages = ImageReader::open(&image, Arc::new(shop.store.clone())).unwrap();
    let different = |number: &u32| copy.page(*number).unwrap() != pages.page(*number).unwrap();
    assert!((2..=image.page_count).all(|number| !different(&number)));
}

#[test]
fn an_empty_file_is_an_empty_database() {
    let mut shop = Shop::new();
    drop(std::fs::File::create(shop.path()).unwrap());

    let (image, captured) = shop.back_up(None, 1);

    assert_eq!((image.page_bytes, image.page_count), (0, 0));
    assert_eq!(captured.facts.rows, []);
    let app = shop.open("wal");
    fill(&app, 10);
    let (image, _) = shop.back_up(Some((&image, 1)), 2);
    assert_eq!(shop.ask(&image, "SELECT count(*) FROM sales"), "Integer(10)");
}

#[test]
fn vacuum_shrinking_and_another_file_under_the_name_come_back() {
    let mut shop = Shop::new();
    let app = shop.open("wal");
    fill(&app, 20_000);
    let (full, _) = shop.back_up(None, 1);
    app.execute_batch("DELETE FROM sales WHERE id > 500; VACUUM").unwrap();
    let (vacuumed, _) = shop.back_up(Some((&full, 1)), 2);
    drop(app);
    std::fs::remove_file(shop.path()).unwrap();
    let other = Connection::open(shop.path()).unwrap();
    other
        .execute_batch("PRAGMA page_size=8192; CREATE TABLE other(x); INSERT INTO other VALUES(5)")
        .unwrap();
    let (replaced, _) = shop.back_up(Some((&vacuumed, 2)), 3);

    assert!(vacuumed.page_count < full.page_count / 10);
    assert_eq!(shop.ask(&full, "SELECT count(*) FROM sales"), "Integer(20000)");
    assert_eq!(shop.ask(&vacuumed, "SELECT count(*) FROM sales"), "Integer(500)");
    assert_eq!(shop.ask(&replaced, "SELECT x FROM other"), "Integer(5)");
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    let shop = Shop::new();
    for content in [&b"just a few words"[..], &[0xa5; 8192], b"SQLite format 3\0 but no more"] {
        std::fs::write(shop.path(), content).unwrap();

        let refused = shop.capture(None);

        assert!(matches!(refused, Err(Error::NotADatabase { .. })), "{refused:?}");
        assert_eq!(std::fs::read(shop.path()).unwrap(), content);
    }
    std::fs::remove_file(shop.path()).unwrap();
    let missing = Sighting::take(&RealDisk, &SystemClock, &shop.path());
    assert!(matches!(missing, Err(Error::Unreadable { .. })));
}

#[test]
fn a_locked_database_fails_in_time_and_the_others_go_on() {
    let locked = Shop::new();
    fill(&locked.open("delete"), 10);
    let holder = Connection::open(locked.path()).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let free = Shop::new();
    fill(&free.open("delete"), 10);
    let (locked_setup, free_setup) = (locked.setup(), free.setup());
    let mut captures = [
        Capture::start(&locked_setup, locked.sighting(), None).unwrap(),
        Capture::start(&free_setup, free.sighting(), None).unwrap(),
    ];

    go_together(&mut captures, Duration::from_millis(100));
    let [first, second] = captures.map(Capture::finish);

    assert!(matches!(first, Err(Error::Locked { .. })), "{first:?}");
    assert_eq!(second.unwrap().facts.rows, [("sales".to_owned(), 10)]);
}

#[test]
fn a_writer_without_a_wal_is_not_kept_waiting_beyond_the_bound() {
    let mut shop = Shop::new();
    let app = shop.open("truncate");
    fill(&app, 10);
    shop.limits.hold = Duration::ZERO;

    let refused = shop.capture(None);

    assert!(matches!(refused, Err(Error::HeldTooLong { .. })), "{refused:?}");
    let _ = app.execute("DELETE FROM sales", []).unwrap();
    drop(app);
    let _ = shop.open("wal");
    assert!(shop.capture(None).is_ok());
}

#[test]
fn captures_of_one_run_see_one_moment() {
    let shops = [Shop::new(), Shop::new()];
    let apps = shops.each_ref().map(|shop| shop.open("wal"));
    apps.iter().for_each(|app| fill(app, 10));
    let setups = shops.each_ref().map(Shop::setup);
    let mut captures: Vec<_> = shops
        .iter()
        .zip(&setups)
        .map(|(shop, setup)| Capture::start(setup, shop.sighting(), None).unwrap())
        .collect();
    for capture in &mut captures {
        while !capture.is_ready_within(Duration::from_secs(1)).unwrap() {}
    }

    // A sale after both have begun, and before either has read, is in neither.
    apps.iter().for_each(|app| fill(app, 10));
    go_together(&mut captures, Duration::ZERO);

    for capture in captures {
        assert_eq!(capture.finish().unwrap().facts.rows, [("sales".to_owned(), 10)]);
    }
}

#[test]
fn nothing_is_left_beside_a_database_and_nothing_of_others_is_removed() {
    let shop = Shop::new();
    let app = shop.open("wal");
    fill(&app, 100);
    drop(app);
    assert!(shop.companions().is_empty());
    let before = std::fs::read(shop.path()).unwrap();

    let _ = shop.capture(None).unwrap();

    assert!(shop.companions().is_empty());
    assert_eq!(std::fs::read(shop.path()).unwrap(), before);
}

#[test]
fn what_a_dead_application_left_in_its_wal_is_captured_and_stays_there() {
    let mut shop = Shop::new();
    let crashed = shop.folder.path().join("crashed");
    let app = shop.open("wal");
    app.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    fill(&app, 1000);
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", shop.path().display());
        let _ = std::fs::copy(from, format!("{}{suffix}", crashed.display())).unwrap();
    }
    drop(app);
    for suffix in ["", "-wal"] {
        let to = format!("{}{suffix}", shop.path().display());
        std::fs::rename(format!("{}{suffix}", crashed.display()), to).unwrap();
    }
    let wal = companion(shop.path().as_os_str(), "-wal");
    let before = (std::fs::read(shop.path()).unwrap(), std::fs::read(&wal).unwrap());

    let (image, _) = shop.back_up(None, 1);

    assert_eq!(shop.ask(&image, "SELECT count(*) FROM sales"), "Integer(1000)");
    assert_eq!((std::fs::read(shop.path()).unwrap(), std::fs::read(&wal).unwrap()), before);
}

#[test]
fn a_hot_journal_is_rolled_back_first() {
    let mut shop = Shop::new();
    let app = shop.open("delete");
    fill(&app, 5000);
    app.execute_batch("PRAGMA cache_size=5; BEGIN; UPDATE sales SET total = 0").unwrap();
    // The application dies here: what it had spilled into the file stays, and so does its journal.
    let dead: Vec<(String, Vec<u8>)> = ["", "-journal"]
        .map(|suffix| format!("{}{suffix}", shop.path().display()))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .to_vec();
    drop(app);
    dead.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());

    let (image, _) = shop.back_up(None, 1);

    assert_eq!(shop.ask(&image, "SELECT sum(total) FROM sales"), "Integer(12497500)");
}

#[test]
fn a_damaged_database_is_captured_and_marked() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("the schema's text", |file| {
            let at = file.windows(12).position(|bytes| bytes == b"CREATE TABLE").unwrap();
            file[at..at + 12].copy_from_slice(b"CREATE TUBLE");
        }),
        ("the root pages of a table and its index", |file| {
            file[4096..4200].fill(0xee);
            file[8192..8300].fill(0xee);
        }),
        ("the end is missing", |file| file.truncate(file.len() / 2 / 4096 * 4096)),
        ("the schema page", |file| file[100..108].fill(0xee)),
    ];
    for (what, damage) in damages {
        let mut shop = Shop::new();
        fill(&shop.open("delete"), 3000);
        let mut file = std::fs::read(shop.path()).unwrap();
        damage(&mut file);
        std::fs::write(shop.path(), &file).unwrap();

        let (image, captured) = shop.back_up(None, 1);

        assert!(captured.damage.is_some() && image.damaged, "{what}");
        assert_ne!(captured.facts.check, "not checked", "{what}");
        assert_eq!(std::fs::read(shop.restore(&image)).unwrap(), file, "{what}");
    }
}

#[test]
fn what_we_lack_the_modules_for_is_no_damage() {
    let shop = Shop::new();
    let app = shop.open("wal");
    app.execute_batch(
        "CREATE TABLE names(name TEXT COLLATE BINARY); CREATE INDEX by_name ON names(name);
         INSERT INTO names VALUES('a'), ('b');
         PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'BINARY', 'shopwise');
         INSERT INTO sqlite_schema VALUES('table', 'odd', 'odd', 0,
            'CREATE VIRTUAL TABLE odd USING a_module_of_the_shop(x)');",
    )
    .unwrap();

    let captured = shop.capture(None).unwrap();

    assert_eq!(captured.damage, None);
    assert_eq!(captured.facts.rows, [("names".to_owned(), 2), ("odd".to_owned(), -1)]);
}

#[test]
fn rows_that_would_take_too_long_to_count_stay_uncounted() {
    let mut shop = Shop::new();
    fill(&shop.open("wal"), 1000);
    shop.limits.count = Duration::ZERO;

    let captured = shop.capture(None).unwrap();

    assert_eq!(captured.facts.rows.len(), 1);
    assert_eq!(captured.damage, None);
}

#[test]
fn a_capture_that_is_stopped_or_dropped_lets_the_database_go() {
    let shop = Shop::new();
    let app = shop.open("delete");
    fill(&app, 100);
    let setup = shop.setup();

    let mut dropped = Capture::start(&setup, shop.sighting(), None).unwrap();
    while !dropped.is_ready_within(Duration::from_secs(1)).unwrap() {}
    assert!(app.execute("DELETE FROM sales", []).is_err(), "a reader has the lock");
    drop(dropped);
    assert!(app.execute("DELETE FROM sales", []).is_ok());

    let stopped = Capture::start(&setup, shop.sighting(), None).unwrap();
    setup.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(stopped.finish(), Err(Error::Stopped)));
    assert!(app.execute("DELETE FROM sales", []).is_ok());
}

#[test]
fn a_program_that_does_not_capture_is_found_out() {
    let shop = Shop::new();
    fill(&shop.open("wal"), 10);
    for (program, argument) in
        [("/bin/false", "-"), ("/bin/echo", "hello"), ("/no/such/program", "-")]
    {
        let mut setup = shop.setup();
        setup.program = CaptureProgram { path: program.into(), arguments: vec![argument.into()] };

        let died = Capture::start(&setup, shop.sighting(), None).and_then(Capture::finish);

        assert!(matches!(died, Err(Error::ChildDied { .. })), "{program}: {died:?}");
    }
}

#[test]
fn page_hashes_are_believed_only_if_they_are_the_images() {
    let mut shop = Shop::new();
    fill(&shop.open("wal"), 2000);
    let (image, _) = shop.back_up(None, 1);
    let snapshot = SnapshotId([1; 32]);
    let opened = |shop: &Shop, name: &ListName<'_>, snapshot| {
        let of = (snapshot, &image, &*shop.keys);
        PageHashes::open(&RealDisk, &shop.state, name, of).is_some()
    };
    assert!(opened(&shop, &NAME, snapshot));
    assert!(!opened(&shop, &ListName { part: "other", ..NAME }, snapshot));
    assert!(!opened(&shop, &NAME, SnapshotId([2; 32])));

    let reader = ImageReader::open(&image, Arc::new(shop.store.clone())).unwrap();
    let rebuilt = PageHashes::rebuild(&RealDisk, &shop.state, &reader, &shop.keys).unwrap();
    assert_eq!(shop.capture(Some(&rebuilt)).unwrap().spool.count(), 0);

    let handed = (snapshot, SnapshotId([2; 32]), &image);
    PageHashes::hand_on(&RealDisk, &shop.state, &NAME, handed).unwrap();
    assert!(opened(&shop, &NAME, SnapshotId([2; 32])));
    let path = std::fs::read_dir(shop.folder.path().join("state")).unwrap().next().unwrap();
    let path = path.unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(!opened(&shop, &NAME, SnapshotId([2; 32])));
}

#[test]
fn a_spool_that_is_full_is_an_error_of_its_own() {
    let shop = Shop::new();
    fill(&shop.open("delete"), 20_000);
    let mut setup = shop.setup();
    // A shell lets the child write no file beyond 64 KiB.
    let limit = r#"ulimit -f 128; trap '' XFSZ; exec "$0" "$@""#;
    let mut arguments = vec!["-c".into(), limit.into(), setup.program.path.into_os_string()];
    arguments.append(&mut setup.program.arguments);
    setup.program = CaptureProgram { path: "/bin/sh".into(), arguments };

    let full = Capture::start(&setup, shop.sighting(), None).and_then(Capture::finish);

    assert!(matches!(full, Err(Error::Spool { action: "write", .. })), "{full:?}");
}

/// With the page at 1 GiB, where SQLite keeps its locks and no data.
#[test]
fn a_database_beyond_four_gib_is_captured() {
    use std::os::unix::fs::FileExt;
    // Holes cost least where there is no disk below.
    let shm = Path::new("/dev/shm");
    let mut shop = if shm.is_dir() { Shop::in_folder(shm) } else { Shop::new() };
    shop.limits.hold = Duration::from_secs(600);
    let page_bytes = 65_536u64;
    let app = Connection::open(shop.path()).unwrap();
    app.execute_batch("PRAGMA page_size=65536").unwrap();
    fill(&app, 100);
    drop(app);
    let page_count = 4096 * 16 + 50;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(shop.path()).unwrap();
    file.set_len(page_count * page_bytes).unwrap();
    file.write_all_at(&(page_count as u32).to_be_bytes(), 28).unwrap();
    file.write_all_at(b"beyond", (page_count - 1) * page_bytes).unwrap();
    drop(file);
    let zero = shop.keys.page_hash(&vec![0; page_bytes as usize]);
    let list = shop.folder.path().join("zeros");
    std::fs::write(&list, zero.repeat(page_count as usize)).unwrap();
    let older = PageHashes::of_file(std::fs::File::open(list).unwrap(), 65_536, page_count as u32);

    let captured = shop.capture(Some(&older)).unwrap();

    assert_eq!(captured.spool.page_count(), page_count as u32);
    let mut numbers = vec![0; captured.spool.count() as usize];
    captured.spool.numbers(0, &mut numbers).unwrap();
    assert_eq!((numbers[0], numbers.last()), (1, Some(&(page_count as u32))));
    let mut last = vec![0; page_bytes as usize];
    captured.spool.read(captured.spool.count() - 1, &mut last).unwrap();
    assert!(last.starts_with(b"beyond"));
}
