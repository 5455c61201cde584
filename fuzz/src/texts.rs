//! What people and other programs write, and we read: configurations, moments, recovery sheets,
//! manifests of exports, names of objects, and pages of databases that were stored.

use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use stillpoint::{
    backend::{Folder, ObjectName},
    config,
    crypto::{
        recovery::{read_file, read_typed, written_groups},
        secret::Credential,
    },
    format::{
        envelope::Kind,
        show::{self, ChunkUse},
    },
    ops::{
        export::manifest::{EntryKind, Manifest, entry_name, original_name},
        moment::Selector,
        past::btree::Page,
        unpack::rules,
    },
};

/// A moment in the hour that clocks in Berlin go through twice.
const NOW: i64 = 1_793_493_000_000_000_000;
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const PAGE_BYTES: usize = 512;

pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = config::recorded_sets(text);
    let _ = config::parse_permille(text);
    let _ = config::parse_rate(text);
    if let Ok(place) = config::Place::parse(text.as_ref(), &config::Variables::default()) {
        assert!(!format!("{place:?}").is_empty());
    }
    if let Some(bytes) = config::parse_bytes(text) {
        assert_eq!(config::parse_bytes(&bytes.to_string()), Some(bytes));
    }
}

pub fn selector(bytes: &[u8]) {
    static ZONE: LazyLock<TimeZone> =
        LazyLock::new(|| TimeZone::posix(BERLIN).expect("the zone is well written"));
    if let Ok(Selector { item: Some(item), .. }) = Selector::parse(bytes, NOW, &ZONE) {
        assert!(item.path.iter().all(|name| !name.is_empty() && name != b".." && name != b"."));
        assert!(!item.part.is_empty());
    }
}

pub fn recovery_sheet(bytes: &[u8]) {
    let _ = read_file(bytes);
    if let Ok(Credential::Recovery(key)) = read_typed(bytes) {
        let written = written_groups(&key).map(|group| group.to_string()).join("-");
        let again = read_typed(written.as_bytes());
        assert!(matches!(again, Ok(Credential::Recovery(read)) if read == key));
    }
}

pub fn manifest(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(name) = original_name(text)
    {
        assert_eq!(entry_name(&name), text);
    }
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    if rules::broken(&manifest).is_some() {
        return;
    }
    for entry in &manifest.entries {
        let Some(part) = rules::part_of(&manifest, &entry.path) else { continue };
        if entry.kind == EntryKind::Database {
            continue;
        }
        let names = rules::names_below(part, &entry.path).expect("its place was judged");
        let is_safe = |name: &Vec<u8>| {
            !matches!(&name[..], b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
        };
        assert!(names.iter().all(is_safe), "{names:?}");
    }
}

pub fn object_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for folder in Folder::ALL {
        if let Some(name) = ObjectName::parse(folder, text) {
            assert_eq!((name.folder(), name.file_name().as_str()), (folder, text));
        }
    }
}

/// A page of a stored database, as `diff` and `find` read it without SQLite.
pub fn btree_page(bytes: &[u8]) {
    let mut page = bytes.to_vec();
    page.resize(PAGE_BYTES, 0);
    for (number, usable_bytes) in [(1, PAGE_BYTES), (2, PAGE_BYTES), (3, PAGE_BYTES - 32)] {
        let page = Arc::new(page.clone());
        let Ok(page) = Page::parse(number, page, usable_bytes) else { continue };
        let _ = page.children();
        assert!(page.cells().count() <= PAGE_BYTES);
    }
}

/// What `cat` and `debug` print of any object.
pub fn show(bytes: &[u8]) {
    for kind in Kind::ALL {
        let _ = show::object(kind, bytes);
    }
    let page_bytes = PAGE_BYTES as u32;
    for chunk_use in
        [ChunkUse::Node, ChunkUse::Ids, ChunkUse::PageMap, ChunkUse::PageChunk { page_bytes }]
    {
        let _ = show::chunk(chunk_use, bytes);
    }
}
