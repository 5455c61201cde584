//! Where a repository or a mirror lies: a folder, or an account elsewhere.
//!
//! A place is written `/srv/stillpoint`, `s3:BUCKET/PREFIX`, `gs:BUCKET/PREFIX`,
//! `az:CONTAINER/PREFIX` or `gdrive:FOLDER`; options follow after `?`. A folder whose name begins
//! like that is written with `./` before it. No option is a secret: secrets are in files.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
};

use crate::config::{Variables, absolute};

/// Where objects lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Absolute.
    Folder(PathBuf),
    S3(Bucket),
    Gcs(Bucket),
    Azure(Bucket),
    Drive(DriveFolder),
}

/// A bucket, or the part of it below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Without slashes at its ends; empty: the whole bucket.
    pub prefix: String,
    /// Of a store that is not the provider's own, such as `https://minio.example.com:9000`.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// Of Azure.
    pub account: Option<String>,
    /// S3 and Azure: `key = value` lines as in `~/.aws/credentials`. GCS: the JSON key of a service
    /// account.
    pub credentials_file: Option<PathBuf>,
    /// Section of the credentials file.
    pub profile: Option<String>,
}

/// A folder of Google Drive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveFolder {
    /// Its name: a label for people, for Drive knows it by an id.
    pub folder: String,
    /// The owner's own OAuth client.
    pub client_id: Option<String>,
    pub client_secret_file: Option<PathBuf>,
    /// Instead of Google's own servers.
    pub endpoint: Option<String>,
}

impl Place {
    /// Reads a place. What it leaves open is taken from the environment.
    pub fn parse(text: &OsStr, variables: &Variables) -> Result<Self, String> {
        match text.to_str().and_then(split_scheme) {
            None if text.is_empty() => Err("a place is empty".to_owned()),
            None => Ok(Self::Folder(absolute(PathBuf::from(text)))),
            Some((scheme, rest)) => Self::parse_remote(scheme, rest, variables),
        }
    }

    fn parse_remote(scheme: Scheme, rest: &str, variables: &Variables) -> Result<Self, String> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.trim_start_matches("//").trim_matches('/');
        if path.is_empty() {
            return Err(format!("name what is meant, as in `{}`", scheme.example()));
        }
        let options = options(query)?;
        if scheme == Scheme::Drive {
            return drive(path, options).map(Self::Drive);
        }
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        let mut bucket =
            Bucket { name: name.to_owned(), prefix: prefix.to_owned(), ..Bucket::default() };
        for (key, value) in options {
            bucket.set(&key, value)?;
        }
        Ok(scheme.place(bucket).completed(variables))
    }

    /// Fills what was left open from the environment.
    #[must_use]
    pub fn completed(mut self, variables: &Variables) -> Self {
        match &mut self {
            Self::Folder(_) | Self::Drive(_) => {}
            Self::S3(bucket) => {
                let known = &variables.aws;
                or(&mut bucket.endpoint, &known.endpoint);
                or(&mut bucket.region, &known.region);
                or(&mut bucket.profile, &known.profile);
                or(&mut bucket.credentials_file, &known.credentials_file);
                or(&mut bucket.credentials_file, &variables.below_home(".aws/credentials"));
            }
            Self::Gcs(bucket) => {
                or(&mut bucket.credentials_file, &variables.google_credentials_file);
            }
            Self::Azure(bucket) => or(&mut bucket.account, &variables.azure_account),
        }
        self
    }

    /// The folder, where it is one of this machine.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            _ => None,
        }
    }

    /// The word for its kind, as the configuration has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "local",
            Self::S3(_) => "s3",
            Self::Gcs(_) => "gcs",
            Self::Azure(_) => "azure",
            Self::Drive(_) => "gdrive",
        }
    }
}

fn or<T: Clone>(open: &mut Option<T>, known: &Option<T>) {
    if open.is_none() {
        open.clone_from(known);
    }
}

impl Bucket {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "endpoint" => self.endpoint = Some(value.trim_end_matches('/').to_owned()),
            "region" => self.region = Some(value),
            "account" => self.account = Some(value),
            "credentials" => self.credentials_file = Some(absolute(PathBuf::from(value))),
            "profile" => self.profile = Some(value),
            _ => {
                let known = "`endpoint`, `region`, `account`, `credentials` and `profile`";
                return Err(format!("`{key}` is no option of a place; there are {known}"));
            }
        }
        Ok(())
    }
}

