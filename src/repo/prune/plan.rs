//! Which packs go, which are rewritten and which stay: pure arithmetic on what was found.

use crate::repo::prune::OlderEpochs;

/// How a pack stands before the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Chunks may stay in it.
    Home,
    /// Some deleter has condemned it, or it is of an older epoch that is to go: what is alive in it
    /// has to move.
    Condemned,
    /// No index object names it: a run that is under way may have written it.
    Unclaimed,
    /// Its table cannot be read, or it was seen to be damaged: it is left alone.
    Damaged,
}

impl Standing {
    /// Which of several copies of a chunk is kept: one with the lowest rank.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Home | Self::Unclaimed => 0,
            Self::Condemned => 1,
            Self::Damaged => 2,
        }
    }
}

/// One pack, weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    pub standing: Standing,
    pub bytes: u64,
    /// Sealed bytes of the chunks that are reached and kept in this copy.
    pub live_bytes: u64,
}

/// How far a prune goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Dead bytes that may stay in packs that are partly used, in thousandths of all that stays.
    pub max_unused_permille: u32,
    /// At most so many bytes are rewritten for the sake of space.
    pub max_repack_bytes: Option<u64>,
    /// Packs below this size are merged when there are many of them.
    pub small_pack_bytes: u64,
    pub small_packs_max: usize,
    pub older_epochs: OlderEpochs,
}

/// What becomes of each pack, by its place in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nothing in them is needed.
    pub delete: Vec<u32>,
    /// What is needed in them moves to new packs, then they go.
    pub rewrite: Vec<u32>,
    /// Bytes in all packs, and those of them that nothing reaches.
    pub bytes: u64,
    pub dead_bytes: u64,
    pub delete_bytes: u64,
    /// Sealed bytes to move.
    pub moved_bytes: u64,
    /// Size of the packs that are rewritten.
    pub rewrite_bytes: u64,
    /// Dead bytes that stay.
    pub unused_bytes: u64,
    /// Size of packs that a run under way may have written; they wait.
    pub waiting_bytes: u64,
    pub waiting_packs: u64,
}

impl Plan {
    /// Bytes that the packs will take less.
    pub const fn freed_bytes(&self) -> u64 {
        self.delete_bytes + self.rewrite_bytes.saturating_sub(self.moved_bytes)
    }
}

/// Decides for each pack.
pub fn plan(packs: &[PackUse], effort: &Effort) -> Plan {
    let mut plan = Plan { bytes: packs.iter().map(|pack| pack.bytes).sum(), ..Plan::default() };
    let mut candidates = Vec::new();
    for (at, pack) in (0..).zip(packs) {
        match (pack.standing, pack.live_bytes) {
            (Standing::Unclaimed, 0) => {
                plan.waiting_packs += 1;
                plan.waiting_bytes += pack.bytes;
            }
            (Standing::Damaged | Standing::Unclaimed, _) => {}
            (Standing::Home | Standing::Condemned, 0) => {
                plan.delete.push(at);
                plan.delete_bytes += pack.bytes;
                plan.dead_bytes += pack.bytes;
            }
            (Standing::Condemned, _) => plan.rewrite.push(at),
            (Standing::Home, _) => candidates.push(at),
        }
    }
    plan.rewrite.extend(worth_rewriting(packs, &candidates, effort));
    // Packs of one run lie side by side in the list, and so do their chunks in the new packs.
    plan.rewrite.sort_unstable();
    for at in &plan.rewrite {
        plan.rewrite_bytes += packs[*at as usize].bytes;
        plan.moved_bytes += packs[*at as usize].live_bytes;
    }
    let used = packs.iter().filter(|pack| pack.live_bytes > 0 && pack.is_sound());
    let partly_dead: u64 = used.map(PackUse::dead_bytes).sum();
    plan.dead_bytes += partly_dead;
    plan.unused_bytes = partly_dead - plan.rewrite_bytes.saturating_sub(plan.moved_bytes);
    plan
}

/// Of packs that are partly used, the emptiest, until little enough is unused; and small ones, if
/// there are many.
fn worth_rewriting(packs: &[PackUse], candidates: &[u32], effort: &Effort) -> Vec<u32> {
    let pack = |at: &u32| &packs[*at as usize];
    let is_small = |at: &u32| pack(at).bytes < effort.small_pack_bytes;
    let small_count = candidates.iter().filter(|at| is_small(at)).count();
    let merge_small = small_count > effort.small_packs_max;

    let mut unused: u64 = candidates.iter().map(|at| pack(at).dead_bytes()).sum();
    let stays: u64 = candidates.iter().map(|at| pack(at).live_bytes).sum();
    let may_stay = u128::from(stays) * u128::from(effort.max_unused_permille) / 1000;
    let mut budget = effort.max_repack_bytes.unwrap_or(u64::MAX);
    let mut emptiest_first = candidates.to_vec();
    emptiest_first.sort_by_key(|at| {
        let live_permille = pack(at).live_bytes as u128 * 1000 / u128::from(pack(at).bytes.max(1));
        (!(merge_small && is_small(at)), live_permille, *at)
    });
    let mut chosen = Vec::new();
    for at in emptiest_first {
        let merges = merge_small && is_small(&at);
        if !merges && (u128::from(unused) <= may_stay || !pack(&at).is_worth_its_copy()) {
            continue;
        }
        let Some(left) = budget.checked_sub(pack(&at).live_bytes) else { continue };
        budget = left;
        unused -= pack(&at).dead_bytes();
        chosen.push(at);
    }
    chosen
}

