//! Passphrases and key files: from a file, from standard input, or from a person.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    cli::{error::Error, output::Output},
    clock::Entropy,
    config::CredentialSource,
    crypto::{
        self, recovery,
        secret::{Credential, key_file_text},
    },
    disk::{Disk, file},
    repo,
};

/// More than any passphrase or key file has.
const CREDENTIAL_BYTES_MAX: u64 = 64 * 1024;

/// Reads a credential from where it was named.
pub fn read(source: &CredentialSource) -> Result<Credential, Error> {
    match source {
        CredentialSource::KeyFile(path) => {
            let text = read_file("key file", path)?;
            Credential::from_key_file(&text).map_err(|_| Error::NotAKeyFile { path: path.clone() })
        }
        CredentialSource::PasswordFile(path) => {
            let mut text = read_file("password file", path)?;
            // Moved out, not copied: the credential wipes it.
            let text = std::mem::take(&mut *text);
            not_empty(Credential::from_passphrase_file(text))
        }
        CredentialSource::RecoveryFile(path) => {
            let text = read_file("recovery sheet", path)?;
            recovery::read_file(&text).map_err(not_a_recovery_key)
        }
    }
}

/// Asks for the passphrase of a repository. A recovery key is taken for what it is.
pub fn ask(output: &Output, no_input: bool) -> Result<Credential, Error> {
    let typed = ask_line(output, no_input, "Passphrase: ").and_then(not_empty)?;
    let Credential::Passphrase(text) = &typed else { return Ok(typed) };
    Ok(recovery::read_typed(text).unwrap_or(typed))
}

/// Asks for the passphrase of an export.
pub fn ask_export(output: &Output, no_input: bool) -> Result<Credential, Error> {
    ask_line(output, no_input, "Passphrase of the export: ").and_then(not_empty)
}

/// Asks for the key of a recovery sheet.
pub fn ask_recovery(output: &Output, no_input: bool) -> Result<Credential, Error> {
    let typed = ask_line(output, no_input, "Recovery key: ")?;
    let Credential::Passphrase(text) = &typed else { return Ok(typed) };
    recovery::read_typed(text).map_err(not_a_recovery_key)
}

fn not_a_recovery_key(error: crypto::Error) -> Error {
    match error {
        crypto::Error::NotARecoveryKey { why } => Error::NotARecoveryKey { why },
        other => repo::Error::from(other).into(),
    }
}

/// Asks for a new passphrase, twice.
pub fn ask_twice(output: &Output, no_input: bool) -> Result<Credential, Error> {
    let first = ask_line(output, no_input, "New passphrase: ").and_then(not_empty)?;
    let second = ask_line(output, no_input, "Once more: ")?;
    match (&first, &second) {
        (Credential::Passphrase(one), Credential::Passphrase(other)) if one == other => Ok(first),
        _ => Err(Error::PassphrasesDiffer),
    }
}

/// Whether a key file was made, or found where a former attempt had made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Now,
    Before,
}

/// Makes a key file that only its owner can read, durable on return.
///
/// A key file that is there already is used as it is: an `init` that was interrupted may be
/// repeated.
pub fn create_key_file(
    disk: &dyn Disk,
    entropy: &dyn Entropy,
    path: &Path,
) -> Result<(Credential, Made), Error> {
    let failed = |source| Error::KeyFileNotWritten { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let folder = disk.open_root(folder).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(&mut *key);
    match file::write_new(disk, &folder, name, &[key_file_text(&key).as_bytes()], 0o600) {
        Ok(()) => Ok((Credential::KeyFile(*key), Made::Now)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = read(&CredentialSource::KeyFile(path.to_owned()))?;
            Ok((found, Made::Before))
        }
        Err(error) => Err(failed(error)),
    }
}

fn not_empty(credential: Credential) -> Result<Credential, Error> {
    match &credential {
        Credential::Passphrase(passphrase) if passphrase.is_empty() => Err(Error::EmptyPassphrase),
        _ => Ok(credential),
    }
}

#[expect(clippy::disallowed_methods, reason = "the user's own file, link or pipe; no database")]
fn read_file(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::Credential { what, path: path.to_owned(), source };
    // All room at once, so that no copy is left behind by a growing buffer.
    let mut text = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES_MAX as usize + 1));
    let read = match path.as_os_str().as_encoded_bytes() {
        b"-" => io::stdin().take(CREDENTIAL_BYTES_MAX + 1).read_to_end(&mut text),
        _ => std::fs::File::open(path)
            .and_then(|file| file.take(CREDENTIAL_BYTES_MAX + 1).read_to_end(&mut text)),
    };
    match read.map_err(failed)? as u64 {
        0..=CREDENTIAL_BYTES_MAX => Ok(text),
        _ => Err(failed(io::ErrorKind::FileTooLarge.into())),
    }
}

