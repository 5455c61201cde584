//! `diff`: what differs between two moments.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::DiffArgs,
        context::Context,
        error::Error,
        json,
        output::{Output, Tone},
        run::{Done, brief},
        selection::{Selection, compose},
        text,
    },
    format::node::{Content, Entry},
    ops::diff::{Change, DatabaseDifference, Difference, Found, diff},
};

#[derive(Serialize)]
struct WirePart<'a> {
    part: &'a str,
    kind: &'static str,
    change: &'static str,
}

#[derive(Serialize)]
struct WireEntry<'a> {
    part: &'a str,
    #[serde(flatten)]
    path: json::PathText,
    change: &'static str,
    bytes_from: Option<u64>,
    bytes_to: Option<u64>,
}

#[derive(Serialize)]
struct WireDatabase<'a> {
    part: &'a str,
    change: &'static str,
    pages_from: u32,
    pages_to: u32,
    pages_changed: u32,
    page_bytes: u32,
    tables: Vec<WireTable>,
}

#[derive(Serialize)]
struct WireTable {
    table: String,
    rows_from: Option<i64>,
    rows_to: Option<i64>,
}

/// How many paths differ in each way.
#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
    metadata: u64,
    databases: u64,
    unreadable: u64,
}

pub fn run(context: &Context, args: &DiffArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let older = Selection::new(context, &config, &repository, &args.from)?;
    let newer = older.also(context, &config, &args.to)?;
    let (from, to) = (older.moment(compose(args.exact))?, newer.moment(compose(args.exact))?);
    // A part or path that one side names is meant on both.
    let named = if older.selector.item.is_some() { &older } else { &newer };
    let (from, to) = (named.parts(&from)?, named.parts(&to)?);

    let mut counts = Counts::default();
    context.output.begin_list("stillpoint.diff/1");
    diff(repository.fetcher()?, &from, &to, named.path(), &mut |found| {
        show(&context.output, found, &mut counts);
    })?;
    context.output.end_list();
    conclude(&context.output, &counts);
    Ok(if counts.unreadable == 0 { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn show(output: &Output, found: Found<'_>, counts: &mut Counts) {
    match found {
        Found::Part { name, kind, change } => {
            counts.add(change);
            output.list_item(&WirePart {
                part: name,
                kind: json::kind(kind),
                change: word(change),
            });
            output.result(&format!("{}  {name}  ({})", mark(output, change), json::kind(kind)));
        }
        Found::Entry { part, difference } => {
            counts.add(difference.change);
            show_entry(output, part, &difference);
        }
        Found::Database { part, difference } => {
            counts.databases += 1;
            show_database(output, part, difference);
        }
        Found::Unreadable { part, path, error } => {
            counts.unreadable += 1;
            let path = text::printable(path);
            output.warning(&format!("{part}/{path} cannot be read to its end: {error}"));
        }
    }
}

fn show_entry(output: &Output, part: &str, difference: &Difference<'_>) {
    let (from, to) = (difference.from.and_then(size), difference.to.and_then(size));
    output.list_item(&WireEntry {
        part,
        path: json::PathText::new(difference.path),
        change: word(difference.change),
        bytes_from: from,
        bytes_to: to,
    });
    let is_folder = |entry: Option<&Entry>| {
        entry.is_some_and(|entry| matches!(entry.content, Content::Folder { .. }))
    };
    let slash = if is_folder(difference.to.or(difference.from)) { "/" } else { "" };
    let sizes = match (from, to) {
        (Some(from), Some(to)) if from != to => {
            format!("  {} to {}", text::bytes(from), text::bytes(to))
        }
        (None, Some(bytes)) | (Some(bytes), None) => format!("  {}", text::bytes(bytes)),
        _ => String::new(),
    };
    let path = text::printable(difference.path);
    output.result(&format!("{}  {part}/{path}{slash}{sizes}", mark(output, difference.change)));
}

fn show_database(output: &Output, part: &str, difference: DatabaseDifference) {
    let DatabaseDifference { pages_from, pages_to, pages_changed, page_bytes, tables } = difference;
    let changed = text::counted(pages_changed.into(), "page");
    let all = text::count(pages_to.into());
    output.result(&format!("{}  {part}  {changed} of {all} differ", mark(output, Change::Content)));
    let rows = |rows: Option<i64>| match rows {
        None => "no table".to_owned(),
        Some(rows) => u64::try_from(rows).map_or("not counted".to_owned(), text::count),
    };
    for (table, from, to) in &tables {
        let table = text::printable(table.as_bytes());
        output.result(&format!("     {table}  {} to {} rows", rows(*from), rows(*to)));
    }
    let tables = tables.into_iter();
    let tables = tables.map(|(table, rows_from, rows_to)| WireTable { table, rows_from, rows_to });
    output.list_item(&WireDatabase {
        part,
        change: word(Change::Content),
        pages_from,
        pages_to,
        pages_changed,
        page_bytes,
        tables: tables.collect(),
    });
}

fn conclude(output: &Output, counts: &Counts) {
    let said = [
        (counts.added, "added"),
        (counts.removed, "removed"),
        (counts.changed, "changed"),
        (counts.metadata, "with other metadata only"),
    ];
    let said = said.into_iter().filter(|(count, _)| *count > 0);
    let mut words: Vec<String> =
        said.map(|(count, what)| format!("{} {what}", text::count(count))).collect();
    if counts.databases > 0 {
        words.push(format!("{} changed", text::counted(counts.databases, "database")));
    }
    output.remark(&match words.is_empty() {
        true => "No differences.".to_owned(),
        false => format!("{}.", words.join(", ")),
    });
}

impl Counts {
    const fn add(&mut self, change: Change) {
        let count = match change {
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
            Change::Content | Change::Kind => &mut self.changed,
            Change::Metadata => &mut self.metadata,
        };
        *count += 1;
    }
}

fn mark(output: &Output, change: Change) -> String {
    match change {
        Change::Added => output.tone(Tone::Good, "+"),
        Change::Removed => output.tone(Tone::Bad, "-"),
        Change::Content => output.tone(Tone::Caution, "~"),
        Change::Kind => output.tone(Tone::Caution, "!"),
        Change::Metadata => output.tone(Tone::Faint, "."),
    }
}

const fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "content",
        Change::Metadata => "metadata",
        Change::Kind => "kind",
    }
}

fn size(entry: &Entry) -> Option<u64> {
    match &entry.content {
        Content::File { bytes, .. } => Some(*bytes),
        Content::Database(image) => Some(u64::from(image.page_bytes) * u64::from(image.page_count)),
        _ => None,
    }
}
