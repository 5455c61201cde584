//! Folders of Google Drive, opened with the sign-in that this machine keeps.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    backend::{
        self, Backend, SetUp,
        gdrive::{
            About, Account, Deletion, Endpoints, GDriveBackend, Keep, OAuthClient, Options, Site,
            account::Vault,
        },
        layer::pace::UploadLimit,
    },
    config::DriveFolder,
    crypto::secret::Secret32,
    disk,
    repo::Repository,
    setup::Machine,
};

const CLIENT_FILE_BYTES_MAX: u64 = 64 * 1024;
const LOCAL_KEY_FILE: &str = "local.key";
/// How much of a folder's hash names its state.
const NAME_CHARS: usize = 16;

/// Where this machine keeps what it knows of a folder of Drive, and the key that seals the sign-in.
pub struct Keeping {
    state: PathBuf,
    key: Secret32,
}

/// Whether a folder that is not there is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Make,
    Refuse,
}

/// Where the services of a folder answer.
pub fn endpoints(folder: &DriveFolder) -> Endpoints {
    folder.endpoint.as_deref().map_or_else(Endpoints::google, Endpoints::below)
}

impl Machine {
    /// Keeps the sign-in to a mirror beside the repository, under its keys.
    pub fn keeping_of_mirror(&self, repository: &Repository, mirror: &str) -> Keeping {
        Keeping {
            state: repository.state_path().join(format!("drive-{mirror}")),
            key: repository.keys().local_secrets(),
        }
    }

    /// Keeps the sign-in to a folder that is the repository itself, whose keys nobody has before it
    /// is open: under a key of this machine.
    pub fn keeping_of_folder(
        &self,
        folder: &DriveFolder,
        state_root: &Path,
    ) -> Result<Keeping, backend::Error> {
        let name = blake3::hash(format!("{:?}{}", folder.endpoint, folder.folder).as_bytes());
        let state = state_root.join(format!("drive-{}", &name.to_hex()[..NAME_CHARS]));
        let key = self.local_key(state_root).map_err(|source| failed("read", folder, source))?;
        Ok(Keeping { state, key })
    }

    /// Reads the user's own OAuth client from the file that the configuration names.
    pub fn oauth_client(&self, folder: &DriveFolder) -> Result<OAuthClient, backend::Error> {
        let place = place(folder);
        let set_up = |why: &str| backend::Error::SetUp {
            place: place.clone(),
            why: SetUp::Client { why: why.to_owned() },
        };
        let Some(path) = &folder.client_secret_file else {
            return Err(set_up("client_secret_file names no file"));
        };
        let read = || {
            let dir = self.disk.open_root(path.parent().unwrap_or(Path::new("/")))?;
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            disk::file::read(&*self.disk, &dir, name, CLIENT_FILE_BYTES_MAX)
        };
        let bytes = read().map_err(|source| failed("read", folder, source))?;
        let client = OAuthClient::from_file(&bytes, &place)?;
        match &folder.client_id {
            Some(id) if *id != client.id => Err(set_up("the file is of another client_id")),
            _ => Ok(client),
        }
    }

    /// Connects a folder with an account that just signed in, making the folder if need be, and
    /// keeps the sign-in; an earlier one is kept if this one cannot see the folder.
    pub fn connect(
        &self,
        folder: &DriveFolder,
        keeping: &Keeping,
        account: Account,
    ) -> Result<About, backend::Error> {
        let backend = GDriveBackend::create(self.site(folder, keeping, account.clone()))?;
        let about = backend.about()?;
        let dir = self.open_state(folder, keeping)?;
        let vault = Vault { disk: &*self.disk, dir: &dir, key: &keeping.key };
        vault.keep(&*self.entropy, &account).map_err(|source| failed("keep", folder, source))?;
        Ok(about)
    }

    /// Opens a folder with the sign-in that is kept.
    pub(super) fn drive(
        &self,
        folder: &DriveFolder,
        keeping: &Keeping,
        (absent, limit_upload, deletion): (Absent, Option<u64>, Deletion),
    ) -> Result<Arc<dyn Backend>, backend::Error> {
        let dir = self.open_state(folder, keeping)?;
        let vault = Vault { disk: &*self.disk, dir: &dir, key: &keeping.key };
        let account = vault.account().map_err(|source| failed("read", folder, source))?;
        let Some(account) = account else {
            let why = "nobody has signed in on this machine yet".to_owned();
            return Err(backend::Error::SignIn { place: place(folder), why });
        };
        let mut site = self.site(folder, keeping, account);
        let limit = |bytes| Arc::new(UploadLimit::new(Arc::clone(&self.clock), bytes));
        site.options.upload_limit = limit_upload.map(limit);
        site.options.deletion = deletion;
        let backend = match absent {
            Absent::Make => GDriveBackend::create(site)?,
            Absent::Refuse => GDriveBackend::open(site)?,
        };
        Ok(Arc::new(self.lasting(Arc::new(backend))))
    }

    fn site(&self, folder: &DriveFolder, keeping: &Keeping, account: Account) -> Site {
        let (disk, entropy) = (Arc::clone(&self.disk), Arc::clone(&self.entropy));
        let (state, key) = (keeping.state.clone(), keeping.key.clone());
        let keep: Keep = Box::new(move |account| {
            let dir = disk.create_root(&state, 0o700)?;
            Vault { disk: &*disk, dir: &dir, key: &key }.keep(&*entropy, account)
        });
        Site {
            folder: folder.folder.clone(),
            state: keeping.state.clone(),
            account,
            keep,
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            options: Options { endpoints: endpoints(folder), ..Options::default() },
        }
    }

    fn open_state(
        &self,
        folder: &DriveFolder,
        keeping: &Keeping,
    ) -> Result<disk::Dir, backend::Error> {
        let opened = self.disk.create_root(&keeping.state, 0o700);
        opened.map_err(|source| failed("open", folder, source))
    }

    fn local_key(&self, state_root: &Path) -> io::Result<Secret32> {
        let dir = self.disk.create_root(state_root, 0o700)?;
        let name = OsStr::new(LOCAL_KEY_FILE);
        let fresh = self.entropy.bytes32();
        match disk::file::write_new(&*self.disk, &dir, name, &[&fresh], 0o600) {
            Ok(()) => Ok(Secret32::new(fresh)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let bytes = disk::file::read(&*self.disk, &dir, name, fresh.len() as u64)?;
                let key = <[u8; 32]>::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
                Ok(Secret32::new(key))
            }
            Err(error) => Err(error),
        }
    }
}

fn place(folder: &DriveFolder) -> String {
    format!("gdrive:{}", folder.folder)
}

fn failed(action: &'static str, folder: &DriveFolder, source: io::Error) -> backend::Error {
    let what = "the sign-in or client file of this machine".to_owned();
    backend::Error::Io { action, what, place: place(folder), source }
}
