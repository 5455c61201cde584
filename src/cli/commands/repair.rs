//! `repair`: what is damaged, what can be done about it, and doing it.

use serde_json::{Value, json};

use crate::{
    cli::{
        ExitCode,
        args::{RepairArg, RepairArgs},
        confirm::{Said, confirm},
        context::Context,
        error::Error,
        mirrors,
        output::Tone,
        run::{Done, recorded},
        text,
    },
    ops::{
        check::Report,
        repair::{Diagnosis, Outcome, Plan, Scope, Step, execute, plan},
        run_record::Start,
    },
    repo::{Repository, check::Depth},
};

/// Steps that are shown one by one.
const STEPS_SHOWN_MAX: usize = 20;

pub fn run(context: &Context, args: &RepairArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let scope = match args.what {
        None => Scope::All,
        Some(RepairArg::Index) => Scope::Index,
        Some(RepairArg::Packs) => Scope::Packs,
        Some(RepairArg::Snapshots) => Scope::Snapshots,
    };
    let depth = if args.read_data { Depth::Data } else { Depth::Structure };
    recorded(context, &config, Start::default(), |observer| {
        let repository = context.open(&config, observer)?;
        let mut diagnosis = plan(&repository, (scope, depth), observer)?;
        let mirrors = match diagnosis.plan.wants_mirrors() {
            true => mirrors::that_answer(context, (&config, &repository))?,
            false => Vec::new(),
        };
        diagnosis.plan.use_mirrors(&mirrors);
        show(context, &diagnosis.plan);
        let mut done = if diagnosis.plan.steps.is_empty() {
            nothing_to_do(context, args, &diagnosis)
        } else if args.dry_run {
            context.output.remark("Plan only. Nothing is changed.  Do it:  stillpoint repair");
            Done::new(ExitCode::Done).figure("executed", false)
        } else {
            let said = if args.yes { Said::Yes } else { Said::Nothing };
            confirm(context, said, "Go on?")?;
            let (outcome, left) = execute(&repository, (&diagnosis.plan, &mirrors), observer)?;
            tell(context, &repository, &outcome, &left);
            figures(&outcome, &left)
        };
        done = done.figure("plan", diagnosis.plan.steps.iter().map(wire).collect::<Vec<_>>());
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn nothing_to_do(context: &Context, args: &RepairArgs, diagnosis: &Diagnosis) -> Done {
    let output = &context.output;
    output.hide_progress();
    output.remark(&match diagnosis.found.affected {
        0 => format!("{} Nothing to repair.", output.mark(Tone::Good)),
        _ => format!("{} Nothing to repair with what is at hand.", output.mark(Tone::Caution)),
    });
    if !args.read_data {
        output.remark(
            "Packs were not read in full.  Read all of them:  stillpoint repair --read-data",
        );
    }
    let exit_code = match diagnosis.found.affected {
        0 => ExitCode::Done,
        _ => {
            output.result(
                "What is lost is listed above. The next backup stores again what its sources \
                 still have.",
            );
            ExitCode::Incomplete
        }
    };
    Done::new(exit_code).figure("executed", false).figure("affected", diagnosis.found.affected)
}

fn figures(outcome: &Outcome, left: &Report) -> Done {
    let is_whole = outcome.left.is_empty() && left.affected == 0 && left.damaged == 0;
    let exit_code = if is_whole { ExitCode::Done } else { ExitCode::Incomplete };
    Done::new(exit_code)
        .figure("executed", true)
        .figure("copies_restored", outcome.copies_restored)
        .figure("records_restored", outcome.records_restored)
        .figure("packs_rebuilt", outcome.packs_rebuilt)
        .figure("chunks_saved", outcome.chunks_saved)
        .figure("packs_indexed", outcome.packs_indexed)
        .figure("fetched", outcome.fetched.len())
        .figure("set_aside", outcome.set_aside.len())
        .figure("not_repaired", outcome.left.len())
        .figure("affected", left.affected)
        .figure("snapshots_affected", left.snapshots_affected)
        .figure("damaged", left.damaged)
}

/// What a step is called, what it does, and why.
fn words(step: &Step) -> (&'static str, String, &str) {
    match step {
        Step::RestoreCopy { why, .. } => {
            ("restore-copy", "put again from its other copy".to_owned(), why)
        }
        Step::RestoreRecord { why, .. } => {
            ("restore-record", "put again from the index, if that has it".to_owned(), why)
        }
        Step::Rebuild { why, .. } => {
            ("rebuild", "compute it again from its parity".to_owned(), why)
        }
        Step::Salvage { chunks_bad, why, .. } => {
            let bad = text::counted(*chunks_bad, "chunk");
            let does = format!("store anew all but {bad} that do not open, and set it aside");
            ("salvage", does, why)
        }
        Step::SetAside { why, .. } => ("set-aside", "set aside".to_owned(), why),
        Step::Fetch { from, why, .. } => {
            ("fetch", format!("take it from the mirror {from}, if it is whole there"), why)
        }
        Step::IndexPacks { packs } => {
            let packs = text::counted(*packs, "pack");
            ("index-packs", format!("add {packs} that no index object names"), "")
        }
    }
}

fn wire(step: &Step) -> Value {
    let (action, _, why) = words(step);
    let mut wire = json!({ "action": action, "item": step.item(), "why": why });
    match step {
        Step::Salvage { chunks_bad, .. } => wire["chunks_bad"] = (*chunks_bad).into(),
        Step::IndexPacks { packs } => wire["packs"] = (*packs).into(),
        Step::Fetch { from, .. } => wire["from"] = from.as_str().into(),
        _ => {}
    }
    wire
}

fn show(context: &Context, plan: &Plan) {
    let output = &context.output;
    output.hide_progress();
    if plan.steps.is_empty() {
        return;
    }
    output.result(&format!("Plan: {}", text::counted(plan.steps.len() as u64, "step")));
    for step in plan.steps.iter().take(STEPS_SHOWN_MAX) {
        let (_, does, why) = words(step);
        output.result(&format!("  {}: {does}", step.item()));
        if !why.is_empty() {
            output.result(&format!("      {}", text::printable(why.as_bytes())));
        }
    }
    if let Some(more) = plan.steps.len().checked_sub(STEPS_SHOWN_MAX).filter(|more| *more > 0) {
        output.result(&format!("  and {} more", text::count(more as u64)));
    }
}

fn tell(context: &Context, repository: &Repository, outcome: &Outcome, left: &Report) {
    let output = &context.output;
    output.hide_progress();
    let place = repository.environment().backend.place();
    let lines = [
        (outcome.copies_restored + outcome.records_restored, "object", "put again"),
        (outcome.packs_rebuilt, "pack", "computed again from parity"),
        (outcome.fetched.len() as u64, "object", "taken from a mirror"),
        (outcome.chunks_saved, "chunk", "of damaged packs stored anew"),
        (outcome.packs_indexed, "pack", "added to the index"),
        (outcome.set_aside.len() as u64, "object", "moved to quarantine/"),
    ];
    for (count, noun, verb) in lines.into_iter().filter(|(count, ..)| *count > 0) {
        output.remark(&format!(
            "{} {} {verb}",
            output.mark(Tone::Good),
            text::counted(count, noun)
        ));
    }
    if !outcome.left.is_empty() {
        let left = text::counted(outcome.left.len() as u64, "step");
        output.result(&format!("{left} could not be done; the reasons are listed above."));
    }
    match left.affected {
        0 => output.remark(&format!("Every snapshot in {place} restores whole.")),
        lost => {
            let lost = text::counted(lost, "item");
            let snapshots = text::counted(left.snapshots_affected, "snapshot");
            output.result(&format!(
                "{lost} in {snapshots} are still lost; the rest of them restores."
            ));
            output.result(
                "The next backup stores again what its sources still have:  stillpoint backup",
            );
        }
    }
}
