//! `restore --table`: brings rows of a past database back into the present one.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::live::{safety, set_of};
use crate::{
    cli::{
        ExitCode,
        args::{IntoArg, ModeArg, RestoreArgs},
        confirm::confirm,
        context::Context,
        error::Error,
        output::Tone,
        run::{Done, recorded, unrecorded},
        selection::{Selection, compose},
        text,
    },
    config::Config,
    format::record::PartContent,
    ops::{
        self, backup,
        event::Observer,
        live,
        moment::{Item, PartAt},
        past::{PastDatabase, Terms, choose},
        rows::{self, Mode, Reason, Request, TableReport, Target, run_into_file},
        run_record::Start,
        set::{Set, SetSource},
    },
    repo::{Repository, Snapshot},
};

/// How long the application may hold the lock before we give up.
const BUSY: Duration = Duration::from_secs(10);

pub fn run(context: &Context, args: &RestoreArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let work = |observer: &dyn Observer| bring_back(context, &config, args, observer);
    if args.dry_run {
        return unrecorded(context, work);
    }
    let into = match &args.into {
        IntoArg::Live => "the present database".to_owned(),
        IntoArg::File(path) => path.display().to_string(),
    };
    let what = format!("{}: {}", args.snap.to_string_lossy(), args.table.join(", "));
    recorded(context, &config, Start { items: vec![what, into], ..Start::default() }, work)
}

fn bring_back(
    context: &Context,
    config: &Config,
    args: &RestoreArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    let moment = selection.moment(compose(args.exact))?;
    let fetch = repository.fetcher()?;
    let chosen = choose(&*fetch, &moment, &selection.selector)?;
    let at = moment.part(&chosen.item.part, &selection.selector.text)?;
    let past = PastDatabase::open(&Terms::of(repository.environment()), fetch, &chosen.image)
        .map_err(ops::Error::from)?;
    let set = set_of(config, &at);
    let request = request(args, into(args, (&at, &set), &chosen.item)?);
    let planned = rows::plan(&past, &request).map_err(ops::Error::from)?;
    show(context, &request, &planned, &at);
    if args.dry_run {
        context.output.remark("Do it:  the same without --dry-run");
        return Ok(done(&repository, &planned).figure("dry_run", true));
    }
    if planned.iter().all(|table| table.added + table.removed == 0) {
        context.output.remark("Nothing to do.");
        return Ok(done(&repository, &planned));
    }
    confirm(context, args.in_place.said(), "Bring these rows back?")?;
    let (written, saved) = match &request.into {
        Target::Live(_) => {
            let saved = save(context, config, (&repository, set), observer)?;
            (rows::run(&past, &request).map_err(ops::Error::from)?, Some(saved))
        }
        Target::NewFile(path) => (run_into_file(&repository, &past, &request, path)?, None),
    };
    Ok(conclude(context, &repository, &written, saved))
}

