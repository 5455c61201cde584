//! Errors of the places where objects live.

use super::{Entry, NOTHING_CHANGED, corrupt_entry, set_up};
use crate::{backend::Error, cli::exit_code::ExitCode};

const KEPT: &str = "what is backed up already is not affected";

/// The entry of a backend's error.
pub fn entry(error: &Error) -> Entry {
    match error {
        Error::Missing { .. } | Error::OutOfRange { .. } => corrupt_entry(),
        Error::Unreachable { place, .. } if !place.starts_with('/') => {
            Entry::new("SP0014", ExitCode::Unreachable)
                .effect(NOTHING_CHANGED)
                .help("is this machine on the network, and the address right?")
        }
        Error::Unreachable { place, .. } => Entry::new("SP0014", ExitCode::Unreachable)
            .effect(NOTHING_CHANGED)
            .help(format!("is the disk of {place} connected and mounted?")),
        Error::SignIn { .. } => Entry::new("SP0402", ExitCode::SignInNeeded)
            .effect("backups are still made here; what waits for this place is kept")
            .command("sign in again (settings are kept)", "stillpoint mirror login NAME")
            .help(
                "every 7 days? then the Google app is still in \"Testing\": publish it (README, \
                 \"Put it on Google Drive\")",
            ),
        Error::QuotaFull { .. } => Entry::new("SP0403", ExitCode::NoSpace)
            .effect("nothing more can be stored there; what is there can be restored")
            .help("make room in that account, or keep fewer snapshots there"),
        Error::RateLimited { .. } => Entry::new("SP0404", ExitCode::Unreachable)
            .effect(KEPT)
            .help("nothing to do: the next run goes on where this one ended"),
        Error::Refused { .. } => Entry::new("SP0405", ExitCode::Failed)
            .effect(KEPT)
            .help("may this account read, write, list and delete there?"),
        Error::WrongPlace { .. } => Entry::new("SP0406", ExitCode::Unreachable)
            .effect(NOTHING_CHANGED)
            .help("are bucket or folder, region and account spelled right?"),
        Error::ClockSkew { .. } => Entry::new("SP0407", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .command("look at the clock of this machine", "timedatectl"),
        Error::BadAnswer { .. } => Entry::new("SP0408", ExitCode::Unreachable)
            .effect(KEPT)
            .help("is something between this machine and that place, such as a proxy?"),
        Error::NotAsSent { .. } => Entry::new("SP0409", ExitCode::Failed)
            .effect("that object is not used; what is backed up already is not affected")
            .help("the next run sends it again; if it comes back, do not rely on this place"),
        Error::SetUp { why, .. } => set_up::entry(why),
        Error::Paused { .. } => Entry::new("SP0411", ExitCode::Unreachable)
            .effect(KEPT)
            .help("nothing to do: a later run goes on where this one ended"),
        Error::InUse { .. } => Entry::new("SP0011", ExitCode::InUse)
            .effect("this run changed nothing there; the other one goes on")
            .command("look at what runs", "stillpoint runs"),
        Error::Unproven { .. } => Entry::new("SP0410", ExitCode::Failed)
            .effect("nothing was stored there")
            .help("do not rely on this place before it passes:  stillpoint mirror test NAME"),
        Error::Exists { .. } | Error::NoSpace { .. } | Error::Io { .. } => {
            Entry::new("SP0303", ExitCode::Failed).effect("earlier backups are not affected")
        }
    }
}
