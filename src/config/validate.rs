//! What the settings mean, and whether they can be meant.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use jiff::tz::TimeZone;
use toml::Spanned;

use crate::{
    config::{
        CredentialSource, Error, Mirror, Place, Variables,
        file::{App, Assertion, Command, Database, Document, Files, Size},
        mirror, resolve,
        retention::{self, Retention},
        size::parse_bytes,
    },
    ops::{
        live::Hooks,
        set::{AppVersion, FileContent, FileSet, Mounts, Set, SetSource, is_part_name},
    },
};

/// The meaning of a file.
pub(super) struct Valid {
    pub repository: Option<Place>,
    pub credential: Option<Credential>,
    pub zone: TimeZone,
    pub min_free_bytes: Option<u64>,
    pub sets: Vec<Set>,
    pub app_version: Option<AppVersion>,
    pub retention: Retention,
    pub mirrors: Vec<Mirror>,
    pub hooks: Hooks,
    pub assertions: Vec<(Option<String>, String)>,
    pub intervals: BTreeMap<String, Duration>,
}

/// What a file says about the credential.
pub(super) enum Credential {
    Source(CredentialSource),
    Systemd(String),
}

/// Finds the file behind what a configuration says.
pub(super) fn credentials(
    credential: Option<Credential>,
    variables: &Variables,
) -> Result<Vec<CredentialSource>, Error> {
    match (credential, &variables.credentials_directory) {
        (None, _) => Ok(Vec::new()),
        (Some(Credential::Source(source)), _) => Ok(vec![source]),
        (Some(Credential::Systemd(name)), Some(folder)) => {
            Ok(vec![CredentialSource::KeyFile(folder.join(name))])
        }
        (Some(Credential::Systemd(name)), None) => Err(Error::NoCredentialDirectory { name }),
    }
}

/// Validates a document; `file` is where its relative paths start.
pub(super) fn document(
    document: &Document,
    file: Option<&Path>,
    variables: &Variables,
) -> Result<Valid, Error> {
    let settings = &document.settings;
    if let Some(version) = settings.version.as_ref().filter(|version| *version.get_ref() != 1) {
        return Err(document.invalid(version.span(), "this Stillpoint reads `version = 1` only"));
    }
    let sets = sets(document, file)?;
    Ok(Valid {
        repository: repository(document, file, variables)?,
        credential: credential(document, file)?,
        zone: zone(document)?,
        min_free_bytes: settings.min_free.as_ref().map(|size| bytes(document, size)).transpose()?,
        app_version: match &settings.app {
            Some(app) => app_version(document, file, app, &sets)?,
            None => None,
        },
        sets,
        retention: retention::retention(document)?,
        mirrors: mirror::all(document, file, variables)?,
        hooks: hooks(document)?,
        assertions: assertions(document)?,
        intervals: intervals(document),
    })
}

/// What must hold after a restore, and of which database.
fn assertions(document: &Document) -> Result<Vec<(Option<String>, String)>, Error> {
    let Some(drill) = &document.settings.drill else { return Ok(Vec::new()) };
    let databases = &document.settings.database;
    let known = |name: &str| databases.iter().any(|database| database.name.get_ref() == name);
    let assertion = |written: &Assertion| match &written.database {
        Some(name) if !known(name.get_ref()) => {
            let message = format!("no [[database]] is named `{}`", name.get_ref());
            Err(document.invalid(name.span(), message))
        }
        name => Ok((name.as_ref().map(|name| name.get_ref().clone()), written.sql.clone())),
    };
    drill.assert.iter().map(assertion).collect()
}