/// Where the rows go: into a new file, or into the database where it lies now.
fn into(args: &RestoreArgs, (at, set): (&PartAt<'_>, &Set), item: &Item) -> Result<Target, Error> {
    let below = item.path.join(&b'/');
    match (&args.into, &set.source, &at.part.content) {
        (IntoArg::File(path), ..) => {
            let path = std::path::absolute(path).map_err(|_| Error::Usage {
                message: "the file is not named".to_owned(),
                help: "--into FILE",
            })?;
            Ok(Target::NewFile(path))
        }
        (IntoArg::Live, SetSource::Sqlite { path }, _) if below.is_empty() => {
            Ok(Target::Live(real(path)))
        }
        (IntoArg::Live, SetSource::Files(_), PartContent::Tree { path, .. }) => {
            let place = live::tree_place(at.part, Path::new(OsStr::from_bytes(path)), Some(set));
            Ok(Target::Live(real(&place.join(OsStr::from_bytes(&below)))))
        }
        _ => {
            let message = format!("{} is another kind of part now", at.part.name);
            Err(Error::Usage { message, help: "bring the rows into a file:  --into FILE" })
        }
    }
}

fn request(args: &RestoreArgs, into: Target) -> Request {
    Request {
        tables: args.table.clone(),
        filter: args.filter.clone(),
        mode: match args.mode {
            ModeArg::Missing => Mode::Missing,
            ModeArg::Replace => Mode::Replace,
            ModeArg::Beside => Mode::Beside,
        },
        into,
        busy: BUSY,
    }
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A snapshot of what is there now.
fn save(
    context: &Context,
    config: &Config,
    (repository, set): (&Repository, Set),
    observer: &dyn Observer,
) -> Result<Snapshot, Error> {
    let name = set.name.clone();
    let request = safety(context, config, repository, vec![set])?;
    let report = backup::run(repository, &request, observer)?;
    match report.snapshot {
        Some(snapshot) if report.failed.is_empty() => Ok(snapshot),
        _ => Err(ops::Error::from(live::Error::NotSaved { what: name }).into()),
    }
}

fn show(context: &Context, request: &Request, tables: &[TableReport], at: &PartAt<'_>) {
    let output = &context.output;
    output.hide_progress();
    output.remark("Preview. Nothing is changed yet.");
    let into = match &request.into {
        Target::Live(path) | Target::NewFile(path) => path,
    };
    let id = &at.snapshot.id.to_string()[..8];
    let into = text::printable(into.as_os_str().as_encoded_bytes());
    output.remark(&format!("  from    {id}, {}", at.part.name));
    output.remark(&format!("  into    {into}"));
    for table in tables {
        let name = text::printable(table.into.as_bytes());
        output.remark(&format!("{} {name:<20} {}", output.mark(Tone::Good), words(table)));
        let note = |what: &str, names: &[String]| {
            if !names.is_empty() {
                let names = text::printable(names.join(", ").as_bytes());
                output.remark(&format!("    {what}: {names}"));
            }
        };
        note("triggers that do not fire", &table.triggers);
        note("computed anew", &table.generated);
        note("not known then, get their default", &table.defaulted);
    }
    if matches!(request.into, Target::Live(_)) {
        output.remark("  first   a safety snapshot of the database; the shop keeps running");
    }
}

fn words(table: &TableReport) -> String {
    let rows = |count: u64| text::counted(count, "row");
    let mut words = Vec::new();
    if table.removed > 0 {
        // Rows that are replaced by themselves are nobody's business.
        let later = table.removed.saturating_sub(table.same + table.differing);
        let missing = table.added.saturating_sub(table.same + table.differing);
        let changes = [
            (table.differing, "", " become as they were"),
            (missing, "+", ""),
            (later, "-", " that came later"),
        ];
        let changes = changes.into_iter().filter(|(count, ..)| *count > 0);
        words.extend(changes.map(|(count, sign, what)| format!("{sign}{}{what}", rows(count))));
    } else {
        words.push(format!("+{}", rows(table.added)));
    }
    if table.same > 0 {
        words.push(format!("{} alike", text::count(table.same)));
    }
    if table.differing > 0 && table.removed == 0 {
        let count = text::count(table.differing);
        words.push(format!("{count} differ and are left alone (--mode replace)"));
    }
    if table.is_new {
        words.push("a new table".to_owned());
    }
    if let Reason::ParentOf(child) = &table.reason {
        let child = text::printable(child.as_bytes());
        words.push(format!("because {child} refers to it"));
    }
    words.join(", ")
}

fn done(repository: &Repository, tables: &[TableReport]) -> Done {
    let figures: Vec<serde_json::Value> = tables
        .iter()
        .map(|table| {
            serde_json::json!({
                "table": table.table,
                "into": table.into,
                "parent_of": match &table.reason {
                    Reason::Asked => None,
                    Reason::ParentOf(child) => Some(child),
                },
                "past_rows": table.past_rows,
                "same": table.same,
                "differing": table.differing,
                "added": table.added,
                "removed": table.removed,
                "triggers": table.triggers,
                "generated": table.generated,
                "defaulted": table.defaulted,
            })
        })
        .collect();
    let added: u64 = tables.iter().map(|table| table.added).sum();
    let mut done = Done::new(ExitCode::Done).figure("rows_added", added).figure("tables", figures);
    done.repository_id = Some(repository.id().to_string());
    done
}

fn conclude(
    context: &Context,
    repository: &Repository,
    tables: &[TableReport],
    saved: Option<Snapshot>,
) -> Done {
    let output = &context.output;
    output.hide_progress();
    let added: u64 = tables.iter().map(|table| table.added).sum();
    let took = text::duration(context.took());
    output.remark(&format!("{} brought back, {took}.", text::counted(added, "row")));
    let id = saved.map(|snapshot| snapshot.id.to_string());
    if let Some(id) = &id {
        let id = &id[..8];
        output.remark(&format!("What was there before is snapshot {id}."));
        output.remark(&format!("What changed since:  stillpoint diff {id} live --rows"));
    }
    done(repository, tables).figure("dry_run", false).figure("safety", id)
}
