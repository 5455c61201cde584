//! `status`: am I safe?

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        context::{Context, state_root},
        error::Error,
        json, mirrors,
        output::Tone,
        run::{Done, brief},
        table::{Column, Narrow, Table},
        text,
    },
    config::{Config, Mirror, Place},
    format::record::{Part, PartContent, PartKind, Trigger},
    ops::{
        drill::{self, Certificate},
        run_record::{RunFolder, RunRecord, RunResult, RunState},
        status::{CopyView, Lies, Newest, SIZES_COMPARED, SetView, Status, Verdict, View, judge},
    },
    repo::{Repository, Snapshot},
};

#[derive(Serialize)]
struct Wire<'a> {
    verdict: &'static str,
    sentence: &'a str,
    exposure_seconds: Option<u64>,
    reasons: Vec<WireReason<'a>>,
    sets: Vec<WireSet>,
    mirrors: Vec<WireCopy>,
    drill: Option<WireDrill>,
}

#[derive(Serialize)]
struct WireReason<'a> {
    verdict: &'static str,
    what: &'a str,
    command: &'static str,
}

#[derive(Serialize)]
struct WireSet {
    name: String,
    kind: &'static str,
    snapshot_id: Option<String>,
    time: Option<String>,
    interval_seconds: Option<u64>,
}

#[derive(Serialize)]
struct WireCopy {
    name: String,
    reached: Option<String>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct WireDrill {
    time: String,
    from: String,
    passed: bool,
    restore_ms: u64,
}

pub fn run(context: &Context) -> Result<Done, Error> {
    let config = context.config()?;
    let (sets, copies, drill) = brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        let snapshots = repository.snapshots()?.snapshots;
        let sets = sets(&config, &snapshots);
        let copies = copies(&config, &repository, (&sets, &snapshots))?;
        let drills_there: Vec<PathBuf> = mirrors::mirrors(&config)
            .map(|mirror| state_root(&config, &mirror.place).join(repository.id().to_string()))
            .collect();
        Ok((sets, copies, drill::last(&repository, &drills_there)?))
    })?;
    let view = View {
        now: context.now(),
        sets,
        drill: drill.as_ref().map(|drill| (drill.began, drill.passed)),
        failed_in_a_row: failed_in_a_row(context, &config)?,
        repository: lies(&config),
        copies,
    };
    let status = judge(&view);
    context.output.object("stillpoint.status/1", wire(&config, &view, &status, drill.as_ref()));
    show(context, &config, &view, &status);
    Ok(exit_code(status.verdict).into())
}

const fn exit_code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Safe => ExitCode::Done,
        Verdict::SafeBut => ExitCode::NeedsAttention,
        Verdict::AtRisk | Verdict::NotProtected => ExitCode::AtRisk,
    }
}

/// The sets of the configuration, or all parts that the newest snapshot knows of.
fn sets(config: &Config, snapshots: &[Snapshot]) -> Vec<SetView> {
    let mut known: Vec<(String, PartKind)> =
        config.sets.iter().map(|set| (set.name.clone(), set.kind())).collect();
    if known.is_empty() {
        let newest = snapshots.last();
        known = newest.map(|snapshot| snapshot.record.configured.clone()).unwrap_or_default();
    }
    let view = |(name, kind): (String, PartKind)| {
        let of_set = |snapshot: &'_ Snapshot| {
            let parts = snapshot.record.parts.iter();
            parts.clone().find(|part| part.name == name).cloned()
        };
        // What guards a restore is no sign that the schedule lives.
        let regular = snapshots.iter().rev().filter(|s| s.record.trigger != Trigger::Safety);
        let mut found =
            regular.filter_map(|snapshot| of_set(snapshot).map(|part| (snapshot, part)));
        let newest = found.next().map(|(snapshot, part)| Newest {
            snapshot: snapshot.id.to_string(),
            created: snapshot.record.created,
            outcome: part.outcome,
            bytes: part.totals.bytes,
            rows: rows(&part),
        });
        let before = found.take(SIZES_COMPARED);
        let before = before.map(|(_, part)| (part.totals.bytes, rows(&part))).collect();
        let interval = config.intervals.get(&name).copied();
        SetView { name, kind, interval, newest, before }
    };
    known.into_iter().map(view).collect()
}

fn rows(part: &Part) -> Option<u64> {
    let PartContent::Database { facts, .. } = &part.content else { return None };
    let counts = facts.rows.iter().map(|(_, rows)| u64::try_from(*rows).ok());
    counts.collect::<Option<Vec<u64>>>().map(|counts| counts.iter().sum())
}

