//! Where the parts belong.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::{
    format::record::Part,
    ops::{
        self,
        live::Error,
        set::{Set, SetSource},
    },
};

/// Where a database is to go: where the configuration has it now, or where it was.
pub fn database_place(part: &Part, set: Option<&Set>) -> Result<PathBuf, ops::Error> {
    let place = match set.map(|set| &set.source) {
        Some(SetSource::Sqlite { path }) => path.clone(),
        _ => {
            let source = part.sources.first();
            let source = source.ok_or_else(|| Error::NoPlace { part: part.name.clone() })?;
            OsString::from_vec(source.clone()).into()
        }
    };
    Ok(resolved(&place))
}

/// Where a tree is to go. If its set has moved as a whole, it moves along.
pub fn tree_place(part: &Part, from: &Path, set: Option<&Set>) -> PathBuf {
    if let (Some(SetSource::Files(files)), [source]) =
        (set.map(|set| &set.source), part.sources.as_slice())
        && let [path] = files.paths.as_slice()
        && from.as_os_str().as_bytes() == source.as_slice()
    {
        return resolved(path);
    }
    resolved(from)
}

/// The path without links, as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let Ok(real) = std::fs::canonicalize(existing) {
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}
