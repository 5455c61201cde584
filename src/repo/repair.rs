//! Making a damaged repository whole again, as far as what is left allows. Spec:
//! `format-spec/70-write-order.md`, "Repair".
//!
//! A [`Plan`] is made of what a check tells; [`execute`] carries it out. Whatever a repair takes
//! away it moves to `quarantine/`, and only after everything in it that still opens was stored
//! elsewhere and published: at no step can less be restored than before. What is only out of reach
//! (a read that fails) is not damaged: it stays where it is. Each step may be cut off and begun
//! again, and a step that was done is not planned again.

mod copies;
mod elsewhere;
mod index;
mod packs;
mod rebuild;

use crate::{
    backend::{self, ObjectName},
    chunk,
    id::{PackId, SnapshotId},
    repo::{
        Error, Repository,
        check::{self, CheckEvent},
        parity, prune, with_causes,
    },
};

pub use elsewhere::{Mirror, lost_packs};

/// Packs that are salvaged together, so that what is left of them shares new packs.
const PACKS_TOGETHER: usize = 16;

/// What is to be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    All,
    /// Index objects.
    Index,
    /// Packs, and the index objects that say what is in the new ones.
    Packs,
    /// Records and marks.
    Snapshots,
}

/// One thing that a repair does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Puts an object again that is gone or damaged, from its other copy; what is damaged is set
    /// aside.
    RestoreCopy { name: ObjectName, why: String },
    /// Puts both copies of a record again from the copy in an index object.
    RestoreRecord { snapshot: SnapshotId, why: String },
    /// Computes a damaged or lost pack again from its parity, bit for bit.
    Rebuild { pack: PackId, why: String },
    /// Stores anew what still opens of a pack, and sets the pack aside.
    Salvage { pack: PackId, chunks_bad: u64, why: String },
    /// Sets aside an object that does not open and that nothing needs.
    SetAside { name: ObjectName, why: String },
    /// Takes an object from a mirror that has it; if it is whole nowhere, does the other step.
    Fetch { name: ObjectName, from: String, why: String, otherwise: Option<Box<Self>> },
    /// Publishes the tables of so many packs that no index object names.
    IndexPacks { packs: u64 },
}

/// What a repair will do, and what it cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Packs that are not here, and with them chunks that are nowhere else here.
    lost: Vec<PackId>,
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub copies_restored: u64,
    pub records_restored: u64,
    /// Packs that are again what they were, by their parity.
    pub packs_rebuilt: u64,
    /// Chunks of damaged packs that were stored anew.
    pub chunks_saved: u64,
    pub packs_indexed: u64,
    /// What was taken from mirrors, and from which.
    pub fetched: Vec<(ObjectName, String)>,
    /// Former names of what is in `quarantine/` now.
    pub set_aside: Vec<ObjectName>,
    /// What could not be done, with the reason; nothing is worse for it.
    pub left: Vec<(String, String)>,
}

/// Makes a plan of what a check tells.
#[derive(Debug)]
pub struct Planner {
    scope: Scope,
    steps: Vec<Step>,
}

impl Planner {
    /// Begins an empty plan.
    pub const fn new(scope: Scope) -> Self {
        Self { scope, steps: Vec::new() }
    }

    /// Takes in what a check found.
    pub fn hear(&mut self, found: &CheckEvent) {
        let step = match found.clone() {
            CheckEvent::CopyLost { name, why } => Step::RestoreCopy { name, why },
            CheckEvent::Damaged { name: ObjectName::Snapshot(snapshot), why } => {
                Step::RestoreRecord { snapshot, why }
            }
            CheckEvent::Damaged { name, why } => Step::SetAside { name, why },
            CheckEvent::PackDamaged { pack, chunks, why } => {
                Step::Salvage { pack, chunks_bad: chunks as u64, why }
            }
            _ => return,
        };
        if self.scope.includes(&step) {
            self.steps.push(step);
        }
    }

