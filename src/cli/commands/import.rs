//! `import`: makes a snapshot of an export.

use std::path::Path;

use crate::{
    cli::{
        args::ImportArgs,
        commands::backup::{conclude, configured, send},
        context::{Context, repository_place},
        error::Error,
        exported::{absolute, passphrase, terms},
        mirrors::ahead::SentAhead,
        run::{Done, recorded},
    },
    config::Config,
    format::record::{Storage, Trigger},
    ops::{
        backup::{self, Request},
        event::Observer,
        export::manifest::Manifest,
        run_record::Start,
        unpack::{Export, Imported, imported},
    },
    repo::Repository,
};

pub fn run(context: &Context, args: &ImportArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let items = vec![args.file.to_string_lossy().into_owned()];
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let repository = context.open(&config, observer)?;
        import(context, &config, (args, &repository), observer)
    })
}

fn import(
    context: &Context,
    config: &Config,
    (args, repository): (&ImportArgs, &Repository),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let place = match &args.temp {
        Some(path) => absolute(path)?,
        None => repository.state_path().to_owned(),
    };
    let terms = terms(context, config, observer, place);
    let export = Export::open(&terms, &absolute(&args.file)?)?;
    let passphrase = passphrase(context, &export, args.export_password_file.as_ref())?;
    let (manifest, scratch) = export.unpack(&terms, passphrase.as_ref())?;
    let Imported { sets, origins, app_version } = imported(&terms, &manifest, &scratch)?;
    let machine = &context.machine;
    let request = Request {
        configured: configured(config, repository, &sets)?,
        config: config.to_toml_without_secrets(&config.sets),
        sets,
        storage: Storage::Incremental,
        trigger: Trigger::Import,
        actor: config.actor.clone(),
        station: config.station.clone(),
        name: args.name.clone().unwrap_or_default(),
        note: note(&args.file, &manifest),
        tags: Vec::new(),
        environment: machine.facts(),
        app_version,
        host: manifest.host,
        wait: std::time::Duration::ZERO,
        min_free_bytes: config.min_free_bytes,
        program: machine.program.clone(),
        // What is imported lies in the state folder for a while.
        own: repository_place(config)?.folder().map(ToOwned::to_owned).into_iter().collect(),
        origins,
    };
    let report = backup::run(repository, &request, observer)?;
    let done = conclude(context, repository, &report);
    send(context, config, (repository, (done, &SentAhead::new())), observer)
}

/// Says what the snapshot is: it is younger than what it holds.
fn note(file: &Path, manifest: &Manifest) -> String {
    let taken = manifest.parts.iter().map(|part| part.taken.as_str()).max().unwrap_or_default();
    format!("imported from {}, taken {taken}", file.display())
}
