//! Which snapshots stay and which go, and why. Pure: history, policy, time and zone are handed in.
//!
//! What always holds, whatever a policy says:
//!
//! - A pinned snapshot stays.
//! - A group that has snapshots keeps at least one.
//! - When the newest image of a database is damaged, the newest sound one stays.
//! - A snapshot that is dated in the future stays and counts for nothing, so that no clock that was
//!   wrong pushes out what is real. When one lies more than a day ahead, no policy is applied: more
//!   likely than the snapshot, the present clock is wrong.
//! - Age is counted in witnessed time (`format-spec/70-write-order.md`), so that a clock that jumps
//!   ahead makes nothing old. The other rules count snapshots, not days.

mod policy;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use policy::{Kept, Units};
pub use policy::{NotALength, Policies, Policy, Rule, Within};

use crate::{
    clock::UnixNanos,
    format::record::{Outcome, PartKind, Record},
    id::SnapshotId,
    repo::{
        Snapshot,
        history::{History, Witness},
    },
};

/// How far ahead of the clock a snapshot may be dated before no policy is applied any more.
pub const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a snapshot holds decides which policy it falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Databases, with or without configuration; also with files, if a configured part is missing.
    Database,
    /// No database.
    Files,
    /// Databases and files: all parts that were configured.
    Complete,
}

/// What retention knows of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: SnapshotId,
    pub created: UnixNanos,
    pub group: Group,
    /// Why it is pinned.
    pub pin: Option<String>,
    /// Its databases, and whether their own check found them sound.
    pub databases: Vec<(String, Soundness)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    Sound,
    Damaged,
}

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// What the policies of these groups do not keep goes.
    Policy(&'a Policies, &'a [Group]),
    /// These go.
    Named(&'a HashSet<SnapshotId>),
}

/// The verdict on one snapshot. Without a reason to stay it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub id: SnapshotId,
    pub created: UnixNanos,
    pub group: Group,
    pub reasons: Vec<Reason>,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Pinned(String),
    /// The newest of the so many-th newest unit.
    Rule(Rule, u32),
    /// The oldest of all, while the rule has not found as many units as it may keep.
    OldestFor(Rule),
    Within(Within),
    /// Dated after the present moment.
    InFuture,
    /// The newest image of this database is damaged, and this is the newest sound one.
    LastSound(String),
    /// Nothing else of its group stays.
    LastOfGroup,
    /// Its group has no policy, or is not asked about.
    NotAsked,
}

/// A snapshot is dated so far ahead that the clock is rather behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("snapshot {snapshot} is dated more than a day ahead")]
pub struct ClockBehind {
    pub snapshot: SnapshotId,
    pub created: UnixNanos,
    pub now: UnixNanos,
}

impl Group {
    pub const ALL: [Self; 3] = [Self::Database, Self::Files, Self::Complete];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Files => "files",
            Self::Complete => "complete",
        }
    }

    /// The group of a snapshot, by the parts that it holds.
    pub fn of(record: &Record) -> Self {
        let holds = |name: &str| record.parts.iter().any(|part| part.name == name);
        let has = |kinds: &[PartKind]| record.parts.iter().any(|part| kinds.contains(&part.kind));
        let has_all = record.configured.iter().all(|(name, _)| holds(name));
        match (has(&[PartKind::Database]), has(&[PartKind::Files, PartKind::Cache])) {
            (false, _) => Self::Files,
            (true, true) if has_all => Self::Complete,
            (true, _) => Self::Database,
        }
    }
}

impl Candidate {
    /// All snapshots that are not forgotten.
    pub fn all(history: &History, now: UnixNanos) -> Vec<Self> {
        Self::all_with(history, &HashSet::new(), now)
    }

    /// All snapshots that are not forgotten, and these.
    pub fn all_with(history: &History, these: &HashSet<SnapshotId>, now: UnixNanos) -> Vec<Self> {
        let candidate = |snapshot: &Snapshot| Self {
            id: snapshot.id,
            created: snapshot.record.created,
            group: Group::of(&snapshot.record),
            pin: history.marks.pin(&snapshot.id, now).map(|pin| pin.reason.clone()),
            databases: databases(&snapshot.record),
        };
        let is_shown = |snapshot: &&Snapshot| {
            !history.marks.is_forgotten(&snapshot.id) || these.contains(&snapshot.id)
        };
        history.snapshots.iter().filter(is_shown).map(candidate).collect()
    }
}

