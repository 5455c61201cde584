//! One file for each command: arguments in, one use case, a result printed.

mod backup;
mod check;
mod child;
mod diff;
mod doctor;
mod drill;
mod dump;
mod export;
mod find;
mod forget;
mod growth;
mod guard;
mod history;
mod import;
mod init;
mod key;
mod live;
mod ls;
mod manual;
mod mirror;
#[cfg(feature = "mount")]
mod mount;
mod object;
mod pin;
mod prune;
mod rebuild_index;
mod repair;
mod restore;
mod restore_rows;
mod restores;
mod runs;
mod schema;
mod snapshots;
mod sql;
mod stats;
mod status;
mod tables;
mod undo;
mod version;

use crate::cli::{args::Command, context::Context, error::Error, run::Done};

/// Does what was asked.
pub fn run(context: &Context, command: Command) -> Result<Done, Error> {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Backup(args) => backup::run(context, args),
        Command::Restore(args) if args.live => live::run(context, &args),
        Command::Restore(args) if !args.table.is_empty() => restore_rows::run(context, &args),
        Command::Restore(args) => restore::run(context, &args),
        Command::Undo(args) => undo::run(context, &args),
        Command::Restores(args) => restores::run(context, &args),
        Command::Guard(args) => guard::run(context, &args),
        Command::Drill(args) => drill::run(context, &args),
        Command::Status => status::run(context),
        Command::Snapshots(args) => snapshots::run(context, &args),
        Command::Ls(args) => ls::run(context, &args),
        Command::Dump(args) => dump::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Find(args) => find::run(context, &args),
        Command::Growth(args) => growth::run(context, &args),
        #[cfg(feature = "mount")]
        Command::Mount(args) => mount::run(context, &args),
        Command::Sql(args) => sql::run(context, &args),
        Command::Tables(args) => tables::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
        Command::Stats => stats::run(context),
        Command::Forget(args) => forget::run(context, &args),
        Command::Undelete(args) => pin::undelete(context, &args),
        Command::Pin(args) => pin::pin(context, &args),
        Command::Unpin(args) => pin::unpin(context, &args),
        Command::Check(args) => check::run(context, &args),
        Command::Prune(args) => prune::run(context, &args),
        Command::Repair(args) => repair::run(context, &args),
        Command::RebuildIndex => rebuild_index::run(context),
        Command::Export(args) => export::run(context, &args),
        Command::Import(args) => import::run(context, &args),
        Command::Key(args) => key::run(context, &args),
        Command::Mirror(args) => mirror::run(context, &args),
        Command::Runs(args) => runs::run(context, &args),
        Command::Doctor => doctor::run(context),
        Command::Cat(args) => object::cat(context, &args),
        Command::Debug(args) => object::debug(context, &args),
        Command::Completions(args) => Ok(manual::completions(context, &args)),
        Command::Man(args) => manual::man(context, &args),
        Command::CaptureChild => Ok(child::capture()),
        Command::CheckChild(args) => Ok(child::check(context, &args)),
        Command::Version => Ok(version::run(context)),
    }
}
