//! `runs`: what was done on this machine, and how it ended.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::snapshots::SHOWN_MAX;
use crate::{
    cli::{
        ExitCode,
        args::RunsArgs,
        context::Context,
        error::Error,
        json,
        output::Tone,
        run::Done,
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    ops::run_record::{Level, RunFolder, RunRecord, RunResult, RunState},
};

#[derive(Serialize)]
struct Wire {
    run: String,
    command: String,
    started: String,
    finished: Option<String>,
    /// `running`, `interrupted`, or how it ended.
    state: &'static str,
    exit_code: Option<u8>,
    repository: String,
    repository_id: Option<String>,
    snapshot_id: Option<String>,
    bytes_added: u64,
    actor: String,
    station: String,
    items: Vec<String>,
    message: String,
    log: Vec<WireLog>,
    lines_left_out: usize,
}

#[derive(Serialize)]
struct WireLog {
    time: String,
    level: &'static str,
    phase: String,
    item: String,
    code: String,
    message: String,
}

pub fn run(context: &Context, args: &RunsArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let mut runs = read(context, &config)?;
    if let Some(run) = &args.run {
        runs.retain(|record| record.run.starts_with(run.as_str()));
        if runs.is_empty() {
            let message = format!("no run is named `{run}`");
            return Err(Error::Usage { message, help: "see what there is:  stillpoint runs" });
        }
    }
    let wire: Vec<Wire> = runs.iter().map(|record| wire(record, &config)).collect();
    context.output.object("stillpoint.runs/1", wire);
    match args.run {
        Some(_) => runs.iter().for_each(|record| show_log(context, &config, record)),
        None => show(context, &config, &runs, args.all),
    }
    Ok(ExitCode::Done.into())
}

pub fn read(context: &Context, config: &Config) -> Result<Vec<RunRecord>, Error> {
    let failed = |source| Error::StateFolder { path: config.state_root.clone(), source };
    let disk = Arc::clone(&context.machine.disk);
    match RunFolder::open_existing(disk, &config.state_root).map_err(failed)? {
        Some(folder) => folder.list().map_err(failed),
        None => Ok(Vec::new()),
    }
}

fn wire(record: &RunRecord, config: &Config) -> Wire {
    let finished = match &record.state {
        RunState::Finished { at, finish } => Some((json::time(*at, &config.zone), finish.clone())),
        _ => None,
    };
    let (finished, finish) = finished.unzip();
    let log = record.log.iter().map(|(at, line)| WireLog {
        time: json::time(*at, &config.zone),
        level: line.level.as_str(),
        phase: line.phase.clone(),
        item: line.item.clone(),
        code: line.code.clone(),
        message: line.message.clone(),
    });
    Wire {
        run: record.run.clone(),
        command: record.start.kind.clone(),
        started: json::time(record.started, &config.zone),
        finished,
        state: state(&record.state),
        exit_code: finish.as_ref().map(|finish| finish.exit_code),
        repository: record.start.repository.clone(),
        repository_id: finish.as_ref().and_then(|finish| finish.repository_id.clone()),
        snapshot_id: finish.as_ref().and_then(|finish| finish.snapshot.clone()),
        bytes_added: finish.as_ref().map(|finish| finish.bytes_added).unwrap_or_default(),
        actor: record.start.actor.clone(),
        station: record.start.station.clone(),
        items: record.start.items.clone(),
        message: finish.map(|finish| finish.message).unwrap_or_default(),
        log: log.collect(),
        lines_left_out: record.lines_left_out,
    }
}

pub const fn state(state: &RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Interrupted => "interrupted",
        RunState::Finished { finish, .. } => finish.result.as_str(),
    }
}

fn show(context: &Context, config: &Config, runs: &[RunRecord], all: bool) {
    let output = &context.output;
    if runs.is_empty() {
        output.result("No runs yet.");
        return;
    }
    let is_cut = !all && output.width().is_some() && runs.len() > SHOWN_MAX;
    let shown = if is_cut { SHOWN_MAX } else { runs.len() };
    let mut table = Table::new([
        Column::left("RUN"),
        Column::left("STARTED"),
        Column::left("WHAT"),
        Column::right("TOOK").when_narrow(Narrow::Drop(2)),
        Column::left("ENDED"),
        Column::left("SNAPSHOT").when_narrow(Narrow::Drop(1)),
        Column::left("WHY").when_narrow(Narrow::Cut),
    ]);
    for record in &runs[..shown] {
        table.row(row(context, config, record));
    }
    output.table(&table, "");
    let count = text::counted(runs.len() as u64, "run");
    if is_cut {
        output.remark(&format!("{shown} of {count} shown.  All: stillpoint runs -a"));
    }
    output.remark("The log of one:  stillpoint runs RUN");
}

fn row(context: &Context, config: &Config, record: &RunRecord) -> Vec<String> {
    let (took, snapshot, why) = match &record.state {
        RunState::Finished { at, finish } => {
            let took =
                Duration::from_nanos(at.saturating_sub(record.started).max(0).unsigned_abs());
            let snapshot = finish.snapshot.as_ref().map(|id| id.chars().take(8).collect());
            (text::duration(took), snapshot.unwrap_or_default(), finish.message.clone())
        }
        _ => Default::default(),
    };
    let started = text::moment(record.started, context.now(), &config.zone);
    let (what, state) = (record.start.kind.clone(), state(&record.state).to_owned());
    let why = text::printable(why.as_bytes());
    vec![record.run.clone(), started, what, took, state, snapshot, why]
}

fn show_log(context: &Context, config: &Config, record: &RunRecord) {
    let output = &context.output;
    let started = text::moment(record.started, context.now(), &config.zone);
    let items = record.start.items.join(" ");
    let what = text::printable(format!("{} {items}", record.start.kind).trim_end().as_bytes());
    output.result(&format!("{}  {started}  {what}  {}", record.run, state(&record.state)));
    for (at, line) in &record.log {
        let time = text::clock(*at, &config.zone);
        let level = match line.level {
            Level::Info => String::new(),
            Level::Warning => output.tone(Tone::Caution, "warning: "),
            Level::Error => output.tone(Tone::Bad, "error: "),
        };
        let words = [line.phase.as_str(), line.item.as_str(), line.message.as_str()];
        let words =
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ");
        output.result(&format!("  {time}  {level}{}", text::printable(words.as_bytes())));
    }
    if record.lines_left_out > 0 {
        output
            .result(&format!("  and {} more", text::counted(record.lines_left_out as u64, "line")));
    }
    if let RunState::Finished { at, finish } = &record.state {
        let (time, result) = (text::clock(*at, &config.zone), finish.result.as_str());
        let tone = if finish.result == RunResult::Done { Tone::Good } else { Tone::Bad };
        let message = text::printable(finish.message.as_bytes());
        let words = format!("{result}  exit code {}  {message}", finish.exit_code);
        output.result(&format!("  {time}  {}", output.tone(tone, words.trim_end())));
    }
}
