//! What it takes to judge three months of hourly snapshots, to prune the older half of them, and to
//! go on; and what a repository holds that never had that half.
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
    id::ImageIdentity,
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
    let phases: [phases::Phase; 5] = [
        ("write", write),
        ("judge", judge),
        ("prune", prune_older_half),
        ("next", next_hours),
        ("never", write_newer_half),
    ];
    phases::run(&phases, &phases.map(|phase| phase.0), &[2_000]);
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

/// Hours of which the mean time is told.
const HOURS_TIMED: usize = 10;

/// The pages as the hours leave them, one after the other.
struct Pages {
    versions: Vec<u32>,
    hours: u64,
}

impl Pages {
    /// As they are after so many hours.
    fn after(hours: u64) -> Self {
        let mut pages = Self { versions: vec![0; PAGES as usize], hours: 0 };
        (0..hours).for_each(|_| drop(pages.next()));
        pages
    }

    fn next(&mut self) -> Hour {
        self.hours += 1;
        change(&mut self.versions, self.hours)
    }

    /// All that changes until so many hours have passed.
    fn up_to(&mut self, hours: u64) -> Hour {
        while self.hours < hours {
            let _ = self.next();
        }
        let pages = (1..=PAGES).zip(self.versions.iter().copied());
        Hour { pages: pages.filter(|(_, version)| *version > 0).collect() }
    }

    fn all(&self) -> Hour {
        Hour { pages: (1..=PAGES).zip(self.versions.iter().copied()).collect() }
    }
}

fn write(folder: &Path, count: u64) {
    write_hours(folder, 1, count);
}

/// A repository that made the same first backup, and then none until the hours that the prune
/// leaves.
fn write_newer_half(folder: &Path, count: u64) {
    write_hours(&folder.join("never"), count / 2, count);
}

/// Commits the first hour in full; then what changed up to the next one that is wanted, and what
/// each further one changes.
fn write_hours(folder: &Path, next: u64, end: u64) {
    let credentials = [(KEY, "bench".to_owned())];
    let repository = Repository::create(environment(folder, LocalBackend::create), &credentials);
    let repository = repository.expect("a new repository");
    let begin = SystemClock.now() - end as i64 * HOUR;
    let mut pages = Pages::after(0);
    let mut parent = store(&repository, &pages.all(), None, begin);
    let first_bytes = bytes_in(folder);
    let mut seconds = Vec::new();
    for number in next..end {
        let hour = if number == next { pages.up_to(next) } else { pages.next() };
        let start = SystemClock.elapsed();
        parent = store(&repository, &hour, Some(&parent), begin + number as i64 * HOUR);
        seconds.push((SystemClock.elapsed() - start).as_secs_f64());
    }
    println!(
        "  wrote {} hours: first {first_bytes} bytes, beyond it {} bytes; the last took {:.1} ms \
         each, peak {} MB",
        end - next + 1,
        bytes_in(folder) - first_bytes,
        milliseconds_of_last(&seconds),
        phases::peak_megabytes()
    );
}

fn milliseconds_of_last(seconds: &[f64]) -> f64 {
    let last = &seconds[seconds.len().saturating_sub(HOURS_TIMED)..];
    last.iter().sum::<f64>() * 1e3 / last.len().max(1) as f64
}

/// All bytes of the repository in the folder.
fn bytes_in(folder: &Path) -> u64 {
    let folders = std::fs::read_dir(folder.join("repository")).expect("it is there");
    let files = folders.flat_map(|folder| {
        std::fs::read_dir(folder.expect("it is there").path()).expect("a folder of objects")
    });
    files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
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

/// Forgets the older half, and prunes with an empty trash.
fn prune_older_half(folder: &Path, count: u64) {
    let clock = SystemClock;
    let repository = Repository::open(environment(folder, LocalBackend::open), &KEY);
    let repository = repository.expect("it opens");
    let history = repository.history().expect("it lists");
    let older = history.shown().take(count as usize / 2).map(|snapshot| snapshot.id).collect();
    let start = clock.elapsed();
    let plan = Plan::new(&history, Choice::Named(&older), clock.now(), &TimeZone::UTC);
    let plan = plan.expect("it judges");
    let forgotten = forget::execute(&repository, &plan, ("bench", Most::Allow), &Silent);
    let forgotten = forgotten.expect("it forgets").snapshots.len();
    let marked = (clock.elapsed() - start).as_secs_f64();
    let start = clock.elapsed();
    let options =
        PruneOptions { trash: Duration::ZERO, grace: Duration::ZERO, ..PruneOptions::default() };
    let report = prune(&repository, &options, &Silent).expect("it prunes");
    println!(
        "  forgot {forgotten} in {marked:.2} s, pruned in {:.2} s: {:.1} MB freed, now {} bytes in \
         all, peak {} MB",
        (clock.elapsed() - start).as_secs_f64(),
        report.bytes_freed as f64 / 1e6,
        bytes_in(folder),
        phases::peak_megabytes()
    );
}

/// The hours after the prune.
fn next_hours(folder: &Path, count: u64) {
    let repository = Repository::open(environment(folder, LocalBackend::open), &KEY);
    let repository = repository.expect("it opens");
    let newest = repository.snapshots().expect("it lists").snapshots.pop().expect("the newest");
    let PartContent::Database { image, .. } = &newest.record.parts[0].content else {
        panic!("the bench stores a database");
    };
    let mut parent = Image::clone(image);
    let mut pages = Pages::after(count - 1);
    let mut seconds = Vec::new();
    for number in 1..=HOURS_TIMED as i64 {
        let hour = pages.next();
        let start = SystemClock.elapsed();
        parent = store(&repository, &hour, Some(&parent), newest.record.created + number * HOUR);
        seconds.push((SystemClock.elapsed() - start).as_secs_f64());
    }
    let peak = phases::peak_megabytes();
    println!("  the next took {:.1} ms each, peak {peak} MB", milliseconds_of_last(&seconds));
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
        trigger: Trigger::Schedule,
        configured: vec![("pos".to_owned(), PartKind::Database)],
        parts: vec![part],
        ..Record::default()
    }
}

/// The same numbers for the same seed (SplitMix64).
const fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
