//! What befalls a restore in place.

use super::{Entry, NOTHING_CHANGED, ops_entry};
use crate::{cli::exit_code::ExitCode, ops::live::Error};

/// The entry of an error of a restore in place.
pub fn entry(error: &Error) -> Entry {
    match error {
        Error::TakenBack(cause) => {
            let why = ops_entry(cause);
            let taken_back = Entry::new("SP0501", why.exit_code);
            Entry { help: why.help, ..taken_back.effect("all is as it was before") }
        }
        Error::Unfinished { .. } => Entry::new("SP0502", ExitCode::Failed)
            .effect(
                "some files are as before, others as in the snapshot; everything that was there is \
                 kept beside them",
            )
            .help("stop the application, then run any command again, such as stillpoint runs")
            .command("the log says how far it came", "stillpoint runs"),
        Error::Newer { .. } => Entry::new("SP0503", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .help("update the application first, or choose an older snapshot"),
        Error::InUse { .. } => Entry::new("SP0504", ExitCode::InUse)
            .effect("it was not replaced")
            .help("stop the application, or let the hook before_restore stop it"),
        Error::CannotSee { .. } => Entry::new("SP0505", ExitCode::InUse)
            .effect("it was not replaced")
            .help("run it as root, which sees all processes")
            .command("or promise that the application is stopped", "--assume-stopped"),
        Error::Hook { .. } => Entry::new("SP0506", ExitCode::Failed)
            .effect("what it was to make possible was not done")
            .command("what it printed is in the log", "stillpoint runs"),
        Error::NotSaved { .. } => Entry::new("SP0507", ExitCode::Failed)
            .effect("what cannot be saved first is not changed")
            .command("try it alone", "stillpoint backup"),
        Error::NothingToUndo => Entry::new("SP0508", ExitCode::Failed).effect(NOTHING_CHANGED),
        Error::SafetyGone { .. } => Entry::new("SP0509", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .command("choose another moment", "stillpoint snapshots"),
        Error::NotKept { .. } => Entry::new("SP0511", ExitCode::Usage)
            .effect(NOTHING_CHANGED)
            .command("leave the database alone, and bring back single tables", "--table TABLE"),
        _ => Entry::new("SP0510", ExitCode::Failed).effect("what was there before is there still"),
    }
}
