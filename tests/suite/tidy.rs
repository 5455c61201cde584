//! The house rules that a machine can check, over every file of the repository.
//!
//! A rule that one place must break has a line with its reason in [`ALLOWED`]; a line that nothing
//! needs any more is an error too, so that the list only shrinks.

mod code;
mod files;
mod layers;

use std::collections::BTreeSet;

use files::{TextFile, all_files};

/// Rule, file, why it may.
const ALLOWED: &[(&str, &str, &str)] =
    &[("one file prints", "src/source/sqlite/child.rs", "its stdout is a pipe to the parent")];

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// One rule broken in one file.
struct Finding {
    rule: &'static str,
    path: String,
    line: usize,
    what: String,
}

type Rule = fn(&TextFile, &mut dyn FnMut(usize, String));

const RULES: &[(&str, Rule)] = &[
    ("imports point down", layers::imports_point_down),
    ("lines are short", lines_are_short),
    ("files are short", files_are_short),
    ("functions are short", functions_are_short),
    ("nothing is left undone", nothing_is_left_undone),
    ("names say what is inside", names_say_what_is_inside),
    ("modules begin with their doc", modules_begin_with_their_doc),
    ("one file prints", |file, report| {
        let printing = ["println!", "print!(", "eprintln!", "eprint!(", "stdout()", "stderr()"];
        only(file, &["src/cli/output.rs"], &printing, report);
    }),
    ("one module reads the environment", |file, report| {
        only(file, &["src/config"], &["env::var", "env::set_var"], report);
    }),
    ("one module names rocksdb", |file, report| {
        only(file, &["src/index/rocks"], &["rocksdb"], report);
    }),
    ("one file publishes snapshots", one_file_publishes_snapshots),
    ("spec links lead somewhere", spec_links_lead_somewhere),
    ("no path of one machine", no_path_of_one_machine),
];

#[test]
fn every_file_keeps_the_house_rules() {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for file in all_files() {
        for (rule, check) in RULES {
            check(&file, &mut |line, what| {
                let allowed = ALLOWED.iter().position(|(of, at, _)| of == rule && *at == file.path);
                match allowed {
                    Some(at) => {
                        let _ = used.insert(at);
                    }
                    None => findings.push(Finding { rule, path: file.path.clone(), line, what }),
                }
            });
        }
    }
    for (at, (rule, path, _)) in ALLOWED.iter().enumerate() {
        if !used.contains(&at) {
            let (path, what) = ((*path).to_owned(), "no longer needs its allowance".to_owned());
            findings.push(Finding { rule, path, line: 0, what });
        }
    }
    for Finding { rule, path, line, what } in &findings {
        println!("{path}:{line}: {what} ({rule})");
    }
    assert!(findings.is_empty(), "{} findings", findings.len());
}

fn lines_are_short(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    if !file.is_rust() {
        return;
    }
    for (at, line) in file.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            report(at + 1, format!("{columns} columns"));
        }
    }
}

fn files_are_short(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    let lines = file.production().lines().count();
    if lines > FILE_LINES_MAX {
        report(lines, format!("{lines} lines"));
    }
}

fn functions_are_short(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    for function in code::functions(file.production()) {
        if function.lines > FUNCTION_LINES_MAX {
            report(function.line, format!("fn {} has {} lines", function.name, function.lines));
        }
    }
}

fn nothing_is_left_undone(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    let is_judged = file.path.starts_with("src/") || file.path.ends_with(".md");
    // Written apart, so that this file does not find itself.
    let banned = [
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("db", "g!("),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("HA", "CK"),
        concat!("TO", "DO"),
    ];
    for (at, line) in file.text.lines().enumerate().filter(|_| is_judged) {
        for word in banned {
            if has_word(line, word) && !line.contains(concat!("TO", "DO(#")) {
                report(at + 1, format!("says {word}"));
            }
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let is_longer = word.ends_with(char::is_alphanumeric) && joins(after);
        !(joins(before) || is_longer)
    })
}

fn names_say_what_is_inside(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    let vague = ["util", "utils", "helper", "helpers", "manager", "data", "info", "misc", "common"];
    let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
    let folders = file.path.split('/').rev().skip(1);
    for name in stem.into_iter().chain(folders) {
        if file.is_rust() && vague.contains(&name) {
            report(0, format!("a module called {name}"));
        }
    }
}

fn modules_begin_with_their_doc(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    let needs_one = file.is_rust() && !file.path.ends_with("/tests.rs");
    let begins = file.text.starts_with("//!") || file.text.starts_with("#![no_main]");
    if needs_one && !begins {
        report(1, "does not begin with //!".to_owned());
    }
}

/// Reports each of the words in production code outside the files that may use them.
fn only(file: &TextFile, may: &[&str], words: &[&str], report: &mut dyn FnMut(usize, String)) {
    let may = may.iter().any(|path| file.path.starts_with(path));
    if !file.path.starts_with("src/") || may {
        return;
    }
    for (at, line) in file.production().lines().enumerate() {
        for word in words {
            if has_word(line, word) {
                report(at + 1, format!("uses {}", word.trim_end_matches('(')));
            }
        }
    }
}

fn one_file_publishes_snapshots(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    if !file.path.starts_with("src/") || file.path == "src/repo/commit.rs" {
        return;
    }
    for function in code::functions(file.production()) {
        if function.body.contains("put_new(") && function.body.contains("ObjectName::Snapshot") {
            report(function.line, format!("fn {} may publish a snapshot", function.name));
        }
    }
}

/// Comments name chapters as `format-spec/30-pack.md`, and sections as "Trailer" behind them.
fn spec_links_lead_somewhere(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    if !file.is_rust() || file.path.starts_with("tests/suite/tidy") {
        return;
    }
    for (at, line) in file.text.lines().enumerate() {
        for (start, _) in line.match_indices("format-spec/") {
            let link = &line[start..];
            let Some(end) = link.find(".md") else { continue };
            let (chapter, behind) = link.split_at(end + 3);
            let Some(text) = files::read(chapter) else {
                report(at + 1, format!("there is no {chapter}"));
                continue;
            };
            let section = behind.strip_prefix("`, \"").and_then(|rest| rest.split('"').next());
            if let Some(section) = section {
                // A section's name may go on in the next line of the comment.
                let mut headings = text.lines().filter_map(|line| line.strip_prefix("## "));
                if !headings.any(|heading| heading.starts_with(section)) {
                    report(at + 1, format!("{chapter} has no section \"{section}\""));
                }
            }
        }
    }
}

fn no_path_of_one_machine(file: &TextFile, report: &mut dyn FnMut(usize, String)) {
    // Written apart, so that this file does not find itself.
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/."),
        concat!("/tmp/", "wt"),
        concat!("/tmp/", "target"),
        concat!("/tmp/", "plan"),
        concat!("registry/", "src/"),
    ];
    for (at, line) in file.text.lines().enumerate() {
        for path in paths {
            if line.contains(path) {
                report(at + 1, format!("names {path}"));
            }
        }
    }
}
