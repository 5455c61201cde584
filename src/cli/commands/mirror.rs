//! `mirror`: second places of the repository.

mod add;
mod login;
mod prune;
mod status;

use crate::{
    cli::{
        ExitCode,
        args::{MirrorArgs, MirrorCommand, MirrorForgetArgs, MirrorName, MirrorSyncArgs},
        context::Context,
        error::Error,
        mirrors::{self, Care, Outcome},
        output::Tone,
        run::{Done, brief, recorded, unrecorded},
        table::{Column, Narrow, Table},
        text,
    },
    config::{Config, Mirror, Place},
    ops::{mirror, run_record::Start},
    repo::Repository,
    setup::Known,
};

pub fn run(context: &Context, args: &MirrorArgs) -> Result<Done, Error> {
    match &args.command {
        MirrorCommand::Add(args) => add::add(context, args),
        MirrorCommand::Remove(args) => add::remove(context, args),
        MirrorCommand::Login(args) => login::run(context, args),
        MirrorCommand::List => list(context),
        MirrorCommand::Test(args) => test(context, args),
        MirrorCommand::Status(args) => status::run(context, args),
        MirrorCommand::Sync(args) => sync(context, args),
        MirrorCommand::Forget(args) => forget(context, args),
        MirrorCommand::Prune(args) => prune::run(context, args),
    }
}

fn list(context: &Context) -> Result<Done, Error> {
    let config = context.config()?;
    let wire: Vec<_> = config
        .mirrors
        .iter()
        .map(|mirror| {
            serde_json::json!({
                "name": mirror.name,
                "kind": mirror.place.kind(),
                "place": mirror.place.to_string(),
                "limit_upload": mirror.limit_upload,
            })
        })
        .collect();
    context.output.object("stillpoint.mirrors/1", wire);
    if config.mirrors.is_empty() {
        context.output.result("No mirror yet. Add one:  stillpoint mirror add NAME --kind s3");
        return Ok(ExitCode::Done.into());
    }
    let mut table = Table::new([
        Column::left("NAME"),
        Column::left("KIND"),
        Column::left("PLACE").when_narrow(Narrow::Cut),
        Column::left("LIMIT").when_narrow(Narrow::Drop(1)),
    ]);
    for mirror in &config.mirrors {
        table.row(vec![
            mirror.name.clone(),
            mirror.place.kind().to_owned(),
            text::printable(mirror.place.to_string().as_bytes()),
            mirror
                .limit_upload
                .map(|limit| format!("{}/s", text::bytes(limit)))
                .unwrap_or_default(),
        ]);
    }
    context.output.table(&table, "");
    Ok(ExitCode::Done.into())
}

/// Proves the place once more; also a place that was never used.
fn test(context: &Context, args: &MirrorName) -> Result<Done, Error> {
    let config = context.config()?;
    let mirror = mirrors::named(&config, &args.name)?;
    unrecorded(context, |observer| {
        let repository = context.open(&config, observer)?;
        let mut ledger = mirrors::ledger(&repository, mirror)?;
        let target = mirrors::target(context, (&config, &repository), mirror, &ledger)?;
        let holds = mirror::holds(&repository, &target)?;
        let found = target.backend.prove()?;
        let _ = ledger.set_proven(found);
        context.output.hide_progress();
        let output = &context.output;
        let good = output.mark(Tone::Good);
        output.remark(&format!(
            "{good} {}: written, read back, compared and deleted",
            text::printable(target.backend.place().as_bytes())
        ));
        output.remark(&match holds {
            mirror::Holds::Nothing => format!("{good} empty, ready for the first sync"),
            mirror::Holds::ThisRepository => format!("{good} holds this repository"),
        });
        Ok(Done::new(ExitCode::Done)
            .figure("conditional_create", found.conditional_create)
            .figure("strong_listing", found.strong_listing))
    })
}

fn sync(context: &Context, args: &MirrorSyncArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let chosen: Vec<&Mirror> = match &args.name {
        Some(name) => vec![mirrors::named(&config, name)?],
        None => mirrors::mirrors(&config).collect(),
    };
    if chosen.is_empty() {
        let message = "there is no mirror to bring up to date".to_owned();
        return Err(Error::Usage { message, help: "add one:  stillpoint mirror add NAME --kind" });
    }
    let care = match (args.check, args.read_data) {
        (false, _) => Care::Trust,
        (true, false) => Care::Compare,
        (true, true) => Care::Prove,
    };
    let items = chosen.iter().map(|mirror| mirror.name.clone()).collect();
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let repository = context.open(&config, observer)?;
        let outcomes: Vec<_> = chosen
            .iter()
            .map(|mirror| {
                let place = (&config, &repository);
                mirrors::bring_up_to_date(context, place, (mirror, care), observer)
            })
            .collect::<Result<_, _>>()?;
        Ok(conclude(context, &repository, &outcomes))
    })
}

fn conclude(context: &Context, repository: &Repository, outcomes: &[Outcome]) -> Done {
    for outcome in outcomes.iter().filter(|outcome| outcome.is_complete()) {
        let output = &context.output;
        let count = text::counted(outcome.snapshots_sent, "snapshot");
        output.remark(&format!(
            "{} {}: complete; {count} sent, {}",
            output.mark(Tone::Good),
            outcome.name,
            text::bytes(outcome.bytes_sent)
        ));
    }
    let is_complete = outcomes.iter().all(Outcome::is_complete);
    let exit_code = if is_complete { ExitCode::Done } else { ExitCode::Incomplete };
    let mut done = Done::new(exit_code).figure("mirrors", mirrors::figure(outcomes));
    done.repository_id = Some(repository.id().to_string());
    done
}

fn forget(context: &Context, args: &MirrorForgetArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let mirror = mirrors::named(&config, &args.name)?;
    let forgotten = brief(context, |observer| {
        let there = context.open(&there(&config, &mirror.place), observer)?;
        Ok(mirror::forget(&there, &args.name, &args.snap)?)
    })?;
    let id = forgotten.id.to_string();
    context.output.object("stillpoint.forgotten/1", serde_json::json!({ "id": id }));
    context.output.remark(&format!("Snapshot {} is forgotten on {} only.", &id[..8], args.name));
    Ok(ExitCode::Done.into())
}

/// The configuration, with a mirror in the place of the repository.
fn there(config: &Config, place: &Place) -> Config {
    let mut there = config.clone();
    there.repository = Some(place.clone());
    there
}

/// Opens a mirror that may never have been used.
fn fresh(
    context: &Context,
    repository: &Repository,
    mirror: &Mirror,
) -> Result<mirror::Target, Error> {
    let backend = context.machine.mirror(mirror, repository, Known::Nothing)?;
    Ok(mirror::Target { name: mirror.name.clone(), backend, keep: None })
}
