//! The real program with a mirror on Drive: sign in, send, lose everything here, and come back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use serde_json::Value;

use super::{FOLDER, PROJECT, sign_in::browse};
use crate::{
    cli::shop::{Ran, Shop, holds},
    fake_drive::{CLIENT_SECRET, FakeDrive},
};

/// A shop, and an account at Google.
struct Scene {
    shop: Shop,
    fake: FakeDrive,
}

impl Scene {
    fn open() -> Self {
        let (shop, fake) = (Shop::open(), FakeDrive::start());
        shop.write("client.json", &client_file(PROJECT));
        Self { shop, fake }
    }

    fn client(&self) -> String {
        self.shop.path("client.json").display().to_string()
    }

    fn place(&self) -> String {
        format!("gdrive:{FOLDER}?client_secret={}&endpoint={}", self.client(), self.fake.base())
    }

    fn add(&self) -> Ran {
        let how = ["mirror", "add", "drive", "--kind", "gdrive", "--folder", FOLDER];
        let (client, endpoint) = (self.client(), self.fake.base());
        let through = ["--client-secret-file", &client, "--endpoint", &endpoint];
        self.shop.run(how.iter().chain(&through))
    }

    /// Signs in as somebody does whose browser is on another machine.
    fn log_in(&self, name: &str, on: &str) -> Ran {
        let mut command = self.shop.command(["mirror", "login", name, "--no-browser"]);
        let _ = command.env("STILLPOINT_STATE_DIR", self.shop.path(on)).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut err = String::new();
        let address = loop {
            let mut line = String::new();
            if told.read_line(&mut line).unwrap() == 0 {
                break None;
            }
            err.push_str(&line);
            if line.starts_with("http") {
                break browse(line.trim());
            }
        };
        if let Some(address) = address {
            writeln!(child.stdin.take().unwrap(), "{address}").unwrap();
        }
        let _ = told.read_to_string(&mut err).unwrap();
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        Ran { code: output.status.code(), out, err }
    }

    /// On another machine, which has nothing but the key and the client file.
    fn elsewhere(&self, arguments: &[&str]) -> Ran {
        let mut command = self.shop.command(arguments);
        let _ = command
            .env("STILLPOINT_REPO", self.place())
            .env("STILLPOINT_STATE_DIR", self.shop.path("elsewhere"));
        command.output().unwrap().into()
    }
}

fn client_file(project: &str) -> String {
    format!(
        r#"{{"installed": {{"client_id": "{project}-desktop.apps.googleusercontent.com",
            "client_secret": "{CLIENT_SECRET}"}}}}"#
    )
}

fn done(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn a_shop_comes_back_from_its_drive_alone() {
    let scene = Scene::open();
    done(&scene.add());
    done(&scene.log_in("drive", "state"));
    let backup = scene.shop.back_up(&["--json"]);
    done(&backup);
    assert_eq!(backup.summary()["mirrors"][0]["state"], "complete", "{}", backup.out);

    let target = scene.shop.path("target");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap(), "--verify"];
    let unknown = scene.elsewhere(&restore);
    assert_eq!(unknown.code, Some(4), "{}", unknown.err);
    done(&scene.log_in(&scene.place(), "elsewhere"));
    done(&scene.elsewhere(&restore));
    done(&scene.elsewhere(&["check", "--read-data"]));

    assert!(holds(&target, &[("uploads/a.txt", "first"), ("uploads/sub/b.txt", "second")]));
}

#[test]
fn a_code_on_a_telephone_connects_a_machine_without_a_browser() {
    let scene = Scene::open();
    done(&scene.add());
    // Whoever waits for a person waits for seconds; this person is quick.
    scene.fake.turn(|knobs| knobs.device_waits = 0);

    let login = scene.shop.run(["mirror", "login", "drive", "--device"]);

    done(&login);
    for told in ["https://www.google.com/device", "GQVQ-JKEC", "connected as"] {
        let all = login.out.clone() + &login.err;
        assert!(all.contains(told), "{told}: {all}");
    }
    done(&scene.shop.back_up(&[]));
    let both = scene.shop.run(["mirror", "login", "drive", "--device", "--no-browser"]);
    assert_eq!(both.code, Some(2), "{}", both.err);
}

