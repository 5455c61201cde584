//! One upload, from wherever it stands: in one request if it is small, else in pieces through a
//! session that outlives us.
//!
//! The store alone says how far it got. A connection that broke, a token that ended or a process
//! that died all lead to the same next step: ask, and go on from the answer. Nothing is repeated
//! here but that step; waiting and trying again belong to the layer around the backend, which
//! calls again with the same content and finds the journal.

use reqwest::{
    Method, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName},
};
use serde_json::Value;

use super::{
    answer::{Class, No},
    content::Content,
    drive::{Drive, success},
    http::{Answer, Request},
    journal::{Entry, Journal},
    local::Local,
    remote::{FIELDS, Remote, object_metadata},
};
use crate::backend::{Error, ObjectName, layer::pace::UploadLimit};

/// Pieces but the last are multiples of this.
const UNIT_BYTES: u64 = 256 * 1024;
/// After a cut at most so much is sent again.
pub const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// Up to this size one request does it all; Drive advises so up to 5 MB.
pub const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const _: () = assert!(PIECE_BYTES.is_multiple_of(UNIT_BYTES));
const _: () = assert!(WHOLE_BYTES_MAX <= PIECE_BYTES);

/// How many sessions one call begins; each may be lost to us.
const SESSIONS_MAX: usize = 3;
/// Answers in a row after which nothing more was stored.
const IDLE_ANSWERS_MAX: usize = 4;
const BOUNDARY: &str = "stillpoint-7f3d09a1c6e84b52";
const JSON: &str = "application/json; charset=UTF-8";

/// How an upload ended that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// The store has a file under our id; whether it is the right one is to be checked.
    Stored(Box<Remote>),
    /// The id is of no use; another is to be taken.
    IdRefused,
    /// The shelf takes no more.
    ShelfFull,
    /// There is no such shelf any more.
    ShelfGone,
}

/// How content is cut into requests.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// A multiple of 256 KiB.
    pub piece_bytes: u64,
    pub whole_bytes_max: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { piece_bytes: PIECE_BYTES, whole_bytes_max: WHOLE_BYTES_MAX }
    }
}

/// Sends content that has its entry in the journal.
pub struct Upload<'a> {
    pub drive: &'a Drive,
    pub local: &'a Local,
    pub journal: &'a Journal,
    pub name: &'a ObjectName,
    pub content: &'a Content<'a>,
    pub sizes: Sizes,
    pub limit: Option<&'a UploadLimit>,
}

/// Whether an entry was just made, or left by an attempt whose end is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Now,
    Earlier,
}

/// Where a session stands.
enum Position {
    None,
    /// Only the store knows.
    Unknown,
    At(u64),
    /// The store has all of it, and gave up the session or its answer was lost.
    Gone,
    Ended(Outcome),
}

/// What bounds the steps of one call.
#[derive(Default)]
struct Patience {
    sessions: usize,
    idle: usize,
    tokens: usize,
}

