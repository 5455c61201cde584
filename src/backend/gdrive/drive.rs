//! Drive's calls, typed: one function per request, refusals as values where the caller acts on
//! them.
//!
//! Each carries the bearer token; one that the store does not accept is renewed once. Listings are
//! whole or an error: all pages, one parent per query, and never one that Google calls incomplete.

use std::{collections::HashSet, ops::Range, sync::Arc};

use reqwest::{
    Method, Url,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RANGE},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{Class, No},
    endpoints::Endpoints,
    http::{Answer, Http, Request, Room},
    remote::{FIELDS, FOLDER_TYPE, Remote},
    tokens::Tokens,
};
use crate::backend::Error;

/// For an answer that is not content, the longest of which is a page of a listing.
const ROOM: Room = Room { bytes_max: 8 * 1024 * 1024, bytes_expected: 0 };
const PAGE_FILES: u32 = 1000;
/// A listing that does not end is none.
const PAGES_MAX: usize = 10_000;
/// How often a listing begins anew because its page token was refused.
const LISTINGS_MAX: usize = 3;

/// The store, signed in.
#[derive(Debug)]
pub struct Drive {
    pub http: Arc<Http>,
    tokens: Tokens,
    endpoints: Endpoints,
}

/// What the account says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The address of the account, to show which one it is.
    pub account: String,
    /// Nothing means without limit.
    pub limit_bytes: Option<u64>,
    pub usage_bytes: u64,
    pub trash_bytes: u64,
}

impl About {
    /// What may still be stored; usage counts all services of the account.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.limit_bytes?.saturating_sub(self.usage_bytes))
    }
}

/// What we never make: all else is everything.
const SHORTCUT_TYPE: &str = "application/vnd.google-apps.shortcut";

impl Drive {
    pub const fn new(http: Arc<Http>, tokens: Tokens, endpoints: Endpoints) -> Self {
        Self { http, tokens, endpoints }
    }

    pub fn place(&self) -> &str {
        self.http.place()
    }

