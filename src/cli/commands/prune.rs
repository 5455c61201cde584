//! `prune`: remove what no snapshot needs.

use crate::{
    cli::{
        ExitCode,
        args::PruneArgs,
        context::Context,
        error::Error,
        output::Tone,
        run::{Done, recorded, unrecorded},
        text,
    },
    ops::{
        prune::{PrunePlan, PruneReport, plan, prune},
        run_record::Start,
    },
};

pub fn run(context: &Context, args: &PruneArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let mut options = config.retention.prune_options();
    options.max_repack_bytes = args.max_repack;
    options.max_unused_permille = args.max_unused.unwrap_or(options.max_unused_permille);
    if args.dry_run {
        return unrecorded(context, |observer| {
            let repository = context.open(&config, observer)?;
            let planned = plan(&repository, &options, observer)?;
            show_plan(context, &planned);
            let mut done = planned_figures(Done::new(ExitCode::Done), &planned);
            done.repository_id = Some(repository.id().to_string());
            Ok(done)
        });
    }
    recorded(context, &config, Start::default(), |observer| {
        let repository = context.open(&config, observer)?;
        let report = prune(&repository, &options, observer)?;
        show_report(context, &report);
        let mut done = planned_figures(Done::new(ExitCode::Done), &report.plan)
            .figure("snapshots_removed", report.snapshots_removed)
            .figure("packs_deleted", report.packs_deleted)
            .figure("packs_rewritten", report.packs_rewritten)
            .figure("bytes_freed", report.bytes_freed)
            .figure("bytes_after", report.bytes_after)
            .figure("rescinded", report.rescinded);
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn planned_figures(done: Done, plan: &PrunePlan) -> Done {
    done.figure("snapshots", plan.snapshots)
        .figure("in_trash", plan.in_trash)
        .figure("expired", plan.expired)
        .figure("packs", plan.packs)
        .figure("bytes", plan.bytes)
        .figure("bytes_dead", plan.bytes_dead)
        .figure("packs_delete", plan.packs_delete)
        .figure("packs_rewrite", plan.packs_rewrite)
        .figure("bytes_move", plan.bytes_move)
        .figure("bytes_free", plan.bytes_free)
        .figure("bytes_unused", plan.bytes_unused)
        .figure("packs_waiting", plan.packs_waiting)
}

fn show_plan(context: &Context, plan: &PrunePlan) {
    let output = &context.output;
    output.hide_progress();
    let line = |what: &str, text: String| output.result(&format!("  {what:<11} {text}"));
    output.result(&format!(
        "{} in {} hold {}; {} of it is in no use.",
        text::bytes(plan.bytes),
        text::counted(plan.packs, "pack"),
        text::counted(plan.snapshots, "snapshot"),
        text::bytes(plan.bytes_dead),
    ));
    if plan.expired > 0 {
        line("forget", format!("{} out of the trash", text::counted(plan.expired, "snapshot")));
    }
    if plan.in_trash > 0 {
        let snapshots = text::counted(plan.in_trash, "snapshot");
        line("in the trash", format!("{snapshots}, kept until their time is over"));
    }
    line("delete", text::counted(plan.packs_delete, "pack"));
    let packs = text::counted(plan.packs_rewrite, "pack");
    line("rewrite", format!("{packs}, moving {}", text::bytes(plan.bytes_move)));
    if plan.packs_waiting > 0 {
        let packs = text::counted(plan.packs_waiting, "pack");
        line("wait", format!("{packs} that a backup under way may have written"));
    }
    let unused = text::bytes(plan.bytes_unused);
    line("free", format!("{}; {unused} stay unused", text::bytes(plan.bytes_free)));
    output.remark("Nothing was removed.  Do it:  stillpoint prune");
}

fn show_report(context: &Context, report: &PruneReport) {
    let output = &context.output;
    output.hide_progress();
    let (tone, took) = (Tone::Good, text::duration(context.took()));
    output.remark(&format!(
        "{} Pruned in {took}: {} freed, {} left; {} deleted, {} rewritten, {} removed for good.",
        output.mark(tone),
        text::bytes(report.bytes_freed),
        text::bytes(report.bytes_after),
        text::counted(report.packs_deleted, "pack"),
        text::count(report.packs_rewritten),
        text::counted(report.snapshots_removed, "snapshot"),
    ));
    if report.plan.in_trash > 0 {
        let snapshots = text::counted(report.plan.in_trash, "forgotten snapshot");
        output.remark(&format!("In the trash, and still to be had back: {snapshots}."));
    }
}
