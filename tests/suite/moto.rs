//! Buckets by a second S3 server that nobody here wrote: `moto`, of another make than the one that
//! all other tests use. It checks no signatures and no checksums that come with a request, so what
//! is proven here is only that we do not speak to one server's habits.

use std::{path::Path, process::Command, sync::Arc};

use stillpoint::{
    backend::{
        Backend, ObjectName, conformance,
        store::{Account, ProcessJournal, Provider, StoreBackend},
    },
    clock::SystemEntropy,
    id::PackId,
};

use crate::{
    harness::{
        self,
        judge::{Companion, has, tools},
        s3::{BUCKET, CREDENTIALS},
    },
    shop::pseudo_random,
};

fn start() -> Option<Companion> {
    let python = tools().join("moto/bin/python");
    has("moto", python.exists()).then(|| {
        let script = harness::source("tests/suite").join("moto_server.py");
        Companion::start(Command::new(python).arg(script).arg(BUCKET))
    })
}

/// A place of its own in the bucket.
fn open(moto: &Companion, folder: &Path, prefix: &str) -> StoreBackend {
    let credentials = folder.join("credentials");
    std::fs::write(&credentials, CREDENTIALS).unwrap();
    let account = Account {
        provider: Provider::S3,
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: Some(moto.line.clone()),
        region: None,
        name: None,
        credentials_file: Some(credentials),
        profile: None,
        place: format!("s3:{BUCKET}/{prefix}"),
    };
    let journal = Arc::new(ProcessJournal::default());
    StoreBackend::new(&account, Arc::new(SystemEntropy), journal).unwrap()
}

#[test]
fn a_bucket_of_another_make_keeps_the_contract() {
    let Some(moto) = start() else { return };
    let folder = tempfile::tempdir().unwrap();

    conformance::check(&open(&moto, folder.path(), "contract"));

    let new = open(&moto, folder.path(), "new");
    let capabilities = new.prove().unwrap();
    assert!(capabilities.strong_listing);
    println!("moto: conditional create: {}", capabilities.conditional_create);
}

#[test]
fn a_bucket_of_another_make_takes_large_objects_in_parts() {
    let Some(moto) = start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&moto, folder.path(), "parts");
    let (name, content) = (ObjectName::Pack(PackId([3; 32])), pseudo_random(3, 20_000_001));

    let receipt = backend.upload(&name, &[&content]).unwrap();

    assert!(receipt.remote_id.ends_with("-3"), "{}", receipt.remote_id);
    assert!(backend.get(&name, 1 << 30).unwrap() == content);
    assert_eq!(backend.verify(&name, &[&content]).unwrap(), receipt);
    let middle = 8_000_000..9_000_001;
    let read = backend.get_range(&name, middle.start as u64..middle.end as u64).unwrap();
    assert!(read == content[middle]);
}
