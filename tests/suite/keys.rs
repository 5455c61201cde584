//! Keys that come and go: whatever happens in between, somebody who could open the repository still
//! can, and nobody opens it who was reported to be shut out.

use stillpoint::{
    crypto::{recovery::written_groups, secret::Credential},
    disk::{Disk, Uninterrupted},
    format::slot::Derivation,
    ops::{self, event::Silent, keys},
    repo::check::Depth,
};

use crate::{
    harness::{
        Tally, crash,
        faulty_disk::{Class, FaultyDisk, Kind, Plan, Times},
        in_parallel,
        vault::{Failure, Vault, steady},
        work::{Work, World},
    },
    shop::KEY,
};

/// Opens every vault of these tests beside [`KEY`], which nobody touches.
const OWNER: Credential = Credential::KeyFile([8; 32]);
/// Comes, or takes the owner's place.
const NEWCOMER: Credential = Credential::Recovery([9; 16]);
/// Every so many-th death or error is followed by a restore and a check of every chunk.
const CHECK_EVERY: usize = 16;

/// Does one of [`Work::KEYS`].
pub fn change(work: Work, disk: impl Disk + 'static, vault: &Vault) -> Result<(), Failure> {
    let repo = vault.open_with(disk, &OWNER)?;
    let told = |error: ops::Error| ops::with_causes(&error);
    match work {
        Work::AddKey => repo.add_slot(&NEWCOMER, "newcomer").map(drop).map_err(|e| told(e.into())),
        Work::ChangeKey => keys::change(&repo, &NEWCOMER, "newcomer").map(drop).map_err(told),
        Work::RemoveKey => {
            let slot = keys::find(&keys::list(&repo).map_err(told)?, "owner")
                .map_err(|error| told(error.into()))?;
            repo.remove_slot(slot.id).map_err(|error| told(error.into()))
        }
        Work::Reseal => keys::reseal(&repo, &Silent).map(drop).map_err(told),
        _ => repo.rotate().map(drop).map_err(|error| told(error.into())),
    }
}

/// The vault of `World`, opened by the owner too.
fn vault_of(world: &World) -> Vault {
    let vault = world.vault_for(Work::Restore);
    let _ = vault.open(steady()).unwrap().add_slot(&OWNER, "owner").unwrap();
    vault
}

fn opens(vault: &Vault, credential: &Credential) -> bool {
    vault.open_with(steady(), credential).is_ok()
}

/// The vault that this work is tried on.
fn vault_for(work: Work, vault: &Vault) -> Vault {
    let vault = vault.copied();
    if work == Work::Reseal {
        let _ = vault.open(steady()).unwrap().rotate().unwrap();
    }
    vault
}

/// Panics unless what must open opens, and all goes on by itself. `reported` is whether the change
/// was reported done.
fn assert_survived(world: &World, work: Work, vault: &Vault, (reported, is_checked): (bool, bool)) {
    assert!(opens(vault, &KEY), "a key that nobody touched opens no more");
    let (owner, newcomer) = (opens(vault, &OWNER), opens(vault, &NEWCOMER));
    match work {
        Work::AddKey => assert!(owner && (newcomer || !reported)),
        Work::ChangeKey => {
            assert!(owner || newcomer, "neither the old nor the new one opens it");
            assert!(!reported || (newcomer && !owner));
        }
        Work::RemoveKey => assert!(!(reported && owner)),
        _ => assert!(owner),
    }
    let repo = vault.open(steady()).unwrap();
    if work == Work::Reseal {
        // Restorable as it is, and the re-sealing goes on.
        assert!(vault.restore_oldest(steady(), "meanwhile").unwrap().is_complete());
        let resealed = keys::reseal(&repo, &Silent).expect("a re-sealing goes on");
        assert_eq!(resealed.left, 0);
        assert!(pack_epochs(vault).iter().all(|epoch| *epoch > 1));
    }
    // Another change works at once, and leaves nothing damaged behind.
    let _ = repo.rotate().expect("a rotation works after it");
    let slots = repo.slots().unwrap();
    assert!(slots.damaged.is_empty(), "{slots:?}");
    if is_checked {
        let report = vault.back_up(steady(), &world.shop).expect("the next backup works");
        assert!(report.is_complete());
        let report = vault.check(Depth::Data).expect("a check works");
        assert!(report.is_sound(), "{report:?}");
        let target = "after the change";
        assert!(vault.restore_oldest(steady(), target).unwrap().is_complete());
    }
}

