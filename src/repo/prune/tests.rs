mod faults;
mod model;
mod others;
mod schedule;

use std::time::Duration;

use super::*;
use crate::{
    backend::{Backend, Folder, ObjectName},
    id::SnapshotId,
    repo::{
        check, marks, repair,
        tests::{Fixture, commit_chunks, is_finding, plain, read_all},
        tombstones,
    },
};

/// Nothing waits for a clock.
pub const AT_ONCE: Options = Options {
    max_unused_permille: 50,
    max_repack_bytes: None,
    trash: Duration::ZERO,
    grace: Duration::ZERO,
    older_epochs: OlderEpochs::Stay,
};

pub fn forget(repo: &Repository, snapshot: SnapshotId) {
    let _ = marks::forget(repo, snapshot, "").unwrap();
}

fn prune_now(repo: &Repository, options: &Options) -> Report {
    prune(repo, options, &mut |_| ()).unwrap()
}

fn assert_sound(repo: &Repository) {
    let mut events = Vec::new();
    check::run(repo, check::Depth::Data, &mut |event| events.push(event)).unwrap();
    events.retain(is_finding);
    assert_eq!(events, []);
}

fn chunks(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| plain(number, 20_000)).collect()
}

#[test]
fn a_prune_with_nothing_to_do_writes_and_deletes_nothing() {
    let fixture = Fixture::new();
    let _ = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let before = Folder::ALL.map(|folder| fixture.env.backend.list(folder).unwrap());

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!((report.packs_deleted, report.packs_rewritten), (0, 0));
    assert_eq!(Folder::ALL.map(|folder| fixture.env.backend.list(folder).unwrap()), before);
}

#[test]
fn what_only_a_forgotten_snapshot_reaches_goes_and_all_else_stays() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let second = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    forget(&fixture.open(), first.id);

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!((report.packs_deleted, report.snapshots_removed), (1, 1));
    assert_eq!(fixture.count(Folder::Packs), 1);
    assert_eq!((fixture.count(Folder::Snapshots), fixture.count(Folder::Pending)), (1, 1));
    assert_eq!((fixture.count(Folder::Tombstones), fixture.count(Folder::Forgotten)), (0, 0));
    assert_eq!(fixture.count(Folder::Index), 1);
    let (elsewhere, _state) = fixture.open_elsewhere();
    for repo in [fixture.open(), elsewhere] {
        assert_eq!(repo.snapshots().unwrap().snapshots, std::slice::from_ref(&second));
        assert_eq!(repo.catalogue().unwrap().lost().len(), 0);
        read_all(&repo, &chunks(10..20));
        assert_sound(&repo);
    }
}

#[test]
fn packs_of_older_epochs_move_bit_by_bit_and_all_chunks_stay() {
    let fixture = Fixture::new();
    let _ = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(5..20)).unwrap();
    let _ = fixture.open().rotate().unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(15..30)).unwrap();
    let stay = prune_now(&fixture.open(), &AT_ONCE);
    assert_eq!((stay.outlook.older_packs, stay.packs_rewritten), (2, 0));

    let options = Options { older_epochs: OlderEpochs::Move { bytes_max: 1 }, ..AT_ONCE };
    for older in [2, 1, 0] {
        let report = prune_now(&fixture.open(), &options);

        assert_eq!(report.outlook.older_packs, older);
        assert_eq!(report.packs_deleted, u64::from(older > 0));
        read_all(&fixture.open(), &chunks(0..30));
        assert_sound(&fixture.open());
    }
}

#[test]
fn a_pack_that_is_mostly_dead_is_rewritten() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..20)).unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(0..3)).unwrap();
    forget(&fixture.open(), first.id);
    let before = fixture.open().catalogue().unwrap().packs().clone();

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!((report.packs_deleted, report.packs_rewritten), (1, 1));
    assert!(report.bytes_freed() > 300_000, "{report:?}");
    read_all(&fixture.open(), &chunks(0..3));
    assert_sound(&fixture.open());
    let after = fixture.open().catalogue().unwrap().packs().clone();
    assert_eq!(after.len(), 2);
    assert_eq!(after.keys().filter(|pack| before.contains_key(*pack)).count(), 1);
}

