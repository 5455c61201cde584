//! What every command has at hand.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    backend::{
        Backend, ObjectName,
        layer::tell::{Tell, Telling},
    },
    cli::{
        args::Global, credential, error::Error, json, output::Output, run::Done, signals::Signals,
        text,
    },
    clock::UnixNanos,
    config::{Config, Place, Variables},
    crypto::secret::Credential,
    ops::{
        event::{Event, Observer, Phase},
        live::{self, Recovered},
        with_causes,
    },
    repo::Repository,
    setup::Machine,
};

/// Whoever makes a repository has just written the settings.
const FIRST_COMMAND: &str = "init";

/// One command line under way.
pub struct Context {
    pub command: &'static str,
    pub global: Global,
    pub variables: Variables,
    pub output: Arc<Output>,
    pub machine: Machine,
    pub signals: Signals,
    /// Name of the run record, once there is one.
    pub run: OnceLock<String>,
    began: Duration,
}

impl Context {
    pub fn new(
        command: &'static str,
        global: Global,
        variables: Variables,
        output: Arc<Output>,
        machine: Machine,
    ) -> Self {
        let began = machine.clock.elapsed();
        let (signals, run) = (Signals::default(), OnceLock::new());
        Self { command, global, variables, output, machine, signals, run, began }
    }

    pub fn now(&self) -> UnixNanos {
        self.machine.clock.now()
    }

    /// How long the command has been running.
    pub fn took(&self) -> Duration {
        self.machine.clock.elapsed().saturating_sub(self.began)
    }

    /// The first line that a program reads.
    pub fn announce(&self) {
        self.output.event(&json::Event::Start {
            command: self.command,
            version: env!("CARGO_PKG_VERSION"),
            time: text::rfc3339(self.now(), &jiff::tz::TimeZone::system()),
        });
    }

    /// The last line that a program reads.
    pub fn summarize(&self, done: &Done) {
        self.output.event(&json::Event::Summary(json::Summary {
            command: self.command,
            exit_code: done.exit_code.number(),
            run: self.run.get().cloned(),
            repository_id: done.repository_id.clone(),
            snapshot_id: done.snapshot_id.clone(),
            seconds: self.took().as_secs_f64(),
            figures: done.figures.clone(),
        }));
    }

    /// Reads the configuration. Which of its settings do nothing yet is said when a repository is
    /// made and to who asks for more words; `doctor` has it among its findings. At each command it
    /// would be noise, in which a real warning drowns.
    pub fn config(&self) -> Result<Config, Error> {
        let config = Config::load(&self.global.flags(), &self.variables)?;
        let is_said = self.output.is_verbose() || self.command == FIRST_COMMAND;
        if is_said && !config.inactive.is_empty() && !self.output.is_quiet() {
            let settings = config.inactive.join(", ");
            self.output
                .warning(&format!("this version does not act on these settings yet: {settings}"));
        }
        Ok(config)
    }

    /// Opens the repository of the configuration.
    pub fn open(&self, config: &Config, observer: &dyn Observer) -> Result<Repository, Error> {
        self.open_through(config, observer, |backend| backend)
    }

    /// Opens the repository of the configuration, and has somebody told what is stored in it.
    pub fn open_telling(
        &self,
        config: &Config,
        observer: &dyn Observer,
        tell: Tell,
    ) -> Result<Repository, Error> {
        self.open_through(config, observer, |backend| Arc::new(Telling::new(backend, tell)))
    }

    fn open_through(
        &self,
        config: &Config,
        observer: &dyn Observer,
        layer: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>,
    ) -> Result<Repository, Error> {
        let place = repository_place(config)?;
        let item = place.to_string();
        observer.observe(&Event::Phase { phase: Phase::Open, item });
        let mut environment = self.machine.open(place, &state_root(config, place))?;
        environment.backend = layer(environment.backend);
        let credential = match config.credentials.first() {
            Some(source) => credential::read(source)?,
            None => credential::ask(&self.output, self.global.no_input)?,
        };
        let repository = Repository::open(environment, &credential)?;
        self.end_dead_restore(&repository, observer);
        Ok(repository)
    }

    /// A restore in place whose process died is finished or taken back before anything else.
    fn end_dead_restore(&self, repository: &Repository, observer: &dyn Observer) {
        let said = match live::recover(repository, observer) {
            Ok(None) => return,
            Ok(Some(Recovered::TakenBack)) => {
                "a restore in place that was interrupted is taken back; all is as before".to_owned()
            }
            Ok(Some(Recovered::Finished)) => {
                "a restore in place that was interrupted at its end is finished".to_owned()
            }
            Err(error) => with_causes(&error),
        };
        self.output.warning(&said);
    }

    /// Opens the repository of the configuration with this credential.
    pub fn open_with(&self, config: &Config, credential: &Credential) -> Result<Repository, Error> {
        let environment = self.machine.open(repository_place(config)?, &config.state_root)?;
        Ok(Repository::open(environment, credential)?)
    }
}

/// A mirror that is opened like a repository has state of its own: what is missing there is not
/// missing here.
pub fn state_root(config: &Config, place: &Place) -> PathBuf {
    match config.mirrors.iter().find(|mirror| mirror.place == *place) {
        Some(mirror) => config.state_root.join(format!("mirror-{}", mirror.name)),
        None => config.state_root.clone(),
    }
}

/// Where the repository is, if anybody said so.
pub fn repository_place(config: &Config) -> Result<&Place, Error> {
    config.repository.as_ref().ok_or(Error::NoRepositoryNamed)
}

/// Says which records could not be read; the others are not affected.
pub fn warn_of_damaged(output: &Output, damaged: &[(ObjectName, String)]) {
    for (name, why) in damaged {
        output.warning(&format!("{name} cannot be read: {}", text::printable(why.as_bytes())));
    }
}
