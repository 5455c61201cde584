//! Taking the last live restore back after it has succeeded: another live restore, of the safety
//! snapshot, and without what the first one added.

use crate::{
    ops::{
        self,
        event::Observer,
        live::{
            Error, Goal, Removal, Report, Request, Site, journal::Journal, moves::Act, plan, run,
        },
        moment::PartAt,
    },
    repo::{Repository, Snapshot},
};

/// What an undo takes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    /// When the restore began, nanoseconds since 1970 UTC.
    pub started: i64,
    /// What was asked for then.
    pub asked: String,
    /// What was there before it; nothing if nothing was.
    pub safety: Option<Snapshot>,
    /// What it added.
    pub added: Vec<Removal>,
}

impl Undo {
    /// Finds the last live restore, and the snapshot of what was there before it.
    pub fn last(repo: &Repository) -> Result<Self, ops::Error> {
        let (disk, state) = (repo.environment().disk.as_ref(), repo.state_dir());
        let failed = |source| plan::io_error("read", repo.state_path(), source);
        let journal = Journal::read_last(disk, state).map_err(failed)?;
        let journal = journal.ok_or(Error::NothingToUndo)?;
        let safety = match &journal.safety {
            None => None,
            Some(id) => {
                let snapshots = repo.snapshots()?.snapshots;
                let found = snapshots.into_iter().find(|snapshot| snapshot.id.to_string() == *id);
                let gone = || Error::SafetyGone { snapshot: id[..8].to_owned() };
                Some(found.ok_or_else(gone)?)
            }
        };
        let mut added = Vec::new();
        for (number, site) in journal.sites.iter().enumerate() {
            let moves = journal.read_moves(disk, state, number).map_err(failed)?;
            let is_new = |act: Act| matches!(act, Act::Put(_) | Act::MakeFolder);
            let new = moves.into_iter().filter(|one| one.was.is_none() && is_new(one.act));
            added.push(Removal {
                part: site.part.clone(),
                kind: site.kind,
                root: site.root.clone(),
                paths: new.map(|one| one.path).collect(),
            });
        }
        Ok(Self { started: journal.started, asked: journal.asked, safety, added })
    }

    /// What is to be there afterwards.
    pub fn goal(&self) -> Goal<'_> {
        let saved = self.safety.iter().flat_map(|snapshot| {
            snapshot.record.parts.iter().map(move |part| PartAt { snapshot, part })
        });
        Goal {
            parts: saved.collect(),
            removals: self.added.clone(),
            asked: format!("undo of {}", self.asked),
        }
    }

    /// Says what [`undo`] would do.
    pub fn plan(
        &self,
        repo: &Repository,
        request: &Request,
        observer: &dyn Observer,
    ) -> Result<Vec<Site>, ops::Error> {
        super::plan(repo, &self.goal(), request, observer)
    }
}

/// Takes the last live restore back. It makes a safety snapshot of its own, so that it can be
/// undone too.
pub fn undo(
    repo: &Repository,
    request: &Request,
    observer: &dyn Observer,
) -> Result<Report, ops::Error> {
    let undo = Undo::last(repo)?;
    run(repo, &undo.goal(), request, observer)
}
