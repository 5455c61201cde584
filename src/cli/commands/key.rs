//! `key`: who can open the repository.

use std::{ffi::OsStr, io, path::Path};

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::{KeyArgs, KeyCommand, KeyNewArgs, KeyRecoveryArgs, KeyRemoveArgs, KeyRotateArgs},
        confirm::{Said, confirm},
        context::{Context, warn_of_damaged},
        credential,
        error::Error,
        mirrors::{self, ahead::SentAhead},
        output::Tone,
        recovery_sheet::Sheet,
        run::{Done, brief, recorded},
        table::{Column, Narrow, Table},
        text,
    },
    config::{Config, CredentialSource},
    crypto::secret::Credential,
    disk::file,
    format::slot::Derivation,
    ops::{
        event::Observer,
        keys::{self, KnownKey, NewSheet},
        run_record::Start,
    },
    repo::Repository,
};

/// Labels are sealed in so many bytes.
const LABEL_BYTES_MAX: usize = crate::format::slot::LABEL_BYTES;
const ID_DIGITS: usize = 8;

pub fn run(context: &Context, args: &KeyArgs) -> Result<Done, Error> {
    let config = context.config()?;
    match &args.command {
        KeyCommand::List => list(context, &config),
        KeyCommand::Add(args) => add(context, &config, args),
        KeyCommand::Remove(args) => remove(context, &config, args),
        KeyCommand::Change(args) => change(context, &config, args),
        KeyCommand::Rotate(args) => rotate(context, &config, args),
        KeyCommand::Recovery(args) if args.verify => verify(context, &config),
        KeyCommand::Recovery(args) => recovery(context, &config, args),
    }
}

/// A key as programs read it.
#[derive(Debug, Serialize)]
struct Wire {
    id: String,
    kind: &'static str,
    label: String,
    created: String,
    in_use: bool,
    verified: Option<String>,
}