    /// Looks at what a check does not tell, and returns the plan.
    pub fn finish(mut self, repo: &Repository) -> Result<Plan, Error> {
        if self.scope.has_packs() {
            rebuild::plan(repo, &mut self.steps)?;
        }
        if matches!(self.scope, Scope::All | Scope::Index | Scope::Packs) {
            let packs = index::unnamed_packs(repo)?.len() as u64;
            self.steps.extend((packs > 0).then_some(Step::IndexPacks { packs }));
        }
        self.steps.sort_by_key(Step::turn);
        let mut lost = match self.scope.has_packs() {
            true => elsewhere::lost_packs(repo)?,
            false => Vec::new(),
        };
        let is_computed = |lost: &PackId| {
            self.steps.iter().any(|step| matches!(step, Step::Rebuild { pack, .. } if pack == lost))
        };
        lost.retain(|pack| !is_computed(pack));
        Ok(Plan { steps: self.steps, lost })
    }
}

impl Plan {
    /// Whether a mirror may help with anything.
    pub fn wants_mirrors(&self) -> bool {
        !self.lost.is_empty() || self.steps.iter().any(|step| elsewhere::wanted(step).is_some())
    }

    /// Plans to take from these mirrors what they have.
    pub fn use_mirrors(&mut self, mirrors: &[Mirror]) {
        elsewhere::plan(mirrors, &self.lost, &mut self.steps);
    }
}

impl Scope {
    const fn has_packs(self) -> bool {
        matches!(self, Self::All | Self::Packs)
    }

    fn includes(self, step: &Step) -> bool {
        let of = match step {
            Step::IndexPacks { .. } | Step::SetAside { name: ObjectName::Index { .. }, .. } => {
                Self::Index
            }
            Step::Salvage { .. }
            | Step::Rebuild { .. }
            | Step::Fetch { .. }
            | Step::SetAside { name: ObjectName::Parity(_), .. } => Self::Packs,
            Step::RestoreRecord { .. } | Step::SetAside { .. } => Self::Snapshots,
            Step::RestoreCopy { name, .. } => match name {
                ObjectName::Snapshot(_) | ObjectName::Pending(_) => Self::Snapshots,
                // Without its keys nothing opens.
                _ => return true,
            },
        };
        matches!(self, Self::All) || self == of
    }
}

impl Step {
    /// Keys first, because all else needs them; index objects last, because they may say what was
    /// in a pack.
    const fn turn(&self) -> u8 {
        match self {
            Self::RestoreCopy { .. } => 0,
            Self::RestoreRecord { .. } => 1,
            Self::SetAside { name: ObjectName::Index { .. }, .. } => 5,
            // They stand in the way of nothing, and may say what all others need to know.
            Self::Fetch { .. } | Self::SetAside { .. } => 2,
            Self::Rebuild { .. } | Self::Salvage { .. } => 3,
            Self::IndexPacks { .. } => 4,
        }
    }

    /// What the step is about: the name of an object, or `index`.
    pub fn item(&self) -> String {
        match self {
            Self::RestoreCopy { name, .. }
            | Self::SetAside { name, .. }
            | Self::Fetch { name, .. } => name.to_string(),
            Self::RestoreRecord { snapshot, .. } => ObjectName::Snapshot(*snapshot).to_string(),
            Self::Rebuild { pack, .. } | Self::Salvage { pack, .. } => {
                ObjectName::Pack(*pack).to_string()
            }
            Self::IndexPacks { .. } => "index".to_owned(),
        }
    }
}

/// Carries out a plan, step by step; each is durable before the next one begins. What cannot be
/// done is told in the outcome, and the other steps are done all the same.
///
/// # Errors
/// [`Error::Stopped`]; what was done is done, and the next repair goes on.
pub fn execute(
    repo: &Repository,
    (plan, mirrors): (&Plan, &[Mirror]),
    begin: &mut dyn FnMut(&Step),
) -> Result<Outcome, Error> {
    let mut repair = Repair { repo, mirrors, outcome: Outcome::default() };
    let mut steps = Vec::new();
    for step in &plan.steps {
        match step {
            Step::Fetch { otherwise, .. } => {
                begin(step);
                if !repair.take(std::slice::from_ref(step))? {
                    steps.extend(otherwise.as_deref().cloned());
                }
            }
            _ => steps.push(step.clone()),
        }
    }
    steps.sort_by_key(Step::turn);
    let is_pack = |step: &Step| matches!(step, Step::Salvage { .. });
    for alike in steps.chunk_by(|a, b| is_pack(a) && is_pack(b)) {
        for together in alike.chunks(PACKS_TOGETHER) {
            together.iter().for_each(&mut *begin);
            let _ = repair.take(together)?;
        }
    }
    let mut outcome = repair.outcome;
    if let Err(error) = parity::tidy(repo) {
        outcome.left.push(("parity".to_owned(), with_causes(&error)));
    }
    repo.forget_catalogue();
    Ok(outcome)
}

