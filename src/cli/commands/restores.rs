//! `restores`: everything that left the repository: who, from what, to where, and how it ended.

use serde::Serialize;

use super::runs::{read, state};
use super::snapshots::SHOWN_MAX;
use crate::{
    cli::{
        ExitCode,
        args::RestoresArgs,
        context::Context,
        error::Error,
        json,
        run::Done,
        table::{Column, Narrow, Table},
        text,
    },
    ops::run_record::{RunRecord, RunState},
};

/// Commands that bring something out of the repository.
const KINDS: [&str; 6] = ["restore", "undo", "guard", "dump", "export", "drill"];

#[derive(Serialize)]
struct Wire {
    run: String,
    command: String,
    started: String,
    actor: String,
    station: String,
    from: String,
    to: String,
    snapshot_id: Option<String>,
    state: &'static str,
    message: String,
}

pub fn run(context: &Context, args: &RestoresArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let mut runs = read(context, &config)?;
    runs.retain(|record| KINDS.contains(&record.start.kind.as_str()));
    let item =
        |record: &RunRecord, at: usize| record.start.items.get(at).cloned().unwrap_or_default();
    let wire = |record: &RunRecord| {
        let finish = match &record.state {
            RunState::Finished { finish, .. } => Some(finish),
            _ => None,
        };
        Wire {
            run: record.run.clone(),
            command: record.start.kind.clone(),
            started: json::time(record.started, &config.zone),
            actor: record.start.actor.clone(),
            station: record.start.station.clone(),
            from: item(record, 0),
            to: item(record, 1),
            snapshot_id: finish.and_then(|finish| finish.snapshot.clone()),
            state: state(&record.state),
            message: finish.map(|finish| finish.message.clone()).unwrap_or_default(),
        }
    };
    context.output.object("stillpoint.restores/1", runs.iter().map(wire).collect::<Vec<_>>());
    let shown = if args.all || context.output.width().is_none() { runs.len() } else { SHOWN_MAX };
    let mut table = Table::new([
        Column::left("RUN"),
        Column::left("STARTED"),
        Column::left("WHO").when_narrow(Narrow::Drop(1)),
        Column::left("WHAT"),
        Column::left("FROM"),
        Column::left("TO"),
        Column::left("ENDED"),
    ]);
    for record in runs.iter().take(shown) {
        table.row(vec![
            record.run.clone(),
            text::moment(record.started, context.now(), &config.zone),
            text::printable(record.start.actor.as_bytes()),
            record.start.kind.clone(),
            text::printable(item(record, 0).as_bytes()),
            text::printable(item(record, 1).as_bytes()),
            state(&record.state).to_owned(),
        ]);
    }
    context.output.table(&table, "");
    if runs.is_empty() {
        context.output.remark("Nothing was restored yet.");
    }
    Ok(ExitCode::Done.into())
}
