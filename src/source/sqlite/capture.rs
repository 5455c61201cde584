//! A capture, from the side of the backup: the child process, and what it brings back.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::{ffi::OsStrExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Clock,
    crypto::keys::Keys,
    disk::{Dir, Disk, write_all_at},
    format::{
        image::{Method, is_page_size},
        record::DatabaseFacts,
    },
    id::ImageIdentity,
    limits::PAGE_COUNT_MAX,
    repo::image::NewImage,
    source::sqlite::{
        Error, PageHashes, Sighting, Spool,
        protocol::{Failure, Link, Order, Outcome, Reply, Request},
        spool::{Layout, create_temporary},
    },
};

/// How often a waiting backup looks whether it was told to stop.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a child may take to close its database when nobody waits for its result any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// The program that captures: this one, with its hidden subcommand.
#[derive(Debug, Clone)]
pub struct CaptureProgram {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

/// Bounds of a capture.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long to wait for a lock that another process holds.
    pub busy: Duration,
    /// How long to keep others from writing where there is no write-ahead log.
    pub hold: Duration,
    /// How long to count rows; tables beyond stay uncounted.
    pub count: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(30),
            hold: Duration::from_secs(30),
            count: Duration::from_secs(2),
        }
    }
}

/// What captures work with.
#[derive(Clone)]
pub struct CaptureSetup<'a> {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub keys: Arc<Keys>,
    /// Where the spool lies, without a name: the state folder.
    pub state_dir: &'a Dir,
    /// Once set, a capture ends with [`Error::Stopped`].
    pub stop: Arc<AtomicBool>,
    pub program: CaptureProgram,
    pub limits: Limits,
    /// A query whose first value is wanted along with the image.
    pub question: Option<String>,
    /// How to read. [`Method::Pages`] falls back to the backup API where it must.
    pub method: Method,
}

/// A capture under way. Dropped early, it ends its child, which leaves the database as it was.
#[must_use = "a capture holds a read transaction until it is finished"]
pub struct Capture<'a> {
    setup: CaptureSetup<'a>,
    sighting: Sighting,
    /// Closing it tells the child to end.
    link: Option<Link>,
    child: Child,
    spool: File,
    older_count: u32,
    stage: Stage,
    /// What the child said when nobody was there to be told.
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    /// The read transaction has begun.
    Ready,
    Reading,
}

/// A consistent image, apart from what of it is stored already.
#[derive(Debug)]
pub struct Captured {
    pub sighting: Sighting,
    pub identity: ImageIdentity,
    pub method: Method,
    pub facts: DatabaseFacts,
    /// What the question was answered, or why not.
    pub answer: Option<Result<String, String>>,
    /// What is wrong with the database, although it could be captured.
    pub damage: Option<String>,
    pub spool: Spool,
}

impl Captured {
    /// What is to be stored, by [`image::build`](crate::repo::image::build).
    pub fn new_image(&self) -> NewImage<'_> {
        NewImage {
            page_bytes: self.spool.page_bytes(),
            page_count: self.spool.page_count(),
            identity: self.identity,
            method: self.method,
            damaged: self.damage.is_some(),
            unchecked: self.damage.is_none(),
            begun: self.sighting.begun,
            witnesses: self.sighting.witnesses.clone(),
            changed: &self.spool,
        }
    }
}

impl<'a> Capture<'a> {
    /// Starts the capture of a database; with the page hashes of an older image only the pages that
    /// differ from it are handed up.
    pub fn start(
        setup: &CaptureSetup<'a>,
        sighting: Sighting,
        older: Option<&PageHashes>,
    ) -> Result<Self, Error> {
        let spool_error = |action| {
            let path = sighting.path.clone();
            move |source| Error::Spool { action, path, source }
        };
        let spool =
            create_temporary(&*setup.disk, setup.state_dir).map_err(spool_error("create"))?;
        if let Some(older) = older {
            let mut offset = Layout::OLDER_HASHES;
            let copied = older.for_each_piece(&*setup.disk, &mut |piece| {
                write_all_at(&*setup.disk, &spool, piece, offset)?;
                offset += piece.len() as u64;
                Ok(())
            });
            copied.map_err(spool_error("write"))?;
        }
        let (child, stream) = spawn(setup, &sighting, &spool)
            .map_err(|error| died(&sighting.path, format!("it could not be started: {error}")))?;
        let mut capture = Self {
            setup: setup.clone(),
            link: Some(Link::new(stream)),
            child,
            spool,
            older_count: older.map_or(0, PageHashes::count),
            stage: Stage::Opening,
            failed: None,
            sighting,
        };
        let request = capture.request(older.map_or(0, PageHashes::page_bytes));
        capture.send(&Order::Begin(request))?;
        Ok(capture)
    }

