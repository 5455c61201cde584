use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    clock::{SystemClock, SystemEntropy, UnixNanos},
    disk::real::RealDisk,
};

fn folder(at: &tempfile::TempDir) -> RunFolder {
    RunFolder::open(Arc::new(RealDisk), at.path()).unwrap()
}

fn begin(folder: &RunFolder) -> RunLog {
    let start =
        Start { kind: "backup".to_owned(), items: vec!["pos".to_owned()], ..Start::default() };
    folder.begin(Arc::new(SystemClock), &SystemEntropy, start).unwrap()
}

fn note(message: &str) -> Log {
    Log { level: Level::Info, message: message.to_owned(), ..Log::default() }
}

/// Time that stands still.
struct At(UnixNanos);

impl Clock for At {
    fn now(&self) -> UnixNanos {
        self.0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _duration: Duration) {}
}

#[test]
fn a_finished_run_tells_what_was_asked_what_happened_and_how_it_ended() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    let log = begin(&folder);

    log.log(note("one"));
    let finish = Finish { result: RunResult::Incomplete, exit_code: 3, ..Finish::default() };
    log.finish(finish.clone()).unwrap();

    let runs = folder.list().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].start.items, ["pos"]);
    assert_eq!(runs[0].log[0].1.message, "one");
    assert!(matches!(&runs[0].state, RunState::Finished { finish: read, .. } if *read == finish));
}

#[test]
fn a_run_is_running_while_its_lock_is_held_and_interrupted_when_it_is_free() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    let log = begin(&folder);

    assert_eq!(folder.list().unwrap()[0].state, RunState::Running);

    // What the kernel does for a process that was killed.
    drop(log);
    assert_eq!(folder.list().unwrap()[0].state, RunState::Interrupted);
}

#[test]
fn a_last_line_cut_short_leaves_the_lines_before_it_readable() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    let log = begin(&folder);
    log.log(note("kept"));
    log.log(note("torn"));
    let whole = log.written.lock().unwrap().offset;
    folder.disk.set_len(&log.file, whole - 5).unwrap();
    drop(log);

    let runs = folder.list().unwrap();

    assert_eq!(runs[0].log.len(), 1);
    assert_eq!(runs[0].state, RunState::Interrupted);
}

#[test]
fn ten_thousand_lines_are_kept_and_the_rest_is_counted() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    let log = begin(&folder);

    (0..RUN_LOG_LINES_MAX + 7).for_each(|_| log.log(note("again")));
    log.finish(Finish::default()).unwrap();

    let runs = folder.list().unwrap();
    assert_eq!(runs[0].log.len(), RUN_LOG_LINES_MAX);
    assert_eq!(runs[0].lines_left_out, 7);
}

#[test]
fn the_oldest_records_go_when_there_are_too_many() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    for at in 0..=RUNS_KEPT_MAX {
        let name = OsString::from(format!("{}-0.jsonl", line::sortable(at as i64 * 1_000_000_000)));
        drop(folder.disk.create_new(&folder.dir, &name, 0o600).unwrap());
    }

    let clock = Arc::new(At(i64::MAX));
    drop(folder.begin(clock, &SystemEntropy, Start::default()).unwrap());

    let names = folder.names().unwrap();
    assert_eq!(names.len(), RUNS_KEPT_MAX);
    assert!(names[0].to_str().unwrap().starts_with("19700101T000002."));
}

#[test]
fn a_file_that_is_no_record_is_left_out() {
    let state = tempfile::tempdir().unwrap();
    let folder = folder(&state);
    let file = folder.disk.create_new(&folder.dir, "x.jsonl".as_ref(), 0o600).unwrap();
    write_all_at(&*folder.disk, &file, b"{\"type\":\"poem\"}\n", 0).unwrap();

    assert!(folder.list().unwrap().is_empty());
}
