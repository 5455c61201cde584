//! Whether the application that is installed can read what a snapshot holds. Pure.

use std::cmp::Ordering;

use crate::{
    format::record::PartContent,
    ops::{live::Error, moment::PartAt},
};

/// What the installed application understands, as far as its owner told us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// The `user_version` that its databases have.
    pub user_version: Option<i64>,
    /// Its own version, to be compared with that in the record.
    pub version: Option<String>,
}

/// How what a snapshot holds compares with what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Same,
    /// The migrate hook is to run.
    Older,
}

impl Installed {
    /// Compares the parts with what is installed.
    ///
    /// # Errors
    /// [`Error::Newer`] if the application is too old for them.
    pub fn judge(&self, parts: &[PartAt<'_>]) -> Result<Age, Error> {
        let mut age = Age::Same;
        for at in parts {
            let PartContent::Database { facts, .. } = &at.part.content else { continue };
            if let Some(installed) = self.user_version {
                let order = facts.user_version.cmp(&installed);
                let words = || (facts.user_version.to_string(), installed.to_string());
                age = Self::heed(order, age, || newer(at, "its user_version", words()))?;
            }
            let saved = &at.snapshot.record.app_version;
            if let Some(installed) = self.version.as_ref().filter(|_| !saved.is_empty()) {
                let words = || (saved.clone(), installed.clone());
                let order = compare(saved, installed);
                age = Self::heed(order, age, || newer(at, "its application", words()))?;
            }
        }
        Ok(age)
    }

    fn heed(order: Ordering, age: Age, newer: impl FnOnce() -> Error) -> Result<Age, Error> {
        match order {
            Ordering::Greater => Err(newer()),
            Ordering::Less => Ok(Age::Older),
            Ordering::Equal => Ok(age),
        }
    }
}

fn newer(at: &PartAt<'_>, what: &'static str, (saved, installed): (String, String)) -> Error {
    Error::Newer { part: at.part.name.clone(), what, saved, installed }
}

/// Compares versions by their numbers, in order: `v2.10.1` is newer than `2.9`.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        let words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
        let mut numbers: Vec<u64> = words.map(|word| word.parse().unwrap_or(u64::MAX)).collect();
        while numbers.last() == Some(&0) {
            let _ = numbers.pop();
        }
        numbers
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (a, b, order) in [
            ("2.10.1", "v2.9", Ordering::Greater),
            ("2.0", "2", Ordering::Equal),
            ("pos 1.4 build 7", "1.4.7", Ordering::Equal),
            ("1.4", "1.4.1", Ordering::Less),
            ("", "1", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
        }
    }
}
