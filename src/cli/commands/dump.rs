//! `dump`: one file or one database, to standard output.

use std::ops::ControlFlow;

use crate::{
    cli::{
        ExitCode,
        args::DumpArgs,
        context::Context,
        error::Error,
        run::{Done, brief},
        selection::{Selection, compose},
    },
    ops::dump::dump,
};

/// Few large writes are faster than many small ones.
const WRITE_BYTES: usize = 256 * 1024;

pub fn run(context: &Context, args: &DumpArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let selection = Selection::new(context, &config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    let (at, path) = selection.part(&moment)?;
    let mut gathered = Vec::with_capacity(2 * WRITE_BYTES);
    dump(repository.fetcher()?, at.part, path, &mut |bytes| {
        gathered.extend_from_slice(bytes);
        if gathered.len() < WRITE_BYTES {
            return ControlFlow::Continue(());
        }
        // A reader that went away has seen enough.
        let wanted = context.output.raw(&gathered);
        gathered.clear();
        if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let _ = context.output.raw(&gathered);
    Ok(ExitCode::Done.into())
}
