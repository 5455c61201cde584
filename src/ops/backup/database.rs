//! The parts that are databases, and databases that lie among files.
//!
//! All databases of a run begin their read transactions together. What is captured waits in the
//! state folder, in files without names, until it is stored; after the commit the page hashes of
//! each image are kept for the next run.

use std::{os::unix::ffi::OsStrExt, path::Path, sync::Arc, time::Duration};

use crate::{
    chunk::{self, Fetch, Store},
    format::{
        image::{Image, Method},
        record::{FailedPart, Outcome, Part, PartContent, PartKind, Problem, Storage, Totals},
    },
    id::SnapshotId,
    ops::{
        Error,
        backup::{
            Captured as Parts, Reliance, Run, kept_chunks::KeptChunks, metered::MeteredPages,
            tree::problem,
        },
        event::{Event, Observer, Phase},
        proof::{self, Proof},
        set::{AppVersion, Set, SetSource},
        with_causes,
    },
    repo::{
        self, Repository, Snapshot,
        image::{self, ImageReader, NewImage},
    },
    source::{
        files::{CaptureDatabase, CaptureError, CapturedDatabase, FoundDatabase},
        sqlite::{
            self, Capture, CaptureProgram, CaptureSetup, Captured, Limits, ListName, PageHashes,
            Sighting, Spool, go_together,
        },
        sqlite_check::{CheckProgram, Verdict},
    },
};

/// How long databases that are ready wait for the others of the run.
const TOGETHER_WITHIN: Duration = Duration::from_secs(2);

/// Captures and stores all databases of the run.
pub fn capture_all(run: &Run<'_>, parts: &mut Parts) -> Result<(), Error> {
    let setup = setup(run);
    let mut started = Vec::new();
    for set in &run.request.sets {
        let SetSource::Sqlite { path } = &set.source else { continue };
        let began = run.repo.environment().clock.elapsed();
        run.observer.observe(&Event::Phase { phase: Phase::Capture, item: set.name.clone() });
        match start(run, &setup, set, path) {
            Ok(Begun::Unchanged { part, list, app_version }) => {
                run.done(&part, began);
                parts.parts.push(*part);
                parts.page_lists.push(list);
                parts.app_version = parts.app_version.take().or(app_version.map(Ok));
            }
            Ok(Begun::Capture { capture, older }) => {
                started.push((set, began, *capture, older.map(|older| *older)));
            }
            Err(Trouble::Part(error)) => parts.fail(run, failed(set, &error)),
            Err(Trouble::Run(error)) => return Err(error),
        }
    }
    let (rest, mut captures): (Vec<_>, Vec<_>) = started
        .into_iter()
        .map(|(set, began, capture, older)| ((set, began, older), capture))
        .unzip();
    go_together(&mut captures, TOGETHER_WITHIN);
    // Every transaction ends before the first image is compressed.
    let captured: Vec<_> = captures.into_iter().map(Capture::finish).collect();
    for ((set, began, older), captured) in rest.into_iter().zip(captured) {
        match captured {
            Ok(mut captured) => {
                parts.app_version = parts.app_version.take().or(captured.answer.take());
                match store_or_heal(run, &setup, set, captured, older.as_ref()) {
                    Ok((part, list)) => {
                        run.done(&part, began);
                        parts.parts.push(part);
                        parts.page_lists.push(list);
                    }
                    Err(Trouble::Part(error)) => parts.fail(run, failed(set, &error)),
                    Err(Trouble::Run(error)) => return Err(error),
                }
            }
            Err(sqlite::Error::Stopped) => return Err(Error::Stopped),
            Err(error) => parts.fail(run, failed(set, &error)),
        }
    }
    Ok(())
}

/// What became of a database when its capture was to begin.
enum Begun<'a> {
    Unchanged {
        part: Box<Part>,
        list: PageList,
        /// That of the older snapshot, if this database is asked for it.
        app_version: Option<String>,
    },
    Capture {
        capture: Box<Capture<'a>>,
        older: Option<Box<ImageReader>>,
    },
}

/// Whether an error concerns one database or the whole run.
enum Trouble {
    Part(sqlite::Error),
    Run(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl From<sqlite::Error> for Trouble {
    fn from(error: sqlite::Error) -> Self {
        match error {
            sqlite::Error::Stopped => Self::Run(Error::Stopped),
            error => Self::Part(error),
        }
    }
}

fn setup<'a>(run: &Run<'a>) -> CaptureSetup<'a> {
    let env = run.repo.environment();
    CaptureSetup {
        disk: env.disk.clone(),
        clock: env.clock.clone(),
        keys: run.repo.keys().clone(),
        state_dir: run.repo.state_dir(),
        stop: env.stop.clone(),
        program: CaptureProgram {
            path: run.request.program.clone(),
            arguments: vec!["capture-child".into()],
        },
        limits: Limits::default(),
        question: None,
        method: Method::Pages,
    }
}

