//! One validated configuration, from flags, environment and file, in this order of precedence.
//!
//! Nothing else in the program reads the environment. The file is `--config`, `$STILLPOINT_CONFIG`,
//! the user's own, or the machine's, whichever is found first; a file of the working directory is
//! never picked up. Secrets are not in it: it names files that hold them.

pub mod edit;
mod error;
mod file;
mod mirror;
mod place;
mod retention;
mod size;
mod spot;
mod suggest;
mod validate;
mod variables;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;

pub use error::Error;
pub use mirror::{Mirror, parse_rate};
pub use place::{Bucket, DriveFolder, Place};
pub use retention::Retention;
pub use size::{parse_bytes, parse_permille};
pub use spot::Spot;
pub use suggest::closest;
pub use variables::Variables;

use crate::ops::{
    live::Hooks,
    set::{AppVersion, Set},
};

/// The machine's own configuration.
const SYSTEM_FILE: &str = "/etc/stillpoint/stillpoint.toml";
/// State of a machine account that has no home.
const SYSTEM_STATE: &str = "/var/lib/stillpoint";
/// Free space that a run leaves when the configuration does not say.
const MIN_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// What the command line said, to be put above environment and file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    pub repo: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub recovery_file: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
}

/// All that is decided before a command begins.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    pub repository: Option<Place>,
    /// All that were named together, the one to open with first; none: a person is asked.
    pub credentials: Vec<CredentialSource>,
    pub state_root: PathBuf,
    /// For everything that people read and write.
    pub zone: TimeZone,
    pub min_free_bytes: u64,
    /// Who asks, where nobody says otherwise.
    pub actor: String,
    pub station: String,
    /// In the order of the file, databases first.
    pub sets: Vec<Set>,
    pub app_version: Option<AppVersion>,
    /// The `user_version` of the databases that the installed application understands.
    pub user_version: Option<i64>,
    /// What is run around a restore in place.
    pub hooks: Hooks,
    pub retention: Retention,
    /// What must hold after a restore: the database set, or the first, and a query.
    pub assertions: Vec<(Option<String>, String)>,
    /// How often sets are to be saved, by name, as far as the configuration says so.
    pub intervals: BTreeMap<String, Duration>,
    /// In the order of the file.
    pub mirrors: Vec<Mirror>,
    /// Settings that are understood and kept, but not acted on yet.
    pub inactive: Vec<String>,
    document: file::Document,
}

/// Where the credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    KeyFile(PathBuf),
    /// `-` is standard input.
    PasswordFile(PathBuf),
    /// A recovery sheet or the key on it; `-` is standard input.
    RecoveryFile(PathBuf),
}

impl Config {
    /// Reads and validates everything.
    pub fn load(flags: &Flags, variables: &Variables) -> Result<Self, Error> {
        let file = find_file(flags, variables)?;
        let document = match &file {
            Some(path) => file::Document::read(path)?,
            None => file::Document::default(),
        };
        let valid = validate::document(&document, file.as_deref(), variables)?;
        let config = Self {
            repository: match first(&flags.repo, &variables.repo) {
                Some(named) => Some(named_place(&named, variables)?),
                None => valid.repository,
            },
            credentials: match named_credentials(flags, variables) {
                named if named.is_empty() => validate::credentials(valid.credential, variables)?,
                named => named,
            },
            state_root: absolute(state_root(flags, variables)),
            zone: valid.zone,
            min_free_bytes: valid.min_free_bytes.unwrap_or(MIN_FREE_BYTES),
            actor: document.settings.actor.clone().unwrap_or_else(|| variables.user.clone()),
            station: document.settings.station.clone().unwrap_or_default(),
            sets: valid.sets,
            app_version: valid.app_version,
            user_version: document.settings.app.as_ref().and_then(|app| app.user_version),
            hooks: valid.hooks,
            retention: valid.retention,
            assertions: valid.assertions,
            intervals: valid.intervals,
            mirrors: valid.mirrors,
            inactive: document.inactive(),
            file,
            document,
        };
        Ok(config)
    }

    /// What the configuration says of each mirror, a line for each, no secret.
    pub fn mirror_lines(&self) -> Vec<String> {
        self.document.mirror_lines()
    }

    /// The configuration as the snapshot record keeps it: all settings and these sets, no secret.
    pub fn to_toml_without_secrets(&self, sets: &[Set]) -> String {
        self.document.render(sets)
    }
}

/// The place that a flag or a variable names.
fn named_place(named: &Path, variables: &Variables) -> Result<Place, Error> {
    Place::parse(named.as_os_str(), variables)
        .map_err(|why| Error::NotAPlace { text: named.display().to_string(), why })
}

/// The sets of a configuration that a snapshot record keeps; none if it makes no sense to us.
/// Their paths are as they were written, so only the rest of them is meant.
pub fn recorded_sets(text: &str) -> Vec<Set> {
    let document = file::Document::parse(Path::new("record"), text.to_owned());
    let valid =
        document.and_then(|document| validate::document(&document, None, &Variables::default()));
    valid.map(|valid| valid.sets).unwrap_or_default()
}

/// A file that was named must exist; the usual places may be empty.
fn find_file(flags: &Flags, variables: &Variables) -> Result<Option<PathBuf>, Error> {
    if let Some(named) = first(&flags.config, &variables.config) {
        return Ok(Some(named));
    }
    let user = variables.config_home().map(|home| home.join("stillpoint/stillpoint.toml"));
    for path in user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]) {
        match path.try_exists() {
            Ok(true) => return Ok(Some(path)),
            Ok(false) => {}
            Err(source) => return Err(Error::Unreadable { path, source }),
        }
    }
    Ok(None)
}

/// Those of the flags, or else of the environment.
fn named_credentials(flags: &Flags, variables: &Variables) -> Vec<CredentialSource> {
    // Of two that were named together the key file opens faster, and either opens the repository.
    let of = |key_file: &Option<PathBuf>, password_file: &Option<PathBuf>| {
        let key_file = key_file.clone().map(CredentialSource::KeyFile);
        let password_file = password_file.clone().map(CredentialSource::PasswordFile);
        key_file.into_iter().chain(password_file).collect::<Vec<_>>()
    };
    let sheet = flags.recovery_file.clone().map(CredentialSource::RecoveryFile);
    match of(&flags.key_file, &flags.password_file).into_iter().chain(sheet).collect::<Vec<_>>() {
        named if named.is_empty() => of(&variables.key_file, &variables.password_file),
        named => named,
    }
}

fn state_root(flags: &Flags, variables: &Variables) -> PathBuf {
    first(&flags.state_dir, &variables.state_dir)
        .or_else(|| variables.state_home().map(|home| home.join("stillpoint")))
        .unwrap_or_else(|| PathBuf::from(SYSTEM_STATE))
}

fn first(flag: &Option<PathBuf>, variable: &Option<PathBuf>) -> Option<PathBuf> {
    flag.as_ref().or(variable.as_ref()).cloned()
}

/// Paths of a file are meant from where the file lies.
fn resolve(file: Option<&Path>, path: &Path) -> PathBuf {
    let folder = file.and_then(Path::parent).unwrap_or(Path::new("/"));
    absolute(folder.join(path))
}

/// Paths of a command line are meant from the working directory.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests;
