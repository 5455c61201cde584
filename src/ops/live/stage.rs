//! Everything that is to be put in place, written beside it first: all that can fail because of
//! the repository or for want of room fails here, while nothing has changed yet.

use std::{collections::HashMap, ffi::OsStr, io, os::unix::ffi::OsStrExt, path::Path};

use rayon::prelude::*;

use crate::{
    disk::{Dir, Disk, FileKind, Handle, tree::remove_tree},
    format::{image::Image, node::Entry},
    ops::{
        self,
        event::{Event, Meter, Observer, Phase},
        live::{
            Error,
            journal::JournalSite,
            moves::{Ground, Move, new_name},
            plan::{Change, Kind, Site, io_error, open, split},
        },
        owners::{Access, Origin},
    },
    repo::Repository,
    sink::{
        files::{self, Options, Owners, Sink, StageError, Stager},
        sqlite::{self, DatabaseSink},
    },
};

const NEW: &str = "new";
const OLD: &str = "old";

/// Opens the ground of a site, making its folders.
pub fn make_ground<'a>(disk: &'a dyn Disk, site: &JournalSite) -> Result<Ground<'a>, ops::Error> {
    let failed = |source| io_error("make a folder in", &site.root, source);
    let root = disk.create_root(&site.root, 0o755).map_err(failed)?;
    let make = || {
        let staging = crate::disk::tree::create_dir(disk, &root, site.staging.as_ref(), 0o700)?;
        let new = crate::disk::tree::create_dir(disk, &staging, NEW.as_ref(), 0o700)?;
        let old = crate::disk::tree::create_dir(disk, &staging, OLD.as_ref(), 0o700)?;
        Ok((new, old))
    };
    let (new, old) = make().map_err(failed)?;
    Ok(Ground { disk, root, new, old })
}

/// Opens the ground of a site again; nothing if it was never made, or is gone.
pub fn open_ground<'a>(disk: &'a dyn Disk, site: &JournalSite) -> io::Result<Option<Ground<'a>>> {
    let opened = || -> io::Result<_> {
        let root = disk.open_root(&site.root)?;
        let staging = disk.open_dir(&root, site.staging.as_ref())?;
        let new = disk.open_dir(&staging, NEW.as_ref())?;
        let old = disk.open_dir(&staging, OLD.as_ref())?;
        Ok(Ground { disk, root, new, old })
    };
    match opened() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        ground => ground.map(Some),
    }
}

/// Removes the staging folder of a site with all in it, and the folders that were made for nothing.
pub fn clear_ground(disk: &dyn Disk, site: &JournalSite, made: Made) -> io::Result<()> {
    match disk.open_root(&site.root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        root => {
            let root = root?;
            let now = disk.stat_dir(&root)?.modified;
            let modified = site.modified.filter(|_| made == Made::Go).unwrap_or(now);
            remove_tree(disk, &root, site.staging.as_ref())?;
            disk.set_modified(Handle::Dir(&root), modified)?;
            disk.sync_dir(&root)?;
        }
    }
    if made == Made::Go {
        for path in site.made.iter().rev() {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let Ok(at) = disk.open_root(parent) else { continue };
            match disk.remove_dir(&at, name) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                    ) => {}
                removed => removed.and_then(|()| disk.sync_dir(&at))?,
            }
        }
    }
    Ok(())
}

/// What becomes of the folders that were made for a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Stay,
    Go,
}

/// What is staged of one site: the numbers by path.
#[derive(Debug, Default)]
pub struct Staged {
    numbers: HashMap<Vec<u8>, u64>,
    next: u64,
}

impl Staged {
    /// The number under which the new content of the path waits.
    pub fn number(&self, path: &[u8]) -> Option<u64> {
        self.numbers.get(path).copied()
    }
}

/// Stages what is to be put in place.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    pub repo: &'a Repository,
    pub observer: &'a dyn Observer,
}

