//! `undo`: takes the last restore in place back.

use crate::{
    cli::{
        args::UndoArgs,
        commands::live::{conclude, planned, preview, request},
        confirm::confirm,
        context::Context,
        error::Error,
        run::{Done, recorded, unrecorded},
        text,
    },
    config::Config,
    ops::{
        event::Observer,
        live::{Undo, undo},
        moment::PartAt,
        restore::Extra,
        run_record::Start,
    },
};

pub fn run(context: &Context, args: &UndoArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let work = |observer: &dyn Observer| take_back(context, &config, args, observer);
    if args.dry_run {
        return unrecorded(context, work);
    }
    recorded(context, &config, Start::default(), work)
}

fn take_back(
    context: &Context,
    config: &Config,
    args: &UndoArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let last = Undo::last(&repository)?;
    let goal = last.goal();
    // What the restore made where nothing was goes again, and is saved before like all the rest.
    let snapshots = repository.snapshots()?.snapshots;
    let mut parts = goal.parts.clone();
    for removal in &goal.removals {
        let known = |at: &PartAt<'_>| at.part.name == removal.part;
        if !parts.iter().any(known) {
            let all = snapshots.iter().rev().flat_map(|snapshot| {
                snapshot.record.parts.iter().map(move |part| PartAt { snapshot, part })
            });
            parts.extend(all.into_iter().find(known));
        }
    }
    let request = request(context, config, &repository, (&parts, &args.in_place, Extra::Keep))?;
    let sites = last.plan(&repository, &request, observer)?;
    let when = text::moment(last.started, context.now(), &config.zone);
    let asked = text::printable(last.asked.as_bytes());
    context.output.hide_progress();
    context.output.remark(&format!("The last restore in place was that of {asked}, {when}."));
    preview(context, &request, &sites);
    if args.dry_run {
        context.output.remark("Do it:  the same without --dry-run");
        return Ok(planned(&repository, &sites));
    }
    confirm(context, args.in_place.said(), "Put back what was there before?")?;
    let report = undo(&repository, &request, observer)?;
    Ok(conclude(context, &repository, &report))
}
