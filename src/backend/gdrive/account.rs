//! What a sign-in leaves behind: the client, the scope and the refresh token, and how they are kept
//! sealed on this machine.
//!
//! The file is magic, 32 random bytes, and the JSON sealed under a key derived from both the
//! caller's key and those bytes; so no nonce is ever used twice. It is local state, no part of a
//! repository.

use std::{ffi::OsStr, fmt, io};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    backend::{Error, SetUp},
    clock::Entropy,
    crypto::{local, secret::Secret32},
    disk::{self, Dir, Disk},
};

/// Only files that this client made are seen by it; no review by Google is needed.
pub const SCOPE: &str = "https://www.googleapis.com/auth/drive.file";

const FILE: &str = "account";
const FILE_BYTES_MAX: u64 = 64 * 1024;
const CLIENT_FILE_BYTES_MAX: usize = 64 * 1024;
const PURPOSE: &str = "drive account";

/// The user's own OAuth client, as the console gives it out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct OAuthClient {
    pub id: String,
    /// Google calls it a secret; of a desktop app it is none, but it is kept like one.
    pub secret: String,
}

impl OAuthClient {
    /// Reads the file that the console offers for download.
    ///
    /// # Errors
    /// [`SetUp::Client`] with what is wrong with it.
    pub fn from_file(bytes: &[u8], place: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct File {
            installed: Option<Keys>,
            web: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Keys {
            client_id: String,
            #[serde(default)]
            client_secret: String,
        }
        let wrong = |why: &str| Error::SetUp {
            place: place.to_owned(),
            why: SetUp::Client { why: why.to_owned() },
        };
        if bytes.len() > CLIENT_FILE_BYTES_MAX {
            return Err(wrong("the file is too long for a client file"));
        }
        let file: File =
            serde_json::from_slice(bytes).map_err(|_| wrong("the file is no client file"))?;
        match file {
            File { installed: Some(keys), .. } if is_plausible(&keys.client_id) => {
                Ok(Self { id: keys.client_id, secret: keys.client_secret })
            }
            File { web: Some(_), .. } => {
                Err(wrong("it is a client of type \"Web application\", not \"Desktop app\""))
            }
            _ => Err(wrong("the file names no client id")),
        }
    }

    /// The project's number, which decides what the client can see.
    pub fn project(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }
}

fn is_plausible(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient({})", self.id)
    }
}

/// A permission that a person gave; good until it is taken back or Google ends it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Account {
    pub client: OAuthClient,
    pub scope: String,
    pub(super) refresh_token: String,
}

impl Account {
    /// Takes a refresh token that was granted to the client.
    pub const fn new(client: OAuthClient, scope: String, refresh_token: String) -> Self {
        Self { client, scope, refresh_token }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.client).finish()
    }
}

/// Where an account is kept between runs, and the key that seals it there.
pub struct Vault<'a> {
    pub disk: &'a dyn Disk,
    pub dir: &'a Dir,
    pub key: &'a Secret32,
}

impl Vault<'_> {
    /// Keeps the account in place of an earlier one; durable on return.
    pub fn keep(&self, entropy: &dyn Entropy, account: &Account) -> io::Result<()> {
        let plain = serde_json::to_vec(account).expect("strings always become JSON");
        let sealed = local::seal(self.key, PURPOSE, entropy.bytes32(), plain);
        disk::file::replace(self.disk, self.dir, OsStr::new(FILE), &sealed, 0o600)
    }

    /// Returns the account, or nothing if there is none or the key does not open it.
    pub fn account(&self) -> io::Result<Option<Account>> {
        let sealed = match disk::file::read(self.disk, self.dir, OsStr::new(FILE), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let Ok(plain) = local::open(self.key, PURPOSE, &sealed) else { return Ok(None) };
        let plain = Zeroizing::new(plain);
        Ok(serde_json::from_slice(&plain).ok())
    }

    /// Forgets the account on this machine; elsewhere nothing changes.
    pub fn forget(&self) -> io::Result<()> {
        match self.disk.remove_file(self.dir, OsStr::new(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.disk.sync_dir(self.dir)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemEntropy, disk::RealDisk};

    pub fn account() -> Account {
        Account {
            client: OAuthClient { id: "123-abc.apps".to_owned(), secret: "s3cret".to_owned() },
            scope: SCOPE.to_owned(),
            refresh_token: "1//refresh".to_owned(),
        }
    }

    #[test]
    fn a_client_file_of_the_console_is_read_and_others_are_refused_with_the_reason() {
        let read = |text: &str| OAuthClient::from_file(text.as_bytes(), "drive");

        let client = read(r#"{"installed":{"client_id":"42-x","client_secret":"s","other":1}}"#);
        assert_eq!(client.unwrap().project(), "42");
        for (text, why) in [
            (r#"{"web":{"client_id":"42-x","client_secret":"s"}}"#, "Web application"),
            (r#"{"installed":{"client_id":""}}"#, "no client id"),
            ("{}", "no client id"),
            ("<html>", "no client file"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_account_is_kept_sealed_and_opens_with_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RealDisk.open_root(folder.path()).unwrap();
        let (right, wrong) = (Secret32::new([1; 32]), Secret32::new([2; 32]));
        let vault = |key| Vault { disk: &RealDisk, dir: &dir, key };

        assert!(vault(&right).account().unwrap().is_none());
        vault(&right).keep(&SystemEntropy, &account()).unwrap();

        assert_eq!(vault(&right).account().unwrap(), Some(account()));
        assert_eq!(vault(&wrong).account().unwrap(), None);
        let bytes = disk::file::read(&RealDisk, &dir, OsStr::new(FILE), FILE_BYTES_MAX).unwrap();
        for secret in ["refresh", "s3cret", "abc.apps"] {
            let secret = secret.as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
        let stat = RealDisk.stat(&dir, OsStr::new(FILE)).unwrap();
        assert_eq!(stat.mode & 0o777, 0o600);
        vault(&right).forget().unwrap();
        vault(&right).forget().unwrap();
        assert!(vault(&right).account().unwrap().is_none());
    }

    #[test]
    fn an_account_prints_no_secret() {
        let printed = format!("{:?}", account());

        assert!(!printed.contains("s3cret") && !printed.contains("refresh"), "{printed}");
    }
}
