//! The catalogue: code, exit code, effect and next step of every error. Codes are never given
//! another meaning.

mod forget;
mod live;
mod mirror;
mod past;
mod place;
mod rows;
mod set_up;

use std::io;

use super::{Error, Explanation, Help, causes, chain, find};
use crate::{
    backend, chunk,
    cli::{exit_code::ExitCode, text},
    config, crypto, format, ops,
    ops::{keys, moment, unpack},
    repo::{self, image, tree},
    sink::files,
};

const NOTHING_CHANGED: &str = "nothing was changed";

/// Puts an error into words.
pub fn explain(error: &Error) -> Explanation {
    let entry = entry(error);
    let message = match &entry.message {
        Some(message) => message.clone(),
        None => error.to_string(),
    };
    Explanation {
        code: entry.code,
        exit_code: entry.exit_code,
        message,
        effect: entry.effect.map(str::to_owned),
        help: entry.help,
        spot: spot(error),
        causes: causes(error),
    }
}

/// One entry of the catalogue.
struct Entry {
    code: &'static str,
    exit_code: ExitCode,
    /// Instead of the error's own words.
    message: Option<String>,
    effect: Option<&'static str>,
    help: Vec<Help>,
}

impl Entry {
    const fn new(code: &'static str, exit_code: ExitCode) -> Self {
        Self { code, exit_code, message: None, effect: None, help: Vec::new() }
    }

    const fn effect(mut self, effect: &'static str) -> Self {
        self.effect = Some(effect);
        self
    }

    fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    fn help(mut self, what: impl Into<String>) -> Self {
        self.help.push(Help { what: what.into(), command: None });
        self
    }

    fn command(mut self, what: &str, command: impl Into<String>) -> Self {
        self.help.push(Help { what: what.to_owned(), command: Some(command.into()) });
        self
    }
}

