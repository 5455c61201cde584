//! Processes that kill themselves: the test program runs itself again, with a plan to die by.
//!
//! The child runs [`child`], the one test that does nothing unless it is told to.

use std::{env, os::unix::process::ExitStatusExt, path::Path, process::Command};

use stillpoint::disk::Uninterrupted;

use super::{
    Tally,
    faulty_disk::{Class, FaultyDisk, Kind, NOTHING_TO_TEAR, Plan, Times},
    in_parallel,
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

/// Has the work die at each of its durable steps, before it and with half of its bytes written, in
/// a copy of the vault of its own. `look` gets the number of the death, two for each step, and what
/// it left.
pub fn at_every_step(
    work: Work,
    (before, shop): (&Vault, &Shop),
    steps: u64,
    tally: &Tally,
    look: impl Fn(usize, &Vault) + Sync,
) {
    in_parallel(usize::try_from(steps).unwrap() * 2, |piece| {
        let kind = if piece % 2 == 0 { Kind::Kill } else { Kind::Tear };
        let vault = before.copied();
        match run(work, &vault, shop, (piece as u64 / 2 + 1, kind)) {
            End::Killed => {
                look(piece, &vault);
                tally.add(format!("{work:?} {kind:?}"), 1);
            }
            End::NothingToTear | End::Finished(Ok(())) => {}
            End::Finished(Err(why)) => panic!("{work:?} failed without a fault: {why}"),
        }
    });
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
