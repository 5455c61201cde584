//! A live restore under way, step by step. Every step is in the journal before it begins.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, sync::atomic::Ordering};

use crate::{
    disk::{Dir, Disk},
    format::{
        node::Entry,
        record::{PartKind, Trigger},
    },
    ops::{
        self, backup,
        event::{Event, Observer, Phase},
        forget,
        live::{
            Error, Goal, Report, Request, STAGING_PREFIX,
            hook::{Runner, Stops},
            journal::{Journal, JournalSite, Step},
            kept::Mixed,
            moves::{Act, Ground, Move, Was, parent},
            plan::{Kind, Planner, Site, io_error, is_database_file, open, resolved, split},
            prove::{Proof, Witness},
            roll_back::Back,
            stage::{Made, Stage, Staged, give_folder, make_ground},
            verify,
            version::Age,
        },
        set::{FileSet, Set, SetSource},
    },
    repo::{Repository, Snapshot},
    source::sqlite::ExclusiveLocks,
};

/// No rule removes a safety snapshot within seven days.
const SAFETY_KEPT_NANOS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// How the name of a part ends that holds a database as a file.
const AS_A_FILE: &str = ".unreadable";

/// A live restore under way.
pub struct Work<'a> {
    pub repo: &'a Repository,
    pub request: &'a Request,
    pub observer: &'a dyn Observer,
    pub goal: &'a Goal<'a>,
    pub sites: Vec<Site>,
    pub journal: Journal,
    pub age: Age,
    pub mixed: Vec<Mixed>,
}

impl<'a> Work<'a> {
    /// Puts the journal in place; nothing else has changed on return.
    pub fn begin(
        (repo, request): (&'a Repository, &'a Request),
        observer: &'a dyn Observer,
        goal: &'a Goal<'a>,
        (sites, age): (Vec<Site>, Age),
    ) -> Result<Self, ops::Error> {
        let env = repo.environment();
        let random = env.entropy.bytes32();
        let id = format!("{:02x}{:02x}{:02x}{:02x}", random[0], random[1], random[2], random[3]);
        let journal = Journal {
            step: Step::Staging,
            started: env.clock.now(),
            asked: goal.asked.clone(),
            sites: sites.iter().map(|site| journal_site(env.disk.as_ref(), site, &id)).collect(),
            before: request.hooks.before.clone(),
            after: request.hooks.after.clone(),
            hook_timeout: request.hooks.timeout,
            safety: None,
            saved: Vec::new(),
            id,
        };
        let work = Self { repo, request, observer, goal, sites, journal, age, mixed: Vec::new() };
        work.note()?;
        Ok(work)
    }

    /// Does all of it.
    pub fn go(&mut self) -> Result<Report, ops::Error> {
        let mut staged: Vec<Staged> = self.sites.iter().map(|_| Staged::default()).collect();
        let grounds = self.stage(&mut staged)?;
        self.enter(Step::Stopping)?;
        self.hook("before_restore", &self.request.hooks.before)?;
        let witness = self.prove()?;
        let safety = self.save()?;
        self.plan_again(&grounds, &mut staged)?;
        self.keep_tables(safety.as_ref(), (&grounds, &staged))?;
        let locks = self.lock(&witness)?;
        self.swap(&grounds, &staged)?;
        // Who opened a database in the moment before it was replaced holds what is gone now.
        self.proof().nobody_has(&witness)?;
        drop(locks);
        verify::all(self, &grounds)?;
        if self.age == Age::Older {
            self.hook("migrate", &self.request.hooks.migrate)?;
        }
        drop(grounds);
        self.enter(Step::Starting)?;
        self.start()?;
        // The application works on what was restored: from here on nothing is taken back.
        if let Err(error) = self.finish() {
            let message = format!("the next command clears up: {}", ops::with_causes(&error));
            self.observer.observe(&Event::Warning { item: "clearing up".to_owned(), message });
        }
        Ok(Report { sites: std::mem::take(&mut self.sites), safety })
    }

    /// Takes all of it back, and says why.
    pub fn take_back(mut self, cause: ops::Error) -> ops::Error {
        if self.journal.step == Step::Starting {
            // The application did not start on what is there now: it is stopped as before.
            let before = self.journal.before.clone();
            if let Err(why) = self.runner().run("before_restore", &before, Stops::Never) {
                return unfinished(&cause, &why);
            }
            self.journal.step = Step::Swapping;
        }
        let back = Back { repo: self.repo, observer: self.observer };
        match back.roll_back(&self.journal) {
            Ok(()) => Error::TakenBack(Box::new(cause)).into(),
            Err(error) => unfinished(&cause, &ops::with_causes(&error)),
        }
    }

