//! `init`: creates a repository with one key slot for each credential given.

use std::path::{Path, PathBuf};

use crate::{
    cli::{
        ExitCode,
        args::InitArgs,
        context::{Context, repository_place},
        credential::{self, Made},
        error::Error,
        output::Tone,
        run::{Done, recorded},
    },
    config::{Config, CredentialSource},
    crypto::secret::Credential,
    ops::run_record::Start,
    repo::Repository,
};

/// A credential, its label in the repository, and what to tell about it.
struct Slot {
    credential: Credential,
    label: &'static str,
    told: String,
}

pub fn run(context: &Context, args: &InitArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let place = repository_place(&config)?.clone();
    let slots = slots(context, &config, args)?;
    recorded(context, &config, Start::default(), |_| {
        let environment = context.machine.create(&place, &config.state_root)?;
        let credentials: Vec<_> =
            slots.iter().map(|slot| (slot.credential.clone(), slot.label.to_owned())).collect();
        let repository = match args.parity {
            None => Repository::create(environment, &credentials)?,
            Some(percent) => Repository::create_with_parity(environment, &credentials, percent)?,
        };
        let id = repository.id().to_string();
        tell(context, &config, &id, &slots);
        let mut done = Done::new(ExitCode::Done)
            .figure("slots", slots.len())
            .figure("parity_percent", args.parity);
        done.repository_id = Some(id);
        Ok(done)
    })
}

/// Every credential that was named; without any, a passphrase that is asked for.
fn slots(context: &Context, config: &Config, args: &InitArgs) -> Result<Vec<Slot>, Error> {
    let mut slots = Vec::new();
    let new_key_file = args.new_key_file.as_ref().map(|path| absolute(path));
    if let Some(path) = &new_key_file {
        slots.push(key_file_slot(context, path)?);
    }
    for source in &config.credentials {
        match source {
            CredentialSource::KeyFile(path) if new_key_file == Some(absolute(path)) => {}
            // The configuration says where the key file is to be; the first `init` puts it there.
            CredentialSource::KeyFile(path)
                if is_absent(path) && context.global.key_file.is_none() =>
            {
                if slots.is_empty() {
                    slots.push(key_file_slot(context, path)?);
                }
            }
            CredentialSource::KeyFile(path) => slots.push(Slot {
                credential: credential::read(source)?,
                label: "key file",
                told: format!("Key file     {}", path.display()),
            }),
            CredentialSource::RecoveryFile(_) => {
                let message = "a recovery sheet belongs to a repository that is there".to_owned();
                let help = "make one afterwards:  stillpoint key recovery";
                return Err(Error::Usage { message, help });
            }
            CredentialSource::PasswordFile(path) => slots.push(Slot {
                credential: credential::read(source)?,
                label: "passphrase",
                told: format!("Passphrase   from {}", path.display()),
            }),
        }
    }
    if slots.is_empty() {
        let credential = credential::ask_twice(&context.output, context.global.no_input)?;
        slots.push(Slot {
            credential,
            label: "passphrase",
            told: "Passphrase   as typed".to_owned(),
        });
    }
    Ok(slots)
}

fn key_file_slot(context: &Context, path: &Path) -> Result<Slot, Error> {
    let machine = &context.machine;
    let (credential, made) = credential::create_key_file(&*machine.disk, &*machine.entropy, path)?;
    let made = match made {
        Made::Now => "new",
        Made::Before => "was there already",
    };
    let told = format!("Key file     {}, {made}", path.display());
    Ok(Slot { credential, label: "key file", told })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_absent(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn tell(context: &Context, config: &Config, id: &str, slots: &[Slot]) {
    let output = &context.output;
    let good = output.mark(Tone::Good);
    let place = config.repository.as_ref().map(ToString::to_string).unwrap_or_default();
    output.remark(&format!("{good} Repository   {place}, encrypted, id {}", &id[..8]));
    for slot in slots {
        output.remark(&format!("{good} {}", slot.told));
    }
    output.remark("");
    output.remark(
        "Keep a copy of what opens it somewhere else. Without it nobody can read these backups.",
    );
    output.remark("A sheet of paper that opens it, too:  stillpoint key recovery");
    output.remark("");
    let sets = if config.sets.is_empty() { " --sqlite NAME=PATH --files NAME=PATH" } else { "" };
    output.remark(&format!("Next  stillpoint backup{sets}"));
    output.remark("      stillpoint doctor      is everything in place?");
}
