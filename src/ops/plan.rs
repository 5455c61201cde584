//! What a backup would read. Looks, and changes nothing.

use std::path::PathBuf;

use crate::{
    format::record::{Part, PartContent, PartKind},
    ops::{
        Error,
        set::{FileSet, Set, SetSource},
        with_causes,
    },
    repo::{Repository, Snapshot},
    source::{
        files::{Selection, measure, real_disk::RealReadDisk},
        sqlite::Sighting,
    },
};

/// What a run would do with one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPart {
    pub name: String,
    pub kind: PartKind,
    pub expectation: Expectation,
}

/// What is known of a set before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// A database that is certainly as it was.
    Unchanged { bytes: u64 },
    /// So much would be looked at; what is not new is not stored again.
    Read { bytes: u64, files: u64, is_first: bool },
    /// It would be missing in the snapshot.
    Failure { why: String },
}

/// Plans a backup of the sets. `own` are the folders that are never saved.
pub fn plan(repo: &Repository, sets: &[Set], own: &[PathBuf]) -> Result<Vec<PlannedPart>, Error> {
    let older = repo.snapshots()?.snapshots;
    let planned = sets.iter().map(|set| {
        let parent = newest_part(&older, set);
        let expectation = match &set.source {
            SetSource::Sqlite { path } => {
                let env = repo.environment();
                match Sighting::take(&*env.disk, &*env.clock, path) {
                    Ok(sighting) => of_database(&sighting, parent),
                    Err(error) => Expectation::Failure { why: with_causes(&error) },
                }
            }
            SetSource::Files(files) => of_files(files, own, parent),
        };
        PlannedPart { name: set.name.clone(), kind: set.kind(), expectation }
    });
    Ok(planned.collect())
}

fn newest_part<'a>(snapshots: &'a [Snapshot], set: &Set) -> Option<&'a Part> {
    snapshots.iter().rev().find_map(|snapshot| {
        let mut parts = snapshot.record.parts.iter();
        parts.find(|part| part.name == set.name && part.kind == set.kind())
    })
}

fn of_database(sighting: &Sighting, parent: Option<&Part>) -> Expectation {
    let bytes = sighting.bytes;
    match parent.map(|part| &part.content) {
        Some(PartContent::Database { image, .. }) if sighting.is_unchanged_since(image) => {
            Expectation::Unchanged { bytes }
        }
        parent => Expectation::Read { bytes, files: 1, is_first: parent.is_none() },
    }
}

fn of_files(files: &FileSet, own: &[PathBuf], parent: Option<&Part>) -> Expectation {
    let selection = Selection {
        paths: files.paths.clone(),
        exclude: files.exclude.clone(),
        exclude_if_present: files.exclude_if_present.iter().map(Into::into).collect(),
        mounts: files.mounts,
        own: own.to_vec(),
    };
    match measure(&RealReadDisk, &selection) {
        Ok(measured) => {
            let (bytes, files) = (measured.bytes, measured.files);
            Expectation::Read { bytes, files, is_first: parent.is_none() }
        }
        Err(error) => Expectation::Failure { why: with_causes(&error) },
    }
}
