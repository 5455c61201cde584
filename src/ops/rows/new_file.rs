//! Rows that go into a file of their own, which is there as a whole or not at all.
//!
//! SQLite builds it in a scratch folder of the state folder, where a process that dies leaves it to
//! the next one to be removed; what is finished is copied to its place under one name, at once.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use super::{Request, TableReport, Target, refuse_taken, run};
use crate::{
    disk::{file::copy_new, scratch::Scratch},
    ops::{self, past::PastDatabase},
    repo::Repository,
};

const NAME: &str = "rows.db";
/// What was encrypted is for its owner alone.
const MODE: u32 = 0o600;

/// Brings the rows into the new file; durable on return. It is not there after any error.
pub fn run_into_file(
    repo: &Repository,
    past: &PastDatabase,
    request: &Request,
    path: &Path,
) -> Result<Vec<TableReport>, ops::Error> {
    refuse_taken(path)?;
    let env = repo.environment();
    let disk = env.disk.as_ref();
    let at_state = |source| failed("make a folder in", repo.state_path(), source);
    let scratch = Scratch::create(disk, env.entropy.as_ref(), repo.state_path());
    let scratch = scratch.map_err(at_state)?;
    let into = Target::NewFile(scratch.path.join(NAME));
    let reports = run(past, &Request { into, ..request.clone() })?;
    let publish = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let at = disk.open_root(parent.unwrap_or(Path::new(".")))?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        copy_new(disk, &disk.open(&scratch.dir, OsStr::new(NAME))?, &at, name, MODE)
    };
    match publish() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(super::Error::FileTaken { path: path.to_owned() }.into())
        }
        Err(source) => Err(failed("write", path, source)),
        Ok(()) => Ok(reports),
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ops::Error {
    ops::Error::Io { action, path: PathBuf::from(path), source }
}