fn drive(folder: &str, options: Vec<(String, String)>) -> Result<DriveFolder, String> {
    let mut drive = DriveFolder { folder: folder.to_owned(), ..DriveFolder::default() };
    for (key, value) in options {
        match key.as_str() {
            "client_id" => drive.client_id = Some(value),
            "client_secret" => drive.client_secret_file = Some(absolute(PathBuf::from(value))),
            "endpoint" => drive.endpoint = Some(value.trim_end_matches('/').to_owned()),
            _ => {
                let known = "`client_id`, `client_secret` (a file) and `endpoint`";
                return Err(format!("`{key}` is no option of a place; there are {known}"));
            }
        }
    }
    Ok(drive)
}

fn options(query: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                format!("`{pair}` is no option; write it as `endpoint=https://...`")
            })?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    S3,
    Gcs,
    Azure,
    Drive,
}

impl Scheme {
    const ALL: [(&'static str, Self); 4] =
        [("s3:", Self::S3), ("gs:", Self::Gcs), ("az:", Self::Azure), ("gdrive:", Self::Drive)];

    const fn example(self) -> &'static str {
        match self {
            Self::S3 => "s3:BUCKET/PREFIX",
            Self::Gcs => "gs:BUCKET/PREFIX",
            Self::Azure => "az:CONTAINER/PREFIX",
            Self::Drive => "gdrive:FOLDER",
        }
    }

    const fn place(self, bucket: Bucket) -> Place {
        match self {
            Self::S3 | Self::Drive => Place::S3(bucket),
            Self::Gcs => Place::Gcs(bucket),
            Self::Azure => Place::Azure(bucket),
        }
    }
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    Scheme::ALL.into_iter().find_map(|(word, scheme)| Some((scheme, text.strip_prefix(word)?)))
}

/// As it can be given to `--repo` on another machine, which has its own credentials.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3(bucket) => write!(f, "s3:{bucket}"),
            Self::Gcs(bucket) => write!(f, "gs:{bucket}"),
            Self::Azure(bucket) => write!(f, "az:{bucket}"),
            Self::Drive(drive) => {
                write!(f, "gdrive:{}", drive.folder)?;
                let options = [("client_id", &drive.client_id), ("endpoint", &drive.endpoint)];
                write_options(f, &options)
            }
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        let Self { endpoint, region, account, .. } = self;
        let options = [("endpoint", endpoint), ("region", region), ("account", account)];
        write_options(f, &options)
    }
}

fn write_options(f: &mut fmt::Formatter<'_>, options: &[(&str, &Option<String>)]) -> fmt::Result {
    let mut separator = '?';
    for (key, value) in options {
        if let Some(value) = value {
            write!(f, "{separator}{key}={value}")?;
            separator = '&';
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Place, String> {
        Place::parse(OsStr::new(text), &Variables::default())
    }

    #[test]
    fn a_place_is_a_folder_unless_it_begins_like_another() {
        for (text, path) in [("/srv/x", "/srv/x"), ("/srv/s3:x", "/srv/s3:x")] {
            assert_eq!(parse(text), Ok(Place::Folder(path.into())));
        }
        assert!(matches!(parse("./s3:x"), Ok(Place::Folder(_))));
        assert_eq!(parse("gs:shop").unwrap().kind(), "gcs");
        assert_eq!(parse("az:shop").unwrap().kind(), "azure");
        assert_eq!(parse("gdrive:POS backups").unwrap().kind(), "gdrive");
    }

    #[test]
    fn a_bucket_is_read_and_written_in_the_same_words() {
        let text = "s3:shop/pos/1?endpoint=http://127.0.0.1:9000&region=eu-west-1";

        let Ok(Place::S3(bucket)) = parse(text) else { panic!("{text}") };

        assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), ("shop", "pos/1"));
        assert_eq!(bucket.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(Place::S3(bucket).to_string(), text);
        assert_eq!(parse("s3://shop/pos/").unwrap().to_string(), "s3:shop/pos");
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_would() {
        for (text, why) in [
            ("", "empty"),
            ("s3:", "s3:BUCKET/PREFIX"),
            ("s3:///", "s3:BUCKET/PREFIX"),
            ("s3:b?secret=x", "`secret` is no option"),
            ("gdrive:x?region=y", "`region` is no option"),
            ("s3:b?endpoint", "write it as"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_fills_what_was_left_open_and_nothing_else() {
        let variables = Variables::from_lookup(|name| match name {
            "AWS_REGION" => Some("eu-west-3".into()),
            "AWS_ENDPOINT_URL" => Some("http://store".into()),
            "HOME" => Some("/home/shop".into()),
            _ => None,
        });

        let place = Place::parse(OsStr::new("s3:b?region=r"), &variables).unwrap();

        let Place::S3(bucket) = place else { panic!("{place}") };
        assert_eq!(bucket.region.as_deref(), Some("r"));
        assert_eq!(bucket.endpoint.as_deref(), Some("http://store"));
        assert_eq!(bucket.credentials_file, Some("/home/shop/.aws/credentials".into()));
    }
}