fn list(context: &Context, config: &Config) -> Result<Done, Error> {
    let list = brief(context, |observer| Ok(keys::list(&context.open(config, observer)?)?))?;
    warn_of_damaged(&context.output, &list.damaged);
    let wire: Vec<Wire> = list.keys.iter().map(|key| wire(key, config)).collect();
    context.output.object("stillpoint.keys/1", wire);
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("KIND"),
        Column::left("LABEL").when_narrow(Narrow::Cut),
        Column::left("MADE").when_narrow(Narrow::Drop(2)),
        Column::left("").when_narrow(Narrow::Drop(1)),
    ]);
    for key in &list.keys {
        let verified = key.verified.map(|at| text::moment(at, context.now(), &config.zone));
        let remark = match (key.slot.is_in_use, verified) {
            (true, _) => "used now".to_owned(),
            (false, Some(at)) => format!("typed in again {at}"),
            (false, None) if key.slot.derivation == Derivation::Recovery => {
                "never typed in again".to_owned()
            }
            (false, None) => String::new(),
        };
        table.row(vec![
            key.slot.id.to_string()[..ID_DIGITS].to_owned(),
            kind(key.slot.derivation).to_owned(),
            text::printable(key.slot.label.as_bytes()),
            text::moment(key.slot.created, context.now(), &config.zone),
            remark,
        ]);
    }
    context.output.table(&table, "");
    Ok(if list.damaged.is_empty() { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn wire(key: &KnownKey, config: &Config) -> Wire {
    Wire {
        id: key.slot.id.to_string(),
        kind: match key.slot.derivation {
            Derivation::Passphrase { .. } => "passphrase",
            Derivation::KeyFile => "key_file",
            Derivation::Recovery => "recovery",
        },
        label: key.slot.label.clone(),
        created: text::rfc3339(key.slot.created, &config.zone),
        in_use: key.slot.is_in_use,
        verified: key.verified.map(|at| text::rfc3339(at, &config.zone)),
    }
}

const fn kind(derivation: Derivation) -> &'static str {
    match derivation {
        Derivation::Passphrase { .. } => "passphrase",
        Derivation::KeyFile => "key file",
        Derivation::Recovery => "recovery sheet",
    }
}

fn add(context: &Context, config: &Config, args: &KeyNewArgs) -> Result<Done, Error> {
    let repository = open(context, config)?;
    let (credential, label) = new_credential(context, args)?;
    recorded(context, config, start("add"), |_| {
        let slot = repository.add_slot(&credential, &label)?.to_string();
        good(context, &format!("Added        {label}, {}", &slot[..ID_DIGITS]));
        Ok(done(&repository).figure("key", slot))
    })
}

fn change(context: &Context, config: &Config, args: &KeyNewArgs) -> Result<Done, Error> {
    let repository = open(context, config)?;
    let (credential, label) = new_credential(context, args)?;
    recorded(context, config, start("change"), |_| {
        let slot = keys::change(&repository, &credential, &label)?.to_string();
        good(context, &format!("Changed      {label}, {}", &slot[..ID_DIGITS]));
        context.output.remark("The old one does not open it any more.");
        Ok(done(&repository).figure("key", slot))
    })
}

fn remove(context: &Context, config: &Config, args: &KeyRemoveArgs) -> Result<Done, Error> {
    let repository = open(context, config)?;
    let list = keys::list(&repository)?;
    let slot = keys::find(&list, &args.key).map_err(crate::ops::Error::from)?;
    let id = slot.id.to_string();
    let called = format!("{} {}", text::printable(slot.label.as_bytes()), &id[..ID_DIGITS]);
    if slot.is_in_use {
        let said = if args.yes { Said::Yes } else { Said::Nothing };
        confirm(context, said, &format!("{called} opened the repository just now. Remove it?"))?;
    }
    recorded(context, config, start("remove"), |observer| {
        keys::remove(&repository, slot.id)?;
        good(context, &format!("Removed      {called}"));
        let done = done(&repository).figure("key", id);
        if mirrors::mirrors(config).next().is_none() {
            return Ok(done);
        }
        // It opens a mirror until it is gone there, too.
        let (place, nothing_ahead) = ((config, &repository), SentAhead::new());
        let done = (done, &nothing_ahead);
        let done = mirrors::bring_all_up_to_date(context, place, done, observer)?;
        if done.exit_code != ExitCode::Done {
            let still = "the removed key opens what a mirror has until that is brought up to date";
            context.output.warning(&format!("{still}:  stillpoint mirror sync"));
        }
        Ok(done)
    })
}

fn rotate(context: &Context, config: &Config, args: &KeyRotateArgs) -> Result<Done, Error> {
    let repository = open(context, config)?;
    recorded(context, config, start("rotate"), |observer| {
        let mut done = done(&repository);
        if !args.resume {
            done = done.figure("epoch", repository.rotate()?);
            good(context, "Rotated      everything from now on is sealed under a new key");
            context.output.remark("Passphrases, key files and sheets open it as before.");
        }
        if args.reseal || args.resume {
            context.output.remark("Interrupted, it goes on with  stillpoint key rotate --resume");
            return reseal(context, (&repository, done), observer);
        }
        Ok(done)
    })
}

fn reseal(
    context: &Context,
    (repository, mut done): (&Repository, Done),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let resealed = keys::reseal(repository, observer)?;
    context.output.hide_progress();
    good(
        context,
        &format!(
            "Re-sealed    {}, {}",
            text::counted(resealed.packs, "pack"),
            text::bytes(resealed.bytes)
        ),
    );
    if resealed.left > 0 {
        let verb = if resealed.left == 1 { "stays" } else { "stay" };
        let packs = text::counted(resealed.left, "pack");
        context.output.warning(&format!(
            "{packs} {verb} under an older key for now: what a backup wrote that is under way, or \
             was cut off, waits for a day; what is damaged waits for a repair. After that run  \
             stillpoint key rotate --resume"
        ));
        done.exit_code = ExitCode::Incomplete;
    }
    Ok(done
        .figure("packs_resealed", resealed.packs)
        .figure("bytes_written", resealed.bytes)
        .figure("packs_left", resealed.left))
}

fn recovery(context: &Context, config: &Config, args: &KeyRecoveryArgs) -> Result<Done, Error> {
    if args.output.is_none() && context.global.json {
        let message = "a recovery sheet is not JSON".to_owned();
        return Err(Error::Usage { message, help: "name a file for it:  --output FILE" });
    }
    if let Some(path) = args.output.as_ref().filter(|path| path.exists()) {
        let source = io::ErrorKind::AlreadyExists.into();
        return Err(Error::SheetNotWritten { path: path.clone(), source });
    }
    let repository = open(context, config)?;
    recorded(context, config, start("recovery"), |_| {
        let sheet = keys::new_sheet(&repository)?;
        hand_out(context, config, &repository, (&sheet, args.output.as_deref())).inspect_err(
            |_| {
                // Nobody has its key: such a slot would only puzzle. It harms nothing if it stays.
                let _ = repository.remove_slot(sheet.slot);
            },
        )?;
        Ok(done(&repository).figure("key", sheet.slot.to_string()))
    })
}

fn hand_out(
    context: &Context,
    config: &Config,
    repository: &Repository,
    (sheet, path): (&NewSheet, Option<&Path>),
) -> Result<(), Error> {
    let page = Sheet {
        repository: repository.id(),
        slot: sheet.slot,
        place: repository.environment().backend.place(),
        host: context.machine.host(),
        made: text::moment(sheet.created, 0, &config.zone),
        mirrors: config.mirror_lines(),
        key: &sheet.key,
    };
    let page = page.text();
    match path {
        None => context.output.result(&page),
        Some(path) => {
            write_sheet(context, path, &page)?;
            good(context, &format!("Recovery     {}", path.display()));
            context.output.remark("Print it, keep it safe, delete the file.");
        }
    }
    context
        .output
        .remark("Then  stillpoint key recovery --verify      type it in once, to be sure");
    Ok(())
}

fn write_sheet(context: &Context, path: &Path, page: &str) -> Result<(), Error> {
    let failed = |source| Error::SheetNotWritten { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let disk = &*context.machine.disk;
    let folder = disk.open_root(folder).map_err(failed)?;
    file::write_new(disk, &folder, OsStr::new(name), &[page.as_bytes()], 0o600).map_err(failed)
}

/// Opens the repository with the sheet alone.
fn verify(context: &Context, config: &Config) -> Result<Done, Error> {
    let source = config.credentials.iter().find(|source| is_recovery(source));
    let credential = match source {
        Some(source) => credential::read(source)?,
        None => credential::ask_recovery(&context.output, context.global.no_input)?,
    };
    let repository = context.open_with(config, &credential)?;
    recorded(context, config, start("verify"), |_| {
        let sheet = keys::note_verified(&repository)?;
        let id = sheet.id.to_string();
        good(context, &format!("Verified     the sheet {} opens the repository", &id[..ID_DIGITS]));
        Ok(done(&repository).figure("key", id))
    })
}

const fn is_recovery(source: &CredentialSource) -> bool {
    matches!(source, CredentialSource::RecoveryFile(_))
}

/// The new credential that was named or is asked for, and its label.
fn new_credential(context: &Context, args: &KeyNewArgs) -> Result<(Credential, String), Error> {
    if args.label.as_ref().is_some_and(|label| label.len() > LABEL_BYTES_MAX || label.is_empty()) {
        let message = format!("a label has 1 to {LABEL_BYTES_MAX} bytes");
        return Err(Error::Usage { message, help: "choose a shorter one" });
    }
    let label = |usual: &str| args.label.clone().unwrap_or_else(|| usual.to_owned());
    if let Some(path) = &args.new_key_file {
        let machine = &context.machine;
        let (disk, entropy) = (&*machine.disk, &*machine.entropy);
        let (credential, _) = credential::create_key_file(disk, entropy, path)?;
        return Ok((credential, label("key file")));
    }
    let credential = match &args.new_password_file {
        Some(path) => credential::read(&CredentialSource::PasswordFile(path.clone()))?,
        None => credential::ask_twice(&context.output, context.global.no_input)?,
    };
    Ok((credential, label("passphrase")))
}

/// Opened before anything is recorded: a wrong passphrase leaves no trace.
fn open(context: &Context, config: &Config) -> Result<Repository, Error> {
    brief(context, |observer| context.open(config, observer))
}

fn start(what: &str) -> Start {
    Start { items: vec![what.to_owned()], ..Start::default() }
}

fn good(context: &Context, line: &str) {
    context.output.remark(&format!("{} {line}", context.output.mark(Tone::Good)));
}

fn done(repository: &Repository) -> Done {
    let mut done = Done::new(ExitCode::Done);
    done.repository_id = Some(repository.id().to_string());
    done
}
