//! `growth`: what made the repository grow.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::GrowthArgs,
        context::Context,
        error::Error,
        run::{Done, brief},
        selection::Selection,
        table::{Column, Narrow, Table},
        text,
    },
    ops::{
        growth::{Growth, Place, growth},
        moment::{self, Compose},
        past::Terms,
    },
};

/// Places shown where nobody asked for all.
const PLACES_SHOWN: usize = 20;

#[derive(Serialize)]
struct WireGrowth<'a> {
    snapshots: u64,
    bytes_added: u64,
    parts: Vec<WirePart<'a>>,
    places: Vec<WirePlace<'a>>,
}

#[derive(Serialize)]
struct WirePart<'a> {
    part: &'a str,
    bytes_new: u64,
}

#[derive(Serialize)]
struct WirePlace<'a> {
    part: &'a str,
    name: &'a str,
    bytes_changed: u64,
}

pub fn run(context: &Context, args: &GrowthArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let older = Selection::new(context, &config, &repository, &args.since)?;
    let newer = older.also(context, &config, "latest".as_ref())?;
    let to = newer.moment(Compose::Allow)?;
    // A repository that is younger grew from nothing.
    let from = match older.moment(Compose::Allow) {
        Ok(moment) => Some(moment),
        Err(Error::Ops(crate::ops::Error::Moment(moment::Error::NothingBefore { .. }))) => None,
        Err(error) => return Err(error),
    };
    let since = from.as_ref().map_or(i64::MIN, |from| from.snapshot.record.created + 1);
    let parts = from.as_ref().map(|from| from.parts.as_slice()).unwrap_or_default();
    let terms = Terms::of(repository.environment());
    let fetch = repository.fetcher()?;
    let grown = growth(older.snapshots(), since, (parts, &to.parts), (&terms, &fetch))?;
    let count = if args.all { grown.places.len() } else { PLACES_SHOWN };
    show(context, &grown, &grown.places[..count.min(grown.places.len())]);
    Ok(ExitCode::Done.into())
}

fn show(context: &Context, grown: &Growth, places: &[Place]) {
    let output = &context.output;
    let parts = grown.parts.iter().map(|(part, bytes)| WirePart { part, bytes_new: *bytes });
    output.object(
        "stillpoint.growth/1",
        WireGrowth {
            snapshots: grown.snapshots,
            bytes_added: grown.bytes_added,
            parts: parts.collect(),
            places: grown
                .places
                .iter()
                .map(|place| WirePlace {
                    part: &place.part,
                    name: &place.name,
                    bytes_changed: place.bytes,
                })
                .collect(),
        },
    );
    output.result(&format!(
        "{} added {} to the repository.",
        text::counted(grown.snapshots, "snapshot"),
        text::bytes(grown.bytes_added)
    ));
    for (part, bytes) in grown.parts.iter().filter(|(_, bytes)| *bytes > 0) {
        output.result(&format!("  {part}  {} new before compression", text::bytes(*bytes)));
    }
    let mut table = Table::new([
        Column::right("CHANGED"),
        Column::left("PART"),
        Column::left("TABLE OR FOLDER").when_narrow(Narrow::Cut),
    ]);
    for place in places {
        let name = text::printable(place.name.as_bytes());
        table.row([text::bytes(place.bytes), place.part.clone(), name]);
    }
    if !table.is_empty() {
        output.table(&table, "");
    }
}
