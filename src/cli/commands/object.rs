//! `cat` and `debug`: single objects, as bytes and as fields.

use serde_json::Value;

use crate::{
    cli::{
        ExitCode,
        args::{ChunkUseArg, DebugArgs, ObjectArgs},
        context::Context,
        error::Error,
        run::{Done, brief},
        text,
    },
    format::show::ChunkUse,
    ops::object::{self, Object},
};

pub fn cat(context: &Context, args: &ObjectArgs) -> Result<Done, Error> {
    let (_, plain) = open(context, args)?;
    let _ = context.output.raw(&plain);
    Ok(ExitCode::Done.into())
}

pub fn debug(context: &Context, args: &DebugArgs) -> Result<Done, Error> {
    let (object, plain) = open(context, &args.object)?;
    let chunk_use = args.chunk_use.map(|chunk_use| match chunk_use {
        ChunkUseArg::Node => ChunkUse::Node,
        ChunkUseArg::Ids => ChunkUse::Ids,
        ChunkUseArg::PageMap => ChunkUse::PageMap,
        ChunkUseArg::Pages => ChunkUse::PageChunk { page_bytes: args.page_bytes },
    });
    let shown = object::describe(&object, &plain, chunk_use)?;
    for line in lines(&shown) {
        context.output.result(&text::printable(line.as_bytes()));
    }
    context.output.object("stillpoint.debug/1", shown);
    Ok(ExitCode::Done.into())
}

/// A list of lines as it is, everything else as JSON on several lines.
fn lines(shown: &Value) -> Vec<String> {
    match shown.as_array() {
        Some(list) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => format!("{shown:#}").lines().map(str::to_owned).collect(),
    }
}

fn open(context: &Context, args: &ObjectArgs) -> Result<(Object, Vec<u8>), Error> {
    let config = context.config()?;
    brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        let object = object::find(&repository, &args.object)?;
        let plain = object::open(&repository, &object)?;
        Ok((object, plain))
    })
}
