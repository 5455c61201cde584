//! Whether a text is one SQL expression, and nothing around it. Pure.

/// Whether the text stays inside the parentheses that it is put into: its own are balanced, its
/// quotes are closed, and no comment or semicolon cuts off what follows.
///
/// What it means, and whether it is allowed, is for SQLite and the authorizer to say.
pub fn is_one(text: &str) -> bool {
    let mut depth = 0_u32;
    let mut rest = text.chars().peekable();
    let mut is_empty = true;
    while let Some(character) = rest.next() {
        is_empty &= character.is_whitespace();
        match character {
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            ';' | '\0' => return false,
            '-' if rest.peek() == Some(&'-') => return false,
            '/' if rest.peek() == Some(&'*') => return false,
            '\'' | '"' | '`' | '[' => {
                let end = if character == '[' { ']' } else { character };
                // A doubled quote inside closes and opens again, which comes to the same.
                if !rest.by_ref().any(|inside| inside == end) {
                    return false;
                }
            }
            _ => {}
        }
    }
    depth == 0 && !is_empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_expression_or_hides_what_follows_is_refused() {
        for text in [
            "id = 4711",
            "name = 'O''Brien; --' AND (a OR b)",
            "[odd (name] > 3",
            "total > (SELECT avg(total) FROM orders)",
            "a - -1 > b / 2",
        ] {
            assert!(is_one(text), "{text}");
        }
        for text in [
            "",
            "  ",
            "1); DROP TABLE orders; --",
            "1) UNION SELECT (2",
            "1 -- ",
            "1 /* ",
            "name = 'open",
            "(1",
            "1; 2",
        ] {
            assert!(!is_one(text), "{text}");
        }
    }
}