    /// Takes ids that files of ours may be made with; a create that is repeated with its id makes
    /// no second file.
    pub fn generate_ids(&self, count: u32) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Ids {
            ids: Vec<String>,
        }
        let count = count.to_string();
        let url = self.url(
            "/drive/v3/files/generateIds",
            &[("count", &count), ("space", "drive"), ("type", "files")],
        );
        let answer = self.get("ask for ids of", "new files", url)?;
        let ids: Ids = self.parse(&answer)?;
        match ids.ids.iter().all(|id| is_id(id)) && !ids.ids.is_empty() {
            true => Ok(ids.ids),
            false => Err(self.nonsense("ids that are none")),
        }
    }

    /// Returns what is known of a file, or nothing if this client sees none.
    pub fn file(&self, id: &str) -> Result<Option<Remote>, Error> {
        let url = self.url(&file_path(id), &[("fields", FIELDS)]);
        let answer = self.call("look at", || Request::new(Method::GET, url.clone()))?;
        match success(answer) {
            Ok(answer) => self.parse(&answer).map(Some),
            Err(no) if no.class == Class::Absent => Ok(None),
            Err(no) => Err(no.into_error("look at", "a file", self.place())),
        }
    }

    /// Creates a folder under the id; one that has it already is success.
    pub fn create_folder(&self, metadata: &serde_json::Value) -> Result<(), Error> {
        let url = self.url("/drive/v3/files", &[("fields", FIELDS)]);
        let body = metadata.to_string();
        let answer = self.call("create a folder in", || {
            Request::new(Method::POST, url.clone())
                .header(CONTENT_TYPE, "application/json; charset=UTF-8")
                .body(body.clone())
        })?;
        match success(answer) {
            Ok(_) => Ok(()),
            Err(no) if no.class == Class::Taken => Ok(()),
            Err(no) => Err(no.into_error("create", "a folder", self.place())),
        }
    }

    /// Lists all folders that this client made.
    pub fn folders(&self) -> Result<Vec<Remote>, Error> {
        self.list(&format!("mimeType = '{FOLDER_TYPE}' and trashed = false"))
    }

    /// Lists everything that this client made, folders and the trashed too, wherever it lies.
    pub fn everything(&self) -> Result<Vec<Remote>, Error> {
        self.list(&format!("mimeType != '{SHORTCUT_TYPE}'"))
    }

    /// Lists all that lies in a folder, the trashed too.
    pub fn children(&self, folder: &str) -> Result<Vec<Remote>, Error> {
        debug_assert!(is_id(folder));
        self.list(&format!("'{folder}' in parents"))
    }

    /// Reads content, all of it or a range; the status must be looked at.
    ///
    /// Encrypted bytes look like malware now and then; their owner may have them all the same.
    pub fn content(
        &self,
        id: &str,
        range: Option<&Range<u64>>,
        bytes_max: u64,
    ) -> Result<Result<Answer, No>, Error> {
        match success(self.content_once(id, range, bytes_max, Abuse::Unknown)?) {
            Err(no) if no.class == Class::Abusive => {
                Ok(success(self.content_once(id, range, bytes_max, Abuse::Acknowledged)?))
            }
            answered => Ok(answered),
        }
    }

    /// Moves a file to the trash with a mark that it was us; one that is gone is success.
    pub fn trash(&self, id: &str, mark: &str) -> Result<(), Error> {
        let url = self.url(&file_path(id), &[("fields", "id,trashed")]);
        let body = json!({"trashed": true, "appProperties": {mark: "1"}}).to_string();
        self.succeed_or_absent("move to the trash", || {
            Request::new(Method::PATCH, url.clone())
                .header(CONTENT_TYPE, "application/json; charset=UTF-8")
                .body(body.clone())
        })
    }

    /// Deletes a file for good; one that is gone is success. Never to be given a folder's id.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let url = self.url(&file_path(id), &[]);
        self.succeed_or_absent("delete", || Request::new(Method::DELETE, url.clone()))
    }

    /// Asks for quota and account.
    pub fn about(&self) -> Result<About, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            storage_quota: Quota,
            user: Option<User>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Quota {
            limit: Option<String>,
            usage: Option<String>,
            usage_in_drive_trash: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct User {
            email_address: Option<String>,
        }
        let url = self.url("/drive/v3/about", &[("fields", "storageQuota,user")]);
        let page: Page = self.parse(&self.get("ask for the quota of", "the account", url)?)?;
        let number = |text: &Option<String>| match text {
            Some(text) => text.parse().map(Some).map_err(|_| self.nonsense("a quota that is none")),
            None => Ok(None),
        };
        let quota = &page.storage_quota;
        Ok(About {
            account: page.user.and_then(|user| user.email_address).unwrap_or_default(),
            limit_bytes: number(&quota.limit)?,
            usage_bytes: number(&quota.usage)?.unwrap_or(0),
            trash_bytes: number(&quota.usage_in_drive_trash)?.unwrap_or(0),
        })
    }

    /// Sends a request with the token; renews the token once if it is not accepted.
    pub fn call(
        &self,
        action: &'static str,
        request: impl Fn() -> Request,
    ) -> Result<Answer, Error> {
        self.call_for(action, request, ROOM)
    }

    /// Sends a request with the token, once; the caller sees to a token that is not accepted.
    pub fn call_once(&self, action: &'static str, request: Request) -> Result<Answer, Error> {
        self.send(action, request, ROOM)
    }

    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let text = format!("{}{path}", self.endpoints.api);
        let mut url = Url::parse(&text).expect("the address was tried when the store was opened");
        if !query.is_empty() {
            let _ = url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub fn parse<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, Error> {
        // A success whose body is cut or foreign may have been one: asking again finds out.
        serde_json::from_slice(&answer.body).map_err(|error| self.nonsense(&error.to_string()))
    }

    pub fn nonsense(&self, why: &str) -> Error {
        Error::BadAnswer { place: self.place().to_owned(), why: why.to_owned() }
    }

    fn content_once(
        &self,
        id: &str,
        range: Option<&Range<u64>>,
        bytes_max: u64,
        abuse: Abuse,
    ) -> Result<Answer, Error> {
        let mut query = vec![("alt", "media")];
        if abuse == Abuse::Acknowledged {
            query.push(("acknowledgeAbuse", "true"));
        }
        let url = self.url(&file_path(id), &query);
        let request = || {
            let request =
                Request::new(Method::GET, url.clone()).header(ACCEPT_ENCODING, "identity");
            match range {
                Some(range) => {
                    request.header(RANGE, &format!("bytes={}-{}", range.start, range.end - 1))
                }
                None => request,
            }
        };
        let bytes_expected = range.map_or(bytes_max, |range| range.end - range.start);
        // A refusal takes room too.
        let bytes_max = bytes_max.max(ROOM.bytes_max);
        self.call_for("read", request, Room { bytes_max, bytes_expected })
    }

    fn list(&self, query: &str) -> Result<Vec<Remote>, Error> {
        for _ in 0..LISTINGS_MAX {
            if let Some(files) = self.list_from_start(query)? {
                return Ok(files);
            }
        }
        Err(self.incomplete("its page tokens are refused"))
    }

    /// Returns nothing if a page token was refused, which makes the pages before it worthless.
    fn list_from_start(&self, query: &str) -> Result<Option<Vec<Remote>>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            files: Vec<Remote>,
            next_page_token: Option<String>,
            #[serde(default)]
            incomplete_search: bool,
        }
        let fields = format!("nextPageToken,incompleteSearch,files({FIELDS})");
        let page_size = PAGE_FILES.to_string();
        let mut files = Vec::new();
        let mut ids = HashSet::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut parameters = vec![
                ("q", query),
                ("pageSize", &page_size),
                ("fields", &fields),
                ("spaces", "drive"),
            ];
            parameters.extend(token.as_deref().map(|token| ("pageToken", token)));
            let url = self.url("/drive/v3/files", &parameters);
            let answer = self.call("list", || Request::new(Method::GET, url.clone()))?;
            let answer = match success(answer) {
                Err(no) if no.class == Class::Other && token.is_some() => return Ok(None),
                answered => {
                    answered.map_err(|no| no.into_error("list", "a folder", self.place()))?
                }
            };
            let page: Page = self.parse(&answer)?;
            if page.incomplete_search {
                return Err(self.incomplete("it says so itself"));
            }
            // A file that moved between pages may come twice.
            files.extend(page.files.into_iter().filter(|file| ids.insert(file.id.clone())));
            match page.next_page_token {
                None => return Ok(Some(files)),
                next if next == token => return Err(self.incomplete("its pages go in a circle")),
                next => token = next,
            }
        }
        Err(self.incomplete("its pages do not end"))
    }

    fn incomplete(&self, why: &str) -> Error {
        Error::Io {
            action: "list",
            what: "a folder".to_owned(),
            place: self.place().to_owned(),
            source: std::io::Error::other(format!("the listing is not complete: {why}")),
        }
    }

    fn succeed_or_absent(
        &self,
        action: &'static str,
        request: impl Fn() -> Request,
    ) -> Result<(), Error> {
        let answer = self.call(action, request)?;
        match success(answer) {
            Ok(_) => Ok(()),
            Err(no) if no.class == Class::Absent => Ok(()),
            Err(no) => Err(no.into_error(action, "an object", self.place())),
        }
    }

    fn get(&self, action: &'static str, what: &str, url: Url) -> Result<Answer, Error> {
        let answer = self.call(action, || Request::new(Method::GET, url.clone()))?;
        success(answer).map_err(|no| no.into_error(action, what, self.place()))
    }

    fn call_for(
        &self,
        action: &'static str,
        request: impl Fn() -> Request,
        room: Room,
    ) -> Result<Answer, Error> {
        let answer = self.send(action, request(), room)?;
        match answer.status {
            401 => self.send(action, request(), room),
            _ => Ok(answer),
        }
    }

    fn send(
        &self,
        action: &'static str,
        mut request: Request,
        room: Room,
    ) -> Result<Answer, Error> {
        let token = self.tokens.bearer(&self.http)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", *token))
            .map_err(|_| self.nonsense("a token that is none"))?;
        bearer.set_sensitive(true);
        let _ = request.headers.insert(AUTHORIZATION, bearer);
        let answer = self.http.send(action, request, room)?;
        if answer.status == 401 {
            self.tokens.reject(&token);
        }
        Ok(answer)
    }
}

/// Whether the owner takes the blame for bytes that Google finds suspicious.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Abuse {
    Unknown,
    Acknowledged,
}

/// Tells success from refusal.
pub fn success(answer: Answer) -> Result<Answer, No> {
    match answer.is_success() {
        true => Ok(answer),
        false => Err(No::read(&answer)),
    }
}

/// Whether the text may stand in an address and in a query as it is.
pub fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn file_path(id: &str) -> String {
    format!("/drive/v3/files/{id}")
}
