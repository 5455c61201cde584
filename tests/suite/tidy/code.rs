//! As much of Rust's grammar as the house rules need.

/// A function and its length.
pub struct Function<'a> {
    pub name: &'a str,
    pub line: usize,
    pub lines: usize,
    pub body: &'a str,
}

/// Returns the code with comments and contents of strings blanked, up to its tests.
pub fn production(text: &str) -> String {
    let blanked = blank(text);
    let tests = blanked.find("#[cfg(test)]\nmod ");
    let is_inline =
        |at: usize| blanked[at..].lines().nth(1).is_some_and(|line| line.ends_with('{'));
    match tests {
        Some(at) if is_inline(at) => blanked[..at].to_owned(),
        _ => blanked,
    }
}

/// Walks the functions that have a body.
pub fn functions(code: &str) -> impl Iterator<Item = Function<'_>> {
    code.match_indices("fn ").filter_map(|(at, _)| {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let name = code[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        let opens = at + code[at..].find(['{', ';'])?;
        if name.is_empty() || code[opens..].starts_with(';') {
            return None;
        }
        let body = &code[opens..closes(&code[opens..])? + opens];
        let line = code[..at].matches('\n').count() + 1;
        let lines = code[at..opens].matches('\n').count() + body.matches('\n').count() + 1;
        Some(Function { name, line, lines, body })
    })
}

/// Where the brace that opens the text is closed.
fn closes(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Replaces comments and contents of literals by spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_bytes(rest, blanked.ends_with(|c: char| c.is_alphanumeric()));
        if hidden == 0 {
            blanked.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let kept = |c: char| if c == '\n' { c } else { ' ' };
            blanked.extend(rest[..hidden].chars().map(kept));
            rest = &rest[hidden..];
        }
    }
    blanked
}

/// Length of the comment or literal that the text begins with.
fn hidden_bytes(text: &str, is_in_word: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if text.starts_with('"') {
        return quoted_bytes(text, '"');
    }
    if text.starts_with('\'') {
        return char_literal_bytes(text);
    }
    if text.starts_with('r') && !is_in_word {
        return raw_string_bytes(text);
    }
    0
}

fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A quote also begins a lifetime, which ends without one.
fn char_literal_bytes(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted_bytes(text, '\''),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

fn raw_string_bytes(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

#[test]
fn comments_and_literals_are_blanked_and_lifetimes_are_not() {
    let text = "a /* b */ 'c' '\\'' \"d\\\"e\" r#\"f\"g\"# &'h i // j\nk";

    assert_eq!(blank(text).split_whitespace().collect::<Vec<_>>(), ["a", "&'h", "i", "k"]);
}

#[test]
fn functions_are_measured_from_name_to_brace() {
    let code = "trait T { fn a(); }\nfn b(\n) {\n  if x {\n  }\n}\n";

    let found: Vec<_> = functions(code).map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("b", 2, 5)]);
}
