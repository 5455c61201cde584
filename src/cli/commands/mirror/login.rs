//! `mirror login`: the permission to use a folder of Google Drive, given by a person in a browser.

use std::{
    ffi::OsStr,
    io::{BufRead, Read, stdin},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    backend::gdrive::{
        About, Account, Http, OAuthClient, Patience, device,
        sign_in::{self, ELSEWHERE, Loopback, Started},
    },
    cli::{
        ExitCode,
        args::MirrorLoginArgs,
        context::{Context, state_root},
        error::Error,
        mirrors,
        output::Tone,
        run::{Done, unrecorded},
        text,
    },
    config::{DriveFolder, Place},
    setup::{Keeping, endpoints},
};

/// How long we wait for a person in front of a browser.
const PERSON: Duration = Duration::from_secs(5 * 60);
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

pub fn run(context: &Context, args: &MirrorLoginArgs) -> Result<Done, Error> {
    let config = context.config()?;
    // Where everything is lost but the account, there is no mirror yet, only a place.
    let place = Place::parse(OsStr::new(&args.name), &context.variables);
    if let Ok(place @ Place::Drive(folder)) = &place {
        let state_root = state_root(&config, place);
        return unrecorded(context, |_| {
            let keeping = context.machine.keeping_of_folder(folder, &state_root)?;
            connect(context, (folder, &keeping), args)
        });
    }
    let mirror = mirrors::named(&config, &args.name)?;
    let Place::Drive(folder) = &mirror.place else {
        return Err(Error::Usage {
            message: format!(
                "`{}` is of kind `{}`, which needs no sign-in",
                mirror.name,
                mirror.place.kind()
            ),
            help: "its keys are read from the file that credentials_file names",
        });
    };
    unrecorded(context, |observer| {
        let repository = context.open(&config, observer)?;
        let keeping = context.machine.keeping_of_mirror(&repository, &mirror.name);
        context.output.hide_progress();
        connect(context, (folder, &keeping), args)
    })
}

fn connect(
    context: &Context,
    (folder, keeping): (&DriveFolder, &Keeping),
    args: &MirrorLoginArgs,
) -> Result<Done, Error> {
    let client = context.machine.oauth_client(folder)?;
    let place = format!("gdrive:{}", folder.folder);
    let http = Http::new(&place, Patience::default())?;
    let how = match (args.device, args.no_browser) {
        (true, _) => sign_in_by_code,
        (false, true) => sign_in_elsewhere,
        (false, false) => sign_in_here,
    };
    let account = how(context, (&client, folder), &http)?;
    let about = context.machine.connect(folder, keeping, account)?;
    tell(context, &args.name, &about);
    Ok(Done::new(ExitCode::Done)
        .figure("account", about.account.clone())
        .figure("limit_bytes", about.limit_bytes)
        .figure("usage_bytes", about.usage_bytes))
}

/// By a browser of this machine.
fn sign_in_here(
    context: &Context,
    (client, folder): (&OAuthClient, &DriveFolder),
    http: &Http,
) -> Result<Account, Error> {
    let loopback = Loopback::bind().map_err(|source| crate::backend::Error::Unreachable {
        place: "the loopback address of this machine".to_owned(),
        source,
    })?;
    let endpoints = endpoints(folder);
    let started = sign_in::begin(client, &endpoints, &loopback.redirect(), http.place())?;
    context.output.message("Open this address in a browser of this machine, and say yes there:");
    context.output.message(&started.url);
    open_browser(&started);
    let answer = loopback.wait(&started, &*context.machine.clock, PERSON, http.place())?;
    Ok(started.finish(http, &endpoints, &answer)?)
}

/// By a browser of another machine, whose address line comes back by hand.
fn sign_in_elsewhere(
    context: &Context,
    (client, folder): (&OAuthClient, &DriveFolder),
    http: &Http,
) -> Result<Account, Error> {
    let endpoints = endpoints(folder);
    let started = sign_in::begin(client, &endpoints, ELSEWHERE, http.place())?;
    let output = &context.output;
    output.message("Open this address in any browser, and say yes there:");
    output.message(&started.url);
    output
        .message("The browser then shows a page that cannot be reached. That is as it should be:");
    output.prompt("copy the address of that page and paste it here: ");
    let mut answer = String::new();
    // Nothing that was read is no address, and refused as such.
    let _read = stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    output.end_prompt();
    Ok(started.finish(http, &endpoints, &answer)?)
}

/// By a short code that somebody types on a telephone.
fn sign_in_by_code(
    context: &Context,
    (client, folder): (&OAuthClient, &DriveFolder),
    http: &Http,
) -> Result<Account, Error> {
    let endpoints = endpoints(folder);
    let code = device::begin(client, &endpoints, http)?;
    let output = &context.output;
    output.message("Open this address on a telephone or any other machine:");
    output.message(&text::printable(code.address.as_bytes()));
    output
        .message(&format!("and type this code there:  {}", text::printable(code.code.as_bytes())));
    Ok(code.wait(&endpoints, http, &*context.machine.clock)?)
}

/// Where there is none to open, the address is on the screen.
fn open_browser(started: &Started) {
    let _child = Command::new("xdg-open")
        .arg(&started.url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

fn tell(context: &Context, name: &str, about: &About) {
    let output = &context.output;
    let good = output.mark(Tone::Good);
    let account = text::printable(about.account.as_bytes());
    let used = text::bytes(about.usage_bytes);
    let quota = match about.limit_bytes {
        Some(limit) => format!("{used} of {} used", text::bytes(limit)),
        None => format!("{used} used, without limit"),
    };
    output.remark(&format!("{good} {name} is connected as {account}; {quota}"));
    output.remark(&format!("Next  stillpoint mirror sync {name}"));
}