    fn stage(&self, staged: &mut [Staged]) -> Result<Vec<Ground<'a>>, ops::Error> {
        let (disk, stage) = (self.disk(), self.stager());
        let mut grounds = Vec::new();
        for ((site, noted), staged) in self.sites.iter().zip(&self.journal.sites).zip(staged) {
            let ground = make_ground(disk, noted)?;
            give_folder(&ground, site)?;
            stage.fill(site, &ground, staged)?;
            grounds.push(ground);
        }
        Ok(grounds)
    }

    /// Nobody has a database open that is to be replaced.
    fn prove(&self) -> Result<Witness, ops::Error> {
        self.observer.observe(&Event::Phase { phase: Phase::Wait, item: String::new() });
        self.proof().wait(&self.sites)
    }

    fn lock(&self, witness: &Witness) -> Result<ExclusiveLocks, ops::Error> {
        self.proof().lock(&self.sites, witness)
    }

    fn proof(&self) -> Proof<'a> {
        let env = self.repo.environment();
        Proof {
            disk: env.disk.as_ref(),
            clock: env.clock.as_ref(),
            stop: env.stop.as_ref(),
            occupants: self.request.occupants,
        }
    }

    /// Makes a snapshot of what is there now.
    fn save(&mut self) -> Result<Option<Snapshot>, ops::Error> {
        let sets = self.sets_that_exist()?;
        if sets.is_empty() {
            return Ok(None);
        }
        let mut request = self.request.safety.clone();
        request.trigger = Trigger::Safety;
        request.own.extend(self.journal.sites.iter().map(JournalSite::staging_path));
        request.sets = sets;
        // The locks of the parts are ours already.
        let report = backup::run_locked(self.repo, &request, self.observer)?;
        if let Some(failed) = report.failed.first() {
            return Err(not_saved(&format!("{} ({})", failed.name, failed.message)));
        }
        let snapshot = report.snapshot.ok_or_else(|| not_saved("anything"))?;
        self.refuse_gaps(&snapshot)?;
        let until = self.repo.environment().clock.now().saturating_add(SAFETY_KEPT_NANOS);
        let pinned = ("what was there before a restore in place", Some(until));
        forget::pin(self.repo, snapshot.id, pinned, self.observer)?;
        self.journal.safety = Some(snapshot.id.to_string());
        self.journal.saved = snapshot.record.parts.iter().map(|part| part.name.clone()).collect();
        self.note()?;
        Ok(Some(snapshot))
    }

    /// The sets of the parts concerned, as far as there is anything of them.
    fn sets_that_exist(&self) -> Result<Vec<Set>, ops::Error> {
        let is_there = |site: &&Site| {
            let is_there = site.missing.is_empty() && site.place.symlink_metadata().is_ok();
            is_there && !site.changes.is_empty()
        };
        let mut sets: Vec<Set> = Vec::new();
        for site in self.sites.iter().filter(is_there) {
            let set = self.request.sets.iter().find(|set| set.name == site.part);
            // What cannot be saved must not be changed.
            let set = set.ok_or_else(|| not_saved(&site.part))?;
            if sets.iter().all(|known| known.name != set.name) {
                sets.push(self.as_it_is(set)?);
            }
        }
        Ok(sets)
    }

    /// What SQLite does not read any more is saved as the file that it is: who brings a database
    /// back has lost one, maybe in this way.
    fn as_it_is(&self, set: &Set) -> Result<Set, ops::Error> {
        let SetSource::Sqlite { path } = &set.source else { return Ok(set.clone()) };
        let path = resolved(path);
        let (parent, name) = split(&path)?;
        let at = open(self.disk(), parent)?;
        let stat = self.disk().stat(&at, name);
        // An empty file is an empty database.
        let is_empty = stat.is_ok_and(|stat| stat.bytes == 0);
        if is_empty || is_database_file(self.disk(), &at, name) {
            return Ok(set.clone());
        }
        let message = "it is no database any more, and is saved as a file".to_owned();
        self.observer.observe(&Event::Warning { item: set.name.clone(), message });
        let files = FileSet { paths: vec![path.clone()], ..FileSet::default() };
        let name = format!("{}{AS_A_FILE}", set.name);
        Ok(Set { name, source: SetSource::Files(files) })
    }

    /// What could not be read cannot be brought back: it must not be changed.
    fn refuse_gaps(&self, snapshot: &Snapshot) -> Result<(), ops::Error> {
        for part in &snapshot.record.parts {
            if part.problem_count > 0 && self.sites.iter().all(|site| site.part != part.name) {
                return Err(not_saved(&part.name));
            }
            let sites = self.sites.iter().filter(|site| site.part == part.name);
            for change in sites.flat_map(|site| &site.changes) {
                let is_gap =
                    |path: &[u8]| path.starts_with(&change.path) || change.path.starts_with(path);
                let gap = part.problems.iter().find(|problem| is_gap(&problem.path));
                let is_unknown = part.problem_count > part.problems.len() as u64;
                if part.kind != PartKind::Database && (gap.is_some() || is_unknown) {
                    let path = String::from_utf8_lossy(&change.path).into_owned();
                    return Err(not_saved(&format!("{path} of {}", part.name)));
                }
            }
        }
        Ok(())
    }

    /// The application may have changed files until it was stopped.
    fn plan_again(
        &mut self,
        grounds: &[Ground<'_>],
        staged: &mut [Staged],
    ) -> Result<(), ops::Error> {
        let planner = Planner { repo: self.repo, request: self.request };
        let mut sites = planner.sites(self.goal)?;
        for (site, known) in sites.iter_mut().zip(&self.sites) {
            if site.root != known.root {
                let path = site.root.clone();
                return Err(Error::Changed { path }.into());
            }
            site.missing.clone_from(&known.missing);
        }
        self.sites = sites;
        for ((site, ground), staged) in self.sites.iter().zip(grounds).zip(staged) {
            self.stager().fill(site, ground, staged)?;
        }
        for (site, noted) in self.sites.iter().zip(&mut self.journal.sites) {
            noted.databases = site.databases(self.repo.environment().disk.as_ref());
        }
        Ok(())
    }

    fn swap(&mut self, grounds: &[Ground<'_>], staged: &[Staged]) -> Result<(), ops::Error> {
        let mut all = Vec::new();
        for (number, (site, ground)) in self.sites.iter().zip(grounds).enumerate() {
            let moves = moves(site, ground, &staged[number])?;
            let written = self.journal.write_moves(self.disk(), self.state(), (number, &moves));
            written.map_err(|source| io_error("write", self.repo.state_path(), source))?;
            all.push(moves);
        }
        self.enter(Step::Swapping)?;
        for ((site, ground), moves) in self.sites.iter().zip(grounds).zip(&all) {
            for (number, one) in moves.iter().enumerate() {
                let made = ground.make(number, one);
                made.map_err(|source| {
                    io_error("replace", &site.root.join(OsStr::from_bytes(&one.path)), source)
                })?;
            }
            self.mend(site, ground, moves)?;
            let synced = ground.sync(moves);
            synced.map_err(|source| io_error("make durable", &site.root, source))?;
        }
        Ok(())
    }

    /// Folders and mended files get their metadata when nothing changes in them any more.
    fn mend(&self, site: &Site, ground: &Ground<'_>, moves: &[Move]) -> Result<(), ops::Error> {
        let entry_of = |one: &Move| -> Option<&Entry> {
            let mut changes = site.changes.iter().filter(|change| change.path == one.path);
            changes.find_map(|change| match &change.kind {
                Kind::Mend(entry) | Kind::MakeFolder(entry) => Some(entry.as_ref()),
                _ => None,
            })
        };
        let touched = moves.iter().filter(|one| one.act == Act::Touch);
        for one in touched.clone().rev() {
            let kept = ground.put_back_metadata(one);
            kept.map_err(|source| io_error("keep the time of a folder in", &site.root, source))?;
        }
        let mended =
            moves.iter().rev().filter(|one| matches!(one.act, Act::Mend | Act::MakeFolder));
        let mended: Vec<(&Move, &Entry)> =
            mended.filter_map(|one| entry_of(one).map(|entry| (one, entry))).collect();
        if mended.is_empty() { Ok(()) } else { self.stager().mend((site, ground), &mended) }
    }

    /// Starts the application. From here on the restore is finished, not taken back, unless this
    /// fails.
    fn start(&self) -> Result<(), ops::Error> {
        let after = &self.request.hooks.after;
        let started = self.runner().run("after_restore", after, Stops::Never);
        started.map_err(|why| Error::Hook { hook: "after_restore", why }.into())
    }

    fn finish(&mut self) -> Result<(), ops::Error> {
        self.enter(Step::Clearing)?;
        Back { repo: self.repo, observer: self.observer }.clear(&self.journal, Made::Stay)?;
        let finished = self.journal.finish(self.disk(), self.state());
        finished.map_err(|source| io_error("write", self.repo.state_path(), source))
    }

    fn hook(&self, hook: &'static str, words: &[String]) -> Result<(), ops::Error> {
        let stop = &self.repo.environment().stop;
        let ran = self.runner().run(hook, words, Stops::At(stop));
        ran.map_err(|why| match stop.load(Ordering::Relaxed) {
            true => ops::Error::Stopped,
            false => Error::Hook { hook, why }.into(),
        })
    }

    fn enter(&mut self, step: Step) -> Result<(), ops::Error> {
        self.journal.step = step;
        self.note()
    }

    fn note(&self) -> Result<(), ops::Error> {
        let written = self.journal.write(self.disk(), self.state());
        written.map_err(|source| io_error("write", self.repo.state_path(), source))
    }

    fn runner(&self) -> Runner<'_> {
        let env = self.repo.environment();
        Runner {
            disk: env.disk.as_ref(),
            scratch: self.repo.state_dir(),
            clock: env.clock.as_ref(),
            timeout: self.request.hooks.timeout,
            observer: self.observer,
        }
    }

    pub fn disk(&self) -> &'a dyn Disk {
        self.repo.environment().disk.as_ref()
    }

    fn state(&self) -> &Dir {
        self.repo.state_dir()
    }

    const fn stager(&self) -> Stage<'a> {
        Stage { repo: self.repo, observer: self.observer }
    }
}