/// How often the sets are to be saved, as far as they say so.
fn intervals(document: &Document) -> BTreeMap<String, Duration> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let every = |text: &Option<String>| {
        let signed: Option<jiff::SignedDuration> = text.as_ref()?.parse().ok();
        signed.and_then(|signed| Duration::try_from(signed).ok())
    };
    let databases = document.settings.database.iter().map(|set| {
        let daily = set.full_at.as_ref().map(|_| DAY);
        (set.name.get_ref(), every(&set.every).or(daily))
    });
    let files = document.settings.files.iter().map(|set| {
        let weekly = set.weekly_at.as_ref().map(|_| 7 * DAY);
        (set.name.get_ref(), every(&set.every).or(weekly))
    });
    let known = databases.chain(files);
    known.filter_map(|(name, interval)| Some((name.clone(), interval?))).collect()
}

/// A hook that does not end must not leave the application stopped for good.
const HOOK_TIMEOUT: Duration = Duration::from_secs(300);

fn hooks(document: &Document) -> Result<Hooks, Error> {
    let Some(hooks) = &document.settings.hooks else {
        return Ok(Hooks { timeout: HOOK_TIMEOUT, ..Hooks::default() });
    };
    let words = |hook: &Option<Command>| hook.as_ref().map(Command::words).unwrap_or_default();
    let timeout = match &hooks.timeout {
        None => HOOK_TIMEOUT,
        Some(text) => {
            let signed: Option<jiff::SignedDuration> = text.get_ref().parse().ok();
            let timeout = signed.and_then(|signed| Duration::try_from(signed).ok());
            timeout.ok_or_else(|| {
                document.invalid(text.span(), "not a time; write it as `30s`, `10m` or `2h`")
            })?
        }
    };
    Ok(Hooks {
        before: words(&hooks.before_restore),
        after: words(&hooks.after_restore),
        migrate: words(&hooks.migrate),
        timeout,
    })
}

/// A path is meant from where the file lies; other places are meant as they stand.
fn repository(
    document: &Document,
    file: Option<&Path>,
    variables: &Variables,
) -> Result<Option<Place>, Error> {
    let Some(path) = &document.settings.repository.path else { return Ok(None) };
    match Place::parse(path.get_ref().as_os_str(), variables) {
        Ok(Place::Folder(_)) => Ok(Some(Place::Folder(resolve(file, path.get_ref())))),
        Ok(place) => Ok(Some(place)),
        Err(why) => Err(document.invalid(path.span(), why)),
    }
}

fn zone(document: &Document) -> Result<TimeZone, Error> {
    let Some(name) = &document.settings.timezone else { return Ok(TimeZone::system()) };
    TimeZone::get(name.get_ref()).map_err(|_| {
        let message =
            format!("no time zone is named `{}`; a valid one is `Europe/Madrid`", name.get_ref());
        document.invalid(name.span(), message)
    })
}

fn bytes(document: &Document, size: &Spanned<Size>) -> Result<u64, Error> {
    let bytes = match size.get_ref() {
        Size::Bytes(bytes) => Some(*bytes),
        Size::Text(text) => parse_bytes(text),
    };
    bytes.ok_or_else(|| document.invalid(size.span(), "not a size; write it as `500 MB`"))
}

fn credential(document: &Document, file: Option<&Path>) -> Result<Option<Credential>, Error> {
    let repository = &document.settings.repository;
    let key_file = repository.key_file.as_ref().map(|path| {
        let source = CredentialSource::KeyFile(resolve(file, path.get_ref()));
        (path.span(), Credential::Source(source))
    });
    let password_file = repository.password_file.as_ref().map(|path| {
        let source = CredentialSource::PasswordFile(resolve(file, path.get_ref()));
        (path.span(), Credential::Source(source))
    });
    let systemd = repository
        .credential
        .as_ref()
        .map(|name| (name.span(), Credential::Systemd(name.get_ref().clone())));
    let mut named = [key_file, password_file, systemd].into_iter().flatten();
    let first = named.next();
    if let Some((span, _)) = named.next() {
        let message = "name one of `key_file`, `password_file` and `credential`";
        return Err(document.invalid(span, message));
    }
    Ok(first.map(|(_, credential)| credential))
}

