//! Databases that are captured while others write to them, as fast as they can.
//!
//! Money moves between accounts, and each move is entered in a ledger. An image is consistent when
//! SQLite finds nothing, all the money is there, and the ledger has no gap; it is complete when it
//! holds every move that had been committed before the capture began.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};
use stillpoint::{
    clock::{SystemClock, SystemEntropy},
    crypto::keys::{Keys, first_ring},
    disk::{Dir, Disk, RealDisk},
    format::image::Method,
    id::RepositoryId,
    repo::image::ChangedPages,
    source::sqlite::{Capture, CaptureProgram, CaptureSetup, Limits, Sighting},
};

use crate::shop;

const ACCOUNTS: i64 = 20;
const MONEY: i64 = 100 * ACCOUNTS;
const WRITERS: i64 = 4;

/// A bank that is busy until it is closed.
struct Bank {
    folder: tempfile::TempDir,
    state: Dir,
    keys: Arc<Keys>,
    is_closed: Arc<AtomicBool>,
    /// Moves that are committed for certain.
    moved: Arc<AtomicI64>,
}

impl Bank {
    fn open(journal: &str) -> Self {
        let folder = tempfile::tempdir_in(shop::scratch()).unwrap();
        let state = RealDisk.create_root(&folder.path().join("state"), 0o700).unwrap();
        let ring = first_ring(&SystemEntropy, [0; 32]);
        let keys = Arc::new(Keys::from_ring(RepositoryId([1; 32]), &ring));
        let (is_closed, moved) = (Arc::default(), Arc::default());
        let bank = Self { folder, state, keys, is_closed, moved };
        let database = connect(&bank.path());
        database
            .execute_batch(&format!(
                "PRAGMA journal_mode={journal};
                 CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER);
                 CREATE TABLE ledger (id INTEGER PRIMARY KEY, payer INTEGER, payee INTEGER);
                 CREATE INDEX by_payer ON ledger (payer, payee);
                 WITH RECURSIVE n(i) AS
                     (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
                 INSERT INTO account SELECT i, 100 FROM n;"
            ))
            .unwrap();
        bank
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bank.db")
    }

    /// Captures while writers move money, and returns how many images there were.
    fn capture(&self, times: usize) -> usize {
        self.busy(|| {
            for _ in 0..times {
                let moved_before = self.moved.load(Ordering::SeqCst);
                let image = self.image();
                let moves = audit(&image).expect("an image is consistent");
                assert!(moves >= moved_before, "{moves} of {moved_before} committed moves");
            }
        });
        times
    }

    /// Does something while the writers are at work.
    fn busy(&self, work: impl FnOnce()) {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let _ = scope.spawn(move || self.move_money(writer));
            }
            let closes = Closes(&self.is_closed);
            work();
            drop(closes);
        });
    }

    fn move_money(&self, writer: i64) {
        let mut database = connect(&self.path());
        let mut round = writer;
        while !self.is_closed.load(Ordering::Relaxed) {
            let (payer, payee) = (round % ACCOUNTS + 1, (round * 7 + 3) % ACCOUNTS + 1);
            let transaction =
                database.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            for (account, change) in [(payer, -1), (payee, 1)] {
                let sql = "UPDATE account SET money = money + ?1 WHERE id = ?2";
                let _ = transaction.execute(sql, [change, account]).unwrap();
            }
            let sql = "INSERT INTO ledger (payer, payee) VALUES (?1, ?2)";
            let _ = transaction.execute(sql, [payer, payee]).unwrap();
            let committed = transaction.last_insert_rowid();
            transaction.commit().unwrap();
            let _ = self.moved.fetch_max(committed, Ordering::SeqCst);
            round += WRITERS;
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    /// Captures the database as a file.
    fn image(&self) -> PathBuf {
        let setup = CaptureSetup {
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            keys: self.keys.clone(),
            state_dir: &self.state,
            stop: Arc::new(AtomicBool::new(false)),
            program: CaptureProgram {
                path: shop::program(),
                arguments: vec!["capture-child".into()],
            },
            limits: Limits::default(),
            question: None,
            method: Method::Pages,
        };
        let sighting = Sighting::take(&RealDisk, &SystemClock, &self.path()).unwrap();
        let captured = Capture::start(&setup, sighting, None).unwrap().finish().unwrap();
        let spool = captured.spool;
        assert_eq!(spool.count(), spool.page_count());
        let mut pages = vec![0; spool.page_count() as usize * spool.page_bytes() as usize];
        spool.read(0, &mut pages).unwrap();
        let image = self.folder.path().join("image.db");
        remove(&image);
        fs::write(&image, pages).unwrap();
        image
    }

    /// Copies the files as a tool would that knows no databases.
    fn naive_copy(&self) -> PathBuf {
        let copy = self.folder.path().join("copy.db");
        remove(&copy);
        let _ = fs::copy(self.path(), &copy).unwrap();
        let _ = fs::copy(beside(&self.path(), "-wal"), beside(&copy, "-wal"));
        copy
    }
}

/// Sends the writers home, also when the work panics.
struct Closes<'a>(&'a AtomicBool);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn connect(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(60)).unwrap();
    database.execute_batch("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=50;").unwrap();
    database
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
}

/// Returns the number of moves in a database, or what is wrong with it.
fn audit(path: &Path) -> Result<i64, String> {
    let database = connect(path);
    let ask = |sql: &str| {
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| error.to_string())
    };
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    let money = ask("SELECT sum(money) FROM account")?;
    let moves = ask("SELECT count(*) FROM ledger")?;
    let last = ask("SELECT ifnull(max(id), 0) FROM ledger")?;
    match check == "ok" && money == MONEY && moves == last {
        true => Ok(moves),
        false => Err(format!("{check}; {money} of {MONEY}; {moves} moves up to {last}")),
    }
}

#[test]
fn a_thousand_captures_of_a_busy_database_are_consistent() {
    let bank = Bank::open("WAL");

    let images = bank.capture(1000);

    println!(
        "{images} images in WAL mode while {} moves were made",
        bank.moved.load(Ordering::SeqCst)
    );
    assert!(!beside(&bank.path(), "-journal").exists());
}

#[test]
fn captures_beside_a_rollback_journal_are_consistent() {
    for journal in ["DELETE", "TRUNCATE"] {
        let bank = Bank::open(journal);

        let images = bank.capture(200);

        let moved = bank.moved.load(Ordering::SeqCst);
        println!("{images} images in {journal} mode while {moved} moves were made");
    }
}

#[test]
fn a_naive_copy_of_the_files_fails_the_same_audit() {
    let bank = Bank::open("WAL");
    // A copy takes a while, as that of any database worth copying.
    let _ = connect(&bank.path())
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
             INSERT INTO ledger (payer, payee) SELECT 1, 1 FROM n",
            [],
        )
        .unwrap();
    let mut bad = 0;

    bank.busy(|| {
        for copies in 1..=500 {
            let copy = bank.naive_copy();
            bad += usize::from(audit(&copy).is_err());
            if bad >= 3 {
                println!("{bad} of {copies} naive copies are not consistent");
                break;
            }
        }
    });

    assert!(bad > 0);
}
