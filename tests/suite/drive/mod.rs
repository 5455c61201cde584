//! The Drive backend against a Drive on loopback: its contract, what it costs, what it says.

mod clients;
mod costs;
mod faults;
mod program;
mod real;
mod refusals;
mod sign_in;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stillpoint::{
    backend::{
        Error, ObjectName, conformance,
        gdrive::{
            Account, Deletion, Endpoints, GDriveBackend, OAuthClient, Options, Patience, Site,
            Sizes, account::SCOPE,
        },
    },
    clock::{Clock, UnixNanos},
    disk::{Disk, RealDisk},
    id::PackId,
};

use crate::fake_drive::{CLIENT_SECRET, FakeDrive};

pub const PROJECT: &str = "4711";
pub const FOLDER: &str = "shop backups";
/// On a busy machine answers take their time.
const PATIENCE: Duration = Duration::from_secs(120);
/// For answers that never come.
pub const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
/// What Drive wants pieces to be multiples of, and enough to see one go missing.
pub const PIECE_BYTES: usize = 256 * 1024;

/// A clock on which waiting takes no time.
#[derive(Debug, Default)]
pub struct QuickClock(AtomicU64);

impl Clock for QuickClock {
    fn now(&self) -> UnixNanos {
        1_800_000_000_000_000_000
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) {
        let _ = self.0.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl QuickClock {
    pub fn pass_a_minute(&self) {
        self.sleep(Duration::from_secs(60));
    }
}

/// A Drive and a machine that uses it.
pub struct Scene {
    pub fake: FakeDrive,
    pub state: tempfile::TempDir,
    pub clock: Arc<QuickClock>,
    /// How long it waits for an answer.
    pub patience: Duration,
    refresh: String,
}

impl Scene {
    /// Starts the Drive, with somebody signed in.
    pub fn new() -> Self {
        let fake = FakeDrive::start();
        let refresh = fake.sign_in(PROJECT);
        let state = tempfile::tempdir().unwrap();
        Self { fake, state, clock: Arc::default(), patience: PATIENCE, refresh }
    }

    /// Another Drive and machine in the same state.
    pub fn copied(&self) -> Self {
        let fake = FakeDrive::start_with(self.fake.store().clone());
        let state = tempfile::tempdir().unwrap();
        copy_folder(self.state.path(), state.path());
        let refresh = self.refresh.clone();
        Self { fake, state, clock: Arc::default(), patience: PATIENCE, refresh }
    }

    pub fn account(&self) -> Account {
        account(PROJECT, &self.refresh)
    }

    pub fn site(&self, state: &Path) -> Site {
        Site {
            folder: FOLDER.to_owned(),
            state: state.to_owned(),
            account: self.account(),
            keep: Box::new(|_| Ok(())),
            disk: Arc::new(RealDisk),
            clock: Arc::<QuickClock>::clone(&self.clock),
            options: Options {
                endpoints: Endpoints::below(&self.fake.base()),
                deletion: Deletion::Trash,
                patience: Patience { answer: self.patience, bytes_per_second_min: 10_000_000 },
                shelf_objects_max: 1000,
                sizes: Sizes { piece_bytes: PIECE_BYTES as u64, whole_bytes_max: 64 * 1024 },
                upload_limit: None,
            },
        }
    }

    pub fn create(&self) -> GDriveBackend {
        GDriveBackend::create(self.site(self.state.path())).unwrap()
    }

    pub fn open(&self) -> Result<GDriveBackend, Error> {
        GDriveBackend::open(self.site(self.state.path()))
    }

    pub fn open_on(&self, disk: Arc<dyn Disk>) -> Result<GDriveBackend, Error> {
        GDriveBackend::open(Site { disk, ..self.site(self.state.path()) })
    }

    /// Ids of the files that hold the object and are not in the trash.
    pub fn files_of(&self, name: &ObjectName) -> Vec<String> {
        let store = self.fake.store();
        let holds = |file: &&crate::fake_drive::store::File| {
            !file.trashed && file.app_properties.get("object") == Some(&name.to_string())
        };
        store.files.values().filter(holds).map(|file| file.id.clone()).collect()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if source.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&source, &target);
        } else {
            let _bytes = std::fs::copy(&source, &target).unwrap();
        }
    }
}

pub fn account(project: &str, refresh: &str) -> Account {
    let client = OAuthClient {
        id: format!("{project}-desktop.apps.googleusercontent.com"),
        secret: CLIENT_SECRET.to_owned(),
    };
    Account::new(client, SCOPE.to_owned(), refresh.to_owned())
}

pub fn pack(seed: u8) -> ObjectName {
    ObjectName::Pack(PackId([seed; 32]))
}

/// Bytes that do not repeat.
pub fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

#[test]
fn drive_keeps_the_contract() {
    conformance::check(&Scene::new().create());
}

#[test]
fn drive_keeps_the_contract_when_it_lags_pages_and_knows_no_ranges() {
    let scene = Scene::new();
    let backend = scene.create();
    scene.fake.turn(|knobs| {
        knobs.page_files_max = 2;
        knobs.has_empty_pages = true;
        knobs.name_lag_seconds = 3600;
        knobs.parent_lag_seconds = 3600;
        knobs.hides_sha256 = true;
        knobs.ignores_ranges = true;
    });

    conformance::check(&backend);
}

#[test]
fn drive_keeps_the_contract_with_shelves_that_fill() {
    let scene = Scene::new();
    scene.fake.turn(|knobs| knobs.children_max = 2);
    let mut site = scene.site(scene.state.path());
    site.options.shelf_objects_max = 4;
    site.options.deletion = Deletion::ForGood;

    conformance::check(&GDriveBackend::create(site).unwrap());
}
