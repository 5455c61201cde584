//! A past database that the command line names.

use std::{ffi::OsStr, sync::Arc, time::Duration};

use crate::{
    chunk::Fetch,
    cli::{
        context::Context,
        error::Error,
        run::brief,
        selection::{Selection, compose},
    },
    config::Config,
    ops::past::{ChosenImage, Moments, PastDatabase, TIMEOUT_DEFAULT, Terms, choose},
    repo::Repository,
};

/// Which database, and how it is opened.
pub struct Wanted<'a> {
    pub snap: &'a OsStr,
    pub exact: bool,
    pub timeout: Option<Duration>,
}

/// An opened past database, and the history that its statements may name.
pub struct Opened {
    pub database: PastDatabase,
    pub chosen: ChosenImage,
    pub fetch: Arc<dyn Fetch>,
    config: Config,
    selection: Selection,
    now: crate::clock::UnixNanos,
}

impl Opened {
    pub fn open(context: &Context, wanted: &Wanted<'_>) -> Result<Self, Error> {
        let config = context.config()?;
        let repository = brief(context, |observer| context.open(&config, observer))?;
        Self::open_in(context, config, &repository, wanted)
    }

    fn open_in(
        context: &Context,
        config: Config,
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Error> {
        let selection = Selection::new(context, &config, repository, wanted.snap)?;
        let moment = selection.moment(compose(wanted.exact))?;
        let fetch = repository.fetcher()?;
        let chosen = choose(&*fetch, &moment, &selection.selector)?;
        let mut terms = Terms::of(repository.environment());
        terms.timeout = wanted.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let database = PastDatabase::open(&terms, Arc::clone(&fetch), &chosen.image)?;
        Ok(Self { database, chosen, fetch, config, selection, now: context.now() })
    }

    /// What was typed to choose the moment.
    pub fn moment_text(&self) -> &str {
        &self.selection.selector.text
    }

    /// The history, for names in statements.
    pub fn moments(&self) -> Moments<'_> {
        Moments {
            snapshots: self.selection.snapshots(),
            fetch: Arc::clone(&self.fetch),
            now: self.now,
            zone: &self.config.zone,
            item: self.chosen.item.clone(),
        }
    }
}
