//! `snapshots`: what can be brought back.

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::SnapshotsArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        json,
        mirrors::{self, Elsewhere},
        run::{Done, brief},
        table::{Column, Narrow, Table, cut},
        text,
    },
    config::Config,
    format::pin::Pin,
    ops::{mirror::Presence, retention::Group},
    repo::{KnownLosses, Snapshot, history::History},
};

/// Which of the columns tells where a snapshot is.
const PLACES_COLUMN: usize = 7;

/// On a terminal a longer list would scroll away.
pub const SHOWN_MAX: usize = 20;
/// Fewer digits of an id would soon be ambiguous.
pub const ID_DIGITS_MIN: usize = 8;
/// A reason that is longer is cut; `--json` has all of it.
const PIN_WIDTH_MAX: usize = 24;

/// A snapshot, and what is to become of it.
#[derive(Serialize)]
struct Wire {
    #[serde(flatten)]
    snapshot: json::Snapshot,
    group: &'static str,
    /// Parts that the last check found not to be whole any more.
    missing: Vec<String>,
    pinned: Option<Pinned>,
    forgotten: Option<Forgotten>,
    /// `here`, and the mirrors that have it.
    places: Vec<String>,
    /// The mirrors that are to have it.
    waiting_for: Vec<String>,
}

#[derive(Serialize)]
struct Pinned {
    reason: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct Forgotten {
    time: String,
    reason: String,
}

pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let (history, losses, elsewhere) = brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        let history = repository.history()?;
        let elsewhere = mirrors::elsewhere(&config, &repository, &history)?;
        Ok((history, repository.known_losses(), elsewhere))
    })?;
    let damaged: Vec<_> = history.damaged.iter().chain(&history.marks.damaged).cloned().collect();
    warn_of_damaged(&context.output, &damaged);
    let list = List {
        context,
        config: &config,
        history: &history,
        losses: &losses,
        elsewhere: &elsewhere,
    };
    let snapshots: Vec<&Snapshot> = match args.forgotten {
        true => history.forgotten().collect(),
        false => history.shown().collect(),
    };
    let wire: Vec<_> = snapshots.iter().map(|one| list.wire(one)).collect();
    context.output.object("stillpoint.snapshots/1", wire);
    list.show(&snapshots, args);
    Ok(if damaged.is_empty() { ExitCode::Done } else { ExitCode::Incomplete }.into())
}

/// What a row needs to know.
struct List<'a> {
    context: &'a Context,
    config: &'a Config,
    history: &'a History,
    losses: &'a KnownLosses,
    elsewhere: &'a Elsewhere,
}

