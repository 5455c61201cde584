//! `rebuild-index`: the local index, made anew from what the repository says.

use crate::{
    cli::{
        ExitCode,
        context::{Context, warn_of_damaged},
        error::Error,
        output::Tone,
        run::{Done, recorded},
        text,
    },
    ops::{
        event::{Event, Phase},
        run_record::Start,
    },
};

pub fn run(context: &Context) -> Result<Done, Error> {
    let config = context.config()?;
    recorded(context, &config, Start::default(), |observer| {
        let repository = context.open(&config, observer)?;
        observer.observe(&Event::Phase { phase: Phase::Rebuild, item: String::new() });
        let report = repository.rebuild_index()?;
        warn_of_damaged(&context.output, &report.damaged);
        let (tone, exit_code) = match report.damaged.is_empty() {
            true => (Tone::Good, ExitCode::Done),
            false => (Tone::Caution, ExitCode::Incomplete),
        };
        context.output.remark(&format!(
            "{} Index rebuilt: {} in {}, {} read in full, {}.",
            context.output.mark(tone),
            text::counted(report.chunks, "chunk"),
            text::counted(report.packs as u64, "pack"),
            text::counted(report.tables_read as u64, "table"),
            text::duration(context.took()),
        ));
        let mut done = Done::new(exit_code)
            .figure("chunks", report.chunks)
            .figure("packs", report.packs)
            .figure("index_objects", report.index_objects)
            .figure("tables_read", report.tables_read)
            .figure("damaged", report.damaged.len());
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}
