//! Values of flags that are more than text.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::Duration,
};

use clap::builder::{OsStringValueParser, StringValueParser, TypedValueParser};

use crate::ops::set::is_part_name;

/// `NAME=PATH`: a set that is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
}

/// Reads `NAME=PATH`; a relative path is meant from the working directory.
pub(super) fn named_path() -> impl TypedValueParser<Value = NamedPath> {
    OsStringValueParser::new().try_map(|text| parse_named_path(&text))
}

fn parse_named_path(text: &OsStr) -> Result<NamedPath, String> {
    let bytes = text.as_bytes();
    let equals = bytes.iter().position(|&byte| byte == b'=').ok_or("write it as NAME=PATH")?;
    let (name, path) = (String::from_utf8_lossy(&bytes[..equals]), &bytes[equals + 1..]);
    if !is_part_name(&name) {
        return Err(format!(
            "`{name}` is no name: use lower-case letters, digits, `.`, `_` and `-`, and begin with \
             a letter or digit"
        ));
    }
    let path = std::path::absolute(OsString::from_vec(path.to_vec()));
    let path = path.map_err(|_| "write it as NAME=PATH")?;
    Ok(NamedPath { name: name.into_owned(), path })
}

/// Reads `10%` or `10`.
pub(super) fn percent() -> impl TypedValueParser<Value = u8> {
    StringValueParser::new().try_map(|text| {
        let percent = text.strip_suffix('%').unwrap_or(&text).parse().ok();
        percent.filter(|percent| (1..=100).contains(percent)).ok_or("write it as 10%")
    })
}

/// Reads `30s`, `10m`, `2h`.
pub(super) fn duration() -> impl TypedValueParser<Value = Duration> {
    StringValueParser::new().try_map(|text| {
        let signed: Option<jiff::SignedDuration> = text.parse().ok();
        signed
            .and_then(|signed| Duration::try_from(signed).ok())
            .ok_or("write it as 30s, 10m or 2h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_path_keeps_bytes_and_further_equals_signs() {
        let parsed = parse_named_path(OsStr::from_bytes(b"pos=/a=b/\xff")).unwrap();

        assert_eq!(parsed.name, "pos");
        assert_eq!(parsed.path.as_os_str().as_bytes(), b"/a=b/\xff");
    }

    #[test]
    fn a_path_without_name_or_with_a_bad_one_is_refused() {
        for text in ["/a", "=/a", "POS=/a", "a b=/a", "pos="] {
            assert!(parse_named_path(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