impl Stage<'_> {
    /// Stages what the plan of a site writes and is not staged yet; durable on return.
    pub fn fill(
        &self,
        site: &Site,
        ground: &Ground<'_>,
        staged: &mut Staged,
    ) -> Result<(), ops::Error> {
        let mut wanted = Vec::new();
        for change in &site.changes {
            let is_new = matches!(change.kind, Kind::Write(_) | Kind::Image(_))
                && !staged.numbers.contains_key(&change.path);
            if is_new {
                wanted.push((staged.next, change));
                let _ = staged.numbers.insert(change.path.clone(), staged.next);
                staged.next += 1;
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.observer.observe(&Event::Phase { phase: Phase::Restore, item: site.part.clone() });
        self.write(site, ground, &wanted)?;
        let numbers: Vec<u64> = wanted.iter().map(|(number, _)| *number).collect();
        let synced = ground.sync_new(&numbers);
        synced.map_err(|source| io_error("make durable what is staged in", &site.root, source))
    }

    fn write(
        &self,
        site: &Site,
        ground: &Ground<'_>,
        wanted: &[(u64, &Change)],
    ) -> Result<(), ops::Error> {
        let env = self.repo.environment();
        let meter = Meter::new(self.observer, env.clock.as_ref())
            .with_totals(site.bytes(), wanted.len() as u64);
        let fetch = self.repo.fetcher()?;
        let databases = DatabaseSink {
            disk: ground.disk,
            fetch: &fetch,
            keys: self.repo.keys(),
            stop: env.stop.as_ref(),
            observe: &|bytes| meter.add(bytes, 0, site.part.as_bytes()),
        };
        let sink = Sink {
            disk: ground.disk,
            fetch: fetch.as_ref(),
            databases: &databases,
            stop: env.stop.as_ref(),
            observe: &|_| {},
        };
        let options = options(&site.origin);
        let stager = Stager::new(&sink, &ground.new, &options);
        let stager = stager.map_err(|source| io_error("stage in", &site.root, source))?;
        wanted.par_iter().try_for_each(|(number, change)| {
            let name = new_name(*number);
            let done = match &change.kind {
                Kind::Write(entry) => stager.write(&name, entry).map_err(failure),
                Kind::Image(image) => stage_image(&databases, ground, (&name, image), site),
                _ => Ok(()),
            };
            meter.add(change.kind.bytes(), 1, &change.path);
            done.map_err(|failure| failure.at(&site.root, &change.path))
        })?;
        for problem in stager.problems() {
            self.observer
                .observe(&Event::Warning { item: site.part.clone(), message: problem.message });
        }
        Ok(())
    }

    /// Sets what restored folders and mended files are to have, in this order.
    pub fn mend(
        &self,
        (site, ground): (&Site, &Ground<'_>),
        mended: &[(&Move, &Entry)],
    ) -> Result<(), ops::Error> {
        let env = self.repo.environment();
        let fetch = self.repo.fetcher()?;
        let databases = DatabaseSink {
            disk: ground.disk,
            fetch: &fetch,
            keys: self.repo.keys(),
            stop: env.stop.as_ref(),
            observe: &|_| {},
        };
        let sink = Sink {
            disk: ground.disk,
            fetch: fetch.as_ref(),
            databases: &databases,
            stop: env.stop.as_ref(),
            observe: &|_| {},
        };
        let options = options(&site.origin);
        let failed = |path: &[u8], source| {
            io_error("set the metadata of", Path::new(OsStr::from_bytes(path)), source)
        };
        let stager = Stager::new(&sink, &ground.new, &options);
        let stager = stager.map_err(|source| failed(b"", source))?;
        for (one, entry) in mended {
            let set = mend_one(&stager, ground, one, entry);
            set.map_err(|source| failed(&one.path, source))?;
        }
        match stager.problems().first() {
            None => Ok(()),
            Some(problem) => Err(failed(&problem.path, io::Error::other(problem.message.clone()))),
        }
    }
}

fn mend_one(stager: &Stager<'_>, ground: &Ground<'_>, one: &Move, entry: &Entry) -> io::Result<()> {
    let kind = ground.stat(&one.path)?.map(|stat| stat.kind);
    if matches!(kind, Some(FileKind::Dir | FileKind::File)) {
        return ground.with_handle(one, |handle| {
            stager.set_metadata(handle, entry);
            Ok(())
        });
    }
    let (at, name) = ground.place(&one.path)?;
    stager.set_metadata_at((&at, name), entry);
    Ok(())
}

/// Why one thing was not staged.
enum Failure {
    Stopped,
    Full(io::Error),
    Entry(String),
}

impl Failure {
    fn at(self, root: &Path, path: &[u8]) -> ops::Error {
        let path = root.join(OsStr::from_bytes(path));
        match self {
            Self::Stopped => ops::Error::Stopped,
            Self::Full(source) => io_error("stage", &path, source),
            Self::Entry(why) => Error::NotStaged { path, why }.into(),
        }
    }
}

fn failure(error: StageError) -> Failure {
    match error {
        StageError::Run(files::Error::Stopped) => Failure::Stopped,
        StageError::Entry { code, .. } if code == "no-space" => {
            Failure::Full(io::ErrorKind::StorageFull.into())
        }
        error => Failure::Entry(error.to_string()),
    }
}

fn stage_image(
    sink: &DatabaseSink<'_>,
    ground: &Ground<'_>,
    (name, image): (&str, &Image),
    site: &Site,
) -> Result<(), Failure> {
    match sink.restore(image, &ground.new, name.as_ref()) {
        Ok(_) => {}
        Err(sqlite::Error::Stopped) => return Err(Failure::Stopped),
        Err(error) => return Err(Failure::Entry(ops::with_causes(&error))),
    }
    let access = split(&site.place).ok().map_or(Ok(None), |(_, file)| {
        match ground.disk.stat(&ground.root, file) {
            Ok(stat) => Ok(Some(Access::from(&stat))),
            // Nothing is there: it gets what it had, where we may give that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(site.origin.database),
            Err(error) => Err(error),
        }
    });
    let given = access.and_then(|access| match access {
        None => Ok(()),
        Some(access) => {
            let file = ground.disk.open(&ground.new, name.as_ref())?;
            give(ground.disk, Handle::File(&file), access)
        }
    });
    given.map_err(|error| Failure::Entry(format!("cannot set its owner: {error}")))
}

/// Gives something its owner and mode.
fn give(disk: &dyn Disk, what: Handle<'_>, access: Access) -> io::Result<()> {
    match disk.set_owner(what, access.uid, access.gid) {
        // Only root can give files away; then it is ours, as any file that we write.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        set => set?,
    }
    disk.set_mode(what, access.mode)
}

/// Gives a folder that was made for a database the owner and mode that it had: who writes to the
/// database writes beside it.
pub fn give_folder(ground: &Ground<'_>, site: &Site) -> Result<(), ops::Error> {
    match site.origin.folder.filter(|_| !site.missing.is_empty()) {
        None => Ok(()),
        Some(access) => give(ground.disk, Handle::Dir(&ground.root), access)
            .map_err(|source| io_error("set the owner of", &site.root, source)),
    }
}

fn options(origin: &Origin) -> Options {
    let is_root = rustix::process::geteuid().is_root();
    let owners = if is_root { Owners::Restored } else { Owners::Ours };
    Options { owners, owner_map: origin.owners.clone(), ..Options::default() }
}

/// Refuses what would not fit: everything is staged before anything is removed.
pub fn check_space(disk: &dyn Disk, sites: &[Site], reserve: u64) -> Result<(), ops::Error> {
    let mut needed: HashMap<u64, (u64, &Path)> = HashMap::new();
    for site in sites {
        let existing = match site.missing.first() {
            None => site.root.as_path(),
            Some(missing) => split(missing)?.0,
        };
        let dir: Dir = open(disk, existing)?;
        let device = disk.stat_dir(&dir).map_err(|source| io_error("look at", existing, source))?;
        needed.entry(device.device).or_insert((reserve, existing)).0 += site.bytes();
    }
    for (needed_bytes, existing) in needed.into_values() {
        let dir = open(disk, existing)?;
        let free = disk.free_bytes(&dir);
        let free_bytes = free.map_err(|source| io_error("look at", existing, source))?;
        if needed_bytes > free_bytes {
            let place = existing.display().to_string();
            return Err(ops::Error::NoSpace { place, needed_bytes, free_bytes });
        }
    }
    Ok(())
}