fn start<'a>(
    run: &Run<'_>,
    setup: &CaptureSetup<'a>,
    set: &Set,
    path: &Path,
) -> Result<Begun<'a>, Trouble> {
    let env = run.repo.environment();
    let sighting = Sighting::take(env.disk.as_ref(), env.clock.as_ref(), path)?;
    let question = question(run, set);
    let is_asked = question.is_some();
    let setup = &CaptureSetup { question, ..setup.clone() };
    let Some((snapshot, part, image)) = parent(run, set) else {
        let capture = Capture::start(setup, sighting, None)?;
        return Ok(Begun::Capture { capture: Box::new(capture), older: None });
    };
    if run.reliance_of(set) == Reliance::Unchanged && sighting.is_unchanged_since(image) {
        let mut part = part.clone();
        (part.totals.bytes_read, part.totals.bytes_new) = (0, 0);
        let app_version = is_asked.then(|| snapshot.record.app_version.clone());
        let list = PageList::HandOn {
            part: set.name.clone(),
            path: Vec::new(),
            from: snapshot.id,
            image: Box::new(image.clone()),
        };
        return Ok(Begun::Unchanged { part: Box::new(part), list, app_version });
    }
    let fetch = run.repo.fetcher_of(&run.writer);
    let name = ListName { repository: run.repo.id(), part: &set.name, path: b"" };
    let older = older_image(run, image, fetch, &name, snapshot.id);
    let hashes = older.as_ref().map(|older| &older.1);
    let capture = Capture::start(setup, sighting, hashes)?;
    let older = older.map(|older| Box::new(older.0));
    Ok(Begun::Capture { capture: Box::new(capture), older })
}

/// The query for the version of the application, if this is the database to ask.
fn question(run: &Run<'_>, of: &Set) -> Option<String> {
    match &run.request.app_version {
        Some(AppVersion::Sql { set, query }) if *set == of.name => Some(query.clone()),
        _ => None,
    }
}

/// The newest image of a database set, if this run may build on it.
fn parent<'a>(run: &'a Run<'_>, set: &Set) -> Option<(&'a Snapshot, &'a Part, &'a Image)> {
    if run.reliance_of(set) == Reliance::Nothing {
        return None;
    }
    let (snapshot, part) = run.parent(set)?;
    match &part.content {
        PartContent::Database { image, .. } => Some((snapshot, part, image)),
        PartContent::Tree { .. } => None,
    }
}

/// Opens an older image with its page hashes. One that cannot be read is no base to build on: the
/// database is then stored anew, which heals what is still in the source.
fn older_image(
    run: &Run<'_>,
    image: &Image,
    fetch: Arc<dyn Fetch>,
    name: &ListName<'_>,
    snapshot: SnapshotId,
) -> Option<(ImageReader, PageHashes)> {
    let (disk, keys) = (run.repo.environment().disk.as_ref(), run.repo.keys());
    let dir = run.repo.state_dir();
    let opened = ImageReader::open(image, fetch).map_err(|error| with_causes(&error));
    let read = opened.and_then(|reader| {
        let kept = PageHashes::open(disk, dir, name, (snapshot, image, keys));
        let hashes = match kept {
            Some(hashes) => hashes,
            None => PageHashes::rebuild(disk, dir, &reader, keys)
                .map_err(|error| with_causes(&error))?,
        };
        Ok((reader, hashes))
    });
    match read {
        Ok(older) => Some(older),
        Err(why) => {
            let message = format!("its older image cannot be read, it is stored anew ({why})");
            run.observer.observe(&Event::Warning { item: name.part.to_owned(), message });
            None
        }
    }
}

/// Stores a capture. When what the repository holds of its older image turns out to be damaged, the
/// database is captured once more, whole: that heals what the source still has.
fn store_or_heal(
    run: &Run<'_>,
    setup: &CaptureSetup<'_>,
    set: &Set,
    captured: Captured,
    older: Option<&ImageReader>,
) -> Result<(Part, PageList), Trouble> {
    let path = captured.sighting.path.clone();
    match store(run, set, captured, older) {
        Err(Error::Image(error)) if older.is_some() && is_damage(&error) => {
            let why = with_causes(&error);
            let message = format!("its older image is damaged, it is stored anew ({why})");
            run.observer.observe(&Event::Warning { item: set.name.clone(), message });
            let env = run.repo.environment();
            let sighting = Sighting::take(env.disk.as_ref(), env.clock.as_ref(), &path)?;
            let captured = Capture::start(setup, sighting, None)?.finish()?;
            Ok(store(run, set, captured, None)?)
        }
        stored => Ok(stored?),
    }
}

