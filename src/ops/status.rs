//! Am I safe? One verdict, one sentence, and what to do about it. Pure: what is known is handed in,
//! and every face shows the same words.
//!
//! The worst rule wins. *Safe*: every set is inside 1.25 of its interval, a drill of the last seven
//! days passed, and a copy elsewhere is known to be up to date. *At risk*: a set is overdue by two
//! intervals, the last two backups failed, a drill failed, or a set lost more than half of its size
//! or rows.

mod copies;

use std::time::Duration;

pub use copies::CopyView;

use crate::{
    clock::UnixNanos,
    format::record::{Outcome, PartKind},
    ops::words::counted,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A proof older than this proves little.
const PROOF_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// What a set shrank to is compared with the median of so many snapshots before.
pub const SIZES_COMPARED: usize = 10;

/// What is known.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub now: UnixNanos,
    pub sets: Vec<SetView>,
    /// When the last drill began, and whether it passed.
    pub drill: Option<(UnixNanos, bool)>,
    /// Of the last backups, how many failed in a row.
    pub failed_in_a_row: usize,
    pub repository: Lies,
    /// Mirrors, as far as is known of them without asking them.
    pub copies: Vec<CopyView>,
}

/// Where the repository itself lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lies {
    #[default]
    OnThisMachine,
    /// Somewhere that does not die with this machine.
    Elsewhere,
}

/// One set.
#[derive(Debug, Clone)]
pub struct SetView {
    pub name: String,
    pub kind: PartKind,
    /// How often it is to be saved; nothing if nobody said.
    pub interval: Option<Duration>,
    pub newest: Option<Newest>,
    /// Sizes and rows of the snapshots before the newest, newest first.
    pub before: Vec<(u64, Option<u64>)>,
}

/// The newest snapshot of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    pub snapshot: String,
    pub created: UnixNanos,
    pub outcome: Outcome,
    pub bytes: u64,
    pub rows: Option<u64>,
}

/// From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Safe,
    SafeBut,
    AtRisk,
    NotProtected,
}

impl Verdict {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::SafeBut => "safe_but",
            Self::AtRisk => "at_risk",
            Self::NotProtected => "not_protected",
        }
    }
}

/// One thing that keeps the verdict from being better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub verdict: Verdict,
    pub what: String,
    /// The one thing to do about it.
    pub command: &'static str,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub verdict: Verdict,
    /// What every face shows.
    pub sentence: String,
    /// Time whose work would be lost with this machine; nothing if all of it would be.
    pub exposure: Option<Duration>,
    /// The worst first.
    pub reasons: Vec<Reason>,
}

/// Judges.
pub fn judge(view: &View) -> Status {
    let mut reasons = reasons(view);
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    let verdict = reasons.first().map_or(Verdict::Safe, |reason| reason.verdict);
    let exposure = copies::exposure(view);
    let first = reasons.first().map(|reason| reason.what.as_str()).unwrap_or_default();
    let head = match verdict {
        Verdict::Safe => "Safe.".to_owned(),
        Verdict::SafeBut => format!("Safe, but {first}."),
        Verdict::AtRisk => format!("At risk: {first}."),
        Verdict::NotProtected => format!("Not protected yet: {first}."),
    };
    let sentence = match verdict {
        Verdict::NotProtected => head,
        _ => format!("{head} {} {}", loss(view, exposure), proof(view)),
    };
    Status { verdict, sentence, exposure, reasons }
}

fn reasons(view: &View) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if view.sets.iter().all(|set| set.newest.is_none()) {
        let what = "there is no backup".to_owned();
        reasons.push(Reason { verdict: Verdict::NotProtected, what, command: "stillpoint backup" });
        return reasons;
    }
    for set in &view.sets {
        reasons.extend(of_set(view, set));
    }
    if view.failed_in_a_row >= 2 {
        let what = format!("the last {} backups failed", view.failed_in_a_row);
        reasons.push(Reason { verdict: Verdict::AtRisk, what, command: "stillpoint runs" });
    }
    let drill = |verdict, what: &str| Reason {
        verdict,
        what: what.to_owned(),
        command: "stillpoint drill",
    };
    match view.drill {
        Some((_, false)) => reasons.push(drill(Verdict::AtRisk, "the last restore drill failed")),
        None => reasons.push(drill(Verdict::SafeBut, "no restore was ever proven")),
        Some((began, true)) if age(view, began) > PROOF_MAX => {
            reasons.push(drill(Verdict::SafeBut, "the last proof of a restore is old"));
        }
        Some(_) => {}
    }
    reasons.extend(copies::reasons(view));
    reasons
}

