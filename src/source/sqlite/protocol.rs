//! What a backup and its capture process say to each other: lines of JSON over a socket.
//!
//! The page key travels here and nowhere else: arguments and environment are public. The pages do
//! not: they go into the spool, which the backup made and the child inherits.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{limits::MIB, source::sqlite::facts::Facts};

/// A schema is the longest thing that is said.
const MESSAGE_BYTES_MAX: usize = 16 * MIB;

/// From the backup to its capture process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Open the database and begin a read transaction.
    Begin(Request),
    /// Read it.
    Go,
}

/// What to capture, and how.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Request {
    /// Absolute, without links.
    pub path: Vec<u8>,
    pub page_key: [u8; 32],
    /// Page size and count of the image whose page hashes lie in the spool; zero: there are none.
    pub older_page_bytes: u32,
    pub older_page_count: u32,
    /// How long to wait for a lock.
    pub busy_ms: u64,
    /// How long to keep others from writing.
    pub hold_ms: u64,
    /// How long to count rows.
    pub count_ms: u64,
    /// Read through the backup API even where pages can be read one by one.
    pub use_backup_api: bool,
    /// A query whose first value is wanted too.
    pub question: Option<String>,
    /// Where an unnamed copy may lie if the backup API is used.
    pub scratch: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

/// From the capture process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The read transaction has begun.
    Ready,
    /// Everything is in the spool.
    Done(Box<Outcome>),
    Failed(Failure),
}

/// What was captured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub page_bytes: u32,
    pub page_count: u32,
    pub changed_count: u32,
    pub by_backup_api: bool,
    pub facts: Facts,
    /// What the question was answered, or why not.
    pub answer: Option<Result<String, String>>,
    /// The first thing that is wrong with the database.
    pub damage: Option<String>,
}

/// Why nothing was captured.
#[derive(Debug, Serialize, Deserialize)]
pub enum Failure {
    NotADatabase,
    Locked,
    HeldTooLong,
    NoAccess(String),
    Sqlite(String),
    Spool {
        os_error: Option<i32>,
        why: String,
    },
    TooOld(String),
    /// The other side is gone: there is nobody to tell.
    Abandoned,
}

/// One end of the socket.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    /// Received, but not yet a whole line.
    pending: Vec<u8>,
}

impl Link {
    pub const fn new(stream: UnixStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    pub fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = Zeroizing::new(serde_json::to_vec(message)?);
        line.push(b'\n');
        self.stream.write_all(&line)
    }

    /// Waits for a message; nothing if the other side is gone.
    ///
    /// # Errors
    /// `WouldBlock` if the stream's time for reading ran out. Nothing is lost; call again.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=searched + end).collect();
                let message = serde_json::from_slice(&line);
                line.zeroize();
                return Ok(Some(message?));
            }
            searched = self.pending.len();
            if searched > MESSAGE_BYTES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut buffer = Zeroizing::new([0; 4096]);
            match self.stream.read(&mut *buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => self.pending.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the other side, from which nothing more is expected, is gone; does not wait.
    pub fn is_abandoned(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let answer = (&self.stream).read(&mut [0]);
        let is_waiting = matches!(&answer, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_err() || !is_waiting
    }
}
