//! Everything about files but uploads.

use serde_json::{Value, json};

use super::{
    query::Query,
    refusals::refusal,
    store::{FOLDER, Store, properties},
    wire::{Reply, Request},
};

/// Answers below `/drive/v3`.
pub fn answer(store: &mut Store, request: &Request, project: &str) -> Reply {
    let path = request.path.strip_prefix("/drive/v3/").unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", "about") => about(store, request),
        ("GET", "files/generateIds") => generate_ids(store, request),
        ("GET", "files") => list(store, request, project),
        ("POST", "files") => create(store, request, project),
        (method, path) => match (method, path.strip_prefix("files/")) {
            ("GET", Some(id)) => get(store, request, id, project),
            ("PATCH", Some(id)) => patch(store, request, id, project),
            ("DELETE", Some(id)) => delete(store, id, project),
            _ => refusal(404, "notFound"),
        },
    }
}

fn about(store: &Store, request: &Request) -> Reply {
    if request.parameter("fields").is_none() {
        return refusal(400, "required");
    }
    let usage = store.usage();
    let trashed = store.files.values().filter(|file| file.trashed);
    let trash: usize = trashed.map(|file| file.content.len()).sum();
    let mut quota = json!({
        "usage": usage.to_string(),
        "usageInDrive": usage.to_string(),
        "usageInDriveTrash": trash.to_string(),
    });
    if let Some(limit) = store.knobs.quota_bytes {
        quota["limit"] = json!(limit.to_string());
    }
    let user = json!({"emailAddress": "maria@example.com", "displayName": "Maria"});
    Reply::json(200, &json!({"storageQuota": quota, "user": user}))
}

fn generate_ids(store: &mut Store, request: &Request) -> Reply {
    let count = request.parameter("count").map_or(Ok(10), str::parse).unwrap_or(0);
    if !(1..=1000).contains(&count) {
        return refusal(400, "invalidParameter");
    }
    let ids: Vec<String> = (0..count).map(|_| store.fresh("gen")).collect();
    store.generated.extend(ids.iter().cloned());
    Reply::json(200, &json!({"kind": "drive#generatedIds", "space": "drive", "ids": ids}))
}

fn create(store: &mut Store, request: &Request, project: &str) -> Reply {
    let Ok(metadata) = serde_json::from_slice::<Value>(&request.body) else {
        return refusal(400, "parseError");
    };
    match store.create(&metadata, Vec::new(), project) {
        Ok(id) => Reply::json(200, &store.describe(&store.files[&id])),
        Err((status, reason)) => refusal(status, reason),
    }
}

fn get(store: &Store, request: &Request, id: &str, project: &str) -> Reply {
    let Some(file) = store.visible(id, project) else { return refusal(404, "notFound") };
    if request.parameter("alt") != Some("media") {
        return Reply::json(200, &store.describe(file));
    }
    if file.is_abusive && request.parameter("acknowledgeAbuse") != Some("true") {
        return refusal(403, "cannotDownloadAbusiveFile");
    }
    let whole = Reply::status(200).header("Content-Type", "application/octet-stream");
    let range = request.header("range").filter(|_| !store.knobs.ignores_ranges);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return whole.body(file.content.clone());
    };
    let total = file.content.len();
    let (start, end) = range.split_once('-').unwrap_or((range, ""));
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse::<usize>().map_or(total, |last| (last + 1).min(total));
    if start >= total {
        return refusal(416, "requestedRangeNotSatisfiable")
            .header("Content-Range", &format!("bytes */{total}"));
    }
    Reply::status(206)
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", &format!("bytes {start}-{}/{total}", end - 1))
        .body(file.content[start..end].to_vec())
}

fn patch(store: &mut Store, request: &Request, id: &str, project: &str) -> Reply {
    if store.visible(id, project).is_none() {
        return refusal(404, "notFound");
    }
    let Ok(change) = serde_json::from_slice::<Value>(&request.body) else {
        return refusal(400, "parseError");
    };
    if let Some(trashed) = change["trashed"].as_bool() {
        store.set_trashed(id, trashed);
    }
    let file = store.files.get_mut(id).expect("it was visible just now");
    if let Some(name) = change["name"].as_str() {
        name.clone_into(&mut file.name);
    }
    file.app_properties.extend(properties(&change));
    Reply::json(200, &store.describe(&store.files[id]))
}

fn delete(store: &mut Store, id: &str, project: &str) -> Reply {
    if store.visible(id, project).is_none() {
        return refusal(404, "notFound");
    }
    store.delete(id);
    Reply::status(204)
}

fn list(store: &mut Store, request: &Request, project: &str) -> Reply {
    let query = request.parameter("q").unwrap_or("trashed = false");
    let Some(query) = Query::parse(query) else { return refusal(400, "invalid") };
    let page_size = request.parameter("pageSize").map_or(Ok(100), str::parse).unwrap_or(0);
    if !(1..=1000).contains(&page_size) {
        return refusal(400, "invalidParameter");
    }
    let lag = match query.is_by_name() {
        true => store.knobs.name_lag_seconds,
        false => store.knobs.parent_lag_seconds,
    };
    let is_seen =
        |id: &str, made_at: u64| store.visible(id, project).is_some() && made_at + lag <= store.now;
    // Several parents in one query: what comes is anything but reliable.
    let found: Vec<_> = match query.joins_parents() {
        true => Vec::new(),
        false => store
            .files
            .values()
            .filter(|file| query.matches(file) && is_seen(&file.id, file.made_at))
            .collect(),
    };
    let Some(start) = request.parameter("pageToken").map_or(Some(0), token_start) else {
        return refusal(400, "invalidPageToken");
    };
    let is_empty_page = store.knobs.has_empty_pages && !start.is_multiple_of(2);
    let size = match is_empty_page {
        true => 0,
        false => page_size.min(store.knobs.page_files_max),
    };
    let from = start / 2;
    let page = found.iter().skip(from).take(size);
    let has_all_fields = request.parameter("fields").is_some();
    let files: Vec<Value> = page
        .map(|file| match has_all_fields {
            true => store.describe(file),
            false => json!({"id": file.id, "name": file.name, "mimeType": file.mime_type}),
        })
        .collect();
    let next = from + files.len();
    let mut body = json!({"kind": "drive#fileList", "incompleteSearch": false, "files": files});
    if next < found.len() {
        let odd = usize::from(store.knobs.has_empty_pages && !is_empty_page);
        body["nextPageToken"] = json!(format!("page-{}", next * 2 + odd));
    }
    Reply::json(200, &body)
}

fn token_start(token: &str) -> Option<usize> {
    token.strip_prefix("page-")?.parse().ok()
}

impl Store {
    /// Trashes a file or takes it out of the trash, with all below it.
    pub fn set_trashed(&mut self, id: &str, trashed: bool) {
        let Some(file) = self.files.get_mut(id) else { return };
        file.trashed = trashed;
        if file.mime_type == FOLDER {
            let below = |file: &&super::store::File| file.parents.iter().any(|p| p == id);
            let children: Vec<String> =
                self.files.values().filter(below).map(|file| file.id.clone()).collect();
            children.iter().for_each(|child| self.set_trashed(child, trashed));
        }
    }
}
