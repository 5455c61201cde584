//! Imports point down: from each module to those that stand below it.

use super::files::TextFile;

/// Modules by height. Those on one line know nothing of each other.
const LAYERS: [&[&str]; 13] = [
    &["id", "limits", "clock"],
    &["location", "disk"],
    &["format"],
    &["crypto"],
    &["chunk", "backend", "index"],
    &["repo"],
    &["source"],
    &["sink"],
    &["ops"],
    &["daemon"],
    &["config"],
    &["setup"],
    &["cli", "server"],
];

/// Reports imports from the same height or above.
pub fn imports_point_down(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    let Some(path) = file.path.strip_prefix("src/") else { return };
    let module = path.split('/').next().map_or("", |name| name.trim_end_matches(".rs"));
    if matches!(module, "lib" | "main") {
        return;
    }
    let Some(height) = height_of(module) else {
        report(1, format!("the layers do not say where {module} stands"));
        return;
    };
    for (line, import) in imports(file.production()) {
        let is_below = height_of(&import).is_none_or(|below| below < height);
        if import != module && !is_below {
            report(line, format!("{module} imports {import}"));
        }
    }
    for (at, line) in file.production().lines().enumerate() {
        if line.contains(&"super::".repeat(depth_of(path))) {
            report(at + 1, "climbs to the top by super:: instead of crate::".to_owned());
        }
    }
}

fn height_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// How many names a module's path has: 1 for `src/format/mod.rs` and `src/id.rs`.
fn depth_of(path: &str) -> usize {
    path.trim_end_matches("/mod.rs").split('/').count()
}

/// Walks the first names behind `crate::`, in groups too, with their lines.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut imports = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let behind = &code[at + path.len()..];
        match behind.strip_prefix('{') {
            Some(group) => imports.extend(heads(group).into_iter().map(|name| (line, name))),
            None => imports.push((line, first_name(behind))),
        }
    }
    imports
}

/// The first name of each item of a group.
fn heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut is_head = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_head = true,
            _ if is_head && depth == 0 && !c.is_whitespace() => {
                heads.push(first_name(&group[at..]));
                is_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_found_in_groups_and_alone() {
    let code = "use crate::{a::{self, b}, c, d::e};\nlet f = crate::g::h();";

    let found: Vec<String> = imports(code).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["a", "c", "d", "g"]);
}
