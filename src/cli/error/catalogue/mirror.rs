//! Errors of mirrors.

use super::{Entry, NOTHING_CHANGED};
use crate::{cli::exit_code::ExitCode, config, ops::mirror::Error};

/// The entry of a mirror's error.
pub fn entry(error: &Error) -> Entry {
    match error {
        Error::OtherRepository { .. } => Entry::new("SP0421", ExitCode::Failed)
            .effect("nothing was sent there; two repositories are never mixed")
            .help("give this one a bucket, prefix or folder of its own"),
        Error::BeingPruned { .. } => Entry::new("SP0422", ExitCode::Failed)
            .effect("the new snapshots are safe here, and not shown there yet")
            .command("send them again when that is over", "stillpoint mirror sync"),
        Error::Unknown { name, known } => {
            let entry = Entry::new("SP0423", ExitCode::Usage).effect(NOTHING_CHANGED);
            match config::closest(name, known.iter().map(String::as_str)) {
                Some(meant) => entry.help(format!("did you mean `{meant}`?")),
                None if known.is_empty() => {
                    entry.command("add one", "stillpoint mirror add NAME --kind s3")
                }
                None => entry.help(format!("there are: {}", known.join(", "))),
            }
        }
        Error::Taken { .. } => Entry::new("SP0424", ExitCode::Usage)
            .effect(NOTHING_CHANGED)
            .command("look at it", "stillpoint mirror list"),
        Error::Busy { .. } => Entry::new("SP0425", ExitCode::InUse)
            .effect("the other run sends what is here")
            .command("look at what runs", "stillpoint runs"),
        Error::TooMany { name, .. } => Entry::new("SP0428", ExitCode::Failed)
            .effect("nothing went there; new snapshots are sent as before")
            .command("see what would go", format!("stillpoint mirror prune {name} --dry-run"))
            .command("if it is right", format!("stillpoint mirror prune {name} --allow-most")),
        Error::NotThere { name, .. } => Entry::new("SP0426", ExitCode::Usage)
            .effect(NOTHING_CHANGED)
            .command("see what is there", format!("stillpoint mirror status {name}")),
    }
}
