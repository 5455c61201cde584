//! The parts that are databases, and databases that lie among files.

use std::path::Path;

use crate::{
    format::{image::Image, record::Part},
    ops::{
        Error,
        event::{Event, Meter, Phase},
        restore::{RestoredPart, Run, Verify, place},
        with_causes,
    },
    sink::sqlite::{self, DatabaseSink, Present},
    source::sqlite_check::{CheckProgram, Depth, Verdict},
};

/// Restores one database part to its place in the target.
pub fn restore(run: &Run<'_>, part: &Part, image: &Image) -> Result<RestoredPart, Error> {
    let place = place(run.request, part);
    let name = place.file_name().expect("a part's place ends with its name");
    let env = run.repo.environment();
    let meter = Meter::new(run.observer, env.clock.as_ref()).with_totals(image.bytes(), 1);
    let fetch = run.repo.fetcher()?;
    let sink = DatabaseSink {
        disk: env.disk.as_ref(),
        fetch: &fetch,
        keys: run.repo.keys(),
        stop: env.stop.as_ref(),
        observe: &|bytes| meter.add(bytes, 0, part.name.as_bytes()),
    };
    let mut restored = RestoredPart::default();
    match sink.restore_unless_kept(image, (run.target, name), run.request.overwrite) {
        Ok(written) => {
            count(&mut restored, written);
            if run.request.verify == Verify::QuickCheck {
                check(run, part, &place, &mut restored)?;
            }
        }
        Err(sqlite::Error::Stopped) => return Err(Error::Stopped),
        Err(error) => restored.add_problem(run, part, b"", ("not-restored", with_causes(&error))),
    }
    Ok(restored)
}

/// Says what [`restore`] would do.
pub fn plan(run: &Run<'_>, part: &Part, image: &Image) -> Result<RestoredPart, Error> {
    let mut planned = RestoredPart::default();
    match is_kept(run, part, image) {
        Ok(is_kept) => count(&mut planned, (!is_kept).then(|| image.bytes())),
        Err(sqlite::Error::Stopped) => return Err(Error::Stopped),
        Err(error) => planned.add_problem(run, part, b"", ("not-readable", with_causes(&error))),
    }
    Ok(planned)
}

/// Whether what is at the place of this part stays.
pub fn is_kept(run: &Run<'_>, part: &Part, image: &Image) -> Result<bool, sqlite::Error> {
    let env = run.repo.environment();
    let place = place(run.request, part);
    let name = place.file_name().expect("a part's place ends with its name");
    let (disk, keys) = (env.disk.as_ref(), run.repo.keys());
    let present = Present { disk, keys, stop: env.stop.as_ref() };
    present.is_kept(image, (run.target, name), run.request.overwrite)
}

fn count(restored: &mut RestoredPart, written: Option<u64>) {
    match written {
        Some(bytes) => {
            restored.databases = 1;
            restored.bytes_written = bytes;
        }
        None => restored.kept = 1,
    }
}

/// Asks SQLite whether the restored database is sound.
fn check(
    run: &Run<'_>,
    part: &Part,
    place: &Path,
    restored: &mut RestoredPart,
) -> Result<(), Error> {
    run.observer.observe(&Event::Phase { phase: Phase::Verify, item: part.name.clone() });
    let env = run.repo.environment();
    let path = run.request.program.clone();
    let program = CheckProgram { path, arguments: vec!["check-child".into()] };
    match program.check(place, Depth::Quick, (&*env.clock, &env.stop)) {
        Ok(Verdict::Sound) => {}
        Ok(Verdict::NotChecked(why)) => {
            let message = format!("SQLite alone cannot check it: {why}");
            run.observer.observe(&Event::Warning { item: part.name.clone(), message });
        }
        Ok(Verdict::Damaged(said)) => {
            let message = format!("restored as it was captured, but SQLite finds: {said}");
            restored.add_problem(run, part, b"", ("damaged", message));
        }
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            return Err(Error::Stopped);
        }
        Err(error) => {
            restored.add_problem(run, part, b"", ("not-checked", with_causes(&error)));
        }
    }
    Ok(())
}
