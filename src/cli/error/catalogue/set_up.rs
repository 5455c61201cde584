//! What people have to put right before a place can be used.

use super::{Entry, NOTHING_CHANGED};
use crate::{backend::SetUp, cli::exit_code::ExitCode};

const KEPT: &str = "backups are still made here; what waits for this place is kept";

/// The entry of a place that is not set up as it must be.
pub fn entry(why: &SetUp) -> Entry {
    let entry = |code, exit_code| Entry::new(code, exit_code).effect(KEPT);
    match why {
        SetUp::OtherClient { .. } => entry("SP0412", ExitCode::Failed)
            .help(
                "sign in with a client of the same Google project: through another one nothing \
                 there can be seen, and everything would be sent a second time",
            )
            .help("the recovery sheet names the client id"),
        SetUp::SeveralFolders { .. } => Entry::new("SP0413", ExitCode::Usage)
            .effect(NOTHING_CHANGED)
            .help("name the folder by its id: the last part of its address in the browser"),
        SetUp::Client { .. } => entry("SP0414", ExitCode::SignInNeeded).help(
            "download the client file again: Google Cloud console, Clients, a client of type \
             \"Desktop app\"",
        ),
        SetUp::Permission { .. } => entry("SP0415", ExitCode::SignInNeeded)
            .command("sign in again and tick the box", "stillpoint mirror login NAME"),
        SetUp::Declined { .. } => Entry::new("SP0416", ExitCode::SignInNeeded)
            .effect("nothing was changed; an earlier sign-in is kept")
            .command("try again", "stillpoint mirror login NAME"),
        SetUp::Disabled { .. } => entry("SP0417", ExitCode::Failed).help(
            "in the Google Cloud console, in the project of the client, enable \"Google Drive \
             API\"; some minutes later it works",
        ),
    }
}
