//! The environment, read once.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Every variable that matters to us. An empty one counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    pub repo: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    /// `STILLPOINT_COLOR`: auto, always or never.
    pub color: Option<String>,
    pub no_color: bool,
    pub force_color: bool,
    /// The terminal cannot move its cursor.
    pub dumb_terminal: bool,
    /// Marks beyond ASCII can be shown.
    pub utf8: bool,
    pub columns: Option<usize>,
    /// Who runs this; empty if nobody says.
    pub user: String,
    /// Where systemd puts the credentials of a unit.
    pub credentials_directory: Option<PathBuf>,
    /// `STILLPOINT_PATIENCE`: how long, in seconds, a place elsewhere is tried again.
    pub patience: Option<Duration>,
    /// As the tools of Amazon read them; secrets themselves are read from files only.
    pub aws: AwsVariables,
    /// The JSON key of a service account.
    pub google_credentials_file: Option<PathBuf>,
    pub azure_account: Option<String>,
    home: Option<PathBuf>,
    xdg_config_home: Option<PathBuf>,
    xdg_state_home: Option<PathBuf>,
}

/// Where S3 is, and with whose account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsVariables {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub profile: Option<String>,
}

impl Variables {
    /// Reads the environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    pub fn read() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Takes the variables from a lookup.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        let path = |name| get(name).map(PathBuf::from);
        let text = |name| get(name).map(|value| value.to_string_lossy().into_owned());
        let set = |name| get(name).is_some();
        Self {
            repo: path("STILLPOINT_REPO"),
            password_file: path("STILLPOINT_PASSWORD_FILE"),
            key_file: path("STILLPOINT_KEY_FILE"),
            config: path("STILLPOINT_CONFIG"),
            state_dir: path("STILLPOINT_STATE_DIR"),
            color: text("STILLPOINT_COLOR"),
            no_color: set("NO_COLOR"),
            force_color: set("FORCE_COLOR"),
            dumb_terminal: text("TERM").is_some_and(|term| term == "dumb"),
            utf8: is_utf8(text("LC_ALL").or(text("LC_CTYPE")).or(text("LANG"))),
            columns: text("COLUMNS").and_then(|columns| columns.parse().ok()),
            user: text("SUDO_USER").or(text("USER")).or(text("LOGNAME")).unwrap_or_default(),
            credentials_directory: path("CREDENTIALS_DIRECTORY"),
            patience: text("STILLPOINT_PATIENCE")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            aws: AwsVariables {
                endpoint: text("AWS_ENDPOINT_URL_S3").or(text("AWS_ENDPOINT_URL")),
                region: text("AWS_REGION").or(text("AWS_DEFAULT_REGION")),
                credentials_file: path("AWS_SHARED_CREDENTIALS_FILE"),
                profile: text("AWS_PROFILE"),
            },
            google_credentials_file: path("GOOGLE_APPLICATION_CREDENTIALS"),
            azure_account: text("AZURE_STORAGE_ACCOUNT"),
            home: path("HOME"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
        }
    }

    /// Where the user's configuration files lie.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.xdg_home(&self.xdg_config_home, ".config")
    }

    /// Where the user's programs keep state.
    pub fn state_home(&self) -> Option<PathBuf> {
        self.xdg_home(&self.xdg_state_home, ".local/state")
    }

    /// A path in the user's home.
    pub fn below_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// The XDG rules say that a relative path is to be ignored.
    fn xdg_home(&self, variable: &Option<PathBuf>, below_home: &str) -> Option<PathBuf> {
        let named = variable.clone().filter(|path| path.is_absolute());
        named.or_else(|| self.home.as_ref().map(|home| home.join(below_home)))
    }
}

fn is_utf8(locale: Option<String>) -> bool {
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
