//! The mirrors of the configuration: opened, brought up to date, and told of.
//!
//! A mirror that fails never harms the backup that was made here: it is told, remembered, and tried
//! again by the next run.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    cli::{
        context::Context,
        error::{Error, Explanation, explain},
        text,
    },
    config::{Config, Mirror},
    ops::{
        event::Observer,
        mirror::{self, Ledger, Memory, Mend, Pushed, Reconciled, Target, Waiting},
    },
    repo::{self, Repository},
    setup::Known,
};

/// How it stands with a mirror, as the summary of a run has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub name: String,
    /// `complete` or `waiting`.
    pub state: &'static str,
    pub bytes_waiting: u64,
    pub snapshots_waiting: u64,
    /// Of the error, if there was one.
    pub code: Option<&'static str>,
    pub snapshots_sent: u64,
    pub bytes_sent: u64,
}

impl Outcome {
    pub fn is_complete(&self) -> bool {
        self.state == "complete"
    }
}

/// The outcomes, for the summary of a run.
pub fn figure(outcomes: &[Outcome]) -> serde_json::Value {
    serde_json::to_value(outcomes).expect("plain values become JSON")
}

/// Whether a mirror is compared with what is there before it is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    Trust,
    Compare,
}

/// The mirrors that are not the repository itself.
pub fn mirrors(config: &Config) -> impl Iterator<Item = &Mirror> {
    config.mirrors.iter().filter(|mirror| Some(&mirror.place) != config.repository.as_ref())
}

/// The mirror of this name.
pub fn named<'a>(config: &'a Config, name: &str) -> Result<&'a Mirror, Error> {
    config.mirrors.iter().find(|mirror| mirror.name == name).ok_or_else(|| {
        let known = config.mirrors.iter().map(|mirror| mirror.name.clone()).collect();
        mirror::Error::Unknown { name: name.to_owned(), known }.into()
    })
}

/// What is known of a mirror.
pub fn ledger(repository: &Repository, mirror: &Mirror) -> Result<Ledger, Error> {
    let place = mirror.place.to_string();
    Ledger::load(repository, &mirror.name, &place)
        .map_err(|source| state_error(repository, "read", source))
}

/// Opens the place of a mirror.
pub fn target(
    context: &Context,
    repository: &Repository,
    mirror: &Mirror,
    ledger: &Ledger,
) -> Result<Target, Error> {
    let known = match ledger.notes.is_listed {
        true => Known::Used(ledger.proven()),
        false => Known::Nothing,
    };
    let backend = context.machine.mirror(mirror, repository, known)?;
    Ok(Target { name: mirror.name.clone(), backend: Arc::clone(&backend) })
}

/// Brings the mirror up to date, tells how it went, and remembers it.
pub fn bring_up_to_date(
    context: &Context,
    repository: &Repository,
    (mirror, care): (&Mirror, Care),
    observer: &dyn Observer,
) -> Result<Outcome, Error> {
    let mut ledger = ledger(repository, mirror)?;
    let pushed = push(context, repository, (mirror, care, &mut ledger), observer);
    context.output.hide_progress();
    let outcome = match pushed {
        Err(error) if is_stop(&error) => return Err(error),
        Ok(pushed) => went_well(mirror, &pushed),
        Err(error) => failed(context, repository, (mirror, &ledger), &explain(&error)),
    };
    remember(context, (repository, &mut ledger), &outcome)?;
    Ok(outcome.0)
}

fn push(
    context: &Context,
    repository: &Repository,
    (mirror, care, ledger): (&Mirror, Care, &mut Ledger),
    observer: &dyn Observer,
) -> Result<Pushed, Error> {
    let target = target(context, repository, mirror, ledger)?;
    if care == Care::Compare {
        let mend = (Mend::Differences, observer);
        let found = mirror::reconcile(repository, &target, ledger, mend)?;
        tell_reconciled(context, mirror, &found);
    }
    Ok(mirror::push(repository, &target, ledger, observer)?)
}

