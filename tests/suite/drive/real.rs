//! The same on a real account, for whoever has one to spare:
//!
//!     STILLPOINT_LIVE_DRIVE=account.json scripts/test --ignored --nocapture on_a_real_account
//!
//! The file holds `client_id`, `client_secret` and `refresh_token`. What only Google can tell is
//! printed: how soon a listing shows what was written, and how a taken id is refused. What is left
//! is one folder, which may be deleted.

use std::{sync::Arc, time::Duration};

use stillpoint::{
    backend::{
        Backend, Folder, conformance,
        gdrive::{
            Account, Deletion, GDriveBackend, OAuthClient, Options, PIECE_BYTES, Site,
            account::SCOPE,
        },
    },
    clock::{Clock, Entropy, SystemClock, SystemEntropy},
    disk::RealDisk,
};

use super::{noise, pack};

fn account() -> Account {
    let path = std::env::var("STILLPOINT_LIVE_DRIVE").expect("STILLPOINT_LIVE_DRIVE names a file");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |key: &str| json[key].as_str().unwrap().to_owned();
    let client = OAuthClient { id: text("client_id"), secret: text("client_secret") };
    Account::new(client, SCOPE.to_owned(), text("refresh_token"))
}

#[test]
#[ignore = "needs an account at Google, and writes to it"]
fn on_a_real_account_all_holds_that_holds_on_loopback() {
    let clock = SystemClock;
    let name = SystemEntropy.bytes32()[..4].iter().map(|b| format!("{b:02x}")).collect::<String>();
    let site = |state: &tempfile::TempDir| Site {
        folder: format!("stillpoint live test {name}"),
        state: state.path().to_owned(),
        account: account(),
        keep: Box::new(|_| Ok(())),
        disk: Arc::new(RealDisk),
        clock: Arc::new(clock),
        options: Options { deletion: Deletion::ForGood, ..Options::default() },
    };
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backend = GDriveBackend::create(site(&here)).unwrap();
    println!("{:?}", backend.about().unwrap());
    println!("proven: {:?}", backend.prove().unwrap());

    let start = clock.elapsed();
    let large = noise(1, PIECE_BYTES as usize * 2 + 1);
    backend.put_new(&pack(0xa1), &[&large]).unwrap();
    println!("{} bytes in three pieces: {:?}", large.len(), clock.elapsed() - start);
    let start = clock.elapsed();
    let other = GDriveBackend::open(site(&elsewhere)).unwrap();
    while !other.list(Folder::Packs).unwrap().objects.iter().any(|o| o.name == pack(0xa1)) {
        clock.sleep(Duration::from_millis(500));
    }
    println!("another machine sees it after {:?}", clock.elapsed() - start);
    assert!(other.get(&pack(0xa1), u64::MAX).unwrap() == large);
    backend.delete(&pack(0xa1)).unwrap();

    conformance::check(&backend);
    println!("the contract holds");
}