    /// Waits until the read transaction has begun, but not much longer than this; returns whether
    /// it has.
    pub fn is_ready_within(&mut self, patience: Duration) -> Result<bool, Error> {
        if self.stage == Stage::Opening {
            match self.receive(Some(self.setup.clock.elapsed() + patience))? {
                Some(Reply::Ready) => self.stage = Stage::Ready,
                Some(_) => return Err(self.nonsense()),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Lets a capture that is ready read.
    pub fn go(&mut self) -> Result<(), Error> {
        if self.stage == Stage::Ready {
            self.send(&Order::Go)?;
            self.stage = Stage::Reading;
        }
        Ok(())
    }

    /// Waits until everything is captured and the database is closed again.
    pub fn finish(mut self) -> Result<Captured, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while !self.is_ready_within(PATIENCE)? {}
        self.go()?;
        let Some(Reply::Done(outcome)) = self.receive(None)? else { return Err(self.nonsense()) };
        let _ = self.end();
        let layout = self.layout_of(&outcome).ok_or_else(|| self.nonsense())?;
        let disk = self.setup.disk.clone();
        let spool = self.spool.try_clone().map_err(|source| self.spool_failed("keep", source))?;
        let spool = Spool::new(disk, spool, layout, outcome.changed_count);
        let mut identity = self.setup.keys.image_identity(layout.page_bytes, layout.page_count);
        spool
            .for_each_hash_piece(&mut |hashes| {
                identity.update(hashes);
                Ok(())
            })
            .map_err(|source| self.spool_failed("read", source))?;
        let check = outcome.damage.as_deref().and_then(|damage| damage.lines().next());
        let answer = outcome.answer;
        let facts = outcome.facts.into_record(check.unwrap_or("not checked").to_owned());
        Ok(Captured {
            sighting: self.sighting.clone(),
            identity: identity.finish(),
            method: if outcome.by_backup_api { Method::BackupApi } else { Method::Pages },
            facts,
            answer,
            damage: outcome.damage,
            spool,
        })
    }

    fn request(&self, older_page_bytes: u32) -> Request {
        let Limits { busy, hold, count } = self.setup.limits;
        Request {
            path: self.sighting.path.as_os_str().as_bytes().to_vec(),
            page_key: *self.setup.keys.page_key().expose(),
            older_page_bytes,
            older_page_count: self.older_count,
            busy_ms: millis(busy),
            hold_ms: millis(hold),
            count_ms: millis(count),
            use_backup_api: self.setup.method == Method::BackupApi,
            question: self.setup.question.clone(),
            scratch: SCRATCH.as_bytes().to_vec(),
        }
    }

    fn send(&mut self, order: &Order) -> Result<(), Error> {
        let sent = match &mut self.link {
            Some(link) => link.send(order),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        // A child that is gone may have said why before.
        match sent {
            Ok(()) => Ok(()),
            Err(_) => self.receive(None).and_then(|_| Err(self.nonsense())),
        }
    }

    /// Waits for the child's next word; nothing if the deadline passes.
    fn receive(&mut self, deadline: Option<Duration>) -> Result<Option<Reply>, Error> {
        loop {
            if self.setup.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let Some(link) = &mut self.link else { return Err(self.nonsense()) };
            match link.receive() {
                Ok(Some(Reply::Failed(failure))) => return Err(self.failed(failure)),
                Ok(Some(reply)) => return Ok(Some(reply)),
                Ok(None) => {
                    let status = self.end();
                    return Err(died(&self.sighting.path, status));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(died(&self.sighting.path, error.to_string())),
            }
            if deadline.is_some_and(|deadline| self.setup.clock.elapsed() >= deadline) {
                return Ok(None);
            }
        }
    }

    /// What an outcome means for the spool; nothing if it makes no sense.
    fn layout_of(&self, outcome: &Outcome) -> Option<Layout> {
        let Outcome { page_bytes, page_count, changed_count, .. } = *outcome;
        // A database that has no pages yet has no page size either.
        let page_bytes = if page_count == 0 { 0 } else { page_bytes };
        let is_sound = (page_count == 0 || is_page_size(page_bytes))
            && page_count <= PAGE_COUNT_MAX
            && changed_count <= page_count;
        let older_count = self.older_count;
        is_sound.then_some(Layout { older_count, page_count, page_bytes })
    }

    fn failed(&self, failure: Failure) -> Error {
        let path = self.sighting.path.clone();
        let Limits { busy, hold, .. } = self.setup.limits;
        match failure {
            Failure::NotADatabase => Error::NotADatabase { path },
            Failure::Locked => Error::Locked { path, waited: busy },
            Failure::HeldTooLong => Error::HeldTooLong { path, held: hold },
            Failure::NoAccess(why) => Error::NoAccess { path, why },
            Failure::Sqlite(why) => Error::Sqlite { path, why },
            Failure::Spool { os_error, why } => {
                let source =
                    os_error.map_or_else(|| io::Error::other(why), io::Error::from_raw_os_error);
                Error::Spool { action: "write", path, source }
            }
            Failure::TooOld(version) => Error::SqliteTooOld { version },
            Failure::Abandoned => died(&path, "it gave up".to_owned()),
        }
    }

    fn nonsense(&self) -> Error {
        died(&self.sighting.path, "it did not keep to the protocol".to_owned())
    }

    fn spool_failed(&self, action: &'static str, source: io::Error) -> Error {
        Error::Spool { action, path: self.sighting.path.clone(), source }
    }

    /// Has the child end, by force if it does not; returns how it ended.
    fn end(&mut self) -> String {
        drop(self.link.take());
        let deadline = self.setup.clock.elapsed() + FAREWELL;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if self.setup.clock.elapsed() < deadline => {
                    self.setup.clock.sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Lets captures begin to read as nearly at one moment as their databases allow.
///
/// Those whose read transaction has not begun within the patience go on later by themselves: one
/// database that is locked must not make the others hold their transactions. Errors are for
/// [`Capture::finish`] to tell.
pub fn go_together(captures: &mut [Capture<'_>], patience: Duration) {
    let Some(first) = captures.first() else { return };
    let clock = first.setup.clock.clone();
    let deadline = clock.elapsed() + patience;
    for capture in &mut *captures {
        let patience = deadline.saturating_sub(clock.elapsed());
        capture.failed = capture.is_ready_within(patience).err();
    }
    for capture in captures.iter_mut().filter(|capture| capture.failed.is_none()) {
        capture.failed = capture.go().err();
    }
}

/// Where an unnamed copy lies if the backup API has to make one: any user may write there, and no
/// memory is used up.
const SCRATCH: &str = "/var/tmp";

fn spawn(
    setup: &CaptureSetup<'_>,
    sighting: &Sighting,
    spool: &File,
) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    let mut command = Command::new(&setup.program.path);
    let _ = command
        .args(&setup.program.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::from(spool.try_clone()?))
        // Ctrl-C is for the backup to act on; the child closes its database when it is let go.
        .process_group(0);
    // Files that SQLite makes beside the database must belong to whoever works with it.
    if rustix::process::geteuid().is_root() && sighting.uid != 0 {
        let _ = command.uid(sighting.uid).gid(sighting.gid);
    }
    Ok((command.spawn()?, ours))
}

fn died(path: &Path, why: String) -> Error {
    Error::ChildDied { path: path.to_path_buf(), why }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
