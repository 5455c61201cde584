//! Everything that was ever committed and is still there: snapshots, forgotten ones too, with their
//! marks. Spec: `format-spec/70-write-order.md`, "Trash time".

use std::{collections::HashSet, time::Duration};

use crate::{
    backend::ObjectName,
    clock::UnixNanos,
    id::SnapshotId,
    repo::{Error, Repository, Snapshot, marks::Marks, snapshots},
};

/// A stretch without any snapshot counts as at most this long: a clock that jumped is no witness.
const STRETCH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// All records of a repository and what is to become of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Oldest first, forgotten ones included.
    pub snapshots: Vec<Snapshot>,
    pub marks: Marks,
    /// Records that do not open in either copy, with the reason.
    pub damaged: Vec<(ObjectName, String)>,
}

impl History {
    /// Reads every record and every mark.
    pub fn load(repo: &Repository) -> Result<Self, Error> {
        // Marks first: what is forgotten meanwhile is a root for this reader still.
        let marks = Marks::load(repo)?;
        let loaded = snapshots::load_where(repo, |_| true)?;
        Ok(Self { snapshots: loaded.snapshots, marks, damaged: loaded.damaged })
    }

    /// What people see: all that is not forgotten, oldest first.
    pub fn shown(&self) -> impl DoubleEndedIterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| !self.marks.is_forgotten(&snapshot.id))
    }

    /// What lies in the trash, oldest first.
    pub fn forgotten(&self) -> impl DoubleEndedIterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| self.marks.is_forgotten(&snapshot.id))
    }

    /// Snapshots that are roots no more: forgotten, not pinned, and their trash time is over.
    pub fn dropped(&self, trash: Duration, now: UnixNanos) -> HashSet<SnapshotId> {
        if self.marks.unreadable_pin().is_some() {
            return HashSet::new();
        }
        let witness = self.witness();
        let is_over = |id: &&SnapshotId| {
            let marker = self.marks.marker(id).expect("every forgotten snapshot has a marker");
            self.marks.pin(id, now).is_none() && witness.elapsed(marker.created, now) >= trash
        };
        self.marks.forgotten().filter(is_over).copied().collect()
    }

    /// What the snapshots themselves say of the time that passed.
    pub fn witness(&self) -> Witness {
        Witness::new(self.snapshots.iter().map(|snapshot| snapshot.record.created))
    }
}

/// Measures time by what was seen to happen in it, so that no clock that jumps makes it pass.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    /// Ascending.
    moments: Vec<UnixNanos>,
}

impl Witness {
    pub fn new(moments: impl IntoIterator<Item = UnixNanos>) -> Self {
        let mut moments: Vec<UnixNanos> = moments.into_iter().collect();
        moments.sort_unstable();
        Self { moments }
    }

    /// Returns how much time certainly passed between the two: of each stretch between neighbouring
    /// moments at most 24 hours.
    pub fn elapsed(&self, from: UnixNanos, to: UnixNanos) -> Duration {
        let begin = self.moments.partition_point(|moment| *moment <= from);
        let end = self.moments.partition_point(|moment| *moment < to);
        let between = self.moments.get(begin..end).unwrap_or_default();
        let mut elapsed = Duration::ZERO;
        let mut last = from;
        for moment in between.iter().copied().chain([to]) {
            let stretch = i128::from(moment) - i128::from(last);
            let stretch = Duration::from_nanos(u64::try_from(stretch).unwrap_or(0));
            elapsed += stretch.min(STRETCH_MAX);
            last = moment;
        }
        elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;
    const DAY: i64 = 24 * HOUR;

    fn days(count: u64) -> Duration {
        STRETCH_MAX * u32::try_from(count).unwrap()
    }

    #[test]
    fn where_there_is_a_snapshot_every_hour_witnessed_time_is_time() {
        let hourly = Witness::new((0..24 * 10).map(|hour| hour * HOUR));

        assert_eq!(hourly.elapsed(DAY, 8 * DAY), days(7));
        assert_eq!(hourly.elapsed(DAY + 5, DAY + 9), Duration::from_nanos(4));
    }

    #[test]
    fn a_clock_that_jumps_ahead_by_years_makes_a_day_pass() {
        let hourly = Witness::new((0..48).map(|hour| hour * HOUR).chain([3650 * DAY]));

        assert_eq!(hourly.elapsed(47 * HOUR, 3650 * DAY), days(1));
        assert_eq!(hourly.elapsed(47 * HOUR, 7300 * DAY), days(2));
        assert_eq!(Witness::default().elapsed(0, 3650 * DAY), days(1));
    }

    #[test]
    fn before_the_beginning_no_time_has_passed() {
        let witness = Witness::new([0, DAY, 2 * DAY]);

        assert_eq!(witness.elapsed(2 * DAY, DAY), Duration::ZERO);
        assert_eq!(witness.elapsed(i64::MAX, i64::MIN), Duration::ZERO);
        assert_eq!(witness.elapsed(i64::MIN, i64::MAX), days(4));
    }
}
