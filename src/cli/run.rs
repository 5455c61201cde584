//! A run: a command that leaves a record of what it did.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    cli::{
        ExitCode,
        context::Context,
        error::{Error, explain},
        progress::Display,
    },
    config::Config,
    ops::{
        event::{Observer, Tee},
        run_record::{Finish, RunFolder, RunLog, RunResult, Start},
    },
};

/// How a command ended, when it ended as it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub exit_code: ExitCode,
    pub repository_id: Option<String>,
    pub snapshot_id: Option<String>,
    pub bytes_added: u64,
    /// For the summary that programs read.
    pub figures: Map<String, Value>,
}

impl Done {
    pub fn new(exit_code: ExitCode) -> Self {
        Self {
            exit_code,
            repository_id: None,
            snapshot_id: None,
            bytes_added: 0,
            figures: Map::new(),
        }
    }

    /// Adds a figure to the summary.
    #[must_use]
    pub fn figure(mut self, name: &str, value: impl Into<Value>) -> Self {
        let _ = self.figures.insert(name.to_owned(), value.into());
        self
    }
}

impl From<ExitCode> for Done {
    fn from(exit_code: ExitCode) -> Self {
        Self::new(exit_code)
    }
}

/// Does the work of a long command: signals stop it, a display shows it, a record keeps it, however
/// it ends.
pub fn recorded(
    context: &Context,
    config: &Config,
    start: Start,
    work: impl FnOnce(&dyn Observer) -> Result<Done, Error>,
) -> Result<Done, Error> {
    let display = Display::new(&context.output, &*context.machine.clock);
    shown_and_recorded(context, (config, start), &display, work)
}

/// The same for a command whose output is read by another program: it tells no phases.
pub fn recorded_quietly(
    context: &Context,
    config: &Config,
    start: Start,
    work: impl FnOnce(&dyn Observer) -> Result<Done, Error>,
) -> Result<Done, Error> {
    let display = Display::brief(&context.output, &*context.machine.clock);
    shown_and_recorded(context, (config, start), &display, work)
}

fn shown_and_recorded(
    context: &Context,
    (config, start): (&Config, Start),
    display: &Display<'_>,
    work: impl FnOnce(&dyn Observer) -> Result<Done, Error>,
) -> Result<Done, Error> {
    context.signals.watch(&context.output, &context.machine.stop);
    display.starting();
    let log = begin(context, config, start)?;
    let _ = context.run.set(log.run().to_owned());
    let done = work(&Tee(display, &log));
    display.finish();
    if let Err(error) = log.finish(finish(context, &done)) {
        context.output.warning(&format!("the record of this run is incomplete: {error}"));
    }
    done
}

/// Does the work of a long command that leaves no record, because it changes nothing.
pub fn unrecorded(
    context: &Context,
    work: impl FnOnce(&dyn Observer) -> Result<Done, Error>,
) -> Result<Done, Error> {
    context.signals.watch(&context.output, &context.machine.stop);
    let display = Display::new(&context.output, &*context.machine.clock);
    display.starting();
    let done = work(&display);
    display.finish();
    done
}

/// Does the work of a command that answers at once.
pub fn brief<T>(
    context: &Context,
    work: impl FnOnce(&dyn Observer) -> Result<T, Error>,
) -> Result<T, Error> {
    let display = Display::brief(&context.output, &*context.machine.clock);
    display.starting();
    let answer = work(&display);
    display.finish();
    answer
}

fn begin(context: &Context, config: &Config, start: Start) -> Result<RunLog, Error> {
    let machine = &context.machine;
    let begin = || {
        let folder = RunFolder::open(Arc::clone(&machine.disk), &config.state_root)?;
        let start = Start {
            kind: context.command.to_owned(),
            repository: config.repository.as_ref().map(ToString::to_string).unwrap_or_default(),
            actor: if start.actor.is_empty() { config.actor.clone() } else { start.actor },
            station: if start.station.is_empty() { config.station.clone() } else { start.station },
            items: start.items,
        };
        folder.begin(Arc::clone(&machine.clock), &*machine.entropy, start)
    };
    begin().map_err(|source| Error::StateFolder { path: config.state_root.clone(), source })
}

fn finish(context: &Context, done: &Result<Done, Error>) -> Finish {
    match done {
        Ok(done) => Finish {
            result: if done.exit_code == ExitCode::Done {
                RunResult::Done
            } else {
                RunResult::Incomplete
            },
            exit_code: done.exit_code.number(),
            repository_id: done.repository_id.clone(),
            snapshot: done.snapshot_id.clone(),
            bytes_added: done.bytes_added,
            message: String::new(),
        },
        Err(error) => {
            let explanation = explain(error);
            let exit_code = context.signals.exit_code(explanation.exit_code);
            let stopped = matches!(exit_code, ExitCode::Interrupted | ExitCode::Terminated);
            let words = [explanation.message].into_iter().chain(explanation.causes);
            Finish {
                result: if stopped { RunResult::Stopped } else { RunResult::Failed },
                exit_code: exit_code.number(),
                message: words.collect::<Vec<_>>().join(": "),
                ..Finish::default()
            }
        }
    }
}
