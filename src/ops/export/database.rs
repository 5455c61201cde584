//! Databases of an export: compact, and compressed.

use std::{ffi::OsStr, io, io::Write, path::Path, sync::atomic::Ordering};

use flate2::{Compression, write::GzEncoder};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use sha2::{Digest, Sha256};

use super::{
    Run,
    manifest::{DatabaseFile, EntryKind, PartFacts},
    seal::hex,
    zip_file::{NewEntry, Packing, ZipFile},
};
use crate::{
    disk::{Disk, scratch::Scratch},
    format::{
        image::Image,
        record::{DatabaseFacts, Part},
    },
    limits::MIB,
    ops::{
        Error,
        event::{Event, Meter, Phase},
        with_causes,
    },
    sink::sqlite::{self, DatabaseSink},
};

/// Names in the scratch folder.
const IMAGE: &str = "image.db";
const COMPACT: &str = "compact.db";
/// Virtual-machine steps of SQLite between two looks at whether to stop.
const STEPS: std::ffi::c_int = 10_000;

/// Adds a database part: its image is restored beside, made compact, compressed, and gone again.
pub fn add(
    run: &Run<'_>,
    zip: &mut ZipFile<'_>,
    (part, facts): (&Part, &mut PartFacts),
    (image, told): (&Image, &DatabaseFacts),
) -> Result<(), Error> {
    let env = run.repo.environment();
    let disk = env.disk.as_ref();
    let scratch = Scratch::create(disk, env.entropy.as_ref(), &run.request.scratch)
        .map_err(|source| run.scratch_failed(source))?;
    restore(run, &scratch, part, image)?;
    let is_compact = make_compact(run, &scratch, part)?;
    if is_compact {
        scratch.remove(IMAGE).map_err(|error| run.scratch_failed(error))?;
    }
    run.observer.observe(&Event::Phase { phase: Phase::Export, item: part.name.clone() });
    zip.begin(NewEntry {
        path: facts.place(),
        kind: EntryKind::Database,
        mode: 0o600,
        modified: seconds(part, run),
        packing: Packing::Stored,
    })
    .map_err(|error| run.output_failed(error))?;
    let name = if is_compact { COMPACT } else { IMAGE };
    let (size, sha256) = compress(run, disk, (&scratch, name), zip)?;
    let entry = zip.finish_entry().path;
    facts.database = Some(DatabaseFile {
        entry,
        size,
        sha256,
        compact: is_compact,
        rows: told.rows.clone(),
        check: told.check.clone(),
    });
    Ok(())
}

fn seconds(part: &Part, run: &Run<'_>) -> (i64, u32) {
    let taken = run.taken_of(part);
    (taken.div_euclid(1_000_000_000), taken.rem_euclid(1_000_000_000) as u32)
}

fn restore(run: &Run<'_>, scratch: &Scratch<'_>, part: &Part, image: &Image) -> Result<(), Error> {
    run.observer.observe(&Event::Phase { phase: Phase::Restore, item: part.name.clone() });
    let env = run.repo.environment();
    // The image, and what VACUUM makes of it.
    let needed_bytes = image.bytes().saturating_mul(2).saturating_add(run.request.min_free_bytes);
    let free_bytes =
        env.disk.free_bytes(&scratch.dir).map_err(|error| run.scratch_failed(error))?;
    if free_bytes < needed_bytes {
        let place = run.request.scratch.display().to_string();
        return Err(Error::NoSpace { place, needed_bytes, free_bytes });
    }
    let fetch = run.repo.fetcher()?;
    let meter = Meter::new(run.observer, env.clock.as_ref()).with_totals(image.bytes(), 1);
    let sink = DatabaseSink {
        disk: env.disk.as_ref(),
        fetch: &fetch,
        keys: run.repo.keys(),
        stop: env.stop.as_ref(),
        observe: &|bytes| meter.add(bytes, 0, part.name.as_bytes()),
    };
    match sink.restore(image, &scratch.dir, OsStr::new(IMAGE)) {
        Ok(_) => Ok(()),
        Err(sqlite::Error::Stopped) => Err(Error::Stopped),
        Err(error) => {
            Err(Error::Part { part: part.name.clone(), action: "export", source: Box::new(error) })
        }
    }
}

/// Has SQLite write a compact copy. A database that it cannot copy goes as it was captured.
fn make_compact(run: &Run<'_>, scratch: &Scratch<'_>, part: &Part) -> Result<bool, Error> {
    run.observer.observe(&Event::Phase { phase: Phase::Compact, item: part.name.clone() });
    let stop = run.repo.environment().stop.clone();
    let done = vacuum(scratch, move || stop.load(Ordering::Relaxed));
    if run.repo.environment().stop.load(Ordering::Relaxed) {
        return Err(Error::Stopped);
    }
    let Err(error) = done else { return Ok(true) };
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
        return Err(run.scratch_failed(io::ErrorKind::StorageFull.into()));
    }
    let message = format!("goes as it was captured, not compact: {}", with_causes(&error));
    run.observer.observe(&Event::Warning { item: part.name.clone(), message });
    let _ = scratch.remove(COMPACT);
    Ok(false)
}

fn vacuum(
    scratch: &Scratch<'_>,
    is_stopped: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(scratch.path.join(IMAGE), flags)?;
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.progress_handler(STEPS, Some(is_stopped))?;
    let target = scratch.path.join(COMPACT);
    let _ = connection.execute("VACUUM INTO ?1", [path_text(&target)])?;
    Ok(())
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Streams the database through gzip into the open entry; returns its size and checksum.
fn compress(
    run: &Run<'_>,
    disk: &dyn Disk,
    (scratch, name): (&Scratch<'_>, &str),
    zip: &mut ZipFile<'_>,
) -> Result<(u64, String), Error> {
    let env = run.repo.environment();
    let (file, bytes) = disk
        .open(&scratch.dir, OsStr::new(name))
        .and_then(|file| disk.stat_file(&file).map(|stat| (file, stat.bytes)))
        .map_err(|error| run.scratch_failed(error))?;
    let meter = Meter::new(run.observer, env.clock.as_ref()).with_totals(bytes, 1);
    let mut gzip = GzEncoder::new(zip, Compression::default());
    let (mut sum, mut piece, mut offset) = (Sha256::new(), vec![0; MIB], 0);
    loop {
        if env.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let read =
            disk.read_at(&file, &mut piece, offset).map_err(|error| run.scratch_failed(error))?;
        if read == 0 {
            break;
        }
        sum.update(&piece[..read]);
        gzip.write_all(&piece[..read]).map_err(|error| run.output_failed(error))?;
        offset += read as u64;
        meter.add(read as u64, 0, name.as_bytes());
    }
    let _ = gzip.finish().map_err(|error| run.output_failed(error))?;
    Ok((offset, hex(&sum.finalize())))
}
