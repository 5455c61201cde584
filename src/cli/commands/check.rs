//! `check`: is everything there, and can it be read?

use crate::{
    cli::{
        ExitCode,
        args::CheckArgs,
        context::Context,
        error::Error,
        output::Tone,
        run::{Done, recorded},
        text,
    },
    ops::{
        check::{Report, check},
        run_record::Start,
    },
    repo::check::Depth,
};

pub fn run(context: &Context, args: &CheckArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let depth = if args.read_data { Depth::Data } else { Depth::Structure };
    recorded(context, &config, Start::default(), |observer| {
        let repository = context.open(&config, observer)?;
        let report = check(&repository, depth, &context.machine.program, observer)?;
        tell(context, depth, &report);
        let exit_code = if report.is_sound() { ExitCode::Done } else { ExitCode::Damage };
        let mut done = Done::new(exit_code)
            .figure("snapshots", report.snapshots)
            .figure("packs", report.packs)
            .figure("bytes", report.bytes)
            .figure("damaged", report.damaged)
            .figure("copies_lost", report.copies_lost)
            .figure("affected", report.affected)
            .figure("foreign", report.foreign)
            .figure("images", report.images)
            .figure("images_unsound", report.images_unsound);
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn tell(context: &Context, depth: Depth, report: &Report) {
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
    if depth == Depth::Data {
        let (bytes, took) = (text::bytes(report.bytes), text::duration(context.took()));
        let affected = text::counted(report.affected, "item");
        line(report.affected, "contents", format!("{bytes} read in {took}, {affected} lost"));
        let unsound = text::count(report.images_unsound);
        let images = text::counted(report.images, "database image");
        line(report.images_unsound, "databases", format!("{images}, {unsound} unsound"));
    } else if report.affected > 0 {
        line(
            report.affected,
            "contents",
            format!("{} lost", text::counted(report.affected, "item")),
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
    match (report.is_sound(), depth) {
        (true, Depth::Structure) => {
            output.remark("No problems.  Read all of it:  stillpoint check --read-data");
        }
        (true, Depth::Data) => output.remark("No problems."),
        (false, _) if report.affected == 0 => {
            output.result("Problems found. Every snapshot still restores whole.");
        }
        (false, _) => {
            output.result("Problems found. What is lost is listed above; the rest still restores.")
        }
    }
}
