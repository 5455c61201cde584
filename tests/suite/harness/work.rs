//! The works that faults are tried on, the world they work in, and what must hold after any fault.

use stillpoint::{disk::Disk, ops::repair::Outcome, repo::check::Depth};

use super::vault::{Failure, Vault, steady};
use crate::shop::{self, Content, Shop, pseudo_random};

/// Something that a person asks of Stillpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Init,
    FirstBackup,
    NextBackup,
    Restore,
    RebuildIndex,
    AddKey,
    /// Of the three that open it, the one that is used is changed.
    ChangeKey,
    RemoveKey,
    RotateKeys,
    /// After a rotation.
    Reseal,
    Repair,
    /// A repair of what only a mirror still has.
    Heal,
    Prune,
    Forget,
    Undelete,
    Pin,
    Unpin,
    Export,
    /// A restore of an export, without a repository.
    Unpack,
    Import,
}

/// Whether all that was asked for was done. What was left out was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Yes,
    No,
}

/// How much is looked at after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// Every snapshot is restored, and the next backup too; after a restore only its target.
    Restore,
    /// Every chunk is checked as well.
    Check,
}

const TARGET: &str = "restored";

impl Work {
    pub const ALL: [Self; 7] = [
        Self::Init,
        Self::FirstBackup,
        Self::NextBackup,
        Self::Restore,
        Self::RebuildIndex,
        Self::Repair,
        Self::Heal,
    ];

    /// What changes keys has its own rules, in `crate::keys`.
    pub const KEYS: [Self; 5] =
        [Self::AddKey, Self::ChangeKey, Self::RemoveKey, Self::RotateKeys, Self::Reseal];

    /// What marks snapshots has its own rules, in `crate::marks`.
    pub const MARKS: [Self; 4] = [Self::Forget, Self::Undelete, Self::Pin, Self::Unpin];

    /// What makes and takes exports has its own rules, in `crate::export`.
    pub const EXPORTS: [Self; 3] = [Self::Export, Self::Unpack, Self::Import];

    /// The work whose `Debug` form this is.
    pub fn named(name: &str) -> Self {
        let all = Self::ALL.into_iter().chain(Self::KEYS).chain(Self::MARKS);
        let mut all = all.chain(Self::EXPORTS).chain([Self::Prune]);
        let named = all.find(|work| format!("{work:?}") == name);
        named.expect("the name of a work")
    }

    pub fn run(
        self,
        disk: impl Disk + 'static,
        vault: &Vault,
        shop: &Shop,
    ) -> Result<Whole, Failure> {
        let is_whole = match self {
            Self::Init => vault.init(disk).map(|()| true),
            Self::FirstBackup | Self::NextBackup => {
                vault.back_up(disk, shop).map(|report| report.is_complete())
            }
            Self::Restore => vault.restore_oldest(disk, TARGET).map(|report| report.is_complete()),
            Self::RebuildIndex => vault.rebuild_index(disk).map(|report| report.damaged.is_empty()),
            Self::Repair => vault.repair(disk).map(|outcome| outcome.left.is_empty()),
            Self::Heal => vault.heal(disk).map(|outcome| outcome.left.is_empty()),
            Self::AddKey | Self::ChangeKey | Self::RemoveKey | Self::RotateKeys | Self::Reseal => {
                crate::keys::change(self, disk, vault).map(|()| true)
            }
            Self::Forget | Self::Undelete | Self::Pin | Self::Unpin => {
                crate::marks::mark(self, disk, vault).map(|()| true)
            }
            Self::Prune => crate::prune::prune(disk, vault).map(|()| true),
            Self::Export | Self::Unpack | Self::Import => {
                crate::export::work(self, disk, vault).map(|()| true)
            }
        }?;
        Ok(if is_whole { Whole::Yes } else { Whole::No })
    }

    pub const fn is_backup(self) -> bool {
        matches!(self, Self::FirstBackup | Self::NextBackup)
    }
}

/// A shop after a day of trade, and vaults with none, one and both of its moments.
pub struct World {
    pub shop: Shop,
    /// The shop before the day, and now.
    moments: [Content; 2],
    absent: Vault,
    /// Vaults that hold as many snapshots as their place says.
    vaults: [Vault; 3],
    /// One with both, in which much is damaged and nothing lost.
    damaged: Vault,
    /// One with both, in which nothing is whole any more, and its mirror.
    harmed: Vault,
}

impl World {
    pub fn new() -> Self {
        let shop = Shop::open();
        shop.write("scan", &pseudo_random(100, 600_000));
        let none = Vault::absent();
        none.init(steady()).unwrap();
        let one = none.copied();
        assert!(one.back_up(steady(), &shop).unwrap().is_complete());
        let before = shop.content();
        shop.sell(30);
        shop.write("a/new", &pseudo_random(101, 5_000));
        let two = one.copied();
        assert!(two.back_up(steady(), &shop).unwrap().is_complete());
        let moments = [before, shop.content()];
        let damaged = two.copied();
        damaged.damage();
        let harmed = two.copied();
        harmed.mirror_and_harm();
        let vaults = [none, one, two];
        Self { shop, moments, absent: Vault::absent(), vaults, damaged, harmed }
    }

