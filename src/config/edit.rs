//! Adding a mirror to a configuration file and taking it out again; the rest of the file stays as
//! it is, to the last comment.

use std::path::{Path, PathBuf};

use crate::config::{Config, Error, Mirror, SYSTEM_FILE, Variables, file::Document, validate};

/// A configuration file in its next version, which was read back and found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    pub path: PathBuf,
    pub text: String,
}

/// `key = "value"` pairs of a table, in order; those without a value are left out.
pub type Pairs<'a> = [(&'a str, Option<String>)];

/// Adds `[[mirror]]`. Returns the file to be written, and what the new mirror means.
pub fn add_mirror(
    config: &Config,
    variables: &Variables,
    pairs: &Pairs<'_>,
) -> Result<(Edited, Mirror), Error> {
    let path = config.file.clone().unwrap_or_else(|| new_file(variables));
    let mut text = text_of(config.file.as_deref())?;
    if !text.is_empty() {
        text = format!("{}\n\n", text.trim_end());
    }
    text.push_str("[[mirror]]\n");
    for (key, value) in pairs {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {}\n", toml::Value::from(value.as_str())));
        }
    }
    let mut mirrors = read_back(&path, &text, variables)?;
    let mirror = mirrors.pop().expect("one was just added");
    Ok((Edited { path, text }, mirror))
}

/// Takes the mirror out. Nothing comes back if the file does not name it.
pub fn remove_mirror(
    config: &Config,
    variables: &Variables,
    name: &str,
) -> Result<Option<Edited>, Error> {
    let Some(path) = &config.file else { return Ok(None) };
    let text = text_of(Some(path))?;
    let document = Document::parse(path, text.clone())?;
    let mut mirrors = document.settings.mirror.iter();
    let Some(mirror) = mirrors.find(|mirror| mirror.name.get_ref() == name) else {
        return Ok(None);
    };
    let text = without_table(&text, mirror.name.span().start);
    let _ = read_back(path, &text, variables)?;
    Ok(Some(Edited { path: path.clone(), text }))
}

fn new_file(variables: &Variables) -> PathBuf {
    variables
        .config_home()
        .map_or_else(|| PathBuf::from(SYSTEM_FILE), |home| home.join("stillpoint/stillpoint.toml"))
}

fn text_of(file: Option<&Path>) -> Result<String, Error> {
    let Some(path) = file else { return Ok(String::new()) };
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(unreadable)
}

fn read_back(path: &Path, text: &str, variables: &Variables) -> Result<Vec<Mirror>, Error> {
    let document = Document::parse(path, text.to_owned())?;
    Ok(validate::document(&document, Some(path), variables)?.mirrors)
}

/// Cuts out the lines of the table that the byte is in: from its header to the next one.
fn without_table(text: &str, inside: usize) -> String {
    let start = text[..inside].rfind("[[mirror]]").unwrap_or(inside);
    let next = text[inside..].match_indices('\n').map(|(at, _)| inside + at + 1);
    let mut headers = next.filter(|at| text[*at..].trim_start_matches(' ').starts_with('['));
    let end = headers.next().unwrap_or(text.len());
    let (before, after) = (text[..start].trim_end(), text[end..].trim_start());
    let separator = if before.is_empty() || after.is_empty() { "" } else { "\n\n" };
    let newline = if after.is_empty() && !before.is_empty() { "\n" } else { "" };
    format!("{before}{separator}{after}{newline}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_out_and_the_rest_stays() {
        let text = "# shop\nversion = 1\n\n[[mirror]] # away\nname = \"a\"\nkind = \"local\"\n\
                    path = \"/a\"\n\n# disk\n[[mirror]]\nname = \"b\"\n\n[alerts]\n";

        let without_b = without_table(text, text.find("\"b\"").unwrap());
        let without_a = without_table(text, text.find("\"a\"").unwrap());

        assert!(without_b.contains("name = \"a\"") && without_b.ends_with("# disk\n\n[alerts]\n"));
        assert!(without_a.starts_with("# shop\nversion = 1\n\n") && !without_a.contains("away"));
        assert!(without_a.contains("name = \"b\""));
    }

    #[test]
    fn what_was_added_is_found_and_what_was_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let variables = Variables::from_lookup(move |name| {
            (name == "XDG_CONFIG_HOME").then(|| home.clone().into())
        });
        let config = Config::load(&crate::config::Flags::default(), &variables).unwrap();
        let pairs = [
            ("name", Some("disk".to_owned())),
            ("kind", Some("local".to_owned())),
            ("path", Some("/mnt/\"disk\"".to_owned())),
            ("bucket", None),
        ];

        let (edited, mirror) = add_mirror(&config, &variables, &pairs).unwrap();

        assert_eq!(edited.path, folder.path().join("stillpoint/stillpoint.toml"));
        assert_eq!(mirror.place.to_string(), "/mnt/\"disk\"");
        let twice = format!("{0}\n{0}", edited.text);
        assert!(read_back(&edited.path, &twice, &variables).is_err());
    }
}
