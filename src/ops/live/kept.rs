//! Tables that keep their present rows through a restore in place, an audit log for example.
//!
//! Their rows are taken from the safety snapshot, which holds the present whole, and go into the
//! staged database before anything has changed its place. So they come with all the rest or not at
//! all, and are taken back with it.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Disk, read_exact_at},
    format::{
        image::Image,
        node::{Content, Entry},
        record::PartContent,
    },
    limits::MIB,
    ops::{
        self,
        live::{
            Error, Goal, Request,
            moves::{Ground, new_name},
            plan::{Change, Site, io_error, resolved},
            stage::Staged,
            work::Work,
        },
        moment::PartAt,
        past::{
            PastDatabase, Terms,
            live::{Known, capture_at},
        },
        rows::{self, KeptTable, keep, plan_keep},
    },
    repo::{
        Repository, Snapshot,
        tree::{self, Met, Step},
    },
};

/// The tables of one database that keep their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The part, or the path of a database among its files.
    pub database: String,
    pub tables: Vec<KeptTable>,
}

/// A database that holds rows of two moments, on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixed {
    pub place: PathBuf,
    digest: blake3::Hash,
}

/// Says what it means to keep the tables that were asked for. Captures the present databases for
/// that, and stores nothing.
///
/// # Errors
/// [`Error::NotKept`] if rows cannot be kept, or no database has such a table.
pub fn plan_kept(
    repo: &Repository,
    (goal, sites): (&Goal<'_>, &[Site]),
    request: &Request,
) -> Result<Vec<Kept>, ops::Error> {
    let mut all = Vec::new();
    let mut unknown = request.kept_tables.clone();
    for site in sites.iter().filter(|_| !request.kept_tables.is_empty()) {
        let at = goal.parts.iter().find(|at| at.part.name == site.part);
        for replaced in at.map(|at| Replaced::of(at, site)).unwrap_or_default() {
            let tables = replaced.plan(repo, request)?;
            unknown.retain(|name| !tables.iter().any(|kept| kept.table.eq_ignore_ascii_case(name)));
            if !tables.is_empty() && !site.changes.is_empty() {
                all.push(Kept { database: replaced.name, tables });
            }
        }
    }
    for table in unknown {
        if !is_kept_by_itself(repo, (goal, sites), &table)? {
            let why = "no database that is there and is restored has such a table".to_owned();
            return Err(Error::NotKept { table, why }.into());
        }
    }
    Ok(all)
}

/// A database that is there, and that another one takes the place of.
struct Replaced<'a> {
    name: String,
    place: PathBuf,
    /// What comes.
    known: Known<'a>,
}

impl<'a> Replaced<'a> {
    /// Those of one site; the database of a part also if it is in place already.
    fn of(at: &PartAt<'a>, site: &'a Site) -> Vec<Self> {
        let all = match Known::of(at) {
            Ok(known) => vec![Self { name: site.part.clone(), place: site.place.clone(), known }],
            Err(_) => {
                let (snapshot, part) = (at.snapshot.id, at.part.name.as_str());
                let changes = site.changes.iter();
                let of = |change: &'a Change| {
                    let path = change.path.as_slice();
                    let known = Known { snapshot, part, path, image: change.kind.image()? };
                    let name = format!("{part}/{}", String::from_utf8_lossy(path));
                    Some(Self { name, place: site.root.join(OsStr::from_bytes(path)), known })
                };
                changes.filter_map(of).collect()
            }
        };
        all.into_iter().filter(|one| one.place.symlink_metadata().is_ok()).collect()
    }

    fn plan(&self, repo: &Repository, request: &Request) -> Result<Vec<KeptTable>, ops::Error> {
        let live = capture_at(repo, &request.program, (&self.known, &self.place))?;
        let terms = Terms::of(repo.environment());
        let present = PastDatabase::open(&terms, live.fetch, &live.image)?;
        let past = PastDatabase::open(&terms, repo.fetcher()?, self.known.image)?;
        plan_keep(&present, &past, &request.kept_tables).map_err(not_kept)
    }
}

