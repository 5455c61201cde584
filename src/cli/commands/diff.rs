//! `diff`: what differs between two moments, or between one and now.

mod rows;

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    chunk::Fetch,
    cli::{
        ExitCode,
        args::{DiffArgs, DiffFormatArg},
        commands::backup,
        context::Context,
        error::Error,
        json,
        output::{Output, Tone},
        run::{Done, brief},
        selection::{Selection, compose},
        text,
    },
    format::{
        image::Image,
        node::{Content, Entry},
        record::{Part, PartContent},
    },
    ops::{
        self,
        diff::{
            Change, DatabaseDifference, Difference, Found, Place, database_difference, diff,
            diff_present,
            rows::Side,
            text::{text_diff, text_diff_present},
        },
        live::tree_place,
        moment::{Moment, PartAt},
        owners::owners_here,
        past::{
            Terms,
            live::{Known, capture, capture_at},
        },
        set::{Set, SetSource},
    },
    repo::{Repository, Snapshot},
};

/// What stands for the databases as they are now.
const LIVE: &str = "live";

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
    /// Of what was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_from: Option<String>,
    change: &'static str,
    bytes_from: Option<u64>,
    bytes_to: Option<u64>,
}

/// How many paths differ in each way.
#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
    renamed: u64,
    metadata: u64,
    databases: u64,
    unreadable: u64,
}

pub fn run(context: &Context, args: &DiffArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let repository = brief(context, |observer| context.open(&config, observer))?;
    let older = Selection::new(context, &config, &repository, &args.from)?;
    let from = older.moment(compose(args.exact))?;
    if args.to == LIVE {
        let parts = chosen(&older, &from, args)?;
        let own = backup::own(&config)?;
        let scope = Scope { older: &older, sets: &config.sets, own: &own };
        return live(context, &repository, args, (&parts, &scope));
    }
    let newer = older.also(context, &config, &args.to)?;
    let to = newer.moment(compose(args.exact))?;
    // A part or path that one side names is meant on both.
    let named = if older.selector.item.is_some() { &older } else { &newer };
    let (from, to) = (chosen(named, &from, args)?, chosen(named, &to, args)?);
    let fetch = repository.fetcher()?;
    let mut shown = Shown::new(context, &repository, Arc::clone(&fetch), args);
    shown.begin();
    diff(fetch, &from, &to, named.path(), &mut |found| shown.show(found))?;
    shown.finish()
}

/// The parts that are compared.
fn chosen<'a>(
    selection: &Selection,
    moment: &Moment<'a>,
    args: &DiffArgs,
) -> Result<Vec<PartAt<'a>>, Error> {
    match &args.db {
        Some(name) => Ok(vec![moment.part(name, &selection.selector.text)?]),
        None => {
            let mut parts = selection.parts(moment)?;
            // Files have no tables.
            let is_meant = |at: &PartAt<'_>| match at.part.content {
                PartContent::Database { .. } => true,
                PartContent::Tree { .. } => args.table.is_none(),
            };
            parts.retain(is_meant);
            Ok(parts)
        }
    }
}

/// What a comparison with the present goes by.
struct Scope<'a> {
    older: &'a Selection,
    sets: &'a [Set],
    /// Folders that are none of the shop's.
    own: &'a [PathBuf],
}

