//! The deletion protocol, tried in every order of steps that is possible. Spec:
//! `format-spec/70-write-order.md`.
//!
//! One chunk, and packs that each hold a copy of it. Writers publish records that reach the chunk,
//! through packs they found or their own; deleters repack, condemn, look again, delete, fold;
//! somebody takes a forgetting back. Any actor may stop for ever at any step, since no step waits
//! for another: a kill is a schedule in which an actor does not move again. In every state that can
//! be reached: whoever was told that a snapshot is safe finds a copy of the chunk.
//!
//! Reading is not atomic: tombstones that stand, those that are folded, and packs are read in steps
//! of their own.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hash, Hasher},
};

const WRITERS_MAX: usize = 3;
const DELETERS_MAX: usize = 2;

/// A set of packs, one bit each: two from the beginning, two of each writer, one of each deleter.
type Packs = u16;

const fn pack_of_writer(writer: usize, rescued: bool) -> Packs {
    1 << (2 + writer * 2 + rescued as usize)
}

const fn pack_of_deleter(deleter: usize) -> Packs {
    1 << (2 + WRITERS_MAX * 2 + deleter)
}

/// What is left out of the protocol, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weakness {
    None,
    WriterDoesNotLook,
    DeleterDoesNotLookAgain,
    TombstonesAreShared,
    WriterLooksBeforeItPublishes,
    WriterChecksOnlyWhatItReused,
    FoldedTombstonesAreReadFirst,
    TombstonesGoBeforeTheyAreFolded,
    UndeleteDoesNotLook,
}

