//! `mirror prune`: the policy of a mirror, applied now.

use crate::{
    cli::{
        ExitCode,
        args::MirrorPruneArgs,
        commands::{forget::why, snapshots::ID_DIGITS_MIN},
        context::Context,
        error::Error,
        mirrors,
        output::Tone,
        run::{Done, recorded, unrecorded},
        table::{Column, Narrow, Table},
        text,
    },
    config::{Config, Mirror},
    ops::{
        forget::Most,
        mirror::{self, Need, Upkeep},
        prune::PrunePlan,
        retention::Decision,
        run_record::Start,
    },
};

pub fn run(context: &Context, args: &MirrorPruneArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let chosen: Vec<&Mirror> = match &args.name {
        Some(name) => vec![mirrors::named(&config, name)?],
        None => mirrors::mirrors(&config).collect(),
    };
    if let Some(mirror) = chosen.iter().find(|mirror| !mirror.retention.auto) {
        let message = format!("{} keeps everything: its retention has auto = false", mirror.name);
        return Err(Error::Usage { message, help: "take that out of [[mirror]] first" });
    }
    if args.dry_run {
        return unrecorded(context, |observer| {
            let repository = context.open(&config, observer)?;
            let mut wire = Vec::new();
            for mirror in &chosen {
                let ledger = mirrors::ledger(&repository, mirror)?;
                let place = (&config, &repository);
                let target = mirrors::target(context, place, mirror, &ledger)?;
                let (decisions, plan) = mirror::outlook(&repository, &target, observer)?;
                context.output.hide_progress();
                show(context, (&config, mirror), &decisions, &plan);
                wire.push(planned(mirror, &decisions, &plan));
            }
            Ok(Done::new(ExitCode::Done).figure("dry_run", true).figure("mirrors", wire))
        });
    }
    let most = if args.allow_most { Most::Allow } else { Most::Refuse };
    let items = chosen.iter().map(|mirror| mirror.name.clone()).collect();
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let repository = context.open(&config, observer)?;
        let mut wire = Vec::new();
        for mirror in &chosen {
            let mut ledger = mirrors::ledger(&repository, mirror)?;
            let place = (&config, &repository);
            let target = mirrors::target(context, place, mirror, &ledger)?;
            let how = (Need::Now, most);
            let done = mirror::tend(&repository, &target, &mut ledger, how, observer)?;
            context.output.hide_progress();
            mirrors::tell_upkeep(context, &mirror.name, &done);
            let good = context.output.mark(Tone::Good);
            context.output.remark(&format!("{good} {}: pruned", mirror.name));
            wire.push(figures(mirror, &done));
        }
        let mut done = Done::new(ExitCode::Done).figure("mirrors", wire);
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn planned(mirror: &Mirror, decisions: &[Decision], plan: &PrunePlan) -> serde_json::Value {
    let going = decisions.iter().filter(|decision| decision.reasons.is_empty());
    serde_json::json!({
        "name": mirror.name,
        "keep": decisions.len() - going.clone().count(),
        "forget": going.map(|decision| decision.id.to_string()).collect::<Vec<_>>(),
        "expired": plan.expired,
        "packs_delete": plan.packs_delete,
        "bytes_free": plan.bytes_free,
    })
}

fn figures(mirror: &Mirror, done: &Upkeep) -> serde_json::Value {
    let pruned = done.pruned.clone().unwrap_or_default();
    serde_json::json!({
        "name": mirror.name,
        "forgotten": done.forgotten,
        "snapshots_removed": pruned.snapshots_removed,
        "packs_deleted": pruned.packs_deleted,
        "packs_condemned": pruned.packs_condemned,
        "bytes_freed": pruned.bytes_freed,
    })
}

fn show(
    context: &Context,
    (config, mirror): (&Config, &Mirror),
    decisions: &[Decision],
    plan: &PrunePlan,
) {
    let output = &context.output;
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("TAKEN"),
        Column::left("GROUP"),
        Column::left("STAYS FOR").when_narrow(Narrow::Cut),
    ]);
    for decision in decisions {
        table.row(vec![
            decision.id.to_string()[..ID_DIGITS_MIN].to_owned(),
            text::moment(decision.created, context.now(), &config.zone),
            decision.group.as_str().to_owned(),
            text::printable(why(decision).as_bytes()),
        ]);
    }
    output.remark(&format!("On {}:", mirror.name));
    output.table(&table, "");
    let expired = text::counted(plan.expired, "snapshot");
    let freed = text::bytes(plan.bytes_free);
    output.remark(&format!("Out of the trash there: {expired}; a prune would free {freed}."));
    output
        .remark(&format!("Nothing was changed.  Do it:  stillpoint mirror prune {}", mirror.name));
}
