//! The record of a run: what was captured, for whom, of what.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    disk::{self, Disk},
    format::record::{Outcome, Part, PartContent, Record, Trigger},
    id::WriterId,
    limits::KIB,
    ops::{
        backup::{Captured, Origin, Run},
        event::Event,
        set::AppVersion,
    },
};

/// Longest version text that is kept.
const VERSION_BYTES_MAX: usize = 200;

/// Puts the record together. Writer, counter and bytes added are filled in by the commit.
pub fn assemble(run: &Run<'_>, captured: &Captured) -> Record {
    let request = run.request;
    let damaged = captured.parts.iter().any(|part| part.outcome != Outcome::Complete);
    Record {
        created: run.started,
        finished: run.repo.environment().clock.now(),
        host: request.host.clone(),
        writer: WriterId([0; 32]),
        counter: 0,
        parent: run.older.last().map(|snapshot| snapshot.id),
        storage: request.storage,
        trigger: request.trigger,
        actor: request.actor.clone(),
        station: request.station.clone(),
        name: request.name.clone(),
        note: request.note.clone(),
        tags: request.tags.clone(),
        environment: environment(run, captured),
        app_version: app_version(run, captured),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        config: request.config.clone(),
        configured: request.configured.clone(),
        parts: captured.parts.iter().map(|part| with_origin(part, &request.origins)).collect(),
        bytes_added: 0,
        incomplete: damaged || !captured.failed.is_empty(),
        failed: captured.failed.clone(),
    }
}

/// The part, with the places it came from rather than those where a copy of it was read.
fn with_origin(part: &Part, origins: &[Origin]) -> Part {
    let mut part = part.clone();
    if let Some(origin) = origins.iter().find(|origin| origin.part == part.name) {
        part.sources.clone_from(&origin.sources);
        if let PartContent::Tree { path, .. } = &mut part.content {
            path.clone_from(&origin.root);
        }
    }
    part
}

/// The facts of the request, and those about owners.
fn environment(run: &Run<'_>, captured: &Captured) -> Vec<(String, String)> {
    // What is imported was unpacked by us: whose it is here says nothing.
    if run.request.trigger == Trigger::Import {
        return run.request.environment.clone();
    }
    let about_owners = run.owners.facts(run.repo.environment().disk.as_ref(), &captured.parts);
    run.request.environment.iter().cloned().chain(about_owners).collect()
}

/// Finds the version of the application. That it cannot be found is worth a warning, never a
/// backup.
fn app_version(run: &Run<'_>, captured: &Captured) -> String {
    let found = match &run.request.app_version {
        None => return String::new(),
        Some(AppVersion::Sql { set, .. }) => {
            let answer = captured.app_version.clone();
            answer.unwrap_or_else(|| Err(format!("{set} is not part of this run")))
        }
        Some(installed) => {
            let disk = run.repo.environment().disk.as_ref();
            installed_version(disk, installed).unwrap_or_else(|| Ok(String::new()))
        }
    };
    found.unwrap_or_else(|message| {
        run.observer.observe(&Event::Warning { item: "application version".to_owned(), message });
        String::new()
    })
}

/// Asks the installed application for its version; nothing if only its database knows.
pub fn installed_version(disk: &dyn Disk, of: &AppVersion) -> Option<Result<String, String>> {
    match of {
        AppVersion::Sql { .. } => None,
        AppVersion::File(path) => Some(first_line_of_file(disk, path)),
        AppVersion::Command(command) => Some(first_line_of_command(command)),
    }
}

fn first_line_of_file(disk: &dyn Disk, path: &Path) -> Result<String, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} is not a file", path.display()));
    };
    let bytes = disk
        .open_root(parent)
        .and_then(|dir| disk::file::read(disk, &dir, name, 64 * KIB as u64))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(first_line(&bytes))
}

fn first_line_of_command(command: &[String]) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    Ok(first_line(&output.stdout))
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(VERSION_BYTES_MAX)];
    String::from_utf8_lossy(line).trim().to_owned()
}
