//! Folders as a whole: made durable, removed with all they hold.

use std::{
    ffi::{OsStr, OsString},
    io,
};

use super::{Dir, Disk, FileKind, Handle};

/// Opens the folder of this name, which it creates with exactly this mode if it is missing.
///
/// The new name is durable on return.
pub fn create_dir<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    mode: u32,
) -> io::Result<Dir> {
    match disk.create_dir(at, name, mode) {
        Ok(()) => {
            let dir = disk.open_dir(at, name)?;
            disk.set_mode(Handle::Dir(&dir), mode)?;
            disk.sync_dir(at)?;
            Ok(dir)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open_dir(at, name),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a folder with all it holds; absent already is success. Follows no link and
/// enters no other file system.
///
/// Not durable: call [`Disk::sync_dir`] where it matters. Keeps one folder open for each level.
pub fn remove_tree<D: Disk + ?Sized>(disk: &D, at: &Dir, name: &OsStr) -> io::Result<()> {
    let device = disk.stat_dir(at)?.device;
    let Some(level) = enter(disk, at, name, device)? else { return Ok(()) };
    let mut levels = vec![level];
    while let Some(level) = levels.last_mut() {
        if let Some(child) = level.names.pop() {
            if let Some(below) = enter(disk, &level.dir, &child, device)? {
                levels.push(below);
            }
        } else {
            let done = levels.pop().expect("the loop's condition saw it");
            let parent = levels.last().map_or(at, |level| &level.dir);
            absent_is_success(disk.remove_dir(parent, &done.name))?;
        }
    }
    Ok(())
}

/// A folder whose entries are being removed.
struct Level {
    name: OsString,
    dir: Dir,
    names: Vec<OsString>,
}

/// Opens a folder to be emptied; anything else is removed at once.
fn enter<D: Disk + ?Sized>(
    disk: &D,
    at: &Dir,
    name: &OsStr,
    device: u64,
) -> io::Result<Option<Level>> {
    match disk.stat(at, name) {
        // What is mounted here belongs to somebody else.
        Ok(stat) if stat.kind == FileKind::Dir && stat.device != device => {
            Err(io::ErrorKind::CrossesDevices.into())
        }
        Ok(stat) if stat.kind == FileKind::Dir => {
            let dir = disk.open_dir(at, name)?;
            let names = disk.list(&dir)?;
            Ok(Some(Level { name: name.to_owned(), dir, names }))
        }
        Ok(_) => absent_is_success(disk.remove_file(at, name)).map(|()| None),
        Err(error) => absent_is_success(Err(error)).map(|()| None),
    }
}

pub(crate) fn absent_is_success(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn missing_parents_are_created_with_exactly_the_mode() {
        let folder = tempfile::tempdir().unwrap();

        let _dir = RealDisk.create_root(&folder.path().join("a/b/c"), 0o700).unwrap();

        for path in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(folder.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{path}");
        }
    }

    #[test]
    fn a_root_that_exists_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let before = fs::metadata(folder.path()).unwrap().permissions().mode();

        let _dir = RealDisk.create_root(folder.path(), 0o777).unwrap();

        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode(), before);
    }

    #[test]
    fn a_tree_goes_with_all_it_holds_and_nothing_beyond_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = RealDisk.open_root(folder.path()).unwrap();
        make_tree(folder.path());

        remove_tree(&RealDisk, &at, OsStr::new("tree")).unwrap();
        remove_tree(&RealDisk, &at, OsStr::new("tree")).unwrap();

        assert_eq!(RealDisk.list(&at).unwrap(), ["kept"]);
        assert!(folder.path().join("kept/file").exists());
    }

    #[expect(clippy::disallowed_methods, reason = "arranges the folder under test")]
    fn make_tree(folder: &Path) {
        fs::create_dir_all(folder.join("tree/a/b")).unwrap();
        fs::create_dir_all(folder.join("kept")).unwrap();
        for file in ["tree/1", "tree/a/2", "tree/a/b/3", "kept/file"] {
            fs::write(folder.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("../../kept", folder.join("tree/a/out")).unwrap();
    }
}