    /// A vault of its own for one run of the work.
    pub fn vault_for(&self, work: Work) -> Vault {
        match work {
            Work::Init => self.absent.copied(),
            Work::Repair => self.damaged.copied(),
            Work::Heal => self.harmed.copied(),
            work => self.vaults[self.reported_before(work).len()].copied(),
        }
    }

    /// The moments whose snapshots were reported before the work began.
    fn reported_before(&self, work: Work) -> &[Content] {
        match work {
            Work::Init | Work::FirstBackup => &[],
            Work::NextBackup => &self.moments[..1],
            _ => &self.moments,
        }
    }

    /// Panics unless nothing is lost, nothing is half, and everything goes on by itself.
    ///
    /// `ended` is how the work ended, if its process lived to tell.
    pub fn assert_survived(
        &self,
        work: Work,
        vault: &Vault,
        ended: Option<&Result<Whole, Failure>>,
        scrutiny: Scrutiny,
    ) {
        let succeeded = ended == Some(&Ok(Whole::Yes));
        if work == Work::Init && !succeeded && vault.open(steady()).is_err() {
            vault.init(steady()).expect("init works after an init that failed");
        }
        if work == Work::Restore {
            self.assert_restored(vault, succeeded);
            if scrutiny == Scrutiny::Restore {
                return;
            }
        }
        if work == Work::Repair {
            let _ = self.assert_snapshots(vault, self.moments.len());
            let outcome = vault.repair(steady()).expect("a repair goes on where one ended");
            assert!(outcome.left.is_empty(), "{outcome:?}");
            assert_eq!(vault.repair(steady()), Ok(Outcome::default()));
        }
        if work == Work::Heal {
            let outcome = vault.heal(steady()).expect("a repair goes on where one ended");
            assert!(outcome.left.is_empty(), "{outcome:?}");
            assert_eq!(vault.heal(steady()), Ok(Outcome::default()));
        }
        let now = self.assert_goes_on(work, vault, scrutiny);
        let before = self.reported_before(work).len();
        let expected = before + usize::from(work.is_backup() && succeeded);
        assert!((expected..=before + 1).contains(&now), "{now} snapshots instead of {expected}");
    }

    /// Panics unless every snapshot is whole, and the next backup works and is whole too. Returns
    /// how many snapshots there were before it.
    pub fn assert_goes_on(&self, work: Work, vault: &Vault, scrutiny: Scrutiny) -> usize {
        let before = self.reported_before(work).len();
        let now = self.assert_snapshots(vault, before);

        let next = vault.back_up(steady(), &self.shop).expect("the next backup works");
        assert!(next.is_complete(), "the next backup is whole");
        assert!(self.assert_snapshots(vault, before) > before);
        if scrutiny == Scrutiny::Check {
            let report = vault.check(Depth::Data).expect("a check works");
            assert!(report.is_sound(), "{report:?}");
        }
        now
    }

    /// Restores every snapshot and compares it with its moment; returns how many there are.
    fn assert_snapshots(&self, vault: &Vault, reported: usize) -> usize {
        let repo = vault.open(steady()).expect("the repository opens");
        let found = repo.snapshots().expect("snapshots can be listed");
        assert!(found.damaged.is_empty(), "{:?}", found.damaged);
        assert!(found.snapshots.len() >= reported, "a reported snapshot is gone");
        for (at, snapshot) in found.snapshots.iter().enumerate() {
            let target = format!("snapshot-{}", snapshot.id);
            if !vault.target(&target).exists() {
                let restored = shop::restore_into(&repo, snapshot, &vault.target(&target));
                let report = restored.expect("it restores");
                assert!(report.is_complete(), "it restores in full: {report:?}");
            }
            // What the work or the next backup stored is the shop as it is now.
            let moment = if at < reported { &self.moments[at] } else { &self.moments[1] };
            if !snapshot.record.incomplete {
                assert_same(moment, &shop::restored(&vault.target(&target)));
            }
        }
        found.snapshots.len()
    }

    /// The target is whole if that was reported, and becomes whole when asked for again.
    fn assert_restored(&self, vault: &Vault, succeeded: bool) {
        if !succeeded {
            let again = vault.restore_oldest(steady(), TARGET).expect("a restore works again");
            assert!(again.is_complete(), "{again:?}");
        }
        assert_same(&self.moments[0], &shop::restored(&vault.target(TARGET)));
        let mut names: Vec<_> = std::fs::read_dir(vault.target(TARGET))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["files", "pos.db"], "something is left beside");
    }
}

fn assert_same(expected: &Content, found: &Content) {
    let names = expected.keys().chain(found.keys());
    let differing: Vec<&String> =
        names.filter(|name| expected.get(*name) != found.get(*name)).collect();
    assert!(differing.is_empty(), "restored differently: {differing:?}");
}
