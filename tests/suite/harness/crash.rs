//! Processes that kill themselves: the test program runs itself again, with a plan to die by.
//!
//! The child runs [`child`], the one test that does nothing unless it is told to.

use std::{env, os::unix::process::ExitStatusExt, path::Path, process::Command};

use stillpoint::disk::Uninterrupted;

use super::{
    faulty_disk::{Class, FaultyDisk, Kind, NOTHING_TO_TEAR, Plan, Times},
    vault::Vault,
    work::{Whole, Work},
};
use crate::shop::Shop;

const WORK: &str = "STILLPOINT_TEST_CRASH_WORK";
const VAULT: &str = "STILLPOINT_TEST_CRASH_VAULT";
const SHOP: &str = "STILLPOINT_TEST_CRASH_SHOP";
const CALL: &str = "STILLPOINT_TEST_CRASH_CALL";
const TORN: &str = "STILLPOINT_TEST_CRASH_TORN";

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At the planned step.
    Killed,
    /// The planned step writes no bytes that could be torn.
    NothingToTear,
    /// It had fewer steps, and ended with this.
    Finished(Result<(), String>),
}

/// Runs the work in a process that dies at the durable step of this number.
pub fn run(work: Work, vault: &Vault, shop: &Shop, (call, kind): (u64, Kind)) -> End {
    let mut command = Command::new(env::current_exe().unwrap());
    let _ = command
        .args(["--exact", "harness::crash::child", "--nocapture", "--test-threads=1"])
        .env(WORK, format!("{work:?}"))
        .env(VAULT, vault.path())
        .env(SHOP, shop.path())
        .env(CALL, call.to_string())
        .env(TORN, (kind == Kind::Tear).to_string());
    let output = command.output().unwrap();
    match (output.status.code(), output.status.signal()) {
        (_, Some(9)) => End::Killed,
        (Some(NOTHING_TO_TEAR), _) => End::NothingToTear,
        (Some(0), _) => End::Finished(Ok(())),
        _ => End::Finished(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// Does nothing, except in a process that [`run`] started.
#[test]
fn child() {
    let Some(work) = told(WORK) else { return };
    let told = |name| told(name).expect("the parent tells it all");
    let kind = if told(TORN) == "true" { Kind::Tear } else { Kind::Kill };
    let call = told(CALL).parse().unwrap();
    let plan = Plan { class: Class::Write, call, kind, times: Times::Once };
    let vault = Vault::at(Path::new(&told(VAULT)));
    let shop = Shop::at(Path::new(&told(SHOP)));

    let done = Work::named(&work).run(Uninterrupted(FaultyDisk::new(plan)), &vault, &shop);

    assert_eq!(done, Ok(Whole::Yes));
}

#[expect(clippy::disallowed_methods, reason = "how a test process is told its part")]
fn told(name: &str) -> Option<String> {
    env::var(name).ok()
}
