//! `stats`: what is stored, and what was saved.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        context::Context,
        error::Error,
        json,
        run::{Done, brief},
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    ops::stats::{Stats, stats},
};

#[derive(Serialize)]
struct Wire {
    bytes_stored: u64,
    bytes_protected: u64,
    snapshots: Vec<WireSnapshot>,
    folders: Vec<WireFolder>,
}

#[derive(Serialize)]
struct WireSnapshot {
    id: String,
    time: String,
    bytes: u64,
    bytes_new: u64,
    bytes_added: u64,
}

#[derive(Serialize)]
struct WireFolder {
    folder: &'static str,
    objects: u64,
    bytes: u64,
}

pub fn run(context: &Context) -> Result<Done, Error> {
    let config = context.config()?;
    let stats = brief(context, |observer| Ok(stats(&context.open(&config, observer)?)?))?;
    context.output.object("stillpoint.stats/1", wire(&stats, &config));
    show(context, &config, &stats);
    Ok(ExitCode::Done.into())
}

fn wire(stats: &Stats, config: &Config) -> Wire {
    let snapshots = stats.snapshots.iter().map(|snapshot| WireSnapshot {
        id: snapshot.id.to_string(),
        time: json::time(snapshot.created, &config.zone),
        bytes: snapshot.bytes,
        bytes_new: snapshot.bytes_new,
        bytes_added: snapshot.bytes_added,
    });
    let folders = stats.folders.iter().map(|folder| WireFolder {
        folder: folder.folder.as_str(),
        objects: folder.objects,
        bytes: folder.bytes,
    });
    Wire {
        bytes_stored: stats.bytes_stored(),
        bytes_protected: stats.bytes_protected(),
        snapshots: snapshots.collect(),
        folders: folders.collect(),
    }
}

fn show(context: &Context, config: &Config, stats: &Stats) {
    let output = &context.output;
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("TAKEN"),
        Column::right("SIZE"),
        Column::right("CHANGED").when_narrow(Narrow::Drop(1)),
        Column::right("STORED"),
        Column::right("SAVED").when_narrow(Narrow::Drop(2)),
    ]);
    for snapshot in stats.snapshots.iter().rev() {
        table.row(vec![
            snapshot.id.to_string()[..8].to_owned(),
            text::moment(snapshot.created, context.now(), &config.zone),
            text::bytes(snapshot.bytes),
            text::bytes(snapshot.bytes_new),
            text::bytes(snapshot.bytes_added),
            saved(snapshot.bytes_added, snapshot.bytes),
        ]);
    }
    if !table.is_empty() {
        output.table(&table, "");
        output.result("");
    }
    let mut folders = Table::new([Column::left(""), Column::right(""), Column::left("")]);
    for folder in stats.folders.iter().filter(|folder| folder.objects > 0) {
        let (name, bytes) = (folder.folder.as_str().to_owned(), text::bytes(folder.bytes));
        folders.row(vec![name, bytes, text::counted(folder.objects, "object")]);
    }
    output.table(&folders, "  ");
    let (stored, protected) = (stats.bytes_stored(), stats.bytes_protected());
    let count = text::counted(stats.snapshots.len() as u64, "snapshot");
    output.result(&format!(
        "{} stored for {} in {count}: {} saved.",
        text::bytes(stored),
        text::bytes(protected),
        saved(stored, protected)
    ));
}

/// The part that did not have to be stored, in percent.
fn saved(stored: u64, plain: u64) -> String {
    match plain.checked_sub(stored) {
        Some(spared) if plain > 0 => {
            let permille = u128::from(spared) * 1000 / u128::from(plain);
            format!("{}.{} %", permille / 10, permille % 10)
        }
        _ => "0 %".to_owned(),
    }
}
