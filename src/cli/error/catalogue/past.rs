//! What can go wrong when a past database is asked.

use super::{Entry, NOTHING_CHANGED, image_entry};
use crate::{
    cli::exit_code::ExitCode,
    ops::{mount, past},
};

const RESTORE: &str = "stillpoint restore SNAP:DB --target DIR";

/// Puts the refusal of a past database into words.
pub(super) fn entry(error: &past::Error) -> Entry {
    let usage = |code| Entry::new(code, ExitCode::Usage);
    match error {
        past::Error::Image(error) => image_entry(error),
        past::Error::Damaged { .. } => Entry::new("SP0601", ExitCode::Failed)
            .effect("the backup holds what was there then; the repository is not damaged")
            .command("look for a moment before the damage", "stillpoint snapshots"),
        past::Error::Writes => usage("SP0603")
            .effect(NOTHING_CHANGED)
            .help("ask with SELECT; to bring rows back into the live database, use restore"),
        past::Error::SeveralStatements => usage("SP0602").help("leave out what follows the first"),
        past::Error::TookTooLong { .. } => Entry::new("SP0604", ExitCode::Failed)
            .command("give it more time", "--timeout 10m")
            .help("or ask for less: LIMIT, or a WHERE that an index serves"),
        past::Error::TooLarge => Entry::new("SP0605", ExitCode::Failed)
            .help("ask for less at once: LIMIT, fewer columns, or an ORDER BY that an index serves")
            .command("or restore the database, and ask it there", RESTORE),
        past::Error::WhichDatabase { known, .. } => match known.is_empty() {
            true => usage("SP0606").command("see what there is", "stillpoint ls SNAP"),
            false => usage("SP0606").help(format!("write SNAP:DB; it has: {}", known.join(", "))),
        },
        past::Error::NotADatabase { .. } => {
            usage("SP0606").command("see what there is", "stillpoint ls SNAP")
        }
        past::Error::Live(_) => Entry::new("SP0608", ExitCode::Failed)
            .effect("nothing was compared; the backups are not affected")
            .command("see whether it can be read at all", "stillpoint doctor"),
        past::Error::Hashes(_) => Entry::new("SP0301", ExitCode::Failed)
            .effect("something in the repository is damaged; the rest still restores")
            .command("find out what", "stillpoint check --read-data"),
        past::Error::NoFileSystem { .. } => Entry::new("SP0607", ExitCode::Failed)
            .effect("the backups are not affected")
            .command("restore the database, and ask it there", RESTORE),
        _ => usage("SP0602"),
    }
}

/// Puts into words why nothing was mounted.
pub(super) fn mount_entry(error: &mount::Error) -> Entry {
    match error {
        mount::Error::NotMounted { .. } => Entry::new("SP0609", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .help("the folder must exist, be empty, and belong to you; /dev/fuse must be there")
            .command("install what mounts for users", "apt install fuse3")
            .command("or restore what you need", "stillpoint restore SNAP --target DIR"),
        mount::Error::Image(error) => image_entry(error),
        _ => Entry::new("SP0610", ExitCode::Failed).effect("the backups are not affected"),
    }
}
