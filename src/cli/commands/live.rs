//! `restore --live`: brings a moment back in place.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::Duration,
};

use crate::{
    cli::{
        ExitCode,
        args::{InPlaceArgs, RestoreArgs},
        commands::{backup, restore},
        confirm::confirm,
        context::Context,
        error::Error,
        json,
        output::Tone,
        run::{Done, recorded, unrecorded},
        selection::{Selection, compose},
        text,
    },
    config::{Config, recorded_sets},
    format::record::{Part, PartContent, PartKind, Storage, Trigger},
    ops::{
        self,
        backup::installed_version,
        event::Observer,
        live::{self, Goal, Installed, Kept, Kind, Occupants, Report, Request, Site},
        moment::{Moment, PartAt},
        restore::Extra,
        run_record::Start,
        set::{FileContent, FileSet, Set, SetSource},
    },
    repo::{Repository, Snapshot},
};

pub fn run(context: &Context, args: &RestoreArgs) -> Result<Done, Error> {
    let config = context.config()?;
    let work = |observer: &dyn Observer| restore(context, &config, args, observer);
    if args.dry_run {
        return unrecorded(context, work);
    }
    let items = vec![args.snap.to_string_lossy().into_owned(), "in place".to_owned()];
    recorded(context, &config, Start { items, ..Start::default() }, work)
}

fn restore(
    context: &Context,
    config: &Config,
    args: &RestoreArgs,
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let repository = context.open(config, observer)?;
    let selection = Selection::new(context, config, &repository, &args.snap)?;
    if !selection.path().is_empty() {
        let message = "a path inside a part cannot be restored in place".to_owned();
        return Err(Error::Usage { message, help: "restore it into a folder: --target DIR" });
    }
    let moment = selection.moment(compose(args.exact))?;
    let parts = restore::parts(&selection, &moment, args)?;
    restore::tell_sources(context, config, &moment, &parts);
    let extra = if args.delete { Extra::Delete } else { Extra::Keep };
    let mut request = request(context, config, &repository, (&parts, &args.in_place, extra))?;
    request.kept_tables.clone_from(&args.exclude_table);
    let goal = Goal { parts, removals: Vec::new(), asked: selection.selector.text.clone() };
    let sites = live::plan(&repository, &goal, &request, observer)?;
    let kept = live::plan_kept(&repository, (&goal, &sites), &request)?;
    preview(context, &request, &sites);
    kept.iter().for_each(|kept| tell_kept(context, kept));
    if args.dry_run {
        context.output.remark("Do it:  the same without --dry-run");
        return Ok(planned(&repository, &sites));
    }
    if sites.iter().all(|site| site.changes.is_empty()) {
        context.output.remark("Nothing to do: all of it is in place already.");
        return Ok(planned(&repository, &sites).figure("safety", serde_json::Value::Null));
    }
    confirm(context, args.in_place.said(), "Replace what is there now?")?;
    let report = live::run(&repository, &goal, &request, observer)?;
    let mut done = conclude(context, &repository, &report);
    done.snapshot_id = whole(&moment, &goal.parts).map(|snapshot| snapshot.id.to_string());
    Ok(done)
}