#[test]
fn content_that_a_check_told_lost_stops_no_prune_and_what_is_left_stays() {
    let fixture = Fixture::new();
    let backend = &fixture.env.backend;
    // More than one blob: the page map is not in the first.
    let _ = commit_chunks(&fixture.open(), &chunks(0..40)).unwrap();
    let catalogue = fixture.open().catalogue().unwrap();
    let lost = catalogue.keys().chunk_id(&chunks(0..1)[0]);
    let at = catalogue.locate(&lost).unwrap().unwrap();
    let (pack, bytes) = (at.pack, catalogue.packs()[&at.pack]);
    let gone = commit_chunks(&fixture.open(), &chunks(50..60)).unwrap();
    forget(&fixture.open(), gone.id);
    let mut damaged = backend.get(&ObjectName::Pack(pack), bytes).unwrap();
    damaged[at.blob_offset as usize] ^= 1;
    backend.delete(&ObjectName::Pack(pack)).unwrap();
    backend.put_new(&ObjectName::Pack(pack), &[&damaged]).unwrap();
    let repo = fixture.open();
    let mut planner = repair::Planner::new(repair::Scope::All);
    check::run(&repo, check::Depth::Data, &mut |event| planner.hear(&event)).unwrap();
    let _ = repair::execute(&repo, (&planner.finish(&repo).unwrap(), &[]), &mut |_| ()).unwrap();
    let (elsewhere, _state) = fixture.open_elsewhere();

    let refused = prune(&elsewhere, &AT_ONCE, &mut |_| ());
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    check::run(&elsewhere, check::Depth::Structure, &mut |_| ()).unwrap();
    let report = prune(&elsewhere, &AT_ONCE, &mut |_| ()).unwrap();

    assert_eq!((report.packs_deleted, report.snapshots_removed), (1, 1), "{report:?}");
    read_all(&fixture.open(), &chunks(30..40));
    assert_eq!(fixture.open().snapshots().unwrap().snapshots.len(), 1);
}

#[test]
fn many_small_packs_become_one() {
    let fixture = Fixture::new();
    for number in 0..20 {
        let _ = commit_chunks(&fixture.open(), &chunks(number..number + 1)).unwrap();
    }

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!(report.packs_rewritten, 20);
    assert_eq!(fixture.count(Folder::Packs), 1);
    assert_eq!(fixture.count(Folder::Snapshots), 20);
    read_all(&fixture.open(), &chunks(0..20));
    assert_sound(&fixture.open());
    assert_eq!(prune_now(&fixture.open(), &AT_ONCE).packs_rewritten, 0);
}

#[test]
fn the_trash_keeps_what_was_forgotten_for_its_time() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    forget(&fixture.open(), first.id);
    let options = Options { trash: Duration::from_secs(60), ..AT_ONCE };

    let report = prune_now(&fixture.open(), &options);

    assert_eq!((report.packs_deleted, report.outlook.in_trash), (0, 1));
    read_all(&fixture.open(), &chunks(0..20));
    let outlook = outlook(&fixture.open(), &AT_ONCE, &mut |_| ()).unwrap();
    assert_eq!((outlook.plan.delete.len(), outlook.expired), (1, 1));
    assert_eq!(fixture.count(Folder::Packs), 2);
}

#[test]
fn what_a_dead_run_left_goes_after_its_grace() {
    let fixture = Fixture::new();
    let _ = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let repo = fixture.open();
    let writer = repo.writer().unwrap();
    let mut lane = writer.lane();
    let _ = crate::chunk::Store::put(&mut lane, &plain(50, 10_000)).unwrap();
    lane.finish().unwrap();
    repo.abandon(writer).unwrap();

    let patient = Options { grace: Duration::from_secs(3600), ..AT_ONCE };
    assert_eq!(prune_now(&fixture.open(), &patient).packs_deleted, 0);
    assert_eq!(prune_now(&fixture.open(), &AT_ONCE).packs_deleted, 1);
}

