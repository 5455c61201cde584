//! Signing in: with a browser here, with one elsewhere, with a code on a telephone; and all that a
//! person may do wrong.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use stillpoint::{
    backend::{
        Backend, Error, SetUp,
        gdrive::{
            Account, Endpoints, GDriveBackend, Http, OAuthClient, Patience, Site, device, sign_in,
        },
    },
    clock::SystemClock,
};

use super::{PROJECT, QuickClock, Scene, pack};
use crate::fake_drive::CLIENT_SECRET;

fn client() -> OAuthClient {
    let id = format!("{PROJECT}-desktop.apps.googleusercontent.com");
    OAuthClient { id, secret: CLIENT_SECRET.to_owned() }
}

fn http() -> Http {
    let answer = Duration::from_secs(120);
    Http::new("drive", Patience { answer, ..Patience::default() }).unwrap()
}

/// Asks for a page; returns where it sends us, if it does.
pub fn browse(url: &str) -> Option<String> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // A server may keep the connection; the head is enough.
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    })
}

/// Signs in as somebody does whose browser is on another machine.
fn sign_in(scene: &Scene, client: &OAuthClient) -> Result<Account, Error> {
    let endpoints = Endpoints::below(&scene.fake.base());
    let started = sign_in::begin(client, &endpoints, sign_in::ELSEWHERE, "drive")?;
    let address = browse(&started.url).unwrap();
    started.finish(&http(), &endpoints, &address)
}

#[test]
fn a_browser_of_this_machine_ends_the_sign_in_by_itself() {
    let scene = Scene::new();
    let endpoints = Endpoints::below(&scene.fake.base());
    let loopback = sign_in::Loopback::bind().unwrap();
    let redirect = loopback.redirect();
    let started = sign_in::begin(&client(), &endpoints, &redirect, "drive").unwrap();
    let consent = started.url.clone();
    let browser = std::thread::spawn(move || {
        // What browsers and other programs ask for besides does not count.
        let _icon = browse(&format!("{redirect}favicon.ico"));
        let _planted = browse(&format!("{redirect}?code=4/planted&state=guessed"));
        let _done = browse(&browse(&consent).unwrap());
    });

    let patience = Duration::from_secs(120);
    let answer = loopback.wait(&started, &SystemClock, patience, "drive").unwrap();
    let account = started.finish(&http(), &endpoints, &answer).unwrap();

    browser.join().unwrap();
    let site = Site { account, ..scene.site(scene.state.path()) };
    let backend = GDriveBackend::create(site).unwrap();
    backend.put_new(&pack(1), &[b"signed in"]).unwrap();
}

#[test]
fn nobody_at_the_browser_ends_the_wait() {
    let endpoints = Endpoints::google();
    let loopback = sign_in::Loopback::bind().unwrap();
    let started = sign_in::begin(&client(), &endpoints, &loopback.redirect(), "drive").unwrap();

    let patience = Duration::from_secs(300);
    let error = loopback.wait(&started, &QuickClock::default(), patience, "drive").unwrap_err();

    assert!(matches!(error, Error::SetUp { why: SetUp::Declined { .. }, .. }), "{error:?}");
}

#[test]
fn an_address_from_another_machines_browser_is_as_good() {
    let scene = Scene::new();

    let account = sign_in(&scene, &client()).unwrap();

    let site = Site { account, ..scene.site(scene.state.path()) };
    assert_eq!(GDriveBackend::create(site).unwrap().about().unwrap().account, "maria@example.com");
}

#[test]
fn all_that_a_person_may_do_wrong_is_told() {
    let scene = Scene::new();
    let consent = |consent: Option<&str>| {
        scene.fake.turn(|knobs| knobs.consent = consent.map(str::to_owned));
    };
    let why = |client: &OAuthClient| match sign_in(&scene, client) {
        Err(Error::SetUp { why, .. }) => why,
        other => panic!("{other:?}"),
    };

    consent(None);
    assert!(matches!(why(&client()), SetUp::Declined { .. }));
    consent(Some("openid"));
    assert!(matches!(why(&client()), SetUp::Permission { .. }));
    consent(Some("openid https://www.googleapis.com/auth/drive.file"));
    let wrong = OAuthClient { id: client().id.clone(), secret: "guessed".to_owned() };
    assert!(matches!(why(&wrong), SetUp::Client { .. }));
    assert!(sign_in(&scene, &client()).is_ok());
}

#[test]
fn a_code_is_good_once() {
    let scene = Scene::new();
    let endpoints = Endpoints::below(&scene.fake.base());
    let begin = || sign_in::begin(&client(), &endpoints, sign_in::ELSEWHERE, "drive").unwrap();
    let (first, second) = (begin(), begin());
    let address = browse(&first.url).unwrap();
    let code = address.split("code=").nth(1).unwrap().to_owned();
    let _account = first.finish(&http(), &endpoints, &address).unwrap();

    let error = second.finish(&http(), &endpoints, &code).unwrap_err();

    assert!(matches!(error, Error::SetUp { why: SetUp::Declined { .. }, .. }), "{error:?}");
}

#[test]
fn a_code_on_a_telephone_signs_in_a_machine_without_a_browser() {
    let scene = Scene::new();
    let endpoints = Endpoints::below(&scene.fake.base());
    let begin = || device::begin(&client(), &endpoints, &http()).unwrap();

    let code = begin();

    assert_eq!(code.code, "GQVQ-JKEC");
    assert_eq!(code.address, "https://www.google.com/device");
    let account = code.wait(&endpoints, &http(), &QuickClock::default()).unwrap();
    assert!(GDriveBackend::create(Site { account, ..scene.site(scene.state.path()) }).is_ok());
    let code = begin();
    scene.fake.turn(|knobs| knobs.consent = None);
    let error = code.wait(&endpoints, &http(), &QuickClock::default()).unwrap_err();
    assert!(matches!(error, Error::SetUp { why: SetUp::Declined { .. }, .. }), "{error:?}");
}

#[test]
fn a_refresh_token_that_changes_is_kept_before_it_is_needed() {
    let scene = Scene::new();
    drop(scene.create());
    scene.fake.turn(|knobs| knobs.changes_refresh_tokens = true);
    let kept: Arc<Mutex<Option<Account>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let keep = Box::new(move |account: &Account| {
        *keeper.lock().unwrap() = Some(account.clone());
        Ok(())
    });
    let backend = GDriveBackend::open(Site { keep, ..scene.site(scene.state.path()) }).unwrap();
    let _about = backend.about().unwrap();
    drop(backend);

    // The first one is worth nothing any more.
    let old = scene.open().unwrap().about().unwrap_err();
    assert!(matches!(old, Error::SignIn { .. }), "{old:?}");
    let account = kept.lock().unwrap().clone().unwrap();
    let site = Site { account, ..scene.site(scene.state.path()) };
    assert!(GDriveBackend::open(site).unwrap().about().is_ok());
}
