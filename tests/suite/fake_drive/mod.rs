//! A Google Drive on loopback, as the protocol notes describe it: tokens, generated ids, uploads in
//! sessions, listings that lag, every refusal, and every way to break off.
//!
//! It keeps a log of all requests, for tests that count them, and does harm on plan. That it speaks
//! as Drive does is checked by clients that nobody here wrote; see `drive_clients`.

pub mod faults;
mod files;
mod query;
mod refusals;
pub mod store;
mod tokens;
mod uploads;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use faults::Fault;
pub use store::Knobs;
pub use tokens::CLIENT_SECRET;

use store::Store;
use wire::{Answer, Reply, Request, Server, Site};

/// One request, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Method and path, with the ids left out: `PUT session`, `GET file`.
    pub what: &'static str,
    pub body_bytes: usize,
    pub status: u16,
}

/// Which requests go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The request of this number, counted from 1.
    Once(usize),
    /// That one and all after it.
    From(usize),
    /// That one, after which nobody hears of the client again.
    LastWord(usize),
    /// All of this kind.
    Every(&'static str),
}

/// The service; it ends with its value.
pub struct FakeDrive {
    server: Server,
    inside: Arc<Inside>,
}

struct Inside {
    store: Mutex<Store>,
    plan: Mutex<Plan>,
    base: Mutex<String>,
}

#[derive(Default)]
struct Plan {
    fault: Option<(When, Fault)>,
    log: Vec<Logged>,
    injected: usize,
}

impl FakeDrive {
    pub fn start() -> Self {
        Self::start_with(Store::new())
    }

    /// Starts with what another one held.
    pub fn start_with(store: Store) -> Self {
        let inside = Arc::new(Inside {
            store: Mutex::new(store),
            plan: Mutex::default(),
            base: Mutex::default(),
        });
        let site: Arc<dyn Site> = Arc::<Inside>::clone(&inside);
        let server = Server::start(site);
        *inside.base.lock().unwrap() = server.base();
        Self { server, inside }
    }

    /// The address of all its services.
    pub fn base(&self) -> String {
        self.server.base()
    }

    /// Names itself so in the addresses that it gives out.
    pub fn is_called(&self, base: &str) {
        base.clone_into(&mut self.inside.base.lock().unwrap());
    }

    /// A refresh token for a client of the project, as if somebody had signed in.
    pub fn sign_in(&self, project: &str) -> String {
        tokens::grant(&mut self.store(), project)
    }

    /// What it holds, to be looked at and harmed.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.inside.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn turn(&self, knob: impl FnOnce(&mut Knobs)) {
        knob(&mut self.store().knobs);
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.store().now += seconds;
    }

    /// Counts anew, and lets this go wrong.
    pub fn plan(&self, fault: Option<(When, Fault)>) {
        *self.inside.plan() = Plan { fault, ..Plan::default() };
    }

    /// Lets nothing go wrong any more, and counts on.
    pub fn let_be(&self) {
        self.inside.plan().fault = None;
    }

    /// All requests since the last plan.
    pub fn log(&self) -> Vec<Logged> {
        self.inside.plan().log.clone()
    }

    /// How many requests went wrong since the last plan.
    pub fn injected(&self) -> usize {
        self.inside.plan().injected
    }

    /// Bytes of content sent since the last plan, to sessions and whole.
    pub fn content_bytes_received(&self) -> usize {
        let is_content = |logged: &&Logged| matches!(logged.what, "PUT session" | "POST whole");
        self.log().iter().filter(is_content).map(|logged| logged.body_bytes).sum()
    }
}

impl Inside {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that the request of this number meets.
    fn fault(&self, number: usize, what: &str) -> Option<Fault> {
        let (when, fault) = self.plan().fault?;
        match when {
            When::Once(at) => (number == at).then_some(fault),
            When::From(at) => (number >= at).then_some(fault),
            When::Every(kind) => (what == kind).then_some(fault),
            When::LastWord(at) if number > at => Some(Fault::CutBefore),
            When::LastWord(at) => (number == at).then_some(fault),
        }
    }

