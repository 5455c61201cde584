//! `ls`: what is inside a moment, a part, a folder.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::LsArgs,
        context::Context,
        error::Error,
        json,
        run::{Done, brief},
        selection::{Selection, compose},
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    format::node::{Content, Entry},
    ops::{
        list::{Listed, Reach, list},
        moment::Moment,
    },
    repo::Repository,
};

/// Terminals below this width see no modes.
const WIDTH_WITH_MODE: usize = 72;

#[derive(Serialize)]
struct WirePart {
    part: String,
    kind: &'static str,
    /// None if no snapshot holds it.
    snapshot_id: Option<String>,
    time: Option<String>,
    bytes: u64,
    outcome: &'static str,
}

#[derive(Serialize)]
struct WireEntry {
    part: String,
    #[serde(flatten)]
    path: json::PathText,
    kind: &'static str,
    mode: String,
    uid: u64,
    gid: u64,
    bytes: u64,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<json::PathText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct WireTable {
    part: String,
    path: String,
    kind: &'static str,
    rows: Option<u64>,
}

pub fn run(context: &Context, args: &LsArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let selection = Selection::new(context, &config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    match &selection.selector.item {
        None => {
            list_parts(context, &config, &moment);
            Ok(ExitCode::Done.into())
        }
        Some(_) => list_part(context, &config, &repository, (&selection, &moment), args),
    }
}

fn list_parts(context: &Context, config: &Config, moment: &Moment<'_>) {
    let output = &context.output;
    let held = moment.parts.iter().map(|at| WirePart {
        part: at.part.name.clone(),
        kind: json::kind(at.part.kind),
        snapshot_id: Some(at.snapshot.id.to_string()),
        time: Some(json::time(at.snapshot.record.created, &config.zone)),
        bytes: at.part.totals.bytes,
        outcome: json::outcome(at.part.outcome),
    });
    let absent = moment.absent.iter().map(|(name, kind)| WirePart {
        part: (*name).to_owned(),
        kind: json::kind(*kind),
        snapshot_id: None,
        time: None,
        bytes: 0,
        outcome: "absent",
    });
    output.object("stillpoint.ls/1", held.chain(absent).collect::<Vec<_>>());
    let mut table = Table::new([
        Column::left("PART"),
        Column::left("KIND"),
        Column::right("SIZE"),
        Column::left("FROM"),
        Column::left("TAKEN"),
        Column::left("").when_narrow(Narrow::Drop(1)),
    ]);
    for at in &moment.parts {
        let outcome = json::outcome(at.part.outcome);
        table.row(vec![
            at.part.name.clone(),
            json::kind(at.part.kind).to_owned(),
            text::bytes(at.part.totals.bytes),
            at.snapshot.id.to_string()[..8].to_owned(),
            text::moment(at.snapshot.record.created, context.now(), &config.zone),
            if outcome == "complete" { String::new() } else { outcome.to_owned() },
        ]);
    }
    for (name, kind) in &moment.absent {
        let never = "never saved".to_owned();
        let (name, kind) = ((*name).to_owned(), json::kind(*kind).to_owned());
        table.row(vec![name, kind, String::new(), String::new(), never, String::new()]);
    }
    output.table(&table, "");
}

fn list_part(
    context: &Context,
    config: &Config,
    repository: &Repository,
    (selection, moment): (&Selection, &Moment<'_>),
    args: &LsArgs,
) -> Result<Done, Error> {
    let output = &context.output;
    let (at, path) = selection.part(moment)?;
    let reach = if args.recursive { Reach::Below } else { Reach::Folder };
    let fetch = repository.fetcher()?;
    let mut exit_code = ExitCode::Done;
    output.begin_list("stillpoint.ls/1");
    list(&*fetch, at.part, path, reach, &mut |listed| match listed {
        Listed::Entry { path, entry } => {
            output.list_item(&wire_entry(&at.part.name, path, entry, config));
            output.result(&line(entry, path, context, config));
        }
        Listed::Table { name, rows } => {
            let (part, path) = (at.part.name.clone(), name.to_owned());
            output.list_item(&WireTable { part, path, kind: "table", rows });
            let rows = rows.map_or("not counted".to_owned(), |rows| text::counted(rows, "row"));
            output.result(&format!("{rows:>18}  {}", text::printable(name.as_bytes())));
        }
        Listed::Unreadable { path, error } => {
            exit_code = ExitCode::Incomplete;
            output
                .warning(&format!("{} cannot be read to its end: {error}", text::printable(path)));
        }
    })?;
    output.end_list();
    Ok(exit_code.into())
}

fn line(entry: &Entry, path: &[u8], context: &Context, config: &Config) -> String {
    let bytes = match size(&entry.content) {
        Some(bytes) => text::bytes(bytes),
        None => "-".to_owned(),
    };
    let time = text::file_time(entry.modified.0, &config.zone);
    let mut name = text::printable(path);
    match &entry.content {
        Content::Folder { .. } => name.push('/'),
        Content::Link { target } => name.push_str(&format!(" -> {}", text::printable(target))),
        _ => {}
    }
    let line = format!("{bytes:>8}  {time}  {name}");
    match context.output.width() {
        Some(width) if width < WIDTH_WITH_MODE => line,
        _ => format!("{}  {line}", mode(entry)),
    }
}

/// `-rw-r--r--`, as everybody reads it.
fn mode(entry: &Entry) -> String {
    let kind = match entry.content {
        Content::File { .. } | Content::Database(_) => '-',
        Content::Folder { .. } => 'd',
        Content::Link { .. } => 'l',
        Content::Fifo => 'p',
        Content::Socket => 's',
        Content::CharDevice { .. } => 'c',
        Content::BlockDevice { .. } => 'b',
    };
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut text = String::from(kind);
    for (class, (bit, with, without)) in special.into_iter().enumerate() {
        let rights = entry.mode >> (6 - 3 * class) & 7;
        text.push(if rights & 4 != 0 { 'r' } else { '-' });
        text.push(if rights & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & bit != 0, rights & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn wire_entry(part: &str, path: &[u8], entry: &Entry, config: &Config) -> WireEntry {
    let target = match &entry.content {
        Content::Link { target } => Some(json::PathText::new(target)),
        _ => None,
    };
    let (seconds, nanos) = entry.modified;
    let modified = seconds.saturating_mul(1_000_000_000).saturating_add(nanos.into());
    WireEntry {
        part: part.to_owned(),
        path: json::PathText::new(path),
        kind: kind(&entry.content),
        mode: format!("{:04o}", entry.mode),
        uid: entry.uid.into(),
        gid: entry.gid.into(),
        bytes: size(&entry.content).unwrap_or_default(),
        modified: json::time(modified, &config.zone),
        target,
        problem: entry.problem.clone(),
    }
}

const fn kind(content: &Content) -> &'static str {
    match content {
        Content::File { .. } => "file",
        Content::Folder { .. } => "folder",
        Content::Link { .. } => "link",
        Content::Fifo => "fifo",
        Content::Socket => "socket",
        Content::CharDevice { .. } => "character device",
        Content::BlockDevice { .. } => "block device",
        Content::Database(_) => "database",
    }
}

fn size(content: &Content) -> Option<u64> {
    match content {
        Content::File { bytes, .. } => Some(*bytes),
        Content::Database(image) => Some(u64::from(image.page_bytes) * u64::from(image.page_count)),
        _ => None,
    }
}
