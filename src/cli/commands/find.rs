//! `find`: every version of a file by its name.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::FindArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        json,
        run::{Done, brief},
        table::{Column, Narrow, Table},
        text,
    },
    format::node::{Content, Entry},
    ops::find::{Version, find},
};

#[derive(Serialize)]
struct WireVersion<'a> {
    part: &'a str,
    #[serde(flatten)]
    path: json::PathText,
    bytes: Option<u64>,
    modified: String,
    first_snapshot_id: String,
    first_time: String,
    last_snapshot_id: String,
    last_time: String,
    is_present: bool,
}

pub fn run(context: &Context, args: &FindArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let loaded = repository.snapshots()?;
    warn_of_damaged(&context.output, &loaded.damaged);
    let fetch = repository.fetcher()?;
    let found = find(&loaded.snapshots, &*fetch, &args.pattern)?;
    let is_meant =
        |version: &&Version<'_>| args.part.as_deref().is_none_or(|part| version.part == part);

    for (path, error) in &found.unreadable {
        let path = text::printable(path);
        context.output.warning(&format!("{path} cannot be read to its end: {error}"));
    }
    let mut table = Table::new([
        Column::right("SIZE"),
        Column::left("MODIFIED"),
        Column::left("FROM"),
        Column::left("UNTIL"),
        Column::left("SNAPSHOT").when_narrow(Narrow::Drop(1)),
        Column::left("FILE").when_narrow(Narrow::Cut),
    ]);
    context.output.begin_list("stillpoint.find/1");
    for version in found.versions.iter().filter(is_meant) {
        let zone = &config.zone;
        let (seconds, nanos) = version.entry.modified;
        let modified = seconds.saturating_mul(1_000_000_000).saturating_add(nanos.into());
        let (first, last) = (version.first.record.created, version.last.record.created);
        context.output.list_item(&WireVersion {
            part: version.part,
            path: json::PathText::new(&version.path),
            bytes: bytes(&version.entry),
            modified: json::time(modified, zone),
            first_snapshot_id: version.first.id.to_string(),
            first_time: json::time(first, zone),
            last_snapshot_id: version.last.id.to_string(),
            last_time: json::time(last, zone),
            is_present: version.is_present,
        });
        let moment = |at| text::moment(at, context.now(), zone);
        table.row([
            bytes(&version.entry).map_or_else(|| "-".to_owned(), text::bytes),
            text::file_time(seconds, zone),
            moment(first),
            if version.is_present { "now".to_owned() } else { moment(last) },
            version.last.id.to_string()[..8].to_owned(),
            format!("{}/{}", version.part, text::printable(&version.path)),
        ]);
    }
    context.output.end_list();
    match table.is_empty() {
        true => context.output.remark("Nothing has such a name."),
        false => context.output.table(&table, ""),
    }
    let is_whole = found.unreadable.is_empty();
    Ok(if is_whole { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn bytes(entry: &Entry) -> Option<u64> {
    match &entry.content {
        Content::File { bytes, .. } => Some(*bytes),
        Content::Database(image) => Some(u64::from(image.page_bytes) * u64::from(image.page_count)),
        _ => None,
    }
}
