//! Which bucket of whom, and the secret that opens it, read from a file.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, HeaderValue, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
};
use zeroize::Zeroizing;

use super::{Bucket, watch::Watching};
use crate::backend::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come while we wait; a part on a slow line takes its time to go up.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Whose language is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    S3,
    Gcs,
    Azure,
}

/// A bucket and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub provider: Provider,
    pub bucket: String,
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// Of Azure.
    pub name: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub profile: Option<String>,
    /// For messages to people.
    pub place: String,
}

/// `key = value` lines of one section.
type Section = HashMap<String, Zeroizing<String>>;

impl Account {
    pub(super) fn open(&self) -> Result<Arc<dyn Bucket>, Error> {
        match self.provider {
            Provider::S3 => self.s3(),
            Provider::Gcs => self.gcs(),
            Provider::Azure => self.azure(),
        }
    }

    fn s3(&self) -> Result<Arc<dyn Bucket>, Error> {
        let section = self.section()?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(self.region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(self.secret(&section, "aws_access_key_id")?)
            .with_secret_access_key(self.secret(&section, "aws_secret_access_key")?)
            .with_allow_http(self.is_plain_http())
            .with_disable_bulk_delete(true)
            .with_retry(no_retries())
            .with_client_options(self.options())
            .with_http_connector(Watching::default());
        if let Some(token) = section.get("aws_session_token") {
            builder = builder.with_token(token.as_str());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        Ok(Arc::new(builder.build().map_err(|error| self.wrong(&error))?))
    }

    fn gcs(&self) -> Result<Arc<dyn Bucket>, Error> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_retry(no_retries())
            .with_client_options(self.options())
            .with_http_connector(Watching::default());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        builder = match &self.credentials_file {
            Some(path) => builder.with_service_account_path(path.to_string_lossy()),
            // A store of one's own may ask for none.
            None => builder.with_skip_signature(self.endpoint.is_some()),
        };
        Ok(Arc::new(builder.build().map_err(|error| self.wrong(&error))?))
    }

    fn azure(&self) -> Result<Arc<dyn Bucket>, Error> {
        let section = self.section()?;
        let named = section.get("azure_storage_account").map(|name| name.to_string());
        let name = self.name.clone().or(named);
        let name = name.ok_or_else(|| self.sign_in("no account is named".to_owned()))?;
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(&self.bucket)
            .with_account(name)
            .with_access_key(self.secret(&section, "azure_storage_key")?)
            .with_allow_http(self.is_plain_http())
            .with_retry(no_retries())
            .with_client_options(self.options())
            .with_http_connector(Watching::default());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        Ok(Arc::new(builder.build().map_err(|error| self.wrong(&error))?))
    }

    fn options(&self) -> ClientOptions {
        ClientOptions::new()
            .with_allow_http(self.is_plain_http())
            .with_user_agent(HeaderValue::from_static(concat!(
                "stillpoint/",
                env!("CARGO_PKG_VERSION")
            )))
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(SILENCE_MAX)
    }

    fn is_plain_http(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// Reads the section of the profile.
    fn section(&self) -> Result<Section, Error> {
        let Some(path) = &self.credentials_file else {
            let why = "no file with credentials is named".to_owned();
            return Err(self.sign_in(why));
        };
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| self.sign_in(format!("cannot read {}: {error}", path.display())))?;
        Ok(section(&text, self.profile.as_deref().unwrap_or("default")))
    }

    fn secret<'a>(&self, section: &'a Section, key: &str) -> Result<&'a str, Error> {
        section.get(key).map(|value| value.as_str()).ok_or_else(|| {
            let path = self.credentials_file.as_ref().map(|path| path.display().to_string());
            let profile = self.profile.as_deref().unwrap_or("default");
            let path = path.unwrap_or_default();
            self.sign_in(format!("{path} has no `{key}` in its section [{profile}]"))
        })
    }

    fn sign_in(&self, why: String) -> Error {
        Error::SignIn { place: self.place.clone(), why }
    }

    fn wrong(&self, error: &object_store::Error) -> Error {
        Error::WrongPlace { place: self.place.clone(), why: error.to_string() }
    }
}

/// The layer above tries again, by one rule for all places.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() }
}

/// Reads one section as Amazon's tools write it. Lines before any section count for `default`.
fn section(text: &str, wanted: &str) -> Section {
    let mut current = "default";
    let mut found = Section::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.trim();
        } else if let Some((key, value)) = line.split_once('=')
            && current == wanted
        {
            let value = Zeroizing::new(value.trim().to_owned());
            let _ = found.insert(key.trim().to_ascii_lowercase(), value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_as_amazons_tools_write_it() {
        let text = "# keys\n[default]\naws_access_key_id = A\n\n[ shop ]\naws_access_key_id=B\n\
                    aws_secret_access_key = s=1\n";

        assert_eq!(section(text, "default")["aws_access_key_id"].as_str(), "A");
        assert_eq!(section(text, "shop")["aws_secret_access_key"].as_str(), "s=1");
        assert!(section(text, "other").is_empty());
    }

    #[test]
    fn without_credentials_one_has_to_sign_in() {
        let account = Account {
            provider: Provider::S3,
            bucket: "b".to_owned(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            name: None,
            credentials_file: Some("/nonexistent".into()),
            profile: None,
            place: "s3:b".to_owned(),
        };

        assert!(matches!(account.open(), Err(Error::SignIn { .. })));
    }
}
