//! What would have to change at the original places so that they are as they were. Looks, and
//! changes nothing.

mod place;
mod removal;
mod spared;

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

pub use place::{resolved, tree_place};
pub use removal::Removal;

use place::database_place;
use spared::Spared;

use crate::{
    disk::{Dir, Disk, FileKind},
    format::{
        image::Image,
        node::{Content, Entry},
        record::{Part, PartContent, PartKind, Problem},
    },
    ops::{
        self,
        live::{Error, Goal, Request, moves::parent},
        moment::PartAt,
        owners::Origin,
        restore::Extra,
        set::Set,
    },
    repo::Repository,
    sink::{
        files::{self, ChangeKind, Destination, Options, Owners, Sink},
        sqlite::{DatabaseSink, Present},
    },
    source::sqlite::{COMPANIONS, HEADER_BYTES, companion, is_database},
};

/// A folder in which things change, for one part.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    pub part: String,
    pub kind: PartKind,
    /// What a person calls the place: the folder, or the database file.
    pub place: PathBuf,
    pub root: PathBuf,
    /// Folders that are missing, the root last.
    pub missing: Vec<PathBuf>,
    /// In the order of their paths; of one path, what goes before what comes.
    pub changes: Vec<Change>,
    /// Files that are in order.
    pub kept: u64,
    /// Whose things were, in numbers of this machine.
    pub origin: Origin,
}

/// A change of one path below the root.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub path: Vec<u8>,
    pub kind: Kind,
}

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Delete,
    MakeFolder(Box<Entry>),
    Mend(Box<Entry>),
    Write(Box<Entry>),
    /// A part that is a database.
    Image(Box<Image>),
}

impl Kind {
    /// Of one path, what goes comes first.
    const fn order(&self) -> u8 {
        match self {
            Self::Delete => 0,
            Self::MakeFolder(_) => 1,
            _ => 2,
        }
    }

    /// The database image that is put in place, if it is one.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Write(entry) => match &entry.content {
                Content::Database(image) => Some(image),
                _ => None,
            },
            _ => None,
        }
    }

    /// Bytes that are written.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Image(image) => image.bytes(),
            Self::Write(entry) => match &entry.content {
                Content::File { stream, extents: Some(_), .. } => stream.bytes,
                Content::File { bytes, .. } => *bytes,
                Content::Database(image) => image.bytes(),
                _ => 0,
            },
            _ => 0,
        }
    }
}

/// What planning works with.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    pub repo: &'a Repository,
    pub request: &'a Request,
}

