//! What a manifest may say. Pure: an export is refused before anything of it is written.

use std::collections::{BTreeSet, HashSet};

use crate::{
    limits::FOLDER_DEPTH_MAX,
    ops::{
        export::manifest::{
            CONFIGURATION, EntryFacts, EntryKind, FORMAT, Kind, Manifest, PartFacts, README,
            original_name,
        },
        set::is_part_name,
    },
};

/// Longest target of a link, as Linux has it.
const LINK_BYTES_MAX: u64 = 4095;
const NAME_BYTES_MAX: usize = 255;

/// Returns the rule that the manifest breaks, if it breaks one.
pub fn broken(manifest: &Manifest) -> Option<String> {
    check(manifest).err()
}

fn check(manifest: &Manifest) -> Result<(), String> {
    if manifest.format != FORMAT {
        return Err("its manifest is that of something else".to_owned());
    }
    let mut names = BTreeSet::new();
    for part in &manifest.parts {
        if !is_part_name(&part.name) || !names.insert(part.restored_name()) {
            return Err("a part has a name that no part has, or that another one has".to_owned());
        }
        check_database(manifest, part)?;
    }
    let (mut seen, mut folders) = (HashSet::new(), HashSet::new());
    for entry in &manifest.entries {
        let wrong = |why: &str| format!("{:?}: {why}", entry.path);
        if !seen.insert(entry.path.trim_end_matches('/')) {
            return Err(wrong("it is there twice"));
        }
        check_facts(entry).map_err(wrong)?;
        check_place(manifest, entry, &folders).map_err(wrong)?;
        if entry.kind == EntryKind::Folder {
            let _ = folders.insert(entry.path.as_str());
        }
    }
    Ok(())
}

fn check_database(manifest: &Manifest, part: &PartFacts) -> Result<(), String> {
    match (&part.database, part.kind) {
        (None, Kind::Files | Kind::Config) => Ok(()),
        (Some(database), Kind::Database) => {
            let is_there = |entry: &EntryFacts| {
                entry.path == database.entry && entry.kind == EntryKind::Database
            };
            let is_its_own = database.entry == part.place() && is_sum(&database.sha256);
            match is_its_own && manifest.entries.iter().any(is_there) {
                true => Ok(()),
                false => Err(format!("the database {} has no entry", part.name)),
            }
        }
        _ => Err(format!("the part {} is of two kinds", part.name)),
    }
}

fn check_facts(entry: &EntryFacts) -> Result<(), &'static str> {
    let is_folder = entry.kind == EntryKind::Folder;
    if is_folder != entry.path.ends_with('/') || (is_folder && entry.size != 0) {
        return Err("it is half a folder");
    }
    if entry.kind == EntryKind::Link && !(1..=LINK_BYTES_MAX).contains(&entry.size) {
        return Err("no link leads that far");
    }
    if entry.mode > 0o777 || entry.modified.1 >= 1_000_000_000 || !is_sum(&entry.sha256) {
        return Err("its facts are none");
    }
    Ok(())
}

/// An entry belongs to a part, below folders that came before it.
fn check_place(
    manifest: &Manifest,
    entry: &EntryFacts,
    folders: &HashSet<&str>,
) -> Result<(), &'static str> {
    match (entry.path.as_str(), entry.kind) {
        (README, EntryKind::Readme) | (CONFIGURATION, EntryKind::Config) => return Ok(()),
        _ => {}
    }
    let part = part_of(manifest, &entry.path).ok_or("it belongs to no part")?;
    match (part.kind, entry.kind) {
        (Kind::Database, EntryKind::Database) => return Ok(()),
        (Kind::Files, EntryKind::File | EntryKind::Folder | EntryKind::Link)
        | (Kind::Config, EntryKind::Config | EntryKind::Folder | EntryKind::Link) => {}
        _ => return Err("it is not of its part's kind"),
    }
    let Some(names) = names_below(part, &entry.path) else { return Err("its name is not safe") };
    let parent_bytes = match names.len() {
        0 => return Ok(()),
        1..=FOLDER_DEPTH_MAX => {
            let path = entry.path.trim_end_matches('/');
            path.rfind('/').map_or(0, |slash| slash + 1)
        }
        _ => return Err("it lies too deep"),
    };
    match folders.contains(&entry.path[..parent_bytes]) {
        true => Ok(()),
        false => Err("it is in no folder"),
    }
}