fn ask_line(output: &Output, no_input: bool, question: &str) -> Result<Credential, Error> {
    let stdin = io::stdin();
    if no_input || !stdin.is_terminal() {
        return Err(Error::NoCredential);
    }
    output.hide_progress();
    output.prompt(question);
    let typed = Silence::begin().and_then(|_silence| read_line(&mut stdin.lock()));
    output.end_prompt();
    match typed {
        Ok(Some(line)) => Ok(Credential::Passphrase(line)),
        Ok(None) => Err(Error::Stopped),
        Err(source) => {
            Err(Error::Credential { what: "answer from", path: "the terminal".into(), source })
        }
    }
}

/// Reads what is typed up to the return key; nothing if the person gave up with Ctrl-C or Ctrl-D.
fn read_line(keys: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const CTRL_U: u8 = 21;
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    let mut key = [0];
    while line.len() < line.capacity() {
        if keys.read(&mut key)? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\r' | b'\n' => return Ok(Some(std::mem::take(&mut *line))),
            CTRL_C | CTRL_D => return Ok(None),
            CTRL_U => line.zeroize(),
            8 | 127 => drop_character(&mut line),
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// Takes one whole UTF-8 character away, as the backspace key does.
fn drop_character(line: &mut Vec<u8>) {
    while let Some(byte) = line.pop() {
        if byte & 0xc0 != 0x80 {
            break;
        }
    }
}

/// While it lives, the terminal shows nothing of what is typed and hands over every key.
///
/// Ctrl-C arrives as a key, so that no signal can leave the terminal mute.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemEntropy, disk::real::RealDisk};

    fn typed(keys: &[u8]) -> Option<Vec<u8>> {
        read_line(&mut &*keys).unwrap()
    }

    #[test]
    fn keys_make_a_line() {
        assert_eq!(typed(b"correct horse\r"), Some(b"correct horse".to_vec()));
        assert_eq!(typed("stra\u{df}e\u{7f}\u{7f}s\n".as_bytes()), Some(b"stras".to_vec()));
        assert_eq!(typed(b"wrong\x15right\n"), Some(b"right".to_vec()));
        assert_eq!(typed(b"half\x03"), None);
        assert_eq!(typed(b"half"), None);
    }

    #[test]
    fn a_key_file_is_made_for_its_owner_only_and_used_again_when_it_is_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.key");

        let (first, made) = create_key_file(&RealDisk, &SystemEntropy, &path).unwrap();
        let (second, found) = create_key_file(&RealDisk, &SystemEntropy, &path).unwrap();

        assert_eq!((made, found), (Made::Now, Made::Before));
        assert!(
            matches!((first, second), (Credential::KeyFile(a), Credential::KeyFile(b)) if a == b)
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_password_file_loses_one_line_end_and_must_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let read_back = |text: &str| {
            let path = folder.path().join("pass");
            #[expect(clippy::disallowed_methods, reason = "a scratch file")]
            std::fs::write(&path, text).unwrap();
            read(&CredentialSource::PasswordFile(path))
        };

        assert!(
            matches!(read_back("secret \r\n"), Ok(Credential::Passphrase(ref p)) if p == b"secret ")
        );
        assert!(matches!(read_back("\n"), Err(Error::EmptyPassphrase)));
    }
}
