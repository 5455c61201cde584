//! `drill`: proves that a restore works.

use crate::{
    cli::{
        ExitCode,
        args::DrillArgs,
        context::{Context, repository_place},
        error::Error,
        output::Tone,
        run::{Done, recorded},
        selection::{Selection, compose},
        text,
    },
    config::{Config, Mirror},
    ops::{
        drill::{Assertion, Certificate, Hashes, Request, drill},
        event::Observer,
        run_record::Start,
        set::SetSource,
    },
    repo::Repository,
};

pub fn run(context: &Context, args: &DrillArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let items = vec![args.snap.to_string_lossy().into_owned(), "a scratch folder".to_owned()];
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        prove(context, &config, args, observer)
    })
}

fn prove(
    context: &Context,
    config: &Config,
    args: &DrillArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let (repository, place) = open(context, config, args, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    if !selection.path().is_empty() {
        let message = "a drill is of whole parts".to_owned();
        return Err(Error::Usage { message, help: "name SNAP or SNAP:PART" });
    }
    let moment = selection.moment(compose(false))?;
    let parts = selection.parts(&moment)?;
    let request = Request {
        asked: args.snap.to_string_lossy().into_owned(),
        place,
        host: context.machine.host(),
        assertions: assertions(config),
        hashes: if args.all_files { Hashes::All } else { Hashes::Sample(args.sample) },
        min_free_bytes: config.min_free_bytes,
        program: context.machine.program.clone(),
    };
    let certificate = drill(&repository, &parts, &request, observer)?;
    tell(context, &certificate);
    let exit_code = if certificate.passed { ExitCode::Done } else { ExitCode::Damage };
    let value = serde_json::to_value(&certificate).unwrap_or_default();
    let mut done = Done::new(exit_code)
        .figure("passed", certificate.passed)
        .figure("restore_ms", certificate.restore_ms)
        .figure("certificate", value);
    done.repository_id = Some(repository.id().to_string());
    Ok(done)
}

/// Opens the repository, or one of its mirrors in its place.
fn open(
    context: &Context,
    config: &Config,
    args: &DrillArgs,
    observer: &dyn Observer,
) -> Result<(Repository, String), Error> {
    let Some(name) = &args.from else {
        let place = repository_place(config)?.to_string();
        return Ok((context.open(config, observer)?, place));
    };
    let mirror = config.mirrors.iter().find(|mirror| mirror.name == *name);
    let Some(Mirror { place, .. }) = mirror else {
        let known: Vec<&str> = config.mirrors.iter().map(|mirror| mirror.name.as_str()).collect();
        let message = format!("no mirror is named `{name}`; there are: {}", known.join(", "));
        return Err(Error::Usage { message, help: "see [[mirror]] in the configuration" });
    };
    let mut instead = config.clone();
    instead.repository = Some(place.clone());
    Ok((context.open(&instead, observer)?, format!("mirror {name}, {place}")))
}

/// The assertions of the configuration; one that names no database is asked of the first.
fn assertions(config: &Config) -> Vec<Assertion> {
    let databases = config.sets.iter().filter(|set| matches!(set.source, SetSource::Sqlite { .. }));
    let first = databases.map(|set| set.name.clone()).next().unwrap_or_default();
    let named = config.assertions.iter().map(|(database, sql)| Assertion {
        database: database.clone().unwrap_or_else(|| first.clone()),
        sql: sql.clone(),
    });
    named.collect()
}

fn tell(context: &Context, certificate: &Certificate) {
    let output = &context.output;
    output.hide_progress();
    for part in &certificate.parts {
        for check in &part.checks {
            let tone = if check.passed { Tone::Good } else { Tone::Bad };
            let what = text::printable(check.name.as_bytes());
            let detail = text::printable(check.detail.as_bytes());
            let line = format!("{} {:<12} {what}  {detail}", output.mark(tone), part.name);
            if check.passed { output.remark(&line) } else { output.result(&line) }
        }
    }
    let took = text::duration(std::time::Duration::from_millis(certificate.restore_ms));
    match certificate.passed {
        true => output.remark(&format!("Proven: all of it was restored in {took}.")),
        false => output.result("The drill failed: not all of it came back as it should."),
    }
    if output.is_verbose() {
        output.remark(&certificate.to_text());
    }
}