/// The part that a path belongs to.
pub fn part_of<'a>(manifest: &'a Manifest, path: &str) -> Option<&'a PartFacts> {
    manifest.parts.iter().find(|part| {
        let place = part.place();
        path == place || (part.kind != Kind::Database && path.starts_with(&place))
    })
}

/// The names that lead from the folder of a part to an entry: none for the folder itself. Nothing
/// comes back if one of them is no name of a file.
pub fn names_below(part: &PartFacts, path: &str) -> Option<Vec<Vec<u8>>> {
    let below = path.strip_prefix(&part.place())?;
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.is_empty() {
        return Some(Vec::new());
    }
    below
        .split('/')
        .map(|name| {
            let name = original_name(name)?;
            let is_safe = !matches!(&name[..], b"" | b"." | b"..")
                && name.len() <= NAME_BYTES_MAX
                && !name.contains(&b'/')
                && !name.contains(&0);
            is_safe.then_some(name)
        })
        .collect()
}

fn is_sum(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::export::manifest::FORMAT_VERSION;

    fn manifest(paths: &[(&str, EntryKind)]) -> Manifest {
        let entry = |(path, kind): &(&str, EntryKind)| EntryFacts {
            path: (*path).to_owned(),
            kind: *kind,
            size: u64::from(*kind != EntryKind::Folder),
            sha256: "0f".repeat(32),
            mode: 0o644,
            modified: (0, 0),
        };
        Manifest {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            program_version: String::new(),
            app_version: String::new(),
            host: String::new(),
            parts: vec![PartFacts {
                name: "up".to_owned(),
                kind: Kind::Files,
                snapshot: String::new(),
                taken: String::new(),
                sources: Vec::new(),
                root: String::new(),
                complete: true,
                problem_count: 0,
                deleted: Vec::new(),
                deleted_count: 0,
                left_out: Vec::new(),
                database: None,
            }],
            entries: paths.iter().map(entry).collect(),
        }
    }

    const FOLDER: (&str, EntryKind) = ("files/up/", EntryKind::Folder);

    fn breaks(path: &str, kind: EntryKind) -> bool {
        broken(&manifest(&[FOLDER, (path, kind)])).is_some()
    }

    #[test]
    fn entries_lie_below_folders_of_their_part() {
        let sound = manifest(&[
            FOLDER,
            ("files/up/a", EntryKind::File),
            ("files/up/b/", EntryKind::Folder),
            ("files/up/b/c%25", EntryKind::File),
            ("files/up/b/l", EntryKind::Link),
        ]);

        assert_eq!(broken(&sound), None);
        assert!(broken(&manifest(&[("files/up/a", EntryKind::File), FOLDER])).is_some());
        assert!(broken(&manifest(&[FOLDER, FOLDER])).is_some());
    }

    #[test]
    fn no_name_leads_out_of_its_part() {
        for path in [
            "files/up/../x",
            "files/up/./x",
            "files/up/..",
            "files/up//x",
            "files/up/%2Fetc",
            "files/up/%2E%2E/x",
            "files/up/a%00",
            "files/other/x",
            "/etc/passwd",
            "../x",
            "files/up",
            "databases/up.db.gz",
            "",
        ] {
            assert!(breaks(path, EntryKind::File), "{path}");
        }
        assert!(breaks(&format!("files/up/{}", "n".repeat(256)), EntryKind::File));
    }

    #[test]
    fn nothing_lies_below_a_link_or_a_file() {
        for kind in [EntryKind::Link, EntryKind::File] {
            let hostile =
                manifest(&[FOLDER, ("files/up/l", kind), ("files/up/l/x", EntryKind::File)]);
            assert!(broken(&hostile).is_some());
            let twice = manifest(&[
                FOLDER,
                ("files/up/l", kind),
                ("files/up/l/", EntryKind::Folder),
                ("files/up/l/x", EntryKind::File),
            ]);
            assert!(broken(&twice).is_some());
        }
    }

    #[test]
    fn kinds_and_facts_are_those_of_the_part() {
        assert!(breaks("files/up/d", EntryKind::Folder));
        assert!(breaks("files/up/d/", EntryKind::File));
        assert!(breaks("files/up/d", EntryKind::Config));
        assert!(breaks("files/up/d", EntryKind::Database));
        let mut odd = manifest(&[FOLDER]);
        odd.entries[0].mode = 0o4755;
        assert!(broken(&odd).is_some());
        let mut odd = manifest(&[FOLDER]);
        odd.parts[0].name = "../up".to_owned();
        assert!(broken(&odd).is_some());
    }
}
