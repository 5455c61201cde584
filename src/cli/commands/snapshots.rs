//! `snapshots`: what can be brought back.

use crate::{
    cli::{
        ExitCode,
        args::SnapshotsArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        json,
        run::{Done, brief},
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    repo::{Snapshot, snapshots::Snapshots},
};

/// On a terminal a longer list would scroll away.
pub const SHOWN_MAX: usize = 20;
/// Fewer digits of an id would soon be ambiguous.
const ID_DIGITS_MIN: usize = 8;

pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let Snapshots { snapshots, damaged } =
        brief(context, |observer| Ok(context.open(&config, observer)?.snapshots()?))?;
    warn_of_damaged(&context.output, &damaged);
    let wire: Vec<_> = snapshots.iter().map(|one| json::Snapshot::new(one, &config.zone)).collect();
    context.output.object("stillpoint.snapshots/1", wire);
    show(context, &config, &snapshots, args.all);
    Ok(if damaged.is_empty() { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn show(context: &Context, config: &Config, snapshots: &[Snapshot], all: bool) {
    let output = &context.output;
    if snapshots.is_empty() {
        output.result("No snapshots yet. Make the first one:  stillpoint backup");
        return;
    }
    let is_cut = !all && output.width().is_some() && snapshots.len() > SHOWN_MAX;
    let shown = if is_cut { SHOWN_MAX } else { snapshots.len() };
    let digits = id_digits(snapshots);
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("TAKEN"),
        Column::right("SIZE"),
        Column::right("NEW").when_narrow(Narrow::Drop(1)),
        Column::left("STATE").when_narrow(Narrow::Drop(2)),
        Column::left("WHAT").when_narrow(Narrow::Cut),
    ]);
    for snapshot in snapshots.iter().rev().take(shown) {
        table.row(row(snapshot, context, config, digits));
    }
    output.table(&table, "");
    let stored: u64 = snapshots.iter().map(|snapshot| snapshot.record.bytes_added).sum();
    let bytes: u64 = snapshots.iter().map(protected_bytes).sum();
    let (stored, bytes) = (text::bytes(stored), text::bytes(bytes));
    let count = text::counted(snapshots.len() as u64, "snapshot");
    output.remark(&match is_cut {
        true => format!(
            "{shown} of {count} shown, {stored} stored for {bytes} protected.  \
             All: stillpoint snapshots -a"
        ),
        false => format!("{count}, {stored} stored for {bytes} protected."),
    });
}

fn row(snapshot: &Snapshot, context: &Context, config: &Config, digits: usize) -> Vec<String> {
    let record = &snapshot.record;
    let state = json::state(record);
    vec![
        snapshot.id.to_string()[..digits].to_owned(),
        text::moment(record.created, context.now(), &config.zone),
        text::bytes(protected_bytes(snapshot)),
        text::bytes(record.bytes_added),
        // What is as it should be needs no word.
        if state == "complete" { String::new() } else { state.to_owned() },
        what(snapshot),
    ]
}

/// Names of the parts, and in parentheses the name that was given to the whole.
fn what(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.record.parts.iter().map(|part| part.name.as_str()).collect();
    let tags = snapshot.record.tags.iter().map(|tag| format!(" #{tag}"));
    let name = Some(&snapshot.record.name).filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" \"{name}\"")).into_iter();
    let extra: String = name.chain(tags).collect();
    text::printable(format!("{}{extra}", names.join(", ")).as_bytes())
}

fn protected_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.record.parts.iter().map(|part| part.totals.bytes).sum()
}

/// As many digits as tell all snapshots apart.
pub fn id_digits(snapshots: &[Snapshot]) -> usize {
    let mut ids: Vec<String> = snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect();
    ids.sort_unstable();
    let common =
        |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let longest = ids.windows(2).map(common).max().unwrap_or(0);
    (longest + 1).clamp(ID_DIGITS_MIN, 64)
}
