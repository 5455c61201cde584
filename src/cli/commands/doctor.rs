//! `doctor`: is everything in place for the next backup?

use std::sync::Arc;

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        context::{Context, repository_place},
        error::{Error, explain},
        output::Tone,
        run::{Done, brief},
        text,
    },
    config::{Config, Place},
    ops::doctor::{Finding, Patient, Verdict, examine, examine_repository},
};

#[derive(Serialize)]
struct Wire {
    verdict: &'static str,
    about: String,
    message: String,
    help: Vec<String>,
}

pub fn run(context: &Context) -> Result<Done, Error> {
    let config = context.config()?;
    let mut findings = vec![configuration(&config)];
    findings.extend(inactive(&config));
    findings.extend(repository(context, &config));
    findings.extend(examine(&Patient {
        disk: Arc::clone(&context.machine.disk),
        clock: &*context.machine.clock,
        sets: &config.sets,
        repository: config.repository.as_ref().and_then(Place::folder),
        state_root: &config.state_root,
        min_free_bytes: config.min_free_bytes,
    }));
    context.output.object("stillpoint.doctor/1", findings.iter().map(wire).collect::<Vec<_>>());
    Ok(show(context, &findings).into())
}

fn configuration(config: &Config) -> Finding {
    match &config.file {
        Some(path) => Finding::good("configuration", path.display().to_string()),
        None => Finding::good("configuration", "no file; flags and environment only"),
    }
}

/// Settings that are understood and do nothing: who wrote them counts on them.
fn inactive(config: &Config) -> Option<Finding> {
    let settings = config.inactive.join(", ");
    let message = format!("this version does not act on these yet: {settings}");
    let finding = Finding::caution("settings", message);
    let help =
        "backups at fixed times come from cron or a systemd timer: `Every hour` in the README";
    let is_time = |name: &String| name.ends_with(".every") || name.ends_with("_at");
    let has_times = config.inactive.iter().any(is_time);
    let finding = if has_times { finding.with_help(help) } else { finding };
    (!config.inactive.is_empty()).then_some(finding)
}

/// Opens the repository; that this fails is a finding, and the rest is looked at all the same.
fn repository(context: &Context, config: &Config) -> Vec<Finding> {
    let opened = brief(context, |observer| {
        let place = repository_place(config)?;
        let repository = context.open(config, observer)?;
        let snapshots = repository.snapshots()?;
        let count = text::counted(snapshots.snapshots.len() as u64, "snapshot");
        let mut findings = vec![Finding::good("repository", format!("{place} opens, {count}"))];
        findings.extend(examine_repository(&repository, &snapshots));
        Ok(findings)
    });
    opened.unwrap_or_else(|error| {
        let explanation = explain(&error);
        let finding = Finding::bad("repository", explanation.message);
        let help = explanation.help.iter();
        vec![help.fold(finding, |finding, help| finding.with_help(help.to_string()))]
    })
}

fn wire(finding: &Finding) -> Wire {
    Wire {
        verdict: match finding.verdict {
            Verdict::Good => "good",
            Verdict::Caution => "caution",
            Verdict::Bad => "bad",
        },
        about: finding.about.clone(),
        message: finding.message.clone(),
        help: finding.help.clone(),
    }
}

fn show(context: &Context, findings: &[Finding]) -> ExitCode {
    let output = &context.output;
    for finding in findings {
        let tone = match finding.verdict {
            Verdict::Good => Tone::Good,
            Verdict::Caution => Tone::Caution,
            Verdict::Bad => Tone::Bad,
        };
        let message = text::printable(finding.message.as_bytes());
        output.result(&format!("{} {:<14} {message}", output.mark(tone), finding.about));
        for help in &finding.help {
            output.result(&format!("    help  {}", text::printable(help.as_bytes())));
        }
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad == 0 {
        output.result("Everything is in place for the next backup.");
        return ExitCode::Done;
    }
    output
        .result(&format!("{} to mend before the next backup.", text::counted(bad as u64, "thing")));
    ExitCode::Failed
}
