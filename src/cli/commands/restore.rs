//! `restore`: brings a snapshot or a moment back into a folder.

mod export;

use std::path::Path;

use crate::{
    cli::{
        ExitCode,
        args::{OverwriteArg, RestoreArgs},
        context::Context,
        error::Error,
        json,
        output::{Output, Tone},
        run::{Done, recorded, unrecorded},
        selection::{Selection, compose},
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    format::record::{Outcome, PartContent},
    ops::{
        self,
        event::Observer,
        moment::{Moment, PartAt},
        restore::{self, Extra, Report, Request, RestoredPart, Verify},
        run_record::Start,
    },
    sink::files::Overwrite,
};

pub fn run(context: &Context, args: &RestoreArgs) -> Result<Done, Error> {
    let config = context.config()?;
    if let Some(file) = export::export_file(&args.snap) {
        return export::run(context, &config, args, &file);
    }
    let work = |observer: &dyn Observer| restore(context, &config, args, observer);
    if args.dry_run {
        return unrecorded(context, work);
    }
    let target = args.target.clone().unwrap_or_default().display().to_string();
    let items = vec![args.snap.to_string_lossy().into_owned(), target];
    recorded(context, &config, Start { items, ..Start::default() }, work)
}

fn restore(
    context: &Context,
    config: &Config,
    args: &RestoreArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    let parts = parts(&selection, &moment, args)?;
    let request = request(context, config, args, &selection)?;
    tell_sources(context, config, &moment, &parts);
    let report = match args.dry_run {
        true => restore::plan(&repository, &parts, &request, observer)?,
        false => restore::run(&repository, &parts, &request, observer)?,
    };
    tell_result(context, args, &report);
    let mut done = done(&report).figure("dry_run", args.dry_run);
    done.repository_id = Some(repository.id().to_string());
    // A moment that is composed has no single snapshot.
    let whole = parts.iter().all(|at| at.snapshot.id == moment.snapshot.id);
    done.snapshot_id = whole.then(|| moment.snapshot.id.to_string());
    Ok(done)
}

/// The parts that were named, or all.
pub fn parts<'a>(
    selection: &Selection,
    moment: &Moment<'a>,
    args: &RestoreArgs,
) -> Result<Vec<PartAt<'a>>, Error> {
    let mut parts = selection.parts(moment)?;
    let is_database = |at: &PartAt<'_>| matches!(at.part.content, PartContent::Database { .. });
    if let Some(at) = parts.iter().find(|at| is_database(at) && !selection.path().is_empty()) {
        let (part, path) = (at.part.name.clone(), selection.path().join(&b'/'));
        return Err(ops::Error::UnknownPath { part, path }.into());
    }
    if !args.part.is_empty() {
        for name in &args.part {
            let _ = moment.part(name, &selection.selector.text)?;
        }
        parts.retain(|at| args.part.contains(&at.part.name));
    }
    Ok(parts)
}

fn request(
    context: &Context,
    config: &Config,
    args: &RestoreArgs,
    selection: &Selection,
) -> Result<Request, Error> {
    let mut include = args.include.clone();
    if !selection.path().is_empty() {
        include.push(exact_pattern(&selection.path().join(&b'/')));
    }
    let target = args.target.clone().unwrap_or_default();
    let target = std::path::absolute(target).map_err(|_| Error::Usage {
        message: "the target is empty".to_owned(),
        help: "name a folder: --target DIR",
    })?;
    Ok(Request {
        target,
        overwrite: match args.overwrite {
            OverwriteArg::Never => Overwrite::Never,
            OverwriteArg::Changed => Overwrite::Changed,
            OverwriteArg::Always => Overwrite::Always,
        },
        extra: if args.delete { Extra::Delete } else { Extra::Keep },
        include,
        exclude: args.exclude.clone(),
        verify: if args.verify { Verify::QuickCheck } else { Verify::Identity },
        min_free_bytes: config.min_free_bytes,
        program: context.machine.program.clone(),
    })
}

