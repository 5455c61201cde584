//! Uploads: in one request of two parts, or through a session in pieces.

use serde_json::Value;

use super::{
    refusals::refusal,
    store::{Session, Store},
    wire::{Reply, Request},
};

/// What pieces but the last are multiples of, and what the store keeps of a piece that was cut.
pub const UNIT_BYTES: usize = 256 * 1024;

/// What a session is made to do with the next piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    /// Takes what comes.
    All,
    /// Takes half of it, in whole units.
    Half,
    /// Takes nothing.
    Nothing,
}

/// Answers a request that begins an upload.
pub fn begin(store: &mut Store, request: &Request, project: &str, base: &str) -> Reply {
    match request.parameter("uploadType") {
        Some("resumable") => begin_session(store, request, project, base),
        Some("multipart") => whole(store, request, project),
        _ => refusal(400, "badRequest"),
    }
}

fn begin_session(store: &mut Store, request: &Request, project: &str, base: &str) -> Reply {
    let Ok(metadata) = serde_json::from_slice::<Value>(&request.body) else {
        return refusal(400, "parseError");
    };
    if metadata["id"].as_str().is_some_and(|id| store.files.contains_key(id)) {
        return refusal(409, "fileIdInUse");
    }
    let total = request.header("x-upload-content-length").and_then(|total| total.parse().ok());
    let id = store.fresh("session");
    let session = Session {
        metadata,
        total,
        received: Vec::new(),
        begun_at: store.now,
        project: project.to_owned(),
        made: None,
    };
    let _ = store.sessions.insert(id.clone(), session);
    Reply::status(200).header(
        "Location",
        &format!("{base}/upload/drive/v3/files?uploadType=resumable&upload_id={id}"),
    )
}

/// Answers a piece, or the question how far the session got.
pub fn go_on(store: &mut Store, request: &Request, appetite: Appetite) -> Reply {
    let id = request.parameter("upload_id").unwrap_or_default().to_owned();
    let Some(session) = store.session(&id) else { return refusal(404, "notFound") };
    if let Some(made) = session.made.clone() {
        return match store.files.get(&made) {
            Some(file) => Reply::json(200, &store.describe(file)),
            None => refusal(404, "notFound"),
        };
    }
    if let Err(reply) = take_piece(session, request, appetite) {
        return reply;
    }
    if session.total != Some(session.received.len()) {
        return progress(session);
    }
    let (metadata, content) = (session.metadata.clone(), session.received.clone());
    let project = session.project.clone();
    match store.create(&metadata, content, &project) {
        Ok(made) => {
            if let Some(session) = store.session(&id) {
                session.made = Some(made.clone());
                session.received = Vec::new();
            }
            Reply::json(200, &store.describe(&store.files[&made]))
        }
        Err((status, reason)) => refusal(status, reason),
    }
}

fn take_piece(session: &mut Session, request: &Request, appetite: Appetite) -> Result<(), Reply> {
    let range = request.header("content-range").and_then(|range| range.strip_prefix("bytes "));
    let Some(range) = range else {
        // No range: the rest in one go, which may be nothing.
        session.received.extend_from_slice(&request.body);
        session.total = session.total.or(Some(session.received.len()));
        return Ok(());
    };
    let bad = || Err(refusal(400, "invalidContentRange"));
    let Some((span, total)) = range.split_once('/') else { return bad() };
    if total != "*" {
        let total = total.parse().map_err(|_| refusal(400, "invalidContentRange"))?;
        session.total = Some(total);
    }
    if span == "*" {
        return Ok(());
    }
    let Some((first, last)) = span.split_once('-') else { return bad() };
    let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
        return bad();
    };
    let is_last = Some(last + 1) == session.total;
    let length = (last + 1).saturating_sub(first);
    let fits = request.is_cut || request.body.len() == length;
    if !fits || first > session.received.len() || (!is_last && !length.is_multiple_of(UNIT_BYTES)) {
        return bad();
    }
    let known = session.received.len() - first;
    let mut fresh = request.body.get(known..).unwrap_or_default();
    if request.is_cut {
        fresh = &fresh[..fresh.len() / UNIT_BYTES * UNIT_BYTES];
    }
    let taken = match appetite {
        Appetite::All => fresh.len(),
        Appetite::Half => fresh.len() / 2 / UNIT_BYTES * UNIT_BYTES,
        Appetite::Nothing => 0,
    };
    session.received.extend_from_slice(&fresh[..taken]);
    Ok(())
}

fn progress(session: &Session) -> Reply {
    let reply = Reply::status(308);
    match session.received.len() {
        0 => reply,
        received => reply.header("Range", &format!("bytes=0-{}", received - 1)),
    }
}

fn whole(store: &mut Store, request: &Request, project: &str) -> Reply {
    let kind = request.header("content-type").unwrap_or_default();
    let Some(boundary) = kind.split("boundary=").nth(1) else {
        return refusal(400, "badContent");
    };
    let parts = parts(&request.body, boundary.trim_matches('"'));
    let [metadata, content] = parts.as_slice() else { return refusal(400, "badContent") };
    let Ok(metadata) = serde_json::from_slice::<Value>(metadata) else {
        return refusal(400, "parseError");
    };
    match store.create(&metadata, content.clone(), project) {
        Ok(id) => Reply::json(200, &store.describe(&store.files[&id])),
        Err((status, reason)) => refusal(status, reason),
    }
}

/// The bodies of the parts, byte for byte.
fn parts(body: &[u8], boundary: &str) -> Vec<Vec<u8>> {
    let mark = format!("--{boundary}");
    let mut starts = find(body, mark.as_bytes());
    let mut parts = Vec::new();
    while let Some((first, rest)) = starts.split_first() {
        let end = rest.first().copied().unwrap_or(body.len());
        let part = &body[first + mark.len()..end];
        // Google's Python client ends its lines with a line feed alone, and Drive takes that.
        let line_end: &[u8] = if part.starts_with(b"\r\n") { b"\r\n" } else { b"\n" };
        let head_end = find(part, &[line_end, line_end].concat()).first().copied();
        let body = head_end.and_then(|at| part.get(at + 2 * line_end.len()..));
        if let Some(body) = body.and_then(|body| body.strip_suffix(line_end)) {
            parts.push(body.to_vec());
        }
        starts = rest.to_vec();
    }
    parts
}

fn find(text: &[u8], what: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) =
        text[at..].windows(what.len()).position(|window| window == what).map(|next| at + next)
    {
        found.push(next);
        at = next + what.len();
    }
    found
}
