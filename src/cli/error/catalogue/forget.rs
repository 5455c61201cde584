//! Why nothing is forgotten.

use super::{Entry, NOTHING_CHANGED};
use crate::{cli::exit_code::ExitCode, ops::retention::ClockBehind};

const NOTHING_FORGOTTEN: &str = "nothing was forgotten; all snapshots can be restored";

/// The clock cannot be believed.
pub(super) fn clock_behind(why: &ClockBehind) -> Entry {
    Entry::new("SP0802", ExitCode::Failed)
        .effect(NOTHING_FORGOTTEN)
        .help("is the clock of this machine right?")
        .command(
            "if it is, the snapshot was made by one that was wrong",
            format!("stillpoint forget {}", &why.snapshot.to_string()[..16]),
        )
}

/// A pin protects nobody knows what.
pub(super) fn unreadable_pin(name: &str) -> Entry {
    Entry::new("SP0801", ExitCode::Failed)
        .effect("nothing was forgotten: the pin may protect any snapshot")
        .command("find out what is damaged", "stillpoint check")
        .help(format!("if it was yours and not needed, remove the file {name}"))
}

/// More than half would go.
pub(super) fn too_many() -> Entry {
    Entry::new("SP0803", ExitCode::Usage)
        .effect(NOTHING_CHANGED)
        .command("see what would go, and why", "stillpoint forget --policy --dry-run")
        .command("if that is meant", "the same command with --allow-most")
}
