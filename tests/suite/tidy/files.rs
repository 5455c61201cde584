//! The files that the house rules judge.

use std::{fs, path::PathBuf};

use super::code;
use crate::harness;

/// One text file of the repository.
pub struct TextFile {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
    production: String,
}

const ROOTS: [&str; 7] = ["src", "tests", "benches", "fuzz", "scripts", "format-spec", "docs"];

/// Reads every text file that people write, in order of their paths.
pub fn all_files() -> Vec<TextFile> {
    let mut paths = Vec::new();
    for root in ROOTS {
        collect(root, &mut paths);
    }
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") || name.ends_with(".toml") {
            paths.push(name);
        }
    }
    paths.sort();
    assert!(paths.len() > 100, "the rules judge the whole repository");
    paths.iter().filter_map(|path| Some(TextFile::new(path, read(path)?))).collect()
}

/// Reads a file of the repository, if it is there and is text.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

fn root() -> PathBuf {
    harness::source("")
}

fn collect(folder: &str, paths: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, paths);
        } else if kind.is_file() {
            paths.push(path);
        }
    }
}

impl TextFile {
    fn new(path: &str, text: String) -> Self {
        let is_production = path.starts_with("src/") && path.ends_with(".rs");
        let is_production =
            is_production && !path.ends_with("/tests.rs") && !path.contains("/tests/");
        let production = if is_production { code::production(&text) } else { String::new() };
        Self { path: path.to_owned(), text, production }
    }

    /// The code without comments, contents of strings and tests; empty if it is no code of ours.
    pub fn production(&self) -> &str {
        &self.production
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}