/// Who takes part.
#[derive(Debug, Clone, Copy)]
struct Cast {
    writers: usize,
    deleters: usize,
    /// There is a forgotten snapshot, and somebody who wants it back.
    undelete: bool,
    /// How many packs hold the chunk at the beginning.
    copies: u32,
    /// A look is one step, so that more actors can be tried.
    looks_at_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum At {
    #[default]
    Begin,
    /// A writer has what it needs and publishes its pending record; a deleter its tombstone.
    Publish,
    ReadStanding,
    ReadFolded,
    ReadPacks,
    Commit,
    /// A deleter looks at the records again.
    ReadRecords,
    Delete,
    Fold,
    Unstand,
    /// Marks the snapshot as forgotten again.
    GiveUp,
    Done,
    Safe,
}

/// A writer, or who undeletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Writer {
    at: At,
    record: Record,
    /// Folded tombstones that it knew at the beginning.
    known: Packs,
    /// Tombstones of this look.
    seen: Packs,
    has_own_pack: bool,
    has_rescued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Record {
    #[default]
    None,
    Pending,
    Committed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Deleter {
    at: At,
    target: Packs,
    /// Takes the record of the forgotten snapshot away, too.
    takes_record: bool,
    is_needed: bool,
    seen: Packs,
    /// Packs of its second look.
    packs: Packs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    packs: Packs,
    /// What the tombstone of each deleter names.
    standing: [Packs; DELETERS_MAX],
    /// Whether it names the forgotten snapshot.
    names_snapshot: [bool; DELETERS_MAX],
    folded: Packs,
    folded_snapshot: bool,
    has_old_record: bool,
    is_forgotten: bool,
    writers: [Writer; WRITERS_MAX],
    undeleter: Writer,
    deleters: [Deleter; DELETERS_MAX],
}

impl State {
    fn first(cast: Cast) -> Self {
        Self {
            packs: (1 << cast.copies) - 1,
            standing: [0; DELETERS_MAX],
            names_snapshot: [false; DELETERS_MAX],
            folded: 0,
            folded_snapshot: false,
            has_old_record: cast.undelete,
            is_forgotten: cast.undelete,
            writers: Default::default(),
            undeleter: Writer::default(),
            deleters: Default::default(),
        }
    }

    /// Whether somebody was told that a snapshot is safe which has no copy of the chunk.
    fn is_violated(&self) -> bool {
        let is_committed = self.writers.iter().any(|writer| writer.record == Record::Committed);
        let is_back = self.undeleter.at == At::Safe;
        (is_committed && self.packs == 0) || (is_back && (self.packs == 0 || !self.has_old_record))
    }

    fn all_standing(&self) -> Packs {
        self.standing.iter().fold(0, |all, one| all | one)
    }

    fn is_reached(&self) -> bool {
        self.writers.iter().any(|writer| writer.record != Record::None)
            || (self.has_old_record && !self.is_forgotten)
    }

    /// Every state that one step leads to.
    fn for_each_next(&self, cast: Cast, weakness: Weakness, next: &mut impl FnMut(Self)) {
        for writer in 0..cast.writers {
            self.writer_steps(writer, (cast, weakness), next);
        }
        for deleter in 0..cast.deleters {
            self.deleter_steps(deleter, (cast, weakness), next);
        }
        if cast.undelete {
            self.undeleter_steps(weakness, next);
        }
    }

    fn writer_steps(
        &self,
        number: usize,
        (cast, weakness): (Cast, Weakness),
        next: &mut impl FnMut(Self),
    ) {
        let writer = self.writers[number];
        let mut go = |change: &dyn Fn(&mut Self, &mut Writer)| {
            let (mut state, mut writer) = (*self, writer);
            change(&mut state, &mut writer);
            state.writers[number] = writer;
            match writer.at {
                At::ReadFolded | At::ReadPacks if cast.looks_at_once => {
                    state.writer_steps(number, (cast, weakness), next);
                }
                _ => next(state),
            }
        };
        let look_first = weakness == Weakness::WriterLooksBeforeItPublishes;
        let ready = if look_first { first_read(weakness) } else { At::Publish };
        match writer.at {
            At::Begin => {
                let reliable = self.packs & !self.all_standing() & !self.folded;
                if reliable != 0 {
                    go(&|state, writer| (writer.at, writer.known) = (ready, state.folded));
                }
                go(&|state, writer| {
                    state.packs |= pack_of_writer(number, false);
                    (writer.at, writer.known) = (ready, state.folded);
                    writer.has_own_pack = true;
                });
            }
            At::Publish => go(&|_, writer| {
                let skips = weakness == Weakness::WriterDoesNotLook
                    || (weakness == Weakness::WriterChecksOnlyWhatItReused && writer.has_own_pack);
                writer.record = Record::Pending;
                writer.at = if skips || look_first { At::Commit } else { first_read(weakness) };
            }),
            At::ReadStanding | At::ReadFolded => go(&|state, writer| {
                state.read_tombstones(writer, weakness);
                if writer.at != At::ReadPacks {
                    return;
                }
                // What it knew to be gone before it began is no news.
                if (writer.seen & !writer.known) == 0 {
                    writer.at = if look_first { At::Publish } else { At::Commit };
                    (writer.seen, writer.known) = (0, 0);
                }
            }),
            At::ReadPacks => self.writer_decides(writer, number, look_first, &mut go),
            At::Commit => go(&|_, writer| {
                *writer = Writer { at: At::Done, record: Record::Committed, ..Writer::default() };
            }),
            _ => {}
        }
    }

    fn writer_decides(
        &self,
        writer: Writer,
        number: usize,
        look_first: bool,
        go: &mut impl FnMut(&dyn Fn(&mut Self, &mut Writer)),
    ) {
        if self.packs & !writer.seen != 0 {
            go(&|_, writer| {
                writer.at = if look_first { At::Publish } else { At::Commit };
                (writer.seen, writer.known) = (0, 0);
            });
        } else if self.packs != 0 && !writer.has_rescued {
            // Read from a condemned pack that is still there, and stored again.
            go(&|state, writer| {
                state.packs |= pack_of_writer(number, true);
                (writer.at, writer.seen, writer.has_rescued) = (At::ReadStanding, 0, true);
            });
        } else {
            go(&|_, writer| *writer = Writer { at: At::Done, ..Writer::default() });
        }
    }

    /// One of the two steps of reading tombstones; the other one, or the packs, come next.
    fn read_tombstones(&self, writer: &mut Writer, weakness: Weakness) {
        let is_last = writer.at != first_read(weakness);
        let is_standing = writer.at == At::ReadStanding;
        writer.seen |= if is_standing { self.all_standing() } else { self.folded };
        writer.at = match (is_last, is_standing) {
            (true, _) => At::ReadPacks,
            (false, true) => At::ReadFolded,
            (false, false) => At::ReadStanding,
        };
    }

    fn undeleter_steps(&self, weakness: Weakness, next: &mut impl FnMut(Self)) {
        const NAMED: Packs = 1 << 15;
        let mut state = *self;
        let who = &mut state.undeleter;
        match who.at {
            At::Begin if self.has_old_record => {
                let skips = weakness == Weakness::UndeleteDoesNotLook;
                who.at = if skips { At::Safe } else { At::ReadStanding };
                state.is_forgotten = false;
            }
            At::ReadStanding => {
                let names = self.names_snapshot.contains(&true);
                who.seen = self.all_standing() | if names { NAMED } else { 0 };
                who.at = At::ReadFolded;
            }
            At::ReadFolded => {
                who.seen |= self.folded | if self.folded_snapshot { NAMED } else { 0 };
                who.at = At::ReadPacks;
            }
            At::ReadPacks => {
                let is_whole = who.seen & NAMED == 0 && self.packs & !who.seen != 0;
                *who = Writer::default();
                who.at = if is_whole { At::Safe } else { At::GiveUp };
            }
            At::GiveUp => (state.is_forgotten, state.undeleter.at) = (true, At::Done),
            _ => return,
        }
        next(state);
    }

    fn deleter_steps(
        &self,
        number: usize,
        (cast, weakness): (Cast, Weakness),
        next: &mut impl FnMut(Self),
    ) {
        let deleter = self.deleters[number];
        let mut go = |change: &dyn Fn(&mut Self, &mut Deleter)| {
            let (mut state, mut deleter) = (*self, deleter);
            change(&mut state, &mut deleter);
            state.deleters[number] = deleter;
            match deleter.at {
                At::ReadPacks | At::ReadStanding | At::ReadFolded if cast.looks_at_once => {
                    state.deleter_steps(number, (cast, weakness), next);
                }
                _ => next(state),
            }
        };
        match deleter.at {
            At::Begin => self.deleter_begins(number, &mut go),
            At::Publish => go(&|state, deleter| {
                state.standing[number] = deleter.target;
                state.names_snapshot[number] = deleter.takes_record;
                let skips = weakness == Weakness::DeleterDoesNotLookAgain;
                deleter.at = if skips { At::Delete } else { At::ReadRecords };
            }),
            At::ReadRecords => go(&|state, deleter| {
                deleter.is_needed = state.is_reached();
                let is_taken_back = deleter.takes_record && !state.is_forgotten;
                deleter.at = if is_taken_back { At::GiveUp } else { At::ReadPacks };
            }),
            At::ReadPacks => go(&|state, deleter| {
                (deleter.packs, deleter.at) = (state.packs, At::ReadStanding);
            }),
            At::ReadStanding => go(&|state, deleter| {
                (deleter.seen, deleter.at) = (state.all_standing(), At::ReadFolded);
            }),
            At::ReadFolded => go(&|state, deleter| {
                let homes = deleter.packs & !(deleter.seen | state.folded | deleter.target);
                let may_go = !deleter.is_needed || homes != 0;
                deleter.at = if may_go { At::Delete } else { At::GiveUp };
                (deleter.seen, deleter.packs, deleter.is_needed) = (0, 0, false);
            }),
            At::GiveUp => go(&|state, deleter| {
                state.take_down(number, weakness);
                *deleter = Deleter { at: At::Done, ..Deleter::default() };
            }),
            At::Delete => go(&|state, deleter| {
                state.packs &= !deleter.target;
                state.has_old_record &= !deleter.takes_record;
                let hasty = weakness == Weakness::TombstonesGoBeforeTheyAreFolded;
                deleter.at = if hasty { At::Unstand } else { At::Fold };
            }),
            At::Fold => go(&|state, deleter| {
                state.folded |= deleter.target;
                state.folded_snapshot |= deleter.takes_record;
                let is_last = weakness == Weakness::TombstonesGoBeforeTheyAreFolded;
                deleter.at = if is_last { At::Done } else { At::Unstand };
            }),
            At::Unstand => go(&|state, deleter| {
                state.take_down(number, weakness);
                let is_last = weakness != Weakness::TombstonesGoBeforeTheyAreFolded;
                deleter.at = if is_last { At::Done } else { At::Fold };
            }),
            _ => {}
        }
    }

    /// Plans on what it sees, and moves the chunk when it is alive and has no other home.
    fn deleter_begins(&self, number: usize, go: &mut impl FnMut(&dyn Fn(&mut Self, &mut Deleter))) {
        let condemned = self.all_standing() | self.folded;
        for pack in (0..16).map(|bit| 1 << bit).filter(|pack| self.packs & pack != 0) {
            let has_home = self.packs & !condemned & !pack != 0;
            go(&|state, deleter| {
                if state.is_reached() && !has_home {
                    state.packs |= pack_of_deleter(number);
                }
                (deleter.target, deleter.at) = (pack, At::Publish);
                deleter.takes_record = state.has_old_record && state.is_forgotten;
            });
        }
    }

    fn take_down(&mut self, number: usize, weakness: Weakness) {
        if weakness == Weakness::TombstonesAreShared {
            let target = self.deleters[number].target;
            self.standing.iter_mut().for_each(|one| *one &= !target);
        }
        self.standing[number] = 0;
        self.names_snapshot[number] = false;
    }
}

fn first_read(weakness: Weakness) -> At {
    match weakness {
        Weakness::FoldedTombstonesAreReadFirst => At::ReadFolded,
        _ => At::ReadStanding,
    }
}

/// How an exploration ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Holds { states: usize },
    Violated { after: usize },
}

fn explore(cast: Cast, weakness: Weakness) -> Outcome {
    let first = State::first(cast);
    let mut seen: HashSet<State, BuildHasherDefault<Quick>> = HashSet::default();
    let _ = seen.insert(first);
    let mut ahead = vec![first];
    while let Some(state) = ahead.pop() {
        let mut violated = false;
        state.for_each_next(cast, weakness, &mut |next| {
            violated |= next.is_violated();
            if seen.insert(next) {
                ahead.push(next);
            }
        });
        if violated {
            return Outcome::Violated { after: seen.len() };
        }
    }
    Outcome::Holds { states: seen.len() }
}

/// A hasher for states, which nobody chooses to our harm.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

const fn cast(writers: usize, deleters: usize, copies: u32) -> Cast {
    Cast { writers, deleters, undelete: false, copies, looks_at_once: false }
}

#[test]
fn no_order_of_steps_loses_what_was_reported_as_safe() {
    let casts = [
        Cast { undelete: true, ..cast(1, 1, 1) },
        Cast { undelete: true, ..cast(2, 1, 2) },
        Cast { undelete: true, ..cast(0, 2, 2) },
        Cast { undelete: true, looks_at_once: true, ..cast(1, 2, 2) },
        cast(3, 1, 1),
        cast(2, 2, 1),
        Cast { looks_at_once: true, ..cast(3, 2, 1) },
    ];
    let mut total = 0;
    for cast in casts {
        match explore(cast, Weakness::None) {
            Outcome::Holds { states } => {
                println!("{cast:?}: holds in {states} states");
                total += states;
            }
            violated => panic!("{cast:?}: {violated:?}"),
        }
    }
    println!("the protocol holds in {total} states");
}

#[test]
fn every_part_of_the_protocol_is_needed() {
    let weaknesses = [
        (Weakness::WriterDoesNotLook, cast(1, 1, 1)),
        (Weakness::DeleterDoesNotLookAgain, cast(1, 1, 1)),
        (Weakness::TombstonesAreShared, cast(2, 2, 1)),
        (Weakness::WriterLooksBeforeItPublishes, cast(1, 1, 1)),
        (Weakness::WriterChecksOnlyWhatItReused, cast(1, 1, 0)),
        (Weakness::FoldedTombstonesAreReadFirst, cast(1, 1, 1)),
        (Weakness::TombstonesGoBeforeTheyAreFolded, cast(1, 1, 1)),
        (Weakness::UndeleteDoesNotLook, Cast { undelete: true, ..cast(0, 1, 1) }),
    ];
    for (weakness, cast) in weaknesses {
        let outcome = explore(cast, weakness);
        println!("{weakness:?}: {outcome:?}");
        assert!(matches!(outcome, Outcome::Violated { .. }), "{weakness:?}: {outcome:?}");
    }
}