/// A pattern that matches one path and what is below it.
fn exact_pattern(path: &[u8]) -> String {
    let mut pattern = String::from("/");
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !character.is_alphanumeric() && character != '/' {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        // Patterns are text: any byte may stand where none of it is.
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    pattern
}

/// Says of each part which snapshot it comes from, and how old it is.
pub fn tell_sources(context: &Context, config: &Config, moment: &Moment<'_>, parts: &[PartAt<'_>]) {
    let output = &context.output;
    output.hide_progress();
    let mut table = Table::new([
        Column::left(""),
        Column::left(""),
        Column::left(""),
        Column::left("").when_narrow(Narrow::Drop(1)),
    ]);
    for at in parts {
        let created = at.snapshot.record.created;
        table.row(vec![
            format!("{} {}", json::kind(at.part.kind), at.part.name),
            format!("from {}", &at.snapshot.id.to_string()[..8]),
            text::moment(created, context.now(), &config.zone),
            text::age(created, context.now()),
        ]);
    }
    if !output.is_quiet() {
        output.table(&table, "  ");
    }
    for at in parts {
        let why = match at.part.outcome {
            Outcome::Complete => continue,
            Outcome::Incomplete => "was incomplete when it was saved",
            Outcome::Damaged => "was damaged when it was saved",
        };
        output.warning(&format!("{} {why}", at.part.name));
    }
    for (name, _) in &moment.absent {
        output.warning(&format!("{name} was never saved up to then, and is not restored"));
    }
}

fn tell_result(context: &Context, args: &RestoreArgs, report: &Report) {
    let output = &context.output;
    output.hide_progress();
    if args.dry_run {
        output.remark("Preview only. Nothing is changed.");
        report.parts.iter().for_each(|part| tell_plan(output, part));
        output.remark("Do it:  the same without --dry-run");
        return;
    }
    let all = report.parts.iter().fold(RestoredPart::default(), |all, part| RestoredPart {
        databases: all.databases + part.databases,
        files: all.files + part.files,
        kept: all.kept + part.kept,
        deleted: all.deleted + part.deleted,
        problem_count: all.problem_count + part.problem_count,
        bytes_written: all.bytes_written + part.bytes_written,
        ..all
    });
    let target = args.target.as_deref().unwrap_or(Path::new(""));
    let target = text::printable(target.as_os_str().as_encoded_bytes());
    let (words, took) = (amounts(&all, "written", "deleted"), text::duration(context.took()));
    output.remark(&format!("Restored into {target}: {words}, {took}."));
}

fn tell_plan(output: &Output, part: &RestoredPart) {
    let tone = if part.problem_count == 0 { Tone::Good } else { Tone::Caution };
    let path = text::printable(part.path.as_os_str().as_encoded_bytes());
    let words = amounts(part, "to write", "to delete");
    output.remark(&format!("{} {path}  {words}", output.mark(tone)));
}

fn amounts(part: &RestoredPart, write: &str, delete: &str) -> String {
    let counts = [
        (part.databases, "database", ""),
        (part.files, "file", ""),
        (part.kept, "file", "left as they are"),
        (part.deleted, "entry", delete),
        (part.problem_count, "problem", ""),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let words = counts.map(|(count, noun, verb)| format!("{} {verb}", text::counted(count, noun)));
    let mut words: Vec<String> = words.map(|words| words.trim_end().to_owned()).collect();
    words.push(format!("{} {write}", text::bytes(part.bytes_written)));
    words.join(", ")
}

fn done(report: &Report) -> Done {
    let sum = |of: fn(&RestoredPart) -> u64| report.parts.iter().map(of).sum::<u64>();
    let exit_code = if report.is_complete() { ExitCode::Done } else { ExitCode::Incomplete };
    Done::new(exit_code)
        .figure("parts", report.parts.len())
        .figure("files", sum(|part| part.files))
        .figure("databases", sum(|part| part.databases))
        .figure("folders", sum(|part| part.folders))
        .figure("others", sum(|part| part.others))
        .figure("kept", sum(|part| part.kept))
        .figure("deleted", sum(|part| part.deleted))
        .figure("bytes_written", sum(|part| part.bytes_written))
        .figure("problems", sum(|part| part.problem_count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_pattern_that_means_nothing_else() {
        assert_eq!(exact_pattern("a b/[x]*.pdf".as_bytes()), "/a\\ b/\\[x\\]\\*\\.pdf");
        assert_eq!(exact_pattern(b"x\xff"), "/x?");
    }
}