fn is_damage(error: &image::Error) -> bool {
    use chunk::Error::{Corrupt, Missing};
    match error {
        image::Error::Chunk(error) => matches!(error, Missing(_) | Corrupt { .. }),
        image::Error::Format(_) | image::Error::NoPlace { .. } => true,
        _ => false,
    }
}

fn store(
    run: &Run<'_>,
    set: &Set,
    captured: Captured,
    older: Option<&ImageReader>,
) -> Result<(Part, PageList), Error> {
    let before = run.writer.progress();
    let mut lane = run.writer.lane();
    let image = build(run, &captured, older, &mut lane)?;
    lane.finish()?;
    let bytes = u64::from(image.page_count) * u64::from(image.page_bytes);
    let outcome = if captured.damage.is_some() { Outcome::Damaged } else { Outcome::Complete };
    let problems = captured.damage.as_deref().map(damage_problem);
    let part = Part {
        name: set.name.clone(),
        kind: PartKind::Database,
        sources: vec![captured.sighting.path.as_os_str().as_bytes().to_vec()],
        totals: Totals {
            files: 1,
            bytes,
            chunks: run.writer.progress().chunks_new - before.chunks_new,
            bytes_read: bytes,
            bytes_new: run.writer.progress().bytes_new - before.bytes_new,
            ..Totals::default()
        },
        problem_count: u64::from(problems.is_some()),
        problems: problems.into_iter().collect(),
        gone: Vec::new(),
        gone_count: 0,
        content: PartContent::Database {
            image: Box::new(image),
            facts: Box::new(captured.facts.clone()),
        },
        outcome,
    };
    part.problems.iter().for_each(|problem| tell_problem(run, &set.name, problem));
    let list = PageList::Save {
        part: set.name.clone(),
        path: Vec::new(),
        spool: Box::new(captured.spool),
    };
    Ok((part, list))
}

fn damage_problem(damage: &str) -> Problem {
    let message = format!("the database is damaged, and was saved as it is: {damage}");
    problem(b"", "damaged", message)
}

/// Stores a captured image.
fn build(
    run: &Run<'_>,
    captured: &Captured,
    older: Option<&ImageReader>,
    store: &mut dyn Store,
) -> Result<Image, Error> {
    let page_bytes = captured.spool.page_bytes();
    let clock = run.repo.environment().clock.as_ref();
    let changed = MeteredPages::new(&captured.spool, page_bytes, run.observer, clock);
    let new = NewImage {
        page_bytes,
        page_count: captured.spool.page_count(),
        identity: captured.identity,
        method: captured.method,
        damaged: captured.damage.is_some(),
        unchecked: captured.facts.check == "not checked",
        begun: captured.sighting.begun,
        witnesses: captured.sighting.witnesses.clone(),
        changed: &changed,
    };
    let storage = run.request.storage;
    let Some(older) = older.filter(|_| storage == Storage::Full) else {
        return Ok(image::build(&new, older, storage, store)?);
    };
    // A full snapshot reads what it has just stored, which is in no pack yet.
    let fetch = run.repo.fetcher_of(&run.writer);
    let kept = KeptChunks::create(run.repo, store, fetch)?;
    let older = ImageReader::open(older.image(), kept.fetch())?;
    Ok(image::build(&new, Some(&older), storage, &mut kept.store())?)
}

fn failed(set: &Set, error: &sqlite::Error) -> FailedPart {
    FailedPart {
        name: set.name.clone(),
        code: error.code().to_owned(),
        message: with_causes(error),
    }
}

/// Proves every image of a full snapshot: rebuilt from the repository, it is what was captured; and
/// asks SQLite whether that is sound.
pub fn verify_all(run: &Run<'_>, parts: &mut Parts) -> Result<(), Error> {
    for part in &mut parts.parts {
        let PartContent::Database { image, facts } = &mut part.content else { continue };
        run.observer.observe(&Event::Phase { phase: Phase::Verify, item: part.name.clone() });
        let fetch = run.repo.fetcher_of(&run.writer);
        let damage = match proof::prove(run.repo, image, fetch, &check_program(run))? {
            Proof::Lost(why) => {
                let name = format!("the image of {} in the repository", part.name);
                return Err(repo::Error::Corrupt { name, why }.into());
            }
            Proof::Verdict(Verdict::Sound) => {
                (image.unchecked, facts.check) = (false, "ok".to_owned());
                continue;
            }
            Proof::Verdict(Verdict::NotChecked(_)) => continue,
            Proof::Verdict(Verdict::Damaged(said)) => said,
        };
        facts.check = damage.lines().next().unwrap_or_default().to_owned();
        (image.damaged, image.unchecked) = (true, false);
        part.outcome = Outcome::Damaged;
        let found = damage_problem(&damage);
        tell_problem(run, &part.name, &found);
        part.problems.push(found);
        part.problem_count += 1;
    }
    Ok(())
}