impl Upload<'_> {
    /// Brings the upload to its end.
    pub fn run(&self, entry: &mut Entry, begun: Begun) -> Result<Outcome, Error> {
        if self.content.bytes() <= self.sizes.whole_bytes_max {
            if begun == Begun::Earlier
                && let Some(remote) = self.drive.file(&entry.id)?
            {
                return Ok(Outcome::Stored(Box::new(remote)));
            }
            return self.send_whole(entry);
        }
        self.send_in_pieces(entry, begun)
    }

    fn send_whole(&self, entry: &Entry) -> Result<Outcome, Error> {
        let metadata = object_metadata(&entry.id, &entry.parent, self.name);
        let whole = self.content.piece(0..self.content.bytes());
        self.pay(whole.len() as u64);
        match success(send_whole(self.drive, &metadata, &whole)?) {
            Ok(answer) => self.stored(entry, &answer),
            Err(no) => self.refused(entry, no),
        }
    }

    fn send_in_pieces(&self, entry: &mut Entry, begun: Begun) -> Result<Outcome, Error> {
        let mut patience = Patience::default();
        let mut position = match (&entry.session, begun) {
            (Some(_), _) => Position::Unknown,
            (None, Begun::Earlier) => Position::Gone,
            (None, Begun::Now) => Position::None,
        };
        loop {
            position = match position {
                Position::None => self.begin_session(entry, &mut patience)?,
                Position::Unknown => self.ask(entry, &mut patience)?,
                Position::At(offset) => self.send_piece(entry, offset, &mut patience)?,
                Position::Gone => match self.drive.file(&entry.id)? {
                    Some(remote) => Position::Ended(Outcome::Stored(Box::new(remote))),
                    None => Position::None,
                },
                Position::Ended(outcome) => return Ok(outcome),
            };
        }
    }

    fn begin_session(&self, entry: &mut Entry, patience: &mut Patience) -> Result<Position, Error> {
        patience.sessions += 1;
        if patience.sessions > SESSIONS_MAX {
            return Err(self.stalled("its upload sessions do not last"));
        }
        let url = upload_url(self.drive, "resumable");
        let metadata = object_metadata(&entry.id, &entry.parent, self.name).to_string();
        let bytes = self.content.bytes().to_string();
        let answer = self.drive.call("begin to write to", || {
            Request::new(Method::POST, url.clone())
                .header(CONTENT_TYPE, JSON)
                .header(
                    HeaderName::from_static("x-upload-content-type"),
                    "application/octet-stream",
                )
                .header(HeaderName::from_static("x-upload-content-length"), &bytes)
                .body(metadata.clone())
        })?;
        let answer = match success(answer) {
            Ok(answer) => answer,
            Err(no) => return self.refused(entry, no).map(Position::Ended),
        };
        let session = self.session_of(&answer).ok_or_else(|| self.drive.nonsense("no session"))?;
        entry.session = Some(session);
        // Before the first byte: a crash from here on finds its way back.
        self.journal.write(self.local, self.name, entry)?;
        Ok(Position::At(0))
    }

    /// Asks how far the session got.
    fn ask(&self, entry: &mut Entry, patience: &mut Patience) -> Result<Position, Error> {
        let Some(url) = self.session_url(entry) else { return Ok(Position::Gone) };
        let range = format!("bytes */{}", self.content.bytes());
        let request = Request::new(Method::PUT, url).header(CONTENT_RANGE, &range);
        let answer = self.drive.call_once("ask how far we got in", request)?;
        if answer.status == 308 {
            let next = self.next_of(entry, &answer, self.content.bytes())?.unwrap_or(0);
            self.patient(patience, next == self.content.bytes())?;
            return Ok(Position::At(next));
        }
        self.position(entry, answer, patience)
    }

    fn send_piece(
        &self,
        entry: &mut Entry,
        offset: u64,
        patience: &mut Patience,
    ) -> Result<Position, Error> {
        let total = self.content.bytes();
        if offset == total {
            return Ok(Position::Unknown);
        }
        let Some(url) = self.session_url(entry) else { return Ok(Position::Gone) };
        let end = total.min(offset + self.sizes.piece_bytes);
        let range = format!("bytes {offset}-{}/{total}", end - 1);
        self.pay(end - offset);
        let request = Request::new(Method::PUT, url)
            .header(CONTENT_RANGE, &range)
            .body(self.content.piece(offset..end));
        let answer = self.drive.call_once("write to", request)?;
        if answer.status == 308 {
            let next = self.next_of(entry, &answer, end)?;
            self.patient(patience, next.is_none_or(|next| next <= offset))?;
            return Ok(match next {
                Some(next) => Position::At(next),
                None if offset == 0 => Position::At(0),
                // Late in a session this is a slip of the store, not a loss; the question tells.
                None => Position::Unknown,
            });
        }
        self.position(entry, answer, patience)
    }

    /// What an answer of a session means, other than "go on".
    fn position(
        &self,
        entry: &mut Entry,
        answer: Answer,
        patience: &mut Patience,
    ) -> Result<Position, Error> {
        let no = match success(answer) {
            Ok(answer) => return self.stored(entry, &answer).map(Position::Ended),
            Err(no) => no,
        };
        match no.class {
            Class::Token if patience.tokens == 0 => {
                patience.tokens += 1;
                Ok(Position::Unknown)
            }
            // The session is lost, or the store wants none of it: another one, under the same id.
            Class::Absent | Class::Taken | Class::Range | Class::Other => {
                entry.session = None;
                self.journal.write(self.local, self.name, entry)?;
                Ok(Position::Gone)
            }
            _ => self.refused(entry, no).map(Position::Ended),
        }
    }

    /// The file that a finished upload made; looked up if the answer says too little of it.
    fn stored(&self, entry: &Entry, answer: &Answer) -> Result<Outcome, Error> {
        let told = serde_json::from_slice::<Remote>(&answer.body).ok();
        let told = told.filter(|remote| remote.md5_checksum.is_some() && remote.size.is_some());
        match told {
            Some(remote) => Ok(Outcome::Stored(Box::new(remote))),
            None => match self.drive.file(&entry.id)? {
                Some(remote) => Ok(Outcome::Stored(Box::new(remote))),
                None => Err(self.stalled("it reports success, but there is no file")),
            },
        }
    }

    /// What a refused creation means.
    fn refused(&self, entry: &Entry, no: No) -> Result<Outcome, Error> {
        match no.class {
            Class::Taken => Ok(match self.drive.file(&entry.id)? {
                Some(remote) => Outcome::Stored(Box::new(remote)),
                None => Outcome::IdRefused,
            }),
            Class::Absent => Ok(Outcome::ShelfGone),
            Class::Structure if no.reason == "numChildrenInNonRootLimitExceeded" => {
                Ok(Outcome::ShelfFull)
            }
            Class::Other if no.status == 400 => Ok(Outcome::IdRefused),
            // All other refusals leave the upload where it is.
            _ => Err(no.into_error("write", &self.name.to_string(), self.drive.place())),
        }
    }

    /// The first byte that the store does not have yet; nothing if it does not say.
    fn next_of(&self, entry: &mut Entry, answer: &Answer, sent: u64) -> Result<Option<u64>, Error> {
        if let Some(moved) =
            self.session_of(answer).filter(|url| Some(url) != entry.session.as_ref())
        {
            entry.session = Some(moved);
            self.journal.write(self.local, self.name, entry)?;
        }
        let Some(range) = answer.header("range") else { return Ok(None) };
        match next_byte(range) {
            Some(next) if next <= sent => Ok(Some(next)),
            _ => {
                entry.session = None;
                self.journal.write(self.local, self.name, entry)?;
                Err(self.stalled("it has bytes that were never sent"))
            }
        }
    }

    /// Waits until so many bytes may go up.
    fn pay(&self, bytes: u64) {
        if let Some(limit) = self.limit {
            limit.pay(bytes);
        }
    }

    fn patient(&self, patience: &mut Patience, is_idle: bool) -> Result<(), Error> {
        match is_idle {
            true => patience.idle += 1,
            // Long uploads may outlive more than one token.
            false => (patience.idle, patience.tokens) = (0, 0),
        }
        match patience.idle > IDLE_ANSWERS_MAX {
            true => Err(self.stalled("it takes no more bytes")),
            false => Ok(()),
        }
    }

    /// The session that an answer names, if it is one that may be told our token.
    fn session_of(&self, answer: &Answer) -> Option<String> {
        let base = self.drive.url("/", &[]);
        let url = base.join(answer.header("location")?).ok()?;
        is_trusted(&base, &url).then(|| url.into())
    }

    fn session_url(&self, entry: &Entry) -> Option<Url> {
        let url = Url::parse(entry.session.as_ref()?).ok()?;
        is_trusted(&self.drive.url("/", &[]), &url).then_some(url)
    }

    fn stalled(&self, why: &str) -> Error {
        Error::Io {
            action: "write",
            what: self.name.to_string(),
            place: self.drive.place().to_owned(),
            source: std::io::Error::other(why.to_owned()),
        }
    }
}

