//! The hidden commands: what we run in processes of their own, so that a broken database cannot
//! take the run with it.

use crate::{
    cli::{ExitCode, args::CheckChildArgs, context::Context, run::Done},
    source::{sqlite, sqlite_check},
};

/// Captures the database that the parent names.
pub fn capture() -> Done {
    result(sqlite::run_child())
}

/// Checks a database, and says on standard output what it found.
pub fn check(context: &Context, args: &CheckChildArgs) -> Done {
    let mut said = Vec::new();
    let done = result(sqlite_check::run_child(&args.depth, &args.database, &mut said));
    let _ = context.output.raw(&said);
    done
}

fn result(ended: std::process::ExitCode) -> Done {
    if ended == std::process::ExitCode::SUCCESS { ExitCode::Done } else { ExitCode::Failed }.into()
}