impl PackUse {
    /// Table, padding and trailer count as used: a new pack has them too.
    const fn dead_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.live_bytes)
    }

    /// Moving nearly all of a pack for the last few dead bytes would never end.
    const fn is_worth_its_copy(&self) -> bool {
        self.dead_bytes() * 50 > self.bytes
    }

    const fn is_sound(&self) -> bool {
        !matches!(self.standing, Standing::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: Effort = Effort {
        max_unused_permille: 50,
        max_repack_bytes: None,
        small_pack_bytes: 10,
        small_packs_max: 3,
        older_epochs: OlderEpochs::Stay,
    };

    fn home(bytes: u64, live_bytes: u64) -> PackUse {
        PackUse { standing: Standing::Home, bytes, live_bytes }
    }

    #[test]
    fn every_byte_of_every_pack_is_told_once_as_what_becomes_of_it() {
        let of = |standing, bytes, live_bytes| PackUse { standing, bytes, live_bytes };
        let packs = [
            home(100, 0),
            of(Standing::Condemned, 70, 0),
            of(Standing::Condemned, 50, 20),
            home(1000, 990),
            of(Standing::Unclaimed, 30, 0),
            of(Standing::Unclaimed, 40, 35),
            of(Standing::Damaged, 60, 6),
        ];

        let planned = plan(&packs, &EFFORT);

        let expected = Plan {
            delete: vec![0, 1],
            rewrite: vec![2],
            bytes: 1350,
            dead_bytes: 170 + 30 + 10 + 5,
            delete_bytes: 170,
            moved_bytes: 20,
            rewrite_bytes: 50,
            unused_bytes: 10 + 5,
            waiting_bytes: 30,
            waiting_packs: 1,
        };
        assert_eq!(planned, expected);
        assert_eq!(planned.freed_bytes(), 170 + 30);
    }

    #[test]
    fn of_several_copies_one_that_is_condemned_is_kept_rather_than_a_damaged_one_and_no_other() {
        use Standing::{Condemned, Damaged, Home, Unclaimed};

        assert_eq!(Home.rank(), Unclaimed.rank());
        assert!(Home.rank() < Condemned.rank() && Condemned.rank() < Damaged.rank());
    }

    #[test]
    fn waste_at_the_bound_stays_and_a_byte_more_is_moved() {
        assert!(plan(&[home(150, 100), home(900, 900)], &EFFORT).rewrite.is_empty());
        assert_eq!(plan(&[home(151, 100), home(900, 900)], &EFFORT).rewrite, [0]);
    }

    #[test]
    fn no_pack_is_moved_for_the_sake_of_a_fiftieth_of_it() {
        let effort = Effort { max_unused_permille: 0, ..EFFORT };

        assert!(plan(&[home(1000, 980)], &effort).rewrite.is_empty());
        assert_eq!(plan(&[home(1000, 979)], &effort).rewrite, [0]);
    }

    #[test]
    fn a_budget_is_used_up_to_its_last_byte_and_for_small_packs_and_empty_ones_first() {
        let with = |bytes| Effort { max_repack_bytes: Some(bytes), ..EFFORT };
        let half_and_less = [home(100, 60), home(1000, 500)];
        assert_eq!(plan(&half_and_less, &with(500)).rewrite, [1]);
        assert_eq!(plan(&half_and_less, &with(499)).rewrite, [0]);

        let packs = [home(100, 10), home(5, 5), home(5, 5), home(5, 5), home(5, 5)];
        assert_eq!(plan(&packs, &with(29)).rewrite, [1, 2, 3, 4]);
        assert_eq!(plan(&packs, &with(30)).rewrite, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn packs_that_nothing_reaches_go_and_full_ones_stay() {
        let planned = plan(&[home(100, 0), home(100, 100)], &EFFORT);

        assert_eq!((planned.delete, planned.rewrite), (vec![0], vec![]));
        assert_eq!((planned.dead_bytes, planned.unused_bytes), (100, 0));
    }

    #[test]
    fn a_little_waste_stays_and_much_is_rewritten_from_the_emptiest_on() {
        let little = plan(&[home(100, 96), home(100, 100)], &EFFORT);
        assert_eq!((little.rewrite, little.unused_bytes), (vec![], 4));

        let much = plan(&[home(100, 80), home(100, 20), home(1000, 1000)], &EFFORT);
        assert_eq!((much.rewrite.clone(), much.unused_bytes), (vec![1], 20));
        assert_eq!(much.freed_bytes(), 80);
    }

    #[test]
    fn a_budget_bounds_what_is_moved_for_space_but_not_what_is_moved_for_safety() {
        let effort = Effort { max_repack_bytes: Some(50), ..EFFORT };
        let condemned = PackUse { standing: Standing::Condemned, bytes: 100, live_bytes: 60 };

        let planned = plan(&[home(100, 60), home(100, 40), condemned], &effort);

        assert_eq!(planned.rewrite, [1, 2]);
    }

    #[test]
    fn small_packs_are_merged_when_there_are_many() {
        let few = vec![home(5, 5); 3];
        assert!(plan(&few, &EFFORT).rewrite.is_empty());

        let many = vec![home(9, 9); 4];
        assert_eq!(plan(&many, &EFFORT).rewrite, [0, 1, 2, 3]);
        let none_small = vec![home(10, 10); 4];
        assert!(plan(&none_small, &EFFORT).rewrite.is_empty());
    }

    #[test]
    fn what_a_run_under_way_may_have_written_waits_and_what_is_damaged_stays() {
        let of = |standing| PackUse { standing, bytes: 100, live_bytes: 0 };

        let planned = plan(&[of(Standing::Unclaimed), of(Standing::Damaged)], &EFFORT);

        assert_eq!((planned.delete, planned.waiting_bytes), (vec![], 100));
    }
}