/// Compares with what is there now. Nothing is stored.
fn live(
    context: &Context,
    repository: &Repository,
    args: &DiffArgs,
    (from, scope): (&[PartAt<'_>], &Scope<'_>),
) -> Result<Done, Error> {
    let fetch = repository.fetcher()?;
    let mut shown = Shown::new(context, repository, Arc::clone(&fetch), args);
    shown.begin();
    for at in from {
        match &at.part.content {
            PartContent::Database { image, facts } => {
                // The newest image is nearest to the present, and its page hashes are at hand.
                let newest = newest(scope.older.snapshots(), &at.part.name).unwrap_or(*at);
                let program = &context.machine.program;
                // Where the configuration has it now goes before where it was.
                let set = scope.sets.iter().find(|set| set.name == at.part.name);
                let live = match set.map(|set| &set.source) {
                    Some(SetSource::Sqlite { path }) => {
                        capture_at(repository, program, (&Known::of(&newest)?, path))?
                    }
                    _ => capture(repository, program, newest)?,
                };
                shown.fetch = live.fetch;
                if live.image.identity != image.identity {
                    let (before, now) = ((&**image, &**facts), (&live.image, &live.facts));
                    let difference = database_difference(&shown.fetch, before, now)?;
                    shown.show_database(&at.part.name, (image, &live.image), &difference);
                }
            }
            PartContent::Tree { root, path } => {
                shown.fetch = Arc::clone(&fetch);
                let from = PathBuf::from(OsString::from_vec(path.clone()));
                shown.show_present(at, (root, &from), scope)?;
            }
        }
    }
    shown.finish()
}

/// The newest snapshot of a database.
fn newest<'a>(snapshots: &'a [Snapshot], part: &str) -> Option<PartAt<'a>> {
    snapshots.iter().rev().find_map(|snapshot| {
        let mut parts = snapshot.record.parts.iter();
        let is_meant = |held: &&Part| {
            held.name == part && matches!(held.content, PartContent::Database { .. })
        };
        parts.find(is_meant).map(|part| PartAt { snapshot, part })
    })
}

/// What was shown so far.
struct Shown<'a> {
    context: &'a Context,
    repository: &'a Repository,
    fetch: Arc<dyn Fetch>,
    args: &'a DiffArgs,
    counts: Counts,
    /// The first failure; what follows it is not shown.
    failed: Option<Error>,
}

impl<'a> Shown<'a> {
    fn new(
        context: &'a Context,
        repository: &'a Repository,
        fetch: Arc<dyn Fetch>,
        args: &'a DiffArgs,
    ) -> Self {
        Self { context, repository, fetch, args, counts: Counts::default(), failed: None }
    }

    fn begin(&self) {
        self.context.output.begin_list("stillpoint.diff/1");
        if self.args.format == DiffFormatArg::Csv {
            self.context.output.result("part,table,change,key,column,before,after");
        }
    }

