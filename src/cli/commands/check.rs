//! `check`: is everything there, and can it be read?

use serde_json::{Value, json};

use crate::{
    cli::{
        ExitCode,
        args::CheckArgs,
        context::Context,
        error::Error,
        json,
        output::Tone,
        run::{Done, recorded},
        text,
    },
    config::Config,
    ops::{
        check::{Loss, Moment, Report, check},
        run_record::Start,
    },
    repo::check::Depth,
};

/// Losses that are told in the summary for programs.
const LOSSES_SHOWN_MAX: usize = 1000;

pub fn run(context: &Context, args: &CheckArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let depth = match args.read_data_subset {
        Some(share) => Depth::Share(share),
        None if args.read_data => Depth::Data,
        None => Depth::Structure,
    };
    recorded(context, &config, Start::default(), |observer| {
        let repository = context.open(&config, observer)?;
        let report = check(&repository, depth, &context.machine.program, observer)?;
        tell(context, &config, depth, &report);
        let exit_code = if report.is_sound() { ExitCode::Done } else { ExitCode::Damage };
        let mut done = figures(Done::new(exit_code), &config, &report);
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn figures(done: Done, config: &Config, report: &Report) -> Done {
    let losses = report.losses.iter().take(LOSSES_SHOWN_MAX).map(|loss| wire(loss, config));
    done.figure("snapshots", report.snapshots)
        .figure("packs", report.packs)
        .figure("bytes", report.bytes)
        .figure("bytes_read", report.bytes_read)
        .figure("packs_never_read", report.packs_never_read)
        .figure("oldest_read", report.oldest_read.map(|at| json::time(at, &config.zone)))
        .figure("damaged", report.damaged)
        .figure("copies_lost", report.copies_lost)
        .figure("affected", report.affected)
        .figure("snapshots_affected", report.snapshots_affected)
        .figure("losses", losses.collect::<Vec<_>>())
        .figure("foreign", report.foreign)
        .figure("images", report.images)
        .figure("images_lost", report.images_lost)
        .figure("images_unsound", report.images_unsound)
}

fn wire(loss: &Loss, config: &Config) -> Value {
    let moment = |moment: &Moment| {
        let time = json::time(moment.created, &config.zone);
        json!({ "id": moment.snapshot.to_string(), "time": time })
    };
    let path = json::PathText::new(&loss.path);
    let mut wire = json!({
        "part": loss.part,
        "path": path.path,
        "snapshots": loss.snapshot_count,
        "oldest": moment(&loss.oldest),
        "newest": moment(&loss.newest),
        "whole_in": loss.whole_in.as_ref().map(moment),
        "why": loss.why,
    });
    if let Some(exact) = path.path_b64 {
        wire["path_b64"] = exact.into();
    }
    wire
}

fn tell(context: &Context, config: &Config, depth: Depth, report: &Report) {
    let output = &context.output;
    output.hide_progress();
    let line = |count: u64, what: &str, text: String| {
        let tone = if count == 0 { Tone::Good } else { Tone::Bad };
        output.remark(&format!("{} {what:<12} {text}", output.mark(tone)));
    };
    let (snapshots, packs) =
        (text::counted(report.snapshots, "snapshot"), text::counted(report.packs, "pack"));
    line(
        report.damaged,
        "structure",
        format!("{snapshots}, {packs}, {} damaged", text::count(report.damaged)),
    );
    let affected = text::counted(report.affected, "item");
    let lost = match report.snapshots_affected {
        0 => format!("{affected} lost"),
        count => format!("{affected} lost in {}", text::counted(count, "snapshot")),
    };
    if depth != Depth::Structure {
        let (bytes, took) = (text::bytes(report.bytes_read), text::duration(context.took()));
        let of = text::bytes(report.bytes);
        line(report.affected, "contents", format!("{bytes} of {of} read in {took}, {lost}"));
    } else if report.affected > 0 {
        line(report.affected, "contents", lost);
    }
    if depth == Depth::Data {
        let images = text::counted(report.images, "database image");
        let lost = text::count(report.images_lost);
        let unsound = text::count(report.images_unsound);
        line(
            report.images_lost + report.images_unsound,
            "databases",
            format!("{images}, {lost} lost, {unsound} unsound"),
        );
    }
    if report.copies_lost > 0 {
        let lost = text::counted(report.copies_lost, "object");
        line(report.copies_lost, "copies", format!("of {lost} only one copy is left; it serves"));
    }
    if report.foreign > 0 {
        let files = text::counted(report.foreign, "file");
        line(report.foreign, "foreign", format!("{files} in the repository that we did not write"));
    }
    conclude(context, config, depth, report);
}

fn conclude(context: &Context, config: &Config, depth: Depth, report: &Report) {
    let output = &context.output;
    if let (Depth::Share(_), false) = (depth, report.packs == 0) {
        output.remark(&match report.oldest_read {
            Some(at) => format!(
                "All of it was read since {}.",
                text::moment(at, context.now(), &config.zone)
            ),
            None => format!(
                "{} were not read by this machine yet; the next runs go on with them.",
                text::counted(report.packs_never_read, "pack")
            ),
        });
    }
    match (report.is_sound(), depth) {
        (true, Depth::Structure) => {
            output.remark("No problems.  Read all of it:  stillpoint check --read-data");
        }
        (true, _) => output.remark("No problems."),
        (false, _) if report.affected == 0 => {
            output.result("Problems found. Every snapshot still restores whole.");
        }
        (false, _) => {
            output.result("Problems found. What is lost is listed above; the rest still restores.");
        }
    }
}