#[test]
fn a_kill_at_any_step_of_a_change_of_keys_shuts_nobody_out() {
    let world = World::new();
    let vault = vault_of(&world);
    let tally = Tally::default();
    for work in Work::KEYS {
        let counting = FaultyDisk::counting();
        change(work, counting.clone(), &vault_for(work, &vault)).unwrap();
        let vault = vault_for(work, &vault);
        let steps = counting.calls(Class::Write);
        crash::at_every_step(work, (&vault, &world.shop), steps, &tally, |piece, vault| {
            let is_checked = piece % CHECK_EVERY == 0;
            assert_survived(&world, work, vault, (false, is_checked));
        });
    }
    tally.print("killed while keys change:");
}

#[test]
fn an_error_at_any_call_of_a_change_of_keys_shuts_nobody_out() {
    use rustix::io::Errno;
    let world = World::new();
    let vault = vault_of(&world);
    let tally = Tally::default();
    for work in Work::KEYS {
        let counting = FaultyDisk::counting();
        change(work, Uninterrupted(counting.clone()), &vault_for(work, &vault)).unwrap();
        let vault = vault_for(work, &vault);
        let mut plans = Vec::new();
        for class in [Class::Write, Class::Read] {
            // A re-sealing has many calls, most of them a prune's, which are tried there.
            let every = match (work, class) {
                (Work::Reseal, Class::Write) => 5,
                (Work::Reseal, Class::Read) => 60,
                _ => 1,
            };
            for call in (1..=counting.calls(class)).step_by(every) {
                for kind in [Kind::Error(Errno::IO), Kind::Error(Errno::NOSPC), Kind::Short] {
                    for times in [Times::Once, Times::ForEver] {
                        plans.push(Plan { class, call, kind, times });
                    }
                }
            }
        }
        in_parallel(plans.len(), |piece| {
            let (vault, disk) = (vault.copied(), FaultyDisk::new(plans[piece]));
            let ended = change(work, Uninterrupted(disk.clone()), &vault);
            if disk.injected() == 0 {
                return;
            }
            let is_checked = piece % (CHECK_EVERY * 4) == 0;
            assert_survived(&world, work, &vault, (ended.is_ok(), is_checked));
            let outcome = if ended.is_ok() { "survived unnoticed" } else { "reported" };
            tally.add(format!("{work:?} {outcome}"), 1);
            tally.add("errors injected", disk.injected());
        });
    }
    tally.print("errors while keys change:");
}

#[test]
fn the_last_key_that_is_whole_is_not_removed() {
    let world = World::new();
    let vault = world.vault_for(Work::Restore);
    let repo = vault.open(steady()).unwrap();
    let [only] = &repo.slots().unwrap().slots[..] else { panic!("there is one key") };
    assert!(repo.remove_slot(only.id).is_err());

    // A second one that is damaged is no reason to let the first one go.
    let second = repo.add_slot(&OWNER, "owner").unwrap();
    for copy in ["1", "2"] {
        let path = vault.target(&format!("repository/keys/slot-{second}.{copy}"));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    assert!(repo.remove_slot(only.id).is_err());
    assert!(opens(&vault, &KEY));
    assert_eq!(repo.slots().unwrap().damaged.len(), 1);
}

#[test]
fn one_damaged_copy_of_a_slot_shuts_nobody_out() {
    let world = World::new();
    let vault = vault_of(&world);
    let slot = keys::find(&keys::list(&vault.open(steady()).unwrap()).unwrap(), "owner").unwrap();
    let path = vault.target(&format!("repository/keys/slot-{}.1", slot.id));
    let whole = std::fs::read(&path).unwrap();
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        std::fs::write(&path, damaged).unwrap();

        assert!(opens(&vault, &OWNER), "byte {byte}");
    }
}

