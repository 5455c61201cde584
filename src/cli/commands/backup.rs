//! `backup`: one snapshot of all that was asked for.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    cli::{
        ExitCode,
        args::{BackupArgs, NamedPath, TriggerArg},
        context::{Context, repository_place},
        error::Error,
        json,
        mirrors::{
            self,
            ahead::{self, SentAhead},
        },
        output::Tone,
        pins,
        run::{Done, recorded, unrecorded},
        text,
    },
    config::Config,
    format::record::{PartKind, Storage, Trigger},
    ops::{
        self,
        backup::{Report, Request},
        event::Observer,
        mirror::Made,
        plan::{Expectation, plan},
        run_record::Start,
        set::{FileContent, FileSet, Mounts, Set, SetSource},
        upkeep::{self, Mode, Upkeep},
    },
    repo::Repository,
};

pub fn run(context: &Context, args: BackupArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let sets = sets(&config, &args)?;
    if args.dry_run {
        return unrecorded(context, |observer| {
            let repository = context.open(&config, observer)?;
            preview(context, &config, &repository, &sets)
        });
    }
    let upkeep = upkeep(context, &config, &args)?;
    let start = Start {
        actor: args.by.clone().unwrap_or_default(),
        station: args.station.clone().unwrap_or_default(),
        items: sets.iter().map(|set| set.name.clone()).collect(),
        ..Start::default()
    };
    recorded(context, &config, start, |observer| {
        let made = Arc::<Made>::default();
        let repository = match ahead::has_any(&config) {
            true => context.open_telling(&config, observer, ahead::tell(&made))?,
            false => context.open(&config, observer)?,
        };
        let configured = configured(&config, &repository, &sets)?;
        let request = request(context, &config, args, (sets, configured))?;
        let (done, sent) = ahead::during(context, (&config, &repository), &made, || {
            let outcome = upkeep::back_up(&repository, &request, &upkeep, observer)?;
            let done = conclude(context, &repository, &outcome.report);
            Ok::<_, Error>(tell_upkeep(context, &outcome, done))
        });
        send(context, &config, (&repository, (done?, &sent)), observer)
    })
}

/// What goes with this backup.
fn upkeep(context: &Context, config: &Config, args: &BackupArgs) -> Result<Upkeep, Error> {
    let until = args.until.as_deref();
    let until = until.map(|text| pins::until(text, context.now(), &config.zone)).transpose()?;
    Ok(Upkeep {
        mode: if config.retention.auto { Mode::Auto } else { Mode::Manual },
        policies: config.retention.policies.clone(),
        zone: config.zone.clone(),
        prune: config.retention.prune_options(),
        pin: args.pin.clone().map(|reason| (reason, until)),
    })
}

fn tell_upkeep(context: &Context, outcome: &upkeep::Outcome, done: Done) -> Done {
    let output = &context.output;
    if outcome.forgotten > 0 {
        let snapshots = text::counted(outcome.forgotten as u64, "older snapshot");
        output.remark(&format!(
            "{snapshots} forgotten by the policy.  See them:  stillpoint snapshots --forgotten"
        ));
    }
    let freed = outcome.pruned.as_ref().map(|pruned| pruned.bytes_freed);
    if let Some(bytes) = freed {
        output.remark(&format!("Pruned: {} freed.", text::bytes(bytes)));
    }
    done.figure("forgotten", outcome.forgotten).figure("bytes_freed", freed)
}