/// Makes a file in one request.
pub fn send_whole(drive: &Drive, metadata: &Value, content: &[u8]) -> Result<Answer, Error> {
    let url = upload_url(drive, "multipart");
    let head = format!(
        "--{BOUNDARY}\r\nContent-Type: {JSON}\r\n\r\n{metadata}\r\n\
         --{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let body = bytes::Bytes::from([head.as_bytes(), content, tail.as_bytes()].concat());
    let kind = format!("multipart/related; boundary={BOUNDARY}");
    drive.call("write to", || {
        Request::new(Method::POST, url.clone()).header(CONTENT_TYPE, &kind).body(body.clone())
    })
}

fn upload_url(drive: &Drive, kind: &str) -> Url {
    drive.url("/upload/drive/v3/files", &[("uploadType", kind), ("fields", FIELDS)])
}

/// Reads `bytes=0-42` and `0-42`, which both mean that byte 43 is next.
fn next_byte(range: &str) -> Option<u64> {
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let last: u64 = range.strip_prefix("0-")?.trim().parse().ok()?;
    last.checked_add(1)
}

/// Whether an address that the store named is the store's own.
fn is_trusted(base: &Url, url: &Url) -> bool {
    let is_same = url.host_str() == base.host_str() && url.port() == base.port();
    let is_google = |url: &Url| {
        url.host_str().is_some_and(|host| host.ends_with(".googleapis.com")) && url.port().is_none()
    };
    url.scheme() == base.scheme() && (is_same || (is_google(base) && is_google(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_byte_is_the_one_after_the_last_stored() {
        assert_eq!(next_byte("bytes=0-42"), Some(43));
        assert_eq!(next_byte("0-42"), Some(43));
        for bad in ["bytes=1-42", "bytes=0-", "0-18446744073709551615", "", "bytes=0--1"] {
            assert_eq!(next_byte(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_token_goes_to_the_stores_own_hosts_only() {
        let trusted = |base: &str, url: &str| {
            is_trusted(&Url::parse(base).unwrap(), &Url::parse(url).unwrap())
        };
        let google = "https://www.googleapis.com/";

        assert!(trusted(google, "https://www.googleapis.com/upload/x"));
        assert!(trusted(google, "https://storage.googleapis.com/upload/x"));
        assert!(trusted("http://127.0.0.1:8080/", "http://127.0.0.1:8080/s"));
        for bad in [
            "http://www.googleapis.com/upload/x",
            "https://www.googleapis.com.evil.example/",
            "https://evilgoogleapis.com/",
            "https://www.googleapis.com:444/",
        ] {
            assert!(!trusted(google, bad), "{bad}");
        }
        assert!(!trusted("http://127.0.0.1:8080/", "http://127.0.0.1:8081/s"));
    }
}
