//! The way to the pages where `sqlite_dbpage` is not compiled in: SQLite's backup API.
//!
//! It writes a copy, which is read back from a file that has lost its name before anything was in
//! it. Page 1 of the copy differs from the original in two counters.

use std::{ffi::OsStr, fs::File, os::unix::fs::FileExt, path::Path};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use crate::{
    clock::{Entropy, SystemEntropy},
    disk::{Disk, RealDisk},
    source::sqlite::{open::failure, protocol::Failure, reading::Watch, spool::Layout},
};

/// Pages copied between two looks at the clock. The open read transaction keeps the steps together:
/// without it, a commit by another process would begin the copy anew.
const STEP_PAGES: i32 = 4096;

/// A copy of a database in an unnamed file.
pub struct Copy {
    file: File,
}

impl Copy {
    /// Copies the database as its open read transaction sees it.
    pub fn make(source: &Connection, scratch: &Path, watch: &Watch<'_>) -> Result<Self, Failure> {
        let (file, mut copy) = create(scratch)?;
        let backup = Backup::new(source, &mut copy).map_err(failure)?;
        loop {
            watch.may_go_on()?;
            match backup.step(STEP_PAGES).map_err(failure)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(Failure::Locked),
            }
        }
        drop(backup);
        copy.close().map_err(|(_, error)| failure(error))?;
        Ok(Self { file })
    }

    /// Hands over all pages in order.
    pub fn for_each_page(
        &self,
        layout: Layout,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut page = vec![0; layout.page_bytes as usize];
        for number in 0..u64::from(layout.page_count) {
            let offset = number * u64::from(layout.page_bytes);
            self.file
                .read_exact_at(&mut page, offset)
                .map_err(|error| Failure::Sqlite(format!("the copy is too short: {error}")))?;
            take(&page)?;
        }
        Ok(())
    }
}

fn create(scratch: &Path) -> Result<(File, Connection), Failure> {
    let spool = |error: std::io::Error| Failure::Spool {
        os_error: error.raw_os_error(),
        why: error.to_string(),
    };
    let mut random = [0; 16];
    SystemEntropy.fill(&mut random);
    let name = format!(".stillpoint-{:032x}", u128::from_le_bytes(random));
    let name = OsStr::new(&name);
    let dir = RealDisk.open_root(scratch).map_err(spool)?;
    let file = RealDisk.create_new(&dir, name, 0o600).map_err(spool)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let opened = Connection::open_with_flags(scratch.join(name), flags);
    RealDisk.remove_file(&dir, name).map_err(spool)?;
    let copy = opened.map_err(failure)?;
    // A journal would lie beside a name that is gone; nobody needs this copy after a crash.
    copy.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF").map_err(failure)?;
    Ok((file, copy))
}