fn databases(record: &Record) -> Vec<(String, Soundness)> {
    let databases = record.parts.iter().filter(|part| part.kind == PartKind::Database);
    let soundness = |outcome| match outcome {
        Outcome::Damaged => Soundness::Damaged,
        Outcome::Complete | Outcome::Incomplete => Soundness::Sound,
    };
    databases.map(|part| (part.name.clone(), soundness(part.outcome))).collect()
}

impl Policies {
    /// The policy of a group among those that have snapshots.
    fn of(&self, group: Group, present: &HashSet<Group>) -> &Policy {
        match group {
            Group::Database => &self.database,
            Group::Files => &self.files,
            Group::Complete if present.contains(&Group::Database) => &self.complete,
            Group::Complete => &self.complete_alone,
        }
    }
}

/// Decides for every snapshot, newest first.
///
/// # Errors
/// [`ClockBehind`] when a policy is asked for and the clock cannot be believed.
pub fn decide(
    candidates: &[Candidate],
    choice: Choice<'_>,
    now: UnixNanos,
    zone: &TimeZone,
) -> Result<Vec<Decision>, ClockBehind> {
    let mut verdicts: Vec<Verdict<'_>> = candidates.iter().map(Verdict::new).collect();
    verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.order()));
    match choice {
        Choice::Named(named) => {
            for verdict in &mut verdicts {
                if !named.contains(&verdict.candidate.id) {
                    verdict.reasons.push(Reason::NotAsked);
                }
            }
        }
        Choice::Policy(policies, groups) => {
            refuse_ahead(&verdicts, now)?;
            apply(&mut verdicts, (policies, groups), now, zone);
        }
    }
    keep_sound(&mut verdicts, now);
    keep_one_of_each_group(&mut verdicts, now);
    Ok(verdicts.into_iter().map(Verdict::decision).collect())
}

/// A decision in the making.
struct Verdict<'a> {
    candidate: &'a Candidate,
    reasons: Vec<Reason>,
}

impl<'a> Verdict<'a> {
    fn new(candidate: &'a Candidate) -> Self {
        Self { candidate, reasons: candidate.pin.clone().map(Reason::Pinned).into_iter().collect() }
    }

    const fn order(&self) -> (UnixNanos, SnapshotId) {
        (self.candidate.created, self.candidate.id)
    }

    const fn is_real(&self, now: UnixNanos) -> bool {
        self.candidate.created <= now
    }

    fn stays(&self) -> bool {
        !self.reasons.is_empty()
    }

    fn decision(self) -> Decision {
        let Candidate { id, created, group, .. } = *self.candidate;
        Decision { id, created, group, reasons: self.reasons }
    }
}

