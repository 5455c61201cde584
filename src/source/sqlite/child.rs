//! The capture process: captures one database and ends.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
    process::ExitCode,
    time::Duration,
};

use crate::{
    clock::{Clock, SystemClock},
    source::sqlite::{
        facts::Facts,
        open::{begin, failure, open},
        protocol::{Failure, Link, Order, Outcome, Reply, Request},
        reading::{Reading, Watch},
    },
};

/// Captures the database that the process at the other end of standard input asks for.
///
/// Standard input is the socket of the protocol, standard output the spool. For the hidden
/// subcommand that [`Capture`](super::Capture) starts; prints nothing.
pub fn run_child() -> ExitCode {
    match inherited().and_then(|(link, spool)| serve(link, &spool)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn inherited() -> io::Result<(Link, File)> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Refuses what is no socket, should a person start this by hand.
    let _ = stream.peer_addr()?;
    Ok((Link::new(stream), File::from(io::stdout().as_fd().try_clone_to_owned()?)))
}

fn serve(mut link: Link, spool: &File) -> io::Result<()> {
    let Some(Order::Begin(request)) = link.receive()? else { return Ok(()) };
    let reply = match capture(&request, &mut link, spool) {
        Ok(outcome) => Reply::Done(Box::new(outcome)),
        Err(Failure::Abandoned) => return Ok(()),
        Err(failure) => Reply::Failed(failure),
    };
    link.send(&reply)
}

fn capture(request: &Request, link: &mut Link, spool: &File) -> Result<Outcome, Failure> {
    let path = Path::new(OsStr::from_bytes(&request.path));
    let stat = rustix::fs::stat(path).map_err(|error| Failure::NoAccess(error.to_string()))?;
    if stat.st_size == 0 {
        // There is nothing to read, and SQLite would delete what lies beside an empty database.
        wait_for_go(link)?;
        return Ok(empty());
    }
    let connection = open(path, Duration::from_millis(request.busy_ms))?;
    let damage = begin(&connection)?;
    let begun = SystemClock.elapsed();
    wait_for_go(link)?;
    let reading = Reading { request, spool, connection: &connection };
    let outcome = reading.read(Watch { link, begun, hold: None }, damage);
    // Closed before anything is told: whoever hears of it finds the folder as it was before.
    let closed = connection.close().map_err(|(_, error)| failure(error));
    let outcome = outcome?;
    closed.map(|()| outcome)
}

fn empty() -> Outcome {
    Outcome {
        page_bytes: 0,
        page_count: 0,
        changed_count: 0,
        by_backup_api: false,
        facts: Facts::from_header(None),
        answer: None,
        damage: None,
    }
}

fn wait_for_go(link: &mut Link) -> Result<(), Failure> {
    link.send(&Reply::Ready).map_err(|_| Failure::Abandoned)?;
    match link.receive() {
        Ok(Some(Order::Go)) => Ok(()),
        _ => Err(Failure::Abandoned),
    }
}