impl Planner<'_> {
    /// Plans all of it; sites at which nothing is to be done have no changes.
    pub fn sites(&self, goal: &Goal<'_>) -> Result<Vec<Site>, ops::Error> {
        let mut sites = Vec::new();
        for at in &goal.parts {
            sites.push(self.site(at)?);
        }
        for removal in &goal.removals {
            self.add_removals(&mut sites, removal)?;
        }
        for site in &mut sites {
            site.changes
                .sort_by(|a, b| a.path.cmp(&b.path).then(a.kind.order().cmp(&b.kind.order())));
            site.changes.dedup_by(|a, b| a.path == b.path && a.kind.order() == b.kind.order());
            site.drop_nested();
        }
        Ok(sites)
    }

    fn site(&self, at: &PartAt<'_>) -> Result<Site, ops::Error> {
        let set = self.request.sets.iter().find(|set| set.name == at.part.name);
        match &at.part.content {
            PartContent::Database { image, .. } => self.database(at, image, set),
            PartContent::Tree { root, path } => {
                let from = PathBuf::from(OsString::from_vec(path.clone()));
                self.tree(at, (root, &from), set)
            }
        }
    }

    fn disk(&self) -> &dyn Disk {
        self.repo.environment().disk.as_ref()
    }

    fn database(
        &self,
        at: &PartAt<'_>,
        image: &Image,
        set: Option<&Set>,
    ) -> Result<Site, ops::Error> {
        let part = at.part;
        let place = database_place(part, set)?;
        let (root, name) = split(&place)?;
        let env = self.repo.environment();
        let mut site = Site::new(self.disk(), at, &place, root)?;
        if site.missing.is_empty() {
            let at = open(self.disk(), root)?;
            let present =
                Present { disk: self.disk(), keys: self.repo.keys(), stop: env.stop.as_ref() };
            let is_there = present.is_image(image, &at, name);
            if is_there.map_err(|source| Error::Database { part: part.name.clone(), source })? {
                site.kept = 1;
                return Ok(site);
            }
            site.delete_companions(self.disk(), (&at, name), name.as_bytes());
        }
        let kind = Kind::Image(Box::new(image.clone()));
        site.changes.push(Change { path: name.as_bytes().to_vec(), kind });
        Ok(site)
    }

    fn tree(
        &self,
        at: &PartAt<'_>,
        (root, from): (&Entry, &Path),
        set: Option<&Set>,
    ) -> Result<Site, ops::Error> {
        let part = at.part;
        let place = tree_place(part, from, set);
        let mut site = Site::new(self.disk(), at, &place, &place)?;
        let (parent, name) = match site.missing.first() {
            None => split(&place)?,
            // Where the first missing folder would be, there is nothing, as below it.
            Some(missing) => split(missing)?,
        };
        let found = Mutex::new(Found::default());
        let report = self.plan_tree((part, &site.origin), root, (parent, name), &found)?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = found.problems.first() {
            let (count, first) = (found.problems.len(), describe(problem));
            return Err(Error::Unplannable { part: part.name.clone(), count, first }.into());
        }
        site.kept = report.kept;
        site.changes = found.changes;
        self.leave_alone(&mut site, part, from, set)?;
        self.heed_databases(&mut site)?;
        Ok(site)
    }

    fn plan_tree(
        &self,
        (part, origin): (&Part, &Origin),
        root: &Entry,
        (parent, name): (&Path, &OsStr),
        found: &Mutex<Found>,
    ) -> Result<files::Report, ops::Error> {
        let env = self.repo.environment();
        let parent = open(self.disk(), parent)?;
        let fetch = self.repo.fetcher()?;
        let databases = DatabaseSink {
            disk: self.disk(),
            fetch: &fetch,
            keys: self.repo.keys(),
            stop: env.stop.as_ref(),
            observe: &|_| {},
        };
        let observe = |event: files::Event<'_>| {
            found.lock().unwrap_or_else(PoisonError::into_inner).take(event);
        };
        let sink = Sink {
            disk: self.disk(),
            fetch: fetch.as_ref(),
            databases: &databases,
            stop: env.stop.as_ref(),
            observe: &observe,
        };
        let destination = Destination { parent: &parent, name };
        let options = options(self.request, part, origin);
        match files::plan_tree(&sink, root, &destination, &options) {
            Err(files::Error::Stopped) => Err(ops::Error::Stopped),
            planned => Ok(planned?),
        }
    }

    /// Drops changes of what nobody asked for: folders above those that are saved, what is left
    /// out of backups on purpose, what is ours.
    fn leave_alone(
        &self,
        site: &mut Site,
        part: &Part,
        from: &Path,
        set: Option<&Set>,
    ) -> Result<(), ops::Error> {
        let below = |source: &Vec<u8>| {
            let source = Path::new(OsStr::from_bytes(source));
            source.strip_prefix(from).ok().map(|below| below.as_os_str().as_bytes().to_vec())
        };
        let sources: Vec<Vec<u8>> = part.sources.iter().filter_map(below).collect();
        let is_asked = |path: &[u8]| sources.iter().any(|source| is_within(path, source));
        let spared = Spared::new(self, site, set)?;
        site.changes.retain(|change| match change.kind {
            Kind::Mend(_) => is_asked(&change.path),
            Kind::Delete => is_asked(&change.path) && !spared.holds(&change.path),
            _ => true,
        });
        Ok(())
    }

    /// Databases among the files go with what lies beside them.
    fn heed_databases(&self, site: &mut Site) -> Result<(), ops::Error> {
        if !site.missing.is_empty() {
            return Ok(());
        }
        let with_image = site.changes.iter().filter(|change| change.kind.image().is_some());
        let paths: Vec<Vec<u8>> = with_image.map(|change| change.path.clone()).collect();
        for path in paths {
            let full = site.root.join(OsStr::from_bytes(&path));
            let (parent, name) = split(&full)?;
            if let Ok(at) = self.disk().open_root(parent) {
                site.delete_companions(self.disk(), (&at, name), &path);
            }
        }
        Ok(())
    }
}

impl Site {
    fn new(
        disk: &dyn Disk,
        at: &PartAt<'_>,
        place: &Path,
        root: &Path,
    ) -> Result<Self, ops::Error> {
        let part = at.part;
        Ok(Self {
            origin: Origin::of(&at.snapshot.record, part, disk),
            part: part.name.clone(),
            kind: part.kind,
            place: place.to_owned(),
            root: root.to_owned(),
            missing: missing(disk, root)?,
            changes: Vec::new(),
            kept: 0,
        })
    }

