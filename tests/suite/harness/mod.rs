//! What fault tests stand on: a disk that fails on plan, processes that kill themselves on plan,
//! works to try them on, and what must hold after any fault.

pub mod crash;
pub mod faulty_disk;
pub mod judge;
pub mod power;
pub mod recording_disk;
pub mod s3;
pub mod vault;
pub mod work;

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A path in the source tree: tests run in its root. What the compiler knew may be another one,
/// because checkouts share what is compiled.
pub fn source(path: &str) -> PathBuf {
    std::env::current_dir().unwrap().join(path)
}

/// Does numbered pieces of work on all processors; a piece that panics fails the test.
pub fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let _worker = scope.spawn(|| {
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= count {
                        break;
                    }
                    work(piece);
                }
            });
        }
    });
}

/// Says what was tried if it panics before it is done.
pub struct Trying(pub String);

impl Drop for Trying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while trying {}", self.0);
        }
    }
}

/// Sums that many threads add to.
#[derive(Debug, Default)]
pub struct Tally(Mutex<std::collections::BTreeMap<String, u64>>);

impl Tally {
    pub fn add(&self, name: impl Into<String>, count: u64) {
        *self.0.lock().unwrap().entry(name.into()).or_default() += count;
    }

    pub fn print(&self, title: &str) {
        println!("{title}");
        for (name, count) in self.0.lock().unwrap().iter() {
            println!("  {name}: {count}");
        }
    }
}