fn journal_site(disk: &dyn Disk, site: &Site, id: &str) -> JournalSite {
    JournalSite {
        part: site.part.clone(),
        kind: site.kind,
        root: site.root.clone(),
        made: site.missing.clone(),
        staging: format!("{STAGING_PREFIX}{id}-{}", site.part),
        databases: site.databases(disk),
        modified: disk
            .open_root(&site.root)
            .and_then(|root| disk.stat_dir(&root))
            .ok()
            .map(|stat| stat.modified),
    }
}

/// The moves that make the changes, and what has to be put back around them.
fn moves(site: &Site, ground: &Ground<'_>, staged: &Staged) -> Result<Vec<Move>, ops::Error> {
    let failed = |source| io_error("look at what is in", &site.root, source);
    let mut moves: Vec<Move> = Vec::new();
    let mut going: Option<&[u8]> = None;
    for change in &site.changes {
        let was = ground.stat(&change.path).map_err(failed)?;
        let is_gone = going.is_some_and(|gone| gone == change.path);
        let was = was.filter(|_| !is_gone).map(|stat| Was::from(&stat));
        let act = match &change.kind {
            Kind::Delete => {
                going = Some(&change.path);
                Act::Remove
            }
            Kind::MakeFolder(_) => Act::MakeFolder,
            Kind::Mend(_) => Act::Mend,
            Kind::Write(_) | Kind::Image(_) => match staged.number(&change.path) {
                Some(number) => Act::Put(number),
                None => return Err(failed(std::io::ErrorKind::NotFound.into())),
            },
        };
        moves.push(Move { path: change.path.clone(), act, was });
    }
    let touched = touched(&moves);
    for path in touched {
        if let Some(stat) = ground.stat(&path).map_err(failed)? {
            moves.push(Move { path, act: Act::Touch, was: Some(Was::from(&stat)) });
        }
    }
    Ok(moves)
}

/// Folders in which something changes and that have no move of their own, the root included.
fn touched(moves: &[Move]) -> Vec<Vec<u8>> {
    let mut folders: Vec<Vec<u8>> = moves
        .iter()
        .filter(|one| one.act != Act::Mend)
        .map(|one| parent(&one.path).to_vec())
        .collect();
    folders.sort();
    folders.dedup();
    folders.retain(|folder| moves.iter().all(|one| one.path != *folder));
    folders
}

fn not_saved(what: &str) -> ops::Error {
    Error::NotSaved { what: what.to_owned() }.into()
}

fn unfinished(cause: &ops::Error, why: &str) -> ops::Error {
    Error::Unfinished { why: format!("{}; then {why}", ops::with_causes(cause)) }.into()
}