    /// What goes with its folder does not go by itself.
    fn drop_nested(&mut self) {
        let gone = self.changes.iter().filter(|change| change.kind == Kind::Delete);
        let gone: HashSet<Vec<u8>> = gone.map(|change| change.path.clone()).collect();
        self.changes.retain(|change| {
            let mut above = parent(&change.path);
            while !above.is_empty() && !gone.contains(above) {
                above = parent(above);
            }
            above.is_empty() || change.kind != Kind::Delete
        });
    }

    /// What lies beside a database belongs to what it was.
    fn delete_companions(&mut self, disk: &dyn Disk, (at, name): (&Dir, &OsStr), path: &[u8]) {
        for suffix in COMPANIONS {
            if disk.stat(at, &companion(name, suffix)).is_ok() {
                let path = companion(OsStr::from_bytes(path), suffix).into_vec();
                self.changes.push(Change { path, kind: Kind::Delete });
            }
        }
    }

    /// Paths of the database files that change or go, below the root.
    pub fn databases(&self, disk: &dyn Disk) -> Vec<Vec<u8>> {
        let is_database = |change: &&Change| match &change.kind {
            Kind::Delete => {
                let full = self.root.join(OsStr::from_bytes(&change.path));
                let parent = full.parent().and_then(|parent| disk.open_root(parent).ok());
                parent
                    .zip(full.file_name())
                    .is_some_and(|(at, name)| is_database_file(disk, &at, name))
            }
            kind => kind.image().is_some(),
        };
        self.changes.iter().filter(is_database).map(|change| change.path.clone()).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.changes.iter().map(|change| change.kind.bytes()).sum()
    }
}

/// What a plan of a tree tells.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    problems: Vec<Problem>,
}

impl Found {
    fn take(&mut self, event: files::Event<'_>) {
        match event {
            files::Event::Problem(problem) => self.problems.push(problem.clone()),
            files::Event::Would(change) => {
                let boxed = |entry: &Entry| Box::new(entry.clone());
                let kind = match change.kind {
                    ChangeKind::Delete => Kind::Delete,
                    // The root itself is made before all else.
                    ChangeKind::MakeFolder(entry) if change.path.is_empty() => {
                        Kind::Mend(boxed(entry))
                    }
                    ChangeKind::MakeFolder(entry) => Kind::MakeFolder(boxed(entry)),
                    ChangeKind::Mend(entry) => Kind::Mend(boxed(entry)),
                    ChangeKind::Write(entry) => Kind::Write(boxed(entry)),
                };
                self.changes.push(Change { path: change.path.to_vec(), kind });
            }
            _ => {}
        }
    }
}

fn options(request: &Request, part: &Part, origin: &Origin) -> Options {
    let is_root = rustix::process::geteuid().is_root();
    let knows_all_problems = part.problem_count == part.problems.len() as u64;
    let entries = part.totals.files + part.totals.folders + part.totals.others;
    Options {
        extra: match request.extra {
            Extra::Delete if knows_all_problems => files::Extra::Delete {
                except: part.problems.iter().map(|problem| problem.path.clone()).collect(),
            },
            _ => files::Extra::Keep,
        },
        owners: if is_root { Owners::Restored } else { Owners::Ours },
        owner_map: origin.owners.clone(),
        entries_max: Some(entries.saturating_add(1)),
        ..Options::default()
    }
}

/// The folders of a path that do not exist, top first.
fn missing(disk: &dyn Disk, path: &Path) -> Result<Vec<PathBuf>, ops::Error> {
    let mut missing = Vec::new();
    for path in path.ancestors() {
        match disk.open_root(path) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.insert(0, path.to_owned());
            }
            Err(source) => return Err(io_error("open", path, source)),
        }
    }
    Ok(missing)
}

pub fn is_database_file(disk: &dyn Disk, at: &Dir, name: &OsStr) -> bool {
    let mut head = [0; HEADER_BYTES];
    let is_file = disk.stat(at, name).is_ok_and(|stat| stat.kind == FileKind::File);
    let read = || {
        let file = disk.open(at, name)?;
        crate::disk::read_exact_at(disk, &file, &mut head, 0)
    };
    is_file && { read }().is_ok() && is_database(&head)
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

fn describe(problem: &Problem) -> String {
    format!("{}: {}", String::from_utf8_lossy(&problem.path), problem.message)
}

pub fn split(path: &Path) -> Result<(&Path, &OsStr), ops::Error> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io_error("restore to", path, io::ErrorKind::InvalidInput.into())),
    }
}

pub fn open(disk: &dyn Disk, path: &Path) -> Result<Dir, ops::Error> {
    disk.open_root(path).map_err(|source| io_error("open", path, source))
}

pub fn io_error(action: &'static str, path: &Path, source: io::Error) -> ops::Error {
    ops::Error::Io { action, path: path.to_owned(), source }
}
