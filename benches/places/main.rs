//! Two places elsewhere behind a slow line, for `scripts/bench --only remote`: an S3 store, and the
//! Google Drive of the tests.
//!
//!     cargo bench --bench places [-- BYTES_PER_SECOND ROUND_TRIP_MS]
//!
//! Prints where they are, straight and by the line, as JSON; then, for each line of its standard
//! input, what went by and what was asked since the one before. Ends with its input.

#![expect(clippy::print_stdout, reason = "says where it is and what it counted")]

#[expect(clippy::unwrap_used, dead_code, reason = "written for tests; this serves from it")]
#[path = "../../tests/suite/fake_drive/mod.rs"]
mod fake_drive;
mod line;
#[expect(clippy::unwrap_used, reason = "written for tests; this serves from it")]
#[path = "../../tests/suite/harness/s3.rs"]
mod s3;

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use fake_drive::FakeDrive;
use line::Line;
use s3::S3Server;

/// 200 Mbit/s.
const BYTES_PER_SECOND: u64 = 25_000_000;
const ROUND_TRIP_MS: u64 = 50;
/// So many requests are told one by one.
const TOLD_MAX: usize = 60;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let rate = numbers.first().copied().unwrap_or(BYTES_PER_SECOND);
    let round_trip = Duration::from_millis(numbers.get(1).copied().unwrap_or(ROUND_TRIP_MS));
    let (store, drive) = (S3Server::start(), FakeDrive::start());
    let far = [address(&store.url()), address(&drive.base())];
    let line = Line::start(&far, rate, round_trip);
    let [s3_by_line, drive_by_line] = [0, 1].map(|at| format!("http://{}", line.near(at)));
    // Sessions are named by where they are reached.
    drive.is_called(&drive_by_line);
    println!(
        "{}",
        json!({
            "s3": s3_by_line,
            "s3_straight": store.url(),
            "bucket": s3::BUCKET,
            "credentials": s3::CREDENTIALS,
            "drive": drive_by_line,
            "drive_straight": drive.base(),
            "client_secret": fake_drive::CLIENT_SECRET,
        })
    );
    for _ in std::io::stdin().lines() {
        println!("{}", told(&store, &drive, &line));
    }
}

/// What was counted since the last time.
fn told(store: &S3Server, drive: &FakeDrive, line: &Line) -> Value {
    let (up_bytes, down_bytes) = line.take_bytes();
    let asked: Vec<String> = store
        .requests()
        .iter()
        .map(|seen| format!("{} {} {} {}", seen.verb, seen.path, seen.sent, seen.returned))
        .chain(drive.log().iter().map(|logged| format!("{} {}", logged.what, logged.body_bytes)))
        .collect();
    store.forget();
    drive.plan(None);
    json!({
        "requests": asked.len(),
        "up_bytes": up_bytes,
        "down_bytes": down_bytes,
        "asked": if asked.len() <= TOLD_MAX { asked } else { Vec::new() },
    })
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("a server that was just started says where")
}
