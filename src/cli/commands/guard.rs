//! `guard`: runs a command that may go wrong, and takes back what it did if it does.

use std::{
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use crate::{
    cli::{
        ExitCode,
        args::GuardArgs,
        commands::live::{conclude, preview, request, safety},
        confirm::confirm,
        context::Context,
        error::Error,
        run::{Done, recorded},
        text,
    },
    config::Config,
    format::record::Trigger,
    ops::{
        self, backup,
        event::Observer,
        live::{self, Goal},
        moment::PartAt,
        restore::Extra,
        run_record::Start,
        set::Set,
    },
    repo::{Repository, Snapshot},
};

pub fn run(context: &Context, args: &GuardArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    let items = vec!["what was there".to_owned(), words.join(" ")];
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        guard(context, &config, args, observer)
    })
}

fn guard(
    context: &Context,
    config: &Config,
    args: &GuardArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let sets = sets(config, args)?;
    let mut request = safety(context, config, &repository, sets)?;
    request.trigger = Trigger::Guard;
    let report = backup::run(&repository, &request, observer)?;
    let snapshot = match report.snapshot {
        Some(snapshot) if report.failed.is_empty() => snapshot,
        _ => {
            let what = report.failed.first().map(|failed| failed.name.clone()).unwrap_or_default();
            return Err(ops::Error::from(live::Error::NotSaved { what }).into());
        }
    };
    context.output.hide_progress();
    let id = &snapshot.id.to_string()[..8];
    context.output.message(&format!("Guarded by snapshot {id}."));
    let why = match command(args) {
        Ok(()) if !context.machine.stop.load(Ordering::Relaxed) => {
            let mut done = Done::new(ExitCode::Done).figure("rolled_back", false);
            done.snapshot_id = Some(snapshot.id.to_string());
            return Ok(done);
        }
        Ok(()) => "it was stopped".to_owned(),
        Err(why) => why,
    };
    // The command was stopped; that what it did is taken back is not.
    context.machine.stop.store(false, Ordering::Relaxed);
    roll_back(context, config, args, (&repository, &snapshot, &why), observer)
}

fn sets(config: &Config, args: &GuardArgs) -> Result<Vec<Set>, Error> {
    let known = || config.sets.iter().map(|set| set.name.clone()).collect();
    for name in &args.part {
        if config.sets.iter().all(|set| set.name != *name) {
            let unknown = ops::Error::UnknownSet { name: name.clone(), known: known() };
            return Err(unknown.into());
        }
    }
    let is_meant = |set: &&Set| args.part.is_empty() || args.part.contains(&set.name);
    let sets: Vec<Set> = config.sets.iter().filter(is_meant).cloned().collect();
    if sets.is_empty() {
        let message = "there is nothing to guard".to_owned();
        let help = "name it in the configuration: [[database]] and [[files]]";
        return Err(Error::Usage { message, help });
    }
    Ok(sets)
}

fn command(args: &GuardArgs) -> Result<(), String> {
    let (program, arguments) = args.command.split_first().ok_or("there is no command")?;
    let shown = text::printable(program.as_encoded_bytes());
    let mut command = Command::new(program);
    let ran = command.args(arguments).stdin(Stdio::inherit()).status();
    match ran {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn roll_back(
    context: &Context,
    config: &Config,
    args: &GuardArgs,
    (repository, snapshot, why): (&Repository, &Snapshot, &str),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let parts: Vec<PartAt<'_>> =
        snapshot.record.parts.iter().map(|part| PartAt { snapshot, part }).collect();
    let request = request(context, config, repository, (&parts, &args.in_place, Extra::Delete))?;
    let goal = Goal { parts, removals: Vec::new(), asked: format!("guard: {why}") };
    context.output.message(&format!("It failed: {why}."));
    let sites = live::plan(repository, &goal, &request, observer)?;
    preview(context, &request, &sites);
    confirm(context, args.in_place.said(), "Put everything back as it was?")?;
    let report = live::run(repository, &goal, &request, observer)?;
    let mut done = conclude(context, repository, &report).figure("rolled_back", true);
    done.exit_code = ExitCode::Failed;
    done.snapshot_id = Some(snapshot.id.to_string());
    Ok(done)
}
