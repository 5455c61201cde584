//! `history`: every version of one row.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    cli::{
        ExitCode,
        args::HistoryArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        json,
        output::Tone,
        rows::{WireValue, shown},
        run::{Done, brief},
        text,
    },
    ops::{
        past::{
            self, Terms,
            history::{Version, Wanted, history},
            value::Value,
        },
        with_causes,
    },
    repo::Snapshot,
};

#[derive(Serialize)]
struct WireVersion {
    first_snapshot_id: String,
    first_time: String,
    last_snapshot_id: String,
    last_time: String,
    /// Nothing where there was no such row.
    row: Option<Map<String, Json>>,
}

pub fn run(context: &Context, args: &HistoryArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let loaded = repository.snapshots()?;
    warn_of_damaged(&context.output, &loaded.damaged);
    let part = match &args.db {
        Some(part) => part.clone(),
        None => the_only_database(&loaded.snapshots)?,
    };
    let wanted = Wanted { part: &part, table: &args.table, key: &args.key };
    let terms = Terms::of(repository.environment());
    let found = history(&loaded.snapshots, &repository.fetcher()?, &terms, &wanted)?;

    for (snapshot, error) in &found.unreadable {
        let at = text::moment(snapshot.record.created, context.now(), &config.zone);
        context.output.warning(&format!("{at} cannot be read: {}", with_causes(error)));
    }
    context.output.begin_list("stillpoint.history/1");
    let mut before: Option<&Version<'_>> = None;
    for version in &found.versions {
        let time = |snapshot: &Snapshot| json::time(snapshot.record.created, &config.zone);
        context.output.list_item(&WireVersion {
            first_snapshot_id: version.first.id.to_string(),
            first_time: time(version.first),
            last_snapshot_id: version.last.id.to_string(),
            last_time: time(version.last),
            row: version.row.as_ref().map(|row| row.iter().map(json_cell).collect()),
        });
        let at = text::moment(version.first.record.created, context.now(), &config.zone);
        context.output.result(&format!("{at}  {}", words(context, version, before)));
        before = Some(version);
    }
    context.output.end_list();
    let (opened, images) = (text::count(found.images_opened), text::count(found.images));
    let versions = text::counted(found.versions.len() as u64, "version");
    context.output.remark(&format!("{versions}; {opened} of {images} images were opened."));
    let is_whole = found.unreadable.is_empty();
    Ok(if is_whole { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

fn the_only_database(snapshots: &[Snapshot]) -> Result<String, past::Error> {
    let mut known: Vec<String> = Vec::new();
    for part in snapshots.iter().flat_map(|snapshot| &snapshot.record.parts) {
        let is_database = part.kind == crate::format::record::PartKind::Database;
        if is_database && !known.contains(&part.name) {
            known.push(part.name.clone());
        }
    }
    match known.len() {
        1 => Ok(known.remove(0)),
        _ => Err(past::Error::WhichDatabase { text: "the snapshots".to_owned(), known }),
    }
}

/// What a version is, or what changed in it.
fn words(context: &Context, version: &Version<'_>, before: Option<&Version<'_>>) -> String {
    let output = &context.output;
    let Some(row) = &version.row else { return output.tone(Tone::Bad, "- gone") };
    let older = before.and_then(|before| before.row.as_ref());
    let value_before = |name: &str| {
        older.and_then(|row| row.iter().find(|(known, _)| known == name)).map(|(_, value)| value)
    };
    let cells = row.iter().filter_map(|(name, value)| {
        let column = text::printable(name.as_bytes());
        let now = shown(value.as_ref());
        match (older, value_before(name)) {
            (Some(_), Some(before)) if before == value => None,
            (Some(_), Some(before)) => {
                Some(format!("{column}: {} to {now}", shown(before.as_ref())))
            }
            _ => Some(format!("{column}={now}")),
        }
    });
    let mark = match older {
        Some(_) => output.tone(Tone::Caution, "~"),
        None => output.tone(Tone::Good, "+"),
    };
    format!("{mark} {}", cells.collect::<Vec<_>>().join("  "))
}

fn json_cell((name, value): &(String, Value)) -> (String, Json) {
    let value = serde_json::to_value(WireValue(value.as_ref())).expect("values always become JSON");
    (name.clone(), value)
}
