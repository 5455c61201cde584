//! `mount`: snapshots as a folder that any program can open.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cli::{
        ExitCode,
        args::MountArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        run::{Done, brief},
        selection::{Selection, compose},
    },
    ops::{
        moment::PartAt,
        mount::{View, mount},
    },
    repo::{Repository, Snapshot},
};

/// What stands for every snapshot.
const ALL: &str = "all";
/// How often we look whether it is to end.
const PATIENCE: Duration = Duration::from_millis(100);

pub fn run(context: &Context, args: &MountArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let view = View::new(&repository)?;
    if args.snap == ALL {
        add_all(context, &repository, &view, &config.zone)?;
    } else {
        let selection = Selection::new(context, &config, &repository, &args.snap)?;
        let moment = selection.moment(compose(args.exact))?;
        view.add_parts(View::ROOT, &selection.parts(&moment)?);
    }
    context.signals.watch(&context.output, &context.machine.stop);
    let mounted = mount(view, &args.dir)?;
    let dir = args.dir.display();
    context.output.message(&format!("Mounted on {dir}. Ctrl-C, or umount {dir}, ends it."));
    let stop = &context.machine.stop;
    while !stop.load(std::sync::atomic::Ordering::SeqCst) && !mounted.is_over() {
        context.machine.clock.sleep(PATIENCE);
    }
    mounted.unmount()?;
    Ok(ExitCode::Done.into())
}

fn add_all(
    context: &Context,
    repository: &Repository,
    view: &View,
    zone: &TimeZone,
) -> Result<(), Error> {
    let loaded = repository.snapshots()?;
    warn_of_damaged(&context.output, &loaded.damaged);
    for snapshot in &loaded.snapshots {
        let folder = view.add_folder(View::ROOT, &name(snapshot, zone), snapshot.record.created);
        let parts = snapshot.record.parts.iter().map(|part| PartAt { snapshot, part });
        view.add_parts(folder, &parts.collect::<Vec<_>>());
    }
    Ok(())
}

/// The name of a snapshot's folder: when it was made, and the beginning of its id.
fn name(snapshot: &Snapshot, zone: &TimeZone) -> String {
    let at = Timestamp::from_nanosecond(snapshot.record.created.into()).unwrap_or_default();
    let at = at.to_zoned(zone.clone());
    format!("{}_{}", at.strftime("%Y-%m-%dT%H-%M-%S"), &snapshot.id.to_string()[..8])
}
