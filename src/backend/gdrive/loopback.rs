//! The little web server that a browser of this machine is sent to at the end of a sign-in.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use reqwest::Url;

use super::sign_in::{Started, declined};
use crate::{backend::Error, clock::Clock};

const POLL: Duration = Duration::from_millis(50);
/// A local program that connects and says nothing must not hold up the browser for long.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_BYTES_MAX: usize = 16 * 1024;

const DONE: &str = "<!doctype html><meta charset=utf-8><title>Stillpoint</title>\
    <p>Done. You can close this window and go back to the terminal.";
const NOT_HERE: &str = "<!doctype html><title>Stillpoint</title><p>Nothing here.";

/// Listens on the loopback address, on a port that was free.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Begins to listen.
    pub fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where the browser is to be sent.
    pub fn redirect(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Waits for the browser and returns the address it asked for; then nobody listens any more.
    ///
    /// # Errors
    /// [`SetUp::Declined`](crate::backend::SetUp::Declined) if it did not come in time.
    pub fn wait(
        self,
        started: &Started,
        clock: &dyn Clock,
        patience: Duration,
        place: &str,
    ) -> Result<String, Error> {
        let start = clock.elapsed();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // Whoever breaks off is not the browser we wait for.
                    if let Ok(Some(answer)) = self.converse(stream, started) {
                        return Ok(answer);
                    }
                }
                Err(_) if clock.elapsed().saturating_sub(start) < patience => clock.sleep(POLL),
                Err(_) => return Err(declined(place, "nobody signed in in time".to_owned())),
            }
        }
    }

    fn converse(&self, mut stream: TcpStream, started: &Started) -> io::Result<Option<String>> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        let path = request_path(&mut stream)?;
        let url = Url::parse(&self.redirect()).and_then(|base| base.join(&path));
        let answer = url.ok().filter(|url| url.path() == "/" && started.is_answered_by(url));
        let (status, page) = match answer {
            Some(_) => ("200 OK", DONE),
            None => ("404 Not Found", NOT_HERE),
        };
        let length = page.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{page}"
        )?;
        Ok(answer.map(Url::into))
    }
}

/// Reads the head of a request and returns what a GET asks for.
fn request_path(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&piece[..read]),
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