    fn carry_out(&self, request: &Request, what: &str, fault: Option<Fault>) -> Reply {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let appetite = fault.map_or(uploads::Appetite::All, Fault::appetite);
        match what {
            "GET consent" => return tokens::consent(&mut store, request),
            "POST token" => return tokens::token(&mut store, request),
            "POST device" => return tokens::device(&mut store, request),
            _ => {}
        }
        // What was cut is no request, but a session keeps what it got of a piece.
        if request.is_cut && what != "PUT session" {
            return Reply::status(400);
        }
        let Some(project) = bearer(&store, request) else {
            return refusals::refusal(401, "authError");
        };
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match what {
            "POST session" | "POST whole" => uploads::begin(&mut store, request, &project, &base),
            "PUT session" => uploads::go_on(&mut store, request, appetite),
            _ => files::answer(&mut store, request, &project),
        }
    }

    /// Harm that reaches deeper than one answer.
    fn harm(&self, fault: Fault, request: &Request, reply: Reply) -> Reply {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match fault {
            Fault::CorruptStore if body["md5Checksum"].is_string() => {
                let id = body["id"].as_str().unwrap_or_default().to_owned();
                if let Some(file) = store.files.get_mut(&id) {
                    file.content.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                    return Reply::json(200, &store.describe(&store.files[&id]));
                }
                reply
            }
            Fault::MovedSession if reply.status == 308 => {
                let id = request.parameter("upload_id").unwrap_or_default();
                let Some(session) = store.sessions.remove(id) else { return reply };
                let moved = store.fresh("moved");
                let _ = store.sessions.insert(moved.clone(), session);
                let base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
                let session = format!("{base}/upload/drive/v3/files?upload_id={moved}");
                reply.header("Location", &session)
            }
            Fault::EmptyListing if body["files"].is_array() => {
                body["files"] = serde_json::json!([]);
                Reply::json(200, &body)
            }
            Fault::TwiceListed if body["files"].is_array() => {
                let files = body["files"].as_array().cloned().unwrap_or_default();
                body["files"] = serde_json::json!([files.clone(), files].concat());
                Reply::json(200, &body)
            }
            _ => reply,
        }
    }
}

impl Site for Inside {
    fn body_bytes_max(&self, head: &Request) -> Option<usize> {
        let number = self.plan().log.len() + 1;
        self.fault(number, kind(head))?.body_bytes_max(head)
    }

    fn answer(&self, request: Request) -> Answer {
        let what = kind(&request);
        let number = {
            let mut plan = self.plan();
            let body_bytes = request.body.len();
            plan.log.push(Logged { what, body_bytes, status: 0 });
            plan.log.len()
        };
        let fault = self.fault(number, what);
        if fault.is_some() {
            self.plan().injected += 1;
        }
        let answer = match fault {
            None => Answer::Reply(self.carry_out(&request, what, None)),
            Some(fault) => fault.instead().unwrap_or_else(|| {
                let reply = self.carry_out(&request, what, Some(fault));
                fault.spoil(self.harm(fault, &request, reply))
            }),
        };
        if let Answer::Reply(reply) = &answer
            && let Some(logged) = self.plan().log.get_mut(number - 1)
        {
            logged.status = reply.status;
        }
        answer
    }
}

fn bearer(store: &Store, request: &Request) -> Option<String> {
    let token = request.header("authorization")?.strip_prefix("Bearer ")?;
    let (project, ends) = store.bearers.get(token)?;
    (store.now < *ends).then(|| project.clone())
}

/// What a request is.
fn kind(request: &Request) -> &'static str {
    let is = |method: &str| request.method == method;
    let path = request.path.as_str();
    match path {
        "/o/oauth2/v2/auth" => "GET consent",
        "/token" => "POST token",
        "/device/code" => "POST device",
        "/drive/v3/about" => "GET about",
        "/drive/v3/files/generateIds" => "GET ids",
        "/drive/v3/files" if is("GET") => "GET list",
        "/drive/v3/files" => "POST folder",
        // rclone sends its pieces by POST.
        _ if request.parameter("upload_id").is_some() => "PUT session",
        _ if path.ends_with("/upload/drive/v3/files") => match request.parameter("uploadType") {
            Some("resumable") => "POST session",
            _ => "POST whole",
        },
        _ if is("GET") && request.parameter("alt") == Some("media") => {
            if request.header("range").is_some() { "GET range" } else { "GET content" }
        }
        _ if is("GET") => "GET file",
        _ if is("PATCH") => "PATCH file",
        _ if is("DELETE") => "DELETE file",
        _ => "other",
    }
}
