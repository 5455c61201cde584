//! Exports on the command line: their passphrases, and what they are opened with.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{
    cli::{context::Context, credential, error::Error},
    config::{Config, CredentialSource},
    crypto::secret::Credential,
    ops::{
        event::Observer,
        unpack::{Export, Terms},
    },
};

/// The passphrase of a new export: from the file, or asked for twice.
pub fn new_passphrase(
    context: &Context,
    file: Option<&PathBuf>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let credential = match file {
        Some(path) => credential::read(&CredentialSource::PasswordFile(path.clone()))?,
        None => credential::ask_twice(&context.output, context.global.no_input)?,
    };
    Ok(bytes(&credential))
}

/// The passphrase of an export that is there; nothing if it needs none.
pub fn passphrase(
    context: &Context,
    export: &Export,
    file: Option<&PathBuf>,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    if !export.is_encrypted()? {
        return Ok(None);
    }
    let credential = match file {
        Some(path) => credential::read(&CredentialSource::PasswordFile(path.clone()))?,
        None => credential::ask_export(&context.output, context.global.no_input)?,
    };
    Ok(Some(bytes(&credential)))
}

fn bytes(credential: &Credential) -> Zeroizing<Vec<u8>> {
    match credential {
        Credential::Passphrase(text) => Zeroizing::new(text.clone()),
        _ => Zeroizing::new(Vec::new()),
    }
}

/// What an export is taken apart with, into this place.
pub fn terms<'a>(
    context: &'a Context,
    config: &Config,
    observer: &'a dyn Observer,
    place: PathBuf,
) -> Terms<'a> {
    let machine = &context.machine;
    Terms {
        disk: machine.disk.clone(),
        clock: &*machine.clock,
        entropy: &*machine.entropy,
        stop: &machine.stop,
        observer,
        place,
        min_free_bytes: config.min_free_bytes,
    }
}

/// Paths are meant from the working directory.
pub fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|_| Error::Usage {
        message: "a path is empty".to_owned(),
        help: "name a file or folder",
    })
}
