//! What a fresh machine needs to build its index from the segments of a million chunks.
//!
//!     cargo bench --bench rebuild_scale [-- COUNT]
//!
//! The repository is a real one, written run by run, but its chunks are tiny: a rebuild reads
//! tables, never bodies. The rebuild runs in a process of its own, whose peak memory is its own.

#![expect(clippy::print_stdout, reason = "prints what it measured")]

mod phases;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use stillpoint::{
    backend::local::LocalBackend,
    chunk::Store,
    clock::{Clock, SystemClock, SystemEntropy},
    crypto::secret::Credential,
    disk::{Disk, real::RealDisk},
    format::record::Record,
    repo::{Environment, Repository},
};

const KEY: Credential = Credential::KeyFile([7; 32]);
/// Chunks stored by one run, each of which publishes one segment or summary.
const RUN_CHUNKS: u64 = 4_000;

fn main() {
    phases::run(&[("write", write), ("rebuild", rebuild)], &["write", "rebuild"], &[1_000_000]);
}

fn write(folder: &Path, count: u64) {
    let credentials = [(KEY, "bench".to_owned())];
    let repository =
        Repository::create(environment(folder, "writer", LocalBackend::create), &credentials)
            .expect("a new repository");
    for first in (0..count).step_by(RUN_CHUNKS as usize) {
        let writer = repository.writer().expect("a run begins");
        let mut lane = writer.lane();
        for number in first..count.min(first + RUN_CHUNKS) {
            let _ = lane.put(&number.to_le_bytes()).expect("a chunk is stored");
        }
        lane.finish().expect("the lane ends");
        let _ = repository.commit(writer, Record::default()).expect("the run is published");
    }
}

/// The index is built at the first question after the repository was opened with new state.
fn rebuild(folder: &Path, count: u64) {
    let clock = SystemClock;
    let start = clock.elapsed();
    let environment = environment(folder, "fresh machine", LocalBackend::open);
    let repository = Repository::open(environment, &KEY).expect("it opens");
    let report = repository.rebuild_index().expect("it rebuilds");
    let seconds = (clock.elapsed() - start).as_secs_f64();
    assert_eq!((report.chunks, report.tables_read), (count, 0));
    println!(
        "  rebuilt in {seconds:.2} s from {} index objects that name {} packs, peak {} MB",
        report.index_objects,
        report.packs,
        phases::peak_megabytes()
    );
}

type OpenBackend = fn(Arc<dyn Disk>, &Path) -> Result<LocalBackend, stillpoint::backend::Error>;

fn environment(folder: &Path, state: &str, open: OpenBackend) -> Environment {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let backend = open(disk.clone(), &folder.join("repository")).expect("the folder is ours");
    Environment {
        backend: Arc::new(backend),
        disk,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        state_root: folder.join(state),
        stop: Arc::new(AtomicBool::new(false)),
    }
}
