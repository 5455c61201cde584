//! What lies elsewhere, and so survives this machine: judged by what was seen there last, never by
//! what the configuration promises.

use std::time::Duration;

use super::{Lies, Reason, SetView, Verdict, View, age, interval, roughly};
use crate::clock::UnixNanos;

/// Who was not heard of for longer may be gone.
const SILENCE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of one mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyView {
    pub name: String,
    /// When it was last brought up to date, or compared, with success.
    pub reached: Option<UnixNanos>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
    /// For every set, in the order of the view: when its newest snapshot there was made.
    pub newest: Vec<Option<UnixNanos>>,
}

/// What keeps the copies from being as good as they should be, one reason each.
pub fn reasons(view: &View) -> Vec<Reason> {
    let caution = |what: String, command| Reason { verdict: Verdict::SafeBut, what, command };
    if view.copies.is_empty() && view.repository == Lies::OnThisMachine {
        let what = "there is no copy on another machine".to_owned();
        return vec![caution(what, "stillpoint mirror add")];
    }
    let of_copy = |copy: &CopyView| {
        let name = &copy.name;
        let silence = copy.reached.map(|reached| age(view, reached));
        let (what, command) = match (&copy.failure, silence) {
            (Some(why), _) => {
                (format!("{name} was not brought up to date: {why}"), "stillpoint mirror sync")
            }
            (None, None) => (format!("nothing was copied to {name} yet"), "stillpoint mirror sync"),
            (None, Some(silence)) => match behind(view, copy) {
                Some(what) => (what, "stillpoint mirror sync"),
                None if silence > SILENCE_MAX => (
                    format!("{name} was last reached {} ago", roughly(silence)),
                    "stillpoint mirror status --verify",
                ),
                None => return None,
            },
        };
        Some(caution(what, command))
    };
    view.copies.iter().filter_map(of_copy).collect()
}

/// What a copy lacks that is here, if that is older than it should be.
fn behind(view: &View, copy: &CopyView) -> Option<String> {
    let lacks = |(set, there): (&SetView, &Option<UnixNanos>)| {
        let here = set.newest.as_ref()?.created;
        let name = &copy.name;
        match *there {
            None => Some(format!("{name} holds nothing of {}", set.name)),
            Some(there) if there < here && age(view, there) > interval(set) * 3 => {
                let age = roughly(age(view, there));
                Some(format!("{name} is behind: what it holds of {} is {age} old", set.name))
            }
            Some(_) => None,
        }
    };
    view.sets.iter().zip(&copy.newest).find_map(lacks)
}

/// The oldest of the newest that survive this machine; nothing if of some set none does.
pub fn exposure(view: &View) -> Option<Duration> {
    let newest = (0..view.sets.len()).map(|set| newest_elsewhere(view, set));
    newest
        .map(|newest| newest.map(|newest| age(view, newest)))
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

pub fn is_anything_elsewhere(view: &View) -> bool {
    (0..view.sets.len()).any(|set| newest_elsewhere(view, set).is_some())
}

fn newest_elsewhere(view: &View, set: usize) -> Option<UnixNanos> {
    let here = view.sets[set].newest.as_ref().filter(|_| view.repository == Lies::Elsewhere);
    let there = view.copies.iter().filter_map(|copy| copy.newest.get(set).copied().flatten());
    there.chain(here.map(|newest| newest.created)).max()
}