/// The sets of this run: those named, those given here, or all of the configuration.
fn sets(config: &Config, args: &BackupArgs) -> Result<Vec<Set>, Error> {
    let ad_hoc = ad_hoc(args)?;
    let mut sets = Vec::new();
    for name in &args.names {
        let known = || config.sets.iter().map(|set| set.name.clone()).collect();
        let found = config.sets.iter().find(|set| set.name == *name);
        let unknown = || ops::Error::UnknownSet { name: name.clone(), known: known() };
        sets.push(found.ok_or_else(unknown)?.clone());
    }
    if sets.is_empty() && ad_hoc.is_empty() {
        sets.clone_from(&config.sets);
    }
    sets.extend(ad_hoc);
    if sets.is_empty() {
        let message = "there is nothing to back up".to_owned();
        let help = "name it: --sqlite NAME=PATH, --files NAME=PATH, or [[database]] and [[files]] \
                    in the configuration";
        return Err(Error::Usage { message, help });
    }
    unique(&sets)?;
    sets.iter_mut().for_each(|set| narrow(set, args));
    Ok(sets)
}

/// Sets that only the command line names. Several paths under one name are one set.
fn ad_hoc(args: &BackupArgs) -> Result<Vec<Set>, Error> {
    let mut sets: Vec<Set> = Vec::new();
    for NamedPath { name, path } in &args.sqlite {
        let source = SetSource::Sqlite { path: path.clone() };
        sets.push(Set { name: name.clone(), source });
    }
    for NamedPath { name, path } in &args.files {
        let named = sets.iter_mut().find(|set| set.name == *name);
        match named.map(|set| &mut set.source) {
            Some(SetSource::Files(files)) => files.paths.push(path.clone()),
            _ => {
                let files = FileSet {
                    paths: vec![path.clone()],
                    content: FileContent::Files,
                    ..FileSet::default()
                };
                sets.push(Set { name: name.clone(), source: SetSource::Files(files) });
            }
        }
    }
    Ok(sets)
}

fn unique(sets: &[Set]) -> Result<(), Error> {
    let mut names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::Usage {
            message: format!("two sets are named `{}`", pair[0]),
            help: "a snapshot holds one part of a name",
        }),
    }
}

/// Applies what the command line leaves out.
fn narrow(set: &mut Set, args: &BackupArgs) {
    let SetSource::Files(files) = &mut set.source else { return };
    files.exclude.extend(args.exclude.iter().cloned());
    files.exclude_if_present.extend(args.exclude_if_present.iter().cloned());
    if args.one_file_system {
        files.mounts = Mounts::Skip;
    }
}

fn request(
    context: &Context,
    config: &Config,
    args: BackupArgs,
    (sets, configured): (Vec<Set>, Vec<(String, PartKind)>),
) -> Result<Request, Error> {
    let extra = sets.iter().filter(|set| config.sets.iter().all(|known| known.name != set.name));
    let all: Vec<Set> = config.sets.iter().chain(extra).cloned().collect();
    let machine = &context.machine;
    Ok(Request {
        configured,
        config: config.to_toml_without_secrets(&all),
        sets,
        storage: if args.full { Storage::Full } else { Storage::Incremental },
        trigger: trigger(args.trigger),
        actor: args.by.unwrap_or_else(|| config.actor.clone()),
        station: args.station.unwrap_or_else(|| config.station.clone()),
        name: args.name.unwrap_or_default(),
        note: args.note.unwrap_or_default(),
        tags: args.tag,
        environment: machine.facts(),
        app_version: config.app_version.clone(),
        host: machine.host(),
        wait: args.wait.unwrap_or_default(),
        min_free_bytes: config.min_free_bytes,
        program: machine.program.clone(),
        own: own(config)?,
        origins: Vec::new(),
    })
}

/// All parts that belong to this shop: those of the configuration, or, without one, all that were
/// ever named. A moment is composed of them.
pub fn configured(
    config: &Config,
    repository: &Repository,
    sets: &[Set],
) -> Result<Vec<(String, PartKind)>, Error> {
    let named = config.sets.iter().chain(sets).map(|set| (set.name.clone(), set.kind()));
    let mut configured: Vec<(String, PartKind)> = match config.sets.is_empty() {
        true => {
            let newest = repository.snapshots()?.snapshots.pop();
            newest.map(|snapshot| snapshot.record.configured).unwrap_or_default()
        }
        false => Vec::new(),
    };
    for (name, kind) in named {
        match configured.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = kind,
            None => configured.push((name, kind)),
        }
    }
    Ok(configured)
}

