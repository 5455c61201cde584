//! What a policy says: how many snapshots of each calendar unit stay. The words mean what they mean
//! to restic.

use std::{collections::HashSet, fmt, num::NonZeroU32, str::FromStr};

use jiff::{Span, Zoned};

/// How many snapshots of one group stay. A word that is absent keeps none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: Option<u32>,
    /// The newest of each of the newest so many hours that have one; so the other units.
    pub hourly: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
    /// All that are not older than this, seen from the newest.
    pub within: Option<Within>,
}

/// A word of a policy that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// The policies of all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    pub database: Policy,
    pub files: Policy,
    pub complete: Policy,
    /// Of complete snapshots where no snapshot holds databases alone: they are the only hourly ones
    /// there are.
    pub complete_alone: Policy,
}

impl Policy {
    /// Whether it says nothing at all, so that nothing goes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The word's count.
    pub const fn count(&self, rule: Rule) -> u32 {
        let count = match rule {
            Rule::Last => self.last,
            Rule::Hourly => self.hourly,
            Rule::Daily => self.daily,
            Rule::Weekly => self.weekly,
            Rule::Monthly => self.monthly,
            Rule::Yearly => self.yearly,
        };
        match count {
            Some(count) => count,
            None => 0,
        }
    }
}

impl Rule {
    pub const ALL: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// What two moments share that lie in the same unit. The hour that a clock goes through twice
    /// is two hours, told apart by their offsets.
    fn unit(self, number: usize, at: &Zoned) -> [i32; 5] {
        let (year, month, day) = (at.year().into(), at.month().into(), at.day().into());
        match self {
            Self::Last => [i32::try_from(number).unwrap_or(i32::MAX), 0, 0, 0, 0],
            Self::Hourly => [year, month, day, at.hour().into(), at.offset().seconds()],
            Self::Daily => [year, month, day, 0, 0],
            Self::Weekly => {
                let week = at.date().iso_week_date();
                [week.year().into(), week.week().into(), 0, 0, 0]
            }
            Self::Monthly => [year, month, 0, 0, 0],
            Self::Yearly => [year, 0, 0, 0, 0],
        }
    }
}

/// Counts units for one rule, from the newest snapshot to the oldest.
pub(super) struct Units {
    rule: Rule,
    left: u32,
    seen: HashSet<[i32; 5]>,
}

/// Why a rule keeps a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is the newest of its unit, which has this number.
    Newest(NonZeroU32),
    /// It is the oldest of all, and the rule had something left: history reaches as far as it can.
    Oldest,
}

impl Units {
    pub fn new(rule: Rule, policy: &Policy) -> Self {
        Self { rule, left: policy.count(rule), seen: HashSet::new() }
    }

    /// Takes the next older snapshot; the numbers ascend from 0.
    pub fn take(&mut self, number: usize, at: &Zoned, is_oldest: bool) -> Option<Kept> {
        if self.left == 0 {
            return None;
        }
        // A clock that goes back over midnight brings a day twice: it counts once.
        if self.seen.insert(self.rule.unit(number, at)) {
            self.left -= 1;
            let count = u32::try_from(self.seen.len()).ok();
            return count.and_then(NonZeroU32::new).map(Kept::Newest);
        }
        is_oldest.then_some(Kept::Oldest)
    }
}

/// A length of time as restic writes it: `1y6m`, `30d`, `36h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    years: u16,
    months: u16,
    weeks: u16,
    days: u16,
    hours: u16,
}

/// The text is no such length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write it as 30d, 36h or 1y6m, of years, months, weeks, days and hours")]
pub struct NotALength;

impl Within {
    /// The same as a span of the calendar.
    pub fn span(self) -> Span {
        Span::new()
            .years(i64::from(self.years.min(9_998)))
            .months(self.months)
            .weeks(self.weeks)
            .days(self.days)
            .hours(self.hours)
    }

    const fn units(&self) -> [(u16, char); 5] {
        let Self { years, months, weeks, days, hours } = *self;
        [(years, 'y'), (months, 'm'), (weeks, 'w'), (days, 'd'), (hours, 'h')]
    }
}

impl FromStr for Within {
    type Err = NotALength;

    fn from_str(text: &str) -> Result<Self, NotALength> {
        let mut length = Self { years: 0, months: 0, weeks: 0, days: 0, hours: 0 };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(NotALength);
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NotALength)?;
            let count: u16 = rest[..digits].parse().map_err(|_| NotALength)?;
            let unit = match rest.as_bytes()[digits] {
                b'y' => &mut length.years,
                b'm' => &mut length.months,
                b'w' => &mut length.weeks,
                b'd' => &mut length.days,
                b'h' => &mut length.hours,
                _ => return Err(NotALength),
            };
            *unit = unit.checked_add(count).ok_or(NotALength)?;
            rest = &rest[digits + 1..];
        }
        Ok(length)
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.units();
        if units.iter().all(|(count, _)| *count == 0) {
            return f.write_str("0h");
        }
        let mut named = units.iter().filter(|(count, _)| *count > 0);
        named.try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

impl Policies {
    /// One policy for every group.
    pub fn all(policy: &Policy) -> Self {
        let [database, files, complete, complete_alone] = std::array::from_fn(|_| policy.clone());
        Self { database, files, complete, complete_alone }
    }

    /// Says what becomes of complete snapshots, however many others there are.
    pub fn set_complete(&mut self, policy: &Policy) {
        self.complete = policy.clone();
        self.complete_alone = policy.clone();
    }
}

impl Policies {
    /// What a mirror keeps unless it is told otherwise: days of databases, the newest files, and
    /// months of everything.
    pub fn of_a_mirror() -> Self {
        let (daily, monthly) = (Some(10), Some(12));
        Self {
            database: Policy { daily, ..Policy::default() },
            files: Policy { last: Some(2), ..Policy::default() },
            complete: Policy { monthly, ..Policy::default() },
            complete_alone: Policy { daily, monthly, ..Policy::default() },
        }
    }
}

impl Default for Policies {
    /// What suits a shop: two days of hours, a week of days, a month of weeks, a year of months.
    fn default() -> Self {
        let monthly = Some(12);
        let database = Policy {
            hourly: Some(48),
            daily: Some(7),
            weekly: Some(4),
            monthly,
            ..Policy::default()
        };
        Self {
            complete_alone: database.clone(),
            database,
            files: Policy { last: Some(2), ..Policy::default() },
            complete: Policy { monthly, ..Policy::default() },
        }
    }
}
