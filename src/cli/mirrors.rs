//! The mirrors of the configuration: opened, brought up to date, and told of.
//!
//! A mirror that fails never harms the backup that was made here: it is told, remembered, and tried
//! again by the next run.

pub mod ahead;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        context::Context,
        error::{Error, Explanation, explain},
        run::Done,
        text,
    },
    config::{Config, Mirror},
    id::SnapshotId,
    ops::{
        event::Observer,
        forget::Most,
        mirror::{
            self, Holds, Ledger, Look, Memory, Mend, Need, Outlook, Presence, Pushed, Reconciled,
            Target, Tended, Upkeep,
        },
        repair,
    },
    repo::{self, Repository, history::History},
    setup::{Known, Machine},
};

use ahead::SentAhead;

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
    /// By its listing.
    Compare,
    /// By the content of every object as well.
    Prove,
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
    (config, repository): (&Config, &Repository),
    mirror: &Mirror,
    ledger: &Ledger,
) -> Result<Target, Error> {
    target_on(&context.machine, (config, repository), mirror, ledger)
}

/// Opens the place of a mirror by the means of this machine.
fn target_on(
    machine: &Machine,
    (config, repository): (&Config, &Repository),
    mirror: &Mirror,
    ledger: &Ledger,
) -> Result<Target, Error> {
    let known = match ledger.notes.was_used {
        true => Known::Used(ledger.proven()),
        false => Known::Nothing,
    };
    let backend = machine.mirror(mirror, repository, known)?;
    Ok(Target { name: mirror.name.clone(), backend, keep: mirror.keep(&config.zone) })
}

/// The mirrors that hold this repository and can be asked now; what keeps the others from it is
/// told.
pub fn that_answer(
    context: &Context,
    (config, repository): (&Config, &Repository),
) -> Result<Vec<repair::Mirror>, Error> {
    let mut found = Vec::new();
    for mirror in mirrors(config) {
        match open_used(context, repository, mirror) {
            Ok(answers) => found.extend(answers),
            Err(error) if is_stop(&error) => return Err(error),
            Err(error) => {
                let explanation = explain(&error);
                let message = text::printable(explanation.message.as_bytes());
                context.output.hide_progress();
                context.output.warning(&format!(
                    "mirror {}: {message}; nothing is taken from it  [{}]",
                    mirror.name, explanation.code
                ));
            }
        }
    }
    Ok(found)
}

/// Opens a mirror to take something from it. Nothing if it was never used: nothing is made there.
fn open_used(
    context: &Context,
    repository: &Repository,
    mirror: &Mirror,
) -> Result<Option<repair::Mirror>, Error> {
    let known = Known::Used(ledger(repository, mirror)?.proven());
    let backend = context.machine.mirror(mirror, repository, known)?;
    let target = Target { name: mirror.name.clone(), backend, keep: None };
    let holds = mirror::holds(repository, &target)?;
    let Target { name, backend, .. } = target;
    Ok((holds == Holds::ThisRepository).then_some(repair::Mirror { name, backend }))
}

/// Brings every mirror up to date, to which this much was sent ahead. One that fails makes the run
/// incomplete.
pub fn bring_all_up_to_date(
    context: &Context,
    (config, repository): (&Config, &Repository),
    (done, ahead): (Done, &SentAhead),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let mut outcomes = Vec::new();
    for mirror in mirrors(config) {
        let care = (mirror, Care::Trust);
        let mut outcome = bring_up_to_date(context, (config, repository), care, observer)?;
        outcome.bytes_sent += ahead.get(&mirror.name).map_or(0, |sent| sent.bytes);
        outcomes.push(outcome);
    }
    let mut done = done.figure("mirrors", figure(&outcomes));
    if !outcomes.iter().all(Outcome::is_complete) {
        done.exit_code = done.exit_code.max(ExitCode::Incomplete);
    }
    Ok(done)
}

/// Brings the mirror up to date, tells how it went, and remembers it.
pub fn bring_up_to_date(
    context: &Context,
    (config, repository): (&Config, &Repository),
    (mirror, care): (&Mirror, Care),
    observer: &dyn Observer,
) -> Result<Outcome, Error> {
    let mut ledger = ledger(repository, mirror)?;
    let place = (config, repository);
    let pushed = push(context, place, (mirror, care, &mut ledger), observer);
    context.output.hide_progress();
    let outcome = match pushed {
        Err(error) if is_stop(&error) => return Err(error),
        Ok(pushed) => went_well(mirror, &pushed),
        Err(error) => failed(context, place, (mirror, &ledger), &explain(&error)),
    };
    remember(context, (repository, &mut ledger), &outcome)?;
    Ok(outcome.0)
}

fn push(
    context: &Context,
    (config, repository): (&Config, &Repository),
    (mirror, care, ledger): (&Mirror, Care, &mut Ledger),
    observer: &dyn Observer,
) -> Result<Pushed, Error> {
    let target = target(context, (config, repository), mirror, ledger)?;
    let look = match care {
        Care::Trust => None,
        Care::Compare => Some(Look::Listing),
        Care::Prove => Some(Look::Content),
    };
    if let Some(look) = look {
        let how = (look, Mend::Differences);
        let found = mirror::reconcile(repository, (&target, ledger), how, observer)?;
        tell_reconciled(context, mirror, &found);
    }
    let pushed = mirror::push(repository, &target, ledger, observer)?;
    look_after(context, repository, (&target, ledger), observer)?;
    Ok(pushed)
}

