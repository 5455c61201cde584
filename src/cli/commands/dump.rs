//! `dump`: one file or one database, to standard output.

use std::{ops::ControlFlow, sync::atomic::Ordering};

use crate::{
    cli::{
        ExitCode,
        args::DumpArgs,
        context::Context,
        error::Error,
        run::{Done, recorded_quietly},
        selection::{Selection, compose},
    },
    config::Config,
    ops::{self, dump::dump, event::Observer, run_record::Start},
};

/// Few large writes are faster than many small ones.
const WRITE_BYTES: usize = 256 * 1024;

pub fn run(context: &Context, args: &DumpArgs) -> Result<Done, Error> {
    let config = context.config()?;
    // What left the repository is on record, whatever way it went.
    let items = vec![args.snap.to_string_lossy().into_owned(), "standard output".to_owned()];
    recorded_quietly(context, &config, Start { items, ..Start::default() }, |observer| {
        write(context, &config, args, observer)
    })
}

fn write(
    context: &Context,
    config: &Config,
    args: &DumpArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    let (at, path) = selection.part(&moment)?;
    let stop = &context.machine.stop;
    let mut gathered = Vec::with_capacity(2 * WRITE_BYTES);
    dump(repository.fetcher()?, at.part, path, &mut |bytes| {
        gathered.extend_from_slice(bytes);
        if gathered.len() < WRITE_BYTES {
            return ControlFlow::Continue(());
        }
        // A reader that went away has seen enough.
        let wanted = context.output.raw(&gathered) && !stop.load(Ordering::Relaxed);
        gathered.clear();
        if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if stop.load(Ordering::Relaxed) {
        return Err(ops::Error::Stopped.into());
    }
    let _ = context.output.raw(&gathered);
    let mut done = Done::new(ExitCode::Done);
    done.repository_id = Some(repository.id().to_string());
    done.snapshot_id = Some(at.snapshot.id.to_string());
    Ok(done)
}