/// The snapshot that all parts come from, if it is one.
fn whole<'a>(moment: &Moment<'a>, parts: &[PartAt<'_>]) -> Option<&'a Snapshot> {
    parts.iter().all(|at| at.snapshot.id == moment.snapshot.id).then_some(moment.snapshot)
}

/// What restores in place go by, from the configuration and the records.
pub fn request(
    context: &Context,
    config: &Config,
    repository: &Repository,
    (parts, args, extra): (&[PartAt<'_>], &InPlaceArgs, Extra),
) -> Result<Request, Error> {
    let mut sets = config.sets.clone();
    for at in parts {
        if sets.iter().all(|set| set.name != at.part.name) {
            sets.push(recorded_set(at));
        }
    }
    let names: Vec<&str> = parts.iter().map(|at| at.part.name.as_str()).collect();
    let of_parts: Vec<Set> =
        sets.iter().filter(|set| names.contains(&set.name.as_str())).cloned().collect();
    let disk = context.machine.disk.as_ref();
    let asked = config.app_version.as_ref().and_then(|of| installed_version(disk, of));
    let version = asked.transpose().map_err(|message| Error::Usage {
        message: format!("the version of the application cannot be found: {message}"),
        help: "see [app] in the configuration",
    })?;
    Ok(Request {
        safety: safety(context, config, repository, of_parts)?,
        sets,
        extra,
        hooks: config.hooks.clone(),
        installed: Installed { user_version: config.user_version, version },
        occupants: match args.assume_stopped {
            true => Occupants::Assumed,
            false => Occupants::MustBeSeen,
        },
        min_free_bytes: config.min_free_bytes,
        program: context.machine.program.clone(),
        kept_tables: Vec::new(),
        own: backup::own(config)?,
    })
}

/// A snapshot that is made before something is changed in place.
pub fn safety(
    context: &Context,
    config: &Config,
    repository: &Repository,
    sets: Vec<Set>,
) -> Result<ops::backup::Request, Error> {
    let extra = sets.iter().filter(|set| config.sets.iter().all(|known| known.name != set.name));
    let all: Vec<Set> = config.sets.iter().chain(extra).cloned().collect();
    let machine = &context.machine;
    Ok(ops::backup::Request {
        configured: backup::configured(config, repository, &sets)?,
        config: config.to_toml_without_secrets(&all),
        sets,
        storage: Storage::Incremental,
        trigger: Trigger::Safety,
        actor: config.actor.clone(),
        station: config.station.clone(),
        name: format!("before {}", context.command),
        note: String::new(),
        tags: Vec::new(),
        environment: machine.facts(),
        app_version: config.app_version.clone(),
        host: machine.host(),
        wait: Duration::from_secs(60),
        min_free_bytes: config.min_free_bytes,
        program: machine.program.clone(),
        own: backup::own(config)?,
        origins: Vec::new(),
    })
}

/// The set of a part: that of the configuration, or what its record tells.
pub fn set_of(config: &Config, at: &PartAt<'_>) -> Set {
    let known = config.sets.iter().find(|set| set.name == at.part.name);
    known.cloned().unwrap_or_else(|| recorded_set(at))
}

/// The set that a part was made of, as far as its record tells.
fn recorded_set(at: &PartAt<'_>) -> Set {
    let paths = || at.part.sources.iter().map(|path| OsString::from_vec(path.clone()));
    let source = match &at.part.content {
        PartContent::Database { .. } => {
            SetSource::Sqlite { path: paths().next().unwrap_or_default().into() }
        }
        PartContent::Tree { .. } => {
            let recorded = recorded_sets(&at.snapshot.record.config);
            let recorded = recorded.into_iter().find(|set| set.name == at.part.name);
            let recorded = match recorded.map(|set| set.source) {
                Some(SetSource::Files(files)) => files,
                _ => FileSet::default(),
            };
            let content = content(at.part);
            SetSource::Files(FileSet {
                paths: paths().map(Into::into).collect(),
                content,
                ..recorded
            })
        }
    };
    Set { name: at.part.name.clone(), source }
}

const fn content(part: &Part) -> FileContent {
    match part.kind {
        PartKind::Config => FileContent::Config,
        PartKind::Cache => FileContent::Cache,
        PartKind::Files | PartKind::Database => FileContent::Files,
    }
}

/// Says what will change where. Never in the past tense: nothing has happened yet.
pub fn preview(context: &Context, request: &Request, sites: &[Site]) {
    let output = &context.output;
    output.hide_progress();
    output.remark("Preview. Nothing is changed yet.");
    for site in sites {
        let place = text::printable(site.place.as_os_str().as_bytes());
        let words = match site.changes.is_empty() {
            true => "already as it was".to_owned(),
            false => words(site),
        };
        let what = format!("{} {}", json::kind(site.kind), site.part);
        output.remark(&format!("{} {what:<24} {place}", output.mark(Tone::Good)));
        output.remark(&format!("    {words}"));
        if output.is_verbose() {
            site.changes.iter().for_each(|change| tell_change(context, &change.path, &change.kind));
        }
    }
    let hook = |name: &str, words: &[String]| match words.is_empty() {
        true => format!("no {name} hook"),
        false => format!("{name}: {}", text::printable(words.join(" ").as_bytes())),
    };
    output.remark(&format!("  before   {}", hook("before_restore", &request.hooks.before)));
    output.remark(
        "  first    a safety snapshot of what is there now; stillpoint undo brings it back",
    );
    output.remark(&format!("  after    {}", hook("after_restore", &request.hooks.after)));
}

/// Says which tables of a database keep their rows, and what that means for others.
fn tell_kept(context: &Context, kept: &Kept) {
    let output = &context.output;
    for table in &kept.tables {
        let name = text::printable(format!("{} of {}", table.table, kept.database).as_bytes());
        let now = text::counted(table.present_rows, "row");
        let then = match table.past_rows {
            Some(rows) => format!("the snapshot has {}", text::count(rows)),
            None => "the snapshot does not have the table".to_owned(),
        };
        output.remark(&format!("  keeps    {name}: {now} as now; {then}"));
        let list = |names: &[String]| text::printable(names.join(", ").as_bytes());
        if !table.parents.is_empty() {
            let parents = list(&table.parents);
            output.remark(&format!("           rows of {parents} that these need come along"));
        }
        if !table.children.is_empty() {
            let children = list(&table.children);
            output.remark(&format!(
                "           {children} refers to it: a row that needs one that is gone now takes \
                 all of it back"
            ));
        }
    }
}

fn tell_change(context: &Context, path: &[u8], kind: &Kind) {
    let sign = match kind {
        Kind::Delete => '-',
        Kind::Mend(_) => '~',
        _ => '+',
    };
    context.output.remark(&format!("    {sign} {}", text::printable(path)));
}

fn words(site: &Site) -> String {
    let count = |of: fn(&Kind) -> bool| {
        site.changes.iter().filter(|change| of(&change.kind)).count() as u64
    };
    let is_folder = |kind: &Kind| matches!(kind, Kind::MakeFolder(_));
    let written = count(|kind| matches!(kind, Kind::Write(_)));
    let counts = [
        (count(|kind| matches!(kind, Kind::Image(_))), "database", "replaced as a whole"),
        (written, "file", "to write"),
        (count(is_folder), "folder", "to make"),
        (count(|kind| matches!(kind, Kind::Mend(_))), "entry", "to mend"),
        (count(|kind| matches!(kind, Kind::Delete)), "entry", "to delete"),
        (site.kept, "file", "left as they are"),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let words = counts.map(|(count, noun, verb)| format!("{} {verb}", text::counted(count, noun)));
    let mut words: Vec<String> = words.collect();
    words.push(format!("{} in all", text::bytes(site.bytes())));
    words.join(", ")
}

fn figures(done: Done, sites: &[Site]) -> Done {
    let changes = || sites.iter().flat_map(|site| &site.changes);
    let count = |of: fn(&Kind) -> bool| changes().filter(|change| of(&change.kind)).count();
    done.figure("parts", sites.len())
        .figure("databases", count(|kind| kind.image().is_some()))
        .figure("files", count(|kind| matches!(kind, Kind::Write(_)) && kind.image().is_none()))
        .figure("deleted", count(|kind| matches!(kind, Kind::Delete)))
        .figure("kept", sites.iter().map(|site| site.kept).sum::<u64>())
        .figure("bytes_written", sites.iter().map(Site::bytes).sum::<u64>())
}

/// The summary of what would be done.
pub fn planned(repository: &Repository, sites: &[Site]) -> Done {
    let mut done = figures(Done::new(ExitCode::Done), sites).figure("dry_run", true);
    done.repository_id = Some(repository.id().to_string());
    done
}

/// The summary of what was done.
pub fn conclude(context: &Context, repository: &Repository, report: &Report) -> Done {
    let output = &context.output;
    output.hide_progress();
    let took = text::duration(context.took());
    output.remark(&format!("Restored in place and verified, {took}."));
    let safety = report.safety.as_ref().map(|snapshot| snapshot.id.to_string());
    match &safety {
        Some(id) => output.remark(&format!(
            "What was there before is snapshot {}.  Take it back:  stillpoint undo",
            &id[..8]
        )),
        None => output.remark("There was nothing before.  Take it back:  stillpoint undo"),
    }
    let mut done = figures(Done::new(ExitCode::Done), &report.sites)
        .figure("dry_run", false)
        .figure("safety", safety);
    done.repository_id = Some(repository.id().to_string());
    done
}
