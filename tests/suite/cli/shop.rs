//! A small shop on disk, and the real program to run on it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

/// A database, some files, and a repository that is opened by a key file.
pub struct Shop {
    pub folder: tempfile::TempDir,
}

/// What the program printed, and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Shop {
    /// A shop without a repository.
    pub fn closed() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        shop.sell(100);
        shop.write("uploads/a.txt", "first");
        shop.write("uploads/sub/b.txt", "second");
        shop
    }

    /// A shop with an empty repository.
    pub fn open() -> Self {
        let shop = Self::closed();
        let ran = shop.run(["init", "--new-key-file", shop.path("key").to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sells: adds rows to the database.
    pub fn sell(&self, count: u32) {
        let database = rusqlite::Connection::open(self.path("pos.db")).unwrap();
        database
            .execute_batch("CREATE TABLE IF NOT EXISTS sales (id INTEGER PRIMARY KEY, what TEXT)")
            .unwrap();
        for number in 0..count {
            let _ = database
                .execute("INSERT INTO sales (what) VALUES (?1)", [format!("paint {number}")])
                .unwrap();
        }
    }

    /// Changes the database.
    pub fn on_pos(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.path("pos.db")).unwrap();
        database.execute_batch(sql).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Flips a bit in the middle of every file of a folder.
    #[expect(clippy::disallowed_methods, reason = "harm is done with plain files")]
    pub fn flip_all(&self, folder: &str) {
        for entry in std::fs::read_dir(self.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "scratch files")]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The program in an environment of its own.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stillpoint"));
        let _ = command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("STILLPOINT_PATIENCE", "1")
            .env("STILLPOINT_REPO", self.path("repository"))
            .env("STILLPOINT_STATE_DIR", self.path("state"))
            .env("STILLPOINT_KEY_FILE", self.path("key"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Backs the whole shop up.
    pub fn back_up(&self, more: &[&str]) -> Ran {
        let sets = [
            "backup".to_owned(),
            "--sqlite".to_owned(),
            format!("pos={}", self.path("pos.db").display()),
            "--files".to_owned(),
            format!("uploads={}", self.path("uploads").display()),
        ];
        self.run(sets.into_iter().chain(more.iter().map(|&word| word.to_owned())))
    }

    /// Runs a command until it is refused because another run is in the way: that one may not have
    /// come so far yet.
    pub fn until_in_use(&self, arguments: &[&str]) -> Ran {
        loop {
            // A run that is not refused waits for the database, as the first one does.
            let mut child = self.command(arguments).spawn().unwrap();
            for _ in 0..1000 {
                if child.try_wait().unwrap().is_some() {
                    return child.wait_with_output().unwrap().into();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            child.kill().unwrap();
            let _ = child.wait().unwrap();
        }
    }

    /// Runs a list command and returns its data.
    pub fn data(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments.iter().copied().chain(["--json"]));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        ran.data()
    }

    /// The same, however it ended.
    pub fn data_of(&self, arguments: &[&str]) -> Value {
        self.run(arguments.iter().copied().chain(["--json"])).data()
    }
}

impl Ran {
    /// The data of a list command.
    fn data(&self) -> Value {
        let mut object: Value = serde_json::from_str(&self.out).unwrap();
        object["data"].take()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The last line of a long command's JSON.
    pub fn summary(&self) -> Value {
        let last: Value = serde_json::from_str(self.out.lines().last().unwrap()).unwrap();
        assert_eq!(last["type"], "summary", "{}", self.out);
        last
    }
}

/// Whether a folder holds the files with these contents.
pub fn holds(folder: &Path, files: &[(&str, &str)]) -> bool {
    files.iter().all(|(name, text)| {
        std::fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text)
    })
}