impl List<'_> {
    fn wire(&self, snapshot: &Snapshot) -> Wire {
        let (marks, zone) = (&self.history.marks, &self.config.zone);
        let pin = marks.pin(&snapshot.id, self.context.now());
        let names = |presence| self.elsewhere.names(snapshot.id, presence).map(str::to_owned);
        let here = ["here".to_owned()];
        Wire {
            places: here.into_iter().chain(names(Presence::There)).collect(),
            waiting_for: names(Presence::Waiting).collect(),
            snapshot: json::Snapshot::new(snapshot, zone),
            group: Group::of(&snapshot.record).as_str(),
            missing: self.losses.parts_of(&snapshot.id).into_iter().map(str::to_owned).collect(),
            pinned: pin.map(|pin| Pinned {
                reason: pin.reason.clone(),
                until: pin.until.map(|until| json::time(until, zone)),
            }),
            forgotten: marks.marker(&snapshot.id).map(|marker| Forgotten {
                time: json::time(marker.created, zone),
                reason: marker.reason.clone(),
            }),
        }
    }

    fn show(&self, snapshots: &[&Snapshot], args: &SnapshotsArgs) {
        let output = &self.context.output;
        if snapshots.is_empty() {
            output.result(match args.forgotten {
                true => "Nothing is in the trash.",
                false => "No snapshots yet. Make the first one:  stillpoint backup",
            });
            return;
        }
        let is_cut = !args.all && output.width().is_some() && snapshots.len() > SHOWN_MAX;
        let shown = if is_cut { SHOWN_MAX } else { snapshots.len() };
        let digits = id_digits(&self.history.snapshots);
        let mut columns = vec![
            Column::left("ID"),
            Column::left("TAKEN"),
            Column::right("SIZE"),
            Column::right("NEW").when_narrow(Narrow::Drop(1)),
            Column::left("STATE").when_narrow(Narrow::Drop(2)),
            Column::left("GROUP").when_narrow(Narrow::Drop(4)),
            Column::left("PINNED").when_narrow(Narrow::Drop(3)),
            Column::left("PLACES").when_narrow(Narrow::Drop(5)),
            Column::left("WHAT").when_narrow(Narrow::Cut),
        ];
        // Where there is one place only, nobody has to be told.
        if self.elsewhere.is_empty() {
            let _ = columns.remove(PLACES_COLUMN);
        }
        let mut table = Table::new(columns);
        for snapshot in snapshots.iter().rev().take(shown) {
            table.row(self.row(snapshot, digits));
        }
        output.table(&table, "");
        output.remark(&sum(snapshots, is_cut));
        if snapshots.iter().any(|snapshot| self.lacks_data(snapshot)) {
            output.remark("The last check found data missing.  What, and where:  stillpoint check");
        }
        if args.forgotten {
            output.remark("Bring one back:  stillpoint undelete ID");
        }
    }

    fn lacks_data(&self, snapshot: &Snapshot) -> bool {
        !self.losses.parts_of(&snapshot.id).is_empty()
    }

    fn row(&self, snapshot: &Snapshot, digits: usize) -> Vec<String> {
        let record = &snapshot.record;
        let state = match json::state(record) {
            _ if self.lacks_data(snapshot) => "data missing",
            // What is as it should be needs no word.
            "complete" => "",
            state => state,
        };
        let (context, zone) = (self.context, &self.config.zone);
        let pin = self.history.marks.pin(&snapshot.id, context.now());
        let mut cells = vec![
            snapshot.id.to_string()[..digits].to_owned(),
            text::moment(record.created, context.now(), zone),
            text::bytes(protected_bytes(snapshot)),
            text::bytes(record.bytes_added),
            state.to_owned(),
            Group::of(record).as_str().to_owned(),
            pin.map(|pin| pinned(pin, zone)).unwrap_or_default(),
            self.elsewhere.places(snapshot.id),
            what(snapshot),
        ];
        if self.elsewhere.is_empty() {
            let _ = cells.remove(PLACES_COLUMN);
        }
        cells
    }
}

fn sum(snapshots: &[&Snapshot], is_cut: bool) -> String {
    let stored: u64 = snapshots.iter().map(|snapshot| snapshot.record.bytes_added).sum();
    let bytes: u64 = snapshots.iter().map(|snapshot| protected_bytes(snapshot)).sum();
    let (stored, bytes) = (text::bytes(stored), text::bytes(bytes));
    let count = text::counted(snapshots.len() as u64, "snapshot");
    match is_cut {
        true => format!(
            "{SHOWN_MAX} of {count} shown, {stored} stored for {bytes} protected.  \
             All: stillpoint snapshots -a"
        ),
        false => format!("{count}, {stored} stored for {bytes} protected."),
    }
}

/// Why, and for how long, in a few words.
fn pinned(pin: &Pin, zone: &TimeZone) -> String {
    let until = pin.until.map(|until| format!("until {}", text::day(until, zone)));
    let reason = Some(cut(&pin.reason, PIN_WIDTH_MAX)).filter(|reason| !reason.is_empty());
    let words: Vec<String> = reason.into_iter().chain(until).collect();
    let words = if words.is_empty() { "yes".to_owned() } else { words.join(", ") };
    text::printable(words.as_bytes())
}

/// Names of the parts, and in parentheses the name that was given to the whole.
fn what(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.record.parts.iter().map(|part| part.name.as_str()).collect();
    let tags = snapshot.record.tags.iter().map(|tag| format!(" #{tag}"));
    let name = Some(&snapshot.record.name).filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" \"{name}\"")).into_iter();
    let extra: String = name.chain(tags).collect();
    text::printable(format!("{}{extra}", names.join(", ")).as_bytes())
}

fn protected_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.record.parts.iter().map(|part| part.totals.bytes).sum()
}

/// As many digits as tell all snapshots apart.
pub fn id_digits<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> usize {
    let ids = snapshots.into_iter().map(|snapshot| snapshot.id.to_string());
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    let common =
        |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let longest = ids.windows(2).map(common).max().unwrap_or(0);
    (longest + 1).clamp(ID_DIGITS_MIN, 64)
}
