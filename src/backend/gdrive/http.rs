//! One HTTP request and its whole answer, nothing of Drive.
//!
//! No redirects: after a 308 with a `Location` a client that follows sends the body again and
//! again. No retries: those are decided in one layer, around the backend. Addresses stay out of
//! errors, because that of an upload session is a key to it.

use std::{error::Error as StdError, io, time::Duration};

use reqwest::{
    Client, Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::runtime::{Builder, Runtime};

use crate::backend::Error;

/// How long we wait before we take a connection for stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For an answer to something small.
    pub answer: Duration,
    /// And a second more for each so many bytes.
    pub bytes_per_second_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Duration::from_secs(60), bytes_per_second_min: 16 * 1024 }
    }
}

impl Patience {
    fn for_bytes(self, bytes: u64) -> Duration {
        self.answer
            + Duration::from_secs(bytes)
                / u32::try_from(self.bytes_per_second_min.max(1)).unwrap_or(u32::MAX)
    }
}

/// The longest answer that is taken in, and how much of that is expected to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub bytes_max: u64,
    pub bytes_expected: u64,
}

/// Sends requests, from any number of threads.
#[derive(Debug)]
pub struct Http {
    client: Client,
    runtime: Runtime,
    patience: Patience,
    place: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: bytes::Bytes,
}

/// What came back, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: bytes::Bytes::new() }
    }

    /// Adds a header whose value is ours and therefore fit for one.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("headers of ours hold visible ASCII only");
        let _ = self.headers.insert(name, value);
        self
    }

    pub fn body(mut self, body: impl Into<bytes::Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

impl Http {
    /// Starts the client.
    pub fn new(place: &str, patience: Patience) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("drive")
            .enable_all()
            .build()
            .map_err(|source| unreachable(place, source))?;
        let client = Client::builder()
            .user_agent(concat!("stillpoint/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(patience.answer)
            .build()
            .map_err(|error| unreachable(place, io::Error::other(error)))?;
        Ok(Self { client, runtime, patience, place: place.to_owned() })
    }

    /// Sends the request and takes in the answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if nobody was there; [`Error::Io`] if the connection broke, in which
    /// case the request may have been carried out.
    pub fn send(
        &self,
        action: &'static str,
        request: Request,
        room: Room,
    ) -> Result<Answer, Error> {
        let bytes = room.bytes_expected.saturating_add(request.body.len() as u64);
        let patience = self.patience.for_bytes(bytes);
        let exchange = async {
            let sent = self
                .client
                .request(request.method, request.url)
                .headers(request.headers)
                .timeout(patience)
                .body(request.body)
                .send()
                .await?;
            read_whole(sent, room.bytes_max).await
        };
        self.runtime.block_on(exchange).map_err(|broken| self.broken(action, broken))
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    fn broken(&self, action: &'static str, broken: Broken) -> Error {
        match broken {
            Broken::Transport(error) if error.is_connect() => {
                unreachable(&self.place, plain(&error))
            }
            Broken::Transport(error) => Error::Io {
                action,
                what: "the answer".to_owned(),
                place: self.place.clone(),
                source: plain(&error),
            },
            Broken::TooLong => Error::BadAnswer {
                place: self.place.clone(),
                why: "it is longer than what was asked for".to_owned(),
            },
        }
    }
}

enum Broken {
    Transport(reqwest::Error),
    TooLong,
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

async fn read_whole(mut sent: reqwest::Response, bytes_max: u64) -> Result<Answer, Broken> {
    let (status, headers) = (sent.status().as_u16(), std::mem::take(sent.headers_mut()));
    let mut body = Vec::new();
    while let Some(piece) = sent.chunk().await? {
        if (body.len() + piece.len()) as u64 > bytes_max {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, headers, body })
}

/// The innermost words of a transport error, without the address.
fn plain(error: &reqwest::Error) -> io::Error {
    let kind = match () {
        () if error.is_timeout() => io::ErrorKind::TimedOut,
        () if error.is_connect() => io::ErrorKind::NotConnected,
        () => io::ErrorKind::ConnectionAborted,
    };
    let mut innermost = error.source();
    while let Some(below) = innermost.and_then(StdError::source) {
        innermost = Some(below);
    }
    match innermost {
        Some(cause) => io::Error::new(kind, cause.to_string()),
        None => kind.into(),
    }
}

fn unreachable(place: &str, source: io::Error) -> Error {
    Error::Unreachable { place: place.to_owned(), source }
}