/// A repair under way.
struct Repair<'a> {
    repo: &'a Repository,
    mirrors: &'a [Mirror],
    outcome: Outcome,
}

impl Repair<'_> {
    /// Takes one step, or several packs together. Returns whether that could be done; if not, the
    /// outcome says why.
    fn take(&mut self, steps: &[Step]) -> Result<bool, Error> {
        if self.repo.env.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        match self.carry_out(steps) {
            Ok(()) => Ok(true),
            Err(Error::Stopped | Error::Chunk(chunk::Error::Stopped)) => Err(Error::Stopped),
            Err(error) => {
                let why = with_causes(&error);
                let left = steps.iter().map(|step| (step.item(), why.clone()));
                self.outcome.left.extend(left);
                Ok(false)
            }
        }
    }

    fn carry_out(&mut self, steps: &[Step]) -> Result<(), Error> {
        let (repo, outcome) = (self.repo, &mut self.outcome);
        let [step, ..] = steps else { return Ok(()) };
        match step {
            Step::RestoreCopy { name, .. } => copies::restore_copy(repo, name, outcome),
            Step::RestoreRecord { snapshot, .. } => {
                copies::restore_record(repo, *snapshot, outcome)
            }
            Step::Rebuild { pack, .. } => rebuild::rebuild(repo, self.mirrors, *pack, outcome),
            Step::Fetch { name, .. } => elsewhere::fetch(repo, self.mirrors, name, outcome),
            Step::Salvage { .. } => {
                let packs = steps.iter().filter_map(|step| match step {
                    Step::Salvage { pack, .. } => Some(*pack),
                    _ => None,
                });
                packs::salvage(repo, &packs.collect::<Vec<_>>(), outcome)
            }
            Step::IndexPacks { .. } => {
                outcome.packs_indexed += index::publish_unnamed_packs(repo)?;
                Ok(())
            }
            Step::SetAside { name, .. } => set_aside_damaged(repo, name, outcome),
        }
    }
}

/// Takes one object from a mirror: a pack that is lost here.
pub fn fetch(repo: &Repository, mirror: &Mirror, name: &ObjectName) -> Result<(), Error> {
    elsewhere::fetch_from(repo, mirror, name, &mut Outcome::default())
}

/// Sets aside an object of which a check said that it does not open, unless it opens after all.
///
/// What cannot be read now may be read tomorrow: it stays.
fn set_aside_damaged(
    repo: &Repository,
    name: &ObjectName,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    match check::verify_object(repo, name) {
        Ok(()) => return Ok(()),
        Err(error) if error.is_damage() => {}
        Err(out_of_reach) => return Err(out_of_reach),
    }
    if matches!(name, ObjectName::Index { .. }) {
        outcome.packs_indexed += index::publish_unnamed_packs(repo)?;
    }
    set_aside(repo, name, outcome)
}

/// Sets aside what does not come back, and leaves word of it for deleters.
fn set_aside(repo: &Repository, name: &ObjectName, outcome: &mut Outcome) -> Result<(), Error> {
    prune::explain_removal(repo, name)?;
    let moved = repo.env.backend.set_aside(name)?;
    outcome.set_aside.extend(moved.map(|_| name.clone()));
    Ok(())
}

/// Puts an object again as it always was, in the place of what is there, if anything; read back and
/// compared on return. Nothing is gone for good, and no deleter may be told that it is.
fn put_back(
    repo: &Repository,
    name: &ObjectName,
    bytes: &[u8],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let backend = repo.env.backend.as_ref();
    let moved = match backend.replace(name, bytes) {
        // By a run that finished it meanwhile; whether it did is seen below.
        Err(backend::Error::Exists { .. }) => None,
        other => other?,
    };
    outcome.set_aside.extend(moved.map(|_| name.clone()));
    let _ = backend.verify(name, &[bytes])?;
    Ok(())
}
