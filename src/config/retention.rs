//! `[retention]`: how long snapshots stay. What nobody configured never deletes by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    config::{Error, file::Document, size::parse_permille},
    ops::{
        prune::PruneOptions,
        retention::{Policies, Policy},
    },
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long forgotten snapshots can be had back when the configuration does not say.
const TRASH_DAYS: u16 = 7;

/// What is kept, and what happens by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Whether a backup ends with the policy of its group.
    pub auto: bool,
    /// How long forgotten snapshots can be had back.
    pub trash: Duration,
    /// Dead bytes that may stay in packs that are partly used, in thousandths of all that stays.
    pub max_unused_permille: Option<u32>,
    pub policies: Policies,
}

/// The table as it is written. The words alone stand for all groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    pub auto: Option<bool>,
    pub trash_days: Option<u16>,
    pub max_unused: Option<Spanned<String>>,
    pub last: Option<u32>,
    pub hourly: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
    pub within: Option<Spanned<String>>,
    pub keep: Option<Spanned<Words>>,
    pub database: Option<Spanned<GroupWords>>,
    pub files: Option<Spanned<GroupWords>>,
    pub complete: Option<Spanned<GroupWords>>,
}

/// `{ hourly = 48, daily = 7 }`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Words {
    pub last: Option<u32>,
    pub hourly: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
    pub within: Option<Spanned<String>>,
}

/// The words of a group, alone or as `{ keep = { ... } }`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GroupWords {
    pub last: Option<u32>,
    pub hourly: Option<u32>,
    pub daily: Option<u32>,
    pub weekly: Option<u32>,
    pub monthly: Option<u32>,
    pub yearly: Option<u32>,
    pub within: Option<Spanned<String>>,
    pub keep: Option<Spanned<Words>>,
}

impl Default for Retention {
    fn default() -> Self {
        let trash = DAY * u32::from(TRASH_DAYS);
        Self { auto: false, trash, max_unused_permille: None, policies: Policies::default() }
    }
}

impl Retention {
    /// What happens on a mirror if nothing is said about it.
    pub fn of_a_mirror() -> Self {
        Self { auto: true, policies: Policies::of_a_mirror(), ..Self::default() }
    }

    /// How prunes go about it.
    pub fn prune_options(&self) -> PruneOptions {
        let usual = PruneOptions::default();
        let max_unused_permille = self.max_unused_permille.unwrap_or(usual.max_unused_permille);
        PruneOptions { max_unused_permille, trash: self.trash, ..usual }
    }
}

/// Validates what the document says of retention.
pub(super) fn retention(document: &Document) -> Result<Retention, Error> {
    let settings = &document.settings;
    let written = (&settings.keep, settings.retention.as_ref());
    validated(document, written, Retention::default())
}

/// Validates what the document says of the retention of a mirror, which happens by itself.
pub(super) fn of_mirror(
    document: &Document,
    written: (&Option<Spanned<Words>>, Option<&Table>),
) -> Result<Retention, Error> {
    validated(document, written, Retention::of_a_mirror())
}

fn validated(
    document: &Document,
    (keep, table): (&Option<Spanned<Words>>, Option<&Table>),
    mut retention: Retention,
) -> Result<Retention, Error> {
    if let Some(keep) = keep {
        retention.policies = Policies::all(&policy(document, keep.get_ref())?);
        retention.auto = true;
    }
    let Some(table) = table else { return Ok(retention) };
    retention.auto = table.auto.unwrap_or(true);
    retention.trash = DAY * u32::from(table.trash_days.unwrap_or(TRASH_DAYS));
    retention.max_unused_permille = match &table.max_unused {
        Some(text) => Some(max_unused(document, text)?),
        None => None,
    };
    let for_all = one_of(document, (&table.keep, &table.words()))?;
    if !for_all.is_empty() {
        retention.policies = Policies::all(&for_all);
    }
    let policies = &mut retention.policies;
    for (group, named) in [&table.database, &table.files, &table.complete].into_iter().enumerate() {
        let Some(named) = named else { continue };
        let words = named.get_ref();
        let policy = one_of(document, (&words.keep, &words.words()))?;
        match group {
            0 => policies.database = policy,
            1 => policies.files = policy,
            _ => policies.set_complete(&policy),
        }
    }
    Ok(retention)
}

