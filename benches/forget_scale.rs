//! What it takes to judge three months of hourly snapshots, to forget most of them, and to prune.
//!
//!     cargo bench --bench forget_scale [-- COUNT]
//!
//! The database is simulated: a gigabyte in pages of 4 KiB, of which some 350 change in an hour,
//! most of them among the newest. The hours are committed one by one, as backups do, with their own
//! times. Each phase runs in a process of its own, whose peak memory is its own.

#![expect(clippy::print_stdout, reason = "prints what it measured")]

mod phases;

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use jiff::tz::TimeZone;
use stillpoint::{
    backend::local::LocalBackend,
    clock::{Clock, SystemClock, SystemEntropy, UnixNanos},
    crypto::secret::Credential,
    disk::{Disk, real::RealDisk},
    format::{
        image::{Image, Method},
        record::{
            DatabaseFacts, Outcome, Part, PartContent, PartKind, Record, Storage, Totals, Trigger,
        },
    },
    id::{ImageIdentity, WriterId},
    ops::{
        event::Silent,
        forget::{self, Most, Plan},
        prune::{PruneOptions, prune},
        retention::{Choice, Group, Policies},
    },
    repo::{
        Environment, Repository,
        image::{self, ChangedPages, ImageReader, NewImage},
    },
};

const KEY: Credential = Credential::KeyFile([7; 32]);
const PAGE_BYTES: usize = 4096;
const PAGES: u32 = 262_144;
const CHANGED_IN_AN_HOUR: u64 = 350;
/// Most sales touch the newest pages.
const NEWEST_PAGES: u64 = 3_000;
const HOUR: i64 = 3_600_000_000_000;

fn main() {
    let phases: [phases::Phase; 3] = [("write", write), ("judge", judge), ("forget", forget_most)];
    phases::run(&phases, &["write", "judge", "forget"], &[2_000]);
}

/// Pages of the database that an hour changed, each with the number of changes that it has seen.
struct Hour {
    /// Numbers from 1, ascending.
    pages: Vec<(u32, u32)>,
}

impl ChangedPages for Hour {
    fn count(&self) -> u32 {
        self.pages.len() as u32
    }

    fn numbers(&self, first: u32, into: &mut [u32]) -> io::Result<()> {
        let pages = &self.pages[first as usize..];
        into.iter_mut().zip(pages).for_each(|(number, page)| *number = page.0);
        Ok(())
    }

    fn read(&self, first: u32, into: &mut [u8]) -> io::Result<()> {
        let pages = &self.pages[first as usize..];
        for (bytes, (number, version)) in into.chunks_mut(PAGE_BYTES).zip(pages) {
            fill_page(bytes, *number, *version);
        }
        Ok(())
    }
}

/// A page that compresses as databases do, with a few new bytes for each change.
fn fill_page(bytes: &mut [u8], number: u32, version: u32) {
    let words = blake3::hash(&number.to_le_bytes());
    for (at, chunk) in bytes.chunks_mut(32).enumerate() {
        chunk.copy_from_slice(&words.as_bytes()[..chunk.len()]);
        chunk[at % 32] = at as u8;
    }
    for change in 1..=version {
        let random = mixed(u64::from(number) << 32 | u64::from(change));
        let at = random as usize % (PAGE_BYTES - 8);
        bytes[at..at + 8].copy_from_slice(&mixed(random).to_le_bytes());
    }
}

fn write(folder: &Path, count: u64) {
    let credentials = [(KEY, "bench".to_owned())];
    let repository = Repository::create(environment(folder, LocalBackend::create), &credentials);
    let repository = repository.expect("a new repository");
    let mut versions = vec![0_u32; PAGES as usize];
    let all = Hour { pages: (1..=PAGES).map(|number| (number, 0)).collect() };
    let begin = SystemClock.now() - count as i64 * HOUR;
    let mut parent = store(&repository, &all, None, begin);
    for number in 1..count {
        let hour = change(&mut versions, number);
        parent = store(&repository, &hour, Some(&parent), begin + number as i64 * HOUR);
    }
}

