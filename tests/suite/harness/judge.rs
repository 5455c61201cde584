//! Programs that the tests are judged by, which nobody here wrote. `scripts/setup` installs them;
//! without them such tests say so and pass, unless `STILLPOINT_NEED_TOOLS` is set, as it is in
//! `scripts/test`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where they are installed.
pub fn tools() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    std::env::var("STILLPOINT_TOOLS")
        .map_or_else(|_| Path::new(&home).join(".cache/stillpoint/tools"), PathBuf::from)
}

/// Whether the tool is there; if it must be, its absence is a failure.
pub fn has(what: &str, is_there: bool) -> bool {
    if !is_there {
        let needed = std::env::var("STILLPOINT_NEED_TOOLS").is_ok();
        assert!(!needed, "{what} is missing: run scripts/setup");
        println!("not done: {what} is missing (scripts/setup installs it)");
    }
    is_there
}

/// A program that prints a line when it is ready, and ends when its input does.
pub struct Companion {
    child: Child,
    pub line: String,
}

impl Companion {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{command:?} ended before it was ready");
        Self { child, line: line.trim().to_owned() }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
