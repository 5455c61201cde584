//! What is in folders and databases, as `expected.json` says it.
//!
//! It looks at files on disk and knows nothing of repositories, so that what went in and what came
//! out are described by the same few lines.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::scene::is_root;

/// Describes a database: the bytes of its file, which has nothing beside it.
pub fn database(file: &Path) -> Value {
    let bytes = fs::read(file).unwrap();
    json!({ "kind": "database", "bytes": bytes.len(), "blake3": blake3::hash(&bytes).to_string() })
}

/// Describes a folder, its root first, then all entries in the order of their paths.
///
/// `is_chosen` leaves out entries directly below the root.
pub fn tree(root: &Path, is_chosen: impl Fn(&OsStr) -> bool) -> Value {
    let mut paths = vec![root.to_owned()];
    let mut ahead = vec![root.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if folder == root && !is_chosen(&entry.file_name()) {
                continue;
            }
            paths.push(entry.path());
            if entry.file_type().unwrap().is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let mut names = BTreeMap::new();
    let entries: Vec<Value> = paths.iter().map(|path| entry(root, path, &mut names)).collect();
    json!({ "kind": "tree", "entries": entries })
}

fn entry(root: &Path, path: &Path, names: &mut BTreeMap<(u64, u64), Value>) -> Value {
    let stat = fs::symlink_metadata(path).unwrap();
    let kind = stat.file_type();
    let shown = text(path.strip_prefix(root).unwrap().as_os_str().as_bytes());
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| drop(said.insert(name.to_owned(), value));
    say("path", shown.clone());
    say("mode", json!(format!("{:04o}", stat.mode() & 0o7777)));
    say("owner", json!([stat.uid(), stat.gid()]));
    say("modified", json!([stat.mtime(), stat.mtime_nsec()]));
    let what = if kind.is_dir() {
        "folder"
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        let target = target.as_os_str().as_bytes();
        say("blake3", json!(blake3::hash(target).to_string()));
        if target.len() < 100 {
            say("target", text(target));
        }
        "link"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else {
        assert!(kind.is_file(), "{}", path.display());
        say("bytes", json!(stat.len()));
        say("blake3", json!(blake3::hash(&fs::read(path).unwrap()).to_string()));
        if stat.blocks() * 512 < stat.len() {
            say("sparse", json!(true));
        }
        if stat.nlink() > 1 {
            let first = names.entry((stat.dev(), stat.ino())).or_insert(shown);
            say("one file with", first.clone());
        }
        "file"
    };
    if kind.is_file() || kind.is_dir() {
        let xattrs = xattrs(path);
        if !xattrs.is_empty() {
            say("xattrs", Value::Object(xattrs));
        }
    }
    say("kind", json!(what));
    Value::Object(said)
}

/// UTF-8 as it is, other bytes as hexadecimal digits.
fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": crate::vectors::hex(bytes) }),
    }
}

fn xattrs(path: &Path) -> Map<String, Value> {
    let mut names = [0; 4096];
    let length = rustix::fs::listxattr(path, &mut names).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0);
    let users = names.filter(|name| name.starts_with(b"user."));
    users
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            (name, json!(crate::vectors::hex(&value[..length])))
        })
        .collect()
}

/// Describes what a restore left in the target: a folder or a database for each part.
pub fn restored(target: &Path) -> Value {
    let mut parts = Map::new();
    for entry in fs::read_dir(target).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = PathBuf::from(entry.file_name());
        let (name, part) = match path.is_dir() {
            true => (name, tree(&path, |_| true)),
            false => (name.with_extension(""), database(&path)),
        };
        let _ = parts.insert(name.to_str().unwrap().to_owned(), part);
    }
    Value::Object(parts)
}

/// What of the expected parts can be there after a restore by this user on this file system.
pub fn restorable(mut parts: Value, on: &Path) -> Value {
    let with_xattrs = rustix::fs::setxattr(on, "user.x", b"x", rustix::fs::XattrFlags::empty());
    let _ = rustix::fs::removexattr(on, "user.x");
    for (_, part) in parts.as_object_mut().unwrap() {
        let Some(entries) = part.get_mut("entries") else { continue };
        let entries = entries.as_array_mut().unwrap();
        // Only its program can make a socket.
        entries.retain(|entry| entry["kind"] != "socket");
        for entry in entries.iter_mut().map(|entry| entry.as_object_mut().unwrap()) {
            if !is_root() {
                let _ = entry.insert("owner".to_owned(), json!([euid(), egid()]));
            }
            if with_xattrs.is_err() {
                let _ = entry.remove("xattrs");
            }
        }
    }
    parts
}

fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn egid() -> u32 {
    rustix::process::getegid().as_raw()
}
