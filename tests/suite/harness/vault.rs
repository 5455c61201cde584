//! A repository and its state folder, worked on through any disk.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use stillpoint::{
    backend::local::LocalBackend,
    config::Place,
    crypto::secret::Credential,
    disk::{Disk, RealDisk, Uninterrupted},
    ops::{
        self, backup,
        check::{self, check},
        event::Silent,
        repair, restore,
    },
    repo::{RebuildReport, Repository, check::Depth},
    setup::Machine,
};

use crate::shop::{self, KEY, Shop, program, scratch};

/// Why something failed, with its causes, as a person would read it.
pub type Failure = String;

/// A repository, its state folder and what is restored from it, alone in one folder.
pub struct Vault {
    path: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl Vault {
    /// An empty scratch folder.
    pub fn absent() -> Self {
        let scratch = tempfile::tempdir_in(scratch()).unwrap();
        Self { path: scratch.path().to_owned(), _scratch: Some(scratch) }
    }

    /// What another process has in this folder.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _scratch: None }
    }

    /// The same, somewhere else.
    pub fn copied(&self) -> Self {
        let copy = Self::absent();
        copy_tree(&self.path, &copy.path);
        copy
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn repository(&self) -> PathBuf {
        self.path.join("repository")
    }

    fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Where a restore of this name goes.
    pub fn target(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn init(&self, disk: impl Disk + 'static) -> Result<(), Failure> {
        let env =
            machine(disk).create(&Place::Folder(self.repository()), &self.state()).map_err(told)?;
        Repository::create(env, &[(KEY, "key".to_owned())]).map(drop).map_err(told)
    }

    pub fn open(&self, disk: impl Disk + 'static) -> Result<Repository, Failure> {
        let env =
            machine(disk).open(&Place::Folder(self.repository()), &self.state()).map_err(told)?;
        Repository::open(env, &KEY).map_err(told)
    }

    /// Opens it with another credential than usual.
    pub fn open_with(
        &self,
        disk: impl Disk + 'static,
        credential: &Credential,
    ) -> Result<Repository, Failure> {
        let env =
            machine(disk).open(&Place::Folder(self.repository()), &self.state()).map_err(told)?;
        Repository::open(env, credential).map_err(told)
    }

    pub fn back_up(
        &self,
        disk: impl Disk + 'static,
        shop: &Shop,
    ) -> Result<backup::Report, Failure> {
        shop.back_up(&self.open(disk)?).map_err(told)
    }

    pub fn rebuild_index(&self, disk: impl Disk + 'static) -> Result<RebuildReport, Failure> {
        self.open(disk)?.rebuild_index().map_err(told)
    }

    /// Repairs all that can be found without reading packs in full.
    pub fn repair(&self, disk: impl Disk + 'static) -> Result<repair::Outcome, Failure> {
        let repo = self.open(disk)?;
        let all = (repair::Scope::All, Depth::Structure);
        let diagnosis = repair::plan(&repo, all, &Silent).map_err(told)?;
        repair::execute(&repo, (&diagnosis.plan, &[]), &Silent).map(|done| done.0).map_err(told)
    }

    /// As [`Self::repair`], with the mirror at hand.
    pub fn heal(&self, disk: impl Disk + 'static) -> Result<repair::Outcome, Failure> {
        let repo = self.open(disk)?;
        let backend = LocalBackend::open(repo.environment().disk.clone(), &self.mirror());
        let backend = Arc::new(backend.map_err(told)?);
        let mirrors = [repair::Mirror { name: "away".to_owned(), backend }];
        let all = (repair::Scope::All, Depth::Structure);
        let mut plan = repair::plan(&repo, all, &Silent).map_err(told)?.plan;
        plan.use_mirrors(&mirrors);
        repair::execute(&repo, (&plan, &mirrors), &Silent).map(|done| done.0).map_err(told)
    }

    /// Does harm to a descriptor, a record, an index object and a pack, so that each can be made
    /// good.
    pub fn damage(&self) {
        fs::remove_file(&self.in_folder("descriptor")[1]).unwrap();
        rewrite(&self.in_folder("pending")[0], &|bytes| bytes.fill(0));
        rewrite(&self.in_folder("index")[0], &|bytes| bytes.truncate(100));
        rewrite(&self.in_folder("packs")[0], &|bytes| *bytes.last_mut().unwrap() ^= 1);
    }

    /// Makes a mirror, and does harm to index, record and packs that only the mirror can make good.
    pub fn mirror_and_harm(&self) {
        copy_tree(&self.repository(), &self.mirror());
        for second in fs::read_dir(self.mirror().join("pending")).unwrap() {
            fs::remove_file(second.unwrap().path()).unwrap();
        }
        for folder in ["snapshots", "pending"] {
            rewrite(&self.in_folder(folder)[0], &|bytes| bytes.fill(0));
        }
        let index = self.in_folder("index");
        index.iter().for_each(|path| rewrite(path, &|bytes| bytes.truncate(100)));
        for pack in self.in_folder("packs") {
            rewrite(&pack, &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                *bytes.last_mut().unwrap() ^= 1;
            });
        }
    }

    fn mirror(&self) -> PathBuf {
        self.path.join("mirror")
    }

    fn in_folder(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.repository().join(folder)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// Restores the oldest snapshot into the target of this name.
    pub fn restore_oldest(
        &self,
        disk: impl Disk + 'static,
        target: &str,
    ) -> Result<restore::Report, Failure> {
        let repo = self.open(disk)?;
        let snapshots = repo.snapshots().map_err(told)?.snapshots;
        shop::restore_into(&repo, &snapshots[0], &self.target(target)).map_err(told)
    }

    pub fn check(&self, depth: Depth) -> Result<check::Report, Failure> {
        let repo = self.open(steady())?;
        check(&repo, depth, &program(), &Silent).map_err(told)
    }
}

/// A disk without faults, as in production.
pub fn steady() -> impl Disk + 'static {
    Uninterrupted(RealDisk)
}

fn machine(disk: impl Disk + 'static) -> Machine {
    Machine { disk: Arc::new(disk), ..Machine::real() }
}

fn rewrite(path: &Path, change: &dyn Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn told(error: impl std::error::Error) -> Failure {
    ops::with_causes(&error)
}

/// Copies what is in a folder, with modes and links, into a folder that is made if it is missing.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            let mode = entry.metadata().unwrap().permissions();
            fs::set_permissions(&to, mode).unwrap();
            copy_tree(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            let _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}