/// Applies the mirror's own policy when that is due. What goes wrong with it costs a warning: what
/// was sent is there.
fn look_after(
    context: &Context,
    repository: &Repository,
    (target, ledger): (&Target, &mut Ledger),
    observer: &dyn Observer,
) -> Result<(), Error> {
    if target.keep.is_none() {
        return Ok(());
    }
    if ledger.notes.tended.at.is_none() {
        let tended = Tended { at: Some(context.now()), ..Tended::default() };
        let kept = ledger.set_tended(tended);
        return kept.map_err(|source| state_error(repository, "write", source));
    }
    if !mirror::is_due(ledger, context.now()) {
        return Ok(());
    }
    let how = (Need::WhenDue, Most::Refuse);
    match mirror::tend(repository, target, ledger, how, observer).map_err(Error::from) {
        Err(error) if is_stop(&error) => Err(error),
        Err(error) => {
            let explanation = explain(&error);
            let message = text::printable(explanation.message.as_bytes());
            let (output, code) = (&context.output, explanation.code);
            output.hide_progress();
            output
                .warning(&format!("mirror {}: nothing old went: {message}  [{code}]", target.name));
            Ok(())
        }
        Ok(done) => {
            context.output.hide_progress();
            tell_upkeep(context, &target.name, &done);
            Ok(())
        }
    }
}

/// Says what went on a mirror, if anything did.
pub fn tell_upkeep(context: &Context, name: &str, done: &Upkeep) {
    let output = &context.output;
    if done.forgotten > 0 {
        let snapshots = text::counted(done.forgotten as u64, "older snapshot");
        output.remark(&format!("mirror {name}: {snapshots} forgotten there by its policy"));
    }
    let Some(pruned) = &done.pruned else { return };
    if pruned.snapshots_removed + pruned.packs_deleted > 0 {
        let snapshots = text::counted(pruned.snapshots_removed, "snapshot");
        let freed = text::bytes(pruned.bytes_freed);
        output.remark(&format!("mirror {name}: {snapshots} removed there for good, {freed} freed"));
    }
    if pruned.packs_condemned > 0 {
        let packs = text::counted(pruned.packs_condemned, "pack");
        output.remark(&format!(
            "mirror {name}: {packs} condemned; what is listed there may lag, so they go in a day"
        ));
    }
}

fn is_stop(error: &Error) -> bool {
    explain(error).exit_code.number() >= ExitCode::Interrupted.number()
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
    (config, repository): (&Config, &Repository),
    (mirror, ledger): (&Mirror, &Ledger),
    explanation: &Explanation,
) -> (Outcome, String) {
    let waiting = repository.history().map_err(crate::ops::Error::from).and_then(|history| {
        let keep = mirror.keep(&config.zone);
        let outlook = Outlook::new(repository, ledger, (keep.as_ref(), &history));
        outlook.waiting(repository, &history)
    });
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
    for (mended, words) in
        [(found.mended, "put right there"), (found.fetched, "fetched from there")]
    {
        if mended > 0 {
            let objects = text::counted(mended, "object");
            output.remark(&format!("mirror {}: {objects} {words}", mirror.name));
        }
    }
}

/// One difference in words.
pub fn words(finding: &mirror::Finding) -> String {
    use mirror::Finding;
    match finding {
        Finding::GoneThere(name) => format!("{name} is gone from there"),
        Finding::OtherSize { name, bytes, expected } => {
            format!("{name} has {bytes} bytes there, {expected} are right")
        }
        Finding::OtherContent(name) => format!("{name} has another content there"),
        Finding::OnlyThere { name, .. } => format!("{name} is only there"),
        Finding::Foreign(name) => format!("{name} is none of ours; it is left alone"),
    }
}

/// How every snapshot stands with every mirror, by what is known of them; nobody is asked.
#[derive(Debug, Default)]
pub struct Elsewhere(Vec<(String, BTreeMap<SnapshotId, Presence>)>);

/// Gathers what is known of the mirrors.
pub fn elsewhere(
    config: &Config,
    repository: &Repository,
    history: &History,
) -> Result<Elsewhere, Error> {
    let known = mirrors(config).map(|mirror| {
        let (ledger, keep) = (ledger(repository, mirror)?, mirror.keep(&config.zone));
        let outlook = Outlook::new(repository, &ledger, (keep.as_ref(), history));
        let presence = history.snapshots.iter().map(|one| (one.id, outlook.of(one.id))).collect();
        Ok((mirror.name.clone(), presence))
    });
    Ok(Elsewhere(known.collect::<Result<_, Error>>()?))
}

impl Elsewhere {
    /// The mirrors that stand like this with the snapshot.
    pub fn names(&self, id: SnapshotId, presence: Presence) -> impl Iterator<Item = &str> {
        let are_so = self.0.iter().filter(move |(_, known)| known.get(&id) == Some(&presence));
        are_so.map(|(name, _)| name.as_str())
    }

    /// Whether there is no mirror at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the snapshot is, for people.
    pub fn places(&self, id: SnapshotId) -> String {
        let there = ["here"].into_iter().chain(self.names(id, Presence::There));
        let waits = self.names(id, Presence::Waiting).collect::<Vec<_>>();
        let there = there.collect::<Vec<_>>().join(", ");
        match waits.is_empty() {
            true => there,
            false => format!("{there} (waits for {})", waits.join(", ")),
        }
    }
}