#[test]
fn a_run_that_began_before_an_index_object_was_set_aside_looks_at_every_chunk() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    let (elsewhere, _state) = fixture.open_elsewhere();
    let early = elsewhere.catalogue().unwrap();
    forget(&fixture.open(), first.id);
    let _ = prune_now(&fixture.open(), &AT_ONCE);
    let index = fixture.env.backend.list(Folder::Index).unwrap().objects;

    for listed in &index {
        explain_removal(&fixture.open(), &listed.name).unwrap();
        fixture.env.backend.delete(&listed.name).unwrap();
    }

    let backend = fixture.env.backend.as_ref();
    let look = tombstones::look(backend, elsewhere.keys(), early.known_index()).unwrap();
    assert!(look.packs().is_empty());
    assert!(look.concerns(early.known_tombstones()));
    assert!(prune(&fixture.open(), &AT_ONCE, &mut |_| ()).is_ok());
}

#[test]
fn a_tombstone_that_decays_while_its_deleter_works_is_replaced_before_more_goes() {
    let fixture = Fixture::new();
    for number in 10..80 {
        let gone = commit_chunks(&fixture.open(), &chunks(number..number + 1)).unwrap();
        forget(&fixture.open(), gone.id);
    }
    let kept = commit_chunks(&fixture.open(), &chunks(0..3)).unwrap();
    let backend = fixture.env.backend.as_ref();
    let tombstones = || -> Vec<ObjectName> {
        let listed = backend.list(Folder::Tombstones).unwrap().objects;
        listed.into_iter().map(|one| one.name).collect()
    };
    let mut seen = Vec::new();

    let report = prune(&fixture.open(), &AT_ONCE, &mut |event| {
        if matches!(event, PruneEvent::Progress { .. }) && !tombstones().is_empty() {
            seen.push(tombstones());
            if seen.len() == 1 {
                damage(backend, &seen[0][0]);
                // Whoever commits now sees all that is going.
                let repo = fixture.open();
                let known = repo.catalogue().unwrap();
                let look = tombstones::look(backend, repo.keys(), known.known_index()).unwrap();
                assert_eq!((look.packs().len(), look.unread.len()), (70, 1));
            }
        }
    })
    .unwrap();

    assert_eq!((report.packs_deleted, report.snapshots_removed), (70, 70));
    assert_eq!(seen.len(), 3, "batches of 32: {seen:?}");
    assert!(seen[0] != seen[1] && seen[1] == seen[2], "{seen:?}");
    assert_eq!(tombstones(), []);
    assert_eq!(fixture.open().snapshots().unwrap().snapshots, [kept]);
    assert_sound(&fixture.open());
}

#[test]
fn a_tombstone_that_is_damaged_stops_whoever_deletes_and_no_one_else() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..3)).unwrap();
    let second = commit_chunks(&fixture.open(), &chunks(3..6)).unwrap();
    forget(&fixture.open(), first.id);
    let backend = fixture.env.backend.as_ref();
    let repo = fixture.open();
    let id = condemn::put(&repo, &explain::naming(&repo, Vec::new()).unwrap()).unwrap();
    damage(backend, &ObjectName::Tombstone(id));

    let refused = prune(&fixture.open(), &AT_ONCE, &mut |_| ());
    let third = commit_chunks(&fixture.open(), &chunks(5..9)).unwrap();

    assert!(matches!(refused, Err(Error::Refused { why }) if why.contains("tombstones/")));
    assert!(marks::undelete(&fixture.open(), first.id).is_err());
    let (elsewhere, _state) = fixture.open_elsewhere();
    // They were made at the same moment.
    let shown = elsewhere.snapshots().unwrap().snapshots;
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&second) && shown.contains(&third));
    read_all(&elsewhere, &chunks(3..9));
    let mut events = Vec::new();
    check::run(&elsewhere, check::Depth::Data, &mut |event| events.push(event)).unwrap();
    events.retain(is_finding);
    assert!(events.iter().all(|event| matches!(event, check::CheckEvent::Damaged { .. })));
    assert_eq!(events.len(), 1, "{events:?}");
}

/// Flips one bit of an object.
fn damage(backend: &dyn Backend, name: &ObjectName) {
    let mut bytes = backend.get(name, u64::MAX).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    backend.delete(name).unwrap();
    backend.put_new(name, &[&bytes]).unwrap();
}
