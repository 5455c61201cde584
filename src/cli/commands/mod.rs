//! One file for each command: arguments in, one use case, a result printed.

mod check;
mod doctor;
mod init;
mod manual;
mod object;
mod rebuild_index;
mod runs;
mod snapshots;
mod stats;
mod version;

use crate::cli::{args::Command, context::Context, error::Error, run::Done};

/// Does what was asked.
pub fn run(context: &Context, command: Command) -> Result<Done, Error> {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Snapshots(args) => snapshots::run(context, &args),
        Command::Stats => stats::run(context),
        Command::Check(args) => check::run(context, &args),
        Command::RebuildIndex => rebuild_index::run(context),
        Command::Runs(args) => runs::run(context, &args),
        Command::Doctor => doctor::run(context),
        Command::Cat(args) => object::cat(context, &args),
        Command::Debug(args) => object::debug(context, &args),
        Command::Completions(args) => Ok(manual::completions(context, &args)),
        Command::Man(args) => manual::man(context, &args),
        Command::Version => Ok(version::run(context)),
    }
}