fn is_stop(error: &Error) -> bool {
    explain(error).exit_code.number() >= crate::cli::ExitCode::Interrupted.number()
}

fn went_well(mirror: &Mirror, pushed: &Pushed) -> (Outcome, String) {
    let damaged = pushed.damaged.len() as u64;
    let outcome = Outcome {
        name: mirror.name.clone(),
        state: if damaged == 0 { "complete" } else { "waiting" },
        bytes_waiting: 0,
        snapshots_waiting: damaged,
        code: (damaged > 0).then_some("SP0301"),
        snapshots_sent: pushed.snapshots,
        bytes_sent: pushed.sent.bytes,
    };
    let message = if damaged == 0 { "" } else { "damaged here" };
    (outcome, message.to_owned())
}

fn failed(
    context: &Context,
    repository: &Repository,
    (mirror, ledger): (&Mirror, &Ledger),
    explanation: &Explanation,
) -> (Outcome, String) {
    let waiting = repository.snapshots().map_err(crate::ops::Error::from);
    let waiting = waiting.and_then(|all| Waiting::of(repository, ledger, &all.snapshots));
    let waiting = waiting.unwrap_or_default();
    let (output, message) = (&context.output, text::printable(explanation.message.as_bytes()));
    output.warning(&format!("mirror {}: {message}  [{}]", mirror.name, explanation.code));
    let waits = text::bytes(waiting.bytes);
    let count = text::counted(waiting.snapshots, "snapshot");
    output.warning(&format!("what is here is safe; {count} ({waits}) wait for it"));
    for help in &explanation.help {
        let help = help.to_string().replace("login NAME", &format!("login {}", mirror.name));
        output.warning(&text::printable(help.as_bytes()));
    }
    let outcome = Outcome {
        name: mirror.name.clone(),
        state: "waiting",
        bytes_waiting: waiting.bytes,
        snapshots_waiting: waiting.snapshots,
        code: Some(explanation.code),
        snapshots_sent: 0,
        bytes_sent: 0,
    };
    (outcome, explanation.message.clone())
}

fn remember(
    context: &Context,
    (repository, ledger): (&Repository, &mut Ledger),
    (outcome, message): &(Outcome, String),
) -> Result<(), Error> {
    let memory = Memory {
        at: context.now(),
        code: outcome.code.map(str::to_owned),
        message: message.clone(),
        bytes_waiting: outcome.bytes_waiting,
        snapshots_waiting: outcome.snapshots_waiting,
    };
    ledger.remember(memory).map_err(|source| state_error(repository, "write", source))
}

fn state_error(repository: &Repository, action: &'static str, source: std::io::Error) -> Error {
    let (what, path) = ("what is known of a mirror".to_owned(), repository.state_path().to_owned());
    repo::Error::State { action, what, path, source }.into()
}

/// Says what a comparison found.
pub fn tell_reconciled(context: &Context, mirror: &Mirror, found: &Reconciled) {
    let output = &context.output;
    for finding in &found.findings {
        let words = words(finding);
        output.message(&format!("mirror {}: {}", mirror.name, text::printable(words.as_bytes())));
    }
    let count = text::counted(found.objects, "object");
    let differences = text::counted(found.findings.len() as u64, "difference");
    let bytes = text::bytes(found.bytes);
    output.remark(&format!("mirror {}: {count}, {bytes}, {differences}", mirror.name));
}

/// One difference in words.
pub fn words(finding: &mirror::Finding) -> String {
    use mirror::Finding;
    match finding {
        Finding::GoneThere(name) => format!("{name} is gone from there"),
        Finding::OtherSize { name, bytes, expected } => {
            format!("{name} has {bytes} bytes there, {expected} are right")
        }
        Finding::OnlyThere { name, .. } => format!("{name} is only there"),
        Finding::Foreign(name) => format!("{name} is none of ours; it is left alone"),
    }
}
