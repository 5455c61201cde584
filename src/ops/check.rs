//! Is everything there, and can it be read?
//!
//! What was found is told to the observer, item by item, and counted. With [`Depth::Data`] every
//! distinct database image is rebuilt and checked by SQLite too, the newest first; its verdict is
//! remembered, so that the next check asks about new images only.

mod images;
mod losses;

use std::path::Path;

use crate::{
    ops::{
        Error,
        event::{Event, Meter, Observer, Phase},
        words,
    },
    repo::{
        Repository,
        check::{self, CheckEvent, Depth},
    },
};

use losses::Losses;
pub use losses::{Loss, Moment};

/// What a check found, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub snapshots: u64,
    pub packs: u64,
    /// Size of all packs.
    pub bytes: u64,
    /// Objects that do not open.
    pub damaged: u64,
    /// Objects of which only one copy is left.
    pub copies_lost: u64,
    /// Bytes of packs that were read in full.
    pub bytes_read: u64,
    /// When the pack that was read longest ago was read by this machine; absent while there is one
    /// that never was.
    pub oldest_read: Option<i64>,
    /// Packs that this machine never read in full.
    pub packs_never_read: u64,
    /// Things that a snapshot cannot give back any more, counted in each snapshot.
    pub affected: u64,
    pub snapshots_affected: u64,
    /// The same by part and path, at most so many as [`Loss`] says.
    pub losses: Vec<Loss>,
    /// Names that are none of ours.
    pub foreign: u64,
    /// Distinct database images that were looked at.
    pub images: u64,
    /// Images that cannot be rebuilt any more.
    pub images_lost: u64,
    /// Images that SQLite finds fault with, though they are as they were captured.
    pub images_unsound: u64,
}

impl Report {
    /// Whether all is as it should be.
    pub const fn is_sound(&self) -> bool {
        self.damaged == 0
            && self.copies_lost == 0
            && self.affected == 0
            && self.foreign == 0
            && self.images_lost == 0
            && self.images_unsound == 0
    }
}

/// Checks the repository as it is now. Damage is told and counted; it is no error.
///
/// `program` is our own, which checks databases in processes of their own.
pub fn check(
    repo: &Repository,
    depth: Depth,
    program: &Path,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let mut report = examine(repo, depth, observer, &mut |_| {})?;
    if depth == Depth::Data {
        let snapshots = repo.snapshots()?.snapshots;
        images::check(repo, &snapshots, program, &mut report, observer)?;
    }
    Ok(report)
}

/// Checks everything but what SQLite thinks of database images; `hear` is told each finding first.
pub fn examine(
    repo: &Repository,
    depth: Depth,
    observer: &dyn Observer,
    hear: &mut dyn FnMut(&CheckEvent),
) -> Result<Report, Error> {
    observer.observe(&Event::Phase { phase: Phase::Check, item: String::new() });
    let mut report = Report::default();
    let clock = &*repo.environment().clock;
    let mut meter = Meter::new(observer, clock);
    let mut losses = Losses::default();
    check::run(repo, depth, &mut |event| {
        hear(&event);
        match event {
            CheckEvent::Plan { packs, bytes, bytes_to_read } => {
                (report.packs, report.bytes, report.bytes_read) = (packs, bytes, bytes_to_read);
                meter = Meter::new(observer, clock).with_totals(bytes, packs);
            }
            CheckEvent::ReadSoFar { oldest, never } => {
                (report.oldest_read, report.packs_never_read) = (oldest, never);
            }
            CheckEvent::Affected { snapshot, part, path, why } => {
                losses.add(snapshot, (part, path), why);
            }
            CheckEvent::AffectedBesides { count } => report.affected += count,
            CheckEvent::Progress { bytes } => meter.add(bytes, 1, b""),
            CheckEvent::Note { text } => {
                observer.observe(&Event::Warning { item: String::new(), message: text });
            }
            found => tell(found, &mut report, observer),
        }
    })?;
    let snapshots = repo.snapshots()?.snapshots;
    report.snapshots = snapshots.len() as u64;
    report.affected += losses.count();
    report.snapshots_affected = losses.snapshot_count();
    report.losses = losses.in_words(&snapshots);
    report.losses.iter().for_each(|loss| tell_loss(loss, observer));
    Ok(report)
}

fn tell(found: CheckEvent, report: &mut Report, observer: &dyn Observer) {
    let (count, code, part, path, message) = match found {
        CheckEvent::Damaged { name, why } => {
            (&mut report.damaged, "damaged", String::new(), name.to_string().into_bytes(), why)
        }
        CheckEvent::CopyLost { name, why } => {
            let name = name.to_string().into_bytes();
            (&mut report.copies_lost, "copy-lost", String::new(), name, why)
        }
        CheckEvent::PackDamaged { pack, chunks, why } => {
            let why =
                format!("{why}; {} in it do not open", words::counted(chunks as u64, "chunk"));
            let name = format!("packs/{pack}").into_bytes();
            (&mut report.damaged, "pack-damaged", String::new(), name, why)
        }
        CheckEvent::Foreign { name } => {
            let why = "is none of ours; it is never read and never deleted".to_owned();
            (&mut report.foreign, "foreign", String::new(), name.into_bytes(), why)
        }
        // A kind of finding that is newer than this list must not pass for soundness.
        other => (&mut report.damaged, "damaged", String::new(), Vec::new(), format!("{other:?}")),
    };
    *count += 1;
    observer.observe(&Event::Problem { part, path, code: code.to_owned(), message });
}

fn tell_loss(loss: &Loss, observer: &dyn Observer) {
    observer.observe(&Event::Problem {
        part: loss.part.clone(),
        path: loss.path.clone(),
        code: "affected".to_owned(),
        message: loss.message(),
    });
}
