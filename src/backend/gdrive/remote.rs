//! A file as Drive describes it, and what we ask it to remember.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::drive::is_id;
use crate::backend::{Folder, ObjectName};

/// What every answer about a file is to hold.
pub const FIELDS: &str =
    "id,name,mimeType,size,md5Checksum,sha256Checksum,parents,appProperties,trashed";
pub const FOLDER_TYPE: &str = "application/vnd.google-apps.folder";
const OBJECT_TYPE: &str = "application/octet-stream";

/// Property of our folders: what they are for. Names may be changed by people, properties not.
pub const ROLE: &str = "stillpoint";
pub const ROLE_ROOT: &str = "repository";
/// Property of the root: number of the client's project, which decides who can see it.
pub const PROJECT: &str = "project";
/// Property of an object: folder and name, as in the repository.
pub const OBJECT: &str = "object";
/// Property of what we moved to the trash ourselves.
pub const DELETED: &str = "deleted";

/// A file or folder of the store. Numbers are strings in Drive's JSON.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Remote {
    #[serde(deserialize_with = "id")]
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub mime_type: String,
    #[serde(default, deserialize_with = "int64")]
    pub size: Option<u64>,
    pub md5_checksum: Option<String>,
    pub sha256_checksum: Option<String>,
    #[serde(default)]
    pub app_properties: HashMap<String, String>,
    #[serde(default)]
    pub parents: Vec<String>,
    #[serde(default)]
    pub trashed: bool,
}

impl Remote {
    /// The object that this file holds, by what we wrote down about it, or by its name.
    pub fn object(&self, folder: Folder) -> Option<ObjectName> {
        if self.mime_type == FOLDER_TYPE {
            return None;
        }
        let noted = self.app_properties.get(OBJECT).and_then(|noted| {
            ObjectName::parse(folder, noted.strip_prefix(folder.as_str())?.strip_prefix('/')?)
        });
        noted.or_else(|| ObjectName::parse(folder, &self.name))
    }

    pub fn role(&self) -> Option<&str> {
        self.app_properties.get(ROLE).map(String::as_str)
    }

    /// Whether it was us who moved it to the trash.
    pub fn is_deleted_by_us(&self) -> bool {
        self.trashed && self.app_properties.contains_key(DELETED)
    }
}

/// What an object's file is to be called and to remember.
pub fn object_metadata(id: &str, parent: &str, name: &ObjectName) -> Value {
    json!({
        "id": id,
        "name": name.file_name(),
        "mimeType": OBJECT_TYPE,
        "parents": [parent],
        "appProperties": {OBJECT: name.to_string()},
    })
}

/// What the folder of a repository is to be called and to remember.
pub fn root_metadata(id: &str, name: &str, project: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "mimeType": FOLDER_TYPE,
        "appProperties": {ROLE: ROLE_ROOT, PROJECT: project},
    })
}

/// What the file is to be called that proves a place.
pub fn canary_metadata(id: &str, root: &str) -> Value {
    json!({
        "id": id,
        "name": "canary",
        "mimeType": OBJECT_TYPE,
        "parents": [root],
        "appProperties": {ROLE: "canary"},
    })
}

/// What one of the folders below is to be called and to remember.
pub fn shelf_metadata(id: &str, root: &str, name: &str, folder: Folder) -> Value {
    json!({
        "id": id,
        "name": name,
        "mimeType": FOLDER_TYPE,
        "parents": [root],
        "appProperties": {ROLE: folder.as_str()},
    })
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    match is_id(&id) {
        true => Ok(id),
        false => Err(de::Error::custom("not an id")),
    }
}

fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PackId;

    fn file(name: &str, object: &str) -> Remote {
        serde_json::from_value(json!({
            "id": "a", "name": name, "size": "12", "appProperties": {"object": object},
        }))
        .unwrap()
    }

    #[test]
    fn an_object_is_known_by_its_property_whatever_people_call_it() {
        let pack = ObjectName::Pack(PackId([7; 32]));

        for (name, object) in [
            ("holiday.jpg", pack.to_string()),
            (&pack.file_name(), String::new()),
            (&pack.file_name(), "nonsense".to_owned()),
        ] {
            assert_eq!(file(name, &object).object(Folder::Packs), Some(pack.clone()), "{name}");
        }
        assert_eq!(file("holiday.jpg", "").object(Folder::Packs), None);
        assert_eq!(file("x", &pack.to_string()).object(Folder::Snapshots), None);
    }

    #[test]
    fn sizes_are_strings_and_ids_are_plain() {
        assert_eq!(file("a", "").size, Some(12));
        for bad in [json!({"id": "a'b"}), json!({"id": "a", "size": "x"}), json!({"id": ""})] {
            assert!(serde_json::from_value::<Remote>(bad).is_err());
        }
    }

    #[test]
    fn properties_keep_drives_limit_of_124_bytes() {
        let longest = ObjectName::Index { sequence: u64::MAX, id: crate::id::ObjectId([255; 32]) };

        assert!(OBJECT.len() + longest.to_string().len() <= 124);
    }
}
