//! An S3 store on loopback that checks signatures, counts requests and fails on plan.
//!
//! Behind it is `s3s-fs`, which nobody here wrote; what this adds is what a network and a tired
//! server add.

#![allow(dead_code, reason = "each of the two programs that include this uses a part of it")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    panic,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Response, StatusCode, header},
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};

pub const BUCKET: &str = "shop";
/// A file of credentials; only the first section opens the store.
pub const CREDENTIALS: &str = "[default]\naws_access_key_id = shopkey\naws_secret_access_key = \
                               shopsecret\n[wrong]\naws_access_key_id = \
                               other\naws_secret_access_key = other\n";
const BODY_BYTES_MAX: usize = 128 << 20;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before anything is done.
    ResetBefore,
    /// The request does its work, and the connection breaks before the answer.
    ResetAfter,
    /// Half of the answer comes.
    CutAnswer,
    /// Refused with this status and code; nothing is done.
    Status(u16, &'static str),
    /// Refused with an order to wait this many seconds.
    Wait(u16, u32),
    /// The request does its work, and the answer is an error of the server.
    ErrorAfter,
    /// The answer is a page for people.
    Html,
    /// The answer has no body.
    EmptyBody,
    /// One bit of the answer's body is wrong.
    FlippedBit,
    /// The answer names another entity tag.
    WrongTag,
    /// A listing that ends too early, and does not say so.
    ShortListing,
    /// A listing that has nothing.
    EmptyListing,
    /// A listing that has everything twice.
    DoubleListing,
}

/// One request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub verb: String,
    pub path: String,
    pub sent: u64,
    pub returned: u64,
}

/// A running store; it ends with this value.
pub struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    service: S3Service,
    /// A real store takes one of two writers of a name, this one may take both.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    seen: Vec<Seen>,
    requests: u64,
    fault: Option<(u64, Fault)>,
    /// From this request on nothing is answered.
    dead_at: Option<u64>,
    injected: u64,
    /// How far away the store is.
    delay: Duration,
}

