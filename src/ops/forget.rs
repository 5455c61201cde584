//! Forgetting, by policy or by name: planned, shown, and only then done. Pinning, and taking either
//! back.
//!
//! Nothing is deleted here. A forgotten snapshot lies in the trash until its time is over, and can
//! be had back until a prune takes it. Whoever forgets looks again when the markers are durable: if
//! somebody pinned meanwhile what goes, or forgot what was to stay, the markers concerned are taken
//! back.

use std::{collections::HashSet, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    backend::ObjectName,
    clock::UnixNanos,
    id::SnapshotId,
    ops::{
        Error,
        event::{Event, Meter, Observer, Phase},
        retention::{self, Candidate, Choice, Decision, Reason},
    },
    repo::{self, Lock, Repository, history::History, marks, reach},
};

const LOCK: &str = "forget.lock";
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// What goes and what stays, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Newest first.
    pub decisions: Vec<Decision>,
    /// How many snapshots were asked about: those of the groups, or all.
    pub asked: usize,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub snapshots: Vec<SnapshotId>,
    /// What others pinned, or came to be the last of its group, while this ran.
    pub taken_back: Vec<SnapshotId>,
}

/// Whether more than half may go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    Refuse,
    Allow,
}

impl Plan {
    /// Decides for every snapshot that is not forgotten.
    ///
    /// # Errors
    /// A pin that cannot be read may protect anything, and a clock that is behind can tell nothing:
    /// then nothing goes.
    pub fn new(
        history: &History,
        choice: Choice<'_>,
        now: UnixNanos,
        zone: &TimeZone,
    ) -> Result<Self, Error> {
        if let Some(pin) = history.marks.unreadable_pin() {
            return Err(Error::UnreadablePin { name: pin.to_string() });
        }
        let candidates = Candidate::all(history, now);
        let decisions = retention::decide(&candidates, choice, now, zone)?;
        let is_asked = |decision: &&Decision| match choice {
            Choice::Named(_) => true,
            Choice::Policy(..) => !decision.reasons.contains(&Reason::NotAsked),
        };
        Ok(Self { asked: decisions.iter().filter(is_asked).count(), decisions })
    }

    /// What goes.
    pub fn going(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.reasons.is_empty())
    }

    /// Whether more than half of what was asked about goes.
    pub fn is_most(&self) -> bool {
        self.going().count() * 2 > self.asked
    }

    /// Returns the stored bytes that only those snapshots reach that go.
    pub fn freed_bytes(&self, repo: &Repository, history: &History) -> Result<u64, Error> {
        let going: HashSet<SnapshotId> = self.going().map(|decision| decision.id).collect();
        if going.is_empty() {
            return Ok(0);
        }
        let records = |goes: bool| {
            let of = history.shown().rev().filter(|one| going.contains(&one.id) == goes);
            of.map(|snapshot| &snapshot.record).collect::<Vec<_>>()
        };
        let (stay, go) = (records(false), records(true));
        Ok(reach::freed_bytes(repo, stay.into_iter(), go.into_iter())?)
    }
}

/// Keeps others of this machine from forgetting until it is dropped; plan and execute under it.
pub fn lock(repo: &Repository) -> Result<Lock, Error> {
    let lock = repo.lock(LOCK, LOCK_WAIT)?;
    let what = "another run on this machine is forgetting snapshots".to_owned();
    Ok(lock.ok_or(repo::Error::Busy { what })?)
}

/// Forgets what the plan says. Each marker is durable before the next one is begun; a run that dies
/// has forgotten some of them.
pub fn execute(
    repo: &Repository,
    plan: &Plan,
    (reason, most): (&str, Most),
    observer: &dyn Observer,
) -> Result<Forgotten, Error> {
    let count = plan.going().count();
    if most == Most::Refuse && plan.is_most() {
        return Err(Error::TooMany { going: count, of: plan.asked });
    }
    let env = repo.environment();
    observer.observe(&Event::Phase { phase: Phase::Forget, item: String::new() });
    let meter = Meter::new(observer, &*env.clock).with_totals(0, count as u64);
    let mut markers = Vec::with_capacity(count);
    for decision in plan.going() {
        if env.stop.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        markers.push((decision.id, marks::forget(repo, decision.id, reason)?));
        meter.add(0, 1, decision.id.to_string().as_bytes());
        let message = format!("forgotten: {reason}");
        observer.observe(&Event::Note { item: decision.id.to_string(), message });
    }
    let is_stopped = markers.len() < count;
    let taken_back = look_again(repo, &markers, observer)?;
    if is_stopped {
        return Err(Error::Stopped);
    }
    let stays = |id: &SnapshotId| !taken_back.contains(id);
    let snapshots = markers.iter().map(|(id, _)| *id).filter(stays).collect();
    Ok(Forgotten { snapshots, taken_back })
}

/// Takes back what must not go as things are now: whoever pins or forgets at the same time stores
/// first and then looks, so that one of both sees the other.
fn look_again(
    repo: &Repository,
    markers: &[(SnapshotId, ObjectName)],
    observer: &dyn Observer,
) -> Result<Vec<SnapshotId>, Error> {
    if markers.is_empty() {
        return Ok(Vec::new());
    }
    let history = repo.history()?;
    let now = repo.environment().clock.now();
    let ours: HashSet<SnapshotId> = markers.iter().map(|(id, _)| *id).collect();
    let candidates = Candidate::all_with(&history, &ours, now);
    let named = Choice::Named(&ours);
    let decisions = retention::decide(&candidates, named, now, &TimeZone::UTC)?;
    let has_reason = |decision: &&Decision| !decision.reasons.is_empty();
    let stay: HashSet<SnapshotId> =
        decisions.iter().filter(has_reason).map(|decision| decision.id).collect();
    let is_all = history.marks.unreadable_pin().is_some();
    let mut taken_back = Vec::new();
    for (id, marker) in markers.iter().filter(|(id, _)| is_all || stay.contains(id)) {
        marks::rescind(repo, marker)?;
        let message = "stays: it was pinned, or others were forgotten, meanwhile".to_owned();
        observer.observe(&Event::Warning { item: id.to_string(), message });
        taken_back.push(*id);
    }
    Ok(taken_back)
}

/// Takes snapshots out of the trash; durable on return. One that was not forgotten stays as it is.
pub fn undelete(
    repo: &Repository,
    snapshots: &[SnapshotId],
    observer: &dyn Observer,
) -> Result<usize, Error> {
    let mut count = 0;
    for id in snapshots {
        if marks::undelete(repo, *id)? > 0 {
            count += 1;
            let message = "undeleted".to_owned();
            observer.observe(&Event::Note { item: id.to_string(), message });
        }
    }
    Ok(count)
}

/// Pins a snapshot; durable on return.
pub fn pin(
    repo: &Repository,
    snapshot: SnapshotId,
    (reason, until): (&str, Option<UnixNanos>),
    observer: &dyn Observer,
) -> Result<(), Error> {
    marks::pin(repo, snapshot, reason, until)?;
    let message = format!("pinned: {reason}");
    observer.observe(&Event::Note { item: snapshot.to_string(), message });
    Ok(())
}

/// Takes every pin of a snapshot away; durable on return. Returns how many there were.
pub fn unpin(
    repo: &Repository,
    snapshot: SnapshotId,
    observer: &dyn Observer,
) -> Result<usize, Error> {
    let count = marks::unpin(repo, snapshot)?;
    let message = format!("unpinned: {count} pins taken away");
    observer.observe(&Event::Note { item: snapshot.to_string(), message });
    Ok(count)
}