fn sets(document: &Document, file: Option<&Path>) -> Result<Vec<Set>, Error> {
    let mut names = BTreeSet::new();
    let mut sets = Vec::new();
    for database in &document.settings.database {
        let name = part_name(document, &database.name, &mut names)?;
        sets.push(Set { name, source: database_source(document, file, database)? });
    }
    for files in &document.settings.files {
        let name = part_name(document, &files.name, &mut names)?;
        sets.push(Set { name, source: SetSource::Files(file_set(document, file, files)?) });
    }
    Ok(sets)
}

fn part_name(
    document: &Document,
    name: &Spanned<String>,
    names: &mut BTreeSet<String>,
) -> Result<String, Error> {
    let text = name.get_ref();
    if !is_part_name(text) {
        let message = "a name is made of lower-case letters, digits, `.`, `_` and `-`, and begins \
                       with a letter or digit";
        return Err(document.invalid(name.span(), message));
    }
    if !names.insert(text.clone()) {
        return Err(document.invalid(name.span(), format!("two sets are named `{text}`")));
    }
    Ok(text.clone())
}

fn database_source(
    document: &Document,
    file: Option<&Path>,
    database: &Database,
) -> Result<SetSource, Error> {
    if database.kind.get_ref() != "sqlite" {
        let message = format!("`{}` is not supported; `sqlite` is", database.kind.get_ref());
        return Err(document.invalid(database.kind.span(), message));
    }
    Ok(SetSource::Sqlite { path: resolve(file, &database.path) })
}

fn file_set(document: &Document, file: Option<&Path>, files: &Files) -> Result<FileSet, Error> {
    if files.paths.get_ref().is_empty() {
        return Err(document.invalid(files.paths.span(), "name at least one path"));
    }
    let content = match files.kind.as_ref().map(|kind| (kind.get_ref().as_str(), kind.span())) {
        None | Some(("files", _)) => FileContent::Files,
        Some(("config", _)) => FileContent::Config,
        Some(("cache", _)) => FileContent::Cache,
        Some((_, span)) => {
            return Err(
                document.invalid(span, "a file set is of kind `files`, `config` or `cache`")
            );
        }
    };
    Ok(FileSet {
        paths: files.paths.get_ref().iter().map(|path| resolve(file, path)).collect(),
        exclude: files.exclude.clone(),
        exclude_if_present: files.exclude_if_present.clone(),
        mounts: if files.one_file_system { Mounts::Skip } else { Mounts::Enter },
        content,
    })
}

fn app_version(
    document: &Document,
    file: Option<&Path>,
    app: &App,
    sets: &[Set],
) -> Result<Option<AppVersion>, Error> {
    let sql = match &app.version_sql {
        Some(query) => {
            Some(AppVersion::Sql { set: version_set(document, app, sets)?, query: query.clone() })
        }
        None => None,
    };
    let in_file = app.version_file.as_deref().map(|path| AppVersion::File(resolve(file, path)));
    let printed = app.version_command.as_ref().map(|command| AppVersion::Command(command.words()));
    let mut named = [sql, in_file, printed].into_iter().flatten();
    let first = named.next();
    if named.next().is_some() {
        let message = "[app]: name one of `version_sql`, `version_file` and `version_command`";
        return Err(document.invalid(0..0, message));
    }
    Ok(first)
}

/// The database that knows the application's version.
fn version_set(document: &Document, app: &App, sets: &[Set]) -> Result<String, Error> {
    let databases: Vec<&str> = sets
        .iter()
        .filter(|set| matches!(set.source, SetSource::Sqlite { .. }))
        .map(|set| set.name.as_str())
        .collect();
    match (&app.database, databases.first()) {
        (Some(name), _) if databases.contains(&name.get_ref().as_str()) => {
            Ok(name.get_ref().clone())
        }
        (Some(name), _) => {
            Err(document
                .invalid(name.span(), format!("no [[database]] is named `{}`", name.get_ref())))
        }
        (None, Some(first)) => Ok((*first).to_owned()),
        (None, None) => Err(document.invalid(0..0, "[app] version_sql needs a [[database]]")),
    }
}
