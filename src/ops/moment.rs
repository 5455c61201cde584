//! Which snapshot, or which composition of snapshots, a person means.
//!
//! An id prefix and `latest~N` are exactly one snapshot. `latest` and a time are a *moment*: of
//! every part that was configured then, the newest snapshot at or before it that holds the part. A
//! shop that saves its database hourly and its uploads weekly gets both back from one word.
//! `latest` passes over safety snapshots: what was about to be replaced is rarely what is wanted
//! back. Pure: time, zone and snapshots are handed in.

mod parse;

use crate::{
    clock::UnixNanos,
    format::record::{Part, PartKind, Trigger},
    repo::Snapshot,
};

/// What stands for a snapshot on a command line: `SNAP[:PART[/PATH]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub when: When,
    pub item: Option<Item>,
    /// What was typed for `when`, for messages.
    pub text: String,
}

/// A point in the history of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// The snapshot whose id begins so.
    Id(String),
    /// The snapshot so many before the latest.
    Back(usize),
    /// The moment now.
    Latest,
    /// The moment just before this time.
    Before(UnixNanos),
}

/// Something inside a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub part: String,
    /// Names from the root of the part down; empty for the root.
    pub path: Vec<Vec<u8>>,
}

/// Whether parts may come from several snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compose {
    #[default]
    Allow,
    Refuse,
}

/// A restorable whole: which snapshot each part is taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment<'a> {
    /// The newest snapshot in it, which says what was configured.
    pub snapshot: &'a Snapshot,
    /// In the order of the configuration.
    pub parts: Vec<PartAt<'a>>,
    /// Parts that were configured, but that no snapshot up to then holds.
    pub absent: Vec<(&'a str, PartKind)>,
}

/// A part and the snapshot that holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartAt<'a> {
    pub snapshot: &'a Snapshot,
    pub part: &'a Part,
}

/// Why nothing could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("`{text}` names no snapshot: {why}")]
    NotASelector { text: String, why: &'static str },
    #[error("there is no snapshot yet")]
    NoSnapshots,
    #[error("no snapshot has an id that begins with `{prefix}`")]
    UnknownId { prefix: String },
    #[error("{} snapshots have an id that begins with `{prefix}`", ids.len())]
    AmbiguousId { prefix: String, ids: Vec<String> },
    #[error("there are {count} snapshots, too few for `latest~{back}`")]
    TooFarBack { back: usize, count: usize },
    #[error("no snapshot is as old as `{text}`")]
    NothingBefore { text: String, oldest: UnixNanos },
    #[error("no single snapshot holds all of `{text}`")]
    NotWhole { text: String, snapshot: String, elsewhere: Vec<String> },
    #[error("no part is named `{part}` in `{text}`")]
    UnknownPart { part: String, text: String, known: Vec<String> },
}

impl Selector {
    /// Chooses among the committed snapshots, oldest first.
    pub fn choose<'a>(
        &self,
        snapshots: &'a [Snapshot],
        compose: Compose,
    ) -> Result<Moment<'a>, Error> {
        let last = newest_kept(snapshots).ok_or(Error::NoSnapshots)?;
        match &self.when {
            When::Id(prefix) => by_prefix(snapshots, prefix).map(exactly),
            When::Back(back) => {
                let mut counted: Vec<&Snapshot> =
                    snapshots.iter().filter(|one| is_kept(one)).collect();
                if counted.is_empty() {
                    counted = snapshots.iter().collect();
                }
                let count = counted.len();
                let at = count.checked_sub(back + 1);
                at.map(|at| exactly(counted[at])).ok_or(Error::TooFarBack { back: *back, count })
            }
            When::Latest => self.compose(snapshots, last, (compose, part_kept)),
            When::Before(end) => {
                let newest = snapshots.iter().rposition(|snapshot| snapshot.record.created < *end);
                let newest = newest.ok_or_else(|| Error::NothingBefore {
                    text: self.text.clone(),
                    oldest: oldest(snapshots),
                })?;
                let until = &snapshots[..=newest];
                self.compose(until, &snapshots[newest], (compose, newest_part))
            }
        }
    }

    /// Chooses exactly one snapshot, for what must not befall another by mistake.
    ///
    /// # Errors
    /// A time is refused: who types one may think of another snapshot than the one before it.
    pub fn one<'a>(&self, snapshots: &'a [Snapshot]) -> Result<&'a Snapshot, Error> {
        let refuse = |why| Err(Error::NotASelector { text: self.text.clone(), why });
        match &self.when {
            _ if self.item.is_some() => refuse("name a whole snapshot, without a part"),
            When::Before(_) => refuse("name one snapshot: by its id, or as `latest~N`"),
            When::Latest => snapshots.last().ok_or(Error::NoSnapshots),
            When::Id(_) | When::Back(_) => {
                self.choose(snapshots, Compose::Refuse).map(|moment| moment.snapshot)
            }
        }
    }

    fn compose<'a>(
        &self,
        snapshots: &'a [Snapshot],
        newest: &'a Snapshot,
        (compose, part_in): (Compose, PartIn),
    ) -> Result<Moment<'a>, Error> {
        let mut moment = Moment { snapshot: newest, parts: Vec::new(), absent: Vec::new() };
        for (name, kind) in configured(newest) {
            match part_in(snapshots, name) {
                Some(found) => moment.parts.push(found),
                None => moment.absent.push((name, kind)),
            }
        }
        if compose == Compose::Refuse && !moment.is_one_snapshot() {
            return Err(Error::NotWhole {
                text: self.text.clone(),
                snapshot: newest.id.to_string(),
                elsewhere: moment.elsewhere(),
            });
        }
        Ok(moment)
    }
}

