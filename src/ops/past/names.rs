//! Which names of a statement may be snapshots: those before a `.`, as in `"latest~24".orders`.

/// Returns every name that stands before a `.`, each once, without its quotes.
///
/// Knows just enough of SQL to tell names from texts and comments.
pub fn qualifiers(sql: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut name: Option<String> = None;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let token = token(rest, first);
        let (text, behind) = rest.split_at(token.bytes);
        rest = behind;
        match token.kind {
            Kind::Space => {}
            Kind::Name => name = Some(unquoted(text)),
            Kind::Other if text == "." => {
                if let Some(name) = name.take().filter(|name| !found.contains(name)) {
                    found.push(name);
                }
            }
            Kind::Other => name = None,
        }
    }
    found
}

/// A name as SQLite wants it quoted.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Token {
    kind: Kind,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Between tokens: also comments.
    Space,
    Name,
    Other,
}

fn token(text: &str, first: char) -> Token {
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    let (kind, bytes) = match first {
        c if c.is_whitespace() => (Kind::Space, c.len_utf8()),
        '-' if text.starts_with("--") => (Kind::Space, until("\n")),
        '/' if text.starts_with("/*") => (Kind::Space, until("*/")),
        '\'' => (Kind::Other, quoted_bytes(text, '\'')),
        '"' | '`' => (Kind::Name, quoted_bytes(text, first)),
        '[' => (Kind::Name, until("]")),
        c if c.is_alphanumeric() || c == '_' => {
            let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
            let bytes = text.find(ends).unwrap_or(text.len());
            (if c.is_ascii_digit() { Kind::Other } else { Kind::Name }, bytes)
        }
        c => (Kind::Other, c.len_utf8()),
    };
    Token { kind, bytes }
}

/// A quote inside is written twice.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(next) = text[at..].find(quote) {
        at += next + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

fn unquoted(name: &str) -> String {
    let first = name.chars().next().unwrap_or_default();
    let inner = |end: char| name.get(1..).unwrap_or_default().trim_end_matches(end);
    match first {
        '"' | '`' => {
            let inner = name.get(1..name.len().max(2) - 1).unwrap_or_default();
            inner.replace(&format!("{first}{first}"), &first.to_string())
        }
        '[' => inner(']').to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_a_dot_are_found_however_they_are_quoted() {
        let sql = r#"SELECT o.id, "a""b" . c, [x y].z, `q`.r FROM "latest~24".orders AS o"#;

        assert_eq!(qualifiers(sql), ["o", "a\"b", "x y", "q", "latest~24"]);
    }

    #[test]
    fn texts_comments_and_numbers_name_nothing() {
        let sql = "SELECT 'it''s a.b', 1.5, /* c.d */ x -- e.f\n /* open g.h";

        assert_eq!(qualifiers(sql), [""; 0]);
    }

    #[test]
    fn statements_that_end_too_early_do_no_harm() {
        for sql in ["\"", "\"a", "[", "'", "`a``", "a.", "/*", "é.x"] {
            let _ = qualifiers(sql);
        }
    }
}