/// What is deeper in the chain says more than what wraps it, so stops and full disks are looked for
/// first.
fn entry(error: &Error) -> Entry {
    if is_stopped(error) {
        return Entry::new("SP0130", ExitCode::Interrupted)
            .effect("finished parts are kept and used next time");
    }
    if !matches!(error, Error::Output(_)) && is_full(error) {
        return Entry::new("SP0013", ExitCode::NoSpace)
            .message("no space left on the disk")
            .effect("what was finished before is safe; nothing half-written counts")
            .command("see how much is free", "stillpoint doctor");
    }
    match error {
        Error::Config(error) => config_entry(error),
        Error::Ops(error) => ops_entry(error),
        Error::Usage { help, .. } => {
            Entry::new("SP0002", ExitCode::Usage).effect(NOTHING_CHANGED).help(*help)
        }
        Error::StateFolder { .. } => Entry::new("SP0304", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .command("use another folder", "--state-dir DIR"),
        Error::Output(_) => Entry::new("SP0001", ExitCode::Failed),
        Error::Stopped => Entry::new("SP0130", ExitCode::Interrupted),
        Error::Declined => Entry::new("SP0020", ExitCode::Failed).effect(NOTHING_CHANGED),
        Error::NoYes { .. } => Entry::new("SP0021", ExitCode::NeedsAnswer)
            .effect(NOTHING_CHANGED)
            .command("say so beforehand", "--yes"),
        Error::NoRepositoryNamed
        | Error::NoCredential
        | Error::Credential { .. }
        | Error::NotAKeyFile { .. }
        | Error::KeyFileNotWritten { .. }
        | Error::ConfigNotWritten { .. }
        | Error::NotARecoveryKey { .. }
        | Error::SheetNotWritten { .. }
        | Error::EmptyPassphrase
        | Error::PassphrasesDiffer => access_entry(error),
    }
}

fn access_entry(error: &Error) -> Entry {
    let usage = |code| Entry::new(code, ExitCode::Usage).effect(NOTHING_CHANGED);
    match error {
        Error::NoRepositoryNamed => usage("SP0105").command(
            "name it",
            "--repo DIR, or STILLPOINT_REPO, or [repository] path in the configuration",
        ),
        Error::NoCredential => Entry::new("SP0015", ExitCode::NeedsAnswer)
            .effect(NOTHING_CHANGED)
            .command(
                "name a file that holds it",
                "--password-file FILE, or STILLPOINT_PASSWORD_FILE",
            )
            .command("or a key file", "--key-file FILE, or STILLPOINT_KEY_FILE"),
        Error::NotAKeyFile { .. } => usage("SP0107")
            .help("a key file holds 64 hexadecimal digits and is made by init --new-key-file"),
        Error::ConfigNotWritten { .. } => Entry::new("SP0427", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .help("may you write that file? name another one with --config"),
        Error::KeyFileNotWritten { .. } => {
            usage("SP0108").help("choose a file that does not exist yet, in a folder that does")
        }
        Error::NotARecoveryKey { .. } => usage("SP0701")
            .help("type it as it stands on the sheet; capitals, blanks and dashes do not matter"),
        Error::SheetNotWritten { .. } => {
            usage("SP0702").help("choose a file that does not exist yet, in a folder that does")
        }
        Error::EmptyPassphrase => usage("SP0109").help("an empty passphrase protects nothing"),
        Error::PassphrasesDiffer => usage("SP0110").help("type the same passphrase twice"),
        _ => usage("SP0106"),
    }
}

fn config_entry(error: &config::Error) -> Entry {
    let entry = |code| Entry::new(code, ExitCode::Usage).effect(NOTHING_CHANGED);
    match error {
        config::Error::UnknownKey { .. } => entry("SP0103"),
        config::Error::Invalid { .. } => entry("SP0102"),
        config::Error::NoCredentialDirectory { .. } => entry("SP0104")
            .help("name a file with key_file instead, or run it from a unit with LoadCredential="),
        config::Error::Unreadable { .. } => entry("SP0101"),
        config::Error::NotAPlace { .. } => entry("SP0111").help(
            "a place is a folder, s3:BUCKET/PREFIX, gs:BUCKET, az:CONTAINER or gdrive:FOLDER",
        ),
    }
}

fn ops_entry(error: &ops::Error) -> Entry {
    match error {
        ops::Error::Repository(error) => repo_entry(error),
        ops::Error::Backend(error) => place::entry(error),
        ops::Error::Chunk(error) => chunk_entry(error),
        ops::Error::Format(error) => format_entry(error),
        ops::Error::Moment(error) => moment_entry(error),
        ops::Error::Mirror(error) => mirror::entry(error),
        ops::Error::Past(error) => past::entry(error),
        ops::Error::Mount(error) => past::mount_entry(error),
        ops::Error::Key(error) => key_entry(error),
        ops::Error::Live(error) => live::entry(error),
        ops::Error::Unpack(error) => unpack_entry(error),
        ops::Error::Part { .. } => corrupt_entry(),
        ops::Error::TooManyFiles { .. } => Entry::new("SP0716", ExitCode::Failed)
            .effect("nothing was written")
            .command("export one part at a time", "--part NAME"),
        ops::Error::Rows(error) => rows::entry(error),
        ops::Error::Tree(tree::Error::Chunk(error)) => chunk_entry(error),
        ops::Error::Image(error) => image_entry(error),
        ops::Error::Tree(_) => corrupt_entry(),
        ops::Error::Restore(files::Error::Pattern { .. }) | ops::Error::Pattern { .. } => {
            Entry::new("SP0211", ExitCode::Usage).help("patterns are those of .gitignore")
        }
        ops::Error::Restore(_) => Entry::new("SP0401", ExitCode::Failed)
            .effect("the restore is not complete; the backups are not affected")
            .command("do it again, which goes on where it ended", "the same command"),
        ops::Error::UnknownPath { part, .. } => Entry::new("SP0209", ExitCode::Usage)
            .command("see what there is", format!("stillpoint ls SNAP:{part}")),
        ops::Error::NotAFile { .. } => Entry::new("SP0210", ExitCode::Usage)
            .help("dump writes one file or one database; to get the rest back, use restore"),
        ops::Error::NoSpace { place, needed_bytes, free_bytes } => {
            let (needed, free) = (text::bytes(*needed_bytes), text::bytes(*free_bytes));
            Entry::new("SP0013", ExitCode::NoSpace)
                .message(format!(
                    "not enough space in {place}: {needed} are needed, {free} are free"
                ))
                .effect("refused before anything was written; nothing was changed")
                .help("free some space, or lower min_free in the configuration")
        }
        ops::Error::UnreadablePin { name } => forget::unreadable_pin(name),
        ops::Error::ClockBehind(why) => forget::clock_behind(why),
        ops::Error::TooMany { .. } => forget::too_many(),
        ops::Error::Busy { .. } => Entry::new("SP0011", ExitCode::InUse)
            .effect("this run did nothing; the other one goes on")
            .command("wait for it", "stillpoint backup --wait 10m")
            .command("look at it", "stillpoint runs"),
        ops::Error::UnknownSet { known, .. } => {
            let entry = Entry::new("SP0206", ExitCode::Usage).effect("nothing was backed up");
            match known.is_empty() {
                true => entry.command(
                    "name one here",
                    "stillpoint backup --sqlite NAME=PATH --files NAME=PATH",
                ),
                false => entry.help(format!("the configuration has: {}", known.join(", "))),
            }
        }
        ops::Error::UnknownObject { .. } => Entry::new("SP0207", ExitCode::Usage)
            .help("objects are named as in the repository folder: snapshots/8f21, packs/03ab"),
        ops::Error::AmbiguousObject { names, .. } => {
            let names: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
            Entry::new("SP0208", ExitCode::Usage)
                .help(format!("type more of it: {}", names.join(", ")))
        }
        _ => Entry::new("SP0001", ExitCode::Failed),
    }
}

fn unpack_entry(error: &unpack::Error) -> Entry {
    let entry = |code, exit_code| Entry::new(code, exit_code).effect("nothing was written");
    match error {
        unpack::Error::NotAnExport { .. } => entry("SP0711", ExitCode::Failed)
            .help("an export is made by  stillpoint export; other ZIP files are not taken"),
        unpack::Error::Newer { .. } => {
            entry("SP0302", ExitCode::Failed).help("install the newest Stillpoint")
        }
        unpack::Error::WrongPassphrase { .. } => entry("SP0713", ExitCode::WrongKey)
            .help("an export has a passphrase of its own, given when it was made"),
        unpack::Error::UnknownPart { known, .. } => {
            entry("SP0714", ExitCode::Usage).help(format!("it has: {}", known.join(", ")))
        }
        unpack::Error::Taken { .. } => entry("SP0715", ExitCode::Failed)
            .help("restore into an empty folder, then put things where they belong"),
        _ => entry("SP0712", ExitCode::Damage)
            .help("fetch or copy it again, or make a new one:  stillpoint export"),
    }
}

fn key_entry(error: &keys::Error) -> Entry {
    let entry = |code| Entry::new(code, ExitCode::Usage).effect(NOTHING_CHANGED);
    match error {
        keys::Error::Ambiguous { ids, .. } => {
            let ids: Vec<&str> = ids.iter().take(5).map(|id| &id[..id.len().min(12)]).collect();
            entry("SP0704").help(format!("name it by its id: {}", ids.join(", ")))
        }
        keys::Error::NotASheet => entry("SP0705").command("see them", "stillpoint key list"),
        _ => entry("SP0703").command("see them", "stillpoint key list"),
    }
}

fn repo_entry(error: &repo::Error) -> Entry {
    match error {
        repo::Error::NotFound { place } => Entry::new("SP0010", ExitCode::NoRepository)
            .effect(NOTHING_CHANGED)
            .command("create it", format!("stillpoint init --repo {place}"))
            .help("or is the disk not mounted?"),
        repo::Error::AlreadyThere { .. } => Entry::new("SP0305", ExitCode::Failed)
            .effect("the repository there was not touched")
            .command("look at it", "stillpoint snapshots"),
        repo::Error::WrongCredential { .. } => {
            Entry::new("SP0012", ExitCode::WrongKey).effect("nothing was read or changed").help(
                "without a passphrase or key file of this repository nobody can open it, we \
                 neither",
            )
        }
        repo::Error::LastSlot { .. } => Entry::new("SP0706", ExitCode::Failed)
            .effect("nothing was changed; without it nobody could open these backups again")
            .command("add another one first", "stillpoint key add"),
        repo::Error::Corrupt { .. } => corrupt_entry(),
        repo::Error::Newer { .. } => newer_entry(),
        repo::Error::Backend(error) => place::entry(error),
        repo::Error::Format(error) => format_entry(error),
        repo::Error::Chunk(error) => chunk_entry(error),
        repo::Error::Crypto(error) => crypto_entry(error),
        repo::Error::Index(_) => Entry::new("SP0306", ExitCode::Failed)
            .effect("the backups are not affected: the index is only a cache")
            .command("build it again", "stillpoint rebuild-index"),
        repo::Error::State { .. } => Entry::new("SP0304", ExitCode::Failed)
            .effect("the backups are not affected")
            .command("use another folder", "--state-dir DIR"),
        repo::Error::Busy { .. } => Entry::new("SP0011", ExitCode::InUse)
            .effect(NOTHING_CHANGED)
            .command("look at what runs", "stillpoint runs"),
        repo::Error::Refused { .. } => Entry::new("SP0308", ExitCode::Failed)
            .effect("all data is still there; a prune removes nothing while anything is in doubt")
            .command(
                "find out what is wrong, so that a prune can go on past it",
                "stillpoint check",
            ),
        repo::Error::TooLate { .. } => Entry::new("SP0309", ExitCode::Failed)
            .effect("it stays forgotten; other snapshots are not affected")
            .command("see what there is", "stillpoint snapshots"),
        repo::Error::Undeleted { snapshot, .. } => Entry::new("SP0310", ExitCode::Failed)
            .effect("it stays undeleted; a prune that begins from now on removes nothing of it")
            .command("see whether it is whole", "stillpoint check")
            .command(
                "or put it back into the trash",
                format!("stillpoint forget {}", &snapshot.to_string()[..8]),
            ),
        repo::Error::Condemned { .. } => Entry::new("SP0307", ExitCode::Failed)
            .effect("no snapshot was made; earlier ones are not affected")
            .command("do it again", "stillpoint backup"),
        _ => Entry::new("SP0001", ExitCode::Failed),
    }
}

fn chunk_entry(error: &chunk::Error) -> Entry {
    match error {
        chunk::Error::Missing(_) | chunk::Error::Corrupt { .. } => corrupt_entry(),
        // The repository's own error is its source, in the hands of many threads.
        _ => match find::<repo::Error>(error) {
            Some(error) => repo_entry(error),
            None => Entry::new("SP0001", ExitCode::Failed),
        },
    }
}

fn crypto_entry(error: &crypto::Error) -> Entry {
    match error {
        crypto::Error::WrongCredential => Entry::new("SP0012", ExitCode::WrongKey),
        crypto::Error::NotAKeyFile => Entry::new("SP0107", ExitCode::Usage),
        _ => corrupt_entry(),
    }
}

fn format_entry(error: &format::Error) -> Entry {
    match error {
        format::Error::Newer { .. } => newer_entry(),
        _ => corrupt_entry(),
    }
}

fn corrupt_entry() -> Entry {
    Entry::new("SP0301", ExitCode::Failed)
        .effect("something in the repository is damaged; the rest still restores")
        .command("find out what", "stillpoint check --read-data")
}

fn newer_entry() -> Entry {
    Entry::new("SP0302", ExitCode::Failed)
        .effect("this program is too old to read it; nothing was changed")
        .help("install the newest Stillpoint")
}

fn image_entry(error: &image::Error) -> Entry {
    match error {
        image::Error::Chunk(error) => chunk_entry(error),
        _ => corrupt_entry(),
    }
}

fn moment_entry(error: &moment::Error) -> Entry {
    let usage = |code| Entry::new(code, ExitCode::Usage);
    let list = |entry: Entry| entry.command("see what there is", "stillpoint snapshots");
    match error {
        moment::Error::NotASelector { .. } => list(usage("SP0201")),
        moment::Error::NoSnapshots => Entry::new("SP0202", ExitCode::Failed)
            .command("make the first one", "stillpoint backup"),
        moment::Error::AmbiguousId { ids, .. } => {
            let ids: Vec<&str> = ids.iter().take(5).map(|id| &id[..id.len().min(16)]).collect();
            usage("SP0203").help(format!("type more of it: {}", ids.join(", ")))
        }
        moment::Error::NotWhole { elsewhere, .. } => Entry::new("SP0205", ExitCode::Failed)
            .effect(NOTHING_CHANGED)
            .help(format!("the newest snapshot then lacks: {}", elsewhere.join(", ")))
            .help("without --exact they come from older snapshots"),
        moment::Error::UnknownPart { known, part, .. } => {
            let entry = usage("SP0204").help(format!("it has: {}", known.join(", ")));
            match config::closest(part, known.iter().map(String::as_str)) {
                Some(meant) => entry.help(format!("did you mean `{meant}`?")),
                None => entry,
            }
        }
        _ => list(Entry::new("SP0202", ExitCode::Failed)),
    }
}

fn spot(error: &Error) -> Option<(config::Spot, String)> {
    match error {
        Error::Config(config::Error::UnknownKey { suggestion, spot, .. }) => {
            let label = match suggestion {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "no such key here".to_owned(),
            };
            Some((spot.clone(), label))
        }
        Error::Config(config::Error::Invalid { spot, .. }) => {
            Some((spot.clone(), "here".to_owned()))
        }
        _ => None,
    }
}

fn is_stopped(error: &Error) -> bool {
    // An error may wrap another one of its own type: what was taken back has its cause.
    chain(error).any(|error| {
        matches!(error.downcast_ref(), Some(Error::Stopped))
            || matches!(error.downcast_ref(), Some(ops::Error::Stopped))
            || matches!(error.downcast_ref(), Some(ops::Error::Past(ops::past::Error::Stopped)))
            || matches!(error.downcast_ref(), Some(repo::Error::Stopped))
            || matches!(error.downcast_ref(), Some(files::Error::Stopped))
            || matches!(error.downcast_ref(), Some(chunk::Error::Stopped))
    })
}

fn is_full(error: &Error) -> bool {
    let full = |error: &io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => true,
        // The system's word for a limit on file sizes; without a number it is our own word for
        // something that should be small.
        io::ErrorKind::FileTooLarge => error.raw_os_error().is_some(),
        _ => false,
    };
    find::<io::Error>(error).is_some_and(full)
        || matches!(find(error), Some(backend::Error::NoSpace { .. }))
}
