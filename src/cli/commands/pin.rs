//! `pin`, `unpin` and `undelete`: what stays although a rule or a person said otherwise.

use crate::{
    cli::{
        ExitCode,
        args::{PinArgs, UndeleteArgs, UnpinArgs},
        context::Context,
        error::Error,
        pins,
        run::{Done, recorded},
        selection, text,
    },
    id::SnapshotId,
    ops::{forget, run_record::Start},
    repo::Repository,
};

pub fn pin(context: &Context, args: &PinArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let until = args.until.as_deref();
    let until = until.map(|text| pins::until(text, context.now(), &config.zone)).transpose()?;
    recorded(context, &config, start(&args.snap), |observer| {
        let repository = context.open(&config, observer)?;
        let shown = repository.snapshots()?.snapshots;
        let id = selection::one(context, &config, &args.snap, &shown)?;
        forget::pin(&repository, id, (&args.reason, until), observer)?;
        let end = args.until.as_ref().map(|date| format!(" until {date}")).unwrap_or_default();
        let end = text::printable(end.as_bytes());
        context.output.hide_progress();
        context.output.remark(&format!("Snapshot {} is pinned{end}.", &id.to_string()[..8]));
        Ok(done(&repository, id))
    })
}

pub fn unpin(context: &Context, args: &UnpinArgs) -> Result<Done, Error> {
    let config = context.config()?;
    recorded(context, &config, start(&args.snap), |observer| {
        let repository = context.open(&config, observer)?;
        let all = repository.history()?.snapshots;
        let id = selection::one(context, &config, &args.snap, &all)?;
        let count = forget::unpin(&repository, id, observer)?;
        context.output.hide_progress();
        let short = &id.to_string()[..8];
        context.output.remark(&match count {
            0 => format!("Snapshot {short} was not pinned."),
            _ => format!("Snapshot {short} is not pinned any more."),
        });
        Ok(done(&repository, id).figure("pins", count))
    })
}

pub fn undelete(context: &Context, args: &UndeleteArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let items = args.snaps.iter().map(|snap| snap.to_string_lossy().into_owned()).collect();
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let repository = context.open(&config, observer)?;
        let forgotten: Vec<_> = repository.history()?.forgotten().cloned().collect();
        let chosen = args.snaps.iter().map(|snap| selection::by_id(snap, &forgotten));
        let chosen: Vec<SnapshotId> = chosen.collect::<Result<_, _>>()?;
        let count = forget::undelete(&repository, &chosen, observer)?;
        context.output.hide_progress();
        let snapshots = text::counted(count as u64, "snapshot");
        context.output.remark(&format!("{snapshots} taken out of the trash."));
        let mut done = Done::new(ExitCode::Done).figure("undeleted", count);
        done.repository_id = Some(repository.id().to_string());
        Ok(done)
    })
}

fn start(snap: &std::ffi::OsStr) -> Start {
    Start { items: vec![snap.to_string_lossy().into_owned()], ..Start::default() }
}

fn done(repository: &Repository, id: SnapshotId) -> Done {
    let mut done = Done::new(ExitCode::Done);
    done.repository_id = Some(repository.id().to_string());
    done.snapshot_id = Some(id.to_string());
    done
}
