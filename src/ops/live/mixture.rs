//! Places in which a restore in place did not end hold half of one moment and half of another. No
//! backup may take that for a moment.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    format::record::PartKind,
    ops::{
        self,
        event::Observer,
        live::{
            Error,
            journal::{Journal, JournalSite},
            plan::{self, resolved},
            recover,
        },
        set::{Set, SetSource},
    },
    repo::Repository,
};

/// Ends a restore in place that died, and refuses where that cannot be done and one of the sets
/// lies in its way. The locks of the parts must be held.
pub fn refuse_mixture(
    repo: &Repository,
    sets: &[Set],
    observer: &dyn Observer,
) -> Result<(), ops::Error> {
    let recovered = recover(repo, observer);
    let (disk, state) = (repo.environment().disk.as_ref(), repo.state_dir());
    let journal = Journal::read(disk, state);
    let journal = journal.map_err(|source| plan::io_error("read", repo.state_path(), source))?;
    let Some(journal) = journal else { return recovered.map(drop) };
    let touched = journal.sites.iter().find(|site| sets.iter().any(|set| is_touched(set, site)));
    match (touched, recovered) {
        (None, _) => Ok(()),
        (Some(_), Err(error)) => Err(error),
        (Some(site), Ok(_)) => {
            let why = format!("{} is being restored by another process", site.part);
            Err(Error::Unfinished { why }.into())
        }
    }
}

/// Whether anything of the set changes places in this site.
fn is_touched(set: &Set, site: &JournalSite) -> bool {
    let of_set: Vec<PathBuf> = match &set.source {
        SetSource::Sqlite { path } => vec![resolved(path)],
        SetSource::Files(files) => files.paths.iter().map(|path| resolved(path)).collect(),
    };
    let of_site: Vec<PathBuf> = match site.kind {
        PartKind::Database => {
            let databases = site.databases.iter().map(|path| OsStr::from_bytes(path));
            databases.map(|path| site.root.join(path)).collect()
        }
        _ => vec![site.root.clone()],
    };
    let meet = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    let mut pairs = of_set.iter().flat_map(|a| of_site.iter().map(move |b| (a, b)));
    set.name == site.part || pairs.any(|(a, b)| meet(a, b))
}
