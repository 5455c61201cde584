//! Refusing a backup that would not fit, before it writes anything.
//!
//! A part without a parent may need all of its bytes in the repository. For the others the last
//! run tells what to expect. Captured pages of databases wait in the state folder as well.

use std::path::Path;

use crate::{
    ops::{
        Error,
        backup::{Run, tree},
        set::{Set, SetSource},
    },
    source::files::{measure, real_disk::RealReadDisk},
};

/// Fails if what the run is expected to need, and the reserve, do not fit.
pub fn check(run: &Run<'_>) -> Result<(), Error> {
    let env = run.repo.environment();
    let mut repository_bytes = run.request.min_free_bytes;
    let mut state_bytes = 0_u64;
    for set in &run.request.sets {
        let expected_bytes = expected_bytes(run, set);
        repository_bytes = repository_bytes.saturating_add(expected_bytes);
        if matches!(set.source, SetSource::Sqlite { .. }) {
            state_bytes = state_bytes.saturating_add(expected_bytes);
        }
    }
    if let Some(free_bytes) = env.backend.free_bytes()?
        && free_bytes < repository_bytes
    {
        let place = env.backend.place();
        return Err(Error::NoSpace { place, needed_bytes: repository_bytes, free_bytes });
    }
    let path = run.repo.state_path();
    let free_bytes = env.disk.free_bytes(run.repo.state_dir()).map_err(|source| Error::Io {
        action: "look at",
        path: path.to_owned(),
        source,
    })?;
    if free_bytes < state_bytes {
        let place = path.display().to_string();
        return Err(Error::NoSpace { place, needed_bytes: state_bytes, free_bytes });
    }
    Ok(())
}

/// Plain bytes that the part is expected to add.
fn expected_bytes(run: &Run<'_>, set: &Set) -> u64 {
    if let Some((_, part)) = run.parent(set) {
        return part.totals.bytes_new;
    }
    match &set.source {
        SetSource::Sqlite { path } => file_bytes(run, path),
        SetSource::Files(files) => {
            let measured = measure(&RealReadDisk, &tree::selection(run, files));
            measured.map_or(0, |measured| measured.bytes)
        }
    }
}

fn file_bytes(run: &Run<'_>, path: &Path) -> u64 {
    let disk = run.repo.environment().disk.as_ref();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return 0 };
    let stat = disk.open_root(parent).and_then(|dir| disk.stat(&dir, name));
    stat.map_or(0, |stat| stat.bytes)
}
