//! What the store holds: files, sessions, ids, accounts of one owner.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha256;

pub const FOLDER: &str = "application/vnd.google-apps.folder";
/// There from the beginning, for clients that want a folder to start from.
pub const ROOT: &str = "root0";
const WEEK_SECONDS: u64 = 7 * 24 * 3600;

/// A file or a folder.
#[derive(Debug, Clone)]
pub struct File {
    pub id: String,
    pub name: String,
    pub mime_type: String,
    pub parents: Vec<String>,
    pub app_properties: BTreeMap<String, String>,
    pub trashed: bool,
    pub content: Vec<u8>,
    /// Project of the client that made it; others do not see it.
    pub project: String,
    pub made_at: u64,
    /// Google takes it for malware.
    pub is_abusive: bool,
}

/// An upload under way.
#[derive(Debug, Clone)]
pub struct Session {
    pub metadata: Value,
    pub total: Option<usize>,
    pub received: Vec<u8>,
    pub begun_at: u64,
    pub project: String,
    pub made: Option<String>,
}

/// Properties of the store that tests turn.
#[derive(Debug, Clone)]
pub struct Knobs {
    pub page_files_max: usize,
    /// Every other page is empty, with a token.
    pub has_empty_pages: bool,
    pub name_lag_seconds: u64,
    pub parent_lag_seconds: u64,
    pub hides_sha256: bool,
    pub ignores_ranges: bool,
    /// Ids that generateIds never gave are refused.
    pub refuses_foreign_ids: bool,
    /// Files that a folder takes; folders are not counted.
    pub children_max: usize,
    pub quota_bytes: Option<u64>,
    pub token_seconds: u64,
    /// A renewal brings a new refresh token and ends the old one.
    pub changes_refresh_tokens: bool,
    /// The consent page grants this scope, or nothing at all.
    pub consent: Option<String>,
    /// How often a device that asks for its code is told to wait.
    pub device_waits: u32,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            page_files_max: 1000,
            has_empty_pages: false,
            name_lag_seconds: 0,
            parent_lag_seconds: 0,
            hides_sha256: false,
            ignores_ranges: false,
            refuses_foreign_ids: true,
            children_max: 500_000,
            quota_bytes: None,
            token_seconds: 3600,
            changes_refresh_tokens: false,
            consent: Some("https://www.googleapis.com/auth/drive.file".to_owned()),
            device_waits: 2,
        }
    }
}

/// A code that a consent page gave.
#[derive(Debug, Clone)]
pub struct Code {
    pub project: String,
    pub redirect: String,
    pub challenge: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Store {
    pub files: BTreeMap<String, File>,
    pub sessions: BTreeMap<String, Session>,
    pub generated: BTreeSet<String>,
    pub knobs: Knobs,
    /// Seconds since the beginning.
    pub now: u64,
    /// Bearer token -> project and end.
    pub bearers: BTreeMap<String, (String, u64)>,
    /// Refresh token -> project.
    pub refresh: BTreeMap<String, String>,
    pub codes: BTreeMap<String, Code>,
    /// Device code -> project, and how often it is still pending.
    pub devices: BTreeMap<String, (String, u32)>,
    counter: u64,
}

impl Store {
    pub fn new() -> Self {
        let mut store = Self::default();
        let root = File {
            id: ROOT.to_owned(),
            name: "My Drive".to_owned(),
            mime_type: FOLDER.to_owned(),
            parents: Vec::new(),
            app_properties: BTreeMap::new(),
            trashed: false,
            content: Vec::new(),
            project: String::new(),
            made_at: 0,
            is_abusive: false,
        };
        let _ = store.files.insert(ROOT.to_owned(), root);
        store
    }

    /// A text that was never given out before.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}{:016x}", self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn usage(&self) -> u64 {
        self.files.values().map(|file| file.content.len() as u64).sum()
    }

