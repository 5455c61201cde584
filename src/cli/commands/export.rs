//! `export`: one ZIP file that needs no Stillpoint.

use crate::{
    cli::{
        ExitCode,
        args::ExportArgs,
        context::Context,
        error::Error,
        exported::{absolute, new_passphrase},
        output::Tone,
        run::{Done, recorded},
        selection::{Selection, compose},
        text,
    },
    config::Config,
    ops::{
        self,
        event::Observer,
        export::{self, Report, Request},
        run_record::Start,
    },
};

/// How many of what was left out are named.
const SHOWN_MAX: usize = 10;

pub fn run(context: &Context, args: &ExportArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let passphrase = match args.encrypt {
        true => Some(new_passphrase(context, args.export_password_file.as_ref())?),
        false => None,
    };
    let items = vec![args.snap.to_string_lossy().into_owned()];
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let request = Request {
            output: absolute(&args.output)?,
            passphrase,
            scratch: config.state_root.clone(),
            min_free_bytes: config.min_free_bytes,
        };
        export(context, &config, (args, request), observer)
    })
}

fn export(
    context: &Context,
    config: &Config,
    (args, mut request): (&ExportArgs, Request),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    let mut parts = selection.parts(&moment)?;
    if !selection.path().is_empty() {
        let message = "an export holds whole parts".to_owned();
        return Err(Error::Usage { message, help: "name SNAP or SNAP:PART; for one file, dump" });
    }
    if !args.part.is_empty() {
        for name in &args.part {
            let _ = moment.part(name, &selection.selector.text)?;
        }
        parts.retain(|at| args.part.contains(&at.part.name));
    }
    if parts.is_empty() {
        return Err(ops::Error::from(ops::moment::Error::NoSnapshots).into());
    }
    request.scratch = match &args.temp {
        Some(path) => absolute(path)?,
        None => repository.state_path().to_owned(),
    };
    let report = export::run(&repository, &parts, &request, observer)?;
    tell(context, &request, &report);
    let complete = report.incomplete.is_empty();
    let mut done = Done::new(if complete { ExitCode::Done } else { ExitCode::Incomplete })
        .figure("bytes", report.bytes)
        .figure("entries", report.entries)
        .figure("left_out", report.left_out.len());
    done.repository_id = Some(repository.id().to_string());
    Ok(done)
}

fn tell(context: &Context, request: &Request, report: &Report) {
    let output = &context.output;
    output.hide_progress();
    for left_out in report.left_out.iter().take(SHOWN_MAX) {
        output.warning(&format!("left out: {}", text::printable(left_out.as_bytes())));
    }
    if report.left_out.len() > SHOWN_MAX {
        output
            .warning(&format!("and {} more, see manifest.json", report.left_out.len() - SHOWN_MAX));
    }
    for part in &report.incomplete {
        output.warning(&format!("{part} was incomplete in its snapshot already"));
    }
    let encrypted = if request.passphrase.is_some() { ", encrypted" } else { "" };
    output.remark(&format!(
        "{} Export   {}: {} in {}{encrypted}, {}.",
        output.mark(Tone::Good),
        text::printable(request.output.as_os_str().as_encoded_bytes()),
        text::bytes(report.bytes),
        text::counted(report.entries as u64, "entry"),
        text::duration(context.took()),
    ));
    if request.passphrase.is_none() {
        output.remark("Whoever has this file can read it. Keep it as you keep the shop's keys.");
    }
}
