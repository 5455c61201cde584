//! The complete tiny repository of `format-spec/vectors/`, which every version must restore.
//!
//! It was made once, by the ignored test below, and is a fixture from then on: keys and ids are
//! random, so making it anew gives another one, as right as this.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use stillpoint::{
    backend::local::LocalBackend,
    crypto::secret::Credential,
    disk::RealDisk,
    format::record::Storage,
    ops::{backup, event::Silent},
    repo::{
        Repository,
        check::{self, Depth},
    },
};

use crate::{
    harness,
    shop::{self, Content, Shop},
};

const PASSPHRASE: &str = "correct horse battery staple";
const KEY_FILE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn folder() -> PathBuf {
    harness::source("format-spec/vectors")
}

fn credentials() -> [Credential; 2] {
    [
        Credential::from_passphrase_file(PASSPHRASE.as_bytes().to_vec()),
        Credential::from_key_file(KEY_FILE.as_bytes()).unwrap(),
    ]
}

/// What a snapshot must restore to, a line for each entry of the tree and row of the database.
fn describe(moment: u64, content: &Content) -> String {
    let mut text = format!("\nsnapshot {moment}\n");
    for (name, value) in content {
        // Mode, time and content; the time would only be noise here.
        let mut words = value.splitn(3, ' ');
        let value = match (name.starts_with("sale "), words.next(), words.nth(1)) {
            (false, Some(mode), Some(what)) => format!("{mode} {what}"),
            _ => value.clone(),
        };
        writeln!(text, "  {name}: {value}").unwrap();
    }
    text
}

#[test]
fn the_repository_of_the_spec_restores_with_either_credential() {
    let expected = fs::read_to_string(folder().join("repository.txt")).unwrap();
    for credential in credentials() {
        let state = tempfile::tempdir().unwrap();
        let repo = open(&folder().join("repository"), state.path(), &credential);

        let snapshots = repo.snapshots().unwrap().snapshots;

        assert_eq!(snapshots.len(), 3);
        for snapshot in &snapshots {
            let (content, is_complete) = shop::restore(&repo, snapshot).unwrap();
            assert!(is_complete);
            let described = describe(snapshot.record.counter, &content);
            assert!(expected.contains(&described), "{described}");
        }
        check::run(&repo, Depth::Data, &mut |event| {
            assert!(event.is_progress(), "{event:?}");
        })
        .unwrap();
    }
}

fn open(path: &Path, state: &Path, credential: &Credential) -> Repository {
    let disk = Arc::new(RealDisk);
    let backend = LocalBackend::open(disk.clone(), path).unwrap();
    Repository::open(shop::environment(Arc::new(backend), disk, state), credential).unwrap()
}

#[test]
#[ignore = "writes format-spec/vectors/repository"]
fn make_vectors_repository() {
    let path = folder().join("repository");
    let _ = fs::remove_dir_all(&path);
    let state = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let backend = LocalBackend::create(disk.clone(), &path).unwrap();
    let env = shop::environment(Arc::new(backend), disk, state.path());
    let slots = credentials().map(|credential| (credential, "vector".to_owned()));
    let repo = Repository::create(env, &slots).unwrap();
    let shop = Shop::open();
    let mut text = format!(
        "passphrase  {PASSPHRASE}\nkey file    {KEY_FILE}\n\n\
         Three snapshots, numbered by the counter of their writer, of two parts: the tree `files`\n\
         and the database `pos` (pages of 512 bytes). Below: for each entry of the tree its mode\n\
         with the file type, in octal, and the BLAKE3 of its content, or its target; for each row\n\
         of the table `sale` its id, item and paid. Times are in the nodes.\n"
    );
    for moment in 1..=3 {
        shop.sell(moment * 4);
        let report = backup::run(&repo, &shop.request(Storage::Incremental), &Silent).unwrap();
        assert!(report.is_complete());
        text += &describe(moment as u64, &shop.content());
    }
    fs::write(folder().join("repository.txt"), text).unwrap();
}