    fn finish(self) -> Result<Done, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.context.output.end_list();
        if self.args.format == DiffFormatArg::Table {
            conclude(&self.context.output, &self.counts);
        }
        let is_whole = self.counts.unreadable == 0;
        Ok(if is_whole { ExitCode::Done } else { ExitCode::Incomplete }.into())
    }

    fn show(&mut self, found: Found<'_>) {
        if self.failed.is_some() {
            return;
        }
        let output = &self.context.output;
        match found {
            Found::Database { part, older, newer, difference } => {
                self.show_database(part, (older, newer), &difference);
            }
            // A script and a list of rows are of databases only.
            _ if matches!(self.args.format, DiffFormatArg::Sql | DiffFormatArg::Csv) => {}
            Found::Entry { part, difference } => {
                show_entry(output, part, &difference, &mut self.counts);
                if self.args.text {
                    self.show_text(part, &difference);
                }
            }
            found => show(output, found, &mut self.counts),
        }
    }

    /// Shows how the files of a part differ from those that are there now.
    fn show_present(
        &mut self,
        at: &PartAt<'_>,
        (root, from): (&Entry, &Path),
        scope: &Scope<'_>,
    ) -> Result<(), Error> {
        if matches!(self.args.format, DiffFormatArg::Sql | DiffFormatArg::Csv) {
            return Ok(());
        }
        let part = at.part;
        let set = scope.sets.iter().find(|set| set.name == part.name);
        let disk = self.context.machine.disk.as_ref();
        let owners = owners_here(&at.snapshot.record.environment, disk);
        let place = Place { root: tree_place(part, from, set), set, own: scope.own, owners };
        let chosen = scope.older.path().join(&b'/');
        let is_chosen = |path: &[u8]| {
            let rest = path.strip_prefix(&chosen[..]);
            rest.is_some_and(|rest| chosen.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
        };
        diff_present(self.repository, (part, root), (from, &place), &mut |seen| match seen {
            Ok((difference, _)) if !is_chosen(difference.path) => {}
            Ok((difference, place)) => {
                show_entry(&self.context.output, &part.name, &difference, &mut self.counts);
                if self.args.text && difference.change == Change::Content {
                    self.show_present_text(&part.name, &difference, place);
                }
            }
            Err((path, error)) => {
                let found = Found::Unreadable { part: &part.name, path, error };
                show(&self.context.output, found, &mut self.counts);
            }
        })?;
        Ok(())
    }

    fn show_present_text(&mut self, part: &str, difference: &Difference<'_>, place: &Path) {
        let Some(from) = difference.from else { return };
        let path = format!("{part}/{}", text::printable(difference.path));
        let disk = self.context.machine.disk.as_ref();
        let lines = text_diff_present((&*self.fetch, disk), (from, place), &path);
        self.show_lines(lines);
    }

    fn show_text(&mut self, part: &str, difference: &Difference<'_>) {
        let (Some(from), Some(to)) = (difference.from, difference.to) else { return };
        let path = format!("{part}/{}", text::printable(difference.path));
        let lines = text_diff(&*self.fetch, from, to, &path);
        self.show_lines(lines);
    }

    fn show_lines(&mut self, lines: Result<Option<String>, ops::Error>) {
        match lines {
            Ok(Some(lines)) => lines.lines().for_each(|line| {
                self.context.output.result(&text::printable(line.as_bytes()));
            }),
            Ok(None) => {}
            Err(error) => self.failed = Some(error.into()),
        }
    }

    fn show_database(
        &mut self,
        part: &str,
        (older, newer): (&Image, &Image),
        difference: &DatabaseDifference,
    ) {
        self.counts.databases += 1;
        let terms = Terms::of(self.repository.environment());
        let side = |image| Side::open(&terms, Arc::clone(&self.fetch), image);
        let compared = side(older).and_then(|older| {
            let newer = side(newer)?;
            let subject = rows::Subject { part, difference };
            rows::show(&self.context.output, subject, (&older, &newer), self.args)
        });
        if let Err(error) = compared {
            self.failed = Some(error.into());
        }
    }
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
        Found::Entry { .. } | Found::Database { .. } => {}
        Found::Unreadable { part, path, error } => {
            counts.unreadable += 1;
            let path = text::printable(path);
            output.warning(&format!("{part}/{path} cannot be read to its end: {error}"));
        }
    }
}

fn show_entry(output: &Output, part: &str, difference: &Difference<'_>, counts: &mut Counts) {
    counts.add(difference.change);
    let (from, to) = (difference.from.and_then(size), difference.to.and_then(size));
    output.list_item(&WireEntry {
        part,
        path: json::PathText::new(difference.path),
        path_from: difference.path_from.map(|path| String::from_utf8_lossy(path).into_owned()),
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
    let mark = mark(output, difference.change);
    match difference.path_from.map(text::printable) {
        Some(before) => output.result(&format!("{mark}  {part}/{before} -> {path}")),
        None => output.result(&format!("{mark}  {part}/{path}{slash}{sizes}")),
    }
}

fn conclude(output: &Output, counts: &Counts) {
    let said = [
        (counts.added, "added"),
        (counts.removed, "removed"),
        (counts.changed, "changed"),
        (counts.renamed, "renamed"),
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
            Change::Renamed => &mut self.renamed,
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
        Change::Renamed => output.tone(Tone::Faint, ">"),
        Change::Content => output.tone(Tone::Caution, "~"),
        Change::Kind => output.tone(Tone::Caution, "!"),
        Change::Metadata => output.tone(Tone::Faint, "."),
    }
}

const fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Renamed => "renamed",
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
