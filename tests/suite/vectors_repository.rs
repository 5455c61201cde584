//! The complete repository of `format-spec/vectors/`, which every version must restore.
//!
//! It was made once, by the ignored test in `make.rs`, and is a fixture from then on: keys and ids
//! are random, so making it anew gives another one, as right as this. What went into it stands in
//! `expected.json`, written down from the sources and not from what the program made of them.

mod content;
mod make;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{harness, vectors::assert_alike};

const PASSPHRASE: &str = "correct horse battery staple";
const KEY_FILE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn vectors() -> PathBuf {
    harness::source("format-spec/vectors")
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(vectors().join("expected.json")).unwrap()).unwrap()
}

/// Somebody who opens the repository in one way.
struct Reader {
    folder: tempfile::TempDir,
    repository: PathBuf,
    flag: &'static str,
}

impl Reader {
    /// Somebody whose credential is the content of a file.
    fn with(flag: &'static str, credential: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("credential"), credential).unwrap();
        Self { folder, repository: vectors().join("repository"), flag }
    }

    /// Runs the program and returns what it printed.
    fn run(&self, words: &[&str]) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_stillpoint"))
            .args(words)
            .args([self.flag, "credential", "--state-dir", "state", "--no-input"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("STILLPOINT_REPO", &self.repository)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Restores a snapshot and compares what came back with what went in.
    fn restore_and_compare(&self, snapshot: &Value) {
        let id = snapshot["id"].as_str().unwrap();
        let target = self.folder.path().join("target");
        let _ = self.run(&["restore", id, "--target", "target", "--verify"]);

        let expected = content::restorable(snapshot["parts"].clone(), &target);
        assert_alike(&expected, &content::restored(&target), id);
        fs::remove_dir_all(target).unwrap();
    }

    /// The ids that are listed, those that are pinned apart.
    fn listed(&self) -> (Vec<Value>, Vec<Value>) {
        let listed: Value = serde_json::from_str(&self.run(&["snapshots", "--json"])).unwrap();
        let snapshots = listed["data"].as_array().unwrap();
        let ids = |snapshots: &mut dyn Iterator<Item = &Value>| {
            snapshots.map(|snapshot| snapshot["id"].clone()).collect()
        };
        let mut pinned = snapshots.iter().filter(|snapshot| !snapshot["pinned"].is_null());
        (ids(&mut snapshots.iter()), ids(&mut pinned))
    }
}

#[test]
fn every_snapshot_of_the_spec_restores_to_what_went_in() {
    let expected = expected();
    let mut reader = Reader::with("--key-file", KEY_FILE);
    // In a copy without forget markers, every snapshot can be had.
    let copy = reader.folder.path().join("copy");
    copy_folder(&reader.repository, &copy);
    fs::remove_dir_all(copy.join("forgotten")).unwrap();
    reader.repository = copy;

    for snapshot in expected["snapshots"].as_array().unwrap() {
        reader.restore_and_compare(snapshot);
    }
}

#[test]
fn every_credential_opens_the_repository_of_the_spec() {
    let expected = expected();
    let newest = expected["snapshots"].as_array().unwrap().last().unwrap();

    assert_eq!(expected["passphrase"], PASSPHRASE);
    Reader::with("--password-file", PASSPHRASE).restore_and_compare(newest);
    let recovery = expected["recovery key"].as_str().unwrap();
    Reader::with("--recovery-file", recovery).restore_and_compare(newest);
}

#[test]
fn the_repository_of_the_spec_is_sound_and_lists_what_is_not_forgotten() {
    let expected = expected();
    let reader = Reader::with("--key-file", KEY_FILE);
    let ids = |is_wanted: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        let snapshots = expected["snapshots"].as_array().unwrap().iter();
        snapshots.filter(|one| is_wanted(one)).map(|one| one["id"].clone()).collect()
    };

    let (listed, pinned) = reader.listed();
    assert_eq!(listed, ids(&|snapshot| snapshot["forgotten"] == false));
    assert_eq!(pinned, ids(&|snapshot| snapshot["pinned"] == true));
    let _ = reader.run(&["check", "--read-data"]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
