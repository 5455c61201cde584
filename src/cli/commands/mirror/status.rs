//! `mirror status`: where each snapshot is complete, and what still waits.

use serde::Serialize;
use serde_json::json;

use crate::{
    cli::{
        ExitCode,
        args::MirrorStatusArgs,
        commands::snapshots::{SHOWN_MAX, id_digits},
        context::Context,
        error::Error,
        mirrors,
        output::Tone,
        run::{Done, brief},
        table::{Column, Narrow, Table},
        text,
    },
    config::{Config, Mirror},
    ops::mirror::{self, Ledger, Look, Mend, Outlook, Presence, Reconciled, Waiting},
    repo::{Repository, Snapshot},
};

/// How it stands with one mirror.
struct Standing<'a> {
    mirror: &'a Mirror,
    ledger: Ledger,
    waiting: Waiting,
    /// Of each snapshot in turn.
    presence: Vec<Presence>,
    compared: Option<Reconciled>,
}

#[derive(Debug, Serialize)]
struct SnapshotWire {
    id: String,
    time: String,
    places: Vec<String>,
    waiting_for: Vec<String>,
}

pub fn run(context: &Context, args: &MirrorStatusArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let chosen: Vec<&Mirror> = match &args.name {
        Some(name) => vec![mirrors::named(&config, name)?],
        None => mirrors::mirrors(&config).collect(),
    };
    let (history, standings) = brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        let history = repository.history()?;
        let standings = chosen
            .into_iter()
            .map(|mirror| {
                let mut ledger = mirrors::ledger(&repository, mirror)?;
                let compared = match args.verify {
                    true => {
                        let place = (&config, &repository);
                        Some(compare(context, place, (mirror, &mut ledger), observer)?)
                    }
                    false => None,
                };
                let keep = mirror.keep(&config.zone);
                let outlook = Outlook::new(&repository, &ledger, (keep.as_ref(), &history));
                let waiting = outlook.waiting(&repository, &history)?;
                let presence =
                    history.shown().map(|snapshot| outlook.of(snapshot.id)).collect::<Vec<_>>();
                Ok(Standing { mirror, ledger, waiting, presence, compared })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok((history, standings))
    })?;
    let snapshots: Vec<&Snapshot> = history.shown().collect();
    context.output.object("stillpoint.mirror-status/1", wire(&config, &snapshots, &standings));
    for standing in &standings {
        tell(context, &config, standing);
    }
    show(context, &config, &snapshots, &standings);
    let differs = |one: &Standing<'_>| {
        one.compared.as_ref().is_some_and(|compared| !compared.findings.is_empty())
    };
    let is_whole = standings.iter().all(|one| one.waiting.snapshots == 0 && !differs(one));
    Ok(if is_whole { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn compare(
    context: &Context,
    (config, repository): (&Config, &Repository),
    (mirror, ledger): (&Mirror, &mut Ledger),
    observer: &dyn crate::ops::event::Observer,
) -> Result<Reconciled, Error> {
    let target = mirrors::target(context, (config, repository), mirror, ledger)?;
    let found =
        mirror::reconcile(repository, (&target, ledger), (Look::Listing, Mend::Report), observer)?;
    context.output.hide_progress();
    mirrors::tell_reconciled(context, mirror, &found);
    Ok(found)
}

/// The mirrors that stand like this with the snapshot of this number.
fn names<'a>(
    standings: &'a [Standing<'_>],
    at: usize,
    presence: Presence,
) -> impl Iterator<Item = &'a str> {
    let are_so = standings.iter().filter(move |standing| standing.presence[at] == presence);
    are_so.map(|standing| standing.mirror.name.as_str())
}

fn wire(config: &Config, snapshots: &[&Snapshot], standings: &[Standing<'_>]) -> serde_json::Value {
    let mirrors: Vec<_> = standings
        .iter()
        .map(|Standing { mirror, ledger, waiting, compared, .. }| {
            let last = ledger.notes.last.as_ref();
            json!({
                "name": mirror.name,
                "place": mirror.place.to_string(),
                "state": if waiting.snapshots == 0 { "complete" } else { "waiting" },
                "objects": ledger.objects().len(),
                "bytes": ledger.objects().values().map(|object| object.bytes).sum::<u64>(),
                "snapshots_waiting": waiting.snapshots,
                "bytes_waiting": waiting.bytes,
                "last": last.map(|last| json!({
                    "time": text::rfc3339(last.at, &config.zone),
                    "code": last.code,
                    "message": last.message,
                })),
                "differences": compared.as_ref().map(|compared| {
                    compared.findings.iter().map(mirrors::words).collect::<Vec<_>>()
                }),
            })
        })
        .collect();
    let snapshots: Vec<_> = snapshots
        .iter()
        .enumerate()
        .map(|(at, snapshot)| {
            let there = names(standings, at, Presence::There).map(str::to_owned);
            SnapshotWire {
                id: snapshot.id.to_string(),
                time: text::rfc3339(snapshot.record.created, &config.zone),
                places: ["here".to_owned()].into_iter().chain(there).collect(),
                waiting_for: names(standings, at, Presence::Waiting).map(str::to_owned).collect(),
            }
        })
        .collect();
    json!({ "mirrors": mirrors, "snapshots": snapshots })
}

fn tell(context: &Context, config: &Config, standing: &Standing<'_>) {
    let Standing { mirror, ledger, waiting, .. } = standing;
    let output = &context.output;
    let place = text::printable(mirror.place.to_string().as_bytes());
    let last = ledger.notes.last.as_ref();
    if waiting.snapshots == 0 {
        let at = last.map(|last| text::moment(last.at, context.now(), &config.zone));
        let at = at.map(|at| format!(", last sync {at}")).unwrap_or_default();
        let good = output.mark(Tone::Good);
        output.result(&format!("{good} {:<12} complete  {place}{at}", mirror.name));
        return;
    }
    let caution = output.mark(Tone::Caution);
    let count = text::counted(waiting.snapshots, "snapshot");
    let bytes = text::bytes(waiting.bytes);
    output.result(&format!("{caution} {:<12} {count} waiting, {bytes}  {place}", mirror.name));
    if let Some(code) = last.and_then(|last| last.code.as_ref()) {
        let message = last.map(|last| last.message.as_str()).unwrap_or_default();
        output.result(&format!("    because {}  [{code}]", text::printable(message.as_bytes())));
    }
}

/// The newest snapshots and where they are.
fn show(context: &Context, config: &Config, snapshots: &[&Snapshot], standings: &[Standing<'_>]) {
    if standings.is_empty() || snapshots.is_empty() {
        return;
    }
    let digits = id_digits(snapshots.iter().copied());
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("TAKEN"),
        Column::left("PLACES").when_narrow(Narrow::Cut),
        Column::left("WAITING FOR").when_narrow(Narrow::Drop(1)),
    ]);
    for (at, snapshot) in snapshots.iter().enumerate().rev().take(SHOWN_MAX) {
        let there = names(standings, at, Presence::There);
        table.row(vec![
            snapshot.id.to_string()[..digits].to_owned(),
            text::moment(snapshot.record.created, context.now(), &config.zone),
            ["here"].into_iter().chain(there).collect::<Vec<_>>().join(" "),
            names(standings, at, Presence::Waiting).collect::<Vec<_>>().join(" "),
        ]);
    }
    context.output.table(&table, "");
}
