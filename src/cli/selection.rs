//! What a SNAP on the command line chooses in a repository.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{
    cli::{
        context::{Context, warn_of_damaged},
        error::Error,
    },
    config::Config,
    id::SnapshotId,
    ops::moment::{self, Compose, Moment, PartAt, Selector},
    repo::{Repository, Snapshot},
};

/// A SNAP, and the snapshots that it chooses from.
pub struct Selection {
    pub selector: Selector,
    snapshots: Vec<Snapshot>,
}

impl Selection {
    pub fn new(
        context: &Context,
        config: &Config,
        repository: &Repository,
        snap: &OsStr,
    ) -> Result<Self, Error> {
        let selector = Selector::parse(snap.as_bytes(), context.now(), &config.zone)?;
        let loaded = repository.snapshots()?;
        warn_of_damaged(&context.output, &loaded.damaged);
        Ok(Self { selector, snapshots: loaded.snapshots })
    }

    /// Another SNAP of the same repository.
    pub fn also(&self, context: &Context, config: &Config, snap: &OsStr) -> Result<Self, Error> {
        let selector = Selector::parse(snap.as_bytes(), context.now(), &config.zone)?;
        Ok(Self { selector, snapshots: self.snapshots.clone() })
    }

    /// All snapshots that it chooses from, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Chooses.
    pub fn moment(&self, compose: Compose) -> Result<Moment<'_>, Error> {
        Ok(self.selector.choose(&self.snapshots, compose)?)
    }

    /// The part that was named, and the path inside it.
    pub fn part<'a>(&self, moment: &Moment<'a>) -> Result<(PartAt<'a>, &[Vec<u8>]), Error> {
        let text = &self.selector.text;
        let Some(item) = &self.selector.item else {
            let known: Vec<&str> = moment.parts.iter().map(|at| at.part.name.as_str()).collect();
            let message = format!("`{text}` names no part; it has: {}", known.join(", "));
            return Err(Error::Usage { message, help: "write it as SNAP:PART/PATH" });
        };
        Ok((moment.part(&item.part, text)?, &item.path))
    }

    /// The parts that were chosen: the one that was named, or all.
    pub fn parts<'a>(&self, moment: &Moment<'a>) -> Result<Vec<PartAt<'a>>, Error> {
        match &self.selector.item {
            None => Ok(moment.parts.clone()),
            Some(item) => Ok(vec![moment.part(&item.part, &self.selector.text)?]),
        }
    }

    /// The path inside the part that was named.
    pub fn path(&self) -> &[Vec<u8>] {
        self.selector.item.as_ref().map(|item| item.path.as_slice()).unwrap_or_default()
    }
}

/// The one snapshot that a SNAP names: for what must not befall another by mistake.
pub fn one(
    context: &Context,
    config: &Config,
    snap: &OsStr,
    snapshots: &[Snapshot],
) -> Result<SnapshotId, Error> {
    let selector = Selector::parse(snap.as_bytes(), context.now(), &config.zone)?;
    Ok(selector.one(snapshots)?.id)
}

/// The one snapshot whose id begins so.
pub fn by_id(snap: &OsStr, snapshots: &[Snapshot]) -> Result<SnapshotId, Error> {
    Ok(moment::by_prefix(snapshots, &snap.to_string_lossy().to_ascii_lowercase())?.id)
}

/// What `--exact` says.
pub const fn compose(exact: bool) -> Compose {
    if exact { Compose::Refuse } else { Compose::Allow }
}