/// Whether a database among files has the table that is in place as it was: nothing happens to it.
fn is_kept_by_itself(
    repo: &Repository,
    (goal, sites): (&Goal<'_>, &[Site]),
    table: &String,
) -> Result<bool, ops::Error> {
    let fetch = repo.fetcher()?;
    let mut images = Vec::new();
    for at in &goal.parts {
        let PartContent::Tree { root, .. } = &at.part.content else { continue };
        let Content::Folder { node } = &root.content else { continue };
        let changes = sites.iter().filter(|site| site.part == at.part.name);
        let changed: HashSet<&[u8]> =
            changes.flat_map(|site| &site.changes).map(|change| change.path.as_slice()).collect();
        tree::walk(&*fetch, node, &mut |path, met| {
            if let Met::Entry(Entry { content: Content::Database(image), .. }) = met
                && !changed.contains(path)
            {
                images.push((**image).clone());
            }
            Ok::<_, ops::Error>(Step::Into)
        })?;
    }
    for image in images {
        let terms = Terms::of(repo.environment());
        let database = PastDatabase::open(&terms, Arc::clone(&fetch), &image)?;
        let found = plan_keep(&database, &database, std::slice::from_ref(table));
        if !found.is_ok_and(|tables| tables.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Work<'_> {
    /// Puts the present rows of the tables that keep them into the staged databases; durable on
    /// return.
    pub fn keep_tables(
        &mut self,
        safety: Option<&Snapshot>,
        (grounds, staged): (&[Ground<'_>], &[Staged]),
    ) -> Result<(), ops::Error> {
        let Some(safety) = safety.filter(|_| !self.request.kept_tables.is_empty()) else {
            return Ok(());
        };
        let mut mixed = Vec::new();
        for ((site, ground), staged) in self.sites.iter().zip(grounds).zip(staged) {
            for change in site.changes.iter().filter(|change| change.kind.image().is_some()) {
                let saved = self.saved_image(safety, (site, &change.path))?;
                if let (Some(image), Some(number)) = (saved, staged.number(&change.path)) {
                    mixed.extend(self.keep_rows((site, ground), (change, number), &image)?);
                }
            }
        }
        self.mixed = mixed;
        Ok(())
    }

    /// Gives the tables of one staged database their present rows, if it has any of them.
    fn keep_rows(
        &self,
        (site, ground): (&Site, &Ground<'_>),
        (change, number): (&Change, u64),
        image: &Image,
    ) -> Result<Option<Mixed>, ops::Error> {
        let terms = Terms::of(self.repo.environment());
        let present = PastDatabase::open(&terms, self.repo.fetcher()?, image)?;
        let file = self.staged_path(site, number);
        if keep(&present, &file, &self.request.kept_tables).map_err(not_kept)?.is_empty() {
            return Ok(None);
        }
        let failed = |source| io_error("make durable what is staged in", &site.root, source);
        ground.sync_new(&[number]).map_err(failed)?;
        let staged = ground.disk.open(&ground.new, new_name(number).as_ref());
        let digest = staged.and_then(|file| digest(ground.disk, &file)).map_err(failed)?;
        let place = site.root.join(OsStr::from_bytes(&change.path));
        Ok(Some(Mixed { place, digest }))
    }

    fn staged_path(&self, site: &Site, number: u64) -> PathBuf {
        let noted = self.journal.sites.iter().find(|noted| noted.part == site.part);
        let staging = noted.map(|noted| noted.staging_path()).unwrap_or_default();
        staging.join("new").join(new_name(number))
    }

    /// The database of now, as the safety snapshot holds it; nothing if there is none.
    fn saved_image(
        &self,
        safety: &Snapshot,
        (site, path): (&Site, &[u8]),
    ) -> Result<Option<Image>, ops::Error> {
        let part = safety.record.parts.iter().find(|part| part.name == site.part);
        let (root, from) = match part.map(|part| &part.content) {
            None => return Ok(None),
            Some(PartContent::Database { image, .. }) => return Ok(Some((**image).clone())),
            Some(PartContent::Tree { root, path }) => (root, path),
        };
        let full = site.root.join(OsStr::from_bytes(path));
        let below = full.strip_prefix(resolved(Path::new(OsStr::from_bytes(from))));
        let below = below.map(|below| below.as_os_str().as_bytes()).ok();
        let fetch = self.repo.fetcher()?;
        let found = below.map(|below| tree::find(&*fetch, root, below)).transpose()?.flatten();
        match found.map(|entry| entry.content) {
            Some(Content::Database(image)) => Ok(Some(*image)),
            // It is something else now, without tables.
            Some(_) => Ok(None),
            None if full.symlink_metadata().is_err() => Ok(None),
            None => Err(Error::NotSaved { what: full.display().to_string() }.into()),
        }
    }
}

impl Mixed {
    /// Whether what is in its place is what was staged.
    pub fn is_in_place(&self, disk: &dyn Disk) -> std::io::Result<bool> {
        let (Some(parent), Some(name)) = (self.place.parent(), self.place.file_name()) else {
            return Ok(false);
        };
        let file = disk.open_root(parent).and_then(|at| disk.open(&at, name))?;
        Ok(digest(disk, &file)? == self.digest)
    }
}

fn digest(disk: &dyn Disk, file: &std::fs::File) -> std::io::Result<blake3::Hash> {
    let mut left = disk.stat_file(file)?.bytes;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; MIB];
    let mut offset = 0;
    while left > 0 {
        let wanted = usize::try_from(left).map_or(MIB, |left| left.min(MIB));
        read_exact_at(disk, file, &mut piece[..wanted], offset)?;
        let _ = hasher.update(&piece[..wanted]);
        offset += wanted as u64;
        left -= wanted as u64;
    }
    Ok(hasher.finalize())
}

/// Why rows of the present do not fit into the past, in words of this direction.
fn not_kept(error: rows::Error) -> ops::Error {
    let (table, why) = match error {
        rows::Error::Virtual { table } => (table, "it is a virtual table".to_owned()),
        rows::Error::ColumnGone { table, column } => {
            (table, format!("the snapshot does not know its column {column} yet"))
        }
        rows::Error::ColumnNew { table, column } => {
            (table, format!("it has no column {column} any more, which the snapshot must have"))
        }
        rows::Error::OtherKey { table } => (table, "it had another primary key then".to_owned()),
        rows::Error::Orphans { table, rows } => {
            (table, format!("{rows} rows would refer to rows of it that do not exist"))
        }
        other => return other.into(),
    };
    Error::NotKept { table, why }.into()
}
