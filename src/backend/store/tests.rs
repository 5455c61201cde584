use std::io::Write;

use super::*;
use crate::{
    backend::conformance,
    clock::SystemEntropy,
    id::{PackId, SnapshotId},
};

#[path = "../../../tests/suite/harness/s3.rs"]
mod s3;

use s3::{BUCKET, Fault, S3Server};

/// A store of its own, opened by the keys of a file.
struct Fixture {
    server: S3Server,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { server: S3Server::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn account(&self) -> Account {
        let path = self.folder.path().join("credentials");
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        file.write_all(s3::CREDENTIALS.as_bytes()).unwrap();
        drop(file.persist(&path).unwrap());
        Account {
            provider: Provider::S3,
            bucket: BUCKET.to_owned(),
            prefix: "shops/1".to_owned(),
            endpoint: Some(self.server.url()),
            region: None,
            name: None,
            credentials_file: Some(path),
            profile: None,
            place: format!("s3:{BUCKET}"),
        }
    }

    fn open(&self) -> StoreBackend {
        self.open_as(&self.account())
    }

    fn open_as(&self, account: &Account) -> StoreBackend {
        let journal = Arc::new(ProcessJournal::default());
        StoreBackend::new(account, Arc::new(SystemEntropy), journal).unwrap()
    }
}

const PACK: ObjectName = ObjectName::Pack(PackId([3; 32]));

/// Four parts and a bit.
fn large() -> Vec<u8> {
    (0..upload::PART_BYTES * 4 + 77).map(|at| (at * 31 % 253) as u8).collect()
}

#[test]
fn a_bucket_keeps_the_contract() {
    conformance::check(&Fixture::new().open());
}

#[test]
fn a_bucket_that_knows_no_conditions_keeps_it_as_far_as_looking_goes() {
    let fixture = Fixture::new();
    let backend = fixture.open();
    backend.look_before_writing();
    backend.put_new(&PACK, &[b"one"]).unwrap();

    let refused = backend.put_new(&PACK, &[b"two"]);

    assert!(matches!(refused, Err(Error::Exists { .. })));
    assert!(!backend.capabilities().conditional_create);
}

#[test]
fn a_new_place_is_proven_and_left_as_it_was_found() {
    let fixture = Fixture::new();

    let capabilities = fixture.open().prove().unwrap();

    assert!(capabilities.conditional_create && capabilities.strong_listing);
    assert_eq!(fixture.server.keys(), Vec::<String>::new());
}

#[test]
fn a_place_that_gives_back_something_else_does_not_pass() {
    let fixture = Fixture::new();
    fixture.server.fail_at(2, Fault::FlippedBit);

    assert!(matches!(fixture.open().prove(), Err(Error::Unproven { .. })));
}

#[test]
fn a_large_object_goes_up_in_parts_and_comes_back_whole() {
    let fixture = Fixture::new();
    let (backend, content) = (fixture.open(), large());
    let (head, tail) = content.split_at(1_000_001);

    let receipt = backend.upload(&PACK, &[head, tail]).unwrap();

    assert!(receipt.remote_id.ends_with("-5"), "{}", receipt.remote_id);
    assert_eq!(backend.get(&PACK, 1 << 30).unwrap(), content);
    assert_eq!(backend.verify(&PACK, &[&content]).unwrap(), receipt);
    assert!(matches!(backend.put_new(&PACK, &[&content]), Err(Error::Exists { .. })));
}

#[test]
fn an_upload_that_was_cut_goes_on_with_the_two_parts_it_was_at() {
    let (fixture, content) = (Fixture::new(), large());
    let backend = fixture.open();
    // A look, the beginning, two parts that are answered, and one of the next two.
    fixture.server.fail_at(6, Fault::ResetBefore);
    assert!(backend.put_new(&PACK, &[&content]).unwrap_err().is_retryable());
    fixture.server.forget();

    backend.put_new(&PACK, &[&content]).unwrap();

    let sent: u64 = fixture.server.requests().iter().map(|request| request.sent).sum();
    assert!(sent < upload::PART_BYTES * 2 + 5000, "{sent} bytes were sent again");
    assert_eq!(backend.get(&PACK, 1 << 30).unwrap(), content);
}

#[test]
fn an_upload_that_the_store_has_forgotten_begins_anew() {
    let (fixture, content) = (Fixture::new(), large());
    let backend = fixture.open();
    fixture.server.fail_at(4, Fault::ResetBefore);
    let _ = backend.put_new(&PACK, &[&content]).unwrap_err();
    fixture.server.fail_at(2, Fault::Status(404, "NoSuchUpload"));

    backend.put_new(&PACK, &[&content]).unwrap();

    assert_eq!(backend.get(&PACK, 1 << 30).unwrap(), content);
}

#[test]
fn a_wrong_tag_is_settled_by_reading_what_was_stored() {
    let fixture = Fixture::new();
    let backend = fixture.open();
    fixture.server.fail_at(1, Fault::WrongTag);

    let receipt = backend.upload(&PACK, &[b"content"]).unwrap();

    assert_eq!(receipt.bytes, 7);
}

#[test]
fn objects_of_others_are_foreign_and_never_ours() {
    let fixture = Fixture::new();
    let backend = fixture.open();
    let pending = ObjectName::Pending(SnapshotId([1; 32]));
    backend.put_new(&pending, &[b"x"]).unwrap();
    fixture.server.put("shops/1/packs/readme.txt", b"hello");
    fixture.server.put("shops/2/packs/other", b"hello");
    fixture.server.put("shops/1/canary/left", b"hello");

    let all = backend.list_all().unwrap();

    let (objects, foreign): (Vec<_>, Vec<_>) =
        all.iter().map(|(_, listing)| (listing.objects.len(), listing.foreign.len())).unzip();
    assert_eq!((objects.iter().sum::<usize>(), foreign.iter().sum::<usize>()), (1, 1));
    assert_eq!(backend.list(Folder::Packs).unwrap().foreign, ["readme.txt"]);
}

#[test]
fn a_wrong_bucket_a_wrong_key_and_no_server_are_told_apart() {
    let fixture = Fixture::new();
    let list = |account: Account| fixture.open_as(&account).list(Folder::Packs).unwrap_err();

    let no_bucket = list(Account { bucket: "elsewhere".to_owned(), ..fixture.account() });
    let profile = Some("wrong".to_owned());
    let wrong_key = list(Account { profile, ..fixture.account() });
    let endpoint = Some("http://127.0.0.1:9".to_owned());
    let no_server = list(Account { endpoint, ..fixture.account() });
    let endpoint = Some("http://no.such.host.invalid".to_owned());
    let no_name = list(Account { endpoint, ..fixture.account() });

    assert!(matches!(no_bucket, Error::WrongPlace { .. }), "{no_bucket:?}");
    assert!(matches!(wrong_key, Error::SignIn { .. }), "{wrong_key:?}");
    assert!(matches!(no_server, Error::Unreachable { .. }), "{no_server:?}");
    assert!(matches!(no_name, Error::Unreachable { .. }), "{no_name:?}");
}