fn change(versions: &mut [u32], hour: u64) -> Hour {
    let mut numbers: Vec<u32> = (0..CHANGED_IN_AN_HOUR)
        .map(|at| {
            let random = mixed(hour << 20 | at);
            let page = match at % 4 {
                0 => random % u64::from(PAGES),
                _ => u64::from(PAGES) - 1 - random % NEWEST_PAGES,
            };
            page as u32 + 1
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let pages = numbers.into_iter().map(|number| {
        let version = &mut versions[number as usize - 1];
        *version += 1;
        (number, *version)
    });
    Hour { pages: pages.collect() }
}

fn store(repository: &Repository, hour: &Hour, parent: Option<&Image>, at: UnixNanos) -> Image {
    let writer = repository.writer().expect("a run begins");
    let fetch = repository.fetcher_of(&writer);
    let parent = parent.map(|image| ImageReader::open(image, fetch).expect("it can be read"));
    let mut lane = writer.lane();
    let new = NewImage {
        page_bytes: PAGE_BYTES as u32,
        page_count: PAGES,
        identity: ImageIdentity([1; 32]),
        method: Method::Pages,
        damaged: false,
        unchecked: true,
        begun: (at, 0),
        witnesses: Vec::new(),
        changed: hour,
    };
    let built = image::build(&new, parent.as_ref(), Storage::Incremental, &mut lane);
    let image = built.expect("it is stored");
    lane.finish().expect("the lane ends");
    let _ = repository.commit(writer, record(&image, at)).expect("the run is published");
    image
}

/// As `forget --policy --dry-run`: from opening the repository to the bytes that it would free.
fn judge(folder: &Path, count: u64) {
    let clock = SystemClock;
    let start = clock.elapsed();
    let repository = Repository::open(environment(folder, LocalBackend::open), &KEY);
    let repository = repository.expect("it opens");
    let history = repository.history().expect("it lists");
    let read = (clock.elapsed() - start).as_secs_f64();
    let plan = plan(&history);
    let freed = plan.freed_bytes(&repository, &history).expect("it is counted");
    let seconds = (clock.elapsed() - start).as_secs_f64();
    assert_eq!(plan.decisions.len() as u64, count);
    println!(
        "  judged in {seconds:.2} s ({read:.2} s to read records): {} of {count} go and free {:.1} \
         MB, peak {} MB",
        plan.going().count(),
        freed as f64 / 1e6,
        phases::peak_megabytes()
    );
}

/// Forgets what the shop's policies do not keep, and prunes with an empty trash.
fn forget_most(folder: &Path, _: u64) {
    let clock = SystemClock;
    let repository = Repository::open(environment(folder, LocalBackend::open), &KEY);
    let repository = repository.expect("it opens");
    let plan = plan(&repository.history().expect("it lists"));
    let start = clock.elapsed();
    let forgotten = forget::execute(&repository, &plan, ("policy", Most::Allow), &Silent);
    let forgotten = forgotten.expect("it forgets").snapshots.len();
    let marked = (clock.elapsed() - start).as_secs_f64();
    let start = clock.elapsed();
    let options =
        PruneOptions { trash: Duration::ZERO, grace: Duration::ZERO, ..PruneOptions::default() };
    let report = prune(&repository, &options, &Silent).expect("it prunes");
    println!(
        "  forgot {forgotten} in {marked:.2} s, pruned in {:.2} s: {:.1} MB freed, {:.1} MB left, \
         peak {} MB",
        (clock.elapsed() - start).as_secs_f64(),
        report.bytes_freed as f64 / 1e6,
        report.bytes_after as f64 / 1e6,
        phases::peak_megabytes()
    );
}

fn plan(history: &stillpoint::repo::history::History) -> Plan {
    let policies = Policies::default();
    let zone = TimeZone::get("Europe/Madrid").expect("a zone of this world");
    let choice = Choice::Policy(&policies, &Group::ALL);
    Plan::new(history, choice, SystemClock.now(), &zone).expect("it judges")
}

type OpenBackend = fn(Arc<dyn Disk>, &Path) -> Result<LocalBackend, stillpoint::backend::Error>;

fn environment(folder: &Path, open: OpenBackend) -> Environment {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let backend = open(disk.clone(), &folder.join("repository")).expect("the folder is ours");
    Environment {
        backend: Arc::new(backend),
        disk,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        state_root: folder.join("state"),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

fn record(image: &Image, at: UnixNanos) -> Record {
    let facts = Box::new(DatabaseFacts::default());
    let part = Part {
        name: "pos".to_owned(),
        kind: PartKind::Database,
        sources: vec![b"/var/lib/pos/pos.db".to_vec()],
        totals: Totals { bytes: u64::from(PAGES) * PAGE_BYTES as u64, ..Totals::default() },
        problems: Vec::new(),
        problem_count: 0,
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database { image: Box::new(image.clone()), facts },
        outcome: Outcome::Complete,
    };
    Record {
        created: at,
        finished: at + 1,
        host: "bench".to_owned(),
        writer: WriterId([0; 32]),
        counter: 0,
        parent: None,
        storage: Storage::Incremental,
        trigger: Trigger::Schedule,
        actor: String::new(),
        station: String::new(),
        name: String::new(),
        note: String::new(),
        tags: Vec::new(),
        environment: Vec::new(),
        app_version: String::new(),
        program_version: String::new(),
        config: String::new(),
        configured: vec![("pos".to_owned(), PartKind::Database)],
        parts: vec![part],
        bytes_added: 0,
        incomplete: false,
        failed: Vec::new(),
    }
}

/// The same numbers for the same seed (SplitMix64).
const fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
