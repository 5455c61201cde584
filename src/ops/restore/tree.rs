//! The parts that are folders of files.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{
    format::{
        node::{Content, Entry},
        record::Part,
    },
    ops::{
        Error,
        event::{Event, Meter, Phase},
        moment::PartAt,
        owners::owners_here,
        restore::{Extra, RestoredPart, Run},
    },
    sink::{
        files::{self, Destination, Options, Owners, Sink},
        sqlite::DatabaseSink,
    },
};

/// Whether a part is restored, or it is only said what that would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    Restore,
    Plan,
}

/// Restores one part of files to its folder in the target.
pub fn restore(
    run: &Run<'_>,
    at: &PartAt<'_>,
    root: &Entry,
    acts: Acts,
) -> Result<RestoredPart, Error> {
    let part = at.part;
    let env = run.repo.environment();
    let Content::Folder { .. } = root.content else {
        let mut restored = RestoredPart::default();
        restored.add_problem(run, part, b"", ("damaged", "its root is no folder".to_owned()));
        return Ok(restored);
    };
    let entries = part.totals.files + part.totals.folders + part.totals.others;
    let meter =
        Meter::new(run.observer, env.clock.as_ref()).with_totals(part.totals.bytes, entries);
    let fetch = run.repo.fetcher()?;
    let databases = DatabaseSink {
        disk: env.disk.as_ref(),
        fetch: &fetch,
        keys: run.repo.keys(),
        stop: env.stop.as_ref(),
        observe: &|_| {},
    };
    let sink = Sink {
        disk: env.disk.as_ref(),
        fetch: fetch.as_ref(),
        databases: &databases,
        stop: env.stop.as_ref(),
        observe: &|event| tell(run, part, &meter, event),
    };
    let name = OsStr::from_bytes(part.name.as_bytes());
    let destination = Destination { parent: run.target, name };
    let options = options(run, at);
    let done = match acts {
        Acts::Restore => files::restore_tree(&sink, root, &destination, &options),
        Acts::Plan => files::plan_tree(&sink, root, &destination, &options),
    };
    match done {
        Ok(report) => {
            let mut restored = restored(report);
            if run.request.extra == Extra::Delete && !knows_all_problems(part) {
                let message = "nothing was deleted: the snapshot could not read more than it names";
                restored.add_problem(run, part, b"", ("delete-refused", message.to_owned()));
            }
            Ok(restored)
        }
        Err(files::Error::Stopped) => Err(Error::Stopped),
        Err(error) => Err(Error::Restore(error)),
    }
}

fn restored(report: files::Report) -> RestoredPart {
    RestoredPart {
        files: report.files,
        kept: report.kept,
        folders: report.folders,
        others: report.others,
        deleted: report.deleted,
        bytes_written: report.bytes_written,
        problems: report.problems,
        problem_count: report.problem_count,
        ..RestoredPart::default()
    }
}

fn options(run: &Run<'_>, at: &PartAt<'_>) -> Options {
    let (request, part) = (run.request, at.part);
    let disk = run.repo.environment().disk.as_ref();
    let is_root = rustix::process::geteuid().is_root();
    let entries = part.totals.files + part.totals.folders + part.totals.others;
    Options {
        overwrite: request.overwrite,
        extra: match request.extra {
            Extra::Delete if !knows_all_problems(part) => files::Extra::Keep,
            Extra::Keep => files::Extra::Keep,
            // What could not be read is not in the snapshot, and may well be there.
            Extra::Delete => files::Extra::Delete {
                except: part.problems.iter().map(|problem| problem.path.clone()).collect(),
            },
        },
        owners: if is_root { Owners::Restored } else { Owners::Ours },
        owner_map: owners_here(&at.snapshot.record.environment, disk),
        include: request.include.clone(),
        exclude: request.exclude.clone(),
        entries_max: Some(entries.saturating_add(1)),
        threads: 0,
    }
}

/// Whether the record names all that could not be read. A deletion would take the rest for gone.
fn knows_all_problems(part: &Part) -> bool {
    part.problem_count == part.problems.len() as u64
}

fn tell(run: &Run<'_>, part: &Part, meter: &Meter<'_>, event: files::Event<'_>) {
    match event {
        files::Event::Entry { path, bytes } => meter.add(bytes, 1, path),
        files::Event::Problem(problem) => run.observer.observe(&Event::Problem {
            part: part.name.clone(),
            path: problem.path.clone(),
            code: problem.code.clone(),
            message: problem.message.clone(),
        }),
        files::Event::Would(_) => {}
        files::Event::Sync => {
            run.observer.observe(&Event::Phase { phase: Phase::Sync, item: part.name.clone() });
        }
    }
}