    /// A file that the client may see.
    pub fn visible(&self, id: &str, project: &str) -> Option<&File> {
        self.files.get(id).filter(|file| file.project.is_empty() || file.project == project)
    }

    /// Makes a file, or says which status and reason it is refused with.
    pub fn create(
        &mut self,
        metadata: &Value,
        content: Vec<u8>,
        project: &str,
    ) -> Result<String, (u16, &'static str)> {
        let text = |key: &str| metadata[key].as_str().map(str::to_owned);
        let id = match text("id") {
            Some(id) if self.files.contains_key(&id) => return Err((409, "fileIdInUse")),
            Some(id) if self.knobs.refuses_foreign_ids && !self.generated.contains(&id) => {
                return Err((400, "invalid"));
            }
            Some(id) => id,
            None => self.fresh("auto"),
        };
        let parents: Vec<String> = metadata["parents"]
            .as_array()
            .map(|parents| parents.iter().filter_map(|p| p.as_str()).map(str::to_owned).collect())
            .unwrap_or_default();
        if parents.len() > 1 {
            return Err((403, "cannotAddParent"));
        }
        let parents = if parents.is_empty() { vec![ROOT.to_owned()] } else { parents };
        if parents.iter().any(|parent| self.visible(parent, project).is_none()) {
            return Err((404, "notFound"));
        }
        let is_child = |file: &&File| {
            file.parents == parents && parents[0] != ROOT && file.mime_type != FOLDER
        };
        let is_folder = metadata["mimeType"] == FOLDER;
        let children = self.files.values().filter(is_child).count();
        if !is_folder && children >= self.knobs.children_max {
            return Err((403, "numChildrenInNonRootLimitExceeded"));
        }
        let after = self.usage() + content.len() as u64;
        if self.knobs.quota_bytes.is_some_and(|quota| after > quota) {
            return Err((403, "storageQuotaExceeded"));
        }
        let file = File {
            id: id.clone(),
            name: text("name").unwrap_or_else(|| "Untitled".to_owned()),
            mime_type: text("mimeType").unwrap_or_else(|| "application/octet-stream".to_owned()),
            parents,
            app_properties: properties(metadata),
            trashed: false,
            content,
            project: project.to_owned(),
            made_at: self.now,
            is_abusive: false,
        };
        let _ = self.files.insert(id.clone(), file);
        Ok(id)
    }

    /// What Drive says about a file.
    pub fn describe(&self, file: &File) -> Value {
        let mut json = json!({
            "kind": "drive#file",
            "id": file.id,
            "name": file.name,
            "mimeType": file.mime_type,
            "parents": file.parents,
            "appProperties": file.app_properties,
            "trashed": file.trashed,
            "createdTime": "2026-01-01T00:00:00.000Z",
            "modifiedTime": "2026-01-01T00:00:00.000Z",
        });
        if file.mime_type != FOLDER {
            json["size"] = json!(file.content.len().to_string());
            json["md5Checksum"] = json!(hex(&Md5::digest(&file.content)));
            if !self.knobs.hides_sha256 {
                json["sha256Checksum"] = json!(hex(&Sha256::digest(&file.content)));
            }
        }
        json
    }

    /// A session that still lives.
    pub fn session(&mut self, id: &str) -> Option<&mut Session> {
        let now = self.now;
        self.sessions.get_mut(id).filter(|session| now - session.begun_at < WEEK_SECONDS)
    }

    /// Deletes a file and, if it is a folder, all below it.
    pub fn delete(&mut self, id: &str) {
        let _ = self.files.remove(id);
        let below = |file: &&File| file.parents.iter().any(|parent| parent == id);
        let children: Vec<String> =
            self.files.values().filter(below).map(|file| file.id.clone()).collect();
        children.iter().for_each(|child| self.delete(child));
    }
}

pub fn properties(metadata: &Value) -> BTreeMap<String, String> {
    let pairs = metadata["appProperties"].as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
