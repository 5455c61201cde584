//! What `stat` says of a database before it is read, and whether that proves it unchanged.
//!
//! Only `stat`: counters in the file, the salts and the size of a `-wal` prove nothing, since a
//! commit may move none of them. But it writes one of the two files, which moves its times.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use crate::{
    clock::Clock,
    disk::{Dir, Disk, FileKind, Stat},
    format::image::{Image, Witness},
    source::sqlite::Error,
};

/// A file that changed within this time before the look may change again within the resolution
/// of its times.
const SETTLED_SECONDS: i64 = 2;

/// What lies beside a database and belongs to it. Never copied as files.
pub const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The name of a companion of the database with this name.
pub fn companion(name: &OsStr, suffix: &str) -> OsString {
    let mut companion = name.to_os_string();
    companion.push(suffix);
    companion
}

/// What SQLite would play into a database that it opens; a `-shm` is only a view of the `-wal`.
const PLAYED_BACK: [&str; 2] = ["-wal", "-journal"];

/// Whether something lies beside the database of this name that is played into it when it is
/// opened next. Then its file alone does not say what it holds.
pub fn is_overlaid(disk: &dyn Disk, at: &Dir, name: &OsStr) -> io::Result<bool> {
    for suffix in PLAYED_BACK {
        match disk.stat(at, &companion(name, suffix)) {
            Ok(beside) if beside.kind == FileKind::File && beside.bytes == 0 => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A database file that was found, and what `stat` said of it and of its `-wal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Absolute, without links.
    pub path: PathBuf,
    pub uid: u32,
    pub gid: u32,
    /// Size of the database file.
    pub bytes: u64,
    /// When the witnesses were taken.
    pub begun: (i64, u32),
    /// Of the database file and, if there is one, of its `-wal`.
    pub witnesses: Vec<Witness>,
    times: Times,
}

/// Whether the times of a file system can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Local,
    /// Another machine writes them, by its own clock, and we may see them late.
    Network,
}

impl Sighting {
    /// Looks at a database, through links. To be called before its capture is started.
    pub fn take(disk: &dyn Disk, clock: &dyn Clock, path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
        // The clock first: a change after the look then never seems to lie before it.
        let now = clock.now();
        let real = std::fs::canonicalize(path).map_err(unreadable)?;
        let not_a_file = || unreadable(io::ErrorKind::InvalidInput.into());
        let name = real.file_name().ok_or_else(not_a_file)?;
        let dir = disk.open_root(real.parent().ok_or_else(not_a_file)?).map_err(unreadable)?;
        let file = disk.stat(&dir, name).map_err(unreadable)?;
        if file.kind != FileKind::File {
            return Err(not_a_file());
        }
        let wal = match disk.stat(&dir, &companion(name, "-wal")) {
            Ok(wal) => Some(wal),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error)),
        };
        Ok(Self {
            uid: file.uid,
            gid: file.gid,
            bytes: file.bytes,
            begun: (now.div_euclid(1_000_000_000), now.rem_euclid(1_000_000_000) as u32),
            witnesses: std::iter::once(&file).chain(&wal).map(witness).collect(),
            times: times(&dir).map_err(unreadable)?,
            path: real,
        })
    }

    /// Whether the database is certainly what it was when the image was captured.
    ///
    /// What was seen then must be what is seen now, and must have been at rest for two seconds
    /// then: otherwise a commit could have followed that did not move the times.
    pub fn is_unchanged_since(&self, image: &Image) -> bool {
        let at_rest = |(seconds, nanos): (i64, u32)| {
            (seconds.saturating_add(SETTLED_SECONDS), nanos) <= image.begun
        };
        self.times == Times::Local
            && self.witnesses == image.witnesses
            && self.witnesses.iter().all(|seen| at_rest(seen.modified) && at_rest(seen.changed))
    }
}

fn witness(stat: &Stat) -> Witness {
    Witness {
        device: stat.device,
        inode: stat.inode,
        bytes: stat.bytes,
        modified: stat.modified,
        changed: stat.changed,
    }
}

/// Magic numbers of file systems that other machines may write to.
const NETWORK_FILE_SYSTEMS: [u32; 14] = [
    0x6969,      // nfs
    0x517b,      // smb
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x6573_5546, // fuse: sshfs, virtiofs and their like
    0x0102_1997, // 9p
    0x5346_414f, // afs
    0x6b41_4653, // kafs
    0x00c3_6400, // ceph
    0x7375_7245, // coda
    0x0116_1970, // gfs2
    0x7461_636f, // ocfs2
    0x0bd0_0bd0, // lustre
    0x564c,      // ncp
];

fn times(dir: &Dir) -> io::Result<Times> {
    let magic = rustix::fs::fstatfs(&dir.0)?.f_type as u32;
    Ok(if NETWORK_FILE_SYSTEMS.contains(&magic) { Times::Network } else { Times::Local })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::UnixNanos,
        disk::RealDisk,
        format::{image::Method, stream::Stream},
        id::ImageIdentity,
    };

    /// A clock that stands where it is put.
    struct Standing(UnixNanos);

    impl Clock for Standing {
        fn now(&self) -> UnixNanos {
            self.0
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) {}
    }

    fn image(seen: &Sighting) -> Image {
        Image {
            page_bytes: 4096,
            page_count: 1,
            identity: ImageIdentity([0; 32]),
            group_pages: 64,
            base_pages: 1,
            base: Stream::default(),
            folded: Stream::default(),
            recent: Stream::default(),
            recent_bytes_written: 0,
            method: Method::Pages,
            damaged: false,
            unchecked: true,
            begun: seen.begun,
            witnesses: seen.witnesses.clone(),
        }
    }

    fn shop() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        put(&path, b"pages");
        (folder, path)
    }

    #[expect(clippy::disallowed_methods, reason = "files of a test are not durable")]
    fn put(path: &Path, bytes: &[u8]) {
        std::fs::write(path, bytes).unwrap();
    }

    /// Looks at the file so many seconds after its last change.
    fn look(path: &Path, seconds_later: i64) -> Sighting {
        let dir = RealDisk.open_root(path.parent().unwrap()).unwrap();
        let newest = [path.to_path_buf(), path.with_file_name("shop.db-wal")]
            .iter()
            .filter_map(|path| RealDisk.stat(&dir, path.file_name().unwrap()).ok())
            .map(|stat| stat.changed)
            .max()
            .unwrap();
        let now = (newest.0 + seconds_later) * 1_000_000_000 + i64::from(newest.1);
        Sighting::take(&RealDisk, &Standing(now), path).unwrap()
    }

    #[test]
    fn a_database_at_rest_is_unchanged() {
        let (_folder, path) = shop();
        let then = image(&look(&path, 2));

        assert!(look(&path, 9).is_unchanged_since(&then));
    }

    #[test]
    fn a_database_seen_within_two_seconds_of_a_change_is_read_again() {
        let (_folder, path) = shop();
        let then = image(&look(&path, 1));

        assert!(!look(&path, 9).is_unchanged_since(&then));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files of a test are not durable")]
    fn a_wal_that_appears_changes_or_goes_is_a_change() {
        let (_folder, path) = shop();
        let wal = path.with_file_name("shop.db-wal");
        let without = image(&look(&path, 5));
        put(&wal, b"frames");
        assert!(!look(&path, 9).is_unchanged_since(&without));

        let with = image(&look(&path, 5));
        assert!(look(&path, 9).is_unchanged_since(&with));
        put(&wal, b"framez");
        assert!(!look(&path, 9).is_unchanged_since(&with));

        std::fs::remove_file(&wal).unwrap();
        assert!(!look(&path, 9).is_unchanged_since(&with));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files of a test are not durable")]
    fn another_file_under_the_name_is_a_change() {
        let (_folder, path) = shop();
        let then = image(&look(&path, 5));
        let other = path.with_file_name("other");
        put(&other, b"pages");
        std::fs::rename(&other, &path).unwrap();

        assert!(!look(&path, 9).is_unchanged_since(&then));
    }

    #[test]
    fn a_folder_is_no_database() {
        let folder = tempfile::tempdir().unwrap();

        let refused = Sighting::take(&RealDisk, &Standing(0), folder.path());

        assert!(matches!(refused, Err(Error::Unreadable { .. })));
    }
}