fn of_set(view: &View, set: &SetView) -> Vec<Reason> {
    let reason = |verdict, what: String| Reason { verdict, what, command: "stillpoint backup" };
    let Some(newest) = &set.newest else {
        return vec![reason(Verdict::AtRisk, format!("{} was never saved", set.name))];
    };
    let mut reasons = Vec::new();
    let (age, interval) = (age(view, newest.created), interval(set));
    if age > interval * 3 {
        let what = format!("{} was last saved {} ago", set.name, roughly(age));
        reasons.push(reason(Verdict::AtRisk, what));
    } else if age > interval * 5 / 4 {
        let what = format!("{} is late: last saved {} ago", set.name, roughly(age));
        reasons.push(reason(Verdict::SafeBut, what));
    }
    match newest.outcome {
        Outcome::Complete => {}
        Outcome::Incomplete => {
            let what = format!("something of {} could not be read", set.name);
            reasons.push(Reason { command: "stillpoint runs", ..reason(Verdict::SafeBut, what) });
        }
        Outcome::Damaged => {
            let what = format!("{} is damaged", set.name);
            reasons.push(Reason { command: "stillpoint runs", ..reason(Verdict::AtRisk, what) });
        }
    }
    let halved = |now: u64, before: Vec<u64>| median(before).is_some_and(|usual| now < usual / 2);
    let bytes = set.before.iter().map(|(bytes, _)| *bytes).collect();
    let rows: Vec<u64> = set.before.iter().filter_map(|(_, rows)| *rows).collect();
    if halved(newest.bytes, bytes) || newest.rows.is_some_and(|now| halved(now, rows)) {
        let what = format!("{} holds less than half of what it usually does", set.name);
        let command = "stillpoint diff latest~1 latest";
        reasons.push(Reason { command, ..reason(Verdict::AtRisk, what) });
    }
    reasons
}

/// Databases are expected daily where nobody says otherwise, and files weekly.
fn interval(set: &SetView) -> Duration {
    set.interval.unwrap_or(if set.kind == PartKind::Database { DAY } else { 7 * DAY })
}

fn loss(view: &View, exposure: Option<Duration>) -> String {
    match exposure {
        Some(exposure) => format!(
            "If this machine died now you would lose at most {} of work.",
            roughly(exposure)
        ),
        None if copies::is_anything_elsewhere(view) => {
            "If this machine died now you would lose what was never copied elsewhere.".to_owned()
        }
        None => "If this machine died now, with its disks, you would lose everything.".to_owned(),
    }
}

fn proof(view: &View) -> String {
    match view.drill {
        Some((began, true)) => {
            format!("A restore was last proven {} ago.", roughly(age(view, began)))
        }
        Some((began, false)) => format!("A restore failed {} ago.", roughly(age(view, began))),
        None => "A restore was never proven.".to_owned(),
    }
}

/// No finer than what a person acts on.
fn roughly(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0..2 => "a minute".to_owned(),
        2..120 => counted(minutes, "minute"),
        120..2880 => counted(minutes / 60, "hour"),
        _ => counted(minutes / 1440, "day"),
    }
}

fn age(view: &View, of: UnixNanos) -> Duration {
    Duration::from_nanos(u64::try_from(view.now.saturating_sub(of)).unwrap_or(0))
}

