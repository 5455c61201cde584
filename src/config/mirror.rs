//! `[[mirror]]`: the places where copies of the repository go.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

use crate::{
    backend::gdrive::Deletion,
    config::{
        Bucket, DriveFolder, Error, Place, Retention, Variables,
        file::{self, Document},
        resolve, retention,
        size::parse_bytes,
    },
    ops::{mirror::Keep, set::is_part_name},
};

/// A second place of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub name: String,
    pub place: Place,
    /// Bytes per second; none: as fast as it goes.
    pub limit_upload: Option<u64>,
    /// How long snapshots stay there.
    pub retention: Retention,
    /// Of Google Drive.
    pub deletion: Deletion,
}

impl Mirror {
    /// A mirror of which nothing is said but its place.
    pub fn at(name: impl Into<String>, place: Place) -> Self {
        Self {
            name: name.into(),
            place,
            limit_upload: None,
            retention: Retention::of_a_mirror(),
            deletion: Deletion::default(),
        }
    }

    /// How long snapshots stay there; nothing if nothing is ever to go by itself.
    pub fn keep(&self, zone: &TimeZone) -> Option<Keep> {
        let Retention { auto, trash, policies, .. } = &self.retention;
        let keep = || Keep { policies: policies.clone(), zone: zone.clone(), trash: *trash };
        auto.then(keep)
    }
}

/// All mirrors of a file.
pub(super) fn all(
    document: &Document,
    file: Option<&Path>,
    variables: &Variables,
) -> Result<Vec<Mirror>, Error> {
    let mut names = BTreeSet::new();
    let mut mirrors = Vec::new();
    for written in &document.settings.mirror {
        let name = written.name.get_ref();
        if !is_part_name(name) {
            let message = "a name is made of lower-case letters, digits, `.`, `_` and `-`, and \
                           begins with a letter or digit";
            return Err(document.invalid(written.name.span(), message));
        }
        if !names.insert(name.as_str()) {
            let message = format!("two mirrors are named `{name}`");
            return Err(document.invalid(written.name.span(), message));
        }
        mirrors.push(Mirror {
            name: name.clone(),
            place: place(document, file, written)?.completed(variables),
            limit_upload: limit(document, written)?,
            retention: retention::of_mirror(document, (&written.keep, written.retention.as_ref()))?,
            deletion: deletion(document, written)?,
        });
    }
    Ok(mirrors)
}

fn place(document: &Document, file: Option<&Path>, written: &file::Mirror) -> Result<Place, Error> {
    let needs = |key: &str| {
        let message = format!("a mirror of kind `{}` needs `{key}`", written.kind.get_ref());
        document.invalid(written.kind.span(), message)
    };
    let resolved = |path: &Option<PathBuf>| path.as_deref().map(|path| resolve(file, path));
    let bucket = || -> Result<Bucket, Error> {
        Ok(Bucket {
            name: written.bucket.clone().ok_or_else(|| needs("bucket"))?,
            prefix: written.prefix.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
            endpoint: written.endpoint.clone(),
            region: written.region.clone(),
            account: written.account.clone(),
            credentials_file: resolved(&written.credentials_file),
            profile: written.profile.clone(),
        })
    };
    match written.kind.get_ref().as_str() {
        "local" => Ok(Place::Folder(resolved(&written.path).ok_or_else(|| needs("path"))?)),
        "s3" => Ok(Place::S3(bucket()?)),
        "gcs" => Ok(Place::Gcs(bucket()?)),
        "azure" => Ok(Place::Azure(bucket()?)),
        "gdrive" => Ok(Place::Drive(DriveFolder {
            folder: written.folder.clone().ok_or_else(|| needs("folder"))?,
            client_id: written.client_id.clone(),
            client_secret_file: resolved(&written.client_secret_file),
            endpoint: written.endpoint.clone(),
        })),
        _ => {
            let message = "a mirror is of kind `local`, `s3`, `gcs`, `azure` or `gdrive`";
            Err(document.invalid(written.kind.span(), message))
        }
    }
}

fn limit(document: &Document, written: &file::Mirror) -> Result<Option<u64>, Error> {
    let Some(text) = &written.limit_upload else { return Ok(None) };
    match parse_rate(text.get_ref()) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(document.invalid(text.span(), "not a rate; write it as `2MB/s`")),
    }
}

fn deletion(document: &Document, written: &file::Mirror) -> Result<Deletion, Error> {
    let Some(text) = &written.deletion else { return Ok(Deletion::default()) };
    match text.get_ref().as_str() {
        "trash" => Ok(Deletion::Trash),
        "for-good" => Ok(Deletion::ForGood),
        _ => Err(document.invalid(text.span(), "write `trash` or `for-good`")),
    }
}

/// Reads `2MB/s`: bytes per second, more than none.
pub fn parse_rate(text: &str) -> Option<u64> {
    parse_bytes(text.trim().strip_suffix("/s")?).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_an_amount_per_second() {
        assert_eq!(parse_rate("2MB/s"), Some(2_000_000));
        assert_eq!(parse_rate(" 1.5 MiB/s"), Some(1_572_864));
        for text in ["2MB", "0/s", "fast", "/s", "2MB/min"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }
}
