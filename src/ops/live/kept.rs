//! Tables that keep their present rows through a restore in place, an audit log for example.
//!
//! Their rows are taken from the safety snapshot, which holds the present whole, and go into the
//! staged database before anything has changed its place. So they come with all the rest or not at
//! all, and are taken back with it.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use crate::{
    disk::{Disk, read_exact_at},
    format::{image::Image, record::PartContent},
    limits::MIB,
    ops::{
        self,
        live::{
            Error, Goal, Request,
            moves::{Ground, new_name},
            plan::{Kind, Site, io_error},
            stage::Staged,
            work::Work,
        },
        past::{PastDatabase, Terms, live::capture_at},
        rows::{self, KeptTable, keep, plan_keep},
    },
    repo::{Repository, Snapshot},
};

/// The tables of one database that keep their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub part: String,
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
        let Some(at) = at else { continue };
        let PartContent::Database { image, .. } = &at.part.content else { continue };
        if site.place.symlink_metadata().is_err() {
            continue;
        }
        let live = capture_at(repo, &request.program, (*at, &site.place))?;
        let terms = Terms::of(repo.environment());
        let present = PastDatabase::open(&terms, live.fetch, &live.image)?;
        let past = PastDatabase::open(&terms, repo.fetcher()?, image)?;
        let tables = plan_keep(&present, &past, &request.kept_tables).map_err(not_kept)?;
        unknown.retain(|name| tables.iter().all(|table| !table.table.eq_ignore_ascii_case(name)));
        if !tables.is_empty() && !site.changes.is_empty() {
            all.push(Kept { part: site.part.clone(), tables });
        }
    }
    match unknown.into_iter().next() {
        None => Ok(all),
        Some(table) => {
            let why = "no database that is there and is restored has such a table".to_owned();
            Err(Error::NotKept { table, why }.into())
        }
    }
}

impl Work<'_> {
    /// Puts the present rows of the tables that keep them into the staged databases; durable on
    /// return.
    pub fn keep_tables(
        &mut self,
        safety: Option<&Snapshot>,
        (grounds, staged): (&[Ground<'_>], &[Staged]),
    ) -> Result<(), ops::Error> {
        if self.request.kept_tables.is_empty() {
            return Ok(());
        }
        for ((site, ground), staged) in self.sites.iter().zip(grounds).zip(staged) {
            let Some(image) = safety.and_then(|safety| saved_image(safety, site)) else { continue };
            let is_image = |kind: &Kind| matches!(kind, Kind::Image(_));
            for change in site.changes.iter().filter(|change| is_image(&change.kind)) {
                let Some(number) = staged.number(&change.path) else { continue };
                let fetch = self.repo.fetcher()?;
                let terms = Terms::of(self.repo.environment());
                let present = PastDatabase::open(&terms, fetch, image)?;
                let file = self.staged_path(site, number);
                let kept = keep(&present, &file, &self.request.kept_tables).map_err(not_kept)?;
                if kept.is_empty() {
                    continue;
                }
                let failed =
                    |source| io_error("make durable what is staged in", &site.root, source);
                ground.sync_new(&[number]).map_err(failed)?;
                let staged = ground.disk.open(&ground.new, new_name(number).as_ref());
                let digest = staged.and_then(|file| digest(ground.disk, &file)).map_err(failed)?;
                let place = site.root.join(OsStr::from_bytes(&change.path));
                self.mixed.push(Mixed { place, digest });
            }
        }
        Ok(())
    }

    fn staged_path(&self, site: &Site, number: u64) -> PathBuf {
        let noted = self.journal.sites.iter().find(|noted| noted.part == site.part);
        let staging = noted.map(|noted| noted.staging_path()).unwrap_or_default();
        staging.join("new").join(new_name(number))
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

fn saved_image<'a>(safety: &'a Snapshot, site: &Site) -> Option<&'a Image> {
    let part = safety.record.parts.iter().find(|part| part.name == site.part)?;
    match &part.content {
        PartContent::Database { image, .. } => Some(image),
        PartContent::Tree { .. } => None,
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