const fn trigger(trigger: TriggerArg) -> Trigger {
    match trigger {
        TriggerArg::Manual => Trigger::Manual,
        TriggerArg::Schedule => Trigger::Schedule,
        TriggerArg::Safety => Trigger::Safety,
        TriggerArg::Guard => Trigger::Guard,
        TriggerArg::Import => Trigger::Import,
    }
}

/// Says what would be read. Never in the past tense: nothing happens.
fn preview(
    context: &Context,
    config: &Config,
    repository: &Repository,
    sets: &[Set],
) -> Result<Done, Error> {
    let planned = plan(repository, sets, &own(config)?)?;
    let output = &context.output;
    output.hide_progress();
    output.remark("Preview only. Nothing is saved.");
    for part in &planned {
        let what = format!("{} {}", json::kind(part.kind), part.name);
        let (tone, words) = match &part.expectation {
            Expectation::Unchanged { bytes } => {
                (Tone::Good, format!("{}, unchanged", text::bytes(*bytes)))
            }
            Expectation::Read { bytes, files, is_first } => {
                let files = match part.kind {
                    PartKind::Database => String::new(),
                    _ => format!(" in {}", text::counted(*files, "file")),
                };
                let first = if *is_first { ", for the first time" } else { "" };
                (Tone::Good, format!("{}{files} would be looked at{first}", text::bytes(*bytes)))
            }
            Expectation::Failure { why } => (Tone::Bad, format!("would fail: {why}")),
        };
        let words = text::printable(words.as_bytes());
        output.remark(&format!("{} {what:<24} {words}", output.mark(tone)));
    }
    let failures =
        planned.iter().filter(|part| matches!(part.expectation, Expectation::Failure { .. }));
    let failures = failures.count();
    let exit_code = if failures == 0 { ExitCode::Done } else { ExitCode::Incomplete };
    Ok(Done::new(exit_code)
        .figure("dry_run", true)
        .figure("parts", planned.len())
        .figure("parts_failed", failures))
}

/// What is never saved.
pub fn own(config: &Config) -> Result<Vec<PathBuf>, Error> {
    let repository = repository_place(config)?.folder().map(Path::to_owned);
    Ok(repository.into_iter().chain([config.state_root.clone()]).collect())
}

/// Brings the mirrors up to date. One that fails makes the run incomplete, and takes nothing back.
pub fn send(
    context: &Context,
    config: &Config,
    (repository, (done, ahead)): (&Repository, (Done, &SentAhead)),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    if done.snapshot_id.is_none() || mirrors::mirrors(config).next().is_none() {
        return Ok(done);
    }
    mirrors::bring_all_up_to_date(context, (config, repository), (done, ahead), observer)
}

/// Says how a backup ended.
pub fn conclude(context: &Context, repository: &Repository, report: &Report) -> Done {
    let output = &context.output;
    output.hide_progress();
    let exit_code = match (&report.snapshot, report.is_complete()) {
        (None, _) => ExitCode::Failed,
        (Some(_), false) => ExitCode::Incomplete,
        (Some(_), true) => ExitCode::Done,
    };
    let (added, took) = (text::bytes(report.bytes_added), text::duration(context.took()));
    match &report.snapshot {
        Some(snapshot) => {
            let id = &snapshot.id.to_string()[..8];
            let state = if exit_code == ExitCode::Done { "" } else { ", incomplete" };
            output.remark(&format!("Snapshot {id}{state}: {added} stored, {took}."));
        }
        None => output.result("No snapshot was made: nothing could be captured."),
    }
    let mut done = Done::new(exit_code)
        .figure("bytes_added", report.bytes_added)
        .figure("parts_failed", report.failed.len());
    done.bytes_added = report.bytes_added;
    done.repository_id = Some(repository.id().to_string());
    done.snapshot_id = report.snapshot.as_ref().map(|snapshot| snapshot.id.to_string());
    done
}