fn failed_in_a_row(context: &Context, config: &Config) -> Result<usize, Error> {
    let failed = |source| Error::StateFolder { path: config.state_root.clone(), source };
    let disk = Arc::clone(&context.machine.disk);
    let Some(folder) = RunFolder::open_existing(disk, &config.state_root).map_err(failed)? else {
        return Ok(0);
    };
    let has_failed = |run: &RunRecord| match &run.state {
        RunState::Interrupted => true,
        RunState::Running => false,
        RunState::Finished { finish, .. } => finish.result == RunResult::Failed,
    };
    let runs = folder.list().map_err(failed)?;
    let backups = runs.iter().filter(|run| run.start.kind == "backup");
    let ended = backups.filter(|run| run.state != RunState::Running);
    Ok(ended.take_while(|run| has_failed(run)).count())
}

/// A repository that does not lie in a folder survives this machine.
const fn lies(config: &Config) -> Lies {
    match config.repository {
        Some(Place::Folder(_)) | None => Lies::OnThisMachine,
        _ => Lies::Elsewhere,
    }
}

/// What was seen in the mirrors last; nobody is asked.
fn copies(
    config: &Config,
    repository: &Repository,
    (sets, snapshots): (&[SetView], &[Snapshot]),
) -> Result<Vec<CopyView>, Error> {
    let view = |mirror: &Mirror| {
        let ledger = mirrors::ledger(repository, mirror)?;
        let newest = |set: &SetView| {
            let there = snapshots.iter().rev().filter(|snapshot| ledger.shows(snapshot.id));
            let mut made = there.filter(|snapshot| {
                let mut parts = snapshot.record.parts.iter();
                parts.any(|part| part.name == set.name)
            });
            made.next().map(|snapshot| snapshot.record.created)
        };
        let last = ledger.notes.last.as_ref();
        Ok(CopyView {
            name: mirror.name.clone(),
            reached: ledger.notes.reached,
            failure: last.filter(|last| last.code.is_some()).map(|last| last.message.clone()),
            newest: sets.iter().map(newest).collect(),
        })
    };
    mirrors::mirrors(config).map(view).collect()
}

fn wire<'a>(
    config: &Config,
    view: &View,
    status: &'a Status,
    drill: Option<&Certificate>,
) -> Wire<'a> {
    let reasons = status.reasons.iter().map(|reason| WireReason {
        verdict: reason.verdict.as_str(),
        what: &reason.what,
        command: reason.command,
    });
    let sets = view.sets.iter().map(|set| WireSet {
        name: set.name.clone(),
        kind: json::kind(set.kind),
        snapshot_id: set.newest.as_ref().map(|newest| newest.snapshot.clone()),
        time: set.newest.as_ref().map(|newest| json::time(newest.created, &config.zone)),
        interval_seconds: set.interval.map(|interval| interval.as_secs()),
    });
    let copies = view.copies.iter().map(|copy| WireCopy {
        name: copy.name.clone(),
        reached: copy.reached.map(|at| json::time(at, &config.zone)),
        failure: copy.failure.clone(),
    });
    Wire {
        verdict: status.verdict.as_str(),
        sentence: &status.sentence,
        exposure_seconds: status.exposure.map(|exposure| exposure.as_secs()),
        reasons: reasons.collect(),
        sets: sets.collect(),
        mirrors: copies.collect(),
        drill: drill.map(|drill| WireDrill {
            time: json::time(drill.began, &config.zone),
            from: drill.place.clone(),
            passed: drill.passed,
            restore_ms: drill.restore_ms,
        }),
    }
}

fn show(context: &Context, config: &Config, view: &View, status: &Status) {
    let output = &context.output;
    output.hide_progress();
    let tone = match status.verdict {
        Verdict::Safe => Tone::Good,
        Verdict::SafeBut => Tone::Caution,
        Verdict::AtRisk | Verdict::NotProtected => Tone::Bad,
    };
    output.result(&format!("{} {}", output.mark(tone), status.sentence));
    let mut table = Table::new([
        Column::left(""),
        Column::left(""),
        Column::left("").when_narrow(Narrow::Drop(1)),
    ]);
    for set in &view.sets {
        let (when, age) = match &set.newest {
            Some(newest) => (
                text::moment(newest.created, view.now, &config.zone),
                text::age(newest.created, view.now),
            ),
            None => ("never saved".to_owned(), String::new()),
        };
        table.row(vec![format!("{} {}", json::kind(set.kind), set.name), when, age]);
    }
    for copy in &view.copies {
        let (when, age) = match copy.reached {
            Some(reached) => {
                (text::moment(reached, view.now, &config.zone), text::age(reached, view.now))
            }
            None => ("never reached".to_owned(), String::new()),
        };
        table.row(vec![format!("mirror {}", copy.name), when, age]);
    }
    output.table(&table, "  ");
    for reason in &status.reasons {
        output.result(&format!(
            "  {}:  {}",
            text::printable(reason.what.as_bytes()),
            reason.command
        ));
    }
}
