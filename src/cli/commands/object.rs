//! `cat` and `debug`: single objects, as bytes and as fields.

use crate::{
    cli::{
        ExitCode,
        args::ObjectArgs,
        context::Context,
        error::Error,
        run::{Done, brief},
    },
    ops::object,
};

pub fn cat(context: &Context, args: &ObjectArgs) -> Result<Done, Error> {
    let plain = open(context, args)?;
    let _ = context.output.raw(&plain);
    Ok(ExitCode::Done.into())
}

pub fn debug(context: &Context, args: &ObjectArgs) -> Result<Done, Error> {
    let plain = open(context, args)?;
    let lines = object::describe(&plain);
    context.output.object("stillpoint.debug/1", &lines);
    for line in lines {
        context.output.result(&crate::cli::text::printable(line.as_bytes()));
    }
    Ok(ExitCode::Done.into())
}

fn open(context: &Context, args: &ObjectArgs) -> Result<Vec<u8>, Error> {
    let config = context.config()?;
    brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        let object = object::find(&repository, &args.object)?;
        Ok(object::open(&repository, &object)?)
    })
}