#[test]
fn an_hour_of_the_shop_costs_at_most_eight_requests() {
    let scene = Scene::open();
    done(&scene.add());
    done(&scene.log_in("drive", "state"));
    done(&scene.shop.back_up(&[]));
    let mut counts = Vec::new();
    for _ in 0..3 {
        scene.shop.sell(20);
        scene.fake.plan(None);
        done(&scene.shop.back_up(&[]));
        counts.push(scene.fake.log().len());
    }

    println!("requests of three hourly runs of the program: {counts:?}");
    assert!(counts.iter().all(|count| *count <= 8), "{counts:?}");
}

#[test]
fn a_permission_that_ended_costs_a_sign_in_and_nothing_else() {
    let scene = Scene::open();
    done(&scene.add());
    done(&scene.log_in("drive", "state"));
    scene.fake.store().refresh.clear();
    scene.fake.store().bearers.clear();

    let refused = scene.shop.back_up(&["--json"]);

    assert_eq!(refused.code, Some(3), "{}", refused.err);
    let mirror: &Value = &refused.summary()["mirrors"][0];
    assert_eq!((&mirror["state"], &mirror["code"]), (&"waiting".into(), &"SP0402".into()));
    done(&scene.log_in("drive", "state"));
    done(&scene.shop.run(["mirror", "sync"]));
}

#[test]
fn a_full_account_keeps_the_backup_here_and_is_told() {
    let scene = Scene::open();
    done(&scene.add());
    done(&scene.log_in("drive", "state"));
    done(&scene.shop.back_up(&[]));
    scene.fake.turn(|knobs| knobs.quota_bytes = Some(1));
    scene.shop.sell(9);

    let full = scene.shop.back_up(&["--json"]);

    assert_eq!(full.code, Some(3), "{}", full.err);
    let mirror = &full.summary()["mirrors"][0];
    assert_eq!((&mirror["state"], &mirror["code"]), (&"waiting".into(), &"SP0403".into()));
    assert!(full.out.contains("keep fewer snapshots there"), "{}", full.out);
    scene.fake.turn(|knobs| knobs.quota_bytes = None);
    done(&scene.shop.run(["mirror", "sync"]));
}

#[test]
fn a_client_of_another_project_is_refused_and_the_sign_in_before_is_kept() {
    let scene = Scene::open();
    done(&scene.add());
    done(&scene.log_in("drive", "state"));
    scene.shop.write("client.json", &client_file("815"));

    let refused = scene.log_in("drive", "state");

    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("SP0412"), "{}", refused.err);
    done(&scene.shop.back_up(&[]));
}

#[test]
fn no_secret_is_printed_logged_or_left_readable() {
    let scene = Scene::open();
    done(&scene.add());
    let login = scene.log_in("drive", "state");
    let backup = scene.shop.back_up(&["-vv"]);
    let refresh: Vec<String> = scene.fake.store().refresh.keys().cloned().collect();
    let bearers: Vec<String> = scene.fake.store().bearers.keys().cloned().collect();
    let secrets: Vec<&str> =
        refresh.iter().chain(&bearers).map(String::as_str).chain([CLIENT_SECRET]).collect();
    assert!(secrets.len() >= 3);

    for secret in secrets {
        for text in [&login.out, &login.err, &backup.out, &backup.err] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_absent(&scene.shop.path("state"), secret);
    }
}

fn assert_absent(folder: &std::path::Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_absent(&path, secret);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let secret = secret.as_bytes();
            let is_there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!is_there, "a secret lies in {}", path.display());
        }
    }
}