fn median(mut of: Vec<u64>) -> Option<u64> {
    of.sort_unstable();
    // Of two or fewer nothing is usual.
    if of.len() < 3 { None } else { of.get(of.len() / 2).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn ago(now: UnixNanos, hours: u64) -> UnixNanos {
        now - i64::try_from((HOUR * hours as u32).as_nanos()).unwrap()
    }

    /// A shop that is saved every hour, half an hour ago, with a copy elsewhere and a proof.
    fn safe() -> View {
        let now = 1_800_000_000_000_000_000;
        let newest = |hours| Newest {
            snapshot: "8f21".to_owned(),
            created: ago(now, hours),
            outcome: Outcome::Complete,
            bytes: 100,
            rows: Some(1000),
        };
        let set = |name: &str, kind, interval, hours| SetView {
            name: name.to_owned(),
            kind,
            interval,
            newest: Some(newest(hours)),
            before: vec![(100, Some(1000)); SIZES_COMPARED],
        };
        View {
            now,
            sets: vec![
                set("pos", PartKind::Database, Some(HOUR), 1),
                set("uploads", PartKind::Files, None, 24),
            ],
            drill: Some((ago(now, 30), true)),
            failed_in_a_row: 1,
            repository: Lies::OnThisMachine,
            copies: vec![CopyView {
                name: "away".to_owned(),
                reached: Some(ago(now, 1)),
                failure: None,
                newest: vec![Some(ago(now, 1)), Some(ago(now, 24))],
            }],
        }
    }

    fn changed(change: impl FnOnce(&mut View)) -> Status {
        let mut view = safe();
        change(&mut view);
        judge(&view)
    }

    #[test]
    fn a_shop_in_order_is_safe_and_knows_what_it_would_lose() {
        let status = judge(&safe());

        assert_eq!((status.verdict, status.reasons.len()), (Verdict::Safe, 0));
        assert_eq!(status.exposure, Some(HOUR * 24));
        assert!(status.sentence.starts_with("Safe. If this machine died now you would lose at"));
    }

    #[test]
    fn the_worst_rule_wins() {
        for (status, verdict) in [
            (changed(|view| view.drill = None), Verdict::SafeBut),
            (changed(|view| view.drill = Some((ago(view.now, 24 * 8), true))), Verdict::SafeBut),
            (changed(|view| view.drill = Some((ago(view.now, 1), false))), Verdict::AtRisk),
            (changed(|view| view.copies.clear()), Verdict::SafeBut),
            (changed(|view| view.failed_in_a_row = 2), Verdict::AtRisk),
            (changed(|view| view.now += 3_600_000_000_000), Verdict::SafeBut),
            (changed(|view| view.now += 3 * 3_600_000_000_000), Verdict::AtRisk),
            (changed(|view| view.sets[1].newest = None), Verdict::AtRisk),
            (
                changed(|view| view.sets.iter_mut().for_each(|set| set.newest = None)),
                Verdict::NotProtected,
            ),
        ] {
            assert_eq!(status.verdict, verdict, "{}", status.sentence);
            assert!(!status.reasons.is_empty());
        }
    }

    #[test]
    fn a_set_that_lost_half_of_its_rows_or_bytes_is_a_warning() {
        let rows = changed(|view| view.sets[0].newest.as_mut().unwrap().rows = Some(400));
        let bytes = changed(|view| view.sets[1].newest.as_mut().unwrap().bytes = 49);
        let usual = changed(|view| view.sets[1].newest.as_mut().unwrap().bytes = 51);

        assert_eq!((rows.verdict, bytes.verdict), (Verdict::AtRisk, Verdict::AtRisk));
        assert_eq!(usual.verdict, Verdict::Safe);
    }

    #[test]
    fn without_a_copy_elsewhere_everything_would_be_lost() {
        for status in [
            changed(|view| view.copies.clear()),
            changed(|view| view.copies[0].newest = vec![None; 2]),
        ] {
            assert_eq!(status.exposure, None);
            assert!(status.sentence.contains("you would lose everything"), "{}", status.sentence);
        }
    }

    #[test]
    fn a_repository_elsewhere_needs_no_copy() {
        let status = changed(|view| {
            view.repository = Lies::Elsewhere;
            view.copies.clear();
        });

        assert_eq!((status.verdict, status.exposure), (Verdict::Safe, Some(HOUR * 24)));
    }

    #[test]
    fn a_copy_counts_for_what_it_is_known_to_hold() {
        let behind = changed(|view| view.copies[0].newest[0] = Some(ago(view.now, 30)));
        let partly = changed(|view| view.copies[0].newest[1] = None);
        let second = changed(|view| {
            let better = CopyView { name: "other".to_owned(), ..view.copies[0].clone() };
            view.copies[0].newest = vec![Some(ago(view.now, 2)), Some(ago(view.now, 48))];
            view.copies.push(better);
        });

        assert_eq!((behind.verdict, behind.exposure), (Verdict::SafeBut, Some(HOUR * 30)));
        assert!(behind.sentence.contains("away is behind"), "{}", behind.sentence);
        assert_eq!((partly.verdict, partly.exposure), (Verdict::SafeBut, None));
        assert!(partly.sentence.contains("never copied elsewhere"), "{}", partly.sentence);
        assert_eq!((second.verdict, second.exposure), (Verdict::Safe, Some(HOUR * 24)));
    }

    #[test]
    fn a_copy_that_is_not_heard_of_is_a_caution() {
        for (status, word) in [
            (changed(|view| view.copies[0].reached = None), "nothing was copied to away yet"),
            (changed(|view| view.copies[0].reached = Some(ago(view.now, 24 * 8))), "8 days"),
            (
                changed(|view| view.copies[0].failure = Some("no such host".to_owned())),
                "away was not brought up to date: no such host",
            ),
        ] {
            assert_eq!(status.verdict, Verdict::SafeBut);
            assert!(status.sentence.contains(word), "{}", status.sentence);
        }
    }
}