impl<'a> Moment<'a> {
    /// Whether one snapshot holds all of it.
    pub fn is_one_snapshot(&self) -> bool {
        self.absent.is_empty() && self.parts.iter().all(|at| at.snapshot.id == self.snapshot.id)
    }

    /// Finds a part by its name; `text` is what was typed, for the message.
    pub fn part(&self, name: &str, text: &str) -> Result<PartAt<'a>, Error> {
        let found = self.parts.iter().find(|at| at.part.name == name).copied();
        found.ok_or_else(|| Error::UnknownPart {
            part: name.to_owned(),
            text: text.to_owned(),
            known: self.parts.iter().map(|at| at.part.name.clone()).collect(),
        })
    }

    /// Names of the parts that the newest snapshot lacks.
    fn elsewhere(&self) -> Vec<String> {
        let older = self.parts.iter().filter(|at| at.snapshot.id != self.snapshot.id);
        let older = older.map(|at| at.part.name.as_str());
        older.chain(self.absent.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }
}

/// Finds the one snapshot whose id begins so.
pub fn by_prefix<'a>(snapshots: &'a [Snapshot], prefix: &str) -> Result<&'a Snapshot, Error> {
    let begins = |snapshot: &&Snapshot| snapshot.id.to_string().starts_with(prefix);
    let found: Vec<&Snapshot> = snapshots.iter().filter(begins).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::UnknownId { prefix: prefix.to_owned() }),
        _ => Err(Error::AmbiguousId {
            prefix: prefix.to_owned(),
            ids: found.iter().map(|snapshot| snapshot.id.to_string()).collect(),
        }),
    }
}

fn exactly(snapshot: &Snapshot) -> Moment<'_> {
    let parts = snapshot.record.parts.iter().map(|part| PartAt { snapshot, part }).collect();
    Moment { snapshot, parts, absent: Vec::new() }
}

/// Names of all parts that the snapshot knows of, each once, in the order of the configuration.
fn configured(snapshot: &Snapshot) -> Vec<(&str, PartKind)> {
    let listed = snapshot.record.configured.iter().map(|(name, kind)| (name.as_str(), *kind));
    let held = snapshot.record.parts.iter().map(|part| (part.name.as_str(), part.kind));
    let mut all: Vec<(&str, PartKind)> = Vec::new();
    for (name, kind) in listed.chain(held) {
        if all.iter().all(|(known, _)| *known != name) {
            all.push((name, kind));
        }
    }
    all
}

/// Finds a part of this name in the snapshots up to a moment.
type PartIn = for<'a> fn(&'a [Snapshot], &str) -> Option<PartAt<'a>>;

fn newest_part<'a>(snapshots: &'a [Snapshot], name: &str) -> Option<PartAt<'a>> {
    snapshots.iter().rev().find_map(|snapshot| part_of(snapshot, name))
}

/// What was saved only because it was about to be replaced is not what `latest` means, unless
/// there is nothing else.
fn part_kept<'a>(snapshots: &'a [Snapshot], name: &str) -> Option<PartAt<'a>> {
    let mut kept = snapshots.iter().rev().filter(|snapshot| is_kept(snapshot));
    kept.find_map(|snapshot| part_of(snapshot, name)).or_else(|| newest_part(snapshots, name))
}

fn newest_kept(snapshots: &[Snapshot]) -> Option<&Snapshot> {
    snapshots.iter().rev().find(|snapshot| is_kept(snapshot)).or(snapshots.last())
}

fn is_kept(snapshot: &Snapshot) -> bool {
    snapshot.record.trigger != Trigger::Safety
}

fn part_of<'a>(snapshot: &'a Snapshot, name: &str) -> Option<PartAt<'a>> {
    let part = snapshot.record.parts.iter().find(|part| part.name == name)?;
    Some(PartAt { snapshot, part })
}

fn oldest(snapshots: &[Snapshot]) -> UnixNanos {
    snapshots.iter().map(|snapshot| snapshot.record.created).min().unwrap_or_default()
}

#[cfg(test)]
mod tests;
