//! The little language of `q`. What is not known here is refused, never taken for true.

use super::store::File;

/// A query, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
    InParents(String),
    Name(String),
    NameContains(String),
    MimeType { is: bool, value: String },
    Trashed(bool),
    Property { key: String, value: String },
}

impl Query {
    /// Parses a query; nothing comes back if any of it is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let query = disjunction(&mut rest)?;
        rest.trim().is_empty().then_some(query)
    }

    pub fn matches(&self, file: &File) -> bool {
        match self {
            Self::And(all) => all.iter().all(|query| query.matches(file)),
            Self::Or(any) => any.iter().any(|query| query.matches(file)),
            Self::Not(query) => !query.matches(file),
            Self::InParents(id) => file.parents.contains(id),
            Self::Name(name) => file.name == *name,
            Self::NameContains(prefix) => file.name.starts_with(prefix),
            Self::MimeType { is, value } => (file.mime_type == *value) == *is,
            Self::Trashed(trashed) => file.trashed == *trashed,
            Self::Property { key, value } => file.app_properties.get(key) == Some(value),
        }
    }

    /// Whether the search by name is part of it, which lags the most.
    pub fn is_by_name(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::is_by_name),
            Self::Not(query) => query.is_by_name(),
            Self::Name(_) | Self::NameContains(_) | Self::Property { .. } => true,
            _ => false,
        }
    }

    /// Whether several parents are asked for at once, which real Drive answers at random.
    pub fn joins_parents(&self) -> bool {
        match self {
            Self::Or(any) => any.iter().filter(|q| matches!(q, Self::InParents(_))).count() > 1,
            Self::And(all) => all.iter().any(Self::joins_parents),
            Self::Not(query) => query.joins_parents(),
            _ => false,
        }
    }
}

fn disjunction(rest: &mut &str) -> Option<Query> {
    let mut any = vec![conjunction(rest)?];
    while take(rest, "or ") || take(rest, "or(") {
        any.push(conjunction(rest)?);
    }
    Some(if any.len() == 1 { any.remove(0) } else { Query::Or(any) })
}

fn conjunction(rest: &mut &str) -> Option<Query> {
    let mut all = vec![term(rest)?];
    while take(rest, "and ") {
        all.push(term(rest)?);
    }
    Some(if all.len() == 1 { all.remove(0) } else { Query::And(all) })
}

fn term(rest: &mut &str) -> Option<Query> {
    if take(rest, "(") {
        let inner = disjunction(rest)?;
        return take(rest, ")").then_some(inner);
    }
    if take(rest, "not ") {
        return Some(Query::Not(Box::new(term(rest)?)));
    }
    if take(rest, "trashed") {
        take(rest, "=").then_some(())?;
        return match () {
            () if take(rest, "true") => Some(Query::Trashed(true)),
            () if take(rest, "false") => Some(Query::Trashed(false)),
            () => None,
        };
    }
    if take(rest, "name") {
        return match () {
            () if take(rest, "=") => Some(Query::Name(quoted(rest)?)),
            () if take(rest, "contains") => Some(Query::NameContains(quoted(rest)?)),
            () => None,
        };
    }
    if take(rest, "mimeType") {
        let is = !take(rest, "!");
        take(rest, "=").then_some(())?;
        return Some(Query::MimeType { is, value: quoted(rest)? });
    }
    if take(rest, "appProperties") {
        (take(rest, "has") && take(rest, "{") && take(rest, "key") && take(rest, "="))
            .then_some(())?;
        let key = quoted(rest)?;
        (take(rest, "and ") && take(rest, "value") && take(rest, "=")).then_some(())?;
        let value = quoted(rest)?;
        return take(rest, "}").then_some(Query::Property { key, value });
    }
    let id = quoted(rest)?;
    (take(rest, "in ") && take(rest, "parents")).then_some(Query::InParents(id))
}

fn take(rest: &mut &str, word: &str) -> bool {
    let trimmed = rest.trim_start();
    match trimmed.strip_prefix(word) {
        Some(behind) => {
            *rest = behind;
            true
        }
        None => false,
    }
}

fn quoted(rest: &mut &str) -> Option<String> {
    take(rest, "'").then_some(())?;
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?.1),
            '\'' => {
                *rest = &rest[at + 1..];
                return Some(text);
            }
            _ => text.push(c),
        }
    }
    None
}

#[test]
fn queries_of_known_clients_are_understood_and_others_refused() {
    for known in [
        "'a1' in parents and trashed = false",
        "trashed=false and ('root0' in parents)",
        "name = 'it\\'s' and 'a' in parents",
        "mimeType = 'application/vnd.google-apps.folder' and trashed = false",
        "mimeType!='x' and (name='a' or name='b')",
        "appProperties has { key='k' and value='v' }",
        "not trashed=true",
    ] {
        assert!(Query::parse(known).is_some(), "{known}");
    }
    for unknown in ["", "true", "fullText contains 'x'", "trashed = maybe", "name = 'x", "'a' in"] {
        assert!(Query::parse(unknown).is_none(), "{unknown}");
    }
}
