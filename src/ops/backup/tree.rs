//! The parts that are folders of files.

use crate::{
    format::record::{FailedPart, Outcome, Part, PartContent, Problem},
    ops::{
        Error,
        backup::{Reliance, Run, database},
        event::{Event, Meter},
        set::{FileSet, Set},
        with_causes,
    },
    source::files::{self, Lanes, Parent, Selection, Source, StoredTree, real_disk::RealReadDisk},
};

/// Captures one set of files. The inner error is that of the part alone.
pub fn capture(
    run: &Run<'_>,
    set: &Set,
    chosen: &FileSet,
) -> Result<Result<Part, FailedPart>, Error> {
    let before = run.writer.progress();
    let stored = match store(run, set, chosen) {
        Err(files::Error::Store(error)) => return Err(error.into()),
        Err(files::Error::Stopped) => return Err(Error::Stopped),
        Err(error) => {
            let message = with_causes(&error);
            return Ok(Err(FailedPart {
                name: set.name.clone(),
                code: "unreadable".to_owned(),
                message,
            }));
        }
        Ok(stored) => stored,
    };
    let mut part = into_part(set, chosen, stored);
    part.totals.bytes_new = run.writer.progress().bytes_new - before.bytes_new;
    Ok(Ok(part))
}

fn store(run: &Run<'_>, set: &Set, chosen: &FileSet) -> Result<StoredTree, files::Error> {
    let selection = selection(run, chosen);
    let env = run.repo.environment();
    let meter = meter(run, set);
    let observe = |event: files::Event<'_>| tell(run, set, &meter, event);
    let fetch = run.repo.fetcher_of(&run.writer);
    let source = Source {
        disk: &RealReadDisk,
        keys: run.repo.keys(),
        fetch: fetch.as_ref(),
        databases: &database::InTree { run, fetch: fetch.clone() },
        stop: env.stop.as_ref(),
        observe: &observe,
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let mut file_lanes: Vec<_> = (0..threads).map(|_| run.writer.lane()).collect();
    let mut node_lane = run.writer.lane();
    let lanes = Lanes { files: &mut file_lanes, nodes: &mut node_lane };
    let stored = files::back_up_tree(&source, &selection, parent(run, set).as_ref(), lanes);
    for lane in file_lanes.into_iter().chain([node_lane]) {
        lane.finish()?;
    }
    stored
}

/// Counts what is read. How much there will be is what there was last time; nobody walks a tree
/// twice for a number.
fn meter<'a>(run: &Run<'a>, set: &Set) -> Meter<'a> {
    let meter = Meter::new(run.observer, run.repo.environment().clock.as_ref());
    match run.parent(set) {
        Some((_, part)) => meter.with_totals(part.totals.bytes, part.totals.files),
        None => meter,
    }
}

/// What of the disk a set of files is.
pub fn selection(run: &Run<'_>, chosen: &FileSet) -> Selection {
    Selection {
        paths: chosen.paths.clone(),
        exclude: chosen.exclude.clone(),
        exclude_if_present: chosen.exclude_if_present.iter().map(Into::into).collect(),
        mounts: chosen.mounts,
        own: run.request.own.clone(),
    }
}

fn parent<'a>(run: &'a Run<'_>, set: &Set) -> Option<Parent<'a>> {
    if run.reliance_of(set) != Reliance::Unchanged {
        return None;
    }
    let (snapshot, part) = run.parent(set)?;
    match &part.content {
        PartContent::Tree { root, .. } => {
            Some(Parent { root, began: snapshot.record.created, files: part.totals.files })
        }
        PartContent::Database { .. } => None,
    }
}

fn tell(run: &Run<'_>, set: &Set, meter: &Meter<'_>, event: files::Event<'_>) {
    let warning = |message: String| {
        run.observer.observe(&Event::Warning { item: set.name.clone(), message });
    };
    match event {
        files::Event::Entry { path, bytes, owner } => {
            run.owners.note(owner);
            meter.add(bytes, 1, path);
        }
        files::Event::Folder { .. } => {}
        files::Event::Problem(problem) => run.observer.observe(&Event::Problem {
            part: set.name.clone(),
            path: problem.path.clone(),
            code: problem.code.clone(),
            message: problem.message.clone(),
        }),
        files::Event::ParentUnreadable { path, error } => warning(format!(
            "{}: the older snapshot cannot be read here, so all of it is read again ({error})",
            String::from_utf8_lossy(path)
        )),
        files::Event::Emptied { files_before } => warning(format!(
            "nothing is left where there were {files_before} files; older snapshots still have them"
        )),
    }
}

fn into_part(set: &Set, chosen: &FileSet, stored: StoredTree) -> Part {
    use std::os::unix::ffi::OsStrExt;
    let bytes = |path: &std::path::Path| path.as_os_str().as_bytes().to_vec();
    let outcome = if stored.problem_count > 0 { Outcome::Incomplete } else { Outcome::Complete };
    Part {
        name: set.name.clone(),
        kind: set.kind(),
        sources: chosen.paths.iter().map(|path| bytes(path)).collect(),
        totals: stored.totals,
        problems: stored.problems,
        problem_count: stored.problem_count,
        gone: stored.gone,
        gone_count: stored.gone_count,
        content: PartContent::Tree { root: Box::new(stored.root), path: bytes(&stored.path) },
        outcome,
    }
}

/// A problem of a part.
pub fn problem(path: &[u8], code: &str, message: String) -> Problem {
    Problem { path: path.to_vec(), code: code.to_owned(), message }
}
