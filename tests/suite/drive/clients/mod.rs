//! The Drive of our tests, judged by clients that nobody here wrote; and our sign-in, by a server
//! that nobody here wrote. `scripts/setup` installs them; without them these tests say so and pass,
//! unless `STILLPOINT_NEED_TOOLS` is set, as it is in `scripts/test`.

use std::{path::PathBuf, process::Command, time::Duration};

use stillpoint::backend::{
    Error,
    gdrive::{Endpoints, Http, OAuthClient, Patience, sign_in},
};

use super::{PROJECT, noise, sign_in::browse};
use crate::{
    fake_drive::{CLIENT_SECRET, FakeDrive, Fault, When},
    harness::{
        self,
        judge::{Companion, has, tools},
    },
};

fn script(name: &str) -> PathBuf {
    harness::source("tests/suite/drive/clients").join(name)
}

/// Runs it to its end, which must be a good one; returns what it printed.
fn run(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

#[test]
fn googles_python_client_finds_all_as_it_expects() {
    let python = tools().join("google/bin/python");
    if !has("Google's Python client", python.exists()) {
        return;
    }
    // Its second piece meets a fault, which it must get round as it does round Google's.
    for fault in [Fault::LowerRange, Fault::Unavailable, Fault::MovedSession] {
        let fake = FakeDrive::start();
        let refresh = fake.sign_in(PROJECT);
        // A stale token, its renewal, the folder, ids, the session, the first piece.
        fake.plan(Some((When::Once(7), fault)));

        let printed =
            run(Command::new(&python).arg(script("google_client.py")).args([fake.base(), refresh]));

        assert_eq!(fake.injected(), 1, "{:?}", fake.log());
        println!("{fault:?}: {}", printed.trim());
    }
}

#[test]
fn rclone_finds_all_as_it_expects() {
    let is_there = Command::new("rclone").arg("version").output().is_ok();
    if !has("rclone", is_there) {
        return;
    }
    let fake = FakeDrive::start();
    fake.is_called("https://www.googleapis.com");
    let refresh = fake.sign_in(PROJECT);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _certificate = run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=loopback", "-addext"])
        .arg("subjectAltName=DNS:www.googleapis.com,DNS:oauth2.googleapis.com")
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("cert.pem")));
    let port = fake.base().rsplit(':').next().unwrap().to_owned();
    let proxy = Companion::start(
        Command::new("python3")
            .arg(script("tls_proxy.py"))
            .args([path("cert.pem"), path("key.pem")])
            .arg(port),
    );
    let configuration = format!(
        "[gd]\ntype = drive\nclient_id = {PROJECT}-desktop.apps.googleusercontent.com\n\
         client_secret = {CLIENT_SECRET}\nscope = drive.file\nroot_folder_id = root0\n\
         token = {{\"access_token\":\"stale\",\"token_type\":\"Bearer\",\
         \"refresh_token\":\"{refresh}\",\"expiry\":\"2020-01-01T00:00:00Z\"}}\n"
    );
    std::fs::write(path("rclone.conf"), configuration).unwrap();
    std::fs::create_dir(path("source")).unwrap();
    std::fs::write(path("source/large"), noise(1, 3 * 1024 * 1024 + 5)).unwrap();
    std::fs::write(path("source/small"), noise(2, 1000)).unwrap();
    let rclone = |arguments: &[&str]| {
        run(Command::new("rclone")
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.line))
            .arg("--ca-cert")
            .arg(path("cert.pem"))
            .arg("--config")
            .arg(path("rclone.conf"))
            .args(["--drive-chunk-size", "1Mi", "--drive-upload-cutoff", "1Mi"])
            .args(["--drive-pacer-min-sleep", "1ms", "--retries", "1"])
            .args(arguments))
    };
    let source = path("source").display().to_string();

    let _copied = rclone(&["copy", &source, "gd:bk"]);
    let _compared = rclone(&["check", "--download", &source, "gd:bk"]);
    let sums = rclone(&["md5sum", "gd:bk"]);
    let _deleted = rclone(&["deletefile", "--drive-use-trash=false", "gd:bk/small"]);

    assert_eq!(sums.lines().count(), 2, "{sums}");
    assert_eq!(rclone(&["lsf", "gd:bk"]).trim(), "large");
    let pieces = fake.log().iter().filter(|request| request.what == "PUT session").count();
    println!("rclone: {} requests, {pieces} pieces", fake.log().len());
    assert!(pieces >= 4, "{pieces} pieces");
}

#[test]
fn a_foreign_oauth_server_signs_us_in_and_out() {
    let modules = tools().join("oauth/node_modules");
    if !has("oauth2-mock-server", modules.join("oauth2-mock-server").exists()) {
        return;
    }
    let server = Companion::start(
        Command::new("node").arg(script("oauth_server.js")).env("NODE_PATH", &modules),
    );
    let base = &server.line;
    let endpoints = Endpoints {
        consent: format!("{base}/authorize"),
        token: format!("{base}/token"),
        ..Endpoints::below(base)
    };
    let client = OAuthClient { id: "42-x".to_owned(), secret: "s".to_owned() };
    let patience = Patience { answer: Duration::from_secs(120), ..Patience::default() };
    let http = Http::new("drive", patience).unwrap();
    let begin = || sign_in::begin(&client, &endpoints, sign_in::ELSEWHERE, "drive").unwrap();

    let started = begin();
    let address = browse(&started.url).unwrap();
    let account = started.finish(&http, &endpoints, &address).unwrap();

    assert_eq!(account.client, client);
    // A code of one sign-in is worth nothing in another: the verifier differs.
    let (one, other) = (begin(), begin());
    let code = browse(&one.url).unwrap();
    let code = code.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let error = other.finish(&http, &endpoints, code).unwrap_err();
    assert!(matches!(error, Error::SetUp { .. } | Error::BadAnswer { .. }), "{error:?}");
}
