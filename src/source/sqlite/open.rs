//! How the capture process opens a live database, and how it leaves it as it was.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use rustix::{fs::StatVfsMountFlags, io::Errno};

use crate::source::sqlite::{protocol::Failure, sighting::companion};

/// The first version without the bug that could corrupt a database when its WAL is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Opens the database, which is not empty, for reading.
///
/// Read-write, although nothing is written: a read-only connection cannot remove the `-wal` and
/// `-shm` that it made when it closes. What others left in a `-wal` is not for us to move into the
/// database, so the checkpoint on close is off where there was anything in it.
pub fn open(path: &Path, busy: Duration) -> Result<Connection, Failure> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(Failure::TooOld(rusqlite::version().to_owned()));
    }
    let wal_bytes = wal_bytes(path)?;
    let plain = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    // On a read-only mount nobody writes, and locks cannot be taken. Nowhere else is this safe.
    let opened = if wal_bytes.is_none() && is_on_read_only_mount(path)? {
        let flags = plain | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(immutable_uri(path), flags)
    } else {
        let flags = plain | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        Connection::open_with_flags(path, flags)
    };
    let connection = opened.map_err(failure)?;
    connection.busy_timeout(busy).map_err(failure)?;
    if wal_bytes.is_some_and(|bytes| bytes > 0) {
        let _ = connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(failure)?;
    }
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF").map_err(failure)?;
    Ok(connection)
}

/// Begins a read transaction. Returns what is wrong with the database if it has to be forced.
pub fn begin(connection: &Connection) -> Result<Option<String>, Failure> {
    match try_begin(connection) {
        Ok(()) => Ok(None),
        Err(error) if is_damage(&error) => {
            force(connection)?;
            try_begin(connection).map_err(failure)?;
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(failure(error)),
    }
}

/// Lets SQLite go on in spite of a schema or a size that makes no sense. We only read.
pub fn force(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch("PRAGMA writable_schema=ON").map_err(failure)
}

/// Takes the lock, without looking at the schema, which may be damaged.
fn try_begin(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() {
        connection.execute_batch("BEGIN")?;
    }
    connection.query_row("PRAGMA user_version", [], |_| Ok(()))
}

/// Size of the database's `-wal`, if there is one.
fn wal_bytes(path: &Path) -> Result<Option<u64>, Failure> {
    match rustix::fs::stat(companion(path.as_os_str(), "-wal")) {
        Ok(stat) => Ok(Some(stat.st_size.cast_unsigned())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Failure::NoAccess(error.to_string())),
    }
}

fn is_on_read_only_mount(path: &Path) -> Result<bool, Failure> {
    let stat = rustix::fs::statvfs(path).map_err(|error| Failure::NoAccess(error.to_string()))?;
    Ok(stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// A name for SQLite of a file that nobody changes while it is open.
pub fn immutable_uri(path: &Path) -> OsString {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(*byte),
            byte if byte.is_ascii_alphanumeric() => uri.push(*byte),
            byte => uri.extend(format!("%{byte:02x}").bytes()),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri)
}

/// Whether SQLite says that the database is not as it should be.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// What an error of SQLite means for the capture.
pub fn failure(error: rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Failure::NotADatabase,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => Failure::Locked,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Failure::NoAccess(error.to_string())
        }
        _ => Failure::Sqlite(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_becomes_a_uri_that_means_it() {
        let path = Path::new("/mnt/a b/100%?#x.db");

        assert_eq!(immutable_uri(path), "file:/mnt/a%20b/100%25%3f%23x.db?immutable=1");
    }
}