fn refuse_ahead(verdicts: &[Verdict<'_>], now: UnixNanos) -> Result<(), ClockBehind> {
    let Some(newest) = verdicts.first() else { return Ok(()) };
    let ahead = i128::from(newest.candidate.created) - i128::from(now);
    if ahead <= AHEAD_MAX.as_nanos() as i128 {
        return Ok(());
    }
    let Candidate { id, created, .. } = *newest.candidate;
    Err(ClockBehind { snapshot: id, created, now })
}

fn apply(
    verdicts: &mut [Verdict<'_>],
    (policies, asked): (&Policies, &[Group]),
    now: UnixNanos,
    zone: &TimeZone,
) {
    let present: HashSet<Group> = verdicts.iter().map(|verdict| verdict.candidate.group).collect();
    let witness = Witness::new(verdicts.iter().map(|verdict| verdict.candidate.created));
    for group in Group::ALL {
        let policy = policies.of(group, &present);
        let of_group = verdicts.iter_mut().filter(|verdict| verdict.candidate.group == group);
        if policy.is_empty() || !asked.contains(&group) {
            of_group.for_each(|verdict| verdict.reasons.push(Reason::NotAsked));
            continue;
        }
        let (mut real, ahead): (Vec<_>, Vec<_>) =
            of_group.partition(|verdict| verdict.is_real(now));
        ahead.into_iter().for_each(|verdict| verdict.reasons.push(Reason::InFuture));
        count_units(&mut real, policy, zone);
        if let Some(within) = policy.within {
            keep_within(&mut real, within, &witness, zone);
        }
    }
}

/// Goes from the newest snapshot to the oldest; each rule keeps the first that it meets of a unit,
/// until it has kept as many as it may.
fn count_units(real: &mut [&mut Verdict<'_>], policy: &Policy, zone: &TimeZone) {
    let mut rules = Rule::ALL.map(|rule| (rule, Units::new(rule, policy)));
    let oldest = real.len().saturating_sub(1);
    for (number, verdict) in real.iter_mut().enumerate() {
        let at = zoned(verdict.candidate.created, zone);
        for (rule, units) in &mut rules {
            match units.take(number, &at, number == oldest) {
                Some(Kept::Newest(count)) => verdict.reasons.push(Reason::Rule(*rule, count.get())),
                Some(Kept::Oldest) => verdict.reasons.push(Reason::OldestFor(*rule)),
                None => {}
            }
        }
    }
}

fn keep_within(real: &mut [&mut Verdict<'_>], within: Within, witness: &Witness, zone: &TimeZone) {
    let Some(newest) = real.first().map(|verdict| verdict.candidate.created) else { return };
    let end = zoned(newest, zone);
    // A span that leads before the beginning of the calendar keeps all.
    let length = end.checked_sub(within.span()).ok().map(|begin| begin.duration_until(&end));
    let length = length.map_or(Duration::MAX, |length| length.unsigned_abs());
    for verdict in real {
        if witness.elapsed(verdict.candidate.created, newest) < length {
            verdict.reasons.push(Reason::Within(within));
        }
    }
}

/// Where the newest image of a database that stays is damaged, the newest sound one stays too.
fn keep_sound(verdicts: &mut [Verdict<'_>], now: UnixNanos) {
    let mut databases: BTreeMap<&str, Newest> = BTreeMap::new();
    for (at, verdict) in verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_real(now)) {
        for (name, soundness) in &verdict.candidate.databases {
            let newest = databases.entry(name).or_default();
            if verdict.stays() {
                let _ = newest.staying.get_or_insert(*soundness);
            }
            if *soundness == Soundness::Sound {
                let _ = newest.sound.get_or_insert(at);
            }
        }
    }
    let kept = databases.into_iter().filter_map(|(name, newest)| {
        let is_needed = newest.staying == Some(Soundness::Damaged);
        Some((newest.sound.filter(|_| is_needed)?, Reason::LastSound(name.to_owned())))
    });
    for (at, reason) in kept.collect::<Vec<_>>() {
        verdicts[at].reasons.push(reason);
    }
}

/// What is known of one database.
#[derive(Default)]
struct Newest {
    /// How the newest image is that stays.
    staying: Option<Soundness>,
    /// Where the newest sound image is.
    sound: Option<usize>,
}

fn keep_one_of_each_group(verdicts: &mut [Verdict<'_>], now: UnixNanos) {
    for group in Group::ALL {
        let of_group = || {
            let verdicts = verdicts.iter().enumerate();
            verdicts.filter(|(_, verdict)| verdict.candidate.group == group)
        };
        let has_real = of_group().any(|(_, verdict)| verdict.is_real(now));
        let counts = |verdict: &Verdict<'_>| !has_real || verdict.is_real(now);
        if of_group().any(|(_, verdict)| counts(verdict) && verdict.stays()) {
            continue;
        }
        let newest = of_group().find(|(_, verdict)| counts(verdict)).map(|(at, _)| at);
        if let Some(at) = newest {
            verdicts[at].reasons.push(Reason::LastOfGroup);
        }
    }
}

fn zoned(at: UnixNanos, zone: &TimeZone) -> Zoned {
    Timestamp::from_nanosecond(at.into()).unwrap_or_default().to_zoned(zone.clone())
}

#[cfg(test)]
mod tests;
