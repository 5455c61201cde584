//! A folder of the target: opened, or made, when the first entry in it is to be restored.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    sync::OnceLock,
};

use crate::{
    disk::{Dir, FileKind, Handle, Spread, Stat},
    sink::files::{
        Overwrite,
        failure::Trouble,
        restore::{Acts, Restore},
    },
};

/// Folders are ours alone until they get their own mode, so that nobody gets in between.
const UNFINISHED_MODE: u32 = 0o700;

/// A folder of the target.
pub enum Target<'a> {
    Root(&'a Opened),
    Below { above: &'a Target<'a>, name: &'a OsStr, opened: OnceLock<Result<Opened, Trouble>> },
}

/// A folder of the target that is open.
#[derive(Debug)]
pub struct Opened {
    /// Absent in a plan, if the folder is not there yet.
    pub dir: Option<Dir>,
    /// Nothing is in it but what this restore puts there.
    pub is_new: bool,
    /// The file system that an existing folder lies on.
    pub device: Option<u64>,
    /// The mode it had, if it had to be changed for us to write to it.
    pub locked_mode: Option<u32>,
}

impl<'a> Target<'a> {
    /// Names a folder; nothing is opened yet.
    pub const fn below(above: &'a Self, name: &'a OsStr) -> Self {
        Self::Below { above, name, opened: OnceLock::new() }
    }

    /// Opens the folder, making it and those above it if they are missing.
    pub fn open(&self, restore: &Restore<'_>) -> Result<&Opened, Trouble> {
        match self {
            Self::Root(opened) => Ok(opened),
            Self::Below { above, name, opened } => opened
                .get_or_init(|| restore.open_folder(above.open(restore)?, name))
                .as_ref()
                .map_err(Clone::clone),
        }
    }

    /// Returns the folder if it was opened, or made.
    pub fn opened(&self) -> Option<&Opened> {
        match self {
            Self::Root(opened) => Some(opened),
            Self::Below { opened, .. } => opened.get().and_then(|opened| opened.as_ref().ok()),
        }
    }
}

impl Restore<'_> {
    /// Opens or makes a folder. What else has its name is replaced, never followed.
    pub fn open_folder(&self, above: &Opened, name: &OsStr) -> Result<Opened, Trouble> {
        let Some(at) = &above.dir else { return Ok(Opened::planned()) };
        if above.is_new {
            match self.make_folder(at, name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map_err(|error| Trouble::io("make the folder", &error)),
            }
        }
        let made = match self.sink.disk.stat(at, name) {
            Ok(stat) if stat.kind == FileKind::Dir => return self.enter(at, name, &stat),
            Ok(_) if self.options.overwrite == Overwrite::Never => {
                return Err(Trouble::new(
                    "in-the-way",
                    "something else than a folder has its name",
                ));
            }
            Ok(_) if self.acts == Acts::Plan => return Ok(Opened::planned()),
            Ok(_) => self.sink.disk.remove_file(at, name).and_then(|()| self.make_folder(at, name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_folder(at, name),
            Err(error) => Err(error),
        };
        made.map_err(|error| Trouble::io("make the folder", &error))
    }

    fn make_folder(&self, at: &Dir, name: &OsStr) -> io::Result<Opened> {
        if self.acts == Acts::Plan {
            return Ok(Opened::planned());
        }
        self.sink.disk.create_dir(at, name, UNFINISHED_MODE)?;
        let dir = self.sink.disk.open_dir(at, name)?;
        // A hint that could not be given costs time only.
        let _ = self.sink.disk.spread(&dir, Spread::Apart);
        Ok(Opened { dir: Some(dir), ..Opened::planned() })
    }

    fn enter(&self, at: &Dir, name: &OsStr, stat: &Stat) -> Result<Opened, Trouble> {
        let disk = self.sink.disk;
        let dir =
            disk.open_dir(at, name).map_err(|error| Trouble::io("open the folder", &error))?;
        let is_locked = stat.mode & UNFINISHED_MODE != UNFINISHED_MODE;
        let locked_mode = (is_locked && self.acts == Acts::Write).then_some(stat.mode);
        if locked_mode.is_some() {
            // That we may not shows when something is written.
            let _ = disk.set_mode(Handle::Dir(&dir), stat.mode | UNFINISHED_MODE);
        }
        if self.acts == Acts::Write && self.cleans {
            self.remove_temporaries(&dir)
                .map_err(|error| Trouble::io("list the folder", &error))?;
        }
        Ok(Opened { dir: Some(dir), is_new: false, device: Some(stat.device), locked_mode })
    }

    fn remove_temporaries(&self, dir: &Dir) -> io::Result<()> {
        for name in self.sink.disk.list(dir)? {
            if is_temporary(&name) {
                self.sink.disk.remove_file(dir, &name)?;
            }
        }
        Ok(())
    }
}

impl Opened {
    /// A folder that a restore would make.
    pub const fn planned() -> Self {
        Self { dir: None, is_new: true, device: None, locked_mode: None }
    }
}

/// What the names of files begin with that do not have their own name yet.
const TEMPORARY_PREFIX: &str = ".stillpoint-unfinished-";

/// The name of a file that does not have its own name yet.
pub fn temporary_name(number: u64) -> OsString {
    format!("{TEMPORARY_PREFIX}{number}").into()
}

/// The name of the marker that stands beside the destination until the restore has finished.
pub fn marker_name(name: &OsStr) -> OsString {
    let mut marker = OsString::from(TEMPORARY_PREFIX);
    marker.push(name);
    marker
}

/// Whether the name is that of an unfinished file.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}