/// The words that stand alone, or those behind `keep`.
fn one_of(
    document: &Document,
    (keep, words): (&Option<Spanned<Words>>, &Words),
) -> Result<Policy, Error> {
    let alone = policy(document, words)?;
    match keep {
        None => Ok(alone),
        Some(keep) if alone.is_empty() => policy(document, keep.get_ref()),
        Some(keep) => {
            let message = "write the words behind `keep` or beside it, not both";
            Err(document.invalid(keep.span(), message))
        }
    }
}

fn policy(document: &Document, words: &Words) -> Result<Policy, Error> {
    let Words { last, hourly, daily, weekly, monthly, yearly, .. } = *words;
    let within = words.within.as_ref().map(|text| {
        let parsed = text.get_ref().parse();
        parsed.map_err(|why| document.invalid(text.span(), format!("not a length: {why}")))
    });
    let within = within.transpose()?;
    Ok(Policy { last, hourly, daily, weekly, monthly, yearly, within })
}

fn max_unused(document: &Document, text: &Spanned<String>) -> Result<u32, Error> {
    let refuse = || document.invalid(text.span(), "not a share; write it as `5%`");
    parse_permille(text.get_ref()).ok_or_else(refuse)
}

impl Table {
    fn words(&self) -> Words {
        let Self { last, hourly, daily, weekly, monthly, yearly, .. } = *self;
        Words { last, hourly, daily, weekly, monthly, yearly, within: self.within.clone() }
    }
}

impl GroupWords {
    fn words(&self) -> Words {
        let Self { last, hourly, daily, weekly, monthly, yearly, .. } = *self;
        Words { last, hourly, daily, weekly, monthly, yearly, within: self.within.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Retention, Error> {
        retention(&Document::parse("stillpoint.toml".as_ref(), text.to_owned())?)
    }

    #[test]
    fn what_nobody_configured_keeps_everything_unless_it_is_asked_for() {
        let retention = parsed("version = 1").unwrap();

        assert_eq!(retention, Retention::default());
        assert!(!retention.auto);
    }

    #[test]
    fn every_shape_of_the_same_words_means_the_same() {
        let words = "hourly = 48, daily = 7, within = \"2d\"";
        let shapes = [
            format!("retention = {{ {words} }}"),
            format!("keep = {{ {words} }}"),
            format!("[retention]\nkeep = {{ {words} }}"),
            format!("[retention]\n{}", words.replace(", ", "\n")),
            ["database", "files", "complete"]
                .iter()
                .map(|group| format!("[retention.{group}]\nkeep = {{ {words} }}\n"))
                .collect(),
        ];
        let within = Some("2d".parse().unwrap());
        let policy = Policy { hourly: Some(48), daily: Some(7), within, ..Policy::default() };

        for shape in shapes {
            let retention = parsed(&shape).unwrap();
            assert_eq!(retention.policies, Policies::all(&policy), "{shape}");
            assert!(retention.auto, "{shape}");
        }
    }

    #[test]
    fn a_group_that_is_not_named_keeps_what_suits_a_shop() {
        let text = "[retention]\nauto = false\ntrash_days = 0\nmax_unused = \"2.5%\"\n\
                    files = { last = 9 }";

        let retention = parsed(text).unwrap();

        let files = Policy { last: Some(9), ..Policy::default() };
        assert_eq!(retention.policies, Policies { files, ..Policies::default() });
        assert_eq!((retention.auto, retention.trash), (false, Duration::ZERO));
        assert_eq!(retention.max_unused_permille, Some(25));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in [
            "[retention]\nhourly = 1\nkeep = { daily = 1 }",
            "retention = { within = \"soon\" }",
            "[retention]\nmax_unused = \"101%\"",
            "[retention]\nfiles = { newest = 2 }",
            "retention = { hourly = -1 }",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
