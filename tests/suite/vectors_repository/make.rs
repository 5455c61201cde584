//! Makes the repository and `expected.json`, with the program and from the sources.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{KEY_FILE, PASSPHRASE, sources::Sources, vectors};

const ABOUT: &str = "What is in the repository beside this file, and what opens it. README.md says \
    how to read it.";

struct Maker {
    folder: PathBuf,
    sources: Sources,
    snapshots: Vec<Value>,
}

impl Maker {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Runs the program and returns what it printed.
    fn run(&self, words: &[&str]) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_stillpoint"))
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("TZ", "UTC")
            .env("STILLPOINT_CONFIG", self.folder.join("stillpoint.toml"))
            .env("STILLPOINT_REPO", vectors().join("repository"))
            .env("STILLPOINT_STATE_DIR", self.folder.join("state"))
            .env("STILLPOINT_KEY_FILE", self.folder.join("key"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Backs parts up and writes down what they are. Returns the snapshot's id.
    fn back_up(&mut self, parts: &[&str], more: &[&str]) -> String {
        let content: serde_json::Map<String, Value> =
            parts.iter().map(|part| ((*part).to_owned(), self.sources.describe(part))).collect();
        let printed = self.run(&[&["backup", "--json"][..], parts, more].concat());
        let summary: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
        let id = summary["snapshot_id"].as_str().unwrap().to_owned();
        let full = more.contains(&"--full");
        self.snapshots.push(json!({
            "id": id,
            "storage": if full { "full" } else { "incremental" },
            "pinned": false,
            "forgotten": false,
            "parts": content,
        }));
        id
    }

    fn forget(&mut self, id: &str) {
        let _ = self.run(&["forget", id, "--reason", "for the vectors"]);
        for snapshot in self.snapshots.iter_mut().filter(|snapshot| snapshot["id"] == *id) {
            snapshot["forgotten"] = json!(true);
        }
    }

    /// Snapshots, two epochs of keys, a prune that moved chunks, a pin and a forget marker.
    fn make(&mut self) {
        let all = ["pos", "stock", "empty", "files", "links", "config"];
        let _ = self.back_up(&all, &[]);
        self.sources.sell(1);
        let _ = self.back_up(&["pos"], &[]);
        self.sources.sell(2);
        self.sources.on("stock", "UPDATE paint SET colour = 'Blau' WHERE id % 9 = 1");
        let gone = self.back_up(&["pos", "stock"], &[]);
        self.sources.sell(3);
        let _ = self.back_up(&["pos"], &[]);
        let _ = self.run(&["key", "rotate"]);
        self.sources.sell(4);
        self.sources.tidy_up();
        let daily = ["pos", "stock", "files", "config"];
        let _ = self.back_up(&daily, &["--name", "a day later", "--note", "after the prune"]);
        self.forget(&gone);
        let _ = self.run(&["prune", "--max-unused", "0%"]);
        self.snapshots.retain(|snapshot| snapshot["id"] != *gone);
        self.sources.sell(5);
        let pinned = self.back_up(&["pos", "stock"], &["--tag", "kept", "--by", "ada"]);
        let _ = self.run(&["pin", &pinned, "--reason", "for the vectors"]);
        self.snapshots.last_mut().unwrap()["pinned"] = json!(true);
        self.sources.sell(6);
        let full = self.back_up(&daily, &["--full"]);
        for hour in 7..12 {
            self.sources.sell(hour);
            let _ = self.back_up(&["pos"], &[]);
        }
        self.forget(&full);
    }

    fn expected(&self, recovery: &str) -> Value {
        json!({
            "about": ABOUT,
            "passphrase": PASSPHRASE,
            "key file": KEY_FILE,
            "recovery key": recovery,
            "snapshots": self.snapshots,
        })
    }
}

/// The line of groups in a recovery sheet.
fn groups_of(sheet: &str) -> String {
    let mut lines = sheet.lines().map(str::trim);
    let _ = lines.find(|line| *line == "Recovery key");
    let groups: Vec<&str> = lines.take(4).flat_map(str::split_whitespace).collect();
    assert_eq!(groups.len(), 8, "{sheet}");
    groups.join("-")
}

#[test]
#[ignore = "writes format-spec/vectors/repository and expected.json"]
fn make_vectors_repository() {
    let scratch = tempfile::Builder::new().prefix("shop").tempdir().unwrap();
    let folder = scratch.path().to_owned();
    let sources = Sources::create(folder.join("shop"));
    let _ = fs::remove_dir_all(vectors().join("repository"));
    fs::write(folder.join("stillpoint.toml"), sources.config()).unwrap();
    fs::write(folder.join("key"), format!("{KEY_FILE}\n")).unwrap();
    fs::write(folder.join("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    let mut maker = Maker { folder, sources, snapshots: Vec::new() };

    let _ = maker.run(&[
        "init",
        "--parity",
        "10%",
        "--key-file",
        &maker.path("key"),
        "--password-file",
        &maker.path("passphrase"),
    ]);
    let recovery = groups_of(&maker.run(&["key", "recovery"]));
    maker.make();

    let text = serde_json::to_string_pretty(&maker.expected(&recovery)).unwrap() + "\n";
    fs::write(vectors().join("expected.json"), text).unwrap();
}
