//! Which folder is the root of a part, and what below it was asked for. Spec:
//! `format-spec/40-folder.md`, "Root".

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::{
    disk::FileKind,
    source::files::{Error, read_disk::ReadDisk},
};

/// The root folder, and what of it is saved.
#[derive(Debug)]
pub struct Roots {
    pub path: PathBuf,
    pub chosen: Chosen,
}

/// What of a folder is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All that the filter lets through.
    Whole,
    /// These names only; each was named by a person, so no pattern leaves it out.
    Only(BTreeMap<Vec<u8>, Chosen>),
}

/// Finds the deepest common folder of the paths.
///
/// A path that does not exist still counts, so that the root stays where it was when one of several
/// is gone.
///
/// # Errors
/// [`Error::Root`] if none of the paths exists.
pub fn resolve(disk: &dyn ReadDisk, paths: &[PathBuf]) -> Result<Roots, Error> {
    let mut missing = None;
    let mut resolved = Vec::new();
    let mut any_exists = false;
    for path in paths {
        match disk.resolve(path) {
            Ok((path, kind)) => {
                any_exists = true;
                resolved.push((path, kind == FileKind::Dir));
            }
            Err(source) => {
                resolved.push((resolve_missing(disk, path), false));
                let _ = missing.get_or_insert(Error::Root { path: path.clone(), source });
            }
        }
    }
    match missing {
        Some(error) if !any_exists => return Err(error),
        None if resolved.is_empty() => {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(Error::Root { path: PathBuf::new(), source });
        }
        _ => {}
    }
    let path = common_folder(&resolved);
    let mut chosen = Chosen::Only(BTreeMap::new());
    for (leaf, _) in &resolved {
        let below = leaf.strip_prefix(&path).expect("the common folder is above each path");
        choose(&mut chosen, below);
    }
    Ok(Roots { path, chosen })
}

/// Resolves what of the path exists, and keeps the rest as it is written.
fn resolve_missing(disk: &dyn ReadDisk, path: &Path) -> PathBuf {
    for existing in path.ancestors().skip(1) {
        if let Ok((resolved, _)) = disk.resolve(existing) {
            let rest = path.strip_prefix(existing).expect("an ancestor is a prefix");
            return resolved.join(rest);
        }
    }
    path.to_owned()
}

fn common_folder(paths: &[(PathBuf, bool)]) -> PathBuf {
    let mut folders = paths.iter().map(|(path, is_folder)| match is_folder {
        true => path.as_path(),
        false => path.parent().unwrap_or(path),
    });
    let first = folders.next().expect("there is at least one path");
    folders.fold(first.to_owned(), |common, folder| {
        common
            .components()
            .zip(folder.components())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a)
            .collect()
    })
}

fn choose(chosen: &mut Chosen, below: &Path) {
    let mut at = chosen;
    for component in below.components() {
        let Component::Normal(name) = component else { continue };
        match at {
            Chosen::Whole => return,
            Chosen::Only(names) => {
                let nothing = || Chosen::Only(BTreeMap::new());
                at = names.entry(name.as_bytes().to_vec()).or_insert_with(nothing);
            }
        }
    }
    *at = Chosen::Whole;
}

/// The name of the root entry: the last component of its path, or `root`.
pub fn root_name(path: &Path) -> Vec<u8> {
    path.file_name().unwrap_or(OsStr::new("root")).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::files::real_disk::RealReadDisk;

    /// Resolves paths below a folder that has `a/x/f`, `a/y` and `b`, and a link `l` to `a`.
    fn roots_of(paths: &[&str]) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        make_tree(&top);
        let paths: Vec<_> = paths.iter().map(|path| top.join(path)).collect();
        let roots = resolve(&RealReadDisk, &paths).unwrap();
        let root = roots.path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
        (root, shown(&roots.chosen))
    }

    #[expect(clippy::disallowed_methods, reason = "arranges the folder under test")]
    fn make_tree(top: &Path) {
        fs::create_dir_all(top.join("a/x")).unwrap();
        fs::create_dir_all(top.join("a/y")).unwrap();
        fs::create_dir_all(top.join("b")).unwrap();
        fs::write(top.join("a/x/f"), "f").unwrap();
        std::os::unix::fs::symlink("a", top.join("l")).unwrap();
    }

    fn shown(chosen: &Chosen) -> String {
        match chosen {
            Chosen::Whole => "*".to_owned(),
            Chosen::Only(names) => {
                let name = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
                let each = names.iter().map(|(n, below)| format!("{}:{}", name(n), shown(below)));
                format!("{{{}}}", each.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn the_root_is_the_deepest_common_folder() {
        for (paths, root, chosen) in [
            (&["a"][..], "a", "*"),
            (&["a/x/f"], "a/x", "{f:*}"),
            (&["a/x", "a/y"], "a", "{x:* y:*}"),
            (&["a/x/f", "b"], "", "{a:{x:{f:*}} b:*}"),
            (&["a", "a/x/f"], "a", "*"),
            (&["a/x/f", "a"], "a", "*"),
            (&["b", "b"], "b", "*"),
        ] {
            assert_eq!(roots_of(paths), (root.to_owned(), chosen.to_owned()), "{paths:?}");
        }
    }

    #[test]
    fn a_link_that_a_person_named_is_followed() {
        assert_eq!(roots_of(&["l", "a"]), ("a".to_owned(), "*".to_owned()));
    }

    #[test]
    fn a_missing_path_leaves_the_root_where_it_was() {
        let expected = (String::new(), "{a:* gone:{deep:*}}".to_owned());

        assert_eq!(roots_of(&["a", "gone/deep"]), expected);
    }

    #[test]
    fn no_path_at_all_is_an_error() {
        let missing = resolve(&RealReadDisk, &[PathBuf::from("/nowhere/at/all")]);

        assert!(matches!(missing, Err(Error::Root { .. })));
        assert!(matches!(resolve(&RealReadDisk, &[]), Err(Error::Root { .. })));
    }
}