#[test]
fn two_machines_that_rotate_at_once_both_stay_readable() {
    let world = World::new();
    let vault = world.vault_for(Work::Restore);
    let (here, there) = (vault.open(steady()).unwrap(), vault.copied());

    // The other machine has not seen this one's ring when it makes its own.
    let _ = here.rotate().unwrap();
    let _ = there.open(steady()).unwrap().rotate().unwrap();
    let report = there.back_up(steady(), &world.shop).unwrap();
    assert!(report.is_complete());
    bring_over(&there, &vault);
    assert!(world.shop.back_up(&here).unwrap().is_complete());

    // Opened before either rotation, and opened after both.
    assert_eq!(here.snapshots().unwrap().damaged, []);
    let report = vault.check(Depth::Data).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// Copies what is only in the other repository, as a shared folder would show it.
fn bring_over(from: &Vault, to: &Vault) {
    for folder in ["keys", "packs", "index", "pending", "snapshots"] {
        let folder = format!("repository/{folder}");
        for entry in std::fs::read_dir(from.target(&folder)).unwrap() {
            let entry = entry.unwrap();
            let target = to.target(&folder).join(entry.file_name());
            if !target.exists() {
                let _ = std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

#[test]
fn what_is_sealed_after_a_rotation_is_not_sealed_under_the_old_key() {
    let world = World::new();
    let vault = world.vault_for(Work::Restore);
    let repo = vault.open(steady()).unwrap();
    let before = epochs(&vault);

    let epoch = repo.rotate().unwrap();
    world.shop.sell(3);
    assert!(world.shop.back_up(&repo).unwrap().is_complete());

    let new: Vec<u32> =
        epochs(&vault).into_iter().filter(|epoch| !before.contains(epoch)).collect();
    assert_eq!(before.iter().max(), Some(&1));
    assert!(!new.is_empty() && new.iter().all(|found| *found == epoch), "{new:?}");
    assert!(opens(&vault, &KEY));
}

/// Epochs that the packs of a repository name.
fn pack_epochs(vault: &Vault) -> Vec<u32> {
    epochs_in(vault, &["packs"])
}

/// Epochs that the packs and records of a repository name.
fn epochs(vault: &Vault) -> Vec<u32> {
    epochs_in(vault, &["packs", "snapshots", "index"])
}

fn epochs_in(vault: &Vault, folders: &[&str]) -> Vec<u32> {
    let mut epochs = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(vault.target(&format!("repository/{folder}"))).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let header = stillpoint::format::envelope::Header::decode(&bytes).unwrap();
            epochs.push(header.epoch);
        }
    }
    epochs
}

#[test]
fn a_sheet_opens_the_repository_and_its_check_is_remembered() {
    let world = World::new();
    let vault = world.vault_for(Work::Restore);
    let repo = vault.open(steady()).unwrap();

    let sheet = keys::new_sheet(&repo).unwrap();
    let typed = written_groups(&sheet.key).map(|group| group.to_lowercase()).join(" ");
    let credential = stillpoint::crypto::recovery::read_typed(typed.as_bytes()).unwrap();
    let by_sheet = vault.open_with(steady(), &credential).unwrap();

    assert!(keys::note_verified(&repo).is_err(), "the key file is no sheet");
    assert_eq!(keys::note_verified(&by_sheet).unwrap().id, sheet.slot);
    let list = keys::list(&repo).unwrap();
    let known = list.keys.iter().find(|key| key.slot.id == sheet.slot).unwrap();
    assert!(known.verified.is_some() && known.slot.derivation == Derivation::Recovery);
}
