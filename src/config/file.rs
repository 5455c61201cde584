//! The configuration file as it is written. What it means is decided in `validate.rs`.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    config::{Error, Spot, retention, suggest::closest},
    ops::set::{FileContent, Mounts, Set, SetSource},
};

/// A file, and its text to point into.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    pub settings: Settings,
    path: PathBuf,
    text: String,
}

/// Everything a file may say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub version: Option<Spanned<u32>>,
    pub timezone: Option<Spanned<String>>,
    pub min_free: Option<Spanned<Size>>,
    pub actor: Option<String>,
    pub station: Option<String>,
    pub retention: Option<retention::Table>,
    pub keep: Option<Spanned<retention::Words>>,
    #[serde(skip_serializing_if = "Repository::is_empty")]
    pub repository: Repository,
    pub app: Option<App>,
    pub hooks: Option<Hooks>,
    pub drill: Option<Drill>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub database: Vec<Database>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Files>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirror: Vec<Mirror>,
    pub alerts: Option<Alerts>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Repository {
    pub path: Option<Spanned<PathBuf>>,
    pub key_file: Option<Spanned<PathBuf>>,
    pub password_file: Option<Spanned<PathBuf>>,
    /// Name of a systemd credential that holds a key file.
    pub credential: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Database {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub path: PathBuf,
    pub every: Option<String>,
    pub full_at: Option<String>,
    pub trial_restore: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    pub name: Spanned<String>,
    pub kind: Option<Spanned<String>>,
    pub paths: Spanned<Vec<PathBuf>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_if_present: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_file_system: bool,
    pub every: Option<String>,
    pub weekly_at: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct App {
    pub version_sql: Option<String>,
    /// The set that `version_sql` asks; the first database if absent.
    pub database: Option<Spanned<String>>,
    pub version_file: Option<PathBuf>,
    pub version_command: Option<Command>,
    /// The `user_version` of the databases that the installed application understands.
    pub user_version: Option<i64>,
}

/// What must hold after a restore.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drill {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assert: Vec<Assertion>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assertion {
    /// The set that is asked; the first database if absent.
    pub database: Option<Spanned<String>>,
    pub sql: String,
}

/// What is run around a restore in place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hooks {
    pub before_restore: Option<Command>,
    pub after_restore: Option<Command>,
    pub migrate: Option<Command>,
    pub timeout: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mirror {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    /// Of `local`.
    pub path: Option<PathBuf>,
    /// Of `gdrive`.
    pub folder: Option<String>,
    pub client_id: Option<String>,
    pub client_secret_file: Option<PathBuf>,
    /// Of `s3`, `gcs` and `azure`.
    pub bucket: Option<String>,
    pub prefix: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub account: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub profile: Option<String>,
    pub limit_upload: Option<Spanned<String>>,
    /// Of `gdrive`: `trash` or `for-good`.
    pub deletion: Option<Spanned<String>>,
    pub keep: Option<Spanned<retention::Words>>,
    pub retention: Option<retention::Table>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alerts {
    pub late_after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
}

/// Bytes, as a number or with a unit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a size such as `500 MB`")]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

/// A program and its arguments.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a command such as `[\"pos\", \"--version\"]`")]
pub(super) enum Command {
    Words(Vec<String>),
    Line(String),
}

impl Repository {
    const fn is_empty(&self) -> bool {
        let Self { path, key_file, password_file, credential } = self;
        path.is_none() && key_file.is_none() && password_file.is_none() && credential.is_none()
    }
}

impl Command {
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Line(line) => line.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

impl Document {
    /// Reads a file whose keys are all known.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(path, text)
    }

    pub fn parse(path: &Path, text: String) -> Result<Self, Error> {
        match toml::from_str(&text) {
            Ok(settings) => Ok(Self { settings, path: path.to_owned(), text }),
            Err(error) => {
                let spot = Spot::new(path.to_owned(), &text, error.span().unwrap_or_default());
                Err(explain(error.message(), spot))
            }
        }
    }

    /// Says what is wrong at a place of the file.
    pub fn invalid(&self, at: Range<usize>, message: impl Into<String>) -> Error {
        let spot = Spot::new(self.path.clone(), &self.text, at);
        Error::Invalid { message: message.into(), spot }
    }

    /// Settings that are kept but not acted on yet.
    pub fn inactive(&self) -> Vec<String> {
        let settings = &self.settings;
        let databases = || settings.database.iter();
        let files = || settings.files.iter();
        let all = [
            ("database.every", databases().any(|set| set.every.is_some())),
            ("database.full_at", databases().any(|set| set.full_at.is_some())),
            ("database.trial_restore", databases().any(|set| set.trial_restore.is_some())),
            ("files.every", files().any(|set| set.every.is_some())),
            ("files.weekly_at", files().any(|set| set.weekly_at.is_some())),
            ("alerts", settings.alerts.is_some()),
        ];
        all.into_iter().filter(|(_, used)| *used).map(|(key, _)| key.to_owned()).collect()
    }

    /// Writes the settings with these sets in place of the file's own, and without arguments of
    /// commands, which are the one place where a secret could stand.
    pub fn render(&self, sets: &[Set]) -> String {
        let mut settings = self.settings.clone();
        if let Some(app) = &mut settings.app {
            app.version_command = app.version_command.as_ref().map(without_arguments);
        }
        if let Some(hooks) = &mut settings.hooks {
            for hook in [&mut hooks.before_restore, &mut hooks.after_restore, &mut hooks.migrate] {
                *hook = hook.as_ref().map(without_arguments);
            }
        }
        let known = |name: &str| sets.iter().all(|set| set.name != name);
        settings.database.retain(|set| !known(set.name.get_ref()));
        settings.files.retain(|set| !known(set.name.get_ref()));
        for set in sets {
            settings.add(set);
        }
        toml::to_string(&settings)
            .expect("settings that were read from TOML can be written as TOML")
    }
}

impl Settings {
    /// Adds a set of the command line.
    fn add(&mut self, set: &Set) {
        let name = || Spanned::new(0..0, set.name.clone());
        match &set.source {
            SetSource::Sqlite { path } => {
                if self.database.iter().any(|known| *known.name.get_ref() == set.name) {
                    return;
                }
                let (kind, path) = (Spanned::new(0..0, "sqlite".to_owned()), path.clone());
                let (every, full_at, trial_restore) = (None, None, None);
                self.database.push(Database {
                    name: name(),
                    kind,
                    path,
                    every,
                    full_at,
                    trial_restore,
                });
            }
            SetSource::Files(files) => {
                if self.files.iter().any(|known| *known.name.get_ref() == set.name) {
                    return;
                }
                self.files.push(Files {
                    name: name(),
                    kind: (files.content == FileContent::Config)
                        .then(|| Spanned::new(0..0, "config".to_owned())),
                    paths: Spanned::new(0..0, files.paths.clone()),
                    exclude: files.exclude.clone(),
                    exclude_if_present: files.exclude_if_present.clone(),
                    one_file_system: files.mounts == Mounts::Skip,
                    every: None,
                    weekly_at: None,
                });
            }
        }
    }
}

impl Document {
    /// What a person needs to find each mirror again, a line for each.
    pub fn mirror_lines(&self) -> Vec<String> {
        let line = |mirror: &Mirror| {
            let place = mirror.path.as_ref().map(|path| path.display().to_string());
            let client = mirror.client_id.as_ref().map(|id| format!("client {id}"));
            let kind = Some(mirror.kind.get_ref().clone());
            let words = [kind, place, mirror.folder.clone(), mirror.bucket.clone()];
            let more = [mirror.prefix.clone(), mirror.endpoint.clone(), client];
            words.into_iter().chain(more).flatten().collect::<Vec<_>>().join("  ")
        };
        self.settings.mirror.iter().map(line).collect()
    }
}

fn without_arguments(command: &Command) -> Command {
    Command::Words(command.words().into_iter().take(1).collect())
}

/// Turns what the parser says into what we say. It lists the keys it knows in backticks.
fn explain(message: &str, spot: Spot) -> Error {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let message = message.lines().collect::<Vec<_>>().join(", ");
        return Error::Invalid { message, spot };
    };
    let mut words = rest.split('`').step_by(2);
    let key = words.next().unwrap_or_default().to_owned();
    let suggestion = closest(&key, words).map(str::to_owned);
    Error::UnknownKey { key, suggestion, spot }
}
