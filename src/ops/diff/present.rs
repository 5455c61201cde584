//! Files as they were beside files as they are: the tree of a part against its place on the disk.
//!
//! What looks exactly as when it was saved is not read; what has its size but another time is
//! compared byte by byte. What the backup leaves out is not missing in the snapshot.

use std::{
    cmp::Ordering,
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    ops::ControlFlow,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{Change, Difference};
use crate::{
    chunk::Fetch,
    disk::{Dir, FileKind, Stat, read_exact_at},
    format::{
        node::{Content, Entry},
        record::Part,
        stream::Stream,
    },
    limits::FOLDER_DEPTH_MAX,
    ops::{
        Error,
        dump::dump_file,
        live::STAGING_PREFIX,
        set::{Set, SetSource},
    },
    repo::{
        Repository,
        tree::{self, Met, NodeEntries, Step, walk},
    },
    sink::{
        files::{Choice, Chooser, OwnerMap},
        sqlite,
    },
    source::{files::entry_of, sqlite::COMPANIONS},
};

/// Is told what differs with where it lies now, and which folder cannot be read to its end.
pub type Visit<'a> = &'a mut dyn FnMut(Result<(Difference<'_>, &Path), (&[u8], tree::Error)>);

/// Where the files of a part lie now, and what is none of its business there.
pub struct Place<'a> {
    pub root: PathBuf,
    pub set: Option<&'a Set>,
    /// The repository and the state folder.
    pub own: &'a [PathBuf],
    /// Whose things were, in numbers of this machine.
    pub owners: OwnerMap,
}

/// Compares the tree of a part with what lies at its place.
pub fn diff_present(
    repo: &Repository,
    (part, root): (&Part, &Entry),
    (from, place): (&Path, &Place<'_>),
    visit: Visit<'_>,
) -> Result<(), Error> {
    let fetch = repo.fetcher()?;
    let (exclude, exclude_if_present) = match place.set.map(|set| &set.source) {
        Some(SetSource::Files(files)) => (files.exclude.clone(), files.exclude_if_present.clone()),
        _ => Default::default(),
    };
    let below = |source: &Vec<u8>| {
        let source = Path::new(OsStr::from_bytes(source));
        source.strip_prefix(from).ok().map(|below| below.as_os_str().as_bytes().to_vec())
    };
    let mut look = Look {
        repo,
        fetch: &*fetch,
        place,
        sources: part.sources.iter().filter_map(below).collect(),
        left_out: Chooser::new(&[], &exclude)?,
        exclude_if_present,
        found: Vec::new(),
        unreadable: Vec::new(),
    };
    look.whole(root)?;
    look.tell(visit);
    Ok(())
}

/// Something that differs.
struct Found {
    path: Vec<u8>,
    path_from: Option<Vec<u8>>,
    change: Change,
    from: Option<Entry>,
    to: Option<Entry>,
}

/// What is looked at.
struct Look<'a> {
    repo: &'a Repository,
    fetch: &'a dyn Fetch,
    place: &'a Place<'a>,
    /// Below the root; only what lies in one of them was saved.
    sources: Vec<Vec<u8>>,
    left_out: Chooser,
    exclude_if_present: Vec<String>,
    found: Vec<Found>,
    unreadable: Vec<(Vec<u8>, tree::Error)>,
}

/// A folder under comparison: what is left of it then and now.
struct Level<'a> {
    then: std::iter::Peekable<NodeEntries<'a>>,
    now: std::iter::Peekable<std::vec::IntoIter<OsString>>,
    dir: Dir,
    path_bytes: usize,
}

impl<'a> Look<'a> {
    fn whole(&mut self, root: &Entry) -> Result<(), Error> {
        let Content::Folder { node } = &root.content else { return Ok(()) };
        let mut path = Vec::new();
        let mut open = Vec::new();
        match self.repo.environment().disk.open_root(&self.place.root) {
            Ok(dir) => open.push(self.level(node, dir, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.all_gone(root, &path),
            Err(source) => return Err(self.failed(&path, source)),
        }
        // No recursion on input.
        while let Some(level) = open.last_mut() {
            path.truncate(level.path_bytes);
            let now = level.now.peek().map(|name| name.as_bytes());
            let then = match level.then.peek() {
                None => None,
                Some(Ok(entry)) => Some(entry.name.as_slice()),
                Some(Err(_)) => {
                    if let Some(Err(error)) = level.then.next() {
                        self.unreadable.push((path.clone(), error));
                    }
                    continue;
                }
            };
            let order = match (then, now) {
                (None, None) => {
                    let _ = open.pop();
                    continue;
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(then), Some(now)) => then.cmp(now),
            };
            let then = if order.is_le() { level.then.next().and_then(Result::ok) } else { None };
            let now = if order.is_ge() { level.now.next() } else { None };
            match (then, now) {
                (Some(entry), Some(name)) => {
                    walk::join(&mut path, &entry.name);
                    let depth = open.len();
                    let dir = &open[depth - 1].dir;
                    if let Some(below) = self.pair(&entry, (dir, &name), &path)?
                        && depth <= FOLDER_DEPTH_MAX
                        && let Content::Folder { node } = &entry.content
                    {
                        let below = self.level(node, below, &path)?;
                        open.push(below);
                    }
                }
                (Some(entry), None) => {
                    walk::join(&mut path, &entry.name);
                    self.all_gone(&entry, &path);
                }
                (None, Some(name)) => {
                    walk::join(&mut path, name.as_bytes());
                    let dir =
                        Dir(level.dir.0.try_clone().map_err(|why| self.failed(&path, why))?);
                    self.all_new((dir, name), &path)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn level(&self, node: &Stream, dir: Dir, path: &[u8]) -> Result<Level<'a>, Error> {
        let listed = self.repo.environment().disk.list(&dir);
        let mut now = listed.map_err(|source| self.failed(path, source))?;
        now.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        let then = NodeEntries::new(self.fetch, node).peekable();
        Ok(Level { then, now: now.into_iter().peekable(), dir, path_bytes: path.len() })
    }

    /// Compares an entry with what has its name now; returns the folder if both are one.
    fn pair(
        &mut self,
        entry: &Entry,
        (dir, name): (&Dir, &OsStr),
        path: &[u8],
    ) -> Result<Option<Dir>, Error> {
        let disk = self.repo.environment().disk.as_ref();
        let stat = match disk.stat(dir, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.all_gone(entry, path);
                return Ok(None);
            }
            stat => stat.map_err(|source| self.failed(path, source))?,
        };
        let now = self.entry_of((dir, name), &stat, path)?;
        let change = match std::mem::discriminant(&entry.content)
            == std::mem::discriminant(&now.content)
            || matches!(entry.content, Content::Database(_)) && stat.kind == FileKind::File
        {
            false => Some(Change::Kind),
            true if !self.has_content((entry, &now), (dir, name), path)? => Some(Change::Content),
            true => self.has_other_metadata(entry, &now).then_some(Change::Metadata),
        };
        if let Some(change) = change {
            let (from, to) = (Some(entry.clone()), Some(now));
            self.found.push(Found { path: path.to_vec(), path_from: None, change, from, to });
        }
        if change == Some(Change::Kind) || stat.kind != FileKind::Dir {
            return Ok(None);
        }
        disk.open_dir(dir, name).map(Some).map_err(|source| self.failed(path, source))
    }

    /// Whether what is there holds what the entry holds.
    fn has_content(
        &self,
        (entry, now): (&Entry, &Entry),
        (dir, name): (&Dir, &OsStr),
        path: &[u8],
    ) -> Result<bool, Error> {
        let env = self.repo.environment();
        let disk = env.disk.as_ref();
        match (&entry.content, &now.content) {
            (Content::Folder { .. }, _) => Ok(true),
            (Content::Database(image), _) => {
                let (keys, stop) = (self.repo.keys(), env.stop.as_ref());
                let is_image = sqlite::Present { disk, keys, stop }.is_image(image, dir, name);
                is_image.map_err(|error| self.failed(path, io::Error::other(error)))
            }
            (Content::File { bytes, stream, extents }, Content::File { bytes: bytes_now, .. }) => {
                let looks = |entry: &Entry| (entry.modified, entry.changed, entry.inode);
                if bytes != bytes_now || looks(entry) == looks(now) {
                    return Ok(bytes == bytes_now);
                }
                let file = disk.open(dir, name).map_err(|source| self.failed(path, source))?;
                let (mut at, mut is_same, mut there) = (0, true, Vec::new());
                dump_file(self.fetch, *bytes, stream, extents.as_deref(), &mut |piece| {
                    there.resize(piece.len(), 0);
                    // A file that shrinks meanwhile is another one.
                    let read = read_exact_at(disk, &file, &mut there, at);
                    at += piece.len() as u64;
                    is_same = read.is_ok() && there == piece;
                    if is_same { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                Ok(is_same)
            }
            (then, now) => Ok(then == now),
        }
    }

    /// What is not there any more, with all that was below it.
    fn all_gone(&mut self, entry: &Entry, path: &[u8]) {
        let mut gone = |path: Vec<u8>, entry: Entry| {
            let (change, from) = (Change::Removed, Some(entry));
            self.found.push(Found { path, path_from: None, change, from, to: None });
        };
        if !path.is_empty() {
            gone(path.to_vec(), entry.clone());
        }
        let Content::Folder { node } = &entry.content else { return };
        let unreadable = &mut self.unreadable;
        let told: Result<(), std::convert::Infallible> =
            walk(self.fetch, node, &mut |below, met| {
                let mut whole = path.to_vec();
                walk::join(&mut whole, below);
                match met {
                    Met::Entry(entry) => gone(whole, entry.clone()),
                    Met::Unreadable(error) => unreadable.push((whole, error)),
                }
                Ok(Step::Into)
            });
        let Ok(()) = told;
    }

    /// What was not there, with all that is below it, but for what backups leave out.
    fn all_new(&mut self, (dir, name): (Dir, OsString), path: &[u8]) -> Result<(), Error> {
        let disk = self.repo.environment().disk.as_ref();
        let mut ahead = vec![(dir, name, path.to_vec())];
        while let Some((dir, name, path)) = ahead.pop() {
            let Ok(stat) = disk.stat(&dir, &name) else { continue };
            if self.is_left_out(&path, &stat) {
                continue;
            }
            let below = match stat.kind {
                FileKind::Dir => disk.open_dir(&dir, &name).ok(),
                _ => None,
            };
            let names = below.as_ref().and_then(|below| disk.list(below).ok()).unwrap_or_default();
            if names.iter().any(|name| self.exclude_if_present.iter().any(|mark| name == &**mark)) {
                continue;
            }
            let (change, to) = (Change::Added, Some(self.entry_of((&dir, &name), &stat, &path)?));
            for name in names {
                let Some(Ok(dir)) = below.as_ref().map(|below| below.0.try_clone().map(Dir)) else {
                    continue;
                };
                let mut whole = path.clone();
                walk::join(&mut whole, name.as_bytes());
                ahead.push((dir, name, whole));
            }
            self.found.push(Found { path, path_from: None, change, from: None, to });
        }
        Ok(())
    }

    fn is_left_out(&self, path: &[u8], stat: &Stat) -> bool {
        let full = self.place.root.join(OsStr::from_bytes(path));
        let is_asked = self.sources.iter().any(|source| {
            let rest = path.strip_prefix(&source[..]);
            rest.is_some_and(|rest| source.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
        });
        let name = full.file_name().unwrap_or_default().as_bytes();
        let is_companion = COMPANIONS.iter().any(|suffix| {
            let stem = name.strip_suffix(suffix.as_bytes());
            stem.is_some_and(|stem| full.with_file_name(OsStr::from_bytes(stem)).is_file())
        });
        let choice = self.left_out.choose(Choice::Take, path, stat.kind == FileKind::Dir);
        !is_asked
            || is_companion
            || choice == Choice::Leave
            || stat.kind == FileKind::Socket
            || name.starts_with(STAGING_PREFIX.as_bytes())
            || self.place.own.iter().any(|own| full.starts_with(own))
    }

    /// What is there, as an entry without content.
    fn entry_of(
        &self,
        (dir, name): (&Dir, &OsStr),
        stat: &Stat,
        path: &[u8],
    ) -> Result<Entry, Error> {
        let nothing = || Stream { depth: 0, bytes: stat.bytes, ids: Vec::new() };
        let (major, minor) = (stat.rdev_major, stat.rdev_minor);
        let content = match stat.kind {
            FileKind::File => Content::File { bytes: stat.bytes, stream: nothing(), extents: None },
            FileKind::Dir => Content::Folder { node: nothing() },
            FileKind::Link => {
                let target = self.repo.environment().disk.read_link(dir, name);
                let target = target.map_err(|source| self.failed(path, source))?;
                Content::Link { target: target.into_vec() }
            }
            FileKind::Fifo => Content::Fifo,
            FileKind::CharDevice => Content::CharDevice { major, minor },
            FileKind::BlockDevice => Content::BlockDevice { major, minor },
            _ => Content::Socket,
        };
        Ok(entry_of(name.as_bytes(), stat, content))
    }

    /// Tells all in the order of paths, files that moved as renamed.
    fn tell(mut self, visit: Visit<'_>) {
        self.pair_renamed();
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        for (path, error) in self.unreadable {
            visit(Err((&path, error)));
        }
        for Found { path, path_from, change, from, to } in &self.found {
            let place = self.place.root.join(OsStr::from_bytes(path));
            let (from, to) = (from.as_ref(), to.as_ref());
            let path_from = path_from.as_deref();
            visit(Ok((Difference { path, path_from, change: *change, from, to }, &place)));
        }
    }

    /// A file that is the same one under another name did not come and go.
    fn pair_renamed(&mut self) {
        let number = |entry: &Entry| match entry.content {
            Content::File { bytes, .. } => Some((entry.inode, bytes, entry.modified)),
            _ => None,
        };
        let mut gone = HashMap::new();
        for (at, found) in self.found.iter().enumerate() {
            if let Some(key) = found.from.as_ref().and_then(number)
                && found.change == Change::Removed
            {
                let _ = gone.insert(key, at);
            }
        }
        let mut pairs = Vec::new();
        for (at, found) in self.found.iter().enumerate() {
            let key = found.to.as_ref().and_then(number);
            if found.change == Change::Added
                && let Some(older) = key.and_then(|key| gone.remove(&key))
            {
                pairs.push((at, older));
            }
        }
        let mut is_told = vec![false; self.found.len()];
        for (at, older) in pairs {
            is_told[older] = true;
            let (from, path) = (self.found[older].from.take(), self.found[older].path.clone());
            let found = &mut self.found[at];
            (found.change, found.from, found.path_from) = (Change::Renamed, from, Some(path));
        }
        let mut told = is_told.into_iter();
        self.found.retain(|_| !told.next().unwrap_or_default());
    }

    fn failed(&self, path: &[u8], source: io::Error) -> Error {
        let path = self.place.root.join(OsStr::from_bytes(path));
        Error::Io { action: "look at", path, source }
    }

    /// Whether the mode, the owner or the time differ; the time of a folder only says that
    /// something in it came or went. An owner is the same one under the number that his name has
    /// here.
    fn has_other_metadata(&self, then: &Entry, now: &Entry) -> bool {
        let time = |entry: &Entry| match entry.content {
            Content::Folder { .. } => None,
            _ => Some(entry.modified),
        };
        let owners = (self.place.owners.of(then), (now.uid, now.gid));
        owners.0 != owners.1 || (then.mode, time(then)) != (now.mode, time(now))
    }
}