impl S3Server {
    #[expect(clippy::disallowed_methods, reason = "a scratch store")]
    pub fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("shopkey", "shopsecret"));
        let shared = Arc::new(Shared {
            service: builder.build(),
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(shared.clone());
        drop(runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await
        }));
        Self { address, root, shared, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the n-th request from now fail, counted from 1.
    pub fn fail_at(&self, request: u64, fault: Fault) {
        let mut plan = self.plan();
        plan.fault = Some((plan.requests + request, fault));
    }

    /// Answers no request from the n-th on, counted from 1: as if the machine were switched off.
    pub fn die_at(&self, request: u64) {
        let mut plan = self.plan();
        plan.dead_at = Some(plan.requests + request);
    }

    /// Answers every request from now on so much later: as if the store were that far away.
    pub fn be_far_away(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// Forgets what was seen and planned.
    pub fn forget(&self) {
        *self.plan() = Plan::default();
    }

    /// How many requests came since the server began to count.
    pub fn count(&self) -> u64 {
        self.plan().requests
    }

    /// How many faults happened since then.
    pub fn injected(&self) -> u64 {
        self.plan().injected
    }

    /// The requests since then.
    pub fn requests(&self) -> Vec<Seen> {
        self.plan().seen.clone()
    }

    /// Keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let bucket = self.root.path().join(BUCKET);
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => keys.push(path.strip_prefix(&bucket).unwrap().display().to_string()),
                }
            }
        }
        keys.sort();
        keys
    }

    /// Where the object of a key lies, to do harm to it.
    pub fn path_of(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// Puts an object there without asking.
    #[expect(clippy::disallowed_methods, reason = "a scratch store")]
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path_of(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    tokio::time::sleep(shared.delay()).await;
    let fault = shared.next_fault();
    let (verb, path) = (request.method().to_string(), request.uri().to_string());
    if fault == Some(Fault::ResetBefore) {
        reset();
    }
    let (parts, body) = request.into_parts();
    // A client that gave up in the middle of what it sent.
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { reset() };
    let sent = body.len() as u64;
    if let Some(refusal) = fault.and_then(refusal) {
        shared.note(Seen { verb, path, sent, returned: 0 });
        return Ok(refusal);
    }
    let is_listing = verb == "GET" && path.contains("list-type=2");
    let request = Request::from_parts(parts, body);
    let (mut parts, mut body) = shared.answer(request).await;
    match fault {
        Some(Fault::ResetAfter) => reset(),
        Some(Fault::ErrorAfter) => parts.status = StatusCode::INTERNAL_SERVER_ERROR,
        Some(Fault::WrongTag) => {
            let tag = HeaderValue::from_static("\"00000000000000000000000000000000\"");
            let _ = parts.headers.insert(header::ETAG, tag);
        }
        Some(Fault::FlippedBit) if !body.is_empty() => {
            let mut bytes = body.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            body = bytes.into();
        }
        Some(fault) if is_listing => body = spoiled_listing(fault, body),
        _ => {}
    }
    shared.note(Seen { verb, path, sent, returned: body.len() as u64 });
    if fault == Some(Fault::CutAnswer) {
        return Ok(cut(parts, &body));
    }
    let _ = parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Breaks the connection, without a word on the terminal.
fn reset() -> ! {
    panic::resume_unwind(Box::new("reset"))
}

impl Shared {
    fn delay(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).delay
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        plan.requests += 1;
        if plan.dead_at.is_some_and(|dead_at| plan.requests >= dead_at) {
            return Some(Fault::ResetBefore);
        }
        let (at, fault) = plan.fault?;
        (at == plan.requests).then(|| {
            plan.injected += 1;
            fault
        })
    }

    fn note(&self, seen: Seen) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).seen.push(seen);
    }

    async fn answer(&self, request: Request<Bytes>) -> (axum::http::response::Parts, Bytes) {
        let _one = match request.method().as_str() {
            "PUT" | "POST" => Some(self.writing.lock().await),
            _ => None,
        };
        let request = request.map(s3s::Body::from);
        let Ok(response) = self.service.call(request).await else { reset() };
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(Body::new(body), BODY_BYTES_MAX).await else { reset() };
        (parts, body)
    }
}

fn refusal(fault: Fault) -> Option<Response<Body>> {
    let xml = |code: &str| {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>"
        )
    };
    let with = |status: u16, body: String| {
        Response::builder().status(status).body(Body::from(body)).unwrap()
    };
    match fault {
        Fault::Status(status, code) => Some(with(status, xml(code))),
        Fault::Wait(status, seconds) => {
            let mut response = with(status, xml("SlowDown"));
            let _ = response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Some(response)
        }
        Fault::Html => Some(with(200, "<html><body>Please sign in to this network".to_owned())),
        Fault::EmptyBody => Some(with(200, String::new())),
        _ => None,
    }
}

fn spoiled_listing(fault: Fault, body: Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&body).into_owned();
    let (Some(start), Some(end)) = (text.find("<Contents>"), text.rfind("</Contents>")) else {
        return body;
    };
    let (head, entries, tail) = (&text[..start], &text[start..end + 11], &text[end + 11..]);
    let entries = match fault {
        Fault::EmptyListing => String::new(),
        Fault::DoubleListing => entries.repeat(2),
        Fault::ShortListing => entries[..entries.rfind("<Contents>").unwrap_or(0)].to_owned(),
        _ => entries.to_owned(),
    };
    format!("{head}{entries}{tail}").into()
}

/// An answer that promises more than comes.
fn cut(parts: axum::http::response::Parts, body: &Bytes) -> Response<Body> {
    let half = body.slice(..body.len() / 2);
    let pieces = [Ok(half), Err(std::io::Error::other("cut"))];
    let mut response =
        Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(pieces)));
    let _ = response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    response
}