fn check_program(run: &Run<'_>) -> CheckProgram {
    CheckProgram { path: run.request.program.clone(), arguments: vec!["check-child".into()] }
}

fn tell_problem(run: &Run<'_>, part: &str, problem: &Problem) {
    run.observer.observe(&Event::Problem {
        part: part.to_owned(),
        path: problem.path.clone(),
        code: problem.code.clone(),
        message: problem.message.clone(),
    });
}

/// The page hashes of an image, to be kept under the snapshot that will hold it.
pub enum PageList {
    Save { part: String, path: Vec<u8>, spool: Box<Spool> },
    HandOn { part: String, path: Vec<u8>, from: SnapshotId, image: Box<Image> },
}

impl PageList {
    /// Keeps the list. It is a cache: that it could not be kept costs the next run a while.
    pub fn keep(self, repo: &Repository, snapshot: SnapshotId, observer: &dyn Observer) {
        let (disk, dir) = (repo.environment().disk.as_ref(), repo.state_dir());
        let (part, path) = match &self {
            Self::Save { part, path, .. } | Self::HandOn { part, path, .. } => (part, path),
        };
        let name = ListName { repository: repo.id(), part, path };
        let kept = match &self {
            Self::Save { spool, .. } => PageHashes::save(disk, dir, &name, (snapshot, spool)),
            Self::HandOn { from, image, .. } => {
                PageHashes::hand_on(disk, dir, &name, (*from, snapshot, image))
            }
        };
        if let Err(error) = kept {
            let message = format!("its page hashes are not kept, the next run reads more: {error}");
            observer.observe(&Event::Note { item: part.clone(), message });
        }
    }
}

/// Captures the databases that a walk finds among files, one after another.
pub struct InTree<'a, 'r> {
    pub run: &'a Run<'r>,
    pub fetch: Arc<dyn Fetch>,
}

impl CaptureDatabase for InTree<'_, '_> {
    fn capture(
        &self,
        found: &FoundDatabase<'_>,
        store: &mut dyn Store,
    ) -> Result<CapturedDatabase, CaptureError> {
        let run = self.run;
        let env = run.repo.environment();
        let sighting = Sighting::take(env.disk.as_ref(), env.clock.as_ref(), found.path)
            .map_err(capture_error)?;
        let older = found.older.filter(|_| run.reliance != Reliance::Nothing);
        let older = older.and_then(|image| self.older(image));
        let hashes = older.as_ref().map(|older| &older.1);
        let captured = Capture::start(&setup(run), sighting, hashes)
            .and_then(Capture::finish)
            .map_err(capture_error)?;
        let image = build(run, &captured, older.as_ref().map(|older| &older.0), store).map_err(
            |error| match error {
                Error::Chunk(error) => CaptureError::Store(error),
                Error::Stopped => CaptureError::Store(chunk::Error::Stopped),
                error => CaptureError::Failed {
                    code: "capture".to_owned(),
                    message: with_causes(&error),
                },
            },
        )?;
        let bytes_read = u64::from(image.page_count) * u64::from(image.page_bytes);
        Ok(CapturedDatabase { image, problem: captured.damage, bytes_read })
    }
}

impl InTree<'_, '_> {
    /// Databases among files keep no page hashes: they are made again from the older image.
    fn older(&self, image: &Image) -> Option<(ImageReader, PageHashes)> {
        let repo = self.run.repo;
        let reader = ImageReader::open(image, self.fetch.clone()).ok()?;
        let disk = repo.environment().disk.as_ref();
        let hashes = PageHashes::rebuild(disk, repo.state_dir(), &reader, repo.keys()).ok()?;
        Some((reader, hashes))
    }
}

fn capture_error(error: sqlite::Error) -> CaptureError {
    match error {
        sqlite::Error::Stopped => CaptureError::Store(chunk::Error::Stopped),
        error => {
            CaptureError::Failed { code: error.code().to_owned(), message: with_causes(&error) }
        }
    }
}
